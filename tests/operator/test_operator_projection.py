"""Which changes by hand are seen: real managed fields of the real API server."""

import json
import sys
import uuid
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).with_name("plan")))

from operating import document, eventually
from plan_tools import by_key, planned

from greenroom_operator.experiment import Experiment
from greenroom_operator.projection import owned_fields, owns_all

# Written as people do, stored otherwise: "0.5" as "500m", "1024Mi" as "1Gi".
TEMPLATE = {
    "spec": {
        "containers": [
            {
                "name": "worker",
                "resources": {
                    "requests": {"cpu": "0.5", "memory": "1024Mi"},
                    "limits": {"memory": "2048Mi"},
                },
                "env": [{"name": "TEAM", "value": "blue"}, {"name": "EMPTY", "value": ""}],
            }
        ],
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "nodeSelector": {"disk": "fast"},
    }
}
CONTAINER = "/spec/template/spec/containers/0"


def replace(path, value):
    return {"op": "replace", "path": path, "value": value}


def add(path, value):
    return {"op": "add", "path": path, "value": value}


def remove(path):
    return {"op": "remove", "path": path}


OURS = {
    "replicas": ("deployment", "x-actors", replace("/spec/replicas", 7)),
    "image": ("deployment", "x-actors", replace(f"{CONTAINER}/image", "example.com/other")),
    "env-value": ("deployment", "x-actors", replace(f"{CONTAINER}/env/0/value", "other")),
    "env-gone": ("deployment", "x-actors", remove(f"{CONTAINER}/env/0")),
    "env-all-gone": ("deployment", "x-actors", remove(f"{CONTAINER}/env")),
    "port": ("deployment", "x-actors", replace(f"{CONTAINER}/ports/0/name", "other")),
    "requests": ("deployment", "x-actors", replace(f"{CONTAINER}/resources/requests/cpu", "2")),
    "limit-gone": ("deployment", "x-actors", remove(f"{CONTAINER}/resources/limits")),
    "probe": (
        "deployment",
        "x-actors",
        replace(f"{CONTAINER}/livenessProbe/failureThreshold", 99),
    ),
    "command": ("deployment", "x-actors", replace(f"{CONTAINER}/command", ["sleep"])),
    "toleration-added": (
        "deployment",
        "x-actors",
        add("/spec/template/spec/tolerations/-", {"key": "more", "operator": "Exists"}),
    ),
    "selector-of-nodes": (
        "deployment",
        "x-actors",
        replace("/spec/template/spec/nodeSelector/disk", "slow"),
    ),
    "volume": (
        "deployment",
        "x-actors",
        replace("/spec/template/spec/volumes/1/emptyDir", {"medium": "Memory"}),
    ),
    "label": ("deployment", "x-actors", replace("/metadata/labels/greenroom.dev~1role", "other")),
    "label-gone": ("service", "x-learner", remove("/metadata/labels/greenroom.dev~1role")),
    "annotation": (
        "deployment",
        "x-actors",
        replace("/metadata/annotations/greenroom.dev~1applied", "other"),
    ),
    "owner-gone": ("service", "x-learner", remove("/metadata/ownerReferences")),
    "service-port": ("service", "x-learner", replace("/spec/ports/0/targetPort", 1)),
    "service-port-gone": ("service", "x-learner", remove("/spec/ports/0")),
    "service-selector": (
        "service",
        "x-learner",
        replace("/spec/selector/greenroom.dev~1role", "other"),
    ),
    "data": ("configmap", "x-experiment", replace("/data/experiment.yaml", "")),
    "budget": ("pdb", "x-core", replace("/spec/maxUnavailable", 2)),
    "policy-gone": ("networkpolicy", "x", remove("/spec/ingress/0")),
    "size": ("pvc", "x-learner", replace("/spec/resources/requests/storage", "6Gi")),
}
THEIRS = {
    "annotation": ("deployment", "x-actors", add("/metadata/annotations/team", "blue")),
    "label": ("service", "x-learner", add("/metadata/labels/team", "blue")),
    "sidecar": (
        "deployment",
        "x-actors",
        add("/spec/template/spec/containers/-", {"name": "side", "image": "example.com/side"}),
    ),
    "env": ("deployment", "x-actors", add(f"{CONTAINER}/env/-", {"name": "A", "value": "b"})),
    "volume": (
        "deployment",
        "x-actors",
        add("/spec/template/spec/volumes/-", {"name": "more", "emptyDir": {}}),
    ),
    "pod-annotation": (
        "deployment",
        "x-actors",
        add("/spec/template/metadata/annotations/team", "blue"),
    ),
    "data": ("configmap", "x-experiment", add("/data/more", "1")),
    "same-value": ("deployment", "x-actors", replace("/spec/revisionHistoryLimit", 2)),
    "default": ("deployment", "x-actors", replace("/spec/progressDeadlineSeconds", 700)),
    # The last: it moves our container.
    "sidecar-first": (
        "deployment",
        "x-actors",
        add("/spec/template/spec/containers/0", {"name": "first", "image": "example.com/side"}),
    ),
}


