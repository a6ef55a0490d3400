"""Pod templates: restricted pods, with what a user's ``podTemplate`` adds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from greenroom_operator import names
from greenroom_operator.digests import digest
from greenroom_operator.names import Role
from greenroom_operator.plan.config import config_name
from greenroom_operator.plan.containers import TEMPORARY, seed_container, worker_container
from greenroom_operator.plan.merge import merge_template
from greenroom_operator.plan.subject import Subject
from greenroom_operator.plan.volumes import CLAIM

# Any that is not root; images need no entry for it.
USER: Final = 65_532
TEMPORARY_SIZE: Final = "1Gi"

# The learner saves and tells so, replay saves; the others drop what they are at.
GRACE_SECONDS: Final[Mapping[Role, int]] = {
    "replay": 120,
    "learner": 120,
    "actor": 30,
    "evaluator": 30,
}


def pod_template(subject: Subject, role: Role) -> dict[str, Any]:
    """Return the template of a role's pods, a PodTemplateSpec."""
    template = {
        "metadata": {"labels": subject.labels(role), "annotations": _annotations(subject, role)},
        "spec": _pod_spec(subject, role),
    }
    return _placed(merge_template(template, _users(subject, role)), subject, role)


def _placed(template: dict[str, Any], subject: Subject, role: Role) -> dict[str, Any]:
    """Return a template with what the queue says of the nodes that pods are to run on."""
    placement = subject.placement.get(role)
    if placement is None:
        return template
    metadata, spec = dict(template["metadata"]), dict(template["spec"])
    for name in ("labels", "annotations"):
        if placement.get(name):
            metadata[name] = {**placement[name], **metadata.get(name, {})}
    if placement.get("nodeSelector"):
        spec["nodeSelector"] = {**spec.get("nodeSelector", {}), **placement["nodeSelector"]}
    if placement.get("tolerations"):
        known = spec.get("tolerations", [])
        new = [one for one in placement["tolerations"] if one not in known]
        spec["tolerations"] = [*known, *new]
    return {**template, "metadata": metadata, "spec": spec}


def _users(subject: Subject, role: Role) -> Mapping[str, Any] | None:
    spec = subject.spec
    templates: dict[Role, Mapping[str, Any] | None] = {
        "replay": spec.replay.pod_template,
        "learner": spec.learner.pod_template,
        "actor": spec.actors.pod_template,
        "evaluator": spec.evaluator.pod_template,
    }
    return templates[role]


def _annotations(subject: Subject, role: Role) -> dict[str, str]:
    seeding = role == "learner" and subject.seeding
    return {
        names.INPUTS: digest([subject.inputs.digests[role], subject.image(role), seeding]),
        names.OWNER: subject.uid,
        "kubectl.kubernetes.io/default-container": names.CONTAINER,
        # For a Prometheus without its operator, and so without PodMonitors.
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(names.HTTP_PORT),
        "prometheus.io/path": "/metrics",
    }


def _pod_spec(subject: Subject, role: Role) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            # Or each start would walk through all checkpoints.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": GRACE_SECONDS[role],
        "containers": [worker_container(subject, role)],
        "volumes": _volumes(subject, role),
    }
    if role == "learner" and subject.seeding:
        spec["initContainers"] = [seed_container(subject)]
    if role == "actor":
        spec["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": subject.selector(role)},
            }
        ]
    return spec


def _volumes(subject: Subject, role: Role) -> list[dict[str, Any]]:
    volumes: list[dict[str, Any]] = [
        {"name": TEMPORARY["name"], "emptyDir": {"sizeLimit": TEMPORARY_SIZE}}
    ]
    if role != "replay":
        config = {"name": config_name(subject.name)}
        volumes.insert(0, {"name": "experiment", "configMap": config})
    if role == "learner":
        # Replay's comes from the claim template of its StatefulSet.
        claim = {"claimName": subject.child("learner")}
        volumes.insert(0, {"name": CLAIM, "persistentVolumeClaim": claim})
        if subject.seeding:
            volumes.append(_source(subject))
    return volumes


def _source(subject: Subject) -> dict[str, Any]:
    resume = subject.spec.resume_from
    assert resume is not None, "only an experiment that resumes another one is seeded"
    claim = (
        names.child_name(resume.experiment, "learner") if resume.experiment else resume.claim_name
    )
    return {"name": "source", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
