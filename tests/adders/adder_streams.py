"""Episodes that say in every observation where they are, and a writer that keeps what it gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import optree
from gymnasium import spaces
from hypothesis import strategies as st

from greenroom.core import Transitions
from greenroom.spaces import EnvironmentSpec
from greenroom.specs import ArraySpec

INVALID, GOES_ON, TERMINATED, TRUNCATED, BOTH = range(5)

FLAT = EnvironmentSpec.from_spaces(spaces.Box(-np.inf, np.inf, (3,)), spaces.Discrete(10_000))
NESTED = EnvironmentSpec.from_spaces(
    spaces.Dict(
        {
            "position": spaces.Box(-np.inf, np.inf, (3,)),
            "others": spaces.Tuple(
                (
                    spaces.Discrete(10_000),
                    spaces.Dict({"camera": spaces.Box(0, 255, (2, 2), np.uint8)}),
                )
            ),
        }
    ),
    spaces.Tuple((spaces.Discrete(10_000), spaces.Box(-np.inf, np.inf, (2,)))),
)
EXTRAS = {"log_prob": ArraySpec((), np.float32), "memory": (ArraySpec((2,), np.float32),)}


@dataclass(frozen=True)
class Step:
    """Step t of an episode of one environment."""

    env: int
    episode: int
    t: int
    terminated: bool
    truncated: bool

    @property
    def reward(self) -> float:
        return float((7 * self.env + 3 * self.episode + 5 * self.t) % 11 - 5)

    @property
    def ended(self) -> bool:
        return self.terminated or self.truncated


def make_observation(nested: bool, env: int, episode: int, t: int) -> Any:
    position = np.array([env, episode, t], np.float32)
    if not nested:
        return position
    number = np.int64(1_000 * env + 50 * episode + t)
    return {
        "position": position,
        "others": (number, {"camera": np.full((2, 2), 16 * env + t, np.uint8)}),
    }


def make_action(nested: bool, step: Step) -> Any:
    number = np.int64(1_000 * step.env + 50 * step.episode + step.t + 1)
    return (number, np.array([step.t, -step.t], np.float32)) if nested else number


def make_extras(step: Step) -> Any:
    return {
        "log_prob": np.float32(-0.5 * step.t - 1),
        "memory": (np.array([step.episode, step.t], np.float32),),
    }


def position(observation: Any) -> Any:
    """Return the leaf [..., 3] that says environment, episode and t."""
    return observation["position"] if isinstance(observation, dict) else observation


def stack(trees: list[Any]) -> Any:
    return optree.tree_map(lambda *leaves: np.stack(leaves), *trees)


@dataclass(frozen=True)
class Stream:
    """What N environments do in a number of vector steps.

    ``codes[s][e]`` says what environment e does in step s.
    """

    codes: list[list[int]]
    nested: bool = False
    with_extras: bool = False

    @property
    def num_envs(self) -> int:
        return len(self.codes[0])

    @property
    def spec(self) -> EnvironmentSpec:
        return NESTED if self.nested else FLAT

    @property
    def extras(self) -> Any:
        return EXTRAS if self.with_extras else ()

    def vector_steps(self) -> list[tuple[Transitions, list[Step | None]]]:
        """Return each vector step, and the same as one step an environment, None if invalid."""
        where = [(0, 0)] * self.num_envs
        result = []
        for row in self.codes:
            steps: list[Step | None] = []
            for env, code in enumerate(row):
                if code == INVALID:
                    steps.append(None)
                    continue
                episode, t = where[env]
                step = Step(env, episode, t, code in (TERMINATED, BOTH), code in (TRUNCATED, BOTH))
                where[env] = (episode + 1, 0) if step.ended else (episode, t + 1)
                steps.append(step)
            result.append((self._transitions(steps), steps))
        return result

    def _transitions(self, steps: list[Step | None]) -> Transitions:
        # A row that is not valid may hold anything: here, the end of an episode that is not.
        anything = Step(99, 99, 99, terminated=True, truncated=True)
        valid = np.array([step is not None for step in steps])
        rows = [step or anything for step in steps]
        return Transitions(
            observation=stack([make_observation(self.nested, r.env, r.episode, r.t) for r in rows]),
            action=stack([make_action(self.nested, r) for r in rows]),
            reward=np.where(valid, [r.reward for r in rows], np.nan).astype(np.float32),
            terminated=np.array([r.terminated for r in rows]),
            truncated=np.array([r.truncated for r in rows]),
            next_observation=stack(
                [make_observation(self.nested, r.env, r.episode, r.t + 1) for r in rows]
            ),
            extras=stack([make_extras(r) for r in rows]) if self.with_extras else (),
            valid=valid,
        )


@st.composite
def streams(draw: st.DrawFn, max_envs: int = 3, max_steps: int = 25) -> Stream:
    num_envs = draw(st.integers(1, max_envs))
    num_steps = draw(st.integers(1, max_steps))
    code = st.sampled_from(
        draw(
            st.sampled_from(
                [
                    [GOES_ON, GOES_ON, GOES_ON, TERMINATED, TRUNCATED, INVALID, BOTH],
                    [GOES_ON] * 8 + [TERMINATED, TRUNCATED],
                    [TERMINATED, TRUNCATED, GOES_ON],
                ]
            )
        )
    )
    codes = draw(
        st.lists(
            st.lists(code, min_size=num_envs, max_size=num_envs),
            min_size=num_steps,
            max_size=num_steps,
        )
    )
    return Stream(codes, nested=draw(st.booleans()), with_extras=draw(st.booleans()))


def single(*episodes: tuple[int, int]) -> Stream:
    """Return the stream of one environment: episodes of (length, how the last step ends)."""
    codes = [code for length, end in episodes for code in [GOES_ON] * (length - 1) + [end]]
    return Stream([[code] for code in codes])


class RecordingWriter:
    """Keeps items singly, as views, so that an adder that reused their memory would show.

    Refuses what does not have the signature.
    """

    def __init__(self, signature: Any) -> None:
        self.items: list[Any] = []
        self.tables: list[str] = []
        self.priorities: list[float] = []
        self.calls: list[int] = []
        self._specs, self._structure = optree.tree_flatten(signature)

    pending = 0

    def insert(self, table: str, items: Any, priorities: Any) -> None:
        count = len(priorities)
        assert priorities.dtype == np.float64
        leaves = self._structure.flatten_up_to(items)
        for leaf, spec in zip(leaves, self._specs, strict=True):
            assert len(leaf) == count > 0
            assert isinstance(leaf, list) == spec.varies
            for array in leaf:
                expected = (len(array), *spec.shape[1:]) if spec.varies else spec.shape
                assert array.shape == expected
                assert array.dtype == spec.dtype
        for k in range(count):
            self.items.append(self._structure.unflatten([leaf[k] for leaf in leaves]))
        self.tables += [table] * count
        self.priorities += list(priorities)
        self.calls.append(count)

    def flush(self, timeout: float, max_pending: int = 0) -> None:
        raise AssertionError("an adder never waits")


def assert_equal(got: Any, expected: Any) -> None:
    """Check that two trees are bit-equal, dtypes included."""
    got_paths, got_leaves, _ = optree.tree_flatten_with_path(got)
    paths, leaves, _ = optree.tree_flatten_with_path(expected)
    assert got_paths == paths
    for path, one, other in zip(paths, got_leaves, leaves, strict=True):
        one, other = np.asarray(one), np.asarray(other)
        assert one.dtype == other.dtype, path
        np.testing.assert_array_equal(one, other, err_msg=str(path))


def assert_goes_on_alike(make: Any, stream: Stream, cut: int) -> None:
    """Check that an adder restored after ``cut`` steps writes what the first one goes on to write.

    ``make(writer)`` makes the adder; what it saved must not change with what it does later.
    """
    steps = [transitions for transitions, _ in stream.vector_steps()]
    writer, other_writer = (RecordingWriter(make.signature) for _ in range(2))
    adder = make(writer)
    for transitions in steps[:cut]:
        adder.add(transitions)
    already = len(writer.items)
    state = adder.state()
    for transitions in steps[cut:]:
        adder.add(transitions)
    for leaf in optree.tree_leaves(state):
        assert isinstance(leaf, np.ndarray | int | float | str)
    restored = make(other_writer)
    restored.restore(state)
    for transitions in steps[cut:]:
        restored.add(transitions)
    assert_equal(other_writer.items, writer.items[already:])
    assert_equal(restored.state(), adder.state())
