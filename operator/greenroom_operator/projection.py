"""From objects as the API server gives them to what is kept of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from greenroom_operator.kinds import DEPLOYMENT, STATEFUL_SET, VOLUME_CLAIM, WORKLOAD, Kind
from greenroom_operator.names import (
    APPLIED,
    CONTAINER,
    FIELD_MANAGER,
    INPUTS,
    OWNER,
    ROLE_LABEL,
    ROLES,
    SEED_CONTAINER,
)
from greenroom_operator.observed import Child, Pod, QueueEntry

# As much of a container's last words as a message can show.
MESSAGE_CHARACTERS = 2048


def child_of(kind: Kind, body: Mapping[str, Any]) -> Child:
    """Return what is kept of a child."""
    metadata, spec = body["metadata"], body.get("spec", {})
    status = body.get("status", {})
    kept: dict[str, Any] = {}
    if kind in (DEPLOYMENT, STATEFUL_SET):
        kept = _workload(metadata, spec, status)
    elif kind == VOLUME_CLAIM:
        kept = {
            "storage": spec.get("resources", {}).get("requests", {}).get("storage"),
            "bound": status.get("phase"),
        }
    elif kind == WORKLOAD:
        kept = {"entry": entry_of(metadata, spec, status)}
    return Child(
        uid=metadata["uid"],
        owner=owner_of(metadata),
        deleting="deletionTimestamp" in metadata,
        applied=metadata.get("annotations", {}).get(APPLIED),
        owned=digest(owned_fields(metadata)),
        **kept,
    )


def _workload(
    metadata: Mapping[str, Any], spec: Mapping[str, Any], status: Mapping[str, Any]
) -> dict[str, Any]:
    template = spec.get("template", {}).get("metadata", {})
    claims = spec.get("volumeClaimTemplates") or [{}]
    requests = claims[0].get("spec", {}).get("resources", {}).get("requests", {})
    return {
        "inputs": template.get("annotations", {}).get(INPUTS),
        "replicas": spec.get("replicas"),
        "existing": status.get("replicas", 0),
        "unobserved": spec.get("replicas") == 0
        and status.get("observedGeneration", 0) < metadata.get("generation", 0),
        "storage": requests.get("storage"),
        "failure": _replica_failure(status),
    }


def entry_of(
    metadata: Mapping[str, Any], spec: Mapping[str, Any], status: Mapping[str, Any]
) -> QueueEntry:
    """Return what is kept of Kueue's Workload."""
    conditions = {one["type"]: one for one in status.get("conditions", ())}
    true = {name for name, one in conditions.items() if one["status"] == "True"}
    evicted, ready = conditions.get("Evicted", {}), conditions.get("PodsReady")
    admission = status.get("admission") or {}
    asked = {one["name"]: one["count"] for one in spec.get("podSets", ())}
    given = admission.get("podSetAssignments", ())
    updates: dict[str, tuple[Mapping[str, Any], ...]] = {}
    for check in status.get("admissionChecks", ()):
        for update in check.get("podSetUpdates", ()):
            updates[update["name"]] = (*updates.get(update["name"], ()), update)
    admitted = conditions.get("Admitted", {}).get("lastTransitionTime", "")
    checks = [
        f"{check['name']}: {check['message']}"
        for check in status.get("admissionChecks", ())
        if check.get("state") != "Ready" and check.get("message")
    ]
    words = "; ".join([conditions.get("QuotaReserved", {}).get("message", ""), *checks])
    priority_class = spec.get("priorityClassRef", {}).get("name")
    return QueueEntry(
        queue=spec.get("queueName", ""),
        inputs=metadata.get("annotations", {}).get(INPUTS, ""),
        counts=asked | {one["name"]: one["count"] for one in given if "count" in one},
        reserved="QuotaReserved" in true,
        admitted=admitted if "Admitted" in true else "",
        evicted=(evicted["reason"], evicted["message"]) if "Evicted" in true else None,
        finished="Finished" in true,
        pods_ready=(ready["status"], ready["reason"], ready["lastTransitionTime"])
        if ready
        else None,
        words=words[:MESSAGE_CHARACTERS],
        priority=(priority_class, spec.get("priority", 0)) if priority_class else None,
        cluster_queue=admission.get("clusterQueue", ""),
        flavors={one["name"]: tuple(sorted(set(one.get("flavors", {}).values()))) for one in given},
        updates=updates,
    )


def _replica_failure(status: Mapping[str, Any]) -> str:
    """Return why no pods can be made: a quota, or an admission plugin, in its own words."""
    for condition in status.get("conditions", ()):
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            return str(condition.get("message", ""))[:MESSAGE_CHARACTERS]
    return ""


