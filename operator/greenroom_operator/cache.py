"""What the watches told: experiments, their children, their pods, and what learners say.

    cache.experiment("ADDED", body)       # returns the key if anything is new
    cache.child(DEPLOYMENT, "MODIFIED", body)
    cache.observed(key, now)

Answers to our own writes are put in as watch events are. An event that is older than what
is known is dropped, so that a reconcile sees its own writes; versions of one cluster's
objects are compared as numbers (KEP-5504).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from greenroom_operator.experiment import Experiment, Key
from greenroom_operator.kinds import Kind
from greenroom_operator.names import EXPERIMENT_LABEL, Role
from greenroom_operator.observed import Child, ChildKey, Observed, Pod, Progress, Silence, Source
from greenroom_operator.projection import child_of, owned_fields, owns_all, pod_of


@dataclass(slots=True)
class Stored:
    """An experiment as it is kept: small, and parsed when it is its turn.

    Attributes:
        uid, version, generation: of its metadata; the version is the resource version.
        body: the object as JSON, without status and managed fields.
        status: as JSON.
    """

    uid: str
    version: int
    generation: int
    body: bytes
    status: bytes

    def parse(self) -> Experiment:
        """Return the experiment.

        Raises:
            InvalidExperiment: see `Experiment.from_object`.
        """
        return replace(_parse(self.body), status=self.previous_status())

    def previous_status(self) -> dict[str, Any]:
        """Return the status as it is stored, {} before the first."""
        status: dict[str, Any] = json.loads(self.status)
        return status


@lru_cache(maxsize=256)
def _parse(body: bytes) -> Experiment:
    return Experiment.from_object(json.loads(body))


@dataclass(slots=True)
class KeptChild:
    """A child, and whether its fields are still as they were applied.

    Attributes:
        version: resource version.
        fields: see `owned_fields`; only until they were compared with a manifest.
        verified: the digest of owned fields that was found to cover what was applied.
        replicas: what was last written by this operator, or by one before it.
    """

    version: int
    child: Child
    fields: bytes | None
    verified: str | None
    replicas: int | None

    def untouched(self, manifest: Mapping[str, Any]) -> bool:
        """Return whether nobody has changed what was applied, given that this was."""
        owned = self.child.owned
        if owned is None:
            return False
        if self.verified != owned:
            if not owns_all(manifest, self.fields):
                return False
            self.verified = owned
        self.fields = None
        return True


@dataclass(frozen=True, slots=True)
class Compared:
    """All that a plan, and what differs from it, are made of: an equal one has the same result.

    Attributes:
        uid, generation: of the experiment.
        images, seeding: see `plan`, which takes them from the status.
        replicas: by role.
        children: as they were then.
        queueing: what is queued, and what a queue has admitted.
    """

    uid: str
    generation: int
    images: Mapping[str, str]
    seeding: bool
    replicas: Mapping[Role, int]
    children: Mapping[ChildKey, Child]
    queueing: tuple[Any, ...] = ()


@dataclass(slots=True)
class Family:
    """All that belongs to one experiment's name.

    Attributes:
        experiment: None while only children of it are known.
        children, pods: by kind and name, and by name; pods with their resource version.
        progress, silence: of its learner.
        refused: what the API server answered to the last try to write a child.
        agreed: with what the plan was compared last if nothing differed.
    """

    experiment: Stored | None = None
    children: dict[ChildKey, KeptChild] = field(default_factory=dict)
    pods: dict[str, tuple[int, Pod]] = field(default_factory=dict)
    progress: Progress | None = None
    silence: Silence | None = None
    refused: dict[ChildKey, str] = field(default_factory=dict)
    agreed: Compared | None = None

    def forget_run(self) -> None:
        """Forget what is true of one experiment only, and not of its successor's name."""
        self.progress = self.silence = None
        self.refused = {}
        self.agreed = None


