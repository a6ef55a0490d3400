"""How long a role's process lives: until a signal, or until whoever started it is gone.

::

    with stop_requested(follow_stdin=True) as stop:
        while not stop.wait(1.0):
            ...
        logger.info("stopping: %s", stop.reason)
        ...                                         # save, flush, leave in order
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from greenroom.training.signals import StopRequest, stop_on_signals

logger = logging.getLogger(__name__)

# The longest that a waiting role takes to see that it shall stop.
STEP_SECONDS = 0.1
# What a pod gets between SIGTERM and SIGKILL.
GRACE_SECONDS = 30.0


class RoleStop(StopRequest):
    """A request to stop that can be waited for.

    Attributes:
        signal: SIGINT or SIGTERM, once one asked; SIGTERM too where standard input closed.
    """

    def __init__(self, noted: StopRequest) -> None:
        self._noted = noted
        self.stdin_closed = False

    @property
    def signal(self) -> signal.Signals | None:  # type: ignore[override]
        return self._noted.signal

    @property
    def reason(self) -> str | None:
        """Why to stop, in words; None while there is no reason."""
        if self.signal is None:
            return None
        return "standard input was closed" if self.stdin_closed else self.signal.name

    def wait(self, seconds: float) -> bool:
        """Wait until somebody asks to stop, ``seconds`` at most; return whether."""
        deadline = time.monotonic() + seconds
        # A signal is noted, but does not end a sleep (PEP 475).
        while not self and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(STEP_SECONDS, left))
        return bool(self)


@contextmanager
def stop_requested(*, follow_stdin: bool = False) -> Iterator[RoleStop]:
    """Note SIGINT and SIGTERM inside the block; a second one ends the process at once.

    Args:
        follow_stdin: stop as on SIGTERM when standard input closes, which it does when the
            process that holds its other end dies, of SIGKILL even. As nobody is left then
            who could end a process that hangs, it is killed 30 s later.
    """
    # Not Python's own handler, which waits for a library's call to return.
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        with stop_on_signals() as noted:
            stop = RoleStop(noted)
            if follow_stdin:
                threading.Thread(target=_follow, args=(stop,), name="stdin", daemon=True).start()
            yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def _follow(stop: RoleStop) -> None:
    """Read standard input to its end, then end this process."""
    try:
        while os.read(0, 4096):
            pass
    except OSError:
        pass  # it was closed from the beginning
    if not stop:
        stop.stdin_closed = True
        os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    logger.error("killed: still running %g s after standard input closed", GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