@pytest.fixture(scope="module")
def applied(crd, cluster):
    """A plan that this operator's field manager has applied, in a namespace of this module."""
    admin = cluster.kubectl()
    name = f"t-{uuid.uuid4().hex[:10]}"
    admin("create", "namespace", name)
    kubectl = cluster.kubectl(name)
    # It is there, or what it owns were garbage; and no operator looks after it.
    actors = {"replicas": 2, "podTemplate": TEMPLATE}
    text = document("x", actors=actors, managedBy="example.com/tests")
    subject = Experiment.from_object(kubectl.json("create", "-f", "-", stdin=text))
    manifests = [one for one in planned(subject) if one["kind"] != "PodMonitor"]
    apply(kubectl, manifests)
    # Only what is bound may grow.
    eventually(
        lambda: kubectl.json("get", "pvc", "x-learner")["status"].get("phase"),
        lambda phase: phase == "Bound",
    )
    yield kubectl, by_key(tuple(manifests))
    admin("delete", "namespace", name, "--wait=false")


def apply(kubectl, manifests):
    text = "---\n".join(json.dumps(manifest) + "\n" for manifest in manifests)
    flags = ("--server-side", "--force-conflicts", "--field-manager=greenroom-operator")
    kubectl("apply", *flags, "-f", "-", stdin=text)


def owned(kubectl, manifest):
    """Return whether a manifest is all ours still."""
    kind, name = manifest["kind"].lower(), manifest["metadata"]["name"]
    live = kubectl.json("get", kind, name, "--show-managed-fields")
    return owns_all(manifest, owned_fields(live["metadata"]))


def manifest_of(manifests, kind, name):
    kinds = {"pdb": "poddisruptionbudget", "pvc": "persistentvolumeclaim"}
    (found,) = (
        one
        for key, one in manifests.items()
        if (key[0].lower(), key[1]) == (kinds.get(kind, kind), name)
    )
    return found


def test_what_was_applied_is_ours_whatever_form_the_server_gives_it(applied):
    kubectl, manifests = applied
    live = kubectl.json("get", "deployment", "x-actors")["spec"]["template"]["spec"]
    assert live["containers"][0]["resources"]["requests"]["cpu"] == "500m"
    assert [key for key, one in manifests.items() if not owned(kubectl, one)] == []


@pytest.mark.parametrize("edit", OURS)
def test_an_edit_of_ours_is_seen_and_applying_again_mends_it(applied, edit):
    kubectl, manifests = applied
    kind, name, change = OURS[edit]
    manifest = manifest_of(manifests, kind, name)

    kubectl("patch", kind, name, "--type=json", f"--patch={json.dumps([change])}")

    assert not owned(kubectl, manifest)
    # A claim never shrinks.
    if edit != "size":
        apply(kubectl, [manifest])
        assert owned(kubectl, manifest)


@pytest.mark.parametrize("edit", THEIRS)
def test_what_others_add_is_no_difference(applied, edit):
    kubectl, manifests = applied
    kind, name, change = THEIRS[edit]
    manifest = manifest_of(manifests, kind, name)
    before = kubectl.json("get", kind, name)

    kubectl("patch", kind, name, "--type=json", f"--patch={json.dumps([change])}")

    assert owned(kubectl, manifest)
    # Applying again leaves what they added.
    changed = kubectl.json("get", kind, name)
    apply(kubectl, [manifest])
    after = kubectl.json("get", kind, name)
    for part in ("spec", "data"):
        assert after.get(part) == changed.get(part)
    assert before["metadata"]["uid"] == after["metadata"]["uid"]
