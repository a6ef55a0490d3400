"""The seams of Greenroom: what an agent is written against, and what plugs in behind it.

Experience flows one way and parameters flow back::

    environment -> actor (policy) -> adder -> replay -> dataset -> learner
                     ^                                               |
                     +--------------- variables <--------------------+

An agent is written once against the protocols below. What stands behind them
differs between one process, several processes and pods; the agent does not.

The whole of reinforcement learning as Greenroom runs it, in one thread. The rate
limiter decides whose turn it is: acting goes on while everything that one more
step could write still fits, then learning goes on while a whole batch fits::

    environment = make_environment(spec.environment, num_envs=4, seed=0, name="actor-0")
    builder = DQNBuilder(spec.agent.dqn, environment.spec)        # any AgentBuilder

    replay = EmbeddedReplay(builder.make_tables(spec.replay, 4), numpy_generator(0, "replay"))
    adder = builder.make_adder(replay.writer(), 4)
    dataset = builder.make_dataset(replay, device, prefetch=0, timeout=1.0)
    learner = builder.make_learner(builder.make_network(), device)
    policy = builder.make_policy(builder.make_network(), evaluation=False)
    variables = LocalVariables()
    actor = Actor(policy, adder, variables, torch_generator(0, "actor-0"), 4)

    observation = environment.reset()
    for version in count():
        variables.publish(version, learner.variables())
        actor.update()                                            # newest parameters, if newer
        while replay.can_insert(adder.table, adder.max_items_per_step):
            action = actor.select_action(observation)
            step = environment.step(action)
            actor.observe(observation, action, step)              # -> adder -> replay
            observation = step.observation
        if actor.environment_steps >= spec.stop.environment_steps:
            break
        while replay.can_sample(dataset.table, dataset.batch_size):
            batch = next(dataset)
            output = learner.step(batch)
            if output.priorities is not None:
                priorities = output.priorities.numpy()
                replay.update_priorities(dataset.table, batch.keys, priorities)

Shapes: N environments that step together, B items in a batch, T time. A *tree* is
a nested dict, tuple or list (see `greenroom.specs`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor, nn

from greenroom.replay.samples import Samples as Samples
from greenroom.replay.tables import Table, TableInfo
from greenroom.spaces import EnvironmentSpec
from greenroom.specs import Array, Tree

State: TypeAlias = dict[str, Any]
"""What a checkpoint keeps of a part: nested dicts with string keys, whose leaves are
numpy arrays, tensors, and plain JSON values (None, bool, int, float, str, lists of them)."""


# --- environment -> actor ----------------------------------------------------------------


class EnvironmentStep(NamedTuple):
    """What N environments answered to N actions; every leaf begins with [N].

    Attributes:
        reward: [N] float32, r_t.
        terminated: [N] bool: the task ended; nothing follows, its value is 0.
        truncated: [N] bool: the episode was cut; its value goes on (bootstrap).
        next_observation: [N, ...], o_{t+1}: the *final* observation where an episode
            ended, never the first of the next.
        valid: [N] bool: False where this call only began an episode (Gymnasium's
            NEXT_STEP autoreset), so that there is no transition to learn from.
        observation: [N, ...]: what to act on next: o_{t+1}, or the first observation
            of the episode that began.
        first: [N] bool: `observation` begins an episode.
    """

    reward: Array
    terminated: Array
    truncated: Array
    next_observation: Tree
    valid: Array
    observation: Tree
    first: Array


class Transitions(NamedTuple):
    """N transitions, one of each environment, on their way to an adder.

    ``observation`` is o_t, ``action`` a_t, ``extras`` whatever the policy wants kept
    beside them (log-probabilities, the recurrent state before a_t, of which a sequence
    may keep only its first: `greenroom.adders.records`); the rest is as in
    `EnvironmentStep`. Rows that are not ``valid`` hold nothing.
    """

    observation: Tree
    action: Tree
    reward: Array
    terminated: Array
    truncated: Array
    next_observation: Tree
    extras: Tree
    valid: Array


class PolicyOutput(NamedTuple):
    """``action`` [N, ...]; ``state``, the recurrent state after it; ``extras`` to be kept in
    replay. Trees of tensors; an empty tuple where there is nothing.
    """

    action: Tree
    state: Tree
    extras: Tree


class Policy(Protocol):
    """A function from observations to actions. No I/O, no replay, no counters.

    Two calls with equal arguments and equal generator states give equal answers.
    """

    def initial_state(self, num_envs: int) -> Tree:
        """Return the recurrent state of ``num_envs`` new episodes, leaves [N, ...]; () if none."""

    def __call__(
        self, observation: Tree, state: Tree, generator: torch.Generator, environment_steps: int
    ) -> PolicyOutput:
        """Choose actions.

        Args:
            observation: tree of tensors [N, ...].
            state: what `initial_state` or the call before returned. The actor puts
                the initial state in where an episode has begun.
            generator: the only source of randomness.
            environment_steps: how far the experiment is, for exploration schedules.
        """

    def load_variables(self, variables: Mapping[str, Tensor]) -> None:
        """Copy parameters in, by name."""


# --- actor -> adder -> replay -------------------------------------------------------------


class Adder(Protocol):
    """Steps in, items out. One adder keeps the episodes of its N environments apart.

    Attributes:
        table: where its items go.
        max_items_per_step: the most items that one `add` can write.
    """

    table: str
    max_items_per_step: int

    def add(self, transitions: Transitions) -> None:
        """Take one vector step and hand the items that it completes to the writer.

        Never blocks; no item ever joins two episodes.
        """

    def reset(self, mask: Array) -> None:
        """Forget what is unfinished of the environments in ``mask`` ([N] bool)."""

    def state(self) -> State:
        """Return what is unfinished, for a checkpoint."""

    def restore(self, state: State) -> None:
        """Take up what `state` returned."""


class Writer(Protocol):
    """One producer's way into replay.

        writer.insert("transitions", items, priorities)    # at once
        writer.flush(timeout=5.0, max_pending=256)         # waits, if the limiter says so

    Items that the rate limiter does not admit yet are pending: they stay with the
    writer, in order for each table, until they are admitted. That happens in `insert` and
    `flush`; where a server stands behind, also in between, as soon as there is room. There,
    what waits for one table may hold back what was inserted after it into another.
    """

    @property
    def pending(self) -> int:
        """How many items are not known to be admitted yet."""

    def insert(self, table: str, items: Tree, priorities: Array) -> None:
        """Hand over K items: a tree of [K, ...] and priorities [K] float64. Never blocks.

        A leaf whose signature varies in length is a sequence of K arrays instead. What is
        kept is copied: the caller may use the arrays again.

        Raises:
            SignatureError: the items are not the table's; none was taken.
            ValueError: a priority is negative or not finite; none was taken.
            ReplayClosed: replay was closed.
        """

    def flush(self, timeout: float, max_pending: int = 0) -> None:
        """Wait until at most ``max_pending`` items are pending, ``timeout`` seconds at most.

        Raises:
            ReplayTimeout: more are pending still; they stay, and flush may be called again.
            ReplayUnavailable: so it is, because the server does not answer.
            ReplayClosed: replay was closed.
        """


class Sampler(Protocol):
    """One consumer's way out of a table."""

    def sample(self, batch_size: int, timeout: float) -> Samples:
        """Return ``batch_size`` items, waiting ``timeout`` seconds at most.

        Items are admitted singly. A batch that is only partly filled at the deadline
        stays here, and the next call goes on with it.

        Raises:
            ReplayTimeout: the limiter did not admit them all; the message says why.
            ReplayUnavailable: the server does not answer.
            ReplayDataError: the server sent an item that cannot be read; it is left out.
            ReplayClosed: replay was closed.
        """


