"""What a ServiceAccount asked of the API server, and what its roles grant."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple


class Right(NamedTuple):
    """One verb on one resource, a subresource being part of its name."""

    group: str
    resource: str
    verb: str


def requests_of(audit_log: Path, namespace: str, service_account: str) -> list[dict[str, Any]]:
    """The audit log's entries of that account, those that are half written apart."""
    user = f"system:serviceaccount:{namespace}:{service_account}"
    lines = audit_log.read_text().rpartition("\n")[0].splitlines()
    entries = [json.loads(line) for line in lines if user in line]
    return [entry for entry in entries if entry["user"]["username"] == user]


def refused(entries: Iterable[dict[str, Any]]) -> set[str]:
    """Requests that the account had no right to, as VERB URI."""
    return {
        f"{entry['verb']} {entry['requestURI']}"
        for entry in entries
        if entry.get("responseStatus", {}).get("code") in (401, 403)
    }


def used(entries: Iterable[dict[str, Any]]) -> set[Right]:
    """The rights that answered requests needed; a patch that created needs both."""

    def rights() -> Iterator[Right]:
        for entry in entries:
            reference = entry.get("objectRef")
            if reference is None or "resource" not in reference:
                continue
            resource = "/".join(
                reference[part] for part in ("resource", "subresource") if part in reference
            )
            group = reference.get("apiGroup", "")
            yield Right(group, resource, entry["verb"])
            if entry["verb"] == "patch" and entry["responseStatus"]["code"] == 201:
                yield Right(group, resource, "create")

    return set(rights())


def granted(roles: Iterable[dict[str, Any]]) -> set[Right]:
    """The rights that roles give, wherever they are bound."""
    return {
        Right(group, resource, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
