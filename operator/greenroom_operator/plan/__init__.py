"""From an experiment to the objects that it is made of: pure functions, a file for each family.

    for manifest in plan(experiment, decision, observed, options):
        await api.apply(manifest)

What others need comes first: the ConfigMap and volume claims that pods mount, Services and the
network policy, then workloads, then what watches over pods that are there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from greenroom_operator import stored
from greenroom_operator.digests import digest
from greenroom_operator.experiment import Experiment
from greenroom_operator.names import APPLIED, Role
from greenroom_operator.observed import Decision, Manifest, Observed
from greenroom_operator.plan.config import experiment_config
from greenroom_operator.plan.disruption import actors_budget, core_budget
from greenroom_operator.plan.inputs import inputs_of
from greenroom_operator.plan.monitor import pod_monitor
from greenroom_operator.plan.network import network_policy
from greenroom_operator.plan.queueing import queued_workload
from greenroom_operator.plan.services import learner_service, replay_service
from greenroom_operator.plan.subject import Subject
from greenroom_operator.plan.volumes import learner_claim, replay_growth
from greenroom_operator.plan.workloads import deployment, replay_stateful_set
from greenroom_operator.settings import PlanOptions
from greenroom_operator.status import resolve_images

__all__ = ["is_seeding", "placement_of", "plan"]

_DEPLOYED: tuple[Role, ...] = ("learner", "actor", "evaluator")


def plan(
    experiment: Experiment, decision: Decision, observed: Observed, options: PlanOptions
) -> tuple[Manifest, ...]:
    """Return the objects that an experiment is to consist of, in the order to apply them in.

    Args:
        experiment: what is wanted. Its status tells the images that were chosen, where a queue
            has its pods run, and whether the learner has run.
        decision: how many pods of each role there are to be.
        observed: what is there: volumes that are larger than asked for stay so.
        options: what this operator makes.

    Each object bears a digest of itself (`names.APPLIED`), replicas apart.
    """
    subject = Subject(
        name=experiment.name,
        namespace=experiment.namespace,
        uid=experiment.uid,
        spec=experiment.resource.spec,
        images=resolve_images(experiment, options),
        inputs=inputs_of(experiment.resource),
        seeding=is_seeding(experiment),
        placement=placement_of(experiment),
    )
    objects = [*_objects(subject, decision, observed, options)]
    if decision.queued:
        # Its quota is of what pods ask for before the queue says where they run.
        asking = replace(subject, placement={})
        objects.insert(0, queued_workload(asking, experiment.resource, observed.priority))
    return tuple(map(_sealed, objects))


def placement_of(experiment: Experiment) -> dict[str, Any]:
    """Return what ``status.admission`` says of each role, {} without a queue."""
    admission = stored.mapping(experiment.status.get("admission"))
    return {one["name"]: one for one in admission.get("podSets", ())}


def _objects(
    subject: Subject, decision: Decision, observed: Observed, options: PlanOptions
) -> Iterator[Manifest]:
    yield experiment_config(subject)
    yield learner_claim(subject, observed)
    growth = replay_growth(subject, observed)
    if growth is not None:
        yield growth
    yield replay_service(subject)
    yield learner_service(subject)
    if options.network_policies:
        yield network_policy(subject)
    yield replay_stateful_set(subject, observed, decision.replicas["replay"])
    for role in _DEPLOYED:
        yield deployment(subject, role, decision.replicas[role])
    if options.pod_disruption_budgets:
        yield actors_budget(subject)
        yield core_budget(subject)
    if options.pod_monitors:
        yield pod_monitor(subject)


def is_seeding(experiment: Experiment) -> bool:
    """Return whether the learner still has to begin from another run's checkpoint.

    Once it has run, which steps in the status tell, it has a copy. It must not depend on the
    other's volume from then on, which may be deleted, or be wanted by somebody else.
    """
    resumes = experiment.resource.spec.resume_from is not None
    return resumes and "environmentSteps" not in experiment.status


def _sealed(manifest: Manifest) -> Manifest:
    spec = manifest.get("spec", {})
    judged = manifest
    if "replicas" in spec:
        judged = {**manifest, "spec": {key: spec[key] for key in spec if key != "replicas"}}
    manifest["metadata"]["annotations"][APPLIED] = digest(judged)
    return manifest