class Replay(Protocol):
    """Tables of items behind rate limiters; safe to use from several threads."""

    def writer(self) -> Writer:
        """Return a new writer for one producer."""

    def sampler(self, table: str) -> Sampler:
        """Return a new sampler of ``table`` for one consumer."""

    def update_priorities(self, table: str, keys: Array, priorities: Array) -> None:
        """Set priorities [B] of the items ``keys`` [B]; items that have left are passed over.

        Raises:
            ValueError: a priority is negative or not finite; none was set.
        """

    def info(self) -> Mapping[str, TableInfo]:
        """Return each table's state now, by name."""

    def close(self) -> None:
        """Wake everyone who waits with `ReplayClosed`."""


@runtime_checkable
class LockstepReplay(Replay, Protocol):
    """A replay in this process, which can say beforehand what would not block."""

    def can_insert(self, table: str, items: int) -> bool:
        """Whether ``items`` inserts would be admitted now, with no sample between them."""

    def can_sample(self, table: str, items: int) -> bool:
        """Whether ``items`` samples would be admitted now, with no insert between them.

        Where drawn items leave the table: whichever they are.
        """

    def state(self) -> State:
        """Return all contents, counters and random states, for a checkpoint."""

    def restore(self, state: State) -> None:
        """Take up what `state` returned."""


