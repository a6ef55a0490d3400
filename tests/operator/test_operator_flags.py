"""What may be set of the command: each flag and its variable is in the help, and is read."""

from __future__ import annotations

import os
import re

import pytest
import typer.main
from typer.testing import CliRunner

from greenroom_operator.main import app

# Of each parameter: what its variable may hold, and what the command then gets.
READ = [
    ("worker_image", "example.com/worker:1", "example.com/worker:1"),
    ("replay_image", "example.com/replay:1", "example.com/replay:1"),
    ("namespace", "a b", ["a", "b"]),
    ("concurrency", "3", 3),
    ("leader_elect", "false", False),
    ("lease_name", "mine", "mine"),
    ("lease_namespace", "system", "system"),
    ("http_host", "0.0.0.0", "0.0.0.0"),
    ("http_port", "9090", 9090),
    ("log_format", "json", "json"),
    ("log_level", "debug", "debug"),
    ("progress_interval", "2.5", 2.5),
    ("progress_via", "pods", "pods"),
    ("resync_interval", "60", 60.0),
    ("pod_disruption_budgets", "false", False),
    ("network_policies", "false", False),
    ("pod_monitors", "false", False),
    ("queueing", "false", False),
]
COMMAND = typer.main.get_command(app)


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GREENROOM_OPERATOR")]:
        monkeypatch.delenv(name)


def variable(parameter: str) -> str:
    return f"GREENROOM_OPERATOR_{parameter.upper()}"


def test_every_parameter_is_known_here() -> None:
    assert [name for name, _, _ in READ] == [each.name for each in COMMAND.params]


def test_help_names_every_flag_and_its_variable() -> None:
    said = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "100"})
    assert said.exit_code == 0
    # From one flag's line to the next one's; a word may stand in a line of its own.
    sections = re.split(r"^  (?=--)", said.output.partition("Options:\n")[2], flags=re.MULTILINE)
    told = {section.split()[0]: " ".join(section.split()) for section in sections[1:]}
    for name, _, _ in READ:
        assert f"[env var: {variable(name)}" in told[f"--{name.replace('_', '-')}"]
    assert "--no-pod-monitors" in told["--pod-monitors"]


@pytest.mark.parametrize(("name", "text", "expected"), READ, ids=[name for name, _, _ in READ])
def test_its_variable_sets_a_parameter(
    name: str, text: str, expected: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    unset = COMMAND.make_context("greenroom-operator", []).params
    monkeypatch.setenv(variable(name), text)
    params = COMMAND.make_context("greenroom-operator", []).params
    assert unset[name] != expected
    assert params == {**unset, name: expected}


def test_a_flag_wins_over_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable("namespace"), "a b")
    context = COMMAND.make_context("greenroom-operator", ["--namespace=c", "--namespace=d"])
    assert context.params["namespace"] == ["c", "d"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("concurrency", "0", "Invalid value for '--concurrency'"),
        ("http_port", "high", "Invalid value for '--http-port'"),
        ("log_level", "loud", "must be one of debug, info, warning, error. Got: loud."),
        ("log_format", "xml", "must be one of text, json. Got: xml."),
    ],
)
def test_a_wrong_value_in_the_environment_is_wrong_usage(name: str, text: str, words: str) -> None:
    said = CliRunner().invoke(app, [], env={variable(name): text, "COLUMNS": "100"})
    assert said.exit_code == 2
    assert words in " ".join(said.output.split())
