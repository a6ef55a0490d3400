"""The PodMonitor, for clusters with Prometheus' operator."""

from __future__ import annotations

from greenroom_operator import names
from greenroom_operator.observed import Manifest
from greenroom_operator.plan.subject import Subject


def pod_monitor(subject: Subject) -> Manifest:
    """Return the PodMonitor over all roles; series get the pods' labels of `names`."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": subject.metadata(subject.name),
        "spec": {
            "selector": {"matchLabels": subject.selector()},
            "podTargetLabels": [names.EXPERIMENT_LABEL, names.ROLE_LABEL],
            "podMetricsEndpoints": [{"port": names.HTTP_PORT_NAME, "path": "/metrics"}],
        },
    }
