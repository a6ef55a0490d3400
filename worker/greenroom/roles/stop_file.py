"""``spec.stop`` as it is now: it may be changed while training goes on."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from greenroom_api import InvalidExperiment, RLExperiment, load_experiment
from greenroom_api.roles import Stop

logger = logging.getLogger(__name__)

POLL_SECONDS: Final = 5.0


class StopFile:
    """Reads the stop conditions again when the experiment's file has changed.

        stop = StopFile(Path("experiment.yaml"), experiment, changed=tell)
        stop().environment_steps              # as often as one likes

    Nothing else is taken from the file: it needs the learner to start again, or a new run. A
    file that cannot be read, or is no experiment, changes nothing, which the log says.

    Args:
        path: the file.
        experiment: what was read from it first.
        changed: called with new conditions, by whoever asks then.
    """

    def __init__(
        self, path: Path, experiment: RLExperiment, changed: Callable[[Stop], None]
    ) -> None:
        self._path = path
        self._stop = experiment.spec.stop
        self._changed = changed
        self._seen = self._state()
        self._next = time.monotonic() + POLL_SECONDS

    def __call__(self) -> Stop:
        """Return the conditions, a few seconds old at most."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + POLL_SECONDS
            self._poll()
        return self._stop

    def _state(self) -> tuple[int, ...] | None:
        try:
            found = os.stat(self._path)  # of what a link points to, as a ConfigMap's volume has it
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _poll(self) -> None:
        state = self._state()
        if state is None or state == self._seen:
            return
        self._seen = state
        try:
            stop = load_experiment(self._path).spec.stop
        except (InvalidExperiment, OSError) as error:
            logger.warning("spec.stop stays as it is: %s", error)
            return
        if stop != self._stop:
            logger.info("spec.stop is now %s", stop.model_dump_json(by_alias=True))
            self._stop = stop
            self._changed(stop)
