"""The newest parameters always at hand, whatever the learner does."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Final

from greenroom.core import Variables
from greenroom.errors import AccessDenied, GreenroomError, LearnerUnavailable
from greenroom.variables.remote import Fetched, LearnerClient

PERIOD_SECONDS: Final = 1.0

TRANSFER_SECONDS: Final = 60.0
"""Within which a model must arrive; nobody waits for it meanwhile."""


class PolledVariables:
    """A `VariableSource` that asks in a thread of its own, so that `get` never waits.

        variables = PolledVariables(client, period=1.0)
        variables.wait_first(timeout=30.0)
        actor = Actor(policy, adder, variables, generator, num_envs)
        ...
        variables.close()

    For one actor: after the learner was started again, `get` returns what it has even
    where that is older than ``newer_than``, once. While the learner does not answer, `get`
    goes on with what there is.

    Args:
        client: says where the learner is; the thread uses a connection of its own, so that
            a large model does not hold up reports.
        period: seconds between two requests, or a function that returns them.
    """

    def __init__(
        self, client: LearnerClient, period: float | Callable[[], float] = PERIOD_SECONDS
    ) -> None:
        self._client = LearnerClient(client.address, client.token, TRANSFER_SECONDS)
        self._period = period
        self._newest: Fetched | None = None
        self._handed_out = ""  # by which learner were the variables that `get` returned last
        self._heard = -math.inf
        self._error: GreenroomError | None = None
        self._broken: BaseException | None = None
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="polled-variables", daemon=True)
        self._thread.start()

    def get(self, newer_than: int) -> Variables | None:
        """Return the newest variables, or None if they are not newer than that version."""
        if self._broken is not None:
            raise AssertionError("the polling thread must not end") from self._broken
        newest = self._newest
        if newest is None:
            return None
        variables, learner = newest
        restarted = learner != self._handed_out != ""
        if variables.version <= newer_than and not restarted:
            return None
        self._handed_out = learner
        return variables

    def wait_first(self, timeout: float) -> Variables:
        """Return the variables as soon as there are any.

        Raises:
            LearnerUnavailable: none came within ``timeout`` seconds; waiting again is possible.
            AccessDenied: the token is another run's.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._newest is not None or isinstance(self._error, AccessDenied), timeout
            )
            if isinstance(self._error, AccessDenied):
                raise self._error
            if self._newest is None:
                reason = self._error or "it has published none yet"
                raise LearnerUnavailable(
                    f"The first variables of the learner at {self._client.address} must come "
                    f"within {timeout:g} s. Got: {reason}."
                )
            return self._newest.variables

    @property
    def version(self) -> int:
        """The newest version at hand, -1 if there is none."""
        newest = self._newest
        return -1 if newest is None else newest.variables.version

    @property
    def age(self) -> float:
        """Seconds since the learner last answered: how long ago these were the newest."""
        return time.monotonic() - self._heard

    @property
    def error(self) -> GreenroomError | None:
        """Why the last request failed, None if it did not."""
        return self._error

    def close(self) -> None:
        """End the thread, and the request under way."""
        self._closing.set()
        self._client.close()
        self._thread.join()

    def _poll(self) -> None:
        try:
            while not self._closing.is_set():
                self._ask()
                period = self._period
                self._closing.wait(period() if callable(period) else period)
        except BaseException as broken:
            self._broken = broken  # acting on with old parameters would look as if all were well
            raise

    def _ask(self) -> None:
        try:
            fetched, error = self._client.fetch(*self._known()), None
        except GreenroomError as failure:
            fetched, error = None, failure
        with self._changed:
            self._newest = fetched or self._newest
            self._error = error
            if error is None:
                self._heard = time.monotonic()
            self._changed.notify_all()

    def _known(self) -> tuple[int, str]:
        newest = self._newest
        return (-1, "") if newest is None else (newest.variables.version, newest.learner)
