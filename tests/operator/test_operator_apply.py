"""Children of experiments on a real API server: made, kept as they were planned, and gone."""

import json
import re
from pathlib import Path

import pytest
import yaml
from operating import (
    Writes,
    apply,
    child_names,
    children,
    condition,
    events,
    eventually,
    quiet,
    ready,
    status,
)

EXAMPLES = Path(__file__).parents[2] / "examples"


def specs(found):
    """Return what a child is like, apart from who says so."""
    return {
        key: {
            name: {k: v for k, v in value.items() if k not in METADATA_OF_NOW}
            if name == "metadata"
            else value
            for name, value in child.items()
            if name != "status"
        }
        for key, child in found.items()
    }


def differences(before, now):
    """Return what of each child differs, before and now, by its path."""
    old, new = (dict(leaves(found)) for found in (before, specs(now)))
    return {
        path: (old.get(path), new.get(path))
        for path in old.keys() | new.keys()
        if old.get(path) != new.get(path)
    }


def leaves(value, path=()):
    """Yield the path and value of everything that is neither an object nor a list.

    Deployments count how often they were rolled, which is no part of what they are like.
    """
    if path[-1:] == ("deployment.kubernetes.io/revision",):
        return
    items = enumerate(value) if isinstance(value, list) else None
    if isinstance(value, dict):
        items = value.items()
    if items is None or not value:
        yield path, value
        return
    for name, item in items:
        yield from leaves(item, (*path, name))


METADATA_OF_NOW = {
    *("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid"),
}


@pytest.mark.parametrize("example", ["cartpole-dqn", "cartpole-impala"])
def test_an_example_gets_its_children_and_is_ready(operator, kubectl, example):
    path = EXAMPLES / f"{example}.yaml"
    spec = yaml.safe_load(path.read_text())["spec"]

    kubectl("apply", "--server-side", "-f", str(path))
    ready(kubectl, example)

    assert children(kubectl, example).keys() == child_names(example)
    uid = kubectl.json("get", "rlx", example)["metadata"]["uid"]
    token = f"{example}-token-{uid[:8]}"
    assert kubectl.json("get", "secret", token)["immutable"]
    wanted = spec.get("actors", {}).get("replicas", 1)
    found = eventually(
        lambda: status(kubectl, example), lambda now: now["actors"]["ready"] == wanted
    )
    assert (found["phase"], found["observedGeneration"]) == ("Running", 1)
    assert found["actors"]["desired"] == found["actors"]["replicas"] == wanted
    assert found["tokenSecret"] == token
    row = kubectl("get", "rlx", example, "--no-headers").split()
    assert row[:2] == [example, "Running"]


def test_what_is_deleted_by_hand_is_put_back_and_told(operator, kubectl):
    apply(kubectl, "x")
    ready(kubectl, "x")
    before = children(kubectl, "x")
    # Claims stay as long as pods use them.
    gone = {key for key in before if key[0] != "PersistentVolumeClaim"}

    kubectl("delete", "--wait=false", *(f"{kind.lower()}/{name}" for kind, name in gone))

    def replaced():
        now = children(kubectl, "x")
        return {
            key
            for key, child in now.items()
            if child["metadata"]["uid"] != before[key]["metadata"]["uid"]
            and "deletionTimestamp" not in child["metadata"]
        }

    # The claim of replay goes with its StatefulSet, and comes back with it.
    eventually(replaced, lambda found: found >= gone)
    ready(kubectl, "x")
    told = eventually(
        lambda: [words for reason, words in events(kubectl, "x") if reason == "Restored"],
        lambda found: len(found) >= len(gone),
    )
    assert sorted(told) == sorted(
        f"put {kind} {name} back as it was planned" for kind, name in gone
    )


def replace(path, value):
    return {"op": "replace", "path": path, "value": value}


def remove(path):
    return {"op": "remove", "path": path}


CONTAINER = "/spec/template/spec/containers/0"
EDITS = {
    ("ConfigMap", "x-experiment"): [replace("/data/experiment.yaml", "spec: {}")],
    ("StatefulSet", "x-replay"): [replace(f"{CONTAINER}/image", "example.com/other:1")],
    ("Service", "x-replay"): [remove("/metadata/ownerReferences")],
    ("Service", "x-learner"): [replace("/spec/ports/0/port", 7999)],
    ("Deployment", "x-learner"): [replace(f"{CONTAINER}/env/0/value", "other")],
    ("Deployment", "x-actors"): [replace(f"{CONTAINER}/resources/requests/cpu", "1500m")],
    ("Deployment", "x-evaluator"): [remove(f"{CONTAINER}/livenessProbe")],
    ("PodDisruptionBudget", "x-actors"): [replace("/spec/maxUnavailable", 1)],
    ("PodDisruptionBudget", "x-core"): [remove("/metadata/labels/greenroom.dev~1experiment")],
    ("NetworkPolicy", "x"): [replace("/spec/ingress", [])],
    ("PersistentVolumeClaim", "x-learner"): [remove("/metadata/ownerReferences")],
}


