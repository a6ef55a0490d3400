import pytest
from life_tools import ALL, NONE, all_pods, experiment, running_status, seen, status_of

from greenroom_operator.policies import decide, is_ours


@pytest.mark.parametrize(
    ("spec", "ours"),
    [
        ({}, True),
        ({"managedBy": "greenroom.dev/operator"}, True),
        ({"managedBy": "kueue.x-k8s.io/multikueue"}, False),
    ],
)
def test_who_looks_after_an_experiment(spec, ours):
    assert is_ours(experiment(**spec)) is ours


@pytest.mark.parametrize("made", [{"managedBy": "example.com/other"}, {"deleting": True}])
def test_what_is_not_ours_or_goes_is_left_as_it_is(made):
    status = running_status()
    left = experiment(status, suspend=True, **made)
    observed = seen(all_pods(), ALL)
    decision = decide(left, observed)
    assert decision.replicas == ALL
    assert (decision.delete, decision.poll_seconds, decision.recheck_seconds) == (False, None, None)
    assert status_of(left, observed) == status
    assert decide(left, seen()).replicas == NONE
