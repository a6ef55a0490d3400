"""V-trace and the actor-critic's loss against their equations, written out one sum at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.agents.impala.losses import ActorCritic, VTrace, VTraceOutput

Array = npt.NDArray[Any]

GOES_ON, TERMINATED, TRUNCATED = "goes on", "terminated", "truncated"


@dataclass(frozen=True)
class Unroll:
    """Records in a row, as an adder lays them out; the last one is only bootstrapped from.

    ``ends`` says what becomes of the episode at each record, None for a final-observation
    record, which follows every end.
    """

    ends: list[str | None]
    reward: Array
    value: Array
    log_ratio: Array
    discount: float

    @property
    def mask(self) -> Array:
        return np.array([end is not None for end in self.ends[:-1]], np.float32)

    @property
    def discounts(self) -> Array:
        alive = [end != TERMINATED for end in self.ends[:-1]]
        return self.discount * np.array(alive, np.float32)

    def segments(self) -> list[range]:
        """The transitions of one episode each, as ranges of records."""
        found: list[range] = []
        begin = 0
        for t, end in enumerate(self.ends[:-1]):
            if end is None:
                begin = t + 1
            elif end != GOES_ON or t == len(self.ends) - 2:
                found.append(range(begin, t + 1))
        return found


@st.composite
def unrolls(draw: st.DrawFn, on_policy: bool = False) -> Unroll:
    length = draw(st.integers(2, 9))
    ends: list[str | None] = []
    while len(ends) < length:
        if ends and ends[-1] in (TERMINATED, TRUNCATED):
            ends.append(None)
        elif not ends and draw(st.booleans()):
            ends.append(None)  # the record that the unroll before bootstrapped from
        else:
            ends.append(draw(st.sampled_from([GOES_ON, GOES_ON, TERMINATED, TRUNCATED])))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    reward, value, log_ratio = generator.normal(0, 1.5, (3, length)).astype(np.float32)
    blank = [end is None for end in ends]
    reward[blank] = 0.0
    if on_policy:
        log_ratio[:] = 0.0
    return Unroll(ends, reward, value, log_ratio, draw(st.sampled_from([0.0, 0.9, 1.0])))


def v_trace_of(unroll: Unroll, rho_clip: float, c_clip: float) -> tuple[Array, Array]:
    """Targets and advantages as the paper has them: equation 1, and section 4.2."""
    value = unroll.value.astype(np.float64)
    ratio = np.exp(unroll.log_ratio.astype(np.float64))
    rho, c = np.minimum(rho_clip, ratio), np.minimum(c_clip, ratio)
    steps = len(value) - 1
    target, advantage = np.zeros(steps), np.zeros(steps)
    for segment in unroll.segments():
        delta = {}
        for t in segment:
            following = 0.0 if unroll.ends[t] == TERMINATED else unroll.discount * value[t + 1]
            delta[t] = rho[t] * (unroll.reward[t] + following - value[t])
        for s in segment:
            target[s] = value[s] + sum(
                unroll.discount ** (t - s) * np.prod(c[s:t]) * delta[t] for t in segment if t >= s
            )
        for s in segment:
            after = target[s + 1] if s + 1 in segment else value[s + 1]
            following = 0.0 if unroll.ends[s] == TERMINATED else unroll.discount * after
            advantage[s] = rho[s] * (unroll.reward[s] + following - value[s])
    return target, advantage


def run(trace: VTrace, *batch: Unroll) -> VTraceOutput:
    def stacked(leaves: list[Array]) -> torch.Tensor:
        return torch.from_numpy(np.stack(leaves))

    return trace(
        stacked([unroll.log_ratio[:-1] for unroll in batch]),
        stacked([unroll.reward[:-1] for unroll in batch]),
        stacked([unroll.discounts for unroll in batch]),
        stacked([unroll.value for unroll in batch]),
        stacked([unroll.mask for unroll in batch]),
    )


@settings(max_examples=200, deadline=None)
@given(
    unroll=unrolls(),
    rho_clip=st.sampled_from([0.1, 1.0, 2.5, 100.0]),
    c_clip=st.sampled_from([0.0, 0.1, 1.0, 2.5]),
)
def test_v_trace_is_the_papers_equation(unroll: Unroll, rho_clip: float, c_clip: float) -> None:
    output = run(VTrace(rho_clip, c_clip), unroll)
    target, advantage = v_trace_of(unroll, rho_clip, c_clip)
    held = unroll.mask == 1
    np.testing.assert_allclose(output.value_target[0].numpy()[held], target[held], 1e-4, 1e-4)
    np.testing.assert_allclose(output.advantage[0].numpy()[held], advantage[held], 1e-4, 1e-4)


@settings(max_examples=100, deadline=None)
@given(unroll=unrolls(on_policy=True), decay=st.sampled_from([0.0, 0.7, 1.0]))
def test_on_policy_targets_are_lambda_returns(unroll: Unroll, decay: float) -> None:
    """With equal policies c_clip is lambda: a mixture of n-step returns (Sutton & Barto, 12.3)."""
    output = run(VTrace(1.0, decay), unroll)
    for segment in unroll.segments():
        for s in segment:
            returns = [n_step_return(unroll, s, n) for n in range(1, segment.stop - s + 1)]
            mixed = sum(
                (1 - decay) * decay ** (n - 1) * value
                for n, value in enumerate(returns[:-1], start=1)
            )
            mixed += decay ** (len(returns) - 1) * returns[-1]
            assert float(output.value_target[0, s]) == pytest.approx(mixed, abs=1e-3)


def n_step_return(unroll: Unroll, s: int, n: int) -> float:
    rewards = sum(unroll.discount**i * float(unroll.reward[s + i]) for i in range(n))
    if unroll.ends[s + n - 1] == TERMINATED:
        return rewards
    return rewards + unroll.discount**n * float(unroll.value[s + n])


def test_a_cut_episode_bootstraps_from_its_final_observation() -> None:
    value = np.array([0, 50, 7, 0], np.float32)
    zeros = np.zeros(4, np.float32)
    reward = np.array([1, 0, 0, 0], np.float32)
    for end, expected in ((TRUNCATED, 1 + 0.9 * 50), (TERMINATED, 1.0)):
        unroll = Unroll([end, None, GOES_ON, GOES_ON], reward, value, zeros, 0.9)
        output = run(VTrace(), unroll)
        assert float(output.value_target[0, 0]) == pytest.approx(expected)
        assert float(output.advantage[0, 0]) == pytest.approx(expected)


def test_rows_of_a_batch_do_not_touch_each_other() -> None:
    generator = np.random.default_rng(0)
    batch = [
        Unroll(ends, *generator.normal(size=(3, 4)).astype(np.float32), 0.9)
        for ends in (
            [GOES_ON] * 4,
            [None, GOES_ON, TERMINATED, None],
            [TRUNCATED, None, GOES_ON, GOES_ON],
        )
    ]
    together = run(VTrace(), *batch)
    for row, unroll in enumerate(batch):
        alone = run(VTrace(), unroll)
        assert torch.equal(together.value_target[row], alone.value_target[0])
        assert torch.equal(together.advantage[row], alone.advantage[0])


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), value_cost=st.floats(0, 2), entropy_cost=st.floats(0, 2))
def test_loss_is_the_equation(seed: int, value_cost: float, entropy_cost: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    log_policy = torch.log_softmax(torch.randn(3, 4, 5, generator=generator), dim=2)
    action = torch.randint(5, (3, 4), generator=generator)
    value, target, advantage = torch.randn(3, 3, 4, generator=generator)
    mask = torch.randint(2, (3, 4), generator=generator).float()
    mask[0, 0] = 1.0
    taken = log_policy.gather(2, action.unsqueeze(2)).squeeze(2)

    output = ActorCritic(value_cost, entropy_cost)(
        log_policy, taken, value, VTraceOutput(target, advantage), mask
    )

    policy_losses, value_losses, entropies = [], [], []
    for b, t in np.argwhere(mask.numpy() == 1):
        policy_losses.append(-float(advantage[b, t] * log_policy[b, t, action[b, t]]))
        value_losses.append(0.5 * float(target[b, t] - value[b, t]) ** 2)
        entropies.append(-sum(float(p.exp() * p) for p in log_policy[b, t]))
    means = [float(np.mean(each)) for each in (policy_losses, value_losses, entropies)]
    assert [float(output.policy), float(output.value), float(output.entropy)] == pytest.approx(
        means, abs=1e-4
    )
    loss = means[0] + value_cost * means[1] - entropy_cost * means[2]
    assert float(output.loss) == pytest.approx(loss, abs=1e-4)
