"""A real Prometheus in the cluster scrapes operator and roles, as the chart's objects say.

Prometheus' operator is not there: its resources are, without their schemas (`tests/charts` shows
that those are kept), so that Helm makes a ServiceMonitor and a PrometheusRule, and Greenroom's
operator a PodMonitor for each experiment. `monitors` does with them what that operator would.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import yaml

from e2e.cluster.cluster import Kubectl
from e2e.suite.experiments import Experiment, example, is_true, steps
from e2e.suite.nodes import RELEASE, SYSTEM, Nodes
from e2e.suite.policies import Peer, may_connect
from e2e.suite.prometheus import SCRAPE_SECONDS, Prometheus, Query, prometheus, queries_of

pytestmark = [pytest.mark.timeout(1800), pytest.mark.full]

GROUP = "monitoring.coreos.com"
KINDS = {
    "podmonitors": "PodMonitor",
    "servicemonitors": "ServiceMonitor",
    "prometheusrules": "PrometheusRule",
}
OPERATOR = "deployment/greenroom-operator"
ROLES = {"replay", "learner", "actor", "evaluator"}
STALLED = "GreenroomReplayStalled"
COPY = {"copy": "quick"}


@pytest.fixture
def watched(release: Nodes) -> Iterator[Nodes]:
    """The release, with monitor, rules and dashboards."""
    administrator = release.kubectl()
    resources = yaml.safe_dump_all([resource(plural, kind) for plural, kind in KINDS.items()])
    administrator("apply", "--server-side", "-f", "-", stdin=resources)
    names = [f"crd/{plural}.{GROUP}" for plural in KINDS]
    administrator("wait", *names, "--for=condition=Established", "--timeout=30s")
    try:
        settings = (
            *("metrics.monitor.enabled=true", f"metrics.monitor.interval={SCRAPE_SECONDS}s"),
            *("metrics.rules.enabled=true", "dashboards.enabled=true"),
        )
        release.helm(
            *("upgrade", *RELEASE, str(release.source / "charts" / "greenroom")),
            *("--reuse-values", "--wait", f"--set={','.join(settings)}"),
        )
        begin_anew(release)
        yield release
    finally:
        release.install()
        administrator("delete", *names, "--timeout=50s")
        begin_anew(release)


def resource(plural: str, kind: str) -> dict[str, Any]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
            "versions": [version],
        },
    }


def begin_anew(release: Nodes) -> None:
    """The operator looks for PodMonitors when it starts, then every ten minutes."""
    kubectl = release.kubectl(SYSTEM)
    kubectl("delete", "pods", "--selector=app.kubernetes.io/component=operator")
    kubectl("rollout", "status", OPERATOR, "--timeout=120s", seconds=130.0)


def test_all_is_scraped_and_shown_and_an_alert_comes_and_goes(
    watched: Nodes, kubectl: Kubectl, another: Kubectl
) -> None:
    document = example(stop={"environmentSteps": 5_000_000}, checkpoint={"interval": "15s"})
    run = Experiment(kubectl, document)
    run.until(is_true("Ready"), 600.0, "all roles are ready")
    run.goes_on(0, "it acts")
    system = watched.kubectl(SYSTEM)
    monitors = [
        system.json("get", "servicemonitor", "greenroom-operator"),
        kubectl.json("get", "podmonitor", run.name),
    ]
    rules: dict[str, Any] = system.json("get", "prometheusrule", "greenroom-operator")["spec"]
    with prometheus(watched, another, monitors, [rules, quicker(rules)]) as server:
        eventually(lambda: is_scraped(server), 60.0, "operator and all roles are scraped")
        policies_admit(watched, another, run)
        maps = system.json("get", "configmaps", "--selector=grafana_dashboard=1")["items"]
        dashboards = [json.loads(text) for each in maps for text in each["data"].values()]
        wanted = {
            "Greenroom / Operator": {"namespace": SYSTEM},
            "Greenroom / Experiment": {"namespace": kubectl.namespace, "experiment": run.name},
        }
        assert {each["title"] for each in dashboards} == set(wanted)
        shown(
            server,
            [
                query
                for dashboard in dashboards
                for query in queries_of(dashboard, server, wanted[dashboard["title"]])
            ],
        )
        in_order(server, rules)
        comes_and_goes(server, run, document)


def is_scraped(server: Prometheus) -> bool:
    """Whether operator and each role are up, and nothing else was found, or is down."""
    targets = server.get("targets", state="active")["activeTargets"]
    roles = [target["labels"].get("greenroom_dev_role", "operator") for target in targets]
    ups = all(target["health"] == "up" for target in targets)
    return ups and sorted(roles) == sorted({*ROLES, "operator"})


def policies_admit(release: Nodes, kubectl: Kubectl, run: Experiment) -> None:
    """A Prometheus of another namespace may scrape where NetworkPolicies are enforced, too."""
    policies = release.kubectl().json("get", "networkpolicies", "--all-namespaces")["items"]
    namespace = kubectl.json("get", "namespace", kubectl.namespace)
    scraper = Peer.of(kubectl.json("get", "pod", "prometheus"), namespace)
    for pod in run.pods():
        ports = {port["name"]: port for port in pod["spec"]["containers"][0]["ports"]}
        assert may_connect(policies, scraper, pod, ports["http"])


def shown(server: Prometheus, missing: list[Query]) -> None:
    """Each query has data at some time of the run: some things happen now and then."""
    print(f"\n* {len(missing)} queries of dashboards", end="", flush=True)
    began = time.monotonic()

    def all_seen() -> bool:
        missing[:] = [query for query in missing if not has_data(server, query.expression)]
        print(f"; {time.monotonic() - began:.0f} s: {len(missing)} without data", end="")
        return not missing

    try:
        eventually(all_seen, 240.0, "each has had data")
    except AssertionError as error:
        raise AssertionError(f"{error}: {missing}") from None


def has_data(server: Prometheus, expression: str) -> bool:
    return any(series["value"][1] != "NaN" for series in server.query(expression))


def in_order(server: Prometheus, rules: dict[str, Any]) -> None:
    """The rules are evaluated without error, on metrics that are there, and no alert fires."""
    wanted = [rule for group in rules["groups"] for rule in group["rules"]]
    for rule in wanted:
        if "record" in rule:
            eventually(partial(server.query, rule["record"]), 60.0, rule["record"])
        for metric in set(re.findall(r"\bgreenroom_[a-z_]+", rule["expr"])) - LABELS:
            assert server.query(f"count({metric})"), f"{rule}: no {metric}"
    loaded = [rule for group in server.get("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in loaded} == {
        rule.get("alert", rule.get("record")) for rule in wanted
    }
    for rule in loaded:
        assert (rule["health"], rule.get("lastError", "")) == ("ok", ""), rule
    firing = server.query('ALERTS{alertstate="firing"}')
    assert not firing, "nothing is alarming in a healthy run"
    print(f"\n* {len(wanted)} rules are in order, no alert fires", end="", flush=True)


LABELS = {"greenroom_dev_experiment", "greenroom_dev_role"}


def quicker(rules: dict[str, Any]) -> dict[str, Any]:
    """A copy of one alert that fires after a minute; the chart's own takes 15."""
    (rule,) = (
        rule for group in rules["groups"] for rule in group["rules"] if rule.get("alert") == STALLED
    )
    assert "[5m]" in rule["expr"]
    copy = rule | {
        "expr": rule["expr"].replace("[5m]", "[30s]"),
        "for": "10s",
        "labels": rule["labels"] | COPY,
    }
    return {"groups": [{"name": "quick", "rules": [copy]}]}


