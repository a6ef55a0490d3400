"""Workloads: the StatefulSet of replay, and Deployments of the other roles."""

from __future__ import annotations

from typing import Any

from greenroom_operator import names
from greenroom_operator.names import Role
from greenroom_operator.observed import Manifest, Observed
from greenroom_operator.plan.pods import pod_template
from greenroom_operator.plan.subject import Subject
from greenroom_operator.plan.volumes import CLAIM, claim_spec, replay_template_size

# Enough for `kubectl rollout undo` to tell what was before; the operator does not use them.
_REVISIONS = 2


def replay_stateful_set(subject: Subject, observed: Observed, replicas: int) -> Manifest:
    """Return the StatefulSet of the Reverb server."""
    name = subject.child("replay")
    # Claim templates never change: these are labels that stay as they are, by which the operator
    # finds the claim.
    labels = subject.selector("replay") | {names.MANAGED_BY_LABEL: names.FIELD_MANAGER}
    claim = {
        "metadata": {"name": CLAIM, "labels": labels},
        "spec": claim_spec(subject.spec.replay.storage, replay_template_size(subject, observed)),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": subject.metadata(name, "replay"),
        "spec": {
            "replicas": replicas,
            "serviceName": name,
            "selector": {"matchLabels": subject.selector("replay")},
            "template": pod_template(subject, "replay"),
            "volumeClaimTemplates": [claim],
            "persistentVolumeClaimRetentionPolicy": {
                "whenDeleted": "Delete",
                "whenScaled": "Retain",
            },
            # OrderedReady would wait for a pod that never becomes ready instead of replacing it
            # (kubernetes/kubernetes issue 67250).
            "podManagementPolicy": "Parallel",
            "revisionHistoryLimit": _REVISIONS,
        },
    }


def deployment(subject: Subject, role: Role, replicas: int) -> Manifest:
    """Return the Deployment of learner, actors or evaluator."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": subject.metadata(subject.child(role), role),
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": subject.selector(role)},
            "strategy": _strategy(role),
            "template": pod_template(subject, role),
            "revisionHistoryLimit": _REVISIONS,
        },
    }


def _strategy(role: Role) -> dict[str, Any]:
    if role == "actor":
        # Actors that are gone for a while cost steps, not learning; no spare node is needed.
        return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": "25%"}}
    # Two learners would write one run directory; two evaluators play the same episodes.
    return {"type": "Recreate"}
