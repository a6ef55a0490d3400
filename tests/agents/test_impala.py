"""IMPALA's parts, put together as a run does: real environments, adder, queue and dataset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import optree
import pytest
import torch
from impala_reference import SPEC, config, random_batch
from torch import Tensor
from torch.nn import functional

from greenroom.acting.actor import Actor
from greenroom.acting.policies import CategoricalPolicy, draw
from greenroom.agents import make_builder
from greenroom.agents.impala import IMPALABuilder
from greenroom.agents.impala.learning import IMPALALearner
from greenroom.agents.impala.networks import ActorCriticNetwork
from greenroom.core import Batch
from greenroom.environments import make_environment
from greenroom.errors import CheckpointMismatch, ConfigurationError
from greenroom.networks import LSTMCore
from greenroom.replay.embedded import EmbeddedReplay
from greenroom.spaces import EnvironmentSpec
from greenroom.variables import LocalVariables
from greenroom_api import IMPALA, Agent, Environment, Replay

CPU = torch.device("cpu")
# Episodes of CartPole last about twenty steps; some are cut before that.
CART_POLE = {
    "sync": Environment.model_validate(
        {
            "gymnasium": {"id": "CartPole-v1"},
            "wrappers": [{"name": "TimeLimit", "kwargs": {"max_episode_steps": 17}}],
        }
    ),
    "native": Environment.model_validate(
        {"gymnasium": {"id": "CartPole-v1", "vectorization": "native"}}
    ),
}


@dataclass
class Acting:
    """An actor in an environment, and what it wrote."""

    learner: IMPALALearner
    variables: LocalVariables
    network: ActorCriticNetwork
    actor: Actor
    environment: Any
    dataset: Any
    replay: EmbeddedReplay

    def batches(self, count: int) -> Iterator[Batch]:
        """Act as long as it takes for each of ``count`` batches."""
        observation = self.environment.reset()
        for _ in range(count):
            while not self.replay.can_sample(self.dataset.table, self.dataset.batch_size):
                action = self.actor.select_action(observation)
                step = self.environment.step(action)
                self.actor.observe(observation, action, step)
                observation = step.observation
            yield next(self.dataset)


def acting(hyperparameters: IMPALA, vectorization: str = "sync", num_envs: int = 3) -> Acting:
    environment = make_environment(
        CART_POLE[vectorization], num_envs=num_envs, seed=0, name="actor-0"
    )
    builder = IMPALABuilder(hyperparameters, environment.spec)
    torch.manual_seed(0)
    network = builder.make_network()
    learner = builder.make_learner(network, CPU)
    variables = LocalVariables()
    variables.publish(0, learner.variables())
    options = Replay(rate_limiter="Queue", max_size=50)
    replay = EmbeddedReplay(builder.make_tables(options, num_envs), np.random.default_rng(0))
    policy = builder.make_policy(builder.make_network(), evaluation=False)
    generator = torch.Generator().manual_seed(0)
    adder = builder.make_adder(replay.writer(), num_envs)
    actor = Actor(policy, adder, variables, generator, num_envs)
    actor.update()
    dataset = builder.make_dataset(replay, CPU, prefetch=0, timeout=1.0)
    return Acting(learner, variables, network, actor, environment, dataset, replay)


def recomputed(network: ActorCriticNetwork, batch: Batch, state: Any) -> Tensor:
    """Log-probabilities of the actions taken, as the learner computes them."""
    logits, _ = network.unroll(batch.data["observation"], batch.data["first"], state)
    taken = batch.data["action"].unsqueeze(2)
    return functional.log_softmax(logits, dim=2).gather(2, taken).squeeze(2).detach()


@pytest.mark.parametrize("vectorization", CART_POLE)
@pytest.mark.parametrize("lstm", [None, {"hiddenSize": 6}])
def test_policy_and_learner_agree_on_every_step(lstm: Any, vectorization: str) -> None:
    """Equal parameters give equal probabilities, whatever ends within an unroll or before it."""
    parts = acting(config(lstm=lstm), vectorization)
    starts, firsts = [], []
    for batch in parts.batches(12):
        data = batch.data
        held = data["mask"] == 1
        state = data["start"]["state"] if lstm else ()
        behaviour = data["extras"]["log_probability"]
        difference = recomputed(parts.network, batch, state) - behaviour
        assert difference[held].abs().max() < 1e-5
        if lstm:
            starts += [leaf.abs().sum(1) > 0 for leaf in state]
            firsts.append(data["first"][:, 0])
            forgotten = optree.tree_map(torch.zeros_like, state)
            wrong = recomputed(parts.network, batch, forgotten) - behaviour
            assert wrong[held].abs().max() > 1e-4
    if lstm:  # unrolls began in the midst of episodes as well as with them
        assert torch.cat(starts).any()
        assert torch.cat(firsts).any()


def test_an_unroll_of_a_memory_is_its_steps_with_resets() -> None:
    torch.manual_seed(0)
    core = LSTMCore(features=3, hidden_size=4)
    features = torch.randn(5, 7, 3)
    first = torch.rand(5, 7) < 0.3
    state = (torch.randn(5, 4), torch.randn(5, 4))
    unrolled = core.unroll(features, first, state)
    for row in range(5):
        own = tuple(leaf[row : row + 1] for leaf in state)
        for t in range(7):
            if first[row, t]:
                own = core.initial_state(1)
            output, own = core.step(features[row : row + 1, t], own)
            torch.testing.assert_close(unrolled[row, t], output[0])


def test_an_episodes_beginning_cuts_the_gradient_too() -> None:
    core = LSTMCore(features=2, hidden_size=3)
    features = torch.randn(1, 4, 2, requires_grad=True)
    first = torch.tensor([[True, False, True, False]])
    core.unroll(features, first, core.initial_state(1))[0, 3].sum().backward()
    assert features.grad is not None
    assert features.grad[0, :2].abs().sum() == 0
    assert (features.grad[0, 2:].abs().sum(1) > 0).all()


def test_the_policys_lag_is_counted_in_learner_steps() -> None:
    parts = acting(config())
    lags = []
    for index, batch in enumerate(parts.batches(8)):
        lags.append(float(parts.learner.step(batch).metrics["policyLag"]))
        if index == 3:  # the actor's parameters are those of the beginning until now
            parts.variables.publish(4, parts.learner.variables())
            parts.actor.update()
    assert lags[:4] == [0.0, 1.0, 2.0, 3.0]
    # Unrolls that were begun before hold steps of both.
    assert 0.0 < lags[4] < 4.0
    assert lags[6:] == [2.0, 3.0]


def test_a_restored_learner_goes_on_bit_equal() -> None:
    hyperparameters = config()
    builder = IMPALABuilder(hyperparameters, SPEC)
    torch.manual_seed(0)
    learner = builder.make_learner(builder.make_network(), CPU)
    for seed in range(3):
        learner.step(random_batch(hyperparameters, seed))
    state = optree.tree_map(
        lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, learner.state()
    )
    restored = builder.make_learner(builder.make_network(), CPU)
    restored.restore(state)
    outputs = [one.step(random_batch(hyperparameters, 9)) for one in (learner, restored)]
    assert outputs[0].metrics == outputs[1].metrics
    assert float(outputs[0].metrics["policyLag"]) == 3.0
    for name, value in learner.variables().items():
        assert torch.equal(value, restored.variables()[name]), name


def test_another_networks_checkpoint_is_refused() -> None:
    plain, recurrent = (
        IMPALABuilder(config(lstm=lstm), SPEC) for lstm in (None, {"hiddenSize": 6})
    )
    state = plain.make_learner(plain.make_network(), CPU).state()
    learner = recurrent.make_learner(recurrent.make_network(), CPU)
    with pytest.raises(CheckpointMismatch, match="network"):
        learner.restore(state)


def test_actions_are_drawn_with_their_probabilities() -> None:
    probabilities = torch.tensor([0.5, 0.3, 0.2, 0.0])
    draws = 40_000
    actions = draw(probabilities.log().expand(draws, 4), torch.Generator().manual_seed(0))
    shares = torch.bincount(actions, minlength=4) / draws
    assert shares[3] == 0
    # Three standard deviations of a share are 0.0075 at most.
    torch.testing.assert_close(shares, probabilities, atol=0.0075, rtol=0)


def test_a_network_that_has_diverged_still_draws_actions() -> None:
    """The loop around the learner says that it has; an actor must not fail before it."""
    actions = draw(torch.full((5, 3), torch.nan), torch.Generator())
    assert ((actions >= 0) & (actions < 3)).all()


def test_evaluation_takes_the_likeliest_action_and_keeps_nothing() -> None:
    builder = IMPALABuilder(config(), SPEC)
    network = builder.make_network()
    policy = builder.make_policy(network, evaluation=True)
    observation = torch.randn(10, 2)
    state = policy.initial_state(10)
    for _ in range(3):
        logits, expected = network(observation, state)
        output = policy(observation, state, torch.Generator(), 0)
        assert torch.equal(output.action, logits.argmax(dim=1))
        assert output.extras == ()
        optree.tree_map(torch.testing.assert_close, output.state, expected)
        state = output.state


def test_a_policy_without_memory_has_no_state_to_keep() -> None:
    builder = IMPALABuilder(config(lstm=None), SPEC)
    policy = builder.make_policy(builder.make_network(), evaluation=False)
    assert isinstance(policy, CategoricalPolicy)
    assert policy.initial_state(3) == ()
    assert policy(torch.zeros(3, 2), (), torch.Generator(), 0).extras.keys() == {
        "log_probability",
        "learner_steps",
    }


@pytest.mark.parametrize(
    "space", [gym.spaces.Box(-1, 1, (2,)), gym.spaces.Discrete(3, start=1)], ids=repr
)
def test_other_actions_are_refused(space: gym.Space[Any]) -> None:
    spec = EnvironmentSpec.from_spaces(SPEC.observation_space, space)
    with pytest.raises(ConfigurationError, match=r"impala needs a Discrete .* Got: "):
        make_builder(Agent(impala=IMPALA()), spec)


def test_any_observation_tree_is_unrolled() -> None:
    space = gym.spaces.Dict(
        {"place": gym.spaces.Discrete(4), "view": gym.spaces.Box(0, 255, (2, 3), np.uint8)}
    )
    spec = EnvironmentSpec.from_spaces(space, gym.spaces.Discrete(2))
    network = IMPALABuilder(config(lstm=None), spec).make_network()
    observation = {
        "place": torch.randint(4, (3, 5)),
        "view": torch.randint(256, (3, 5, 2, 3), dtype=torch.uint8),
    }
    logits, values = network.unroll(observation, torch.zeros(3, 5, dtype=torch.bool), ())
    assert (logits.shape, values.shape) == ((3, 5, 2), (3, 5))
    for t in range(5):
        alone, _ = network({name: leaf[:, t] for name, leaf in observation.items()}, ())
        torch.testing.assert_close(logits[:, t], alone)
