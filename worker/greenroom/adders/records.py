"""Records: how sequences and episodes hold experience, one row of time each.

Record t of an episode holds what step t began with, did and got::

    observation  o_t
    action       a_t
    reward       r_t, float32
    terminated   bool: the task ended with this step; the value of what follows is 0
    truncated    bool: the episode was cut after this step; its value goes on
    first        bool: the record begins an episode
    mask         float32: 1
    extras       those of step t (left out if there are none)
    start        the other extras of step t, of which an item keeps only its first
                 record's: a recurrent state (left out if there are none)

An episode of T steps has T + 1 records. The last one is its *final-observation
record*: observation o_T and zeros in everything else, mask included, since no
action was taken there. With T = 3, the episode cut by a time limit::

    observation  o_0  o_1  o_2  o_3
    action       a_0  a_1  a_2   0
    reward       r_0  r_1  r_2   0
    truncated     0    0    1    0
    first         1    0    0    0
    mask          1    1    1    0

So the transition of step t is record t together with the observation of record
t + 1, at an episode's end too, and mask says which records begin one. L records
in a row hold L - 1 transitions at most. None of them joins two episodes, because
a mask of 0 stands between.

*Padding* is all zeros and so has mask 0 as well. The record before tells the two
apart: the one that follows ``terminated | truncated`` is a final-observation
record, every other one with mask 0 is padding. Padding never begins an item, so a
mask of 0 in an item's first record is a final-observation record's.

*Start.* A recurrent state is large, and whoever learns from records in a row needs
only the one that they begin with: the others follow from it. So an item has its
``start`` once, leaves without a time dimension. It is what the policy had *before* it
acted on the item's first record; zeros if that is a final-observation record, which
needs none: it holds no transition, and the record after it is ``first``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import optree

from greenroom.adders.arguments import restore_array, without
from greenroom.adders.steps import FLAG, REWARD, Rows, Structure, zeros
from greenroom.core import State, Transitions
from greenroom.errors import CheckpointMismatch
from greenroom.spaces import EnvironmentSpec
from greenroom.specs import Array, ArraySpec, Tree


def record_signature(
    spec: EnvironmentSpec, length: int | None, extras: Tree, start: Sequence[str] = ()
) -> Tree:
    """Return the signature of ``length`` records in a row; None for lengths that vary.

    ``start`` names those of ``extras`` that are kept of the first record only.
    """
    record = _record(spec, extras, start)
    rows: Tree = {name: record[name] for name in record if name != "start"}
    return record | optree.tree_map(lambda leaf: leaf.with_leading(length), rows)


def _record(spec: EnvironmentSpec, extras: Tree, start: Sequence[str]) -> Tree:
    record = {
        "observation": spec.observations,
        "action": spec.actions,
        "reward": REWARD,
        "terminated": FLAG,
        "truncated": FLAG,
        "first": FLAG,
        "mask": ArraySpec((), np.dtype(np.float32)),
    }
    return record | _divided(extras, start)


def _divided(extras: Tree, start: Sequence[str]) -> dict[str, Tree]:
    """Return a record's entries ``extras`` and ``start``, each if it holds anything."""
    each: Tree = extras
    if start:
        each = {name: extras[name] for name in extras if name not in start}
    entries = {"extras": each, "start": {name: extras[name] for name in start}}
    return {name: tree for name, tree in entries.items() if optree.tree_leaves(tree)}


