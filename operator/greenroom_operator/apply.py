"""The only writer of children: server-side apply of what differs, and pruning.

A child is as planned if the plan's digest is on it (`names.APPLIED`), its replicas are
right, and this operator still owns every field that it applied. Nothing is written then.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from greenroom_operator.cache import Cache, Family, KeptChild
from greenroom_operator.client import Api, Object
from greenroom_operator.errors import ApiRefused, ApiUnavailable, Conflict, NotFound
from greenroom_operator.experiment import Experiment
from greenroom_operator.kinds import BY_NAME, DEPLOYMENT, EXPERIMENT, VOLUME_CLAIM, WORKLOADS, Kind
from greenroom_operator.names import APPLIED, INPUTS, OWNER
from greenroom_operator.observed import ChildKey, Manifest
from greenroom_operator.projection import owner_of

logger = logging.getLogger(__name__)

# Stands for the owner of what is not there.
_NOBODY: Final = ""
_FOREIGN: Final = "Foreign"


@dataclass(slots=True)
class Applied:
    """What was done.

    Attributes:
        created, restored, deleted: children that were made for a new experiment, put back after
            somebody changed or deleted them, and pruned.
        refused: what the API server answered, by child.
        failure: the last of these answers after which a try may succeed that is soon.
        nothing_to_do: whether all children were there, as planned.
    """

    created: list[ChildKey] = field(default_factory=list)
    restored: list[ChildKey] = field(default_factory=list)
    deleted: list[ChildKey] = field(default_factory=list)
    refused: dict[ChildKey, str] = field(default_factory=dict)
    failure: ApiUnavailable | Conflict | None = None
    nothing_to_do: bool = False


class Applier:
    """Writes children.

    Args:
        api: where.
        cache: takes the answers.
    """

    def __init__(self, api: Api, cache: Cache) -> None:
        self._api = api
        self._cache = cache

    async def apply(self, experiment: Experiment, manifests: Sequence[Manifest]) -> Applied:
        """Write what differs from the plan, in its order, and delete what it no longer has.

        What the API server refuses, or fails at as it does where a webhook of one kind is
        away, or somebody writes at the same moment, holds up no other child; it is written
        again at the next reconcile. But no pod is to run on a volume that belongs to another.

        Raises:
            ApiUnavailable: the rest waits for another try.
        """
        applied = Applied()
        family = self._cache.family(experiment.key)
        if not await self._still_there(experiment, family, manifests):
            return applied
        foreign: set[str] = set()
        for manifest in manifests:
            kind = BY_NAME[manifest["kind"]]
            key = kind.kind, manifest["metadata"]["name"]
            if foreign & set(_mounted_claims(manifest)):
                manifest = {**manifest, "spec": {**manifest["spec"], "replicas": 0}}
            try:
                await self._child(experiment, family, kind, key, manifest, applied)
            except Conflict as error:
                applied.refused[key], applied.failure = str(error), error
            except ApiRefused as error:
                applied.refused[key] = str(error)
                if kind is VOLUME_CLAIM and error.reason == _FOREIGN:
                    foreign.add(key[1])
            except ApiUnavailable as error:
                if error.reason != "500":
                    raise
                applied.refused[key], applied.failure = str(error), error
        await self._prune(experiment, family, manifests, applied)
        planned = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests}
        applied.nothing_to_do = applied == Applied() and planned <= family.children.keys()
        return applied

    async def _still_there(
        self, experiment: Experiment, family: Family, manifests: Sequence[Manifest]
    ) -> bool:
        """Return whether an experiment is there whose children are missing.

        Of an experiment that was deleted, the end of its children may be told before its own.
        """
        keys = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests}
        if _is_new(experiment) or keys <= family.children.keys():
            return True
        try:
            metadata = await self._api.metadata(EXPERIMENT, *experiment.key)
        except NotFound:
            return False
        return metadata["uid"] == experiment.uid and "deletionTimestamp" not in metadata

    async def _child(
        self,
        experiment: Experiment,
        family: Family,
        kind: Kind,
        key: ChildKey,
        manifest: Manifest,
        applied: Applied,
    ) -> None:
        kept = family.children.get(key)
        if kept is not None and kept.child.deleting:
            return  # made anew once it is gone
        patch = _difference(kept, manifest)
        if patch is None:
            return
        owner = _owner_of(kept) if kept else await self._owner(experiment, kind, key[1])
        if _is_claimed(manifest) and owner not in (_NOBODY, experiment.uid):
            raise ApiRefused(
                f"{kind.kind} {key[1]} is there already and belongs to another; the experiment or "
                "it must go, or have another name",
                status=409,
                reason=_FOREIGN,
            )
        if patch is manifest:
            body = await self._put(kind, manifest, there=kept is not None)
        else:
            body = await self._api.merge(kind, experiment.namespace, key[1], patch)
        if kept is None:
            new = _is_new(experiment) or key in family.refused
            (applied.created if new else applied.restored).append(key)
        elif kept.child.applied == _digest_of(manifest) and kept.replicas == _replicas(manifest):
            applied.restored.append(key)
        self._cache.child(kind, "MODIFIED", body, applied=patch is manifest)

    async def _put(self, kind: Kind, manifest: Manifest, *, there: bool) -> Object:
        """Apply a manifest, whatever somebody made of the object that is there."""
        try:
            return await self._api.apply(kind, manifest)
        except ApiRefused as error:
            if not there or error.status != HTTPStatus.UNPROCESSABLE_ENTITY:
                raise
        # An item of a list whose key somebody changed is theirs now. Beside it ours may be
        # refused, as is a port of the same name: then our lists take the place of theirs.
        metadata = manifest["metadata"]
        await self._api.merge(kind, metadata["namespace"], metadata["name"], manifest)
        return await self._api.apply(kind, manifest)

    async def _owner(self, experiment: Experiment, kind: Kind, name: str) -> str | None:
        """Return whose an object is that no watch has shown: it may bear none of our labels.

        A workload need not be asked about: its selector never changes, so that the API
        server refuses to make another's ours.
        """
        if kind in WORKLOADS:
            return _NOBODY
        try:
            metadata = await self._api.metadata(kind, experiment.namespace, name)
        except NotFound:
            return _NOBODY
        return owner_of(metadata)

    async def _prune(
        self,
        experiment: Experiment,
        family: Family,
        manifests: Sequence[Manifest],
        applied: Applied,
    ) -> None:
        planned = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests}
        for key, kept in list(family.children.items()):
            kind = BY_NAME[key[0]]
            child = kept.child
            ours = child.owner == experiment.uid and kind.prunable
            if key not in planned and ours and not child.deleting:
                try:
                    await self._api.delete(kind, experiment.namespace, key[1], uid=child.uid)
                except ApiUnavailable as error:
                    if error.reason != "500":
                        raise
                    applied.refused[key], applied.failure = str(error), error
                else:
                    applied.deleted.append(key)


def _is_new(experiment: Experiment) -> bool:
    """Return whether no reconcile of it has ended yet."""
    return "conditions" not in experiment.status


def _owner_of(kept: KeptChild) -> str | None:
    """Return whose a child is; what we applied and nobody owns is nobody's."""
    child = kept.child
    return _NOBODY if child.owner is None and child.owned is not None else child.owner


