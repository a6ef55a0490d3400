"""What an experiment is made of, and all of it as text that is the same in each life."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from e2e.cluster.client import Api, ApiError, Object
from greenroom_operator.kinds import CHILDREN, OPTIONAL, SECRET
from greenroom_operator.status.progress import COUNTS, RATES

# Of this run, and not of a life: other values each time.
_METADATA = {"creationTimestamp", "generation", "managedFields", "resourceVersion", "uid"}
_DIGESTS = re.compile(r"greenroom\.dev/(applied|inputs)|deployment\.kubernetes\.io/revision")
_ADDRESSES = {"clusterIP", "clusterIPs", "volumeName"}
_TIMES = {"lastTransitionTime", "startTime", "completionTime", "progressTime", "time"}
# Written every 30 s, while nothing else changes; and by the end of training.
_PROGRESS = {*COUNTS, *RATES, "checkpoint"}
_NEWEST = re.compile('; (the newest known is at|none is known)[^"]*')


def family(api: Api, namespace: str) -> dict[str, Object]:
    """Return all objects of a namespace that an experiment is made of, by kind and name."""
    found = {}
    for kind in (*CHILDREN, SECRET):
        try:
            items = api.get(kind.path(namespace))["items"]
        except ApiError as error:
            if kind in OPTIONAL and error.code == 404:
                continue
            raise
        for item in items:
            name = item["metadata"]["name"]
            if name != "kube-root-ca.crt":
                # Items of a list do not say what they are.
                found[f"{kind.kind} {name}"] = {"kind": kind.kind, **item}
    return found


def snapshot(objects: Mapping[str, Object], status: Object, own: Sequence[str]) -> str:
    """Return objects and an experiment's status as text, without what differs between lives.

    Args:
        objects: see `family`; what they report, and what Secrets hold, is left out.
        status: of the experiment.
        own: words of this life alone: its namespace, uid and address.
    """
    specs = {
        name: {
            field: value
            for field, value in item.items()
            if field != "status" and (field != "data" or item.get("kind") != "Secret")
        }
        for name, item in objects.items()
    }
    if status["phase"] != "Succeeded":
        status = {name: value for name, value in status.items() if name not in _PROGRESS}
    text = json.dumps(_without_this_run({**specs, "status": status}), indent=1, sort_keys=True)
    text = _NEWEST.sub("", text)
    for word in own:
        text = text.replace(word, "OWN")
    return text


def _without_this_run(value: Any) -> Any:
    """Leave out times, identities and digests that hold them."""
    if isinstance(value, list):
        return [_without_this_run(item) for item in value]
    if not isinstance(value, dict):
        return value
    dropped = _METADATA | _ADDRESSES | _TIMES
    return {
        name: _without_this_run(item)
        for name, item in value.items()
        if name not in dropped and not _DIGESTS.fullmatch(name)
    }
