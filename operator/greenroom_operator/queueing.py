"""What is read from Kueue, and written to it, for an experiment that waits in a queue of its.

`policies.queueing` decides; here are the requests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from greenroom_operator import stored
from greenroom_operator.cache import Cache
from greenroom_operator.client import Api, Object
from greenroom_operator.errors import ApiRefused, ApiUnavailable, NotFound
from greenroom_operator.experiment import Experiment
from greenroom_operator.kinds import PRIORITY_CLASS, RESOURCE_FLAVOR, WORKLOAD
from greenroom_operator.names import PRIORITY, ROLES, workload_name
from greenroom_operator.observed import ChildKey, Decision, Observed, QueueEntry
from greenroom_operator.policies import queueing, stopping
from greenroom_operator.policies.goal import goal
from greenroom_operator.policies.queueing import Report


class Queues:
    """Reads and writes what Kueue has.

    Args:
        api: where.
        cache: takes the answers.
    """

    def __init__(self, api: Api, cache: Cache) -> None:
        self._api, self._cache = api, cache

    async def with_admission(self, experiment: Experiment, observed: Observed) -> Experiment:
        """Return an experiment with what its queue has admitted in its status.

        Raises:
            ApiUnavailable: Kueue has not told yet what it admitted, and that matters.
            OperatorError: a flavor cannot be read.
        """
        status = {name: value for name, value in experiment.status.items() if name != "admission"}
        if queueing.queue(experiment):
            unknown = observed.queueing and not self._cache.queues_known
            if unknown and goal(experiment) == "run":
                raise ApiUnavailable("Kueue's Workloads are not known yet", reason="queues")
            admission = await self._admission(experiment, observed)
            status |= {"admission": admission} if admission else {}
        return replace(experiment, status=status)

    async def _admission(self, experiment: Experiment, observed: Observed) -> Mapping[str, Any]:
        """Return ``status.admission``, {} without.

        Flavors are read once, when the experiment is admitted, so that whoever changes one
        does not restart running pods. It stays until they are gone.
        """
        known = stored.mapping(experiment.status.get("admission"))
        if goal(experiment) != "run" or not queueing.may_run(experiment, observed):
            return {} if stopping.stage(experiment, observed) == "stopped" else known
        workload = queueing.workload(experiment, observed)
        place = queueing.entry(experiment, observed)
        assert workload is not None, "only a Workload lets a queued experiment run"
        assert place is not None, "one that is leaving lets nothing run"
        if (known.get("workload"), known.get("time")) == (workload.uid, place.admitted):
            return known
        flavors = {
            name: await self._api.request("GET", RESOURCE_FLAVOR.path(None, name))
            for name in sorted({name for names in place.flavors.values() for name in names})
        }
        return {
            "workload": workload.uid,
            "time": place.admitted,
            **({"clusterQueue": place.cluster_queue} if place.cluster_queue else {}),
            "podSets": [_of_role(place, role, flavors) for role in ROLES if role in place.counts],
        }

    async def priority(
        self, experiment: Experiment, observed: Observed, decision: Decision
    ) -> tuple[tuple[str, int] | None, dict[ChildKey, str]]:
        """Return the priority class that a Workload is to name, and what was wrong with it.

        It is asked for its value once: Kueue does not follow a class that changes.
        """
        name = (experiment.resource.metadata.labels or {}).get(PRIORITY)
        place = queueing.entry(experiment, observed)
        known = None if place is None else place.priority
        if not name or not decision.queued:
            return None, {}
        if place is not None and (place.reserved or (known and known[0] == name)):
            return known, {}
        key = PRIORITY_CLASS.kind, name
        try:
            body = await self._api.request("GET", PRIORITY_CLASS.path(None, name))
        except NotFound:
            return known, {key: "there is none"}
        except (ApiUnavailable, ApiRefused) as error:
            return known, {key: str(error)}
        return (name, int(body["value"])), {}

    async def tell(self, experiment: Experiment, uid: str, report: Report) -> None:
        """Write a report into the status of this Workload of the experiment.

        Raises:
            Conflict: somebody wrote at the same moment.
            OperatorError: Kueue, or the API server, did not take it.
        """
        namespace, name = experiment.namespace, workload_name(experiment.name)
        try:
            body = await self._api.get(WORKLOAD, namespace, name)
            if body["metadata"]["uid"] != uid:
                return
            patch = _patch(body, report)
            body = await self._api.merge(WORKLOAD, namespace, name, patch, subresource="status")
        except NotFound:
            return
        self._cache.child(WORKLOAD, "MODIFIED", body)


def _of_role(place: QueueEntry, role: str, flavors: Mapping[str, Object]) -> dict[str, Any]:
    """Return what a role's pods get: of the flavors, and of what admission checks add."""
    specs = [flavors[name].get("spec", {}) for name in place.flavors.get(role, ())]
    updates = place.updates.get(role, ())
    got: dict[str, Any] = {
        "nodeSelector": _united(
            [spec.get("nodeLabels") for spec in specs]
            + [update.get("nodeSelector") for update in updates]
        ),
        "tolerations": _tolerations([*specs, *updates]),
        "labels": _united(update.get("labels") for update in updates),
        "annotations": _united(update.get("annotations") for update in updates),
    }
    kept = {name: value for name, value in got.items() if value}
    return {"name": role, "count": place.counts[role], **kept}


def _united(maps: Iterable[Mapping[str, str] | None]) -> dict[str, str]:
    return {name: value for one in maps for name, value in (one or {}).items()}


def _tolerations(sources: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for source in sources:
        for toleration in source.get("tolerations") or ():
            known = {name: value for name, value in toleration.items() if value != ""}
            if known not in found:
                found.append(known)
    return found


def _patch(body: Object, report: Report) -> dict[str, Any]:
    """Return a merge patch of a Workload's status; the version guards the list of conditions."""
    metadata, status = body["metadata"], body.get("status", {})
    now = stored.write_time(datetime.now(UTC))
    conditions = {one["type"]: one for one in status.get("conditions", ())}
    for kind, value, reason, message in report.conditions:
        before = conditions.get(kind, {})
        same = before.get("status") == value
        conditions[kind] = {
            "type": kind,
            "status": value,
            "reason": reason,
            "message": message,
            "observedGeneration": metadata["generation"],
            "lastTransitionTime": before["lastTransitionTime"] if same else now,
        }
    return {
        "metadata": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
        "status": {
            "conditions": list(conditions.values()),
            **({"admission": None} if report.release else {}),
        },
    }
