"""Services: how roles find replay and the learner."""

from __future__ import annotations

from typing import Any

from greenroom_operator import names
from greenroom_operator.observed import Manifest
from greenroom_operator.plan.subject import Subject

_HTTP = {"name": names.HTTP_PORT_NAME, "port": names.HTTP_PORT, "targetPort": names.HTTP_PORT_NAME}


def replay_service(subject: Subject) -> Manifest:
    """Return the headless Service of replay; the StatefulSet's pod has its name in it."""
    reverb = {
        "name": names.REVERB_PORT_NAME,
        "port": names.REVERB_PORT,
        "targetPort": names.REVERB_PORT_NAME,
    }
    return _service(subject, "replay", {"clusterIP": "None", "ports": [reverb, _HTTP]})


def learner_service(subject: Subject) -> Manifest:
    """Return the Service of the learner: its address stays the same when its pod is another."""
    variables = {
        "name": names.VARIABLES_PORT_NAME,
        "port": names.VARIABLES_PORT,
        "targetPort": names.VARIABLES_PORT_NAME,
    }
    return _service(subject, "learner", {"ports": [variables, _HTTP]})


def _service(subject: Subject, role: names.Role, spec: dict[str, Any]) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": subject.metadata(subject.child(role), role),
        "spec": {
            **spec,
            "selector": subject.selector(role),
            # Roles wait for each other before they are ready: replay asks the learner for its
            # tables, the learner waits for experience.
            "publishNotReadyAddresses": True,
        },
    }
