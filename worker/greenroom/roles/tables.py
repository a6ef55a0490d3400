"""Where a replay server learns which tables to serve: from a file, or from the learner."""

from __future__ import annotations

import http.client
import json
import logging
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Final

from greenroom.errors import ConfigurationError, LearnerUnavailable
from greenroom.observability.files import replace_text
from greenroom.replay.descriptions import Json, tables_from_json

logger = logging.getLogger(__name__)

COPY: Final = "tables.json"
REQUEST_SECONDS: Final = 2.0
LARGEST_ANSWER: Final = 16 * 2**20
COUNTS: Final = ("learnerSteps", "environmentSteps")

# Peers are addressed directly; a proxy of the network cannot reach them.
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


class TablesSource:
    """Reads the description of the tables, and keeps a copy for when the learner is down.

        source = TablesSource("http://learner:7001/tables", directory)
        description = source.read()

    Args:
        location: path of a JSON file, or the learner's URL.
        directory: where to keep the copy of what a URL answered; None keeps none.
    """

    def __init__(self, location: str, directory: Path | None) -> None:
        self.location = location
        self.from_learner = location.startswith(("http://", "https://"))
        self._copy = directory / COPY if directory is not None and self.from_learner else None

    def read(self) -> Json:
        """Return the description as it is now.

        Raises:
            LearnerUnavailable: the URL does not answer, or not yet with tables.
            ConfigurationError: there is no such file, or what is there describes no tables.
        """
        if not self.from_learner:
            try:
                text = Path(self.location).read_bytes()
            except OSError as error:
                raise ConfigurationError(
                    "The tables must be described by a file that can be read, or at a URL. "
                    f"Got: {self.location}: {error.strerror}."
                ) from error
            return _parse(text, self.location)
        description = _parse(_get(self.location), self.location)
        if self._copy is not None:
            self._copy.parent.mkdir(parents=True, exist_ok=True)
            replace_text(self._copy, json.dumps(description, indent=2) + "\n")
        return description

    def copy(self) -> Json | None:
        """Return what the URL answered last, in an earlier process; None if there is no copy."""
        if self._copy is None or not self._copy.exists():
            return None
        try:
            return _parse(self._copy.read_bytes(), str(self._copy))
        except (OSError, ConfigurationError) as error:
            logger.warning("the copy of the tables cannot be used: %s", error)
            return None

    def counts(self) -> dict[str, int]:
        """Return the learner's counts (`COUNTS`); empty if it does not tell them now."""
        if not self.from_learner:
            return {}
        try:
            counts = json.loads(_get(urllib.parse.urljoin(self.location, "/counts")))
            return {name: int(counts[name]) for name in COUNTS}
        except (LearnerUnavailable, ValueError, KeyError, TypeError):
            return {}


def _get(url: str) -> bytes:
    try:
        with _open(url, timeout=REQUEST_SECONDS) as response:
            answer: bytes = response.read(LARGEST_ANSWER)
            return answer
    except urllib.error.HTTPError as error:
        with error:
            raise LearnerUnavailable(f"{url} answered {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise LearnerUnavailable(f"{url} does not answer: {_words(error.reason)}") from error
    except (OSError, http.client.HTTPException) as error:
        raise LearnerUnavailable(f"{url} does not answer: {_words(error)}") from error


def _words(error: Any) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _parse(text: bytes, location: str) -> Json:
    try:
        description: Json = json.loads(text)
        tables_from_json(description)
    except (ValueError, ConfigurationError) as error:
        raise ConfigurationError(f"The description of tables at {location}: {error}") from error
    return description