class RecordBuffer:
    """The newest records of N environments, in one ring of ``capacity`` each.

    Record i of an environment's stream stands in slot i % capacity of its ring.

    Args:
        spec: the environment's.
        num_envs: N.
        extras: tree of `ArraySpec` of a step's extras.
        capacity: C.
        start: names of those of ``extras``, then a dict, that belong to ``start``.

    Attributes:
        count: [N] int64, records in each stream.
        steps: [N] int64, steps of the episode in progress.
        in_time: of each leaf of a record, whether an item has it once for each record
            (not ``start``, which it has once).
    """

    # Shapes: N environments, M of them with a step, C capacity.

    def __init__(
        self,
        spec: EnvironmentSpec,
        num_envs: int,
        extras: Tree,
        capacity: int,
        start: Sequence[str] = (),
    ) -> None:
        record = _record(spec, extras, start)
        self.count = np.zeros(num_envs, np.int64)
        self.steps = np.zeros(num_envs, np.int64)
        self.capacity = capacity
        self.environments = np.arange(num_envs)
        self._ones = np.ones(num_envs, np.float32)
        self._start = start
        self.in_time = [path[0] != "start" for path in optree.tree_paths(record)]
        self._record: Structure = optree.tree_structure(record)
        self._observation: Structure = optree.tree_structure(spec.observations)
        self._rings = zeros(record, num_envs * capacity)

    def append(self, step: Transitions, rows: Rows) -> None:
        """Append the record of one step, leaves [M, ...], to the streams of ``rows``."""
        steps, count = self.steps[rows], self.count[rows]
        record = {
            "observation": step.observation,
            "action": step.action,
            "reward": step.reward,
            "terminated": step.terminated,
            "truncated": step.truncated,
            "first": steps == 0,
            "mask": self._ones[: len(steps)],
        }
        record |= _divided(step.extras, self._start)
        slot = self.environments[rows] * self.capacity + count % self.capacity
        for ring, leaf in zip(self._rings, self._record.flatten_up_to(record), strict=True):
            ring[slot] = leaf
        self.steps[rows] += 1
        self.count[rows] += 1

    def append_final(self, step: Transitions, rows: Rows, ended: Array) -> Array:
        """Append final-observation records where ``ended`` ([M] bool); return whose they are."""
        environments: Array = self.environments[rows][ended]
        slot = environments * self.capacity + self.count[environments] % self.capacity
        for ring in self._rings:
            ring[slot] = 0
        rings = self._record.unflatten(self._rings)["observation"]
        for ring, leaf in zip(
            self._observation.flatten_up_to(rings),
            self._observation.flatten_up_to(step.next_observation),
            strict=True,
        ):
            ring[slot] = leaf[ended]
        self.steps[environments] = 0
        self.count[environments] += 1
        return environments

    def take(self, environments: Array, index: Array) -> list[Array]:
        """Return copies of records, leaves [K, L, ...], those of ``start`` [K, ...].

        Args:
            environments: [K].
            index: [K, L], which records of their streams. Those that a stream does not
                have (any more, or yet) give something, but nothing that means anything.
        """
        slot = environments[:, None] * self.capacity + index % self.capacity
        return [
            ring.take(slot if in_time else slot[:, 0], axis=0)
            for ring, in_time in zip(self._rings, self.in_time, strict=True)
        ]

    def tree(self, leaves: Sequence[Array | list[Array]]) -> Tree:
        """Return the leaves of `take`, or what was made of them, as records."""
        return self._record.unflatten(leaves)

    def restart(self, selected: Array) -> None:
        """Begin new, empty streams in the environments selected by index or mask."""
        self.count[selected] = 0
        self.steps[selected] = 0

    def grow(self, capacity: int) -> None:
        """Make room for more records; only while no stream is longer than its ring."""
        num_envs = len(self.count)
        for index, ring in enumerate(self._rings):
            grown = np.zeros((num_envs, capacity, *ring.shape[1:]), ring.dtype)
            grown[:, : self.capacity] = ring.reshape(num_envs, self.capacity, *ring.shape[1:])
            self._rings[index] = grown.reshape(num_envs * capacity, *ring.shape[1:])
        self.capacity = capacity

    def state(self) -> State:
        """Return the records; what is left of earlier streams is not among them."""
        num_envs = len(self.count)
        used = min(int(self.count.max()), self.capacity)
        empty = np.arange(used) >= self.count[:, None]
        return {
            "count": self.count.copy(),
            "steps": self.steps.copy(),
            "used": used,
            "rings": {
                str(index): without(
                    ring.reshape(num_envs, self.capacity, *ring.shape[1:])[:, :used], empty
                )
                for index, ring in enumerate(self._rings)
            },
        }

    def restore(self, state: State) -> None:
        """Take up what `state` returned; the rings must be as long as those were used.

        Raises:
            CheckpointMismatch: it is of another environment, N or length.
        """
        num_envs, used = len(self.count), state.get("used", 0)
        if used > self.capacity:
            raise CheckpointMismatch(
                f"An adder's saved records must fit into its {self.capacity} per environment. "
                f"Got: {used}."
            )
        restore_array(self.count, state, "count")
        restore_array(self.steps, state, "steps")
        for index, ring in enumerate(self._rings):
            shaped = ring.reshape(num_envs, self.capacity, *ring.shape[1:])
            restore_array(shaped[:, :used], state.get("rings", {}), str(index))
