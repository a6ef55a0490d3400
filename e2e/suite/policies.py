"""Who may connect to a pod, by the NetworkPolicies of its namespace.

Kubernetes' rules for ingress, worked out from the objects alone: where no network plugin
enforces policies, this is what one that does would make of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Peer:
    """Whoever connects: a pod, which may be one that nobody has made.

    Attributes:
        namespace: its name.
        labels: the pod's.
        namespace_labels: its namespace's.
        name: for messages.
    """

    namespace: str
    labels: Mapping[str, str]
    namespace_labels: Mapping[str, str]
    name: str = ""

    @classmethod
    def of(cls, pod: Object, namespace: Object) -> Peer:
        """A pod that is there, in that namespace."""
        about = pod["metadata"]
        name = f"{about['namespace']}/{about['name']}"
        return cls(
            about["namespace"], about.get("labels", {}), namespace["metadata"]["labels"], name
        )


def may_connect(policies: Iterable[Object], peer: Peer, pod: Object, port: Object) -> bool:
    """Whether a peer reaches that port of a pod (an entry of a container's `ports`).

    A pod that no policy selects is open; else what any of them admits is admitted.
    """
    selecting = of_pod(policies, pod)
    return not selecting or any(
        _has_port(rule, port) and _has_peer(rule, peer, pod)
        for policy in selecting
        for rule in policy["spec"].get("ingress", ())
    )


def of_pod(policies: Iterable[Object], pod: Object) -> list[Object]:
    """The policies that restrict who connects to a pod."""
    about = pod["metadata"]
    return [
        policy
        for policy in policies
        if policy["metadata"]["namespace"] == about["namespace"]
        and "Ingress" in policy["spec"]["policyTypes"]
        and selects(policy["spec"]["podSelector"], about.get("labels", {}))
    ]


def selects(selector: Object, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches; an empty one matches all."""
    wanted: Mapping[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items() and all(
        _holds(expression, labels) for expression in selector.get("matchExpressions", ())
    )


def _holds(expression: Object, labels: Mapping[str, str]) -> bool:
    value = labels.get(expression["key"])
    match expression["operator"]:
        case "In":
            return value in expression["values"]
        case "NotIn":
            return value not in expression["values"]
        case "Exists":
            return value is not None
    return value is None


def _has_port(rule: Object, port: Object) -> bool:
    """Whether a rule is about that port; one without ports is about all."""
    entries = rule.get("ports", ())
    return not entries or any(_is_port(entry, port) for entry in entries)


def _is_port(entry: Object, port: Object) -> bool:
    if entry.get("protocol", "TCP") != port.get("protocol", "TCP"):
        return False
    first = entry.get("port")
    if first is None or first == port.get("name"):
        return True
    return isinstance(first, int) and (
        first <= int(port["containerPort"]) <= int(entry.get("endPort", first))
    )


def _has_peer(rule: Object, peer: Peer, pod: Object) -> bool:
    """Whether a rule admits that peer; one without peers admits all."""
    entries = rule.get("from", ())
    return not entries or any(_is_peer(entry, peer, pod) for entry in entries)


def _is_peer(entry: Object, peer: Peer, pod: Object) -> bool:
    """Whether an entry means that peer."""
    assert "ipBlock" not in entry, "pods are told apart by their labels, not by addresses"
    if "namespaceSelector" in entry:
        near = selects(entry["namespaceSelector"], peer.namespace_labels)
    else:
        near = peer.namespace == pod["metadata"]["namespace"]
    return near and selects(entry.get("podSelector", {}), peer.labels)
