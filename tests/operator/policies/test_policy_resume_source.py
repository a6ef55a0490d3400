import pytest
from life_tools import ALL, all_pods, broken, condition, experiment, pending, seen, status_of

from greenroom_operator.observed import Source
from greenroom_operator.policies import decide

FROM = {"resumeFrom": {"experiment": "before"}}
MISSING = Source("before-learner", exists=False)
USED = Source("before-learner", exists=True, users=("b", "a", "d", "c"))
FREE = Source("before-learner", exists=True)


@pytest.mark.parametrize(
    ("source", "learner", "reason", "message"),
    [
        (
            MISSING,
            0,
            "ResumeSourceMissing",
            "spec.resumeFrom: experiment before: there is no volume claim before-learner to begin "
            "from",
        ),
        (
            USED,
            0,
            "ResumeSourceInUse",
            "spec.resumeFrom: experiment before: volume claim before-learner is in use by a, b, c "
            "and 1 more",
        ),
        (FREE, 1, "Starting", "pods are starting"),
    ],
)
def test_a_learner_waits_for_the_volume_that_it_begins_from(source, learner, reason, message):
    made, observed = experiment(**FROM), seen(source=source)
    decision = decide(made, observed)
    assert decision.replicas == {**ALL, "learner": learner}
    assert decision.recheck_seconds == (None if learner else 15.5)
    status = status_of(made, observed)
    assert condition(status, "Progressing") == (
        "True" if learner else "False",
        reason,
        message,
    )
    assert condition(status, "Ready") == ("False", reason, message)


@pytest.mark.parametrize("source", [MISSING, USED])
def test_a_learner_that_has_begun_needs_no_source(source):
    running = seen(all_pods(), ALL, source=source)
    assert decide(experiment(**FROM), running).replicas == ALL
    crashed = seen((broken("learner", restarts=1),), ALL, source=source)
    assert decide(experiment(**FROM), crashed).replicas == ALL
    begun = experiment(status_of(experiment(**FROM), running), **FROM)
    assert decide(begun, seen((), ALL, source=source)).replicas == ALL


def test_a_learner_that_copies_still_stops_when_the_source_is_taken():
    copying = seen((pending("learner"),), ALL, source=USED)
    assert decide(experiment(**FROM), copying).replicas["learner"] == 0


def test_a_claim_is_named_alone():
    made = experiment(resumeFrom={"claimName": "kept"})
    message = condition(status_of(made, seen(source=Source("kept", exists=False))), "Ready")[2]
    assert message == "spec.resumeFrom: there is no volume claim kept to begin from"
