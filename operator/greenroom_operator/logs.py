"""The operator's log: lines for people, or JSON for programs, with the experiment's name.

log_to_stderr("INFO", "text")
logger.info("created 15 children", extra=about(key))
"""

from __future__ import annotations

import logging
import sys
from typing import Literal

from pythonjsonlogger.json import JsonFormatter

from greenroom_operator.experiment import Key

LogFormat = Literal["text", "json"]


def about(key: Key) -> dict[str, str]:
    """Return what a line says of the experiment that it is about."""
    return {"namespace": key[0], "experiment": key[1]}


def log_to_stderr(level: str, form: LogFormat) -> None:
    """Write the log of this process to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    if form == "json":
        handler.setFormatter(
            JsonFormatter(
                ["levelname", "name", "message"],
                rename_fields={"levelname": "level", "name": "logger"},
                timestamp="time",
            )
        )
    else:
        handler.setFormatter(_Lines("%(asctime)s %(levelname)-7s %(message)s%(about)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # kopf tells of each event that it hands over; what goes wrong there is still said.
    logging.getLogger("kopf").setLevel(logging.WARNING)


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        namespace = getattr(record, "namespace", None)
        experiment = getattr(record, "experiment", None)
        record.about = f"  [{namespace}/{experiment}]" if experiment else ""
        return super().format(record)
