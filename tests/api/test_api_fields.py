"""Hyperparameters as `greenroom agents` lists them."""

from __future__ import annotations

from greenroom_api import agent_fields


def test_dqn_is_listed_with_types_and_defaults() -> None:
    fields = {field.name: field for field in agent_fields()["dqn"]}
    listed = {name: (field.type, field.default) for name, field in fields.items()}
    expected = {
        "learningRate": ("number > 0", "0.001"),
        "batchSize": ("integer, 1 to 1048576", "64"),
        "targetUpdatePeriod": ("integer >= 1", "128"),
        "double": ("true | false", "true"),
        "prioritized": ("object", "unset"),
        "prioritized.priorityExponent": ("number, 0 to 1", "0.6"),
        "epsilon.decaySteps": ("integer >= 1", "10000"),
        "maxGradientNorm": ("number > 0, or null", "10.0"),
        "network.mlp.hiddenSizes": ("list of integer, 1 to 65536", "[256, 256]"),
        "network.mlp.activation": ("relu | tanh | elu", "relu"),
        "network.factory": ("module:name", "unset"),
    }
    assert listed.items() >= expected.items()
    assert "epsilon" not in listed, "an object that is always there is its fields"
    assert all(field.description.endswith(".") for field in fields.values())


def test_impala_is_listed_with_its_memory_as_a_choice() -> None:
    fields = {field.name: field for field in agent_fields()["impala"]}
    listed = {name: (field.type, field.default) for name, field in fields.items()}
    expected = {
        "unrollLength": ("integer, 2 to 10000", "20"),
        "rhoClip": ("number > 0", "1.0"),
        "cClip": ("number >= 0", "1.0"),
        "maxAbsReward": ("number > 0", "unset"),
        "lstm": ("object", "unset"),
        "lstm.hiddenSize": ("integer, 1 to 65536", "128"),
        "network.mlp.hiddenSizes": ("list of integer, 1 to 65536", "[256, 256]"),
    }
    assert listed.items() >= expected.items()
    assert all(field.description.endswith(".") for field in fields.values())


def test_every_agent_is_listed() -> None:
    assert agent_fields().keys() == {"dqn", "impala", "custom"}
    assert [field.name for field in agent_fields()["custom"]] == ["builder", "config"]
    assert agent_fields()["custom"][0].default == "required"
