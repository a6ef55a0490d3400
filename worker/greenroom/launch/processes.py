"""A run as processes of this machine: replay, learner, actors, evaluator, and who watches them.

Each is the very program that a pod runs (``greenroom role NAME``), with the arguments it
gets there; only addresses are loopback, and this process stands in for the operator::

    run_processes
      ├── replay        greenroom role replay      waits for the learner's /tables
      ├── learner       greenroom role learner     writes the run directory
      ├── actor-0 ...   greenroom role actor
      └── evaluator     greenroom role evaluator

In the run directory, beside what every run leaves::

    processes/
      experiment.yaml    what the roles were started with
      logs/ROLE.log      what each printed; all.log has them all, in one order
      replay/            the replay server's checkpoints
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from greenroom.errors import ConfigurationError, GreenroomError, RoleFailed
from greenroom.launch.logs import MergedLogs
from greenroom.launch.polling import StatusPoller
from greenroom.launch.ports import LOOPBACK, ReservedPorts
from greenroom.launch.supervision import RoleProcess
from greenroom.observability.displays import Display
from greenroom.observability.progress import Progress, RoleStatus
from greenroom.observability.run_directory import RunDirectory
from greenroom.roles import settings
from greenroom.training.results import Result, header
from greenroom.training.signals import StopRequest, stop_on_signals
from greenroom_api import RLExperiment, dump_experiment

REPLAY, LEARNER, ACTOR, EVALUATOR = "replay", "learner", "actor", "evaluator"
WATCH_SECONDS = 0.1
# What a pod gets between SIGTERM and SIGKILL.
GRACE_SECONDS = 30.0


@dataclass(frozen=True)
class Role:
    """A process that is watched, and where it tells its status."""

    process: RoleProcess
    http_port: int


def run_processes(
    experiment: RLExperiment,
    open_directory: Callable[[], RunDirectory],
    *,
    display: Display,
) -> Result:
    """Start the roles and watch them until the learner ends; see `greenroom.run`.

    Raises:
        ConfigurationError: a role refused the experiment.
        RoleFailed: a role ended again and again.
    """
    directory = open_directory()
    with contextlib.ExitStack() as stack:
        stack.enter_context(directory.locked("launcher"))
        ports = stack.enter_context(ReservedPorts())
        roles = make_roles(experiment, directory, ports)
        logs = stack.enter_context(MergedLogs(directory.logs, list(roles)))
        request = stack.enter_context(stop_on_signals())
        stack.callback(_end_at_once, roles)
        display.start(header(experiment, directory))
        poller = stack.enter_context(
            StatusPoller({name: (LOOPBACK, role.http_port) for name, role in roles.items()})
        )
        for role in roles.values():
            role.process.start()
        watching, ending = _Watching(roles, logs, poller, display), _Ending(directory)
        try:
            watching.until_learner_ends(request)
        except (RoleFailed, ConfigurationError) as failure:
            watching.end()
            display.finish(ending.failed(failure, watching.progress))
            raise
        watching.end()
        result = ending.ended(request, watching.progress)
        display.finish(result)
        return result


def make_roles(
    experiment: RLExperiment, directory: RunDirectory, ports: ReservedPorts
) -> dict[str, Role]:
    """Return the roles of a run, by name; none is started yet."""
    directory.logs.mkdir(parents=True, exist_ok=True)
    file = directory.processes / "experiment.yaml"
    file.write_text(dump_experiment(experiment))
    replay, learner, learner_http = (str(ports.take()) for _ in range(3))
    environment = {
        **os.environ,
        settings.TOKEN: secrets.token_urlsafe(32),
        settings.EXPERIMENT: str(file),
        settings.REPLAY: f"{LOOPBACK}:{replay}",
        settings.LEARNER: f"{LOOPBACK}:{learner}",
        settings.TABLES: f"http://{LOOPBACK}:{learner_http}/tables",
    }

    def role(name: str, *arguments: str, http_port: str | None = None) -> Role:
        port = http_port or str(ports.take())
        kind = name.split("-", 1)[0]
        command = [sys.executable, "-m", "greenroom", "role", kind, *arguments]
        command += ["--host", LOOPBACK, "--http-port", port, "--follow-stdin"]
        log = directory.logs / f"{name}.log"
        return Role(RoleProcess(name, command, environment, log), int(port))

    checkpoints = str(directory.processes / REPLAY)
    interval = f"{experiment.spec.checkpoint.interval:g}s"
    roles = [
        role(
            REPLAY,
            *("--port", replay),
            *("--checkpoint-directory", checkpoints, "--checkpoint-interval", interval),
        ),
        role(
            LEARNER,
            *("--port", learner, "--run-directory", str(directory.path)),
            http_port=learner_http,
        ),
        *(
            role(f"{ACTOR}-{index}", "--name", f"{ACTOR}-{index}")
            for index in range(experiment.spec.actors.replicas)
        ),
        role(EVALUATOR),
    ]
    return {role.process.name: role for role in roles}


class _Watching:
    """Keeps the roles running and the user informed."""

    def __init__(
        self,
        roles: Mapping[str, Role],
        logs: MergedLogs,
        poller: StatusPoller,
        display: Display,
    ) -> None:
        self._roles = roles
        self._logs = logs
        self._poller = poller
        self._display = display
        self.progress = Progress("Starting", 0, 0, 0, 0.0, 0.0, 0.0)
        self._began = time.monotonic()

    def until_learner_ends(self, request: StopRequest) -> None:
        """Watch until the learner has succeeded, or a signal asks to stop.

        Raises:
            RoleFailed: a role must not be started again.
        """
        learner = self._roles[LEARNER].process
        while not request:
            for role in self._roles.values():
                if role.process is learner and learner.poll() == 0:
                    return
                happened = role.process.watch()
                if happened is not None:
                    self._logs.note(happened)
                    self._display.event(happened, level="warning")
            self._show()
            time.sleep(WATCH_SECONDS)

    def end(self) -> None:
        """End the roles in order: who writes into another ends before it."""
        groups: list[list[str]] = [[name for name in self._roles if name.startswith(ACTOR)]]
        groups += [[LEARNER], [EVALUATOR, REPLAY]]
        for group in groups:
            for name in group:
                self._roles[name].process.terminate()
            deadline = time.monotonic() + GRACE_SECONDS
            for name in group:
                self._wait(self._roles[name].process, deadline)
        self._show()

    def _wait(self, process: RoleProcess, deadline: float) -> None:
        while process.pid is not None and time.monotonic() < deadline:
            if process.poll() is None:
                self._show("Stopping")
                time.sleep(WATCH_SECONDS)
        if process.pid is not None:
            happened = f"{process.name} did not end within {GRACE_SECONDS:g} s and was killed"
            self._logs.note(happened)
            self._display.event(happened, level="warning")
            process.kill()

    def _show(self, state: str | None = None) -> None:
        for name, level, message in self._logs.read():
            if level == "INFO" and message.startswith(settings.EVENT):
                self._display.event(message.removeprefix(settings.EVENT))
            elif level in ("WARNING", "ERROR", "CRITICAL"):
                self._display.event(f"{name}: {message}", level="warning")
        statuses = self._poller.newest()
        progress = statuses.get(LEARNER, {}).get("progress")
        if progress is not None:
            self.progress = Progress.from_json(progress)
        else:
            self.progress = replace(self.progress, wall_seconds=time.monotonic() - self._began)
        roles = tuple(self._role_statuses(statuses))
        self._display.update(
            replace(self.progress, state=state or self.progress.state, roles=roles)
        )

    def _role_statuses(self, statuses: Mapping[str, Mapping[str, Any]]) -> Iterator[RoleStatus]:
        for name, role in self._roles.items():
            status = statuses.get(name, {})
            running = role.process.pid is not None
            yield RoleStatus(
                name=name,
                state=str(status.get("state", "starting")) if running else role.process.state,
                detail=str(status.get("detail", "")) if running else "",
                restarts=role.process.restarts,
            )


def _end_at_once(roles: Mapping[str, Role]) -> None:
    """Leave nothing running, whatever happened; after an ordered end there is nothing left."""
    for role in roles.values():
        role.process.kill()


class _Ending:
    """What is said of the end: by the learner's summary, or here if it left none.

    Args:
        directory: where a summary of an earlier process of the run may lie, which is not this
            one's.
    """

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory
        self._earlier = directory.read_summary()

    def failed(self, failure: GreenroomError, progress: Progress) -> Result:
        """Write and return that a role failed, ``progress`` being the newest that is known."""
        left = self._left(progress)
        result = replace(left, state="Failed", reason=type(failure).__name__, message=str(failure))
        self._directory.write_summary(result)
        return result

    def ended(self, request: StopRequest, progress: Progress) -> Result:
        """Return how the run ended, ``progress`` being the newest that is known."""
        left = self._left(progress)
        if request.signal is None or left.state == "Succeeded":
            return left
        # The learner was ended by this process, whose user asked for it.
        result = replace(
            left,
            state="Interrupted",
            reason=request.signal.name,
            message=left.message.replace("SIGTERM", request.signal.name),
            signal=request.signal.value,
        )
        self._directory.write_summary(result)
        return result

    def _left(self, progress: Progress) -> Result:
        left = self._directory.read_summary()
        if left is not None and left != self._earlier:
            return Result(**vars(left))
        return Result(
            state="Interrupted",
            reason="LearnerKilled",
            message="stopped by SIGTERM; the learner left no summary, its newest checkpoint stands",
            episode_return=progress.episode_return,
            environment_steps=progress.environment_steps,
            learner_steps=progress.learner_steps,
            wall_seconds=progress.wall_seconds,
            run_directory=self._directory.path,
        )