# --- replay -> learner --------------------------------------------------------------------


class Batch(NamedTuple):
    """One training batch on the learner's device.

    Attributes:
        data: tree of tensors [B, ...].
        keys: [B] uint64 numpy array: which items these are, to give them new priorities.
        probabilities: [B] float32 tensor: how likely each item was to be drawn.
        table_size: [B] float32 tensor: items in the table when it was drawn.
    """

    data: Tree
    keys: Array
    probabilities: Tensor
    table_size: Tensor


class Dataset(Protocol):
    """An endless iterator of batches from one table."""

    table: str
    batch_size: int

    def __iter__(self) -> Iterator[Batch]: ...

    def __next__(self) -> Batch:
        """Return the next batch.

        Raises:
            ReplayTimeout: none came in time; calling again goes on waiting.
        """

    def close(self) -> None:
        """Stop prefetching."""


class LearnerOutput(NamedTuple):
    """``metrics``: scalar tensors by name, still on the device, ``loss`` among them;
    ``priorities``: new ones of the batch's items [B], or None.
    """

    metrics: Mapping[str, Tensor]
    priorities: Tensor | None


class Learner(Protocol):
    """One gradient step at a time. Free of files, clocks, counts and replay.

    The learning loop around it counts steps, sends priorities back, publishes
    variables and writes checkpoints, once for all agents.
    """

    def step(self, batch: Batch) -> LearnerOutput:
        """Learn from one batch."""

    def variables(self) -> Mapping[str, Tensor]:
        """Return what a policy needs, by name. The tensors are the learner's own, not copies."""

    def state(self) -> State:
        """Return parameters, optimizer and whatever else goes on, for a checkpoint."""

    def restore(self, state: State) -> None:
        """Take up what `state` returned.

        Raises:
            CheckpointMismatch: the state is another network's.
        """


# --- learner -> actor ---------------------------------------------------------------------


class Variables(NamedTuple):
    """Parameters by name, and the version they are: the learner steps inside them."""

    version: int
    values: Mapping[str, Tensor]


class VariableSource(Protocol):
    """Where an actor gets parameters from."""

    def get(self, newer_than: int) -> Variables | None:
        """Return the newest variables, or None if they are not newer than that version."""


# --- all of it, from one description --------------------------------------------------------


class ReplayOptions(Protocol):
    """What an experiment says about replay (`greenroom_api.Replay` is one)."""

    @property
    def rate_limiter(self) -> str: ...
    @property
    def samples_per_insert(self) -> float: ...
    @property
    def min_size(self) -> int: ...
    @property
    def max_size(self) -> int: ...
    @property
    def error_buffer(self) -> float | None: ...


class AgentBuilder(Protocol):
    """Makes the parts of one agent for one environment.

    A builder is constructed with its hyperparameters and the environment's spec, and
    refuses what does not fit (a DQN on continuous actions) with a `ConfigurationError`.
    Its class names the pydantic model of its hyperparameters as ``config_class``; an
    experiment names the class itself as ``agent.custom.builder``. See
    ``examples/custom_agent`` for a whole one.
    """

    config_class: type[Any]

    def __init__(self, config: Any, spec: EnvironmentSpec) -> None: ...

    def make_network(self) -> nn.Module:
        """Return a new network; torch's global generator is seeded around the call."""

    def make_policy(self, network: nn.Module, evaluation: bool) -> Policy:
        """Return a policy that acts with ``network``: exploring, or at its best for evaluation.

        The network is the policy's own; it belongs in ``eval()`` mode.
        """

    def make_tables(self, options: ReplayOptions, num_envs: int) -> Sequence[Table]:
        """Return the replay tables that one actor's ``num_envs`` environments fill."""

    def make_adder(self, writer: Writer, num_envs: int) -> Adder:
        """Return an adder whose items have the table's signature."""

    def make_dataset(
        self, replay: Replay, device: torch.device, prefetch: int, timeout: float
    ) -> Dataset:
        """Return the batches to learn from; ``timeout`` seconds bound each wait."""

    def make_learner(self, network: nn.Module, device: torch.device) -> Learner:
        """Return a learner that trains ``network``, which it moves to ``device``."""
