"""The log of a role: one line per event on standard error, ``HH:MM:SS LEVEL message``."""

from __future__ import annotations

import logging
import os


def log_to_stderr() -> None:
    """Send what is logged, from INFO on, to standard error; called once, by a role's process.

    The lines have a descriptor of their own, so that they go on coming where a library's
    are sent elsewhere (`greenroom.replay.server`).
    """
    stream = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%H:%M:%S",
        stream=stream,
        force=True,
    )
