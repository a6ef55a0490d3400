"""A user's ``podTemplate`` over the operator's own, list by list as the API server merges.

``MERGE_KEYS`` says by what the entries of a list are told apart, as Kubernetes' OpenAPI
document does in ``x-kubernetes-list-map-keys`` (and, where that is missing, in
``x-kubernetes-patch-merge-key``) of ``io.k8s.api.core.v1.PodTemplateSpec`` and what it
holds. All other lists, tolerations among them, are replaced as a whole; ports are ours.

    merge_template(ours, {"spec": {"containers": [{"name": "worker", "image": "mine"}]}})
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from greenroom_operator.names import INPUTS, OWNER

Path = tuple[str, ...]

_CONTAINERS: Final = ("containers", "initContainers")
_OF_CONTAINERS: Final[Mapping[str, tuple[str, ...]]] = {
    "env": ("name",),
    "volumeDevices": ("devicePath",),
    "volumeMounts": ("mountPath",),
}
_PROBES: Final = ("startupProbe", "livenessProbe", "readinessProbe")

MERGE_KEYS: Final[Mapping[Path, tuple[str, ...]]] = {
    ("spec", "hostAliases"): ("ip",),
    ("spec", "imagePullSecrets"): ("name",),
    ("spec", "resourceClaims"): ("name",),
    ("spec", "schedulingGates"): ("name",),
    ("spec", "topologySpreadConstraints"): ("topologyKey", "whenUnsatisfiable"),
    ("spec", "volumes"): ("name",),
    **{("spec", name): ("name",) for name in _CONTAINERS},
    **{
        ("spec", name, field): keys
        for name in _CONTAINERS
        for field, keys in _OF_CONTAINERS.items()
    },
    **{("spec", name, "resources", "claims"): ("name",) for name in _CONTAINERS},
}
# Of several ways to say something just one may be said, so that one of the user's takes the
# place of ours: the source of a variable or a volume, what a probe does.
_REPLACED_ENTRIES: Final = {("spec", "volumes")} | {("spec", name, "env") for name in _CONTAINERS}
_REPLACED: Final = {("spec", "topologySpreadConstraints", "labelSelector")}
_PROBE_PATHS: Final = {("spec", name, probe) for name in _CONTAINERS for probe in _PROBES}
_HANDLERS: Final = ("exec", "grpc", "httpGet", "tcpSocket")
_RESOURCES: Final = {("spec", name, "resources") for name in _CONTAINERS}

_OWN_FIELDS: Final = ("command", "args", "ports")


def merge_template(ours: dict[str, Any], theirs: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the pod template of a role.

    What the user says wins, but for the labels, what runs in our containers and its ports,
    and the digest of the role's inputs.

    Args:
        ours: a whole PodTemplateSpec.
        theirs: a partial one.
    """
    if not theirs:
        return ours
    merged = _merge(ours, theirs, ())
    own, metadata = ours["metadata"], merged["metadata"]
    merged["metadata"] = {
        **metadata,
        "labels": {**metadata["labels"], **own["labels"]},
        "annotations": {
            **metadata["annotations"],
            **{name: own["annotations"][name] for name in (INPUTS, OWNER)},
        },
    }
    for kind in _CONTAINERS:
        containers = ours["spec"].get(kind, [])
        # Ours come first, in their order.
        for index, container in enumerate(containers):
            merged["spec"][kind][index] = _with_own_fields(merged["spec"][kind][index], container)
    return merged


def _with_own_fields(merged: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: ours[name] if name in _OWN_FIELDS else value
        for name, value in merged.items()
        if name in ours or name not in _OWN_FIELDS
    }


def _merge(ours: Mapping[str, Any], theirs: Mapping[str, Any], path: Path) -> dict[str, Any]:
    if path in _RESOURCES:
        ours = _other_resources(ours, theirs)
    elif path in _PROBE_PATHS and any(name in theirs for name in _HANDLERS):
        ours = {name: value for name, value in ours.items() if name not in _HANDLERS}
    merged = dict(ours)
    for name, value in theirs.items():
        known, below = ours.get(name), (*path, name)
        if below in _REPLACED or known is None:
            merged[name] = value
        elif isinstance(known, Mapping) and isinstance(value, Mapping):
            merged[name] = _merge(known, value, below)
        elif isinstance(known, list) and isinstance(value, list) and below in MERGE_KEYS:
            merged[name] = _merge_entries(known, value, below)
        else:
            merged[name] = value
    return merged


def _merge_entries(ours: Sequence[Any], theirs: Sequence[Any], path: Path) -> list[Any]:
    """Return our entries in their order, then those that only the user has."""
    keys, whole = MERGE_KEYS[path], path in _REPLACED_ENTRIES
    merged = {_key(entry, keys): entry for entry in ours}
    for entry in theirs:
        key = _key(entry, keys)
        known = merged.get(key)
        merged[key] = entry if known is None or whole else _merge(known, entry, path)
    return list(merged.values())


def _key(entry: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(entry.get(key) for key in keys)


def _other_resources(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Return our requests and limits of resources that the user says nothing of.

    A limit alone may be below our request, a request alone above our limit.
    """
    said = {*theirs.get("requests", ()), *theirs.get("limits", ())}
    left = {
        kind: {name: amount for name, amount in amounts.items() if name not in said}
        for kind, amounts in ours.items()
    }
    return {kind: amounts for kind, amounts in left.items() if amounts}
