"""One meaning of a step in all of Gymnasium's autoreset modes."""

from collections import Counter

import gymnasium as gym
import numpy as np
import optree
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from toy_environments import Batched, Counting, Nested, environment_of, rows

from greenroom.environments import Environment
from greenroom.errors import EnvironmentFault, EnvironmentSetupError

MODES = list(AutoresetMode)
EPISODES = 6


def action_on(observation, num_envs):
    """Choose an action from what is observed alone, so that every mode gets the same ones."""
    leaves = optree.tree_leaves(observation)
    return sum(leaf.reshape(num_envs, -1).sum(axis=1) for leaf in leaves).astype(np.int64) % 3


def transitions_of(environment):
    """Return the transitions of each environment's first episodes, in order of their steps."""
    num_envs = environment.num_envs
    found = [[] for _ in range(num_envs)]
    ended = np.zeros(num_envs, np.int64)
    observation = environment.reset()
    while ended.min() < EPISODES:
        action = action_on(observation, num_envs)
        step = environment.step(action)
        before, after = rows(observation, num_envs), rows(step.next_observation, num_envs)
        for i in np.flatnonzero(step.valid & (ended < EPISODES)).tolist():
            kind = (bool(step.terminated[i]), bool(step.truncated[i]))
            found[i].append((before[i], int(action[i]), float(step.reward[i]), *kind, after[i]))
        ended += step.valid & (step.terminated | step.truncated)
        observation = step.observation
    return found


@pytest.mark.parametrize("toy", [Counting, Nested])
def test_every_mode_gives_the_same_transitions(toy):
    disabled, next_step, same_step = (
        transitions_of(environment_of(toy, mode=mode))
        for mode in (AutoresetMode.DISABLED, AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP)
    )
    assert disabled == next_step == same_step
    # Both ways to end occur in each environment, and none of them is lost or doubled.
    for transitions in disabled:
        kinds = Counter(
            (terminated, truncated) for _, _, _, terminated, truncated, _ in transitions
        )
        assert kinds[True, False] == kinds[False, True] == EPISODES // 2
        assert len(set(transitions)) == len(transitions)


@pytest.mark.parametrize("mode", MODES)
def test_a_transition_stays_inside_its_episode_and_ends_in_its_final_observation(mode):
    environment = environment_of(Counting, num_envs=5, mode=mode)
    observation = environment.reset()
    for _ in range(60):
        step = environment.step(np.zeros(5, np.int64))
        valid, ended = step.valid, step.terminated | step.truncated
        index, episode, count = observation[valid].T
        next_index, next_episode, next_count = step.next_observation[valid].T
        np.testing.assert_array_equal(index, next_index)
        np.testing.assert_array_equal(episode, next_episode)
        np.testing.assert_array_equal(count + 1, next_count)
        np.testing.assert_array_equal(ended[valid], next_count == 1 + (2 * episode + index) % 5)
        # `first` says exactly where the observation to act on begins an episode.
        np.testing.assert_array_equal(step.first, step.observation[:, 2] == 0)
        # What is no transition neither rewards nor ends.
        assert not step.reward[~valid].any()
        assert not ended[~valid].any()
        assert step.reward.dtype == np.float32
        observation = step.observation


@pytest.mark.parametrize("mode", MODES)
def test_only_next_step_has_calls_that_are_no_transition(mode):
    environment = environment_of(Counting, mode=mode)
    environment.reset()
    steps = [environment.step(np.zeros(3, np.int64)) for _ in range(20)]
    if mode is AutoresetMode.NEXT_STEP:
        ended = [step.terminated | step.truncated for step in steps]
        for before, step in zip(ended, steps[1:], strict=False):
            np.testing.assert_array_equal(step.valid, ~before)
            np.testing.assert_array_equal(step.first, before)
    else:
        assert all(step.valid.all() for step in steps)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("copy", [True, False])
def test_arrays_are_never_written_to_again(mode, copy):
    vector_env = SyncVectorEnv([Nested] * 2, copy=copy, autoreset_mode=mode)
    environment = Environment(vector_env, seed=0)
    kept = [environment.reset()]
    copies = [optree.tree_map(np.copy, kept[0])]
    for _ in range(12):
        step = tuple(environment.step(np.zeros(2, np.int64)))
        kept.append(step)
        copies.append(optree.tree_map(np.copy, step))
    for now, then in zip(kept, copies, strict=True):
        optree.tree_map(np.testing.assert_array_equal, now, then)