class Cache:
    """Everything that is known of the cluster.

    Attributes:
        queues_known: whether Kueue's Workloads were listed: it may be away when this begins.
    """

    def __init__(self) -> None:
        self.queues_known = False
        self._families: dict[Key, Family] = {}

    def keys(self) -> Iterator[Key]:
        """Yield the keys of all experiments."""
        return (key for key, family in self._families.items() if family.experiment is not None)

    def stored(self, key: Key) -> Stored | None:
        """Return an experiment, None if there is none."""
        family = self._families.get(key)
        return family.experiment if family else None

    def family(self, key: Key) -> Family:
        """Return what belongs to a name; it is made if it is new."""
        return self._families.setdefault(key, Family())

    def peek(self, key: Key) -> Family | None:
        """Return what belongs to a name, None if nothing does."""
        return self._families.get(key)

    def experiment(self, event: str | None, body: Mapping[str, Any]) -> Key | None:
        """Take an event of an experiment; return its key if that changes what is known.

        Args:
            event: "ADDED", "MODIFIED", "DELETED", or None for one of a list.
            body: the object.
        """
        metadata = body["metadata"]
        key = metadata["namespace"], metadata["name"]
        version = int(metadata["resourceVersion"])
        known = self.stored(key)
        if known is not None and known.version >= version:
            return None
        if event == "DELETED":
            if known is None or known.uid != metadata["uid"]:
                return None
            family = self._families[key]
            family.experiment = None
            family.forget_run()
            self._discard(key)
            return key
        family = self.family(key)
        if known is not None and known.uid != metadata["uid"]:
            family.forget_run()
        family.experiment = Stored(
            uid=metadata["uid"],
            version=version,
            generation=metadata["generation"],
            body=_compact(body),
            status=json.dumps(body.get("status", {}), separators=(",", ":")).encode(),
        )
        return key

    def child(
        self, kind: Kind, event: str | None, body: Mapping[str, Any], *, applied: bool = False
    ) -> Key | None:
        """Take an event of a child; return its experiment's key if that changes what matters.

        Args:
            kind, event, body: as for `experiment`.
            applied: whether this is the answer to our own apply.
        """
        key = _experiment_of(body)
        if key is None:
            return None
        children = self.family(key).children
        metadata = body["metadata"]
        name = kind.kind, metadata["name"]
        version = int(metadata["resourceVersion"])
        known = children.get(name)
        if known is not None and known.version >= version:
            return None
        if event == "DELETED":
            if known is None or known.child.uid != metadata["uid"]:
                self._discard(key)
                return None
            del children[name]
            self._discard(key)
            return key
        child = child_of(kind, body)
        verified = child.owned if applied else (known.verified if known else None)
        fields = None if verified == child.owned else owned_fields(metadata)
        # Whoever else changes replicas owns them; while they are ours, this operator wrote them,
        # one before it did, or one whose answer was lost.
        theirs = verified not in (None, child.owned)
        replicas = known.replicas if known and theirs else child.replicas
        children[name] = KeptChild(version, child, fields, verified, replicas)
        return key if known is None or known.child != child else None

    def pod(self, event: str | None, body: Mapping[str, Any]) -> Key | None:
        """Take an event of a pod; return its experiment's key if that changes what matters."""
        key, pod = _experiment_of(body), pod_of(body)
        if key is None or pod is None:
            return None
        pods = self.family(key).pods
        version = int(body["metadata"]["resourceVersion"])
        known = pods.get(pod.name)
        if known is not None and known[0] >= version:
            return None
        if event == "DELETED":
            if known is None or known[1].uid != pod.uid:
                self._discard(key)
                return None
            del pods[pod.name]
            self._discard(key)
            return key
        pods[pod.name] = version, pod
        return key if known is None or known[1] != pod else None

    def observed(self, key: Key, now: datetime, source: Source | None = None) -> Observed:
        """Return what one reconcile looks at.

        Pods of an experiment of that name which was there before are none of this one's.
        """
        family = self.family(key)
        uid = family.experiment.uid if family.experiment else ""
        return Observed(
            now=now,
            children={name: kept.child for name, kept in family.children.items()},
            pods=tuple(
                pod for _, (_, pod) in sorted(family.pods.items()) if pod.owner in ("", uid)
            ),
            progress=family.progress,
            silence=family.silence,
            source=source,
            refused=dict(family.refused),
        )

    def retain(self, kind: Kind, seen: Mapping[Key, set[str]], before: int) -> list[Key]:
        """Drop what a complete list did not show, since a watch may have missed its end.

        Args:
            kind: of the list: experiments, pods, or a kind of children.
            seen: names by experiment.
            before: resource version of the list; what is newer is kept.

        Returns:
            keys of experiments that lost something.
        """
        changed = []
        for key, family in list(self._families.items()):
            names = seen.get(key, set())
            if self._lose(kind, family, names, before):
                changed.append(key)
            self._discard(key)
        return changed

    def _lose(self, kind: Kind, family: Family, names: set[str], before: int) -> bool:
        if kind.kind == "RLExperiment":
            stored = family.experiment
            if stored is None or names or stored.version > before:
                return False
            family.experiment = None
            family.forget_run()
            return True
        if kind.kind == "Pod":
            gone = [n for n, (v, _) in family.pods.items() if n not in names and v <= before]
            for name in gone:
                del family.pods[name]
            return bool(gone)
        lost = [
            name
            for name, kept in family.children.items()
            if name[0] == kind.kind and name[1] not in names and kept.version <= before
        ]
        for child in lost:
            del family.children[child]
        return bool(lost)

    def _discard(self, key: Key) -> None:
        """Forget a name of which nothing is left."""
        family = self._families[key]
        if family.experiment is None and not family.children and not family.pods:
            del self._families[key]


def _experiment_of(body: Mapping[str, Any]) -> Key | None:
    metadata = body["metadata"]
    experiment = metadata.get("labels", {}).get(EXPERIMENT_LABEL)
    return None if experiment is None else (metadata["namespace"], experiment)


def _compact(body: Mapping[str, Any]) -> bytes:
    dropped = ("managedFields", "resourceVersion")
    metadata = {name: value for name, value in body["metadata"].items() if name not in dropped}
    kept = {name: value for name, value in body.items() if name != "status"}
    return json.dumps({**kept, "metadata": metadata}, separators=(",", ":")).encode()
