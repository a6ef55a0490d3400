"""Children of experiments on a real API server: made, and kept as they were planned."""

from pathlib import Path

import pytest
import yaml
from comparing import differences, specs
from operating import (
    SECONDS,
    Writes,
    apply,
    child_names,
    children,
    condition,
    events,
    eventually,
    ready,
    status,
)

EXAMPLES = Path(__file__).parents[2] / "examples"


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
    told = eventually(
        lambda: [words for reason, words in events(kubectl, "x") if reason == "Restored"], bool
    )
    assert told == ["put Deployment x-actors back as it was planned"]


def test_suspended_and_resumed(operator, kubectl):
    apply(kubectl, "x")
    ready(kubectl, "x")
    before = children(kubectl, "x")

    kubectl("patch", "rlx", "x", "--type=merge", '--patch={"spec":{"suspend":true}}')
    kubectl("wait", "rlx/x", "--for=condition=Suspended", f"--timeout={SECONDS:g}s")

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
    # Events come one after the other, and after the status that they are about.
    reasons = eventually(
        lambda: [reason for reason, _ in events(kubectl, "x")], lambda found: "Resumed" in found
    )
    assert [reasons.count(reason) for reason in ("Suspending", "Suspended", "Resumed")] == [1, 1, 1]


def test_what_somebody_else_manages_is_left_to_them(operator, kubectl, cluster):
    writes = Writes(cluster, kubectl.namespace)
    apply(kubectl, "theirs", managedBy="example.com/other")
    apply(kubectl, "ours")
    ready(kubectl, "ours")

    assert children(kubectl, "theirs") == {}
    assert status(kubectl, "theirs") == {}
    assert [name for _, _, name, _ in writes.seen() if name.startswith("theirs")] == []


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
