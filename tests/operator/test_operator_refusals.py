"""Children that the API server does not take: who else stands there, and what a rule forbids."""

import json
import re

import pytest
from operating import PATIENCE, apply, child_names, children, condition, eventually, ready

FOREIGN = [
    {"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80}]}},
    {"apiVersion": "v1", "kind": "ConfigMap", "data": {"theirs": "1"}},
    {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    },
    {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "theirs"}},
            "template": {
                "metadata": {"labels": {"app": "theirs"}},
                "spec": {"containers": [{"name": "c", "image": "example.com/theirs:1"}]},
            },
        },
    },
]
FOREIGN_NAMES = ("x-learner", "x-experiment", "x-learner", "x-learner")


def test_what_stands_where_a_child_would_be_is_not_touched(operator, kubectl):
    theirs = {}
    for manifest, name in zip(FOREIGN, FOREIGN_NAMES, strict=True):
        text = json.dumps({**manifest, "metadata": {"name": name}})
        made = kubectl.json("create", "-f", "-", stdin=text)
        theirs[manifest["kind"], name] = made["spec"] if "spec" in made else made["data"]
    # Kubernetes writes to a claim that has no volume yet.
    claim = eventually(
        lambda: kubectl.json("get", "pvc", "x-learner"),
        lambda found: found["status"]["phase"] == "Bound",
    )
    theirs["PersistentVolumeClaim", "x-learner"] = claim["spec"]

    def live():
        found = {key: kubectl.json("get", key[0].lower(), key[1]) for key in theirs}
        labels = {key: child["metadata"].get("labels") for key, child in found.items()}
        assert set(labels.values()) == {None}
        return {key: child.get("spec") or child["data"] for key, child in found.items()}

    apply(kubectl, "x")
    said = eventually(
        lambda: condition(kubectl, "x", "Progressing"), lambda found: found[1] == "ChildRefused"
    )
    for kind, name in theirs:
        assert f"{kind} {name} was refused" in said[2]
    # All others are there.
    eventually(
        lambda: children(kubectl, "x").keys(), lambda keys: keys == child_names("x") - theirs.keys()
    )
    assert live() == theirs

    kubectl("delete", "rlx", "x", "--timeout=30s")
    eventually(lambda: children(kubectl, "x"), lambda found: found == {}, PATIENCE)
    assert live() == theirs


@pytest.mark.slow
def test_a_place_that_gets_free_is_taken(operator, kubectl):
    kubectl("create", "configmap", "x-experiment")
    apply(kubectl, "x")
    eventually(
        lambda: condition(kubectl, "x", "Progressing"), lambda found: found[1] == "ChildRefused"
    )

    kubectl("delete", "configmap", "x-experiment")

    eventually(lambda: children(kubectl, "x").keys(), lambda keys: keys == child_names("x"))
    eventually(
        lambda: condition(kubectl, "x", "Progressing"), lambda found: found[1] == "AsSpecified"
    )


def test_one_whose_children_are_refused_delays_no_other(operator, kubectl):
    wrong = {"spec": {"nodeSelector": {"no such key!": "x"}}}
    apply(kubectl, "wrong", actors={"podTemplate": wrong})
    said = eventually(
        lambda: condition(kubectl, "wrong", "Progressing"), lambda found: found[1] == "ChildRefused"
    )
    assert said[0] == "False"
    assert "Deployment wrong-actors was refused" in said[2]
    assert "no such key!" in said[2]
    # Its other children are there.
    assert ("Deployment", "wrong-learner") in children(kubectl, "wrong")

    apply(kubectl, "right")
    ready(kubectl, "right")
    apply(kubectl, "wrong", actors={"replicas": 2})
    ready(kubectl, "wrong")


def test_pods_that_pod_security_refuses_are_told_of(operator, kubectl):
    kubectl(
        "label", "namespace", kubectl.namespace, "pod-security.kubernetes.io/enforce=restricted"
    )
    apply(kubectl, "x", actors={"podTemplate": {"spec": {"hostNetwork": True}}})

    said = eventually(
        lambda: condition(kubectl, "x", "Progressing"), lambda found: found[1] == "FailedCreate"
    )
    assert said[0] == "False"
    assert re.search(r"violates PodSecurity.*host namespaces", said[2])
    # The other roles' are restricted.
    eventually(lambda: len(kubectl.json("get", "pods")["items"]), lambda count: count == 3)

    apply(kubectl, "x")
    ready(kubectl, "x")
