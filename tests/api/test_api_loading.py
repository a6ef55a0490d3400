"""Files in, experiments or all that is wrong with them out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from greenroom_api import (
    InvalidExperiment,
    Problem,
    RLExperiment,
    dump_experiment,
    load_experiment,
    parse_experiment,
    parse_section,
)

SMALL = """\
apiVersion: greenroom.dev/v1alpha1
kind: RLExperiment
metadata: {name: cartpole}
spec:
  environment: {gymnasium: {id: CartPole-v1}}
  agent: {dqn: {learningRate: 1e-3}}
  stop: {episodeReturn: 475, environmentSteps: 200000}
"""
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def load(tmp_path: Path) -> Any:
    def load_text(text: str, *overrides: str, seed: int | None = None) -> RLExperiment:
        path = tmp_path / "cartpole.yaml"
        path.write_text(text)
        return load_experiment(path, overrides, seed)

    return load_text


@pytest.fixture
def problems(load: Any) -> Any:
    def problems_of_text(text: str, *overrides: str) -> list[str]:
        with pytest.raises(InvalidExperiment) as caught:
            load(text, *overrides)
        return [str(problem) for problem in caught.value.problems]

    return problems_of_text


def changed(**sections: str) -> str:
    """SMALL, with sections of its spec added or replaced."""
    kept = [line for line in SMALL.splitlines() if line.split(":")[0].strip() not in sections]
    return "\n".join([*kept, *(f"  {name}: {text}" for name, text in sections.items())])


def test_a_small_file_has_every_default(load: Any) -> None:
    spec = load(SMALL).spec
    assert spec.agent.chosen == "dqn"
    assert spec.agent.dqn.network.mlp.hidden_sizes == (256, 256)
    assert spec.agent.dqn.max_gradient_norm == 10
    assert spec.replay.samples_per_insert == 32
    assert spec.replay.error_buffer is None
    assert spec.checkpoint.interval == 300
    assert spec.environment.gymnasium.vectorization == "sync"
    assert spec.seed == 0


def test_the_example_trains_as_rl_zoo_does() -> None:
    spec = load_experiment(EXAMPLES / "cartpole-dqn.yaml").spec
    assert spec.agent.dqn is not None
    assert spec.agent.dqn.learning_rate == 2.3e-3
    assert (spec.agent.dqn.epsilon.final, spec.agent.dqn.epsilon.decay_steps) == (0.04, 8_000)
    # 2 * 4,096 samples: turns of 256 environment steps and 128 batches of 64.
    assert spec.replay.error_buffer == 128 * 64 / 2 == 256 * spec.replay.samples_per_insert / 2


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda path: path.name)
def test_every_example_loads(path: Path) -> None:
    load_experiment(path)


def test_errors_name_file_path_rule_and_suggestion(tmp_path: Path) -> None:
    path = tmp_path / "cartpole.yaml"
    path.write_text(SMALL.replace("learningRate", "learningrate"))
    with pytest.raises(InvalidExperiment) as caught:
        load_experiment(path)
    expected = "spec.agent.dqn.learningrate: unknown field, did you mean learningRate?"
    assert str(caught.value) == f"{path}: {expected}"
    assert caught.value.problems == [
        Problem("spec.agent.dqn.learningrate", "unknown field, did you mean learningRate?")
    ]


def test_all_problems_are_told_at_once(problems: Any) -> None:
    text = changed(
        agent="{dqn: {learningrate: 1, batchSize: 0}, custom: {builder: x}}",
        replay="{minSize: 2000, maxSize: 1000, samplesPerInsert: none}",
        environment="{gymnasium: {id: 3}, wrappers: [{name: TimeLimit}, {kwargs: []}]}",
        stop="{}",
    ).replace("name: cartpole", "name: Cart_Pole")
    assert set(problems(text)) == {
        "metadata.name: must be a label of RFC 1035: lower case letters, digits and '-', with a "
        'letter in front and a letter or digit at the end. Got: "Cart_Pole".',
        "spec.environment.gymnasium.id: must be a string. Got: 3.",
        "spec.environment.wrappers[1].name: is required. Got: nothing.",
        "spec.environment.wrappers[1].kwargs: must be an object, with fields of its own. Got: [].",
        "spec.agent.dqn.learningrate: unknown field, did you mean learningRate?",
        "spec.agent.dqn.batchSize: must be at least 1. Got: 0.",
        'spec.agent.custom.builder: must be written module:name. Got: "x".',
        "spec.agent: exactly one of dqn, impala, custom must be set. Got: dqn, custom.",
        'spec.replay.samplesPerInsert: must be a number. Got: "none".',
        "spec.replay.minSize: must not exceed maxSize, or learning never starts. "
        "Got: minSize=2000, maxSize=1000.",
        "spec.stop: at least one of environmentSteps, learnerSteps, episodeReturn, duration must "
        "be set. Got: none.",
    }


def test_rules_between_sections_are_told_beside_errors_in_others(problems: Any) -> None:
    text = changed(evaluator="{episodes: 0}", stop="{environmentSteps: 1000}")
    assert problems(text) == [
        "spec.evaluator.episodes: must be at least 1. Got: 0.",
        "spec.stop.environmentSteps: must exceed replay.minSize, or learning never starts. "
        "Got: environmentSteps=1000, minSize=1000.",
    ]


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        (
            {"agent": "{dqn: {learning_rate: 1}}"},
            "spec.agent.dqn.learning_rate: unknown field, did you mean learningRate?",
        ),
        ({"agent": "{dqm: {}}"}, "spec.agent.dqm: unknown field, did you mean dqn?"),
        (
            {"learner": "{gpus: 1}"},
            "spec.learner.gpus: unknown field, known are device, torchThreads, replicas, "
            "podTemplate.",
        ),
        (
            {"agent": "{dqn: }"},
            "spec.agent: exactly one of dqn, impala, custom must be set. Got: none (a member with "
            "nothing to set is written NAME: {}).",
        ),
        ({"agent": "dqn"}, 'spec.agent: must be an object, with fields of its own. Got: "dqn".'),
        ({"agent": "{dqn: {batchSize: 6.5}}"}, "spec.agent.dqn.batchSize: must be an integer. "
         "Got: 6.5."),
        ({"agent": '{dqn: {batchSize: "64"}}'}, "spec.agent.dqn.batchSize: must be an integer. "
         'Got: "64".'),
        ({"agent": "{dqn: {batchSize: true}}"}, "spec.agent.dqn.batchSize: must be an integer. "
         "Got: true."),
        ({"agent": "{dqn: {learningRate: 0}}"}, "spec.agent.dqn.learningRate: must be greater "
         "than 0. Got: 0."),
        ({"agent": "{dqn: {learningRate: .nan}}"}, "spec.agent.dqn.learningRate: must be a finite "
         "number. Got: NaN."),
        ({"agent": "{dqn: {learningRate: true}}"}, "spec.agent.dqn.learningRate: must be a number. "
         "Got: true."),
        ({"agent": "{dqn: {double: 1}}"}, "spec.agent.dqn.double: must be true or false. Got: 1."),
        ({"agent": "{dqn: {epsilon: {final: 1.5}}}"}, "spec.agent.dqn.epsilon.final: must be at "
         "most 1. Got: 1.5."),
        (
            {"agent": "{dqn: {network: {mlp: {hiddenSizes: [64, 0]}}}}"},
            "spec.agent.dqn.network.mlp.hiddenSizes[1]: must be at least 1. Got: 0.",
        ),
        (
            {"agent": "{dqn: {network: {mlp: {hiddenSizes: []}}}}"},
            "spec.agent.dqn.network.mlp.hiddenSizes: must have at least 1 entries. Got: [].",
        ),
        (
            {"agent": "{dqn: {network: {mlp: {hiddenSizes: 256}}}}"},
            "spec.agent.dqn.network.mlp.hiddenSizes: must be a list. Got: 256.",
        ),
        (
            {"agent": "{dqn: {network: {mlp: {activation: gelu}}}}"},
            "spec.agent.dqn.network.mlp.activation: must be relu, tanh or elu. Got: \"gelu\".",
        ),
        (
            {"agent": "{dqn: {network: {mlp: {}, factory: 'a:b'}}}"},
            "spec.agent.dqn.network: exactly one of mlp, factory must be set. Got: mlp, factory.",
        ),
        (
            {"environment": "{gymnasium: {id: CartPole-v1, kwargs: {limit: .inf}}}"},
            "spec.environment.gymnasium.kwargs: must hold JSON values, whose numbers are finite. "
            "Got: Infinity.",
        ),
        ({"checkpoint": "{interval: 300}"}, "spec.checkpoint.interval: must be a duration longer "
         "than zero, written like 30s, 5m or 1h30m. Got: 300."),
        ({"seed": "-1"}, "spec.seed: must be at least 0. Got: -1."),
        ({"replay": "{rateLimiter: MinSize}"}, "spec.replay.rateLimiter: must be "
         'SampleToInsertRatio or Queue. Got: "MinSize".'),
    ],
)  # fmt: skip
def test_each_mistake_states_rule_and_value(
    problems: Any, sections: dict[str, str], expected: str
) -> None:
    assert problems(changed(**sections)) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "must hold one document. Got: an empty file."),
        ("# only a comment\n", "must hold one document. Got: an empty file."),
        (f"{SMALL}---\n{SMALL}", "must hold one document. Got: 2, parted by ---."),
        ("- a\n", 'must be an object with apiVersion, kind, metadata and spec. Got: ["a"].'),
        ("spec: [1, 2\nkind: x\n", "line 2, column 5: not valid YAML: while parsing a flow "
         "sequence, expected ',' or ']', but got ':'."),
        ("spec: \x07\n", 'line 1, column 7: not valid YAML: must be printable characters. Got: '
         '"\\u0007".'),
        ("spec: !!python/name:os.system\n", "line 1, column 7: not valid YAML: could not determine "
         "a constructor for the tag 'tag:yaml.org,2002:python/name:os.system'."),
        ("spec: &a {b: *a}\n", "spec.b: an alias must not stand inside what it names, on line 1."),
        ("[" * 1_000, "must not be nested so deeply."),
    ],
)  # fmt: skip
def test_what_is_no_document_is_located(problems: Any, text: str, expected: str) -> None:
    assert problems(text) == [expected]


def test_what_is_said_twice_is_located(problems: Any) -> None:
    assert problems(f"{SMALL}  seed: 1\n  seed: 2\n") == [
        "spec.seed: must be given once. Got: lines 8 and 9."
    ]
    assert problems(SMALL.replace("CartPole-v1", "CartPole-v1, kwargs: {1: 2}")) == [
        "spec.environment.gymnasium.kwargs: must have strings as keys, in quotes if need be. "
        "Got: 1, on line 5.",
        "spec.environment.gymnasium.kwargs: must have strings as keys. Got: 1.",
    ]


def test_unreadable_files_are_no_traceback(tmp_path: Path) -> None:
    with pytest.raises(InvalidExperiment, match="Got: No such file or directory"):
        load_experiment(tmp_path / "missing.yaml")
    with pytest.raises(InvalidExperiment, match="Got: Is a directory"):
        load_experiment(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: \xff")
    with pytest.raises(InvalidExperiment, match=r"UTF-8\. Got: invalid start byte at byte 6"):
        load_experiment(tmp_path / "latin.yaml")


def test_version_and_kind_must_be_said_in_files(problems: Any) -> None:
    assert problems(SMALL.split("\n", 2)[2]) == [
        "apiVersion: is required: greenroom.dev/v1alpha1. Got: nothing.",
        "kind: is required: RLExperiment. Got: nothing.",
    ]
    assert problems(SMALL.replace("v1alpha1", "v1")) == [
        'apiVersion: must be greenroom.dev/v1alpha1. Got: "greenroom.dev/v1".'
    ]


@pytest.mark.parametrize(
    ("text", "value"), [("1e-3", 1e-3), ("1E3", 1000), ("-2.5e+1", -25), (".5", 0.5), ("7.", 7)]
)
def test_numbers_are_those_of_kubectl(load: Any, text: str, value: float) -> None:
    assert load(SMALL, f"spec.stop.episodeReturn={text}").spec.stop.episode_return == value


def test_an_integer_may_have_an_exponent(load: Any) -> None:
    steps = load(SMALL, "spec.stop.environmentSteps=2e5").spec.stop.environment_steps
    assert steps == 200_000
    assert isinstance(steps, int)


@pytest.mark.parametrize("text", ["1:30", "2026-01-01", "=", "'1e-3'"])
def test_what_kubectl_takes_for_strings_are_strings(load: Any, text: str) -> None:
    kwargs = load(SMALL, f"spec.environment.gymnasium.kwargs.x={text}").spec.environment
    assert kwargs.gymnasium.kwargs["x"] == text.strip("'")


def test_overrides_replace_in_their_order(load: Any) -> None:
    experiment = load(
        SMALL,
        "spec.seed=1",
        "spec.seed=2",
        "spec.evaluator.episodes=3",
        "spec.agent.dqn={batchSize: 32}",
        "spec.stop.episodeReturn=null",
        "spec.environment.wrappers=[{name: A}, {name: B}]",
        "spec.environment.wrappers.1.kwargs.key=a=b",
    )
    assert experiment.spec.seed == 2
    assert experiment.spec.evaluator.episodes == 3
    assert experiment.spec.agent.dqn.batch_size == 32
    assert experiment.spec.agent.dqn.learning_rate == 1e-3
    assert experiment.spec.stop.episode_return is None
    assert [wrapper.name for wrapper in experiment.spec.environment.wrappers] == ["A", "B"]
    assert experiment.spec.environment.wrappers[1].kwargs == {"key": "a=b"}
    assert load(SMALL, "spec.seed=1", seed=7).spec.seed == 7


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("spec.stop.environmentsteps=1", "spec.stop.environmentsteps: unknown field, did you mean "
         "environmentSteps?"),
        ("spec.evaluater.episodes=1", "spec.evaluater: unknown field, did you mean evaluator?"),
        ("spec.seed", 'an override must be written PATH=VALUE. Got: "spec.seed".'),
        ("=3", 'an override must be written PATH=VALUE. Got: "=3".'),
        ("spec..seed=3", 'an override must be written PATH=VALUE. Got: "spec..seed=3".'),
        ("spec.seed.x=3", "spec.seed.x: must lead through objects. Got: 0 before x."),
        ("spec.environment.wrappers.2.name=A", "spec.environment.wrappers.2.name: must name an "
         "entry of a list of 0, counted from 0. Got: 2."),
        ("spec.seed=[1", "spec.seed: line 1, column 3: not valid YAML: while parsing a flow "
         "sequence, expected ',' or ']', but got '<stream end>'."),
        ("spec.stop={duration: 5m, duration: 6m}", "spec.stop: duration: must be given once. Got: "
         "lines 1 and 1."),
    ],
)  # fmt: skip
def test_wrong_overrides_are_told(problems: Any, override: str, expected: str) -> None:
    text = f"{SMALL}  seed: 0\n".replace("}}\n  agent", "}, wrappers: []}\n  agent")
    assert problems(text, override) == [expected]


def test_wrong_overrides_are_told_beside_wrong_fields(problems: Any) -> None:
    assert problems(SMALL.replace("1e-3", "x"), "spec.seed") == [
        'an override must be written PATH=VALUE. Got: "spec.seed".',
        'spec.agent.dqn.learningRate: must be a number. Got: "x".',
    ]


def test_mappings_are_parsed_as_files_are() -> None:
    with pytest.raises(InvalidExperiment, match=r"^notebook: spec: is required\. Got: nothing\.$"):
        parse_experiment(
            {
                "apiVersion": "greenroom.dev/v1alpha1",
                "kind": "RLExperiment",
                "metadata": {"name": "a", "labels": {"team": "x"}, "namespace": "n"},
            },
            source="notebook",
        )


def test_a_custom_config_gets_the_same_messages() -> None:
    class Config(BaseModel):
        model_config = ConfigDict(extra="forbid")
        temperature: float = Field(1.0, gt=0)
        learning_rate: float = Field(1e-3, alias="learningRate")

    assert parse_section(Config, {"learningRate": 1}).learning_rate == 1
    with pytest.raises(InvalidExperiment) as caught:
        parse_section(
            Config,
            {"temperature": 0, "learningrate": 1},
            path="spec.agent.custom.config",
            source="a.yaml",
        )
    assert str(caught.value).splitlines() == [
        "a.yaml: spec.agent.custom.config.temperature: must be greater than 0. Got: 0.",
        "a.yaml: spec.agent.custom.config.learningrate: unknown field, did you mean learningRate?",
    ]


def test_what_is_dumped_keeps_null_and_order(load: Any) -> None:
    text = dump_experiment(load(SMALL, "spec.agent.dqn.maxGradientNorm=null"))
    assert "maxGradientNorm: null" in text
    assert "prioritized" not in text
    assert text.index("apiVersion") < text.index("environment:") < text.index("seed")
