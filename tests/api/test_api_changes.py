"""What of an experiment that is on the API server may change, and what is refused."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from api_server_tools import SMALL, parse, patch

from e2e.cluster.cluster import Kubectl, KubectlError


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"environment": {"gymnasium": {"id": "Acrobot-v1"}}}, "environment must not change, since "
         "parameters and experience belong to it. Got: environment=Acrobot-v1, before=CartPole-v1"),
        ({"environment": {"gymnasium": None, "factory": "a:b"}}, "Got: environment=a:b, before="),
        ({"environment": {"gymnasium": {"kwargs": {"gravity": {"x": 2}}}}}, "nor must its "
         "arguments and wrappers. Got: changed=gymnasium."),
        ({"environment": {"gymnasium": {"vectorization": "native"}}}, "Got: changed=gymnasium."),
        ({"environment": {"wrappers": [{"name": "TimeLimit"}]}}, "nor must its arguments and "
         "wrappers. Got: changed=wrappers."),
        ({"agent": {"dqn": None, "custom": {"builder": "a:B"}}}, "agent must not become another "
         "one, which could not read this one's parameters. Got: agent=custom, before=dqn."),
        ({"seed": 1}, "seed must not change, since all that was learnt comes from it. Got: seed=1, "
         "before=0."),
        ({"managedBy": "a.b/c"}, "managedBy must not change, since one controller is to look after "
         "an experiment. Got: managedBy=a.b/c, before=unset."),
        ({"resumeFrom": {"experiment": "b"}}, "resumeFrom must not change, since it tells what the "
         "experiment began from. Got: resumeFrom=b, before=unset."),
        ({"replay": {"storage": {"size": "9Gi"}}}, "size may grow, but must not shrink. Got: "
         "size=9Gi, before=10Gi."),
        ({"replay": {"storage": {"storageClassName": "x"}}}, "storageClassName must not change, "
         "since a volume keeps its class. Got: storageClassName=x, before=unset."),
        ({"checkpoint": {"storage": {"size": "4096Mi"}}}, "Got: size=4096Mi, before=5Gi."),
        ({"checkpoint": {"storage": {"storageClassName": ""}}}, "storageClassName must not change"),
    ],
)  # fmt: skip
def test_what_must_not_change_is_refused(stored: Kubectl, spec: Any, expected: str) -> None:
    with pytest.raises(KubectlError) as caught:
        patch(stored, spec)
    assert expected in str(caught.value)


def test_what_was_set_must_not_be_unset(admin: Kubectl, kubectl: Kubectl) -> None:
    document = copy.deepcopy(SMALL)
    document["spec"] |= {
        "managedBy": "a.b/c",
        "resumeFrom": {"claimName": "old"},
        "checkpoint": {"storage": {"storageClassName": "fast"}},
    }
    kubectl("create", "-f", "-", stdin=json.dumps(document))
    for spec, got in (
        ({"managedBy": None}, "Got: managedBy=unset, before=a.b/c."),
        ({"resumeFrom": None}, "Got: resumeFrom=unset, before=old."),
        ({"resumeFrom": {"claimName": "other"}}, "Got: resumeFrom=other, before=old."),
        ({"checkpoint": {"storage": None}}, "Got: storageClassName=unset, before=fast."),
    ):
        with pytest.raises(KubectlError) as caught:
            patch(kubectl, spec)
        assert got in str(caught.value)


@pytest.mark.parametrize(
    "spec",
    [
        {"agent": {"dqn": {"learningRate": 1e-4}}},
        {"replay": {"storage": {"size": "11Gi"}}},
        {"replay": {"storage": {"size": "10240Mi"}}},
        {"checkpoint": {"storage": {"size": "1Ti"}, "retain": "Retain", "interval": "30s"}},
        {"actors": {"replicas": 8, "podTemplate": {"spec": {"nodeSelector": {"disk": "ssd"}}}}},
        {"stop": {"environmentSteps": 300_000, "episodeReturn": None}},
        {"suspend": True, "image": "worker:2", "ttlSecondsAfterFinished": 60},
        {"failurePolicy": {"backoffLimit": 0}, "evaluator": {"episodes": 3}},
    ],
)
def test_everything_else_may_change(stored: Kubectl, spec: Any) -> None:
    before = stored.json("get", "rlx", "cartpole")
    patch(stored, spec)
    after = stored.json("get", "rlx", "cartpole")
    assert after["metadata"]["generation"] == before["metadata"]["generation"] + 1
    assert parse(after)[0] is not None
