"""The NetworkPolicy: who may reach the pods of an experiment."""

from __future__ import annotations

from greenroom_operator import names
from greenroom_operator.observed import Manifest
from greenroom_operator.plan.subject import Subject


def network_policy(subject: Subject) -> Manifest:
    """Return the policy over all pods of an experiment.

    Reverb knows no token, and whoever could write into replay would decide what is learnt:
    its port and the learner's are for the experiment's own pods. The HTTP port is read-only
    and tells no secret, so that probes and Prometheus reach it from anywhere. What pods may
    reach is not restricted: an environment may need anything. A port of a sidecar needs a
    policy of its own; policies add up.
    """
    own = {"podSelector": {"matchLabels": subject.selector()}}
    private = [
        {"protocol": "TCP", "port": port} for port in (names.REVERB_PORT, names.VARIABLES_PORT)
    ]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": subject.metadata(subject.name),
        "spec": {
            "podSelector": {"matchLabels": subject.selector()},
            "policyTypes": ["Ingress"],
            "ingress": [
                {"from": [own], "ports": private},
                {"ports": [{"protocol": "TCP", "port": names.HTTP_PORT}]},
            ],
        },
    }