def _difference(kept: KeptChild | None, manifest: Manifest) -> Manifest | None:
    """Return what to write: nothing, the manifest itself for an apply, or a merge patch."""
    if kept is None:
        return manifest
    child, replicas = kept.child, _replicas(manifest)
    settled = child.entry is not None and (child.entry.reserved or child.entry.finished)
    if settled and child.owner == owner_of(manifest["metadata"]):
        return None  # Kueue lets nobody change what it has admitted
    if child.applied == _digest_of(manifest):
        same = child.replicas == replicas and kept.untouched(manifest)
        return None if same else manifest
    # Only this operator's way of writing pods differs, not what they run: a newer operator
    # does not restart running pods for that. What is at rest takes the new form, and so does
    # what an experiment of the same name left behind.
    ours = child.owner is not None and child.owner == owner_of(manifest["metadata"])
    alike = child.applied and child.inputs and child.inputs == _inputs_of(manifest)
    if ours and alike and child.replicas:
        return None if child.replicas == replicas else {"spec": {"replicas": replicas}}
    return manifest


def _mounted_claims(manifest: Manifest) -> Iterator[str]:
    """Yield the names of the volume claims that a workload's pods mount."""
    pods = manifest["spec"].get("template", {}) if manifest["kind"] == DEPLOYMENT.kind else {}
    for volume in pods.get("spec", {}).get("volumes", ()):
        claim = volume.get("persistentVolumeClaim")
        if claim is not None:
            yield claim["claimName"]


def _is_claimed(manifest: Manifest) -> bool:
    """Return whether the plan says whose it is; a claim that a StatefulSet made is that one's."""
    metadata = manifest["metadata"]
    return "ownerReferences" in metadata or OWNER in metadata.get("annotations", {})


def _digest_of(manifest: Manifest) -> str | None:
    value: str | None = manifest["metadata"].get("annotations", {}).get(APPLIED)
    return value


def _inputs_of(manifest: Manifest) -> str | None:
    template = manifest.get("spec", {}).get("template", {}).get("metadata", {})
    value: str | None = template.get("annotations", {}).get(INPUTS)
    return value


def _replicas(manifest: Manifest) -> int | None:
    value: int | None = manifest.get("spec", {}).get("replicas")
    return value
