"""Roles in threads of the test's process, and what they need around them."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from answering import HOST, Answering
from gymnasium import spaces
from learner_tools import TOKEN, wait_until
from prometheus_client.parser import text_string_to_metric_families
from reverb_server import free_port
from torch import Tensor

from greenroom.replay.tables import RateLimiter, Table
from greenroom.roles.lifetime import RoleStop
from greenroom.roles.serving import RoleContext
from greenroom.training.assembly import assemble_builder, make_learner
from greenroom.training.signals import StopRequest
from greenroom_api import RLExperiment

# Within which a role ends that is asked to, on a busy machine, and waits for nothing else.
SOON = 30.0


class Role(Answering):
    """A role in a thread, its endpoint, and the means to stop it as SIGTERM would.

    with Role("actor-0", lambda context: run_actor(experiment, context, ...)) as role:
        role.wait_until_ready()
        role.end()
    """

    def __init__(self, name: str, run: Callable[[RoleContext], object]) -> None:
        self.error: BaseException | None = None
        self._request = StopRequest()
        super().__init__(free_port())
        self.stop = RoleStop(self._request)
        self.context = RoleContext(name, HOST, self.http_port, self.stop, TOKEN)
        self._thread = threading.Thread(target=self._run, args=(run,), name=name)

    def _run(self, run: Callable[[RoleContext], object]) -> None:
        try:
            run(self.context)
        except BaseException as error:
            self.error = error

    def __enter__(self) -> Role:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.ask_to_stop()
            self.join()
        finally:
            self.context.close()

    def ask_to_stop(self) -> None:
        self._request.signal = signal.SIGTERM

    def join(self, seconds: float = 60.0) -> None:
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"still running after {seconds} s"

    def end(self, seconds: float = 60.0) -> float:
        """Stop it; return how many seconds that took, and raise what it raised."""
        began = time.monotonic()
        self.ask_to_stop()
        self.join(seconds)
        if self.error is not None:
            raise self.error
        return time.monotonic() - began

    def metrics(self) -> dict[str, float]:
        families = text_string_to_metric_families(self.ask("/metrics")[1])
        return {sample.name: sample.value for family in families for sample in family.samples}

    def is_ready(self) -> bool:
        return self.ask("/readyz")[0] == 200

    def wait_until_ready(self) -> None:
        wait_until(self.is_ready)

    def wait_until_waiting(self, for_what: str) -> None:
        """Wait until it lives, is not ready, and says that it waits for this."""
        wait_until(lambda: for_what in self.ask("/readyz")[1])
        assert self.ask("/readyz")[0] == 503
        assert self.ask("/healthz")[0] == 200


def unlimited(tables: Sequence[Table]) -> list[Table]:
    """The same tables without rate limits; to a client they are no others."""
    return [replace(table, limiter=RateLimiter.min_size_only(1)) for table in tables]


def tables_of(experiment: RLExperiment) -> Sequence[Table]:
    _, builder = assemble_builder(experiment)
    spec = experiment.spec
    return builder.make_tables(spec.replay, spec.actors.environments_per_actor)


def parameters_of(experiment: RLExperiment) -> Mapping[str, Tensor]:
    """What the experiment's learner publishes first."""
    _, builder = assemble_builder(experiment)
    return make_learner(experiment, builder, torch.device("cpu")).variables()


class Endless(gym.Env[Any, Any]):
    """An environment whose episodes end when the test says so."""

    may_end: ClassVar[threading.Event] = threading.Event()

    def __init__(self) -> None:
        self.observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        ended = self.may_end.wait(0.002)
        return np.zeros(2, np.float32), 1.0, ended, False, {}
