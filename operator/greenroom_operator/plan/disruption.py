"""PodDisruptionBudgets: what a drain of nodes may take at once."""

from __future__ import annotations

from typing import Any

from greenroom_operator import names
from greenroom_operator.observed import Manifest
from greenroom_operator.plan.subject import Subject


def actors_budget(subject: Subject) -> Manifest:
    """Return the budget of actors: a quarter of them at a time."""
    selector = {"matchLabels": subject.selector("actor")}
    return _budget(subject, subject.child("actor"), selector, "25%", "actor")


def core_budget(subject: Subject) -> Manifest:
    """Return the budget of replay and learner: one of the two at a time."""
    selector = {
        "matchLabels": subject.selector(),
        "matchExpressions": [
            {"key": names.ROLE_LABEL, "operator": "In", "values": ["replay", "learner"]}
        ],
    }
    return _budget(subject, f"{subject.name}-core", selector, 1)


def _budget(
    subject: Subject,
    name: str,
    selector: dict[str, Any],
    unavailable: int | str,
    role: names.Role | None = None,
) -> Manifest:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": subject.metadata(name, role),
        "spec": {
            "selector": selector,
            "maxUnavailable": unavailable,
            # Or pods that never become ready would hold up a drain for ever.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