def test_what_is_edited_by_hand_is_put_back_and_told(operator, kubectl, cluster):
    writes = Writes(cluster, kubectl.namespace)
    apply(kubectl, "x")
    ready(kubectl, "x")
    quiet(writes)
    before = specs(children(kubectl, "x"))

    for (kind, name), patch in EDITS.items():
        kubectl("patch", kind.lower(), name, "--type=json", f"--patch={json.dumps(patch)}")

    eventually(lambda: differences(before, children(kubectl, "x")), lambda found: found == {})
    told = eventually(
        lambda: [words for reason, words in events(kubectl, "x") if reason == "Restored"],
        lambda found: len(found) >= len(EDITS),
    )
    assert sorted(told) == sorted(
        f"put {kind} {name} back as it was planned" for kind, name in EDITS
    )
    quiet(writes)


SIDECAR = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "x-learner", "annotations": {"team": "blue"}, "labels": {"cost": "7"}},
    "spec": {
        "template": {
            "metadata": {"annotations": {"sidecar": "injected"}},
            "spec": {
                "containers": [
                    {"name": "proxy", "image": "example.com/proxy:1"},
                    {"name": "worker", "env": [{"name": "HTTPS_PROXY", "value": "proxy:3128"}]},
                ]
            },
        }
    },
}


def test_what_others_own_is_left_alone(operator, kubectl, cluster):
    apply(kubectl, "x")
    ready(kubectl, "x")
    kubectl(
        *("apply", "--server-side", "--field-manager=injector", "-f", "-"),
        stdin=json.dumps(SIDECAR),
    )
    kubectl("annotate", "service", "x-learner", "team=blue")
    kubectl("label", "configmap", "x-experiment", "team=blue")
    kubectl(
        "patch", "service", "x-learner", "--patch", '{"spec":{"ports":[{"name":"more","port":9}]}}'
    )
    ready(kubectl, "x")
    quiet(Writes(cluster, kubectl.namespace))
    before = specs(children(kubectl, "x"))
    learner = before["Deployment", "x-learner"]["spec"]["template"]["spec"]
    assert {container["name"] for container in learner["containers"]} == {"worker", "proxy"}

    # Something of ours in the same objects is put back, and theirs stays.
    kubectl("set", "image", "deployment/x-learner", "worker=example.com/other:1")
    kubectl("label", "service", "x-learner", "greenroom.dev/role-")
    kubectl("patch", "configmap", "x-experiment", "--patch", '{"data":{"experiment.yaml":""}}')

    eventually(lambda: differences(before, children(kubectl, "x")), lambda found: found == {})


def test_scaling_reaches_the_actors_and_the_status(operator, kubectl):
    apply(kubectl, "x")
    ready(kubectl, "x")
    before = children(kubectl, "x")

    kubectl("scale", "rlx/x", "--replicas=3")

    actors = eventually(lambda: status(kubectl, "x")["actors"], lambda found: found["ready"] == 3)
    assert (actors["desired"], actors["replicas"]) == (3, 3)
    now = children(kubectl, "x")
    changed = {path[0] for path in differences(specs(before), now)}
    # The file says how many there are; it rolls nobody.
    assert changed == {("ConfigMap", "x-experiment"), ("Deployment", "x-actors")}
    kubectl("scale", "deployment/x-actors", "--replicas=1")
    eventually(
        lambda: children(kubectl, "x")["Deployment", "x-actors"]["spec"]["replicas"],
        lambda replicas: replicas == 3,
    )


def test_suspended_and_resumed(operator, kubectl):
    apply(kubectl, "x")
    ready(kubectl, "x")
    before = children(kubectl, "x")

    kubectl("patch", "rlx", "x", "--type=merge", '--patch={"spec":{"suspend":true}}')
    kubectl("wait", "rlx/x", "--for=condition=Suspended", "--timeout=30s")

    # Nodes of kwok have no learner that could write a checkpoint.
    assert condition(kubectl, "x", "Suspended")[:2] == ("True", "CheckpointMissed")
    assert kubectl.json("get", "pods")["items"] == []
    now = children(kubectl, "x")
    assert {key: child["metadata"]["uid"] for key, child in now.items()} == {
        key: child["metadata"]["uid"] for key, child in before.items()
    }
    assert {
        child["spec"]["replicas"] for child in now.values() if "replicas" in child.get("spec", {})
    } == {0}

    kubectl("patch", "rlx", "x", "--type=merge", '--patch={"spec":{"suspend":false}}')
    ready(kubectl, "x")
    assert specs(children(kubectl, "x")) == specs(before)
    reasons = [reason for reason, _ in events(kubectl, "x")]
    assert [reasons.count(reason) for reason in ("Suspending", "Suspended", "Resumed")] == [1, 1, 1]


