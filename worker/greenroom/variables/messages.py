"""What actors and the evaluator say to the learner, and what it answers; JSON on the wire.

An actor counts what it did since its process began (its *incarnation*) and reports the
whole of it each time, so that a report may be lost, repeated or late without harm.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeVar, cast, get_type_hints

MAX_RETURNS: Final = 100
"""How many returns one `ActorReport` may carry."""

MAX_NAME: Final = 253
"""Characters in the longest name of a Kubernetes object."""

Message = TypeVar("Message")


@dataclass(frozen=True)
class ActorReport:
    """What one incarnation of an actor has done since it began.

    Attributes:
        actor: its name, the same after a restart: ``actor-0``.
        incarnation: random, another one after each restart: ``uuid4().hex``.
        environment_steps: transitions seen.
        episodes: episodes finished.
        recent_returns: undiscounted returns of the newest of them, `MAX_RETURNS` at most,
            oldest first.
        acting_seconds: time in the policy, the environments and the adder.
        waiting_seconds: time held back by the rate limiter.
        version: the parameters in use (learner steps), -1 before the first.
        dropped_items: items that never reached replay.
        allowed_steps: environment steps that this incarnation may take in all, by the
            newest order that it has; 0 before the first.
        leaving: whether it is the last report: this incarnation takes no more steps.
    """

    actor: str
    incarnation: str
    environment_steps: int
    episodes: int
    recent_returns: tuple[float, ...]
    acting_seconds: float
    waiting_seconds: float
    version: int
    dropped_items: int
    allowed_steps: int = 0
    leaving: bool = False

    def __post_init__(self) -> None:
        _check_name("actor", self.actor)
        _check_name("incarnation", self.incarnation)
        _check_at_least(0, self, "environment_steps", "episodes", "dropped_items", "allowed_steps")
        _check_at_least(0, self, "acting_seconds", "waiting_seconds")
        _check_at_least(-1, self, "version")
        if len(self.recent_returns) > MAX_RETURNS:
            raise ValueError(
                f"recent_returns must be {MAX_RETURNS} at most. Got: {len(self.recent_returns)}."
            )


@dataclass(frozen=True)
class ActorOrder:
    """The learner's answer to a report.

    Attributes:
        environment_steps: of the whole experiment; what exploration schedules count.
        incarnation_number: how many incarnations of this actor there were before this
            one; a restarted actor makes other seeds from it.
        steps_until_report: environment steps that the actor may take after those it
            reported, before it reports again (it also reports every second). Whole
            unrolls; 0 where others hold what is left: ask again in a tenth of a second.
        stop: leave: the experiment is over, or another incarnation took this one's place.
        actors: how many report to this learner, the asker included.
    """

    environment_steps: int
    incarnation_number: int
    steps_until_report: int
    stop: bool
    actors: int = 1


@dataclass(frozen=True)
class EvaluationOrder:
    """The learner's answer to an evaluator that asks what to do.

    Attributes:
        due: an evaluation is wanted; otherwise ask again in a second.
        environment_steps: the point in the experiment that it belongs to.
        version: the smallest version of the variables to play it with.
        learner: the learner process that wants it, with variables of its own.
    """

    due: bool
    environment_steps: int
    version: int
    learner: str


@dataclass(frozen=True)
class EvaluationReport:
    """One evaluation.

    Attributes:
        environment_steps, learner: as ordered.
        version: of the variables that were used.
        returns, lengths: of each episode, undiscounted, and in steps; in order of play.
    """

    environment_steps: int
    version: int
    learner: str
    returns: tuple[float, ...]
    lengths: tuple[int, ...]

    def __post_init__(self) -> None:
        _check_at_least(0, self, "environment_steps", "version")
        if not 0 < len(self.returns) == len(self.lengths):
            raise ValueError(
                "An evaluation must have as many returns as lengths, one at least. "
                f"Got: {len(self.returns)} and {len(self.lengths)}."
            )


@dataclass(frozen=True)
class VariablesRequest:
    """A request for variables that are newer than those the asker has.

    Attributes:
        newer_than: the version that it has, -1 if none.
        learner: the learner process that it has them from, "" if any will do. Another
            learner answers with what it has, since a restarted one begins with an older
            version than the last one published.
    """

    newer_than: int
    learner: str


@dataclass(frozen=True)
class VariablesHeader:
    """What comes before the bytes of the variables: their version, learner, and number of bytes."""

    version: int
    learner: str
    size: int


@dataclass(frozen=True)
class LogText:
    """Lines of a role's log, for the learner to keep.

    Attributes:
        role: whose.
        sender, number: of a process, random, and of its batches, from 0; a batch that comes
            again is not kept twice.
        text: whole lines.
    """

    role: str
    sender: str
    number: int
    text: str


@dataclass(frozen=True)
class Done:
    """The answer where there is nothing to say."""


def encode(message: Any) -> bytes:
    """Return a message as JSON."""
    return json.dumps(dataclasses.asdict(message), allow_nan=False).encode()


def decode(kind: type[Message], payload: bytes) -> Message:
    """Return the message of that kind that `encode` made ``payload`` of.

    Raises:
        ValueError: it is none: not JSON, fields are missing, unknown, or of other types.
    """
    try:
        fields = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{kind.__name__} must be JSON. Got: {error}.") from error
    readers = _readers(cast(Hashable, kind))  # mypy doubts it of a class
    if not isinstance(fields, dict) or fields.keys() != readers.keys():
        got = sorted(fields) if isinstance(fields, dict) else type(fields).__name__
        raise ValueError(f"{kind.__name__} must have the fields {sorted(readers)}. Got: {got}.")
    return kind(**{name: read(name, fields[name]) for name, read in readers.items()})


@cache
def _readers(kind: Hashable) -> Mapping[str, Callable[[str, Any], Any]]:
    return {name: _READERS[hint] for name, hint in get_type_hints(kind).items()}


def _read_str(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be text. Got: {value!r:.80}.")
    return value


def _read_bool(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false. Got: {value!r:.80}.")
    return value


def _read_int(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**63:
        raise ValueError(f"{name} must be a whole number of 64 bits. Got: {value!r:.80}.")
    return value


def _read_float(name: str, value: Any) -> float:
    number = float(_read_int(name, value)) if isinstance(value, int) else value
    if not isinstance(number, float) or not math.isfinite(number):
        raise ValueError(f"{name} must be a finite number. Got: {value!r:.80}.")
    return number


def _read_tuple(read: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    def read_tuple(name: str, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError(f"{name} must be a list. Got: {value!r:.80}.")
        return tuple(read(name, item) for item in value)

    return read_tuple


_READERS: Final[Mapping[Any, Callable[[str, Any], Any]]] = {
    str: _read_str,
    bool: _read_bool,
    int: _read_int,
    float: _read_float,
    tuple[float, ...]: _read_tuple(_read_float),
    tuple[int, ...]: _read_tuple(_read_int),
}


def _check_name(what: str, name: str) -> None:
    if not 0 < len(name) <= MAX_NAME:
        raise ValueError(f"{what} must have 1 to {MAX_NAME} characters. Got: {name!r:.80}.")


def _check_at_least(least: int, message: Any, *names: str) -> None:
    for name in names:
        if getattr(message, name) < least:
            raise ValueError(f"{name} must be at least {least}. Got: {getattr(message, name)}.")
