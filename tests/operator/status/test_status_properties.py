"""What holds of every status, whatever was observed and whatever was stored before."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st
from life_tools import after, experiment, progress, seen, status_of
from status_strategies import OBSERVATIONS, OTHERS_STATUSES

from greenroom_api.status import ExperimentStatus
from greenroom_operator import stored
from greenroom_operator.names import ROLES
from greenroom_operator.policies import decide, workloads
from greenroom_operator.status import events, invalid_status, make_status
from greenroom_operator.words import LIMIT

SPECS = [
    experiment(suspend=suspend, ttlSecondsAfterFinished=60, **spec)
    for suspend in (False, True)
    for spec in ({}, {"resumeFrom": {"experiment": "y"}}, {"failurePolicy": {"backoffLimit": 0}})
]
MADE = st.sampled_from(SPECS)
# How long an example takes says nothing where others compute too.
UNHURRIED = settings(deadline=None)


def after_looks(made, looks):
    """An experiment with the status that it has after some observations."""
    for look in looks:
        made = replace(made, status=status_of(made, look))
    return made


LIVED = st.builds(after_looks, MADE, st.lists(OBSERVATIONS, max_size=3))


@UNHURRIED
@given(LIVED, OBSERVATIONS)
def test_a_status_is_one_that_the_api_server_takes(made, observed):
    status = status_of(made, observed)
    ExperimentStatus.model_validate(status)
    assert all(value is not None for value in status.values())
    assert all(len(entry["message"]) <= LIMIT for entry in status["conditions"])


@UNHURRIED
@given(MADE, OTHERS_STATUSES, OBSERVATIONS)
def test_no_stored_status_is_too_odd(made, previous, observed):
    made = replace(made, status=previous)
    status = status_of(made, observed)
    assert status_of(replace(made, status=status), observed) is not None
    for event in events(previous, status):
        assert len(event.message) <= LIMIT
    invalid_status(previous, 1, "no", observed.now)


@UNHURRIED
@example(  # read, and then the clock was put back by two minutes
    replace(SPECS[0], status={"phase": "Running", "progressTime": "2026-11-24T12:00:00Z"}),
    seen(now=after(-120), progress=progress(environment_steps=0, learner_steps=0)),
)
@given(
    LIVED | st.builds(lambda made, status: replace(made, status=status), MADE, OTHERS_STATUSES),
    OBSERVATIONS,
)
def test_the_status_of_a_status_is_itself(made, observed):
    decision = decide(made, observed)
    status = make_status(made, observed, decision)
    again = replace(made, status=status)
    assert make_status(again, observed, decision) == status
    # With the decision that follows from it, it comes to rest one look later.
    rest = replace(again, status=status_of(again, observed))
    assert status_of(rest, observed) == rest.status
    assert events(rest.status, rest.status) == []


@UNHURRIED
@given(LIVED, st.lists(OBSERVATIONS, min_size=1, max_size=3), st.booleans())
def test_an_end_is_for_ever(made, looks, suspend):
    end = stored.terminal(made.status)
    later = after_looks(replace(SPECS[3 * suspend], status=made.status), looks)
    if end is not None:
        kept = stored.condition(made.status, end)
        latched = stored.condition(later.status, end)
        assert {**kept, "lastTransitionTime": 0} == {**latched, "lastTransitionTime": 0}
        assert later.status["completionTime"] == made.status["completionTime"]
        assert later.status["phase"] == end
    for name in ("startTime", "completionTime"):
        if name in made.status:
            assert later.status[name] == made.status[name]
    before = made.status.get("environmentSteps", 0)
    assert later.status.get("environmentSteps", 0) >= before
    assert later.status["failures"] >= made.status.get("failures", 0)


@UNHURRIED
@given(LIVED, OBSERVATIONS)
def test_what_has_ended_or_is_suspended_gets_no_pod(made, observed):
    decision = decide(made, observed)
    if decision.goal == "run":
        assert stored.terminal(made.status) is None
        return
    assert decision.replicas["actor"] == decision.replicas["evaluator"] == 0
    for role in ROLES:
        assert decision.replicas[role] <= workloads.present(made, observed, role)


@UNHURRIED
@given(LIVED, OBSERVATIONS)
def test_a_decision_leads_somewhere(made, observed):
    decision = decide(made, observed)
    assert decision.recheck_seconds is None or decision.recheck_seconds > 0
    assert decision.poll_seconds is None or decision.poll_seconds >= 1
    assert not decision.delete or stored.terminal(made.status)
    assert decide(made, observed) == decision


@UNHURRIED
@given(LIVED, OBSERVATIONS, st.integers(1, 29))
def test_figures_alone_are_no_reason_to_write_within_30_s(made, observed, seconds):
    first = replace(made, status=status_of(made, observed))
    first = replace(first, status=status_of(first, observed))
    if observed.progress is None or "progressTime" not in first.status:
        return
    later = replace(
        observed.progress,
        time=stored.time(first.status["progressTime"]) + timedelta(seconds=seconds),
        environment_steps=observed.progress.environment_steps + 1,
        episode_return=7.0,
    )
    looked = replace(observed, now=later.time, progress=later)
    second = status_of(first, looked)
    names = {"environmentSteps", "episodeReturn", "progressTime"}
    changed = {name for name in second if second[name] != first.status.get(name)}
    assert not changed or changed - names
