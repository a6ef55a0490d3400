"""What people do to children by hand: ours is put back and told, theirs is left alone."""

import json

from comparing import differences, specs
from operating import PATIENCE, Writes, apply, children, events, eventually, quiet, ready


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
    eventually(replaced, lambda found: found >= gone, PATIENCE)
    ready(kubectl, "x")
    told = eventually(
        lambda: [words for reason, words in events(kubectl, "x") if reason == "Restored"],
        lambda found: len(found) >= len(gone),
        PATIENCE,
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

    eventually(
        lambda: differences(before, children(kubectl, "x")), lambda found: found == {}, PATIENCE
    )
    told = eventually(
        lambda: [words for reason, words in events(kubectl, "x") if reason == "Restored"],
        lambda found: len(found) >= len(EDITS),
        PATIENCE,
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
