"""A real Prometheus in a pod, which scrapes what monitors name and evaluates rules.

with prometheus(release, kubectl, monitors, [rules]) as server:
    server.query("up")
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from e2e.cluster import binaries
from e2e.cluster.cluster import Kubectl
from e2e.kind.cluster import REGISTRY
from e2e.kind.engine import cache
from e2e.kind.images import build_one
from e2e.suite.forwarding import forwarded
from e2e.suite.monitors import scrape_configs
from e2e.suite.nodes import Nodes

# The one of other tests finds no pods by itself.
BINARY = replace(binaries.BINARIES["prometheus"], tags="remove_all_sd,enable_kubernetes_sd,netgo")
NAME = "prometheus"
SCRAPE_SECONDS = 5
"""Of monitors that say nothing; Prometheus' operator takes 30."""

Object = Mapping[str, Any]


class Prometheus:
    """What a Prometheus at an address answers."""

    def __init__(self, address: str) -> None:
        self._address = address

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an instant query; each has "metric" and "value"."""
        found: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return found

    def label_values(self, label: str, selector: str) -> list[str]:
        """Return the values that a label has in the series of a selector."""
        found: list[str] = self.get(f"label/{label}/values", **{"match[]": selector})
        return found

    def get(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer of its API.

        Raises:
            AssertionError: it refused; the message says why.
        """
        query = urllib.parse.urlencode(parameters)
        url = f"http://{self._address}/api/v1/{path}?{query}"
        try:
            with urllib.request.urlopen(url, timeout=30.0) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{parameters}: {error.read().decode()}") from None


class Query(NamedTuple):
    """What a panel asks."""

    panel: str
    legend: str
    expression: str


def queries_of(dashboard: Object, server: Prometheus, wanted: Mapping[str, str]) -> list[Query]:
    """Return a dashboard's queries, its variables filled in as Grafana does.

    Args:
        wanted: what is chosen for each variable; the server must offer it.
    """
    values = {"__rate_interval": f"{4 * SCRAPE_SECONDS}s"}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert asked, variable
            choice = wanted[variable["name"]]
            assert choice in server.label_values(asked[2], _filled_in(asked[1], values)), variable
            values[variable["name"]] = choice
    return [
        Query(panel["title"], target["legendFormat"], _filled_in(target["expr"], values))
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    ]


def _filled_in(expression: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        expression = expression.replace(f"${name}", value)
    return expression


@contextmanager
def prometheus(
    release: Nodes, kubectl: Kubectl, monitors: Sequence[Object], rules: Sequence[Object]
) -> Iterator[Prometheus]:
    """A Prometheus in that namespace, until the end of the block.

    Args:
        monitors: PodMonitors and ServiceMonitors.
        rules: each a file of rules, as the `spec` of a PrometheusRule.
    """
    settings = {
        "global": {
            "scrape_interval": f"{SCRAPE_SECONDS}s",
            "evaluation_interval": f"{SCRAPE_SECONDS}s",
        },
        "rule_files": ["/etc/prometheus/rules-*.yaml"],
        "scrape_configs": scrape_configs(monitors),
    }
    files = {f"rules-{number}.yaml": rule for number, rule in enumerate(rules)}
    config = {name: yaml.safe_dump(text) for name, text in (files | {_FILE: settings}).items()}
    own = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}, "data": config},
        _pod(image(release)),
    ]
    places = {monitor["metadata"]["namespace"] for monitor in monitors}
    rights = yaml.safe_dump_all(_rights(kubectl.namespace))
    for place in places:
        release.kubectl(place)("apply", "--server-side", "-f", "-", stdin=rights)
    try:
        kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(own))
        wait = ("wait", f"pod/{NAME}", "--for=condition=Ready", "--timeout=180s")
        kubectl(*wait, seconds=200.0)
        with forwarded(kubectl, f"pod/{NAME}", 9090) as address:
            yield Prometheus(address)
    finally:
        for place in places:
            release.kubectl(place)("delete", "-f", "-", stdin=rights)


_FILE = "prometheus.yaml"


def image(release: Nodes) -> str:
    """Return Prometheus' own image, or where none can be pulled one of its binary."""
    if release.engine.pulls:
        # Its Go module says 0.305.0 of the release 3.5.0.
        _, minor, patch = BINARY.version.split(".")
        return f"prom/prometheus:v{int(minor) // 100}.{int(minor) % 100}.{patch}"
    with tempfile.TemporaryDirectory(dir=cache()) as folder:
        context = Path(folder)
        shutil.copy(binaries.built(NAME, BINARY), context / NAME)
        (context / "Dockerfile").write_text(
            f'FROM scratch\nCOPY {NAME} /{NAME}\nENTRYPOINT ["/{NAME}"]\n'
        )
        repository = f"{REGISTRY}/greenroom/{NAME}"
        return str(build_one(release.engine, repository, "--isolation=chroot", context))


def _rights(namespace: str) -> list[dict[str, Any]]:
    """Return what lets the Prometheus of that namespace find pods, in one namespace more."""
    group = "rbac.authorization.k8s.io"
    metadata = {"name": f"{NAME}-{namespace}"}
    rule = {
        "apiGroups": ["", "discovery.k8s.io"],
        "resources": ["pods", "services", "endpointslices"],
        "verbs": ["list", "watch"],
    }
    return [
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": [rule]},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": metadata["name"]},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": namespace}],
        },
    ]


def _pod(image: str) -> dict[str, Any]:
    container = {
        "name": NAME,
        "image": image,
        "args": [
            f"--config.file=/etc/prometheus/{_FILE}",
            "--storage.tsdb.path=/data",
            "--web.listen-address=:9090",
        ],
        "readinessProbe": {"httpGet": {"path": "/-/ready", "port": 9090}, "periodSeconds": 2},
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/prometheus"},
            {"name": "data", "mountPath": "/data"},
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": NAME, "labels": {"app": NAME}},
        "spec": {
            "serviceAccountName": NAME,
            "containers": [container],
            "volumes": [
                {"name": "config", "configMap": {"name": NAME}},
                {"name": "data", "emptyDir": {}},
            ],
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65534,
                "runAsGroup": 65534,
                "fsGroup": 65534,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        },
    }
