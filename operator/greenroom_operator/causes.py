"""Why pods are not ready, in the words of those who know: scheduler, kubelet, the role itself.

A cause does not come and go while a pod goes round in its circle of starting, failing and
waiting: what its container died of last counts until the pod is ready again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from greenroom_operator import reasons
from greenroom_operator.names import ROLES, Role, child_name
from greenroom_operator.observed import Observed, Pod
from greenroom_operator.words import PART_LIMIT, bounded, exit_words, last_line, times

WORKLOAD: dict[Role, str] = {
    "replay": "StatefulSet",
    "learner": "Deployment",
    "actor": "Deployment",
    "evaluator": "Deployment",
}

# Where the spec says what a role's pods may have.
_TEMPLATE: dict[Role, str] = {
    "replay": "spec.replay.podTemplate",
    "learner": "spec.learner.podTemplate",
    "actor": "spec.actors.podTemplate",
    "evaluator": "spec.evaluator.podTemplate",
}
_PULLING = ("ErrImagePull", "ImagePullBackOff")
_BACK_OFF = re.compile(r'^Back-off pulling image "(?P<image>[^"]*)"(?:: )?')
_GRPC = re.compile(r"rpc error: code = \w+ desc = ")
_REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
_PREEMPTION = re.compile(r" (?:no new claims to deallocate, )?preemption: ")
_VOLUME = re.compile("volume", re.IGNORECASE)


@dataclass(frozen=True, slots=True, order=True)
class Cause:
    """Why one or more pods are not ready.

    Attributes:
        reason: one CamelCase word.
        message: for people.
    """

    reason: str
    message: str


def troubles(name: str, observed: Observed, wanted: Mapping[Role, int]) -> list[Cause]:
    """Return why pods that an experiment wants are not ready; nothing of those that just start.

    Args:
        name: of the experiment.
        wanted: pods by role.
    """
    found: list[Cause] = []
    for role in ROLES:
        pods = observed.pods_of(role)
        lacking = wanted[role] - sum(pod.ready and not pod.deleting for pod in pods)
        if wanted[role] and lacking > 0:
            found += _of_role(name, role, observed, wanted[role], lacking)
    return found


def _of_role(name: str, role: Role, observed: Observed, wanted: int, lacking: int) -> list[Cause]:
    """Return the causes of one role: the one of most pods first."""
    pods = [pod for pod in observed.pods_of(role) if not pod.deleting]
    causes = [cause for pod in pods if (cause := _of_pod(name, pod, observed, role))]
    numbers = Counter(reason for reason, _ in causes)
    found = []
    for reason, number in sorted(numbers.items(), key=lambda item: (-item[1], item[0])):
        text = next(text for other, text in causes if other == reason)
        subject = f"{min(number, lacking)}/{wanted} actors" if role == "actor" else role
        found.append(Cause(reason, f"{subject} {text}"))
    workload = observed.children.get((WORKLOAD[role], child_name(name, role)))
    if workload is not None and workload.failure:
        absent = wanted - sum(not _ended(pod) for pod in pods)
        subject = f"{max(absent, 1)}/{wanted} actors" if role == "actor" else role
        words = bounded(workload.failure, PART_LIMIT)
        found.append(Cause(reasons.CREATE_FAILED, f"{subject} cannot be created: {words}"))
    return found


def _ended(pod: Pod) -> bool:
    return pod.phase in ("Succeeded", "Failed")


def _of_pod(name: str, pod: Pod, observed: Observed, role: Role) -> tuple[str, str] | None:
    """Return reason and text of one pod's trouble, None if it has none."""
    if pod.ready:
        return None
    if _ended(pod):
        # It stays in the API server after another one took its place.
        return _named(pod.reason, pod.message) if pod.reason else None
    if pod.unschedulable:
        return _unschedulable(name, pod, observed, role)
    if pod.waiting in _PULLING:
        return reasons.IMAGE_PULL, f"{reasons.IMAGE_PULL}: {pull_words(pod.waiting_message)}"
    if pod.waiting and pod.waiting != reasons.CRASH_LOOP:
        return _named(pod.waiting, pod.waiting_message)
    if pod.waiting or pod.exit_code:
        return _crash(pod)
    return None


def _named(reason: str, message: str) -> tuple[str, str]:
    words = bounded(message, PART_LIMIT)
    if not _REASON.fullmatch(reason):
        return reasons.OTHER, f"{reasons.OTHER}: {bounded(f'{reason}: {words}', PART_LIMIT)}"
    return reason, f"{reason}: {words}" if words else reason


def _unschedulable(name: str, pod: Pod, observed: Observed, role: Role) -> tuple[str, str] | None:
    # What follows tells that no pod can be evicted to make room.
    words = bounded(_PREEMPTION.split(pod.unschedulable)[0], PART_LIMIT)
    claim = {"replay": f"data-{child_name(name, 'replay')}-0"}.get(role, child_name(name, role))
    volume = observed.children.get(("PersistentVolumeClaim", claim))
    if volume is not None and volume.bound == "Lost":
        return reasons.VOLUME_LOST, f"cannot run: volume claim {claim} is Lost: {words}"
    if volume is not None and volume.bound == "Pending" and _VOLUME.search(words):
        return reasons.VOLUME_PENDING, f"cannot run: volume claim {claim} is Pending: {words}"
    return reasons.UNSCHEDULABLE, f"{reasons.UNSCHEDULABLE}: {words}"


def pull_words(message: str) -> str:
    """Return what the registry said, the same while the kubelet tries and while it waits.

    >>> pull_words('Back-off pulling image "a:1": ErrImagePull: a:1: not found')
    'a:1: not found'
    >>> pull_words('Back-off pulling image "a:1"')
    'image a:1 cannot be pulled'
    """
    found = _BACK_OFF.match(message)
    words = message[found.end() :] if found else message
    words = _GRPC.sub("", words.removeprefix("ErrImagePull: "))
    if found and not words:
        return f"image {found['image']} cannot be pulled"
    return bounded(words, PART_LIMIT) or "an image cannot be pulled"


def _crash(pod: Pod) -> tuple[str, str]:
    # Of many actors each restart would be news.
    often = f", {times(pod.restarts, 'restart')}" if pod.role != "actor" and pod.restarts else ""
    if pod.exit_reason == reasons.OOM_KILLED:
        was, its = ("were", "their") if pod.role == "actor" else ("was", "its")
        limit = f"{its} memory limit is in {_TEMPLATE[pod.role]}"
        return reasons.OOM_KILLED, f"{was} OOMKilled{often}; {limit}"
    looping = pod.waiting == reasons.CRASH_LOOP or pod.restarts > 1
    reason = reasons.CRASH_LOOP if looping else reasons.CRASHED
    return reason, f"{reason}: {ending(pod)}{often}{_last_words(pod)}"


def ending(pod: Pod) -> str:
    """Return how a pod's container ended last."""
    return "it ended" if pod.exit_code is None else exit_words(pod.exit_code)


def _last_words(pod: Pod) -> str:
    line = last_line(pod.exit_message)
    return f": {line}" if line else ""
