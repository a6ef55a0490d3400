"""Why pods are not ready, told from what a real API server and a real scheduler hold of them."""

import re

import pytest
from operating import apply, complete, condition, eventually

IMAGE = "example.com/none:1"
NOT_FOUND = f"{IMAGE}: not found"
BACK_OFF = f'Back-off pulling image "{IMAGE}": ErrImagePull: {NOT_FOUND}'


def failing(reason, message=""):
    """A pod template whose simulated pods show that reason."""
    names = {"test.greenroom.dev/fail": reason, "test.greenroom.dev/message": message}
    return {"metadata": {"annotations": names}}


def requesting(**requests):
    return {"spec": {"containers": [{"name": "worker", "resources": {"requests": requests}}]}}


PULLING = failing("ImagePullBackOff", BACK_OFF)
KILLED = failing("OOMKilled")
# More than the three nodes have together.
GREEDY = requesting(cpu="100000")
TOO_LITTLE_CPU = r"Unschedulable: 0/\d+ nodes are available: .*\bInsufficient cpu\b.*"


@pytest.mark.parametrize(
    ("section", "template", "reason", "words"),
    [
        ("learner", PULLING, "ImagePullBackOff", f"learner ImagePullBackOff: {NOT_FOUND}"),
        ("actors", PULLING, "ImagePullBackOff", f"1/1 actors ImagePullBackOff: {NOT_FOUND}"),
        (
            "learner",
            KILLED,
            "OOMKilled",
            # It goes on failing: kwok counts a restart each second.
            r"learner was OOMKilled, \d+ restarts?; "
            r"its memory limit is in spec\.learner\.podTemplate",
        ),
        (
            "actors",
            KILLED,
            "OOMKilled",
            r"1/1 actors were OOMKilled; their memory limit is in spec\.actors\.podTemplate",
        ),
        ("learner", GREEDY, "Unschedulable", f"learner {TOO_LITTLE_CPU}"),
        ("actors", GREEDY, "Unschedulable", f"1/1 actors {TOO_LITTLE_CPU}"),
        # In another order than Parallel a StatefulSet would never replace a pod that is not ready.
        ("replay", GREEDY, "Unschedulable", f"replay {TOO_LITTLE_CPU}"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isalpha() else "",
)
def test_what_keeps_pods_from_being_ready_is_told_until_the_spec_heals_it(
    make_operator, kubectl, section, template, reason, words
):
    # Nobody answers for a simulated learner, which would be told in place of what is asked here.
    make_operator("--progress-interval=3600").wait_leading()
    # However slow this machine is, it may crash on until it has been looked at.
    endless = {"backoffLimit": 100_000}
    apply(kubectl, "x", failurePolicy=endless, **{section: {"podTemplate": template}})

    def told(kind):
        return eventually(
            lambda: condition(kubectl, "x", kind), lambda found: found[:2] == ("False", reason)
        )

    for kind in ("Ready", "Progressing"):
        assert re.fullmatch(words, told(kind)[2]), told(kind)[2]

    apply(kubectl, "x", failurePolicy=endless)
    complete(kubectl, "x")
    assert condition(kubectl, "x", "Ready")[:2] == ("True", "RolesReady")
