"""From a description to an environment, and every way in which that fails."""

import sys
import textwrap
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import DependencyNotInstalled

from greenroom.environments import make_environment
from greenroom.errors import EnvironmentSetupError

FACTORIES = """
    import gymnasium as gym
    import numpy as np
    from gymnasium.vector import AutoresetMode, SyncVectorEnv

    def single():
        return gym.make("CartPole-v1")

    def drawn(render_mode=None):
        return gym.make("CartPole-v1", render_mode=render_mode)

    def vector(num_envs):
        make = lambda: gym.make("CartPole-v1")
        return SyncVectorEnv([make] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP)

    def too_many(num_envs):
        return vector(num_envs + 1)

    def raises():
        raise RuntimeError("no licence")

    def nothing():
        return None

    def vector_without_num_envs():
        return vector(2)

    def single_with_num_envs(num_envs):
        return gym.make("CartPole-v1")

    def needs(level):
        return gym.make("CartPole-v1")

    ONE = gym.make("CartPole-v1")

    def shared():
        return ONE

    MADE = []

    def differing():
        MADE.append(1)
        env = gym.make("CartPole-v1")
        env.action_space = gym.spaces.Discrete(1 + len(MADE))
        return env

    def text():
        env = gym.make("CartPole-v1")
        env.observation_space = gym.spaces.Text(4)
        return env

    class Bare(gym.Env):
        pass

    class Custom(gym.Env):
        observation_space = gym.spaces.Discrete(2)
        action_space = gym.spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            return 0, {}

        def step(self, action):
            return 1, 0.5, True, False, {}

    NUMBER = 3
"""


@pytest.fixture
def factories(tmp_path, monkeypatch):
    """Put a module of factories into the current directory."""
    (tmp_path / "toy_factories.py").write_text(textwrap.dedent(FACTORIES))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("toy_factories", None)


def registered(id="CartPole-v1", vectorization="sync", wrappers=(), **kwargs):
    chosen = SimpleNamespace(id=id, kwargs=kwargs, vectorization=vectorization)
    return SimpleNamespace(gymnasium=chosen, factory=None, wrappers=wrappers)


def factory(name, wrappers=()):
    reference = f"toy_factories:{name}"
    return SimpleNamespace(gymnasium=None, factory=reference, wrappers=wrappers)


def make(description, num_envs=2, **kwargs):
    return make_environment(description, num_envs=num_envs, seed=0, name="actor-0", **kwargs)


def final_steps(environment):
    """Step until an episode has ended; return the kinds of calls that were made."""
    environment.reset()
    steps = [environment.step(np.zeros(environment.num_envs, np.int64)) for _ in range(30)]
    environment.close()
    assert any(step.terminated.any() for step in steps)
    return all(step.valid.all() for step in steps)


@pytest.mark.parametrize(("vectorization", "all_valid"), [("sync", True), ("native", False)])
def test_a_registered_environment(vectorization, all_valid):
    environment = make(registered(vectorization=vectorization), num_envs=3)
    assert environment.num_envs == 3
    assert environment.spec.observations.shape == (4,)
    assert environment.spec.actions.dtype == np.int64
    assert final_steps(environment) == all_valid


def test_arguments_reach_the_environment():
    environment = make(registered(sutton_barto_reward=True, max_episode_steps=2))
    environment.reset()
    steps = [environment.step(np.zeros(2, np.int64)) for _ in range(2)]
    assert steps[0].reward.tolist() == [0, 0]
    assert steps[1].truncated.all()


def test_two_names_play_different_episodes_and_one_name_the_same():
    first, again = make(registered()), make(registered())
    other = make_environment(registered(), num_envs=2, seed=0, name="evaluator")
    np.testing.assert_array_equal(first.reset(), observation := again.reset())
    assert (other.reset() != observation).all()


@pytest.mark.parametrize("vectorization", ["sync", "native"])
def test_a_render_mode(vectorization):
    pytest.importorskip("pygame")
    environment = make(registered(vectorization=vectorization), render_mode="rgb_array")
    environment.reset()
    assert [frame.shape for frame in environment.render()] == [(400, 600, 3)] * 2
    environment.close()


