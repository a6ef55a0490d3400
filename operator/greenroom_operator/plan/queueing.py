"""The Workload by which an experiment waits in a queue of Kueue's."""

from __future__ import annotations

from typing import Any

from greenroom_api import RLExperiment
from greenroom_operator import names
from greenroom_operator.names import ROLES
from greenroom_operator.observed import Manifest
from greenroom_operator.plan.pods import pod_template
from greenroom_operator.plan.subject import Subject
from greenroom_operator.policies.queueing import needs


def queued_workload(
    subject: Subject, resource: RLExperiment, priority: tuple[str, int] | None
) -> Manifest:
    """Return the Workload: a pod set for each role.

    Args:
        subject, resource: the experiment.
        priority: name and value of its WorkloadPriorityClass, None without.

    Source: https://kueue.sigs.k8s.io/docs/concepts/workload/
    """
    labels = resource.metadata.labels or {}
    counts = {"actor": subject.spec.actors.replicas}
    spec: dict[str, Any] = {
        "queueName": labels[names.QUEUE],
        "podSets": [
            {"name": role, "count": counts.get(role, 1), "template": pod_template(subject, role)}
            for role in ROLES
        ],
    }
    if priority is not None:
        name, value = priority
        of = {"group": "kueue.x-k8s.io", "kind": "WorkloadPriorityClass", "name": name}
        spec |= {"priorityClassRef": of, "priority": value}
    return {
        "apiVersion": "kueue.x-k8s.io/v1beta2",
        "kind": names.WORKLOAD,
        "metadata": subject.metadata(
            names.workload_name(subject.name), annotations={names.INPUTS: needs(resource)}
        ),
        "spec": spec,
    }
