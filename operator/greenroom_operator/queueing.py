"""What is read from Kueue, and written to it, for an experiment that waits in a queue of its.

`policies.queueing` decides; here are the requests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from greenroom_operator import stored
from greenroom_operator.cache import Cache
from greenroom_operator.client import Api, Object
from greenroom_operator.errors import Conflict, NotFound
from greenroom_operator.experiment import Experiment
from greenroom_operator.kinds import PRIORITY_CLASS, RESOURCE_FLAVOR, WORKLOAD
from greenroom_operator.names import ROLES, workload_name
from greenroom_operator.observed import Observed, QueueEntry
from greenroom_operator.policies import queueing, stopping
from greenroom_operator.policies.queueing import Report


class Queues:
    """Reads and writes what Kueue has.

    Args:
        api: where.
        cache: takes the answers.
    """

    def __init__(self, api: Api, cache: Cache) -> None:
        self._api, self._cache = api, cache

    async def admission(self, experiment: Experiment, observed: Observed) -> Mapping[str, Any]:
        """Return ``status.admission``, {} without.

        Flavors are read once, when the experiment is admitted, so that whoever changes one
        does not restart running pods. It stays until they are gone.

        Raises:
            OperatorError: a flavor cannot be read.
        """
        known = stored.mapping(experiment.status.get("admission"))
        if not queueing.may_run(experiment, observed) or not queueing.queue(experiment):
            stopped = stopping.stage(experiment, observed) == "stopped"
            return {} if stopped or not queueing.queue(experiment) else known
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

    async def priority(self, name: str) -> int | None:
        """Return the value of a WorkloadPriorityClass, None if there is none of that name."""
        try:
            body = await self._api.request("GET", PRIORITY_CLASS.path(None, name))
        except NotFound:
            return None
        return int(body["value"])

    async def tell(self, experiment: Experiment, report: Report) -> None:
        """Write a report into the status of the experiment's Workload.

        Raises:
            OperatorError: Kueue, or the API server, did not take it.
        """
        namespace, name = experiment.namespace, workload_name(experiment.name)
        try:
            body = await self._api.get(WORKLOAD, namespace, name)
            patch = _patch(body, report)
            body = await self._api.merge(WORKLOAD, namespace, name, patch, subresource="status")
        except NotFound:
            return
        except Conflict:
            return  # what somebody else wrote will be told, and this is looked at again
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
