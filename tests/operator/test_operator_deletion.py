"""What becomes of children when their experiment is deleted, with and without an operator."""

# Garbage collection looks for new kinds every half a minute: whoever is among the first to delete
# an experiment on a cluster waits for that.

import pytest
from operating import PATIENCE, apply, children, complete, eventually, ready


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

    eventually(left, lambda names: names == set(), PATIENCE)


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
    eventually(owners, lambda found: found == wanted, PATIENCE)
    assert complete(kubectl, "x")["phase"] == "Running"


def test_a_volume_that_is_retained_outlives_its_experiment(operator, kubectl):
    apply(kubectl, "x", checkpoint={"retain": "Retain"})
    ready(kubectl, "x")

    kubectl("delete", "rlx", "x", "--timeout=30s")

    eventually(
        lambda: children(kubectl, "x").keys(),
        lambda keys: keys == {("PersistentVolumeClaim", "x-learner")},
        PATIENCE,
    )
    claim = kubectl.json("get", "pvc", "x-learner")
    assert "deletionTimestamp" not in claim["metadata"]
