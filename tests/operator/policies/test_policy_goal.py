import pytest
from life_tools import all_pods, experiment, latched, progress, saved, seen

from greenroom_operator.policies import decide
from greenroom_operator.policies.goal import goal

SUCCEEDED, FAILED = latched("Succeeded"), latched("Failed")


@pytest.mark.parametrize(
    ("status", "suspend", "wanted"),
    [
        ({}, False, "run"),
        ({}, True, "suspend"),
        (SUCCEEDED, False, "succeed"),
        (SUCCEEDED, True, "succeed"),
        (FAILED, False, "fail"),
        (FAILED, True, "fail"),
        ({"phase": "Succeeded"}, False, "run"),  # a phase is a word for people
        ({"conditions": "nonsense"}, False, "run"),
    ],
)
def test_a_latched_end_stands_above_the_spec(status, suspend, wanted):
    assert goal(experiment(status, suspend=suspend)) == wanted


def test_nothing_stops_before_the_end_is_in_the_status():
    finished = seen(all_pods(), progress=progress("finished", checkpoint=saved(final=True)))
    decision = decide(experiment(), finished)
    assert decision.goal == "run"
    assert decision.replicas == {"replay": 1, "learner": 1, "actor": 2, "evaluator": 1}
