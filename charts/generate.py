"""Write what is generated in charts/: the chart's CRD, its dashboards, and greenroom.yaml.

    python -m charts.generate

A test compares what is committed with what this would write.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from charts.dashboards.experiment import experiment_dashboard
from charts.dashboards.operator import operator_dashboard
from e2e.cluster import binaries

CHARTS = Path(__file__).parent
CHART = CHARTS / "greenroom"
CRD = CHARTS.parent / "crds" / "rlexperiments.yaml"
MANIFEST = CHARTS / "greenroom.yaml"
NAMESPACE = "greenroom-system"
# Helm renders for a version of Kubernetes; nothing in the chart differs by it.
KUBERNETES = "1.34"

_HEADER = f"""\
# Greenroom's operator without Helm, from the chart's default values; do not edit.
#
#   kubectl apply --server-side -f charts/greenroom.yaml
apiVersion: v1
kind: Namespace
metadata:
  name: {NAMESPACE}
  labels:
    app.kubernetes.io/part-of: greenroom
    pod-security.kubernetes.io/enforce: restricted
"""


def generated() -> dict[Path, str]:
    """Return the text of each generated file, the manifest apart, which is made of them."""
    return {
        CHART / "files" / "rlexperiments.yaml": CRD.read_text(),
        CHART / "dashboards" / "experiment.json": _json(experiment_dashboard()),
        CHART / "dashboards" / "operator.json": _json(operator_dashboard()),
    }


def manifest() -> str:
    """Return the chart, rendered with its default values, and the namespace it goes to."""
    command = [str(binaries.path("helm")), "template", "greenroom", str(CHART), "--skip-tests"]
    command += ["--namespace", NAMESPACE, "--kube-version", KUBERNETES]
    rendered = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    # Nothing that is applied by kubectl is Helm's.
    for line in (r" +app\.kubernetes\.io/managed-by: Helm", r" +helm\.sh/chart: .+"):
        rendered = re.sub(rf"^{line}\n", "", rendered, flags=re.MULTILINE)
    return _HEADER + rendered


def main() -> None:
    """Write all of them."""
    for path, text in generated().items():
        path.write_text(text)
    MANIFEST.write_text(manifest())


def _json(dashboard: Dashboard) -> str:
    return json.dumps(dashboard, cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    main()
