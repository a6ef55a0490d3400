"""The operator's dashboard, on the series of a real operator that meets some trouble."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from operator_process import OperatorProcess
from prometheus_server import Prometheus, Target
from real_run import RULES
from test_chart_installing import EXAMPLE, chart_flags, install
from test_dashboards import OPERATOR_DASHBOARD, queries

from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.processes import wait_until

# On a busy machine a control plane takes its time to start.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LABELS = {"job": "greenroom-operator", "namespace": "system", "pod": "operator-0"}


def filled_in(expression: str) -> str:
    return expression.replace("$namespace", "system").replace("$__rate_interval", "10s")


def test_each_query_of_the_operators_dashboard_finds_something(
    plane: ControlPlane, tmp_path: Path
) -> None:
    install(plane.cluster, "replicas=0")
    account = plane.cluster.kubeconfig_for("system", "greenroom-operator")
    flags = [*chart_flags(), "--progress-interval=1"]
    operator = OperatorProcess(account, None, tmp_path / "log", flags).start().wait_leading()
    port = int(operator.url.rpartition(":")[2])
    try:
        with Prometheus(tmp_path / "prometheus", [Target(port, LABELS)], [RULES]) as prometheus:
            # A counter's first increase shows if it was scraped before.
            wait_until(lambda: prometheus.ready() and prometheus.query("up"), 90, "it is scraped")
            begin(plane)
            missing = dict(enumerate(queries(OPERATOR_DASHBOARD)))

            def all_seen() -> bool:
                """Whether each query has found something by now; trouble comes and goes."""
                for number, (title, legend, expression) in list(missing.items()):
                    found = prometheus.query(filled_in(expression))
                    for label in re.findall(r"{{(\w+)}}", legend):
                        assert all(label in each["metric"] for each in found), title
                    if found:
                        del missing[number]
                return not missing

            try:
                wait_until(all_seen, 180, "each query has found something")
            except TimeoutError as error:
                raise AssertionError(f"{error}. Missing: {missing.values()}") from error
            assert set(prometheus.rule_health().values()) == {"ok"}
    finally:
        operator.stop()


def begin(plane: ControlPlane) -> None:
    """One experiment that works, and one whose ConfigMap is somebody else's."""
    kubectl = plane.cluster.kubectl()
    kubectl("create", "configmap", "taken-experiment")
    experiment = yaml.safe_load(EXAMPLE.read_text())
    for name in ("good", "taken"):
        experiment["metadata"]["name"] = name
        kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(experiment))
