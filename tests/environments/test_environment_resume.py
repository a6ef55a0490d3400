"""Resuming: episodes in progress are replayed, or begin anew and say so."""

import logging

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_environments import Counting, NestedWalk, Restless, Walk, environment_of, play

from greenroom.environments.history import ActionHistory, aligned
from greenroom.errors import CheckpointMismatch
from greenroom.learning.states import read_state, write_state


def actions_for(steps, num_envs, start=0):
    return np.random.default_rng(7).integers(start, start + 2, (steps, num_envs))


def walk(index):
    return Walk()


def cartpole(index):
    return gym.make("CartPole-v1")


@pytest.mark.parametrize(("make", "start"), [(walk, 1), (cartpole, 0)])
@pytest.mark.parametrize("stop", [0, 1, 13, 31])
def test_a_resumed_environment_goes_on_as_if_never_stopped(make, start, stop):
    actions = actions_for(60, 3, start)
    whole = environment_of(make)
    play(whole, whole.reset(), actions[:stop])
    expected = play(whole, None, actions[stop:])

    stopped = environment_of(make)
    observation = stopped.reset()
    for action in actions[:stop]:
        observation = stopped.step(action).observation
    state = stopped.state()
    if stop == 31:
        assert len(set(state["lengths"].tolist())) > 1  # the test would be weaker otherwise

    resumed = environment_of(make)
    resumed.reset()
    again, intact = resumed.restore(state)
    assert intact.tolist() == [True] * 3
    np.testing.assert_array_equal(again, observation)
    assert play(resumed, again, actions[stop:]) == expected


def test_a_run_can_be_stopped_again_and_again():
    actions = actions_for(60, 3, 1)
    whole = environment_of(walk)
    expected = play(whole, whole.reset(), actions)
    environment = environment_of(walk)
    environment.reset()
    got = []
    for start in range(0, 60, 5):
        got += play(environment, None, actions[start : start + 5])
        state = environment.state()
        environment = environment_of(walk)
        environment.restore(state)
    assert got == expected


def test_a_state_survives_a_checkpoint(tmp_path):
    environment = environment_of(walk)
    environment.reset()
    for steps in (0, 7):
        expected = play(environment, None, actions_for(steps, 3, 1))
        write_state(tmp_path, "environment", environment.state())
        resumed = environment_of(walk)
        observation, intact = resumed.restore(read_state(tmp_path, "environment"))
        assert intact.all()
        if expected:
            assert observation.tolist() == expected[-1][5]


def test_a_state_is_not_changed_by_going_on():
    environment = environment_of(walk)
    environment.reset()
    play(environment, None, actions_for(7, 3, 1))
    state = environment.state()
    expected = play(environment, None, actions_for(9, 3, 1))
    resumed = environment_of(walk)
    assert resumed.restore(state)[1].all()
    assert play(resumed, None, actions_for(9, 3, 1)) == expected


def test_resuming_takes_up_where_no_step_was_taken(caplog):
    environment = environment_of(walk)
    observation = environment.reset()
    resumed = environment_of(walk)
    again, intact = resumed.restore(environment.state())
    np.testing.assert_array_equal(again, observation)
    assert intact.all()
    assert not caplog.records


def test_an_environment_that_is_not_deterministic_begins_anew(caplog):
    def make(index):
        return Restless(restless=index == 1)

    environment = environment_of(make)
    environment.reset()
    play(environment, None, actions_for(2, 3, 1))
    state = environment.state()
    resumed = environment_of(make)
    with caplog.at_level(logging.WARNING, "greenroom.environments"):
        observation, intact = resumed.restore(state)
    assert intact.tolist() == [True, False, True]
    assert "Restless (actor): environments [1] differ" in caplog.text
    assert "not deterministic" in caplog.text
    np.testing.assert_array_equal(observation[[0, 2]], state["observation"]["0"][[0, 2]])
    # Its next episode is the one after, and is itself resumable.
    assert resumed.state()["episode"].tolist() == [0, 1, 0]
    assert resumed.state()["lengths"].tolist() == [2, 0, 2]


def test_a_reward_that_differs_is_found_though_observations_agree():
    class Rewarded(Walk):
        bonus = 0.0

        def step(self, action):
            observation, reward, *rest = super().step(action)
            return observation, reward + self.bonus, *rest

    environment = environment_of(lambda index: Rewarded())
    environment.reset()
    play(environment, None, actions_for(2, 3, 1))
    state = environment.state()
    Rewarded.bonus = 1.0
    assert not environment_of(lambda index: Rewarded()).restore(state)[1].any()


