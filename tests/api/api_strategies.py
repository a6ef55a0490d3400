"""Random experiments, as the mappings that files hold.

`documents` are valid; `from_schema` makes whatever a schema allows, rules between fields
apart; `spoilt` is one edit away from what it is given.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from greenroom_api import smallest_error_buffer

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    # Greater whole floats come back from the API server as other integers.
    | st.floats(-(2.0**53), 2.0**53)
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
SIZES = st.sampled_from(["500Mi", "1Gi", "20Gi", "1025Mi", "2Ti"])
STORAGE = st.fixed_dictionaries(
    {}, optional={"size": SIZES, "storageClassName": st.sampled_from(["fast", "", "a.b"])}
)
PRINTABLE = st.characters(min_codepoint=32, max_codepoint=126)
KEYS = st.sampled_from(["example.com/team", "tier", "nvidia.com/gpu", "cpu"])
POD_TEMPLATES = st.sampled_from(
    [
        {},
        {"metadata": {"labels": {"team": "a"}, "annotations": {"example.com/note": "b"}}},
        {"spec": {"nodeSelector": {"disk": "ssd"}, "tolerations": [{"operator": "Exists"}]}},
        {
            "spec": {
                "containers": [
                    {
                        "name": "worker",
                        "resources": {"limits": {"nvidia.com/gpu": 1, "cpu": "500m"}},
                        "env": [{"name": "A", "value": "1"}],
                        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                    },
                    {"name": "sidecar", "image": "x", "command": ["sleep", "1"]},
                ],
                "volumes": [{"name": "data", "emptyDir": {"sizeLimit": "1Gi"}}],
                "securityContext": {"runAsUser": 7, "seccompProfile": {"type": "Unconfined"}},
            }
        },
    ]
).map(copy.deepcopy)
WRONG = st.sampled_from(
    [None, -1, 0, 1, 2**31, 2**53, 0.5, -0.5, 64.0, True, "", "64", "x y", "5m", "10Gi"]
) | st.sampled_from([[], ["a"], {}, {"a": 1}, [{}]]).map(copy.deepcopy)


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
    actors = draw(some_of(environmentsPerActor=st.integers(1, 64), podTemplate=POD_TEMPLATES))
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
            device=st.sampled_from(["auto", "cpu", "cuda"]),
            torchThreads=st.integers(1, 64),
            podTemplate=POD_TEMPLATES,
        ),
        evaluator=some_of(
            episodes=st.integers(1, 100), interval=st.integers(1, 10**6), podTemplate=POD_TEMPLATES
        ),
        checkpoint=some_of(
            interval=DURATIONS,
            keep=st.integers(1, 10),
            storage=STORAGE,
            retain=st.sampled_from(["Delete", "Retain"]),
        ),
        seed=st.integers(0, 2**53 - 1),
        image=st.sampled_from(["example.com/team/worker:1.0", "worker@sha256:0123abcd"]),
        suspend=st.booleans(),
        managedBy=st.sampled_from(["greenroom.dev/operator", "kueue.x-k8s.io/multikueue"]),
        ttlSecondsAfterFinished=st.integers(0, 2**31 - 1),
        failurePolicy=some_of(backoffLimit=st.integers(0, 100)),
        resumeFrom=st.sampled_from([{"experiment": "teacher"}, {"claimName": "old-learner"}]),
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
    return replay | draw(some_of(storage=STORAGE, podTemplate=POD_TEMPLATES))


def from_schema(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a structural schema allows; rules between their fields may be broken.

    Objects have a few of their optional fields, and of members of which one must be set, one.
    """
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema.get("x-kubernetes-int-or-string"):
        return st.integers(0, 64) | st.sampled_from(["500m", "1.5", "8Gi", "2e3"])
    if schema.get("nullable"):
        return st.none() | from_schema({**schema, "nullable": False})
    match schema["type"]:
        case "boolean":
            return st.booleans()
        case "integer":
            low, high = schema["minimum"], schema["maximum"]
            return st.integers(low, min(high, low + 100)) | st.integers(low, high)
        case "number":
            exclusive = schema.get("exclusiveMinimum", False)
            bounds = {"min_value": schema.get("minimum"), "max_value": schema.get("maximum")}
            numbers = st.floats(**bounds, exclude_min=exclusive, allow_nan=False)
            return numbers.filter(lambda number: abs(number) < 1e300)
        case "string":
            return strings(schema)
        case "array":
            return lists(schema)
    return objects(schema)


