"""Fields for Kubernetes: sizes, names, where to begin; and that local runs ignore them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from small import SPEC, equal, experiment, parameters, rows, run

from greenroom_api import InvalidExperiment, parse_experiment, size_bytes
from greenroom_api.storage import Size

# Everything that only matters on Kubernetes, beside what matters anywhere.
PLACED: dict[str, Any] = {
    "image": "example.com/worker:1",
    "suspend": True,
    "managedBy": "example.com/other",
    "ttlSecondsAfterFinished": 5,
    "failurePolicy": {"backoffLimit": 0},
    "resumeFrom": {"experiment": "teacher"},
    "replay": SPEC["replay"] | {"storage": {"size": "1Gi"}, "podTemplate": {"metadata": {}}},
    "learner": {"podTemplate": {"spec": {"priority": 1}}},
    "actors": {"podTemplate": {"spec": {"priority": 1}}},
    "evaluator": SPEC["evaluator"] | {"podTemplate": {"spec": {"priority": 1}}},
    "checkpoint": {"storage": {"size": "1Gi", "storageClassName": "fast"}, "retain": "Retain"},
}


def problems(name: str = "a", **sections: Any) -> list[str]:
    with pytest.raises(InvalidExperiment) as caught:
        parse_experiment(
            {
                "apiVersion": "greenroom.dev/v1alpha1",
                "kind": "RLExperiment",
                "metadata": {"name": name},
                "spec": SPEC | sections,
            }
        )
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("written", "canonical"),
    [("10Gi", "10Gi"), ("1024Mi", "1Gi"), ("1025Mi", "1025Mi"), ("2048Ti", "2048Ti")],
)
def test_equal_sizes_are_equal_text(written: str, canonical: str) -> None:
    assert TypeAdapter(Size).validate_python(written) == canonical
    assert size_bytes(written) == size_bytes(canonical)


def test_sizes_are_bytes() -> None:
    assert size_bytes("1Ki") == 1024
    assert size_bytes("1025Mi") > size_bytes("1Gi") == 2**30
    assert size_bytes("3Ti") == 3 * 2**40


@pytest.mark.parametrize("size", ["10G", "1.5Gi", "0Gi", "10", 10, "-1Gi", "1234567Ki", "1Gi\n"])
def test_what_is_no_size_is_refused(size: Any) -> None:
    (problem,) = problems(checkpoint={"storage": {"size": size}})
    assert problem.startswith("spec.checkpoint.storage.size: must be a whole number of Ki, Mi, ")
    assert "Got: " in problem


def test_volumes_have_sizes_of_their_own() -> None:
    spec = experiment(
        replay=SPEC["replay"] | {"storage": {"storageClassName": ""}}, checkpoint={"storage": {}}
    ).spec
    assert (spec.replay.storage.size, spec.replay.storage.storage_class_name) == ("10Gi", "")
    assert (spec.checkpoint.storage.size, spec.checkpoint.storage.storage_class_name) == (
        "5Gi",
        None,
    )


def test_names_leave_room_for_what_is_made_from_them() -> None:
    # A StatefulSet's pods carry NAME-replay-HASH in a label, of 63 characters at most.
    assert len("a" * 45 + "-replay-" + "0" * 10) == 63
    assert experiment().metadata.name == "small"
    assert problems("a" * 46) == [
        "metadata.name: must have at most 45 characters, since names of pods and their labels are "
        f'made from it. Got: "{"a" * 46}", of 46.'
    ]
    # A Service must not begin with a digit.
    assert problems("0a") == [
        "metadata.name: must be a label of RFC 1035: lower case letters, digits and '-', with a "
        'letter in front and a letter or digit at the end. Got: "0a".'
    ]


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"learner": {"replicas": 2}}, "spec.learner.replicas: must be 1 until learners can share "
         "the work of one experiment. Got: 2."),
        ({"image": "my image"}, "spec.image: must be a container image, like example.com/team/"
         'worker:1.0. Got: "my image".'),
        ({"managedBy": "kueue"}, "spec.managedBy: must name a controller with its domain in front, "
         'like example.com/controller. Got: "kueue".'),
        ({"ttlSecondsAfterFinished": -1}, "spec.ttlSecondsAfterFinished: must be at least 0. "
         "Got: -1."),
        ({"failurePolicy": {"backoffLimit": -1}}, "spec.failurePolicy.backoffLimit: must be at "
         "least 0. Got: -1."),
        ({"resumeFrom": {}}, "spec.resumeFrom: exactly one of experiment, claimName must be set. "
         "Got: none (a member with nothing to set is written NAME: {})."),
        ({"resumeFrom": {"experiment": "a"}}, "spec.resumeFrom.experiment: must be another one "
         "than the experiment itself, which goes on by itself. Got: a."),
        ({"resumeFrom": {"claimName": "A"}}, "spec.resumeFrom.claimName: must be a name of RFC "
         "1123: lower case letters, digits, '-' and '.', with a letter or digit at both ends of "
         'each part. Got: "A".'),
        ({"checkpoint": {"retain": "Keep"}}, "spec.checkpoint.retain: must be Delete or Retain. "
         'Got: "Keep".'),
        ({"suspend": "yes"}, 'spec.suspend: must be true or false. Got: "yes".'),
    ],
)  # fmt: skip
def test_each_mistake_states_rule_and_value(sections: dict[str, Any], expected: str) -> None:
    assert problems(**sections) == [expected]


def test_a_local_run_is_the_same_with_and_without_them(tmp_path: Path) -> None:
    run(tmp_path / "plain", experiment())
    run(tmp_path / "placed", experiment(**PLACED))
    assert rows(tmp_path / "plain") == rows(tmp_path / "placed")
    assert equal(parameters(tmp_path / "plain"), parameters(tmp_path / "placed"))


def test_a_run_resumes_whatever_becomes_of_them(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", experiment())
    run(tmp_path / "parts", experiment(stop={"environmentSteps": 700}))
    resumed = run(tmp_path / "parts", experiment(**PLACED), resume=True)
    assert resumed.learner_steps == whole.learner_steps
    assert equal(parameters(tmp_path / "whole"), parameters(tmp_path / "parts"))
