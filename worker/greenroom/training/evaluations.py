"""Evaluations of a training: asked for at a point, played here or elsewhere, taken when ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from greenroom.acting.evaluation import MAX_ENVIRONMENTS, Evaluation, evaluate
from greenroom.core import Policy, Variables, VariableSource
from greenroom.environments import make_environment
from greenroom.randomness import torch_generator
from greenroom_api import RLExperiment


@dataclass(frozen=True)
class Evaluated:
    """An evaluation that ended.

    Attributes:
        environment_steps: where training was when it was asked for.
        learner_steps: inside the parameters that played.
        evaluation: what came of it.
    """

    environment_steps: int
    learner_steps: int
    evaluation: Evaluation


class Evaluations(Protocol):
    """Plays the newest published variables.

    ::

        evaluations.request(environment_steps=2_000, learner_steps=500)
        while not (ended := evaluations.take(interrupted, wait=0.2)):
            ...
    """

    def request(self, environment_steps: int, learner_steps: int) -> None:
        """Ask for an evaluation of variables of at least ``learner_steps``."""

    def take(self, interrupted: Callable[[], bool], wait: float) -> list[Evaluated]:
        """Return what ended since the last call.

        Args:
            interrupted: asked at every step of an evaluation that is played here; one
                that was interrupted is played again from its beginning by the next call.
            wait: seconds to wait at most for one that is played elsewhere.
        """

    def why_waiting(self) -> str:
        """Return what an evaluation that was asked for waits for, for people."""


class EpisodePlayer:
    """Plays episodes in environments made for one evaluation.

    Their seeds follow from the experiment's and the step of the evaluation, so that an
    evaluation more or less changes neither training nor later evaluations.

    Args:
        experiment: names the environment and how many episodes.
        policy: this player's own.
    """

    def __init__(self, experiment: RLExperiment, policy: Policy) -> None:
        self._experiment = experiment
        self._policy = policy

    def play(
        self, variables: Variables, environment_steps: int, interrupted: Callable[[], bool]
    ) -> Evaluation | None:
        """Return the evaluation at this step, or None if it was interrupted."""
        self._policy.load_variables(variables.values)
        spec, name = self._experiment.spec, f"evaluation-{environment_steps}"
        environment = make_environment(
            spec.environment,
            num_envs=min(spec.evaluator.episodes, MAX_ENVIRONMENTS),
            seed=spec.seed,
            name=name,
        )
        try:
            return evaluate(
                self._policy,
                environment,
                spec.evaluator.episodes,
                torch_generator(spec.seed, name),
                interrupted=interrupted,
            )
        finally:
            environment.close()


class LocalEvaluations:
    """Plays what was asked for when it is taken, in this thread (`Evaluations`)."""

    def __init__(self, player: EpisodePlayer, variables: VariableSource) -> None:
        self._player = player
        self._variables = variables
        self._requested: int | None = None

    def request(self, environment_steps: int, learner_steps: int) -> None:
        """Ask for an evaluation of the newest variables."""
        self._requested = environment_steps

    def take(self, interrupted: Callable[[], bool], wait: float) -> list[Evaluated]:
        """Play what was asked for, and return it."""
        if self._requested is None:
            return []
        newest = self._variables.get(newer_than=-1)
        assert newest is not None, "the learning loop publishes before anything is evaluated"
        evaluation = self._player.play(newest, self._requested, interrupted)
        if evaluation is None:
            return []
        ended = Evaluated(self._requested, newest.version, evaluation)
        self._requested = None
        return [ended]

    def why_waiting(self) -> str:
        """Nothing: it is played by the next `take`."""
        return "its turn in this process"
