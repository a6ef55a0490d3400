"""What rolls which pods, and what makes a child differ from its plan."""

import copy
from dataclasses import replace

import pytest
from api_strategies import documents
from hypothesis import given
from plan_tools import (
    OPTIONS,
    by_key,
    digests,
    examples,
    experiment,
    planned,
    running,
    stored,
    workloads,
)

from greenroom_api import ExperimentSpec, parse_experiment
from greenroom_api.documents import read_document
from greenroom_operator.names import APPLIED
from greenroom_operator.plan.inputs import (
    OPERATORS_OWN,
    READ_WITHOUT_ROLLING,
    READS,
    inputs_of,
)

ALL = {"replay", "learner", "actor", "evaluator"}
TEMPLATE = {"spec": {"containers": [{"name": "worker", "env": [{"name": "A", "value": "1"}]}]}}
BEFORE = experiment()

EDITS = {
    "stop": ({"stop": {"environmentSteps": 10**6}}, set()),
    "actors.replicas": ({"actors": {"replicas": 9}}, set()),
    "suspend": ({"suspend": True}, set()),
    "ttl": ({"ttlSecondsAfterFinished": 60}, set()),
    "failurePolicy": ({"failurePolicy": {"backoffLimit": 1}}, set()),
    "volumes": (
        {
            "replay": {"storage": {"size": "99Gi"}},
            "checkpoint": {"storage": {"size": "99Gi"}, "retain": "Retain"},
        },
        set(),
    ),
    "a default that is spelt out": ({"seed": 0, "agent": {"dqn": {"batchSize": 64}}}, set()),
    "actors.podTemplate": ({"actors": {"podTemplate": TEMPLATE}}, {"actor"}),
    "learner.podTemplate": ({"learner": {"podTemplate": TEMPLATE}}, {"learner"}),
    "replay.podTemplate": ({"replay": {"podTemplate": TEMPLATE}}, {"replay"}),
    "evaluator.podTemplate": ({"evaluator": {"podTemplate": TEMPLATE}}, {"evaluator"}),
    "image": ({"image": "example.com/mine"}, {"learner", "actor", "evaluator"}),
    "hyperparameters": ({"agent": {"dqn": {"learningRate": 0.5}}}, ALL),
    "replay.maxSize": ({"replay": {"maxSize": 5000}}, {"replay", "learner", "actor"}),
    "environmentsPerActor": (
        {"actors": {"environmentsPerActor": 2}},
        {"replay", "learner", "actor"},
    ),
    "evaluator.interval": ({"evaluator": {"interval": 1}}, {"learner"}),
    "evaluator.episodes": ({"evaluator": {"episodes": 1}}, {"learner", "evaluator"}),
    "checkpoint.interval": ({"checkpoint": {"interval": "1m"}}, {"replay", "learner"}),
    "checkpoint.keep": ({"checkpoint": {"keep": 1}}, {"learner"}),
    "learner.device": ({"learner": {"device": "cpu"}}, {"learner"}),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_rolls_the_pods_that_are_started_from_it_and_no_others(edit):
    sections, rolled = EDITS[edit]
    before, after = digests(BEFORE), digests(experiment(**sections))

    assert {role for role in ALL if before[role] != after[role]} == rolled


def test_the_learner_is_rolled_once_it_needs_another_runs_volume_no_more():
    beginning = experiment(resumeFrom={"experiment": "older"})
    begun = replace(beginning, status={"environmentSteps": 0})

    before, after = digests(beginning), digests(begun)

    assert {role for role in ALL if before[role] != after[role]} == {"learner"}
    assert after == digests(BEFORE)


def test_a_newer_operators_images_roll_nothing():
    newer = replace(OPTIONS, worker_image="new", replay_image="new")
    images = {"worker": OPTIONS.worker_image, "replay": OPTIONS.replay_image}
    running_already = replace(BEFORE, status={"images": images})

    assert planned(running_already, options=newer) == planned(BEFORE)


def test_every_field_is_read_by_a_role_or_known_not_to_be():
    known = {*OPERATORS_OWN, *READ_WITHOUT_ROLLING, *(p for paths in READS.values() for p in paths)}
    missing = []
    for name, field in ExperimentSpec.model_fields.items():
        section = field.alias or name
        if (section,) not in known:
            parts = field.default.__class__.model_fields
            paths = {(section, part.alias or key) for key, part in parts.items()}
            missing += sorted(paths - known)

    assert missing == []


@examples
@given(documents())
def test_the_file_of_the_roles_says_what_the_experiment_says(document):
    wanted = stored(document).resource.spec.model_dump(by_alias=True)
    text, problems = read_document(inputs_of(stored(document).resource).file)
    read = parse_experiment(text).spec.model_dump(by_alias=True)

    for *sections, name in OPERATORS_OWN:
        for spec in (wanted, read):
            for section in sections:
                spec = spec[section]
            spec.pop(name, None)
    assert problems == []
    assert read == wanted


def test_a_queue_of_the_default_size_is_told_its_size():
    queue = experiment(agent={"impala": {}}, replay={"rateLimiter": "Queue", "maxSize": 100_000})

    text, _ = read_document(inputs_of(queue.resource).file)

    assert parse_experiment(text).spec.replay == queue.resource.spec.replay


@examples
@given(documents())
def test_a_plan_follows_from_its_arguments_alone(document):
    first = planned(stored(document))
    again = planned(stored(copy.deepcopy(document)))

    assert first == again


def test_replicas_are_always_given_and_never_digested():
    few = running(BEFORE)
    none = replace(few, replicas=dict.fromkeys(few.replicas, 0))

    before, after = planned(BEFORE, few), planned(BEFORE, none)

    assert {role: w["spec"]["replicas"] for role, w in workloads(after).items()} == dict.fromkeys(
        ALL, 0
    )
    assert [m["metadata"]["annotations"][APPLIED] for m in before] == [
        m["metadata"]["annotations"][APPLIED] for m in after
    ]


def test_scaling_writes_the_deployment_of_actors_and_the_file_that_tells_roles_how_many():
    before, after = by_key(planned(BEFORE)), by_key(planned(experiment(actors={"replicas": 9})))

    assert {key for key in before if before[key] != after[key]} == {
        ("ConfigMap", "cartpole-experiment"),
        ("Deployment", "cartpole-actors"),
    }


def test_every_other_difference_is_in_the_digest_of_what_was_applied():
    other = replace(BEFORE, uid="another")
    before, after = planned(BEFORE), planned(other)

    for one, two in zip(before, after, strict=True):
        assert one["metadata"]["annotations"][APPLIED] != two["metadata"]["annotations"][APPLIED]
