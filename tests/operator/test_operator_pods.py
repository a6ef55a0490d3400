"""What is kept of a pod that crashed before."""

import pytest

from greenroom_operator.names import EXPERIMENT_LABEL, ROLE_LABEL
from greenroom_operator.projection import pod_of


def crashed(*, ready, changed, state):
    """A learner's pod that ended with status 1 at 10:00:00, in some state after that."""
    ended = {"exitCode": 1, "reason": "Error", "message": "boom", "finishedAt": at("00:00")}
    container = {
        "name": "worker",
        "restartCount": 1,
        "state": state,
        "lastState": {"terminated": ended},
    }
    condition = {"type": "Ready", "status": ready, "lastTransitionTime": at(changed)}
    return {
        "metadata": {
            "name": "x-learner-0",
            "uid": "u",
            "labels": {EXPERIMENT_LABEL: "x", ROLE_LABEL: "learner"},
        },
        "status": {
            "phase": "Running",
            "conditions": [condition],
            "containerStatuses": [container],
        },
    }


def at(time):
    return f"2026-01-01T10:{time}Z"


RUNNING = {"running": {"startedAt": at("00:01")}}


@pytest.mark.parametrize(
    ("ready", "changed", "state", "code"),
    [
        # It goes round in its circle; the condition is a moment behind.
        ("False", "00:00", RUNNING, 1),
        ("False", "00:03", RUNNING, 1),
        ("False", "00:00", {"waiting": {"reason": "CrashLoopBackOff"}}, 1),
        # It works again.
        ("True", "00:30", RUNNING, 1),
        # It worked again for an hour, and now is unready for another cause.
        ("False", "59:00", RUNNING, None),
    ],
)
def test_a_crash_is_past_once_the_pod_was_ready_again(ready, changed, state, code):
    pod = pod_of(crashed(ready=ready, changed=changed, state=state))
    assert pod is not None
    assert pod.exit_code == code
    assert pod.restarts == 1
