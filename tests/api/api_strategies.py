"""Random experiments, as the mappings that files hold."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from greenroom_api import smallest_error_buffer

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.sampled_from(["1e-3", "1:30", "yes", "null", "2026-01-01", "<<", "=", "~", "0x1f", ".5"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
KWARGS = st.dictionaries(st.text(max_size=8), JSON, max_size=3)
IMPORT_PATHS = st.sampled_from(["tasks:make", "my_package.tasks:Task.make", "_a:b0"])
SHARES = st.floats(0, 1)
POSITIVE = st.floats(0, 1e6, exclude_min=True)
DURATIONS = st.sampled_from(["30s", "5m", "1h30m", "90s", "2h", "1h1s", "100m"])


def some_of(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects in which any of the fields may be missing."""
    return st.fixed_dictionaries({}, optional=fields)


def gymnasium() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"id": st.sampled_from(["CartPole-v1", "my_package:MyTask-v0"])},
        optional={"kwargs": KWARGS, "vectorization": st.sampled_from(["sync", "native"])},
    )


def environments() -> st.SearchStrategy[dict[str, Any]]:
    wrapper = st.fixed_dictionaries({"name": st.just("TimeLimit")}, optional={"kwargs": KWARGS})
    member = st.fixed_dictionaries({"gymnasium": gymnasium()}) | st.fixed_dictionaries(
        {"factory": IMPORT_PATHS}
    )
    wrappers = some_of(wrappers=st.lists(wrapper, max_size=2))
    return st.tuples(member, wrappers).map(lambda parts: {**parts[0], **parts[1]})


def networks() -> st.SearchStrategy[dict[str, Any]]:
    mlp = some_of(
        hiddenSizes=st.lists(st.integers(1, 65_536), min_size=1, max_size=4),
        activation=st.sampled_from(["relu", "tanh", "elu"]),
    )
    return st.fixed_dictionaries({"mlp": mlp}) | st.fixed_dictionaries({"factory": IMPORT_PATHS})


def dqns(queue: bool) -> st.SearchStrategy[dict[str, Any]]:
    prioritized = some_of(priorityExponent=SHARES, importanceSamplingExponent=SHARES)
    return some_of(
        learningRate=POSITIVE,
        batchSize=st.integers(1, 512),
        discount=SHARES,
        targetUpdatePeriod=st.integers(1, 10**6),
        nStep=st.integers(1, 10),
        double=st.booleans(),
        dueling=st.booleans(),
        epsilon=some_of(initial=SHARES, final=SHARES, decaySteps=st.integers(1, 10**9)),
        maxGradientNorm=st.none() | POSITIVE,
        adamEpsilon=POSITIVE,
        network=networks(),
        **({} if queue else {"prioritized": prioritized}),
    )


def impalas() -> st.SearchStrategy[dict[str, Any]]:
    bounds = st.floats(1, 1e6).flatmap(
        lambda rho: st.fixed_dictionaries({"rhoClip": st.just(rho), "cClip": st.floats(0, rho)})
    )
    others = some_of(
        learningRate=POSITIVE,
        batchSize=st.integers(1, 512),
        unrollLength=st.integers(2, 100),
        discount=SHARES,
        valueCost=POSITIVE,
        entropyCost=POSITIVE,
        maxAbsReward=POSITIVE,
        maxGradientNorm=st.none() | POSITIVE,
        adamEpsilon=POSITIVE,
        network=networks(),
        lstm=some_of(hiddenSize=st.integers(1, 65_536)),
    )
    return st.tuples(bounds | st.just({}), others).map(lambda parts: {**parts[0], **parts[1]})


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Valid experiments: sizes are chosen such that the rules between them hold."""
    name = draw(st.sampled_from(["dqn", "impala", "custom"]))
    queue = name == "impala" or draw(st.booleans())
    config = {"builder": "my_package.agents:Builder", "config": draw(KWARGS)}
    agent = draw({"dqn": dqns(queue), "impala": impalas(), "custom": st.just(config)}[name])
    actors = draw(some_of(environmentsPerActor=st.integers(1, 64)))
    items = agent.get("nStep", 1) * actors.get("environmentsPerActor", 1)
    batch_size = agent.get("batchSize", 64)
    spec: dict[str, Any] = {"agent": {name: agent}, "actors": actors}
    if queue:
        capacity = draw(st.integers(batch_size + items - 1, 10**6))
        spec["replay"] = {"rateLimiter": "Queue", "maxSize": capacity}
    else:
        spec["replay"] = draw(ratio_replays(items, batch_size))
    spec["environment"] = draw(environments())
    spec["stop"] = draw(
        some_of(
            environmentSteps=st.integers(10**7, 10**12),
            learnerSteps=st.integers(1, 10**12),
            episodeReturn=st.floats(-1e9, 1e9),
            duration=DURATIONS,
        ).filter(bool)
    )
    others = some_of(
        learner=some_of(
            device=st.sampled_from(["auto", "cpu", "cuda"]), torchThreads=st.integers(1, 64)
        ),
        evaluator=some_of(episodes=st.integers(1, 100), interval=st.integers(1, 10**6)),
        checkpoint=some_of(interval=DURATIONS, keep=st.integers(1, 10)),
        seed=st.integers(0, 2**53 - 1),
    )
    return {
        "apiVersion": "greenroom.dev/v1alpha1",
        "kind": "RLExperiment",
        "metadata": {"name": draw(st.sampled_from(["a", "cartpole-dqn", "x0"]))},
        "spec": {**spec, **draw(others)},
    }


@st.composite
def ratio_replays(draw: st.DrawFn, items: int, batch_size: int) -> dict[str, Any]:
    replay = draw(
        some_of(
            rateLimiter=st.just("SampleToInsertRatio"),
            samplesPerInsert=st.floats(0.01, 1e3),
            minSize=st.integers(1, 10**5),
        )
    )
    if draw(st.booleans()):
        replay["maxSize"] = draw(st.integers(replay.get("minSize", 1_000), 10**7))
    if draw(st.booleans()):
        smallest = smallest_error_buffer(replay.get("samplesPerInsert", 32.0), items, batch_size)
        replay["errorBuffer"] = draw(st.floats(smallest, 1e12))
    return replay
