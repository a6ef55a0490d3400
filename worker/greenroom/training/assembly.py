"""From an experiment to the parts of one process, wired together."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from greenroom.acting.actor import Actor
from greenroom.agents import make_builder
from greenroom.core import (
    Adder,
    AgentBuilder,
    Dataset,
    Learner,
    LockstepReplay,
    VariableSource,
    Writer,
)
from greenroom.environments import Environment, make_environment
from greenroom.errors import ConfigurationError
from greenroom.learning.loop import LearningLoop
from greenroom.randomness import numpy_generator, torch_generator, torch_seeded
from greenroom.replay.embedded import EmbeddedReplay
from greenroom.spaces import EnvironmentSpec
from greenroom.training.evaluations import EpisodePlayer, LocalEvaluations
from greenroom.variables import LocalVariables
from greenroom_api import RLExperiment

# The name of the one actor, from which its seeds are derived.
ACTOR = "actor-0"
# In one process a blocked wait is looked at this often, to see whether to stop.
WAIT_SECONDS = 0.2


@dataclass(frozen=True)
class Parts:
    """The parts of one process; `greenroom.core` shows how they work together."""

    builder: AgentBuilder
    environment: Environment
    replay: LockstepReplay
    writer: Writer
    adder: Adder
    actor: Actor
    variables: LocalVariables
    dataset: Dataset
    learning: LearningLoop
    evaluations: LocalEvaluations

    def close(self) -> None:
        """Release environments and wake whoever waits on replay."""
        self.dataset.close()
        self.replay.close()
        self.environment.close()


def choose_device(wanted: str) -> torch.device:
    """Return the device for ``auto``, ``cpu`` or ``cuda``.

    Raises:
        ConfigurationError: ``cuda`` was asked for, and there is none.
    """
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise ConfigurationError(
            "spec.learner.device: cuda needs a GPU that torch can use. Got: torch "
            f"{torch.__version__} finds none."
        )
    return torch.device("cuda" if wanted == "cuda" or (wanted == "auto" and available) else "cpu")


def assemble_environment(
    experiment: RLExperiment, name: str = ACTOR
) -> tuple[Environment, AgentBuilder]:
    """Make the environments that the actor ``name`` acts in, and the builder of its agent."""
    spec = experiment.spec
    environment = make_environment(
        spec.environment, num_envs=spec.actors.environments_per_actor, seed=spec.seed, name=name
    )
    return environment, make_builder(spec.agent, environment.spec)


def assemble_builder(experiment: RLExperiment) -> tuple[EnvironmentSpec, AgentBuilder]:
    """Make the builder of an agent that does not act here; one environment tells what it needs."""
    spec = experiment.spec
    environment = make_environment(spec.environment, num_envs=1, seed=spec.seed, name="spec")
    try:
        return environment.spec, make_builder(spec.agent, environment.spec)
    finally:
        environment.close()


def assemble_actor(
    experiment: RLExperiment,
    builder: AgentBuilder,
    writer: Writer,
    variables: VariableSource,
    name: str = ACTOR,
) -> tuple[Adder, Actor]:
    """Make the actor ``name``, whose adder hands its items to ``writer``."""
    seed, num_envs = experiment.spec.seed, experiment.spec.actors.environments_per_actor
    adder = builder.make_adder(writer, num_envs)
    policy = builder.make_policy(make_network(builder, seed), evaluation=False)
    return adder, Actor(policy, adder, variables, torch_generator(seed, name), num_envs)


def make_player(experiment: RLExperiment, builder: AgentBuilder) -> EpisodePlayer:
    """Make what plays evaluations."""
    network = make_network(builder, experiment.spec.seed)
    return EpisodePlayer(experiment, builder.make_policy(network, evaluation=True))


def make_learner(experiment: RLExperiment, builder: AgentBuilder, device: torch.device) -> Learner:
    """Make the learner; every process that makes one begins with the same parameters."""
    seed = experiment.spec.seed
    with torch_seeded(seed, "learner"):
        return builder.make_learner(make_network(builder, seed), device)


def make_network(builder: AgentBuilder, seed: int) -> nn.Module:
    """Make a network, initialised alike at every call."""
    with torch_seeded(seed, "network"):
        return builder.make_network()


def assemble(experiment: RLExperiment) -> Parts:
    """Make all parts of an experiment.

    Raises:
        ConfigurationError: the environment cannot be made, or the agent does not fit it.
    """
    spec, seed = experiment.spec, experiment.spec.seed
    num_envs = spec.actors.environments_per_actor
    device = choose_device(spec.learner.device)
    environment, builder = assemble_environment(experiment)
    try:
        replay = EmbeddedReplay(
            builder.make_tables(spec.replay, num_envs), numpy_generator(seed, "replay")
        )
    except MemoryError as error:
        raise ConfigurationError(
            f"Replay must fit into memory. Got: spec.replay.maxSize={spec.replay.max_size}: {error}"
        ) from error
    variables = LocalVariables()
    dataset = builder.make_dataset(replay, device, prefetch=0, timeout=WAIT_SECONDS)
    learner = make_learner(experiment, builder, device)
    learning = LearningLoop(learner, dataset, replay, variables)
    learning.publish()
    writer = replay.writer()
    adder, actor = assemble_actor(experiment, builder, writer, variables)
    actor.update()
    evaluations = LocalEvaluations(make_player(experiment, builder), variables)
    return Parts(
        builder,
        environment,
        replay,
        writer,
        adder,
        actor,
        variables,
        dataset,
        learning,
        evaluations,
    )