def test_a_native_vector_environment_with_batched_final_observations_and_buffers():
    environment = Environment(Batched(2), seed=0)
    kept = [environment.reset()]
    for _ in range(3):
        kept.append(environment.step(np.zeros(2, np.int64)))
    assert kept[0].tolist() == [[0, 0], [0, 0]]
    assert kept[2].next_observation.tolist() == [[0, 2], [0, 2]]
    assert kept[2].observation.tolist() == [[1, 0], [0, 2]]
    assert kept[2].first.tolist() == kept[2].terminated.tolist() == [True, False]
    assert kept[3].next_observation.tolist() == [[1, 1], [0, 3]]
    assert kept[3].observation.tolist() == [[1, 1], [1, 0]]
    assert kept[3].reward.tolist() == [1, 3]


def test_what_next_step_returns_beside_a_first_observation_is_ignored():
    class Careless(Batched):
        """Says of the step that resets what was true of the one before."""

        metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012 - as in Batched

        def step(self, actions):
            ended = self._terminated.copy()
            observation, reward, terminated, truncated, infos = super().step(actions)
            observation[ended] = 0
            return observation, reward, terminated | ended, truncated | ended, infos

    environment = Environment(Careless(2), seed=0)
    environment.reset()
    steps = [environment.step(np.zeros(2, np.int64)) for _ in range(3)]
    assert steps[1].terminated.tolist() == [True, False]
    assert steps[2].first.tolist() == [True, False]
    assert steps[2].terminated.tolist() == [False, True]
    assert not steps[2].truncated.any()
    assert steps[2].reward.tolist() == [0, 3]


def test_native_cartpole():
    vector_env = gym.make_vec("CartPole-v1", num_envs=4, vectorization_mode="vector_entry_point")
    environment = Environment(vector_env, seed=3)
    environment.reset()
    lengths, played = np.zeros(4, np.int64), []
    for _ in range(200):
        step = environment.step(np.zeros(4, np.int64))
        lengths += step.valid
        ended = step.terminated | step.truncated
        assert (np.abs(step.next_observation[ended, 2]) > 0.2).all()  # the pole did fall
        assert (np.abs(step.observation[step.first]) <= 0.05).all()
        np.testing.assert_array_equal(step.reward, step.valid.astype(np.float32))
        played += lengths[ended].tolist()
        lengths[ended] = 0
    assert len(played) > 40
    assert set(played) <= {8, 9, 10, 11}  # pushing to one side only
    environment.close()


@pytest.mark.parametrize("mode", MODES)
def test_a_seed_says_everything(mode):
    def numbers(seed):
        factories = [lambda: gym.make("CartPole-v1")] * 2
        vector_env = SyncVectorEnv(factories, autoreset_mode=mode)
        environment = Environment(vector_env, seed=seed)
        environment.reset()
        steps = [environment.step(np.zeros(2, np.int64)) for _ in range(25)]
        return np.array([step.observation for step in steps])

    np.testing.assert_array_equal(numbers(0), numbers(0))
    assert (numbers(0) != numbers(1)).any()


@pytest.mark.parametrize("mode", MODES)
def test_each_episode_and_each_environment_begins_differently(mode):
    factories = [lambda: gym.make("CartPole-v1")] * 3
    environment = Environment(SyncVectorEnv(factories, autoreset_mode=mode), seed=0)
    beginnings = [*environment.reset().tolist(), *environment.reset().tolist()]
    for _ in range(50):
        step = environment.step(np.zeros(3, np.int64))
        beginnings += step.observation[step.first].tolist()
    assert len({tuple(beginning) for beginning in beginnings}) == len(beginnings) > 15


def test_an_undeclared_autoreset_mode_is_refused():
    vector_env = Batched(2)
    vector_env.metadata = {}
    with pytest.raises(EnvironmentSetupError, match=r"must declare in metadata.*Got: None"):
        Environment(vector_env, seed=0)


def test_unsupported_spaces_are_refused():
    vector_env = SyncVectorEnv([Counting])
    vector_env.single_observation_space = gym.spaces.Text(3)
    with pytest.raises(EnvironmentSetupError, match="observation space Text"):
        Environment(vector_env, seed=0)


@pytest.mark.parametrize(
    ("infos", "message"),
    [
        ({}, "must give the final observation.*environments \\[0\\]"),
        ({"final_obs": np.array([None, None])}, "must give the final observation"),
        ({"final_obs": np.zeros((2, 7))}, "must hold observations that fit"),
    ],
)
def test_same_step_without_final_observations_is_a_fault(infos, message):
    class Broken(Batched):
        def step(self, actions):
            return *super().step(actions)[:4], infos

    environment = Environment(Broken(2), seed=0)
    environment.reset()
    environment.step(np.zeros(2, np.int64))
    with pytest.raises(EnvironmentFault, match=message):
        environment.step(np.zeros(2, np.int64))


def test_render_gives_a_frame_of_each_environment():
    class Drawn(Counting):
        render_mode = "rgb_array"

        def render(self):
            return np.zeros((4, 4, 3), np.uint8)

    environment = environment_of(Drawn, num_envs=2)
    environment.reset()
    assert [frame.shape for frame in environment.render()] == [(4, 4, 3)] * 2
