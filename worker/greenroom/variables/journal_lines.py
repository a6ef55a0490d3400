"""The lines of a journal of counts: JSON, one for all that an incarnation had done by then."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from greenroom.errors import RunDirectoryError
from greenroom.variables.counts import ActorCounts, Counts, Key
from greenroom.variables.messages import decode, encode

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Line(ActorCounts):
    actor: str = ""
    incarnation: str = ""


def read_counts(path: Path) -> Counts:
    """Return what a journal says; nothing where there is none.

    Raises:
        RunDirectoryError: the file cannot be read.
    """
    counts = Counts()
    with disk_errors(path):
        *whole, torn = path.read_bytes().split(b"\n") if path.exists() else [b""]
    if torn:
        logger.info("%s ends in a torn line, which was not acknowledged.", path)
    for number, text in enumerate(whole, start=1):
        try:
            line = decode(_Line, text)
        except ValueError as error:
            # The next line of that incarnation, if there is one, holds it too.
            logger.warning("%s, line %d, is passed over: %s", path, number, error)
            continue
        counts.merge((line.actor, line.incarnation), ActorCounts.of(line))
    return counts


def counts_to_lines(counts: Mapping[Key, ActorCounts]) -> bytes:
    """Return a line for each incarnation."""
    return b"".join(
        encode(_Line(**asdict(newest), actor=actor, incarnation=incarnation)) + b"\n"
        for (actor, incarnation), newest in counts.items()
    )


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a failure of the journal's disk into an error that names it.

    Raises:
        RunDirectoryError: an `OSError` came up.
    """
    try:
        yield
    except OSError as error:
        raise RunDirectoryError(
            "Counts must be on the disk before they are acknowledged. "
            f"Got: {error.strerror or error} at {path}."
        ) from error
