"""What the chart renders, by its values."""

from __future__ import annotations

import json
from typing import Any

import pytest
import typer.main
import yaml
from chart_tools import HelmError, Manifest, helm, of_kind, only, render

from charts.generate import CHART, KUBERNETES, MANIFEST, manifest
from greenroom_operator.main import app

CLUSTER_SCOPED = {
    "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Namespace",
}  # fmt: skip
EVERYTHING = (
    "replicas=2",
    "metrics.monitor.enabled=true",
    "metrics.rules.enabled=true",
    "dashboards.enabled=true",
    "imagePullSecrets[0].name=key",
    "commonLabels.team=rl",
    "podAnnotations.a=b",
    "podLabels.c=d",
    "nodeSelector.disk=ssd",
    "tolerations[0].operator=Exists",
    "priorityClassName=high",
    "serviceAccount.annotations.e=f",
    "dashboards.annotations.grafana_folder=Greenroom",
    "operator.extraArgs[0]=--resync-interval=60",
)
MATRIX = {
    "defaults": (),
    "everything": EVERYTHING,
    "one namespace": ("singleNamespace=true",),
    "one namespace, everything": ("singleNamespace=true", *EVERYTHING),
    "without CRD": ("crds.enabled=false",),
    "CRD that goes": ("crds.keep=false",),
    "without extras": tuple(
        f"experiments.{name}=false"
        for name in ("podDisruptionBudgets", "networkPolicies", "podMonitors", "queueing")
    ),
}