def comes_and_goes(server: Prometheus, run: Experiment, document: dict[str, Any]) -> None:
    """Actors that find no node leave replay without inserts, until there is one."""
    no_node = {"name": "worker", "resources": {"requests": {"cpu": "1000"}}}
    run.patch({"actors": {"podTemplate": {"spec": {"containers": [no_node]}}}})
    eventually(lambda: firing(server), 240.0, f"{STALLED} fires")
    (alert,) = firing(server)
    assert alert["labels"]["state"] == "waiting_for_inserts"
    assert alert["labels"]["greenroom_dev_experiment"] == run.name
    print(f": {alert['annotations']['summary']}", end="", flush=True)

    before = steps(run.learner())
    run.patch({"actors": {"podTemplate": document["spec"]["actors"]["podTemplate"]}})
    eventually(lambda: not firing(server), 240.0, f"{STALLED} is resolved")
    run.goes_on(before, "it goes on")


def firing(server: Prometheus) -> list[dict[str, Any]]:
    """The quick alerts that fire."""
    alerts: list[dict[str, Any]] = server.get("alerts")["alerts"]
    return [
        alert
        for alert in alerts
        if alert["state"] == "firing" and alert["labels"].items() >= COPY.items()
    ]


def eventually(met: Callable[[], object], seconds: float, what: str) -> None:
    """Look until it is so, and say how long that took."""
    began = time.monotonic()
    while not met():
        assert time.monotonic() - began < seconds, f"{what} within {seconds:g} s"
        time.sleep(2.0)
    print(f"\n* {what}, after {time.monotonic() - began:.0f} s", end="", flush=True)
