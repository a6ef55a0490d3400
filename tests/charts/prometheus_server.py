"""A real Prometheus that scrapes processes of this machine, and takes queries."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from e2e.cluster import binaries, processes

SCRAPE_SECONDS = 1


class Target(NamedTuple):
    """A process to scrape, and the labels that a monitor in a cluster would give its series."""

    port: int
    labels: Mapping[str, str]


class Prometheus:
    """Prometheus with these rules; ended with the `with` block.

    with Prometheus(folder, [Target(8080, {"job": "x"})], rules=[path]) as prometheus:
        prometheus.query("up")
    """

    def __init__(self, folder: Path, targets: Sequence[Target], rules: Sequence[Path] = ()) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._url = f"http://127.0.0.1:{processes.free_port()}"
        jobs: dict[str, list[dict[str, Any]]] = {}
        for target in targets:
            labels = dict(target.labels)
            config = {"targets": [f"127.0.0.1:{target.port}"], "labels": labels}
            jobs.setdefault(labels.pop("job"), []).append(config)
        settings = {
            "global": {
                "scrape_interval": f"{SCRAPE_SECONDS}s",
                "evaluation_interval": f"{SCRAPE_SECONDS}s",
            },
            "rule_files": [str(rule) for rule in rules],
            "scrape_configs": [
                {"job_name": job, "static_configs": configs} for job, configs in jobs.items()
            ],
        }
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(settings))

    def __enter__(self) -> Prometheus:
        command = [
            binaries.path("prometheus"),
            f"--config.file={self._folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address={self._url.removeprefix('http://')}",
        ]
        with (self._folder / "log.txt").open("w") as log:
            self._process = processes.start(command, log)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def ready(self) -> bool:
        assert self._process.poll() is None, (self._folder / "log.txt").read_text()
        try:
            with urllib.request.urlopen(f"{self._url}/-/ready", timeout=5):
                return True
        except OSError:  # nobody listens yet, or it takes its time to answer
            return False

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query; each has "metric" and "value"."""
        result = self._ask("query", query=expression)["result"]
        assert isinstance(result, list)
        return result

    def label_values(self, label: str, selector: str) -> list[str]:
        values = self._ask(f"label/{label}/values", **{"match[]": selector})
        assert isinstance(values, list)
        return values

    def rule_health(self) -> dict[str, str]:
        """Of each rule by its name: "ok", "err" or "unknown"."""
        groups = self._ask("rules")["groups"]
        return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}

    def _ask(self, path: str, **parameters: str) -> Any:
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"{self._url}/api/v1/{path}?{query}", timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{parameters}: {error.read().decode()}") from None
