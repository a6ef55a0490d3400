"""Every evaluation that is wanted gets played, and every one that is played counts once."""

import pytest

from greenroom.variables.evaluations import Evaluations
from greenroom.variables.messages import EvaluationOrder, EvaluationReport

LEARNER = "a1"
NOTHING = EvaluationOrder(due=False, environment_steps=0, version=0, learner=LEARNER)


def played(environment_steps, version, learner=LEARNER):
    return EvaluationReport(environment_steps, version, learner, (1.0, 2.0), (10, 20))


@pytest.fixture
def evaluations():
    return Evaluations(LEARNER)


def test_a_request_is_handed_out_until_it_is_answered(evaluations):
    assert evaluations.next_order() == NOTHING
    evaluations.request(environment_steps=1_000, version=500)
    order = EvaluationOrder(due=True, environment_steps=1_000, version=500, learner=LEARNER)
    assert evaluations.next_order() == order
    assert evaluations.next_order() == order  # whoever had it was killed
    assert evaluations.next_order().due
    evaluations.report(played(1_000, 520))
    assert not evaluations.next_order().due
    assert evaluations.next_order() == NOTHING
    assert evaluations.take_results() == [played(1_000, 520)]
    assert evaluations.take_results() == []


def test_older_variables_than_wanted_do_not_answer_it(evaluations):
    evaluations.request(1_000, version=500)
    evaluations.report(played(1_000, 499))
    assert evaluations.take_results() == [played(1_000, 499)]
    assert evaluations.next_order().due


def test_a_newer_request_takes_the_place_of_one_that_nobody_plays(evaluations):
    evaluations.request(1_000, version=500)
    evaluations.request(2_000, version=1_000)
    assert evaluations.next_order().environment_steps == 2_000
    evaluations.report(played(2_000, 1_000))
    assert evaluations.next_order() == NOTHING


def test_what_was_at_play_when_a_newer_request_came_is_taken(evaluations):
    evaluations.request(1_000, version=500)
    evaluations.next_order()
    evaluations.request(2_000, version=1_000)
    evaluations.report(played(1_000, 500))
    assert evaluations.take_results() == [played(1_000, 500)]
    assert evaluations.next_order().due
    assert evaluations.next_order().environment_steps == 2_000


def test_a_repeated_report_is_taken_once(evaluations):
    evaluations.request(1_000, version=500)
    for _ in range(3):
        evaluations.report(played(1_000, 500))
    assert evaluations.take_results() == [played(1_000, 500)]
    evaluations.report(played(1_000, 500))
    assert evaluations.take_results() == []


def test_what_is_wanted_again_is_played_again(evaluations):
    for _ in range(2):
        evaluations.request(1_000, version=500)
        evaluations.report(played(1_000, 500))
        assert not evaluations.next_order().due
        assert evaluations.take_results() == [played(1_000, 500)]


def test_what_an_earlier_learner_wanted_answers_nothing(evaluations):
    """It played parameters that were lost with it, though their version may be higher."""
    evaluations.request(1_000, version=500)
    evaluations.report(played(1_000, 900, learner="a0"))
    assert evaluations.take_results() == []
    assert evaluations.next_order().due


def test_when_an_evaluator_was_heard_of_is_known(evaluations):
    assert evaluations.seen_seconds_ago() is None
    evaluations.next_order()
    assert 0 <= evaluations.seen_seconds_ago() < 60