def strings(schema: Mapping[str, Any]) -> st.SearchStrategy[str]:
    if schema.get("format") == "date-time":
        return st.datetimes().map(lambda time: f"{time:%Y-%m-%dT%H:%M:%S}Z".zfill(20))
    longest = schema.get("maxLength", 64)
    if "pattern" in schema:
        return st.from_regex(schema["pattern"], fullmatch=True).filter(
            lambda text: len(text) <= longest
        )
    return st.text(PRINTABLE, min_size=schema.get("minLength", 0), max_size=min(longest, 12))


def lists(schema: Mapping[str, Any]) -> st.SearchStrategy[list[Any]]:
    keys = schema.get("x-kubernetes-list-map-keys", [])
    return st.lists(
        from_schema(schema["items"]),
        min_size=schema.get("minItems", 0),
        max_size=3,
        unique_by=(lambda item: tuple(item[key] for key in keys)) if keys else None,
    )


@st.composite
def objects(draw: st.DrawFn, schema: Mapping[str, Any]) -> dict[str, Any]:
    if "properties" not in schema:
        values = schema.get("additionalProperties")
        return draw(st.dictionaries(KEYS, from_schema(values), max_size=2) if values else KWARGS)
    fields = schema["properties"]
    chosen = set(schema.get("required", ()))
    members = members_of(schema)
    if members:
        chosen.add(draw(st.sampled_from(members)))
    optional = sorted(fields.keys() - chosen - set(members))
    if optional:
        chosen |= draw(st.sets(st.sampled_from(optional), max_size=3))
    return {name: draw(from_schema(fields[name])) for name in sorted(chosen)}


def members_of(schema: Mapping[str, Any]) -> list[str]:
    """The fields of which one must be set, as the schema's rule names them."""
    for rule in schema.get("x-kubernetes-validations", ()):
        text = rule["rule"]
        # "exactly one of", and "at least one of".
        if text.endswith(") == 1") or re.fullmatch(r"has\([\w.]+\)( \|\| has\([\w.]+\))+", text):
            return re.findall(r"has\(self\.(\w+)\)", text)
    return []


def experiments(root: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Whole objects that the schema of RLExperiment allows.

    Args:
        root: ``openAPIV3Schema`` of the CustomResourceDefinition.
    """
    fields = root["properties"]
    return st.fixed_dictionaries(
        {
            "apiVersion": st.just("greenroom.dev/v1alpha1"),
            "kind": st.just("RLExperiment"),
            "metadata": st.fixed_dictionaries(
                {"name": from_schema(fields["metadata"]["properties"]["name"])}
            ),
            "spec": from_schema(fields["spec"]),
        }
    )


@st.composite
def spoilt(draw: st.DrawFn, document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with one value below ``spec`` replaced, removed or added."""
    changed = copy.deepcopy(dict(document))
    where = draw(st.sampled_from(containers(changed["spec"])))
    keys = list(where) if isinstance(where, dict) else list(range(len(where)))
    edit = draw(st.sampled_from(["replace", "remove", "add"] if keys else ["add"]))
    if edit == "add" and isinstance(where, dict):
        where[draw(st.sampled_from(["noSuchField", "learningrate", "replicas"]))] = draw(WRONG)
    elif edit == "add":
        where.append(draw(WRONG))
    elif edit == "replace":
        where[draw(st.sampled_from(keys))] = draw(WRONG)
    else:
        del where[draw(st.sampled_from(keys))]
    return changed


def containers(value: Any) -> list[Any]:
    """The objects and lists in a value, itself included."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    below = [found for item in items for found in containers(item)]
    return [value, *below] if isinstance(value, dict | list) else []
