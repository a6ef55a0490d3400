"""Experiments from files, and back."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from greenroom_api.documents import UnreadableDocument, read_document, write_document
from greenroom_api.errors import InvalidExperiment, Problem
from greenroom_api.experiment import RLExperiment
from greenroom_api.overrides import apply_override
from greenroom_api.problems import problems_of
from greenroom_api.values import show

M = TypeVar("M", bound=BaseModel)


def load_experiment(
    path: str | os.PathLike[str], overrides: Sequence[str] = (), seed: int | None = None
) -> RLExperiment:
    """Read an experiment from a YAML file.

        experiment = load_experiment("cartpole.yaml", ["spec.stop.environmentSteps=3000"])

    Args:
        path: the file.
        overrides: ``PATH=VALUE``, values in YAML; they replace what the file says, in
            their order. ``null`` takes an optional field away.
        seed: replaces ``spec.seed``.

    Raises:
        InvalidExperiment: with everything that is wrong in file and overrides.
    """
    source = os.fspath(path)
    try:
        document, problems = read_document(_read(Path(path)))
    except UnreadableDocument as error:
        raise InvalidExperiment(source, [error.problem]) from error
    if not isinstance(document, Mapping):
        raise InvalidExperiment(source, [*problems, _not_an_object(document)])
    wanted = [*overrides, *([] if seed is None else [f"spec.seed={seed}"])]
    for override in wanted:
        try:
            document = apply_override(document, override)
        except UnreadableDocument as error:
            problems.append(error.problem)
    try:
        experiment = parse_experiment(document, source)
    except InvalidExperiment as error:
        raise InvalidExperiment(source, [*problems, *error.problems]) from error.__cause__
    if problems:
        raise InvalidExperiment(source, problems)
    return experiment


def parse_experiment(document: Mapping[str, Any], source: str = "experiment") -> RLExperiment:
    """Return the experiment that a mapping describes, names in camelCase as in a file.

    Args:
        document: of plain values, as YAML and JSON have them.
        source: what error messages call it.

    Raises:
        InvalidExperiment: with everything that is wrong.
    """
    if not isinstance(document, Mapping):
        raise InvalidExperiment(source, [_not_an_object(document)])
    # Python code need not repeat these two; a file must have them, or kubectl refuses it.
    problems = [
        Problem(name, f"is required: {RLExperiment.model_fields[field].default}. Got: nothing.")
        for name, field in (("apiVersion", "api_version"), ("kind", "kind"))
        if name not in document
    ]
    try:
        experiment = parse_section(RLExperiment, document, source=source)
    except InvalidExperiment as error:
        raise InvalidExperiment(source, [*problems, *error.problems]) from error.__cause__
    if problems:
        raise InvalidExperiment(source, problems)
    return experiment


def parse_section(model: type[M], value: Any, *, path: str = "", source: str = "experiment") -> M:
    """Return the part of an experiment that ``value`` describes, names as in a file.

    A custom agent's ``config`` is read with it, at the path ``spec.agent.custom.config``.

    Raises:
        InvalidExperiment: with everything that is wrong.
    """
    try:
        return model.model_validate(value, by_alias=True, by_name=False)
    except ValidationError as error:
        raise InvalidExperiment(source, problems_of(error, model, path)) from error


def dump_experiment(experiment: RLExperiment) -> str:
    """Return the experiment as YAML with every default filled in; it reads back as equal."""
    return write_document(experiment.model_dump(mode="json", by_alias=True))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UnreadableDocument(
            Problem("", f"must be a file that can be read. Got: {error.strerror}.")
        ) from error
    except UnicodeDecodeError as error:
        raise UnreadableDocument(
            Problem("", f"must be text in UTF-8. Got: {error.reason} at byte {error.start}.")
        ) from error


def _not_an_object(document: Any) -> Problem:
    return Problem(
        "", f"must be an object with apiVersion, kind, metadata and spec. Got: {show(document)}."
    )
