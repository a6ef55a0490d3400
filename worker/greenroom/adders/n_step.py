"""N-step transitions: an action, what it earned in n steps, and where it led."""

from __future__ import annotations

from typing import Any

import numpy as np
import optree

from greenroom.adders.arguments import constant_priorities, require_at_least, restore_array, without
from greenroom.adders.steps import REWARD, Rows, StepReader, Structure, zeros
from greenroom.core import State, Transitions, Writer
from greenroom.errors import ConfigurationError
from greenroom.spaces import EnvironmentSpec
from greenroom.specs import Array, Tree


class NStepTransitionAdder:
    r"""Writes every step as one transition over the n steps that follow it.

    With o_t the observation, a_t the action chosen there, r_t the reward it earned
    and gamma the discount, the item of step t is::

        observation       o_t
        action            a_t
        reward            R = r_t + gamma r_{t+1} + ... + gamma^(k-1) r_{t+k-1}
        discount          D = gamma^k, or 0 if the k-th step terminated the episode
        next_observation  o_{t+k}
        extras            those of step t (left out if there are none)

    so that a learner's target for (o_t, a_t) is, whatever k is (Sutton and Barto
    2018, equation 7.1)::

        reward + discount * V(next_observation)

    k is n except at an episode's end. There, every step that still waits is written
    with the steps that were left to it. With n = 3 and an episode of five steps that
    ends at o_5::

        step t     0   1   2   3   4
        k          3   3   3   2   1
        leads to  o_3 o_4 o_5 o_5 o_5

    - *Terminated*: the value of o_5 is 0, hence so is the discount of the last three.
    - *Truncated*: the value goes on, hence the last three are discounted by gamma^3,
      gamma^2 and gamma, and o_5 is the true final observation, never the first one
      of the episode that follows.
    - Both at once counts as terminated.

    Each step of a finished episode is written exactly once, in order, and no item
    joins two episodes: rewards are summed within one, and rows that are not ``valid``
    (Gymnasium's NEXT_STEP reset steps) are no steps at all.

    Items may share memory with the arrays given to `add`, where nothing had to be
    changed. Sums are kept in float64 and written as float32.

        adder = NStepTransitionAdder(replay.writer(), spec, 8, n_step=3, discount=0.99)
        adder.add(transitions)

    Args:
        writer: where items go.
        spec: the environment's.
        num_envs: N.
        table: the table's name.
        n_step: n, at least 1.
        discount: gamma, in [0, 1].
        extras: tree of `ArraySpec` of what the policy wants kept; () if nothing.
        priority: of every new item.

    Attributes:
        table: the table's name.
        max_items_per_step: N * n, reached when every environment's episode ends with
            n steps waiting.

    Raises:
        ConfigurationError: an argument is out of its range.
    """

    # Shapes: N environments, M of them with a step, K items; n slots for steps that wait.
    # Step t of an episode stands in slot t % n of its environment's ring.

    def __init__(
        self,
        writer: Writer,
        spec: EnvironmentSpec,
        num_envs: int,
        *,
        table: str = "transitions",
        n_step: int,
        discount: float,
        extras: Tree = (),
        priority: float = 1.0,
    ) -> None:
        require_at_least("num_envs", num_envs, 1)
        require_at_least("n_step", n_step, 1)
        if not 0.0 <= discount <= 1.0:
            raise ConfigurationError(f"discount must lie in [0, 1]. Got: discount={discount}.")
        self.table = table
        self.max_items_per_step = num_envs * n_step
        self._writer = writer
        self._n_step = n_step
        self._priorities = constant_priorities(priority, self.max_items_per_step)
        self._reader = StepReader(spec, num_envs, extras)
        self._keeps_extras = bool(optree.tree_leaves(extras))

        offsets = np.arange(n_step)
        powers = discount ** np.arange(n_step + 1, dtype=np.float64)
        self._offsets = offsets
        self._discounts = powers[1:].astype(np.float32)  # [n]: gamma^k at k - 1
        self._last_discounts = np.array([discount, 0.0], np.float32)  # by `terminated`
        # [n, n]: what the reward of a step in slot i weighs in the return of slot j.
        self._weights = powers[(offsets[:, None] - offsets) % n_step]

        self._observation: Structure = optree.tree_structure(spec.observations)
        kept: Tree = (spec.observations, spec.actions, extras)
        self._kept: Structure = optree.tree_structure(kept)
        self._rings = zeros(kept, num_envs * n_step)
        self._returns = np.zeros((num_envs, n_step), np.float64)
        self._flat_returns = self._returns.reshape(-1)
        self._base = np.arange(num_envs) * n_step  # [N]: where each ring begins
        self._steps = np.zeros(num_envs, np.int64)  # [N]: of the episode in progress

    @staticmethod
    def signature(spec: EnvironmentSpec, extras: Tree = ()) -> Tree:
        """Return the signature of the table that this adder fills."""
        signature = {
            "observation": spec.observations,
            "action": spec.actions,
            "reward": REWARD,
            "discount": REWARD,
            "next_observation": spec.observations,
        }
        if optree.tree_leaves(extras):
            signature["extras"] = extras
        return signature

    def add(self, transitions: Transitions) -> None:
        """Take one vector step; write the items that it completes, oldest first.

        Raises:
            SignatureError: the step does not fit the spec; nothing was taken.
        """
        step, rows = self._reader.read(transitions)
        if len(step.reward) == 0:
            return
        if self._n_step == 1:  # complete at once: nothing waits, nothing is copied
            items: dict[str, Any] | None = self._items(
                step.observation,
                step.action,
                step.extras,
                step.reward,
                self._last_discounts.take(step.terminated),
                step.next_observation,
            )
        else:
            items = self._advance(step, rows)
        if items is not None:
            self._writer.insert(self.table, items, self._priorities[: len(items["reward"])])

    def _advance(self, step: Transitions, rows: Rows) -> dict[str, Any] | None:
        """Put the step into the rings and take out what it completes, None if nothing."""
        time = self._steps[rows].copy()  # [M]: t
        base = self._base[rows]
        phase = time % self._n_step
        slot = base + phase
        leaves = self._kept.flatten_up_to((step.observation, step.action, step.extras))
        for ring, leaf in zip(self._rings, leaves, strict=True):
            ring[slot] = leaf
        self._flat_returns[slot] = 0.0
        self._returns[rows] += self._weights.take(phase, axis=0) * step.reward[:, None]
        self._steps[rows] += 1

        row, start = self._complete(time, step.terminated | step.truncated, rows)  # [K]
        if len(row) == 0:
            return None
        source = base.take(row) + start % self._n_step
        discount = self._discounts.take(time.take(row) - start)
        discount[step.terminated[row]] = 0.0
        observation, action, extras = self._kept.unflatten(
            [ring.take(source, axis=0) for ring in self._rings]
        )
        next_leaves = self._observation.flatten_up_to(step.next_observation)
        return self._items(
            observation,
            action,
            extras,
            self._flat_returns.take(source).astype(np.float32),
            discount,
            self._observation.unflatten([leaf.take(row, axis=0) for leaf in next_leaves]),
        )

    def _complete(self, time: Array, ended: Array, rows: Rows) -> tuple[Array, Array]:
        """Return the row and the step t of each item that is complete; begin new episodes.

        Complete are all steps that wait where an episode ended, and elsewhere the one
        that now has n steps.
        """
        last = self._n_step - 1
        if not np.count_nonzero(ended):
            row = (time >= last).nonzero()[0]
            return row, time.take(row) - last
        oldest = np.maximum(time - last, 0)
        newest = np.where(ended, time, time - last)  # before the oldest if there is none
        row, offset = (oldest[:, None] + self._offsets <= newest[:, None]).nonzero()
        self._steps[rows] *= ~ended
        return row, oldest.take(row) + offset

    def _items(
        self,
        observation: Tree,
        action: Tree,
        extras: Tree,
        reward: Array,
        discount: Array,
        next_observation: Tree,
    ) -> dict[str, Any]:
        items = {
            "observation": observation,
            "action": action,
            "reward": reward,
            "discount": discount,
            "next_observation": next_observation,
        }
        if self._keeps_extras:
            items["extras"] = extras
        return items

    def reset(self, mask: Array) -> None:
        """Forget the steps that wait in the environments of ``mask`` ([N] bool)."""
        self._steps[mask] = 0

    def state(self) -> State:
        """Return the steps that wait; empty for n = 1, where none does."""
        if self._n_step == 1:
            return {}
        # Slots of earlier episodes are left out: equal futures have equal states.
        empty = self._offsets >= self._steps[:, None]
        return {
            "steps": self._steps.copy(),
            "returns": without(self._returns, empty),
            "rings": {
                str(index): without(ring, empty.reshape(-1))
                for index, ring in enumerate(self._rings)
            },
        }

    def restore(self, state: State) -> None:
        """Take up what `state` returned.

        Raises:
            CheckpointMismatch: it is of another environment, N or n.
        """
        if self._n_step == 1:
            return
        restore_array(self._steps, state, "steps")
        restore_array(self._returns, state, "returns")
        for index, ring in enumerate(self._rings):
            restore_array(ring, state.get("rings", {}), str(index))
