"""A container's command, variables and volumes, as Kubernetes defines them."""

import base64

import pytest

from e2e.cluster.node.environment import ConfigError, command, environment, expand, quantity
from e2e.cluster.node.volumes import make_volumes

ADDRESSES = {"podIP": "10.200.0.2", "hostIP": "10.200.0.1"}
POD = {
    "metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"role.dev/x": "actor"}},
    "spec": {"nodeName": "n"},
}
STORED = {
    ("configmaps", "cm"): {"data": {"a": "1", "b": "2"}},
    ("secrets", "s"): {"data": {"token": base64.b64encode(b"hush").decode()}},
}


def lookup(kind, name):
    return STORED.get((kind, name))


def variables(**container):
    return environment(POD, container, ADDRESSES, lookup)


def test_variables_refer_to_earlier_ones_and_unknown_references_stay():
    env = [{"name": "A", "value": "x"}, {"name": "B", "value": "$(A)-$(C)-$$(A)-$A"}]
    assert variables(env=env)["B"] == "x-$(C)-$(A)-$A"
    assert expand("$$$(A)", {"A": "x"}) == "$x"


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ({"fieldRef": {"fieldPath": "metadata.name"}}, "p"),
        ({"fieldRef": {"fieldPath": "metadata.labels['role.dev/x']"}}, "actor"),
        ({"fieldRef": {"fieldPath": "status.podIP"}}, "10.200.0.2"),
        ({"fieldRef": {"fieldPath": "spec.nodeName"}}, "n"),
        ({"configMapKeyRef": {"name": "cm", "key": "b"}}, "2"),
        ({"secretKeyRef": {"name": "s", "key": "token"}}, "hush"),
        ({"resourceFieldRef": {"resource": "limits.cpu", "divisor": "0"}}, "2"),
        ({"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}, "512"),
    ],
)
def test_variables_from_elsewhere(source, value):
    limits = {"cpu": "1500m", "memory": "512Mi"}
    made = variables(env=[{"name": "X", "valueFrom": source}], resources={"limits": limits})
    assert made == {"X": value}


def test_whole_config_maps_come_before_single_variables():
    source = [{"prefix": "P_", "configMapRef": {"name": "cm"}}, {"secretRef": {"name": "s"}}]
    made = variables(envFrom=source, env=[{"name": "P_a", "value": "mine"}])
    assert made == {"P_a": "mine", "P_b": "2", "token": "hush"}


def test_what_is_missing_is_an_error_unless_it_is_optional():
    missing = {"secretKeyRef": {"name": "none", "key": "k"}}
    with pytest.raises(ConfigError, match='secret "none" not found'):
        variables(env=[{"name": "X", "valueFrom": missing}])
    missing["secretKeyRef"]["optional"] = True
    assert variables(env=[{"name": "X", "valueFrom": missing}]) == {}


def test_a_command_is_needed():
    assert command({"command": ["a", "$(B)"], "args": ["c"]}, {"B": "b"}) == ["a", "b", "c"]
    with pytest.raises(ConfigError, match="needs a command"):
        command({"args": ["c"]}, {})


@pytest.mark.parametrize(
    ("text", "number"), [("2", 2), ("250m", 0.25), ("1Gi", 2**30), ("1k", 1e3)]
)
def test_quantities(text, number):
    assert quantity(text) == number


def test_files_of_a_volume_change_all_at_once_and_go_away(tmp_path):
    items = [{"key": "a", "path": "deep/a.txt"}]
    volumes = [
        {"name": "all", "configMap": {"name": "cm"}},
        {"name": "one", "secret": {"secretName": "s"}},
        {"name": "some", "projected": {"sources": [{"configMap": {"name": "cm", "items": items}}]}},
    ]
    pod = {**POD, "spec": {"volumes": volumes}}
    stored = dict(STORED)

    def make():
        return make_volumes(pod, tmp_path, ADDRESSES, lambda *key: stored.get(key), None)

    made = make()
    assert (made["one"] / "token").read_text() == "hush"
    assert (made["some"] / "deep" / "a.txt").read_text() == "1"
    first = (made["all"] / "a").resolve()
    stored["configmaps", "cm"] = {"data": {"a": "3"}}
    make()
    assert (made["all"] / "a").read_text() == "3"
    assert not first.exists()
    assert not (made["all"] / "b").exists()
