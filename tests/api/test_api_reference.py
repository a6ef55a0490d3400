"""The page of all fields: as generated, and complete."""

from __future__ import annotations

from pathlib import Path

from greenroom_api.reference import generate

FILE = Path(__file__).parents[2] / "docs" / "reference.md"


def test_the_page_is_what_the_models_say() -> None:
    assert FILE.read_text() == generate(), "docs/reference.md must be generated anew: make crd"


def test_types_bounds_defaults_and_rules_are_told() -> None:
    lines = generate().splitlines()
    assert any(line.startswith("| `samplesPerInsert` | number > 0 |") for line in lines)
    (seed,) = (line for line in lines if line.startswith("| `seed` |"))
    assert seed.startswith("| `seed` | integer ≥ 0 | `0` | ")
    assert any(line.startswith("| `environment` | object | *required* |") for line in lines)
    rule = "- stop.environmentSteps must exceed replay.minSize, or learning never starts."
    assert rule in lines
    # Pods are described by Kubernetes.
    assert not any(line.startswith("## spec.actors.podTemplate") for line in lines)
