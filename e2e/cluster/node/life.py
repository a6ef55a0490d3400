"""A container from its first start to its last, as its status tells it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from e2e.cluster.client import Object
from e2e.cluster.node.container import Run
from e2e.cluster.node.environment import ConfigError
from e2e.cluster.node.probes import Health

CONFIG_RETRY_SECONDS = 0.5


class Life:
    """Starts, probes and restarts one container; `step` does what is due.

    Args:
        container: as in the pod's spec.
        policy: the pod's restartPolicy.
        grace: seconds between SIGTERM and SIGKILL when a probe fails.
        waits: seconds before the first, second, ... restart; the last counts for all others.
        launch: starts it for the n-th time; may raise ConfigError.
        address: where its probes ask.
    """

    def __init__(
        self,
        container: Object,
        *,
        policy: str,
        grace: float,
        waits: Sequence[float],
        launch: Callable[[int], Run],
        address: str,
    ) -> None:
        self.name: str = container["name"]
        self._container = container
        self._policy = policy
        self._grace = grace
        self._waits = waits
        self._launch = launch
        self._address = address
        self._run: Run | None = None
        self._health: Health | None = None
        self._restarts = -1
        self._due = 0.0
        self._kill_at = 0.0
        self._killed_for = ""
        self._started_at = ""
        self._waiting = ("ContainerCreating", "")
        self._ends: list[Object] = []
        self._at_once = False
        self.over = False
        """It has ended and will not be started again."""

    @property
    def begun(self) -> bool:
        return self._restarts >= 0

    @property
    def running(self) -> bool:
        return self._run is not None

    @property
    def ready(self) -> bool:
        return self._health is not None and self._health.ready

    @property
    def exit_code(self) -> int | None:
        """Of its end, once it is over."""
        return int(self._ends[-1]["exitCode"]) if self.over and self._ends else None

    def step(self) -> None:
        """Start it, probe it or notice its end, whichever is due."""
        if self._run is None:
            if not self.over and time.monotonic() >= self._due:
                self._start()
            return
        if self._run.exit_code is not None:
            self._end(self._run, self._run.exit_code)
            return
        if self._kill_at:
            if time.monotonic() > self._kill_at:
                self._run.kill()
            return
        assert self._health
        self._health.step(self._run)
        if self._health.failed:
            self._killed_for = self._health.failed
            self.terminate(self._grace)

    def terminate(self, grace: float) -> None:
        """Send SIGTERM, and SIGKILL after `grace` seconds (steps see to it)."""
        if self._run:
            self._kill_at = time.monotonic() + grace
            self._run.signal(signal.SIGTERM)

    def give_up(self) -> None:
        """Never start it again."""
        self._policy = "Never"
        self.over = not self.running

    def kill(self) -> None:
        """End it now."""
        if self._run:
            self._run.kill()

    def status(self) -> Object:
        """Its entry in containerStatuses."""
        started = self._health.started if self._health else False
        status: Object = {
            "name": self.name,
            "image": self._container["image"],
            "imageID": "",
            "ready": self.ready or (self.exit_code == 0),
            "started": started,
            "restartCount": max(self._restarts, 0),
            "state": self._state(),
        }
        earlier = self._ends[:-1] if self._rests else self._ends
        if earlier:
            status["lastState"] = {"terminated": earlier[-1]}
        return status

    @property
    def _rests(self) -> bool:
        """Whether it has ended, and waits for nothing: it is over, or about to start again."""
        return self.over or (self._at_once and self._run is None)

    def _state(self) -> Object:
        if self._run:
            return {"running": {"startedAt": self._started_at}}
        if self._rests and self._ends:
            return {"terminated": self._ends[-1]}
        reason, message = self._waiting
        return {"waiting": {"reason": reason, "message": message}}

    def _start(self) -> None:
        try:
            self._run = self._launch(self._restarts + 1)
        except ConfigError as problem:
            self._waiting = ("CreateContainerConfigError", str(problem))
            self._due = time.monotonic() + CONFIG_RETRY_SECONDS
            return
        self._restarts += 1
        self._started_at = now()
        self._kill_at, self._killed_for = 0.0, ""
        self._health = Health(self._container, self._address)

    def _end(self, run: Run, code: int) -> None:
        run.kill()
        said = run.message()
        end = {
            "exitCode": code,
            "reason": "Error" if code else "Completed",
            "message": said or self._killed_for,
            "startedAt": self._started_at,
            "finishedAt": now(),
        }
        # Of the older ones only the number is told.
        self._ends = [*self._ends[-1:], end]
        self._run = self._health = None
        self.over = self._policy == "Never" or (self._policy == "OnFailure" and code == 0)
        wait = self._waits[min(self._restarts, len(self._waits) - 1)]
        # kubelet's first restart is at once, and no back-off.
        self._at_once = not wait
        self._due = time.monotonic() + wait
        why = f"back-off {wait:g}s restarting failed container={self.name}"
        self._waiting = ("CrashLoopBackOff", why)


def now() -> str:
    """The time as the API writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
