"""Random experiments: what is valid survives being written, what is spoilt is refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from api_strategies import documents
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greenroom_api import (
    InvalidExperiment,
    dump_experiment,
    load_experiment,
    parse_experiment,
)
from greenroom_api.documents import read_document

BOUNDED = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@BOUNDED
@given(document=documents())
def test_what_is_dumped_reads_back_as_equal(document: dict[str, Any], tmp_path: Path) -> None:
    experiment = parse_experiment(document)
    path = tmp_path / "experiment.yaml"
    path.write_text(dump_experiment(experiment), encoding="utf-8")
    loaded = load_experiment(path)
    assert loaded == experiment
    assert dump_experiment(loaded) == dump_experiment(experiment)
    assert copy.deepcopy(experiment) == experiment


@BOUNDED
@given(document=documents())
def test_a_dump_holds_what_was_said(document: dict[str, Any]) -> None:
    dumped, problems = read_document(dump_experiment(parse_experiment(document)))
    assert not problems
    assert_within(document, dumped)


def assert_within(said: Any, dumped: Any) -> None:
    if isinstance(said, dict):
        for key, value in said.items():
            assert_within(value, dumped[key])
    elif isinstance(said, list):
        assert len(said) == len(dumped)
        for one, other in zip(said, dumped, strict=True):
            assert_within(one, other)
    else:
        assert dumped == said


# Objects with names of the user's, or with fields that Kubernetes knows.
OPEN = ("kwargs", "config", "labels", "annotations", "nodeSelector", "securityContext")


def objects(value: Any, path: str = "") -> list[str]:
    """Paths of the objects whose fields the API knows."""
    if not isinstance(value, dict) or path.endswith(OPEN):
        return []
    below = [found for key in value for found in objects(value[key], f"{path}.{key}")]
    return [path, *below]


@BOUNDED
@given(document=documents(), data=st.data())
def test_a_field_that_is_unknown_is_refused_wherever_it_is(
    document: dict[str, Any], data: st.DataObject
) -> None:
    path = data.draw(st.sampled_from(objects(document)))
    where = document
    for key in filter(None, path.split(".")):
        where = where[key]
    where["noSuchField"] = 1
    with pytest.raises(InvalidExperiment) as caught:
        parse_experiment(document)
    (problem,) = caught.value.problems
    assert problem.path == f"{path}.noSuchField".lstrip(".")
    assert problem.message.startswith("unknown field")