def test_an_episode_that_ends_while_it_is_replayed_differs():
    class Silent(Walk):
        """Neither observes nor rewards: only its end tells."""

        steps = 9

        def reset(self, *, seed=None, options=None):
            self._left = self.steps
            return np.zeros(2, np.float32), {}

        def step(self, action):
            self._left -= 1
            return np.zeros(2, np.float32), 0.0, self._left == 0, False, {}

    environment = environment_of(lambda _: Silent(), num_envs=2)
    environment.reset()
    play(environment, None, actions_for(5, 2, 1))
    assert environment_of(lambda _: Silent(), num_envs=2).restore(environment.state())[1].all()
    for Silent.steps in (3, 5):
        resumed = environment_of(lambda _: Silent(), num_envs=2)
        assert not resumed.restore(environment.state())[1].any()


def test_an_episode_too_long_to_keep_begins_anew(caplog, monkeypatch):
    monkeypatch.setattr("greenroom.environments.history.FIRST_ROWS", 4)
    environment = environment_of(walk, num_envs=1)
    environment._episodes._history = ActionHistory(1, memory=4 * 8)
    environment.reset()
    while environment.state()["lengths"][0] >= 0:
        environment.step(np.ones(1, np.int64))
    with caplog.at_level(logging.WARNING, "greenroom.environments"):
        _, intact = environment_of(walk, num_envs=1).restore(environment.state())
    assert not intact.any()
    assert "too long" in caplog.text


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_a_self_resetting_environment_begins_new_episodes(mode, caplog):
    environment = environment_of(walk, mode=mode)
    before = [environment.reset(), environment.reset()]
    play(environment, None, actions_for(5, 3, 1))
    resumed = environment_of(walk, mode=mode)
    resumed.reset()
    with caplog.at_level(logging.WARNING, "greenroom.environments"):
        observation, intact = resumed.restore(environment.state())
    assert not intact.any()
    assert "begin new episodes" in caplog.text
    for other in before:  # these were played already
        assert (observation != other).all()


def test_nested_observations_and_actions_are_replayed():
    actions = [
        {"push": (np.array([1, 2, 1]), np.full((3, 2), step / 10, np.float32))}
        for step in range(30)
    ]
    whole = environment_of(lambda _: NestedWalk())
    expected = play(whole, whole.reset(), actions)
    stopped = environment_of(lambda _: NestedWalk())
    play(stopped, stopped.reset(), actions[:17])
    resumed = environment_of(lambda _: NestedWalk())
    observation, intact = resumed.restore(stopped.state())
    assert intact.all()
    assert play(resumed, observation, actions[17:]) == expected[17:]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: environment_of(walk, num_envs=2), "must be of 2 environments.*Got: 3"),
        (lambda: environment_of(walk, mode=AutoresetMode.SAME_STEP), "SameStep.*Got: .*Disabled"),
        (
            lambda: environment_of(lambda _: gym.make("Pendulum-v1")),
            r"PendulumEnv.*: \[\(1,\)\]\. Got: \[\(\)\]",
        ),
    ],
)
def test_a_state_of_other_environments_is_refused(other, message):
    environment = environment_of(walk)
    environment.reset()
    environment.step(np.ones(3, np.int64))
    with pytest.raises(CheckpointMismatch, match=message):
        other().restore(environment.state())


def test_another_environment_of_the_same_shape_begins_anew():
    environment = environment_of(Counting)
    environment.reset()
    environment.step(np.ones(3, np.int64))
    assert not environment_of(walk).restore(environment.state())[1].any()


@settings(max_examples=60, deadline=None)
@given(
    memory_rows=st.integers(2, 40),
    ends=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60),
)
def test_history_keeps_the_actions_of_episodes_in_progress(memory_rows, ends):
    history = ActionHistory(2, memory=memory_rows * 2 * 8)
    began = np.zeros(2, np.int64)
    kept = [[], []]  # a slow, obvious reference
    for time, ended in enumerate(ends):
        action = np.array([time, 100 + time])
        history.add(action, began)
        for index in range(2):
            kept[index] = [] if ended[index] else [*kept[index], int(action[index])]
        began[np.array(ended)] = history.steps
    lengths = history.lengths(began)
    for index in range(2):
        assert lengths[index] in (len(kept[index]), -1)
        # Nothing that fits into a third of the memory is dropped.
        assert lengths[index] >= 0 or len(kept[index]) > memory_rows // 3
    (packed,) = history.packed(lengths)
    rectangle = aligned(packed, lengths)
    for index in range(2):
        length = max(int(lengths[index]), 0)
        assert rectangle[len(rectangle) - length :, index].tolist() == kept[index][:length]
    # What stands before an episode's first action is an action, too.
    assert set(rectangle.ravel().tolist()) <= set(packed.tolist())
