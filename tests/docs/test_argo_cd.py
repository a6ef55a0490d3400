"""The health check of the documentation, as Argo CD runs it: Lua 5.1, with the object as `obj`."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from lupa.lua51 import LuaRuntime

from e2e.commands import REPOSITORY

PAGE = REPOSITORY / "docs" / "operations.md"
KEY = "resource.customizations.health.greenroom.dev_RLExperiment"
RUNNING = {"Ready": "True", "Progressing": "True", "Succeeded": "False", "Failed": "False"}
BEGAN = {"startTime": "2026-01-01T12:00:00Z"}


def health(experiment: dict[str, Any]) -> tuple[str, str]:
    """Return Argo CD's word for an experiment, and its message."""
    blocks = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (script,) = (yaml.safe_load(block)["data"][KEY] for block in blocks if KEY in block)
    lua = LuaRuntime(register_eval=False)
    lua.globals()["obj"] = lua.table_from(experiment, recursive=True)
    answer = lua.execute(script)
    return answer["status"], answer["message"]


def experiment(conditions: dict[str, str], seen: int = 2, **status: str) -> dict[str, Any]:
    told = [
        {"type": kind, "status": value, "message": f"words of {kind}"}
        for kind, value in conditions.items()
    ]
    return {
        "metadata": {"generation": 2},
        "spec": {},
        "status": {"observedGeneration": seen, "conditions": told, **status},
    }


@pytest.mark.parametrize(
    ("conditions", "status", "wanted"),
    [
        (RUNNING, BEGAN, ("Healthy", "Ready")),
        (RUNNING | {"Ready": "False"}, {}, ("Progressing", "Ready")),
        # No node has room yet.
        (RUNNING | {"Ready": "False", "Progressing": "False"}, {}, ("Progressing", "Ready")),
        # One of its actors lacks an image.
        (RUNNING | {"Progressing": "False"}, BEGAN, ("Degraded", "Progressing")),
        (RUNNING | {"Progressing": "Unknown"}, BEGAN, ("Healthy", "Ready")),
        (RUNNING | {"ReplayStalled": "True"}, BEGAN, ("Degraded", "ReplayStalled")),
        # Ended or suspended, nothing progresses any more.
        ({"Progressing": "False", "Suspended": "True"}, BEGAN, ("Suspended", "Suspended")),
        ({"Progressing": "False", "Succeeded": "True"}, BEGAN, ("Healthy", "Succeeded")),
        ({"Progressing": "False", "Failed": "True"}, BEGAN, ("Degraded", "Failed")),
        # Suspended before it ever ran.
        ({"Progressing": "False", "Suspended": "True"}, {}, ("Suspended", "Suspended")),
    ],
)
def test_health_follows_from_conditions(
    conditions: dict[str, str], status: dict[str, str], wanted: tuple[str, str]
) -> None:
    word, condition = wanted
    assert health(experiment(conditions, **status)) == (word, f"words of {condition}")


@pytest.mark.parametrize(
    "unseen", [{"metadata": {"generation": 1}, "spec": {}}, experiment(RUNNING, seen=1)]
)
def test_what_the_operator_has_not_seen_is_progressing(unseen: dict[str, Any]) -> None:
    assert health(unseen)[0] == "Progressing"