def pod_of(body: Mapping[str, Any]) -> Pod | None:
    """Return what is kept of a pod; None if it has no role."""
    metadata, status = body["metadata"], body.get("status", {})
    role = metadata.get("labels", {}).get(ROLE_LABEL)
    if role not in ROLES:
        return None
    containers = [
        *status.get("initContainerStatuses", ()),
        *status.get("containerStatuses", ()),
    ]
    # How a user's own container ends says nothing of the run.
    ours = [it for it in containers if it["name"] in (CONTAINER, SEED_CONTAINER)]
    conditions = {condition["type"]: condition for condition in status.get("conditions", ())}
    scheduled = conditions.get("PodScheduled", {})
    unschedulable = scheduled.get("status") == "False"
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        role=role,
        phase=status.get("phase", "Pending"),
        ready=conditions.get("Ready", {}).get("status") == "True",
        deleting="deletionTimestamp" in metadata,
        leaves=_time(metadata.get("deletionTimestamp")),
        ip=status.get("podIP", ""),
        restarts=sum(container.get("restartCount", 0) for container in ours),
        reason=status.get("reason", ""),
        message=status.get("message", "")[:MESSAGE_CHARACTERS],
        inputs=metadata.get("annotations", {}).get(INPUTS, ""),
        owner=metadata.get("annotations", {}).get(OWNER, ""),
        unschedulable=scheduled.get("message", "") if unschedulable else "",
        **_waiting(containers),
        **_exit(ours, conditions.get("Ready", {})),
    )


# Less than the readiness probes of the roles take to fail.
_SETTLED = timedelta(seconds=10)


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _waiting(containers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    for container in containers:
        waiting = container.get("state", {}).get("waiting")
        # An init container's turn makes the others wait, which is no news.
        if waiting and waiting.get("reason") not in (None, "PodInitializing", "ContainerCreating"):
            return {
                "waiting": waiting["reason"],
                "waiting_message": waiting.get("message", "")[:MESSAGE_CHARACTERS],
            }
    return {}


def _exit(containers: Iterable[Mapping[str, Any]], ready: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a container ended that failed last, or ended last if none failed.

    Args:
        ready: the pod's condition: what ended before it was ready once more is past.
    """
    ends = [
        ended
        for container in containers
        for ended in (
            container.get("state", {}).get("terminated"),
            None
            if _was_ready(container, ready)
            else container.get("lastState", {}).get("terminated"),
        )
        if ended
    ]
    if not ends:
        return {}
    ended = max(ends, key=lambda end: (end["exitCode"] != 0, end.get("finishedAt") or ""))
    return {
        "exit_code": ended["exitCode"],
        "exit_reason": ended.get("reason", ""),
        "exit_message": ended.get("message", "")[-MESSAGE_CHARACTERS:],
    }


def _was_ready(container: Mapping[str, Any], ready: Mapping[str, Any]) -> bool:
    """Return whether a container was ready since it was started again, and is not any more."""
    started = _time(container.get("state", {}).get("running", {}).get("startedAt"))
    changed = _time(ready.get("lastTransitionTime"))
    if ready.get("status") == "True" or started is None or changed is None:
        return False
    # The end of the run before makes a pod unready, too, told a moment later.
    return changed - started > _SETTLED


def owner_of(metadata: Mapping[str, Any]) -> str | None:
    """Return the uid of whom an object belongs to: its controlling owner, or who claims it."""
    for reference in metadata.get("ownerReferences", ()):
        if reference.get("controller"):
            uid: str = reference["uid"]
            return uid
    claimed: str | None = metadata.get("annotations", {}).get(OWNER)
    return claimed


def owned_fields(metadata: Mapping[str, Any]) -> bytes | None:
    """Return which fields this operator applied and nobody took over since, as JSON.

    Whoever changes a field by other means than server-side apply takes it away from those
    who applied it (https://kubernetes.io/docs/reference/using-api/server-side-apply/), so
    that this tells of every change by hand, whatever defaults or canonical forms the API
    server writes into the values.
    """
    for entry in metadata.get("managedFields", ()):
        if entry["manager"] == FIELD_MANAGER and entry["operation"] == "Apply":
            return json.dumps(entry["fieldsV1"], separators=(",", ":")).encode()
    return None


def digest(fields: bytes | None) -> str | None:
    """Return a short digest of owned fields."""
    return None if fields is None else hashlib.blake2b(fields, digest_size=8).hexdigest()


def owns_all(manifest: Mapping[str, Any], fields: bytes | None) -> bool:
    """Return whether all of a manifest is among the owned fields of the live object."""
    return fields is not None and _covers(json.loads(fields), manifest, top=True)


# The API server keeps these out of managed fields.
_UNMANAGED = {"apiVersion", "kind", "name", "namespace"}


def _covers(owned: Mapping[str, Any], value: Any, *, top: bool = False) -> bool:
    """Compare with managed fields: ``f:`` fields, ``k:`` list items by key, ``v:`` set items."""
    if not [name for name in owned if name != "."]:
        return True  # owned as a whole
    if isinstance(value, Mapping):
        for name, item in value.items():
            if (top and name in ("apiVersion", "kind")) or item is None:
                continue
            if top and name == "metadata":
                item = {key: part for key, part in item.items() if key not in _UNMANAGED}
            field = owned.get(f"f:{name}")
            if field is None or not _covers(field, item):
                return False
        return True
    if isinstance(value, list):
        return all(_owns_item(owned, item) for item in value)
    return True


def _owns_item(owned: Mapping[str, Any], item: Any) -> bool:
    for name, fields in owned.items():
        if name.startswith("k:") and isinstance(item, Mapping):
            keys = json.loads(name[2:])
            # A key that the manifest leaves out is one that the API server has a default for.
            if all(item.get(key, value) == value for key, value in keys.items()):
                return _covers(fields, item)
        elif name.startswith("v:") and json.loads(name[2:]) == item:
            return True
    return False
