"""Acting and learning at the same time, in two processes; faster on two cores, not reproducible.

Two threads would be slower than one: both sides are short calls into torch, and each
call would wait for Python's lock twice.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection

import optree

from greenroom import errors
from greenroom.core import State
from greenroom.errors import EnvironmentFault, GreenroomError, ReplayTimeout
from greenroom.launch.acting_process import split
from greenroom.learning.states import pack, unpack
from greenroom.training.assembly import WAIT_SECONDS, Parts
from greenroom.training.drivers import ONLY_COUNTS, Limits, LocalDriver
from greenroom_api import RLExperiment, dump_experiment

# Vector steps between two messages: few enough that parameters are fresh, many enough
# that messages cost the learner a few per cent of its time.
STEPS_PER_MESSAGE = 32
# With two requests under way the actor has the next one when it ends the first.
REQUESTS_UNDER_WAY = 2
# Copying variables costs a few per cent of a small learner step.
PUBLISH_PERIOD = 16
START_SECONDS = 120.0
CLOSE_SECONDS = 10.0


class OverlappedDriver(LocalDriver):
    """Learns in this process, and has another one act.

    The rate limiter holds back whichever runs ahead: the actor is asked for no more
    steps while items wait to be admitted. Its parameters are a few messages old. What
    was not admitted yet (64 vector steps at most) is not in a checkpoint.

    ``parts.actor`` and ``parts.adder`` do not act here: they show what the other
    process reported, and when `state` was called its whole state.
    """

    def __init__(self, experiment: RLExperiment, parts: Parts) -> None:
        super().__init__(parts)
        self._num_envs = experiment.spec.actors.environments_per_actor
        self._tables = {
            table.name: table
            for table in parts.builder.make_tables(experiment.spec.replay, self._num_envs)
        }
        self._requested: list[int] = []  # vector steps of the requests under way
        self._sent_version = -1
        self._environment_state: State = {}
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "greenroom.launch.acting_process", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._connection = Connection(ours.detach())
        self._send({"kind": "begin", "experiment": dump_experiment(experiment)})
        self._receive(START_SECONDS)

    def advance(self, limits: Limits, interrupted: Callable[[], bool]) -> None:
        """Go on until a limit is reached or ``interrupted()``, which is asked at every step."""
        while not self._reached(limits) and not interrupted():
            self._admit_pending()
            self._request(limits.environment_steps)
            if self._connection.poll():
                self._take_stepped()
            elif not self._learn():
                # Acting is behind, or held back only until it is told to go on.
                self._connection.poll(WAIT_SECONDS)
        self._parts.learning.publish()

    def _reached(self, limits: Limits) -> bool:
        environment_steps, learner_steps = limits.environment_steps, limits.learner_steps
        return (
            environment_steps is not None
            and self._parts.actor.environment_steps >= environment_steps
        ) or (learner_steps is not None and self._parts.learning.learner_steps >= learner_steps)

    def _admit_pending(self) -> None:
        if self._parts.writer.pending:
            with contextlib.suppress(ReplayTimeout):
                self._parts.writer.flush(timeout=0.0)

    def _request(self, limit: int | None) -> None:
        """Ask for steps, but for none beyond the limit, and none while items are held back."""
        while len(self._requested) < REQUESTS_UNDER_WAY and not self._parts.writer.pending:
            steps = STEPS_PER_MESSAGE
            if limit is not None:
                missing = limit - self._parts.actor.environment_steps
                steps = min(steps, -(-missing // self._num_envs) - sum(self._requested))
            if steps <= 0:
                return
            self._send({"kind": "step", "steps": steps, **self._new_variables()})
            self._requested.append(steps)

    def _new_variables(self) -> State:
        newest = self._parts.variables.get(self._sent_version)
        if newest is None:
            return {}
        self._sent_version = newest.version
        return {"version": newest.version, "variables": dict(newest.values)}

    def _take_stepped(self) -> None:
        """Take the answer to the oldest request."""
        answer = self._receive(START_SECONDS)
        self._requested.pop(0)
        for name, items in answer["items"].items():
            signature = self._tables[name].signature
            leaves = [split(items["leaves"][str(i)]) for i in range(len(items["leaves"]))]
            tree = optree.tree_unflatten(optree.tree_structure(signature), leaves)
            self._parts.writer.insert(name, tree, items["priorities"])
        self._parts.actor.environment_steps = answer["environment_steps"]
        self._parts.actor.episodes.restore(answer["episodes"])
        self.acting_seconds += answer["seconds"]
        if answer["error"] is not None:
            raise _error(answer["error"])

    def _learn(self) -> bool:
        """Learn from one batch if there is one."""
        learning, dataset = self._parts.learning, self._parts.dataset
        if not self._parts.replay.can_sample(dataset.table, dataset.batch_size):
            return False
        began = time.perf_counter()
        learning.step()
        if learning.learner_steps % PUBLISH_PERIOD == 0:
            learning.publish()
        self.learning_seconds += time.perf_counter() - began
        return True

    def _settle(self) -> None:
        """Take the answers under way, and the other process's whole state."""
        while self._requested:
            # An environment that failed does so again for each request under way.
            with contextlib.suppress(EnvironmentFault):
                self._take_stepped()
        self._send({"kind": "state"})
        state = self._receive(START_SECONDS)
        self._parts.actor.restore(state["actor"])
        self._parts.adder.restore(state["adder"])
        self._environment_state = state["environment"]

    def state(self) -> dict[str, State]:
        """Return all parts, of one moment."""
        self._settle()
        return self._state({"acting_turn": True, "environment": self._environment_state})

    def restore(self, parts: Mapping[str, State], reported_steps: int) -> list[str]:
        """Have the other process go on from a checkpoint."""
        if not self._restore(parts, reported_steps):
            # Of the actor the counts alone go on: episodes begin anew there.
            environment, missing = None, [ONLY_COUNTS]
        else:
            environment, missing = parts["driver"]["environment"], []
        self._send(
            {
                "kind": "restore",
                "actor": self._parts.actor.state(),
                "adder": self._parts.adder.state(),
                "environment": environment,
            }
        )
        self._receive(START_SECONDS)
        return missing

    def close(self) -> None:
        """End the other process."""
        self._connection.close()
        try:
            self._process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _send(self, message: State) -> None:
        try:
            self._connection.send_bytes(pack(message))
        except OSError as error:
            raise self._gone() from error

    def _receive(self, timeout: float) -> State:
        """Return the next answer, within ``timeout`` seconds."""
        try:
            if not self._connection.poll(timeout):
                raise GreenroomError(
                    f"The acting process must answer within {timeout:g} s. Got: nothing."
                )
            answer = unpack(self._connection.recv_bytes())
        except (EOFError, OSError) as error:
            raise self._gone() from error
        if answer["kind"] == "failed":
            raise _error(answer["error"])
        return answer

    def _gone(self) -> GreenroomError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(CLOSE_SECONDS)
        return GreenroomError(
            "The acting process must run as long as the training does. Got: it ended with status "
            f"{self._process.returncode}."
        )


def _error(description: State) -> GreenroomError:
    """Return the other process's error as one of ours."""
    kind: type[GreenroomError] = getattr(errors, description["type"], GreenroomError)
    return kind(description["message"])