def test_what_somebody_else_manages_is_left_to_them(operator, kubectl, cluster):
    writes = Writes(cluster, kubectl.namespace)
    apply(kubectl, "theirs", managedBy="example.com/other")
    apply(kubectl, "ours")
    ready(kubectl, "ours")

    assert children(kubectl, "theirs") == {}
    assert status(kubectl, "theirs") == {}
    assert [name for _, _, name, _ in writes.seen() if name.startswith("theirs")] == []


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
    theirs["PersistentVolumeClaim", "x-learner"] = live()["PersistentVolumeClaim", "x-learner"]
    assert live() == theirs

    kubectl("delete", "rlx", "x", "--timeout=30s")
    eventually(lambda: children(kubectl, "x"), lambda found: found == {})
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
        lambda: condition(kubectl, "x", "Progressing"), lambda found: found[0] == "False"
    )
    assert said[1] == "FailedCreate"
    assert re.search(r"violates PodSecurity.*host namespaces", said[2])
    # The other roles' are restricted.
    eventually(lambda: len(kubectl.json("get", "pods")["items"]), lambda count: count == 3)

    apply(kubectl, "x")
    ready(kubectl, "x")


def test_flags_take_away_what_is_not_wanted(make_operator, kubectl):
    first = make_operator().wait_leading()
    apply(kubectl, "x")
    ready(kubectl, "x")
    assert first.stop() == 0

    make_operator("--no-pod-disruption-budgets", "--no-network-policies").wait_leading()

    pruned = {
        ("PodDisruptionBudget", "x-actors"),
        ("PodDisruptionBudget", "x-core"),
        ("NetworkPolicy", "x"),
    }
    eventually(
        lambda: children(kubectl, "x").keys(), lambda keys: keys == child_names("x") - pruned
    )
    told = eventually(
        lambda: {words for reason, words in events(kubectl, "x") if reason == "Pruned"},
        lambda found: len(found) >= 3,
    )
    assert told == {f"deleted {kind} {name}, which is not wanted" for kind, name in pruned}


@pytest.mark.parametrize("up", [True, False], ids=["operator-up", "operator-down"])
def test_what_is_deleted_is_gone_with_all_that_it_had(make_operator, kubectl, up):
    operator = make_operator().wait_leading()
    apply(kubectl, "x")
    ready(kubectl, "x")
    assert "finalizers" not in kubectl.json("get", "rlx", "x")["metadata"]
    if not up:
        operator.stop()

    kubectl("delete", "rlx", "x", "--timeout=30s")

    def left():
        kinds = "rlx,secrets,pods,replicasets,statefulsets,deployments,services,pvc,pdb,netpol,cm"
        items = kubectl.json("get", kinds)["items"]
        return {item["metadata"]["name"] for item in items} - {"kube-root-ca.crt"}

    eventually(left, lambda names: names == set())


@pytest.mark.slow
def test_a_successor_of_the_same_name_gets_children_of_its_own(operator, kubectl):
    apply(kubectl, "x")
    ready(kubectl, "x")
    before = children(kubectl, "x")
    kubectl("delete", "rlx", "x", "--timeout=30s")

    apply(kubectl, "x")
    uid = kubectl.json("get", "rlx", "x")["metadata"]["uid"]

    def owners():
        found = children(kubectl, "x")
        return {
            key: child["metadata"].get("ownerReferences", [{"uid": None}])[0]["uid"]
            for key, child in found.items()
            if key != ("PersistentVolumeClaim", "data-x-replay-0")
        }

    wanted = {key: uid for key in before if key != ("PersistentVolumeClaim", "data-x-replay-0")}
    eventually(owners, lambda found: found == wanted)
    ready(kubectl, "x")
    eventually(
        lambda: condition(kubectl, "x", "Progressing"), lambda found: found[1] == "AsSpecified"
    )
    assert status(kubectl, "x")["phase"] == "Running"


def test_a_volume_that_is_retained_outlives_its_experiment(operator, kubectl):
    apply(kubectl, "x", checkpoint={"retain": "Retain"})
    ready(kubectl, "x")

    kubectl("delete", "rlx", "x", "--timeout=30s")

    eventually(
        lambda: children(kubectl, "x").keys(),
        lambda keys: keys == {("PersistentVolumeClaim", "x-learner")},
    )
    claim = kubectl.json("get", "pvc", "x-learner")
    assert "deletionTimestamp" not in claim["metadata"]
