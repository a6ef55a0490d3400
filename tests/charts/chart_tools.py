"""The real helm, and what it renders as objects."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

from charts.generate import CHART, KUBERNETES
from e2e.cluster import binaries

Manifest = dict[str, Any]


class HelmError(Exception):
    """Helm ended with an error; the message is what it said."""


def helm(*arguments: str | Path, kubeconfig: Path | None = None, seconds: float = 120.0) -> str:
    """Run a command and return what it printed.

    Raises:
        HelmError: it failed.
    """
    where = [] if kubeconfig is None else [f"--kubeconfig={kubeconfig}"]
    done = subprocess.run(
        [binaries.path("helm"), *arguments, *where],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    if done.returncode:
        raise HelmError(done.stderr.strip() or done.stdout.strip())
    return done.stdout


def render(*settings: str, namespace: str = "system", release: str = "greenroom") -> list[Manifest]:
    """The chart's objects with these values (`replicas=2`)."""
    values = [argument for setting in settings for argument in ("--set", setting)]
    text = helm(
        "template", release, CHART, f"--namespace={namespace}", f"--kube-version={KUBERNETES}",
        *values,
    )  # fmt: skip
    return [manifest for manifest in yaml.safe_load_all(text) if manifest]


def only(manifests: list[Manifest], kind: str, name: str | None = None) -> Manifest:
    """The one object of that kind (and name)."""
    found = of_kind(manifests, kind)
    [manifest] = [each for each in found if name in (None, each["metadata"]["name"])]
    return manifest


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]
