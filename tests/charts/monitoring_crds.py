"""The resources of Prometheus' operator, from its Go module."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from e2e.cluster import binaries

MODULE = "github.com/prometheus-operator/prometheus-operator@v0.76.0"
SUM = "h1:EjGJiQVF3BUy/iygeRlN6iMBIAySMGZobEm7+7A95pI="
KINDS = ("podmonitors", "servicemonitors", "prometheusrules")


def monitoring_crds() -> list[Path]:
    """The CRDs' files in Go's module cache, downloaded first if need be."""
    done = subprocess.run(
        [*binaries._go(), "mod", "download", "-json", MODULE],
        cwd=binaries.MODULES,
        env=os.environ | {"GOWORK": "off", "GOFLAGS": "-mod=mod"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    module = json.loads(done.stdout)
    assert module["Sum"] == SUM
    folder = Path(module["Dir"]) / "example" / "prometheus-operator-crd"
    return [folder / f"monitoring.coreos.com_{kind}.yaml" for kind in KINDS]
