import pytest
from life_tools import ALL, after, all_pods, experiment, leaving, pod, seen

from greenroom_operator.policies import decide


@pytest.mark.parametrize("actors", [1, 2, 1000])
def test_actors_are_as_many_as_the_spec_says_and_all_roles_start_at_once(actors):
    replicas = decide(experiment(actors=actors), seen()).replicas
    assert replicas == {"replay": 1, "learner": 1, "actor": actors, "evaluator": 1}


def test_a_resumed_learner_waits_for_the_one_before_to_leave():
    resumed = experiment()
    scaled = {**ALL, "learner": 0}
    assert decide(resumed, seen((leaving("learner"),), scaled)).replicas["learner"] == 0
    assert decide(resumed, seen((), scaled)).replicas["learner"] == 1
    lost = seen((leaving("learner"),), scaled, now=after(61))
    assert decide(resumed, lost).replicas["learner"] == 1


def test_a_pod_that_is_replaced_scales_nothing():
    # A Deployment with strategy Recreate waits by itself.
    assert decide(experiment(), seen((leaving("learner"),), ALL)).replicas == ALL
    assert decide(experiment(), seen(all_pods(), ALL)).replicas == ALL


def test_a_learner_whose_deployment_was_orphaned_gets_it_back():
    assert decide(experiment(), seen((pod("learner"),))).replicas["learner"] == 1