@pytest.mark.usefixtures("factories")
@pytest.mark.parametrize("name", ["single", "vector", "Custom"])
def test_a_factory(name):
    assert final_steps(make(factory(name)))


@pytest.mark.usefixtures("factories")
def test_a_factory_with_a_render_mode():
    environment = make(factory("drawn"), render_mode="rgb_array")
    assert environment._checked.vector_env.render_mode == "rgb_array"
    environment.close()


@pytest.mark.usefixtures("factories")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("raises", r"must return an environment.*Got: RuntimeError: no licence"),
        ("nothing", r"must return a gymnasium.Env.*Got: builtins.NoneType where Env"),
        ("vector_without_num_envs", r"Got: .*SyncVectorEnv where Env was expected"),
        ("single_with_num_envs", r"Got: gymnasium.* where VectorEnv was expected"),
        ("too_many", r"must return as many environments as it is asked for: 2. Got: 3"),
        ("needs", r"called without arguments.*Got: TypeError: .*'level'"),
        ("shared", r"must return a new environment with each call"),
        ("differing", r"with equal spaces. Got: RuntimeError: .*action_space"),
        ("text", r"A space must be Box.*Got: observation space Text"),
        ("Bare", r"must be whole gymnasium.Envs.*Got: AttributeError: .*action_space"),
        (
            "NUMBER",
            r"must name something that can be called. Got: 'toy_factories:NUMBER', of type int",
        ),
        ("singel", r"no 'singel' there \(did you mean single\?\)"),
    ],
)
def test_a_factory_that_fails(name, message):
    with pytest.raises(EnvironmentSetupError, match=message):
        make(factory(name))


@pytest.mark.usefixtures("factories")
def test_the_cause_of_a_failing_factory_is_kept():
    with pytest.raises(EnvironmentSetupError) as caught:
        make(factory("raises"))
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.usefixtures("factories")
def test_a_factory_without_the_render_mode():
    with pytest.raises(EnvironmentSetupError, match=r"render_mode=None instead of 'rgb_array'"):
        make(factory("single"), render_mode="rgb_array")


@pytest.mark.parametrize(
    ("description", "message"),
    [
        (registered("cartpol-v1"), r"Got: 'cartpol-v1' \(did you mean CartPole-v1"),
        (registered("CartPole-v9"), r"Got: 'CartPole-v9' \(did you mean CartPole-v1"),
        (registered("Nowhere/Zzyzx-v0"), r"must be registered.*Got: 'Nowhere/Zzyzx-v0'\.$"),
        (registered("no_such_module:Maze-v0"), r"no module 'no_such_module'"),
        (registered(gravitas=3), r"must accept its arguments.*'gravitas': 3.*TypeError"),
        (registered(vectorization="native", gravitas=3), r"must accept its arguments.*gravitas"),
        (registered("Pendulum-v1", "native"), r"'native' only where.*Got: Pendulum-v1"),
        (
            SimpleNamespace(gymnasium=None, factory=None, wrappers=()),
            r"as gymnasium or factory. Got: neither",
        ),
        (
            SimpleNamespace(gymnasium=None, factory="no_such_module:make", wrappers=()),
            r"environment's factory .*no module 'no_such_module'",
        ),
    ],
)
def test_what_cannot_be_made(description, message):
    with pytest.raises(EnvironmentSetupError, match=message):
        make(description)


def test_a_missing_dependency_says_what_to_install():
    def entry_point(**kwargs):
        raise DependencyNotInstalled("run `pip install some-physics`")

    gym.register("NeedsPhysics-v0", entry_point)
    try:
        with pytest.raises(EnvironmentSetupError, match=r"must be installed.*some-physics"):
            make(registered("NeedsPhysics-v0"))
    finally:
        del gym.registry["NeedsPhysics-v0"]


def test_a_module_that_registers_is_imported_from_the_current_directory(tmp_path, monkeypatch):
    (tmp_path / "toy_registering.py").write_text(
        "import gymnasium as gym\n"
        "gym.register('Mine-v0', lambda: gym.make('CartPole-v1').unwrapped)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    try:
        assert make(registered("toy_registering:Mine-v0")).spec.observations.shape == (4,)
    finally:
        gym.registry.pop("Mine-v0", None)
        sys.modules.pop("toy_registering", None)