def container(manifests: list[Manifest]) -> dict[str, Any]:
    [found] = only(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def arguments(manifests: list[Manifest]) -> list[str]:
    found = container(manifests)["args"]
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("settings", MATRIX.values(), ids=MATRIX)
def test_helm_lint_finds_nothing(settings: tuple[str, ...]) -> None:
    values = [argument for setting in settings for argument in ("--set", setting)]
    said = helm("lint", "--strict", f"--kube-version={KUBERNETES}", CHART, *values)
    assert "0 chart(s) failed" in said


@pytest.mark.parametrize("settings", MATRIX.values(), ids=MATRIX)
def test_objects_are_complete(settings: tuple[str, ...]) -> None:
    manifests = render(*settings)
    names = [(each["kind"], each["metadata"]["name"]) for each in manifests]
    assert len(set(names)) == len(names)
    for each in manifests:
        assert each["metadata"]["labels"]["app.kubernetes.io/name"] == "greenroom"
        scoped = each["kind"] in CLUSTER_SCOPED
        assert ("namespace" in each["metadata"]) != scoped, each["metadata"]
        selector = each.get("spec", {}).get("selector", {})
        if each["kind"] in ("Deployment", "PodDisruptionBudget", "ServiceMonitor", "PodMonitor"):
            selector = selector["matchLabels"]
        if each["kind"] in ("Deployment", "Service", "PodDisruptionBudget"):
            labels = only(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"]
            assert selector.items() <= labels.items()


@pytest.mark.parametrize("settings", MATRIX.values(), ids=MATRIX)
def test_the_operator_understands_its_arguments(settings: tuple[str, ...]) -> None:
    # Typer's own parser, on the flags of this checkout; wrong ones raise.
    command = typer.main.get_command(app)
    context = command.make_context("greenroom-operator", list(arguments(render(*settings))))
    given = context.params
    assert given["leader_elect"]
    assert given["http_host"] == "0.0.0.0"
    assert given["http_port"] == container(render(*settings))["ports"][0]["containerPort"]
    namespaces = ["system"] if "singleNamespace=true" in settings else []
    assert list(given["namespace"] or ()) == namespaces
    assert given["pod_monitors"] == ("experiments.podMonitors=false" not in settings)
    alone = {"experiments.queueing=false", "singleNamespace=true"}
    assert given["queueing"] == (not alone & set(settings))
    assert given["network_policies"] == ("experiments.networkPolicies=false" not in settings)
    assert given["pod_disruption_budgets"] == (
        "experiments.podDisruptionBudgets=false" not in settings
    )
    assert given["worker_image"] == "greenroom/worker:0.1.0"
    assert given["replay_image"] == "greenroom/replay:0.1.0"


def test_the_lease_is_the_one_that_it_may_write() -> None:
    manifests = render(release="team")
    [rule, _] = only(manifests, "Role")["rules"]
    assert rule["resourceNames"] == ["team-greenroom-operator"]
    assert "--lease-name=team-greenroom-operator" in arguments(manifests)
    assert "--lease-namespace=system" in arguments(manifests)


def test_images_are_tags_or_digests() -> None:
    manifests = render(
        "image.repository=example/operator", f"image.tag=sha256:{'0' * 64}", "worker.image.tag=v2"
    )
    assert container(manifests)["image"] == f"example/operator@sha256:{'0' * 64}"
    assert "--worker-image=greenroom/worker:v2" in arguments(manifests)


def test_one_namespace_needs_no_right_in_others() -> None:
    manifests = render("singleNamespace=true", "crds.enabled=false", *EVERYTHING)
    assert not {each["kind"] for each in manifests} & CLUSTER_SCOPED
    assert {each["metadata"]["namespace"] for each in manifests} == {"system"}
    resources = {
        resource
        for role in of_kind(manifests, "Role")
        for rule in role["rules"]
        for resource in rule["resources"]
    }
    assert "customresourcedefinitions" not in resources


def test_releases_of_one_name_stand_beside_each_other() -> None:
    one, other = (
        {
            (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"])
            for each in render("crds.enabled=false", namespace=namespace)
        }
        for namespace in ("one", "other")
    )
    assert not one & other


@pytest.mark.parametrize("settings", [(), ("crds.keep=false",)])
def test_the_crd_is_the_generated_one(settings: tuple[str, ...]) -> None:
    crd = only(render(*settings), "CustomResourceDefinition")
    annotations = crd["metadata"].pop("annotations", {})
    assert annotations == ({} if settings else {"helm.sh/resource-policy": "keep"})
    crd["metadata"].pop("labels")
    file = CHART / "files" / "rlexperiments.yaml"
    assert crd == yaml.safe_load(file.read_text())


def test_the_operator_may_write_nothing_and_gain_nothing() -> None:
    # With Helm and without.
    plain = [each for each in yaml.safe_load_all(MANIFEST.read_text()) if each]
    for manifests in (render(), plain):
        assert container(manifests)["securityContext"] == {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }


def test_several_replicas_are_spread_and_drained_one_by_one() -> None:
    assert not of_kind(render(), "PodDisruptionBudget")
    manifests = render("replicas=2")
    assert only(manifests, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    spec = only(manifests, "Deployment")["spec"]
    assert spec["replicas"] == 2
    [spread] = spec["template"]["spec"]["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"


@pytest.mark.parametrize(
    ("kind", "endpoints"),
    [("ServiceMonitor", "endpoints"), ("PodMonitor", "podMetricsEndpoints")],
)
def test_a_monitor_scrapes_the_port(kind: str, endpoints: str) -> None:
    manifests = render(
        "metrics.monitor.enabled=true", f"metrics.monitor.kind={kind}",
        "metrics.monitor.labels.release=prometheus",
    )  # fmt: skip
    monitor = only(manifests, kind)
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    [endpoint] = monitor["spec"][endpoints]
    assert endpoint["port"] in {port["name"] for port in container(manifests)["ports"]}
    assert endpoint["port"] in {
        port["name"] for port in only(manifests, "Service")["spec"]["ports"]
    }


def test_rules_and_dashboards_are_the_files() -> None:
    manifests = render("metrics.rules.enabled=true", "dashboards.enabled=true")
    rules = yaml.safe_load((CHART / "files" / "rules.yaml").read_text())
    assert only(manifests, "PrometheusRule")["spec"] == rules
    maps = of_kind(manifests, "ConfigMap")
    assert len(maps) == 2
    for each in maps:
        assert each["metadata"]["labels"]["grafana_dashboard"] == "1"
        [(name, text)] = each["data"].items()
        file = CHART / "dashboards" / name.removeprefix("greenroom-")
        assert json.loads(text) == json.loads(file.read_text())


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("replica=2", "'replica' not allowed"),
        ("image.repo=x", "'repo' not allowed"),
        ("crds.enable=true", "'enable' not allowed"),
        ("experiments.podMonitor=true", "'podMonitor' not allowed"),
        ("image.tag=sha256:abc", "/image/tag"),
        ("replicas=two", "/replicas"),
        ("operator.logLevel=loud", "/operator/logLevel"),
        ("operator.progressInterval=15s", "/operator/progressInterval"),
        ("metrics.monitor.kind=Monitor", "/metrics/monitor/kind"),
        ("metrics.monitor.interval=often", "/metrics/monitor/interval"),
        ("operator.extraArgs[0]=verbose", "/operator/extraArgs/0"),
        ("dashboards.labels.grafana_dashboard=1", "/dashboards/labels/grafana_dashboard"),
    ],
)
def test_a_wrong_value_is_refused(setting: str, words: str) -> None:
    with pytest.raises(HelmError) as refused:
        render(setting)
    assert words in str(refused.value)


def test_the_schema_describes_each_value() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def check(schema: dict[str, Any], value: object, path: str) -> None:
        assert schema.get("description", "").endswith("."), path
        if "properties" in schema and isinstance(value, dict):
            assert schema["additionalProperties"] is False, path
            assert set(schema["properties"]) - {"global"} == set(value), path
            for name, each in value.items():
                check(schema["properties"][name], each, f"{path}.{name}")

    check(schema, values, "values")


def test_the_manifest_without_helm_is_committed() -> None:
    assert MANIFEST.read_text() == manifest(), "it is written by: python -m charts.generate"


def test_the_manifest_without_helm_is_the_chart() -> None:
    rendered = render(namespace="greenroom-system")
    of_helm = {(each["kind"], each["metadata"]["name"]) for each in rendered}
    plain = list(yaml.safe_load_all(MANIFEST.read_text()))
    namespace, *others = [each for each in plain if each]
    assert namespace["kind"] == "Namespace"
    assert namespace["metadata"]["name"] == "greenroom-system"
    assert {(each["kind"], each["metadata"]["name"]) for each in others} == of_helm - {
        ("Pod", "greenroom-operator-test")
    }
    assert "Helm" not in str([each["metadata"] for each in plain if each])
