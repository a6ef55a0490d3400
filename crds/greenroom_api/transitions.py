"""What must not change in an experiment that is there; in CEL alone, as only the API server
sees what it was before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic.alias_generators import to_camel

from greenroom_api.base import Validation


def of_spec() -> Iterator[Validation]:
    """Yield the rules of fields that stand in ``spec`` itself."""
    yield Validation(
        "self.seed == oldSelf.seed",
        "seed must not change, since all that was learnt comes from it",
        path=".seed",
        got={"seed": "self.seed", "before": "oldSelf.seed"},
    )
    yield Validation(
        _same("managedBy"),
        "managedBy must not change, since one controller is to look after an experiment",
        path=".managedBy",
        got=_now_and_before("managedBy", "(has({0}) ? {0} : 'unset')"),
    )
    yield Validation(
        _same("resumeFrom"),
        "resumeFrom must not change, since it tells what the experiment began from",
        path=".resumeFrom",
        got=_now_and_before(
            "resumeFrom",
            "(!has({0}) ? 'unset' : has({0}.experiment) ? {0}.experiment : "
            "has({0}.claimName) ? {0}.claimName : 'unset')",
        ),
    )


def of_environment() -> Iterator[Validation]:
    """Yield the rules of ``spec.environment``."""
    name, before = (
        f"(has({who}.gymnasium) ? {who}.gymnasium.id : "
        f"has({who}.factory) ? {who}.factory : 'unset')"
        for who in ("self", "oldSelf")
    )
    rule = "environment must not change, since parameters and experience belong to it"
    yield Validation(f"{name} == {before}", rule, got={"environment": name, "before": before})
    yield Validation(
        f"{name} != {before} || self == oldSelf",
        f"{rule}; nor must its arguments and wrappers",
        # Arguments have no schema, so that CEL can print none.
        got={"changed": "self.wrappers != oldSelf.wrappers ? 'wrappers' : 'gymnasium'"},
    )


def of_agent(members: Iterable[str]) -> Iterator[Validation]:
    """Yield the rule of ``spec.agent``: the same member is set, whatever is in it."""
    agent, before = (
        " ".join(f"has({who}.{name}) ? '{name}' :" for name in map(to_camel, members))
        for who in ("self", "oldSelf")
    )
    yield Validation(
        f"({agent} 'unset') == ({before} 'unset')",
        "agent must not become another one, which could not read this one's parameters",
        got={"agent": f"({agent} 'unset')", "before": f"({before} 'unset')"},
    )


def _same(field: str) -> str:
    """Return CEL that is true where an optional field is as it was."""
    now, before = f"self.{field}", f"oldSelf.{field}"
    return f"has({now}) == has({before}) && (!has({now}) || {now} == {before})"


def _now_and_before(field: str, value: str) -> dict[str, str]:
    """Return what a message shows; ``value`` is CEL of a field whose name is its ``{0}``."""
    return {field: value.format(f"self.{field}"), "before": value.format(f"oldSelf.{field}")}
