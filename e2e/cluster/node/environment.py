"""A container's command and variables, as Kubernetes works them out."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Mapping

from e2e.cluster.client import Object

Lookup = Callable[[str, str], Object | None]
"""(`configmaps` or `secrets`, name) -> the object in the pod's namespace, None if there is none."""

UNITS = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "m": 1e-3}
UNITS |= {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


class ConfigError(Exception):
    """A container cannot be configured, which its status tells (CreateContainerConfigError)."""


def environment(
    pod: Object, container: Object, addresses: Mapping[str, str], lookup: Lookup
) -> dict[str, str]:
    """The container's variables.

    `addresses` has `podIP` and `hostIP`.

    Raises:
        ConfigError: something that it refers to is missing.
    """
    made: dict[str, str] = {}
    for source in container.get("envFrom", []):
        for kind, field in (("configmaps", "configMapRef"), ("secrets", "secretRef")):
            if field in source:
                found = values(kind, source[field], lookup)
                made |= {
                    source.get("prefix", "") + key: value.decode() for key, value in found.items()
                }
    for entry in container.get("env", []):
        if "valueFrom" in entry:
            value = _referred(pod, container, entry["valueFrom"], addresses, lookup)
            if value is not None:
                made[entry["name"]] = value
        else:
            made[entry["name"]] = expand(entry.get("value", ""), made)
    return made


def command(container: Object, variables: Mapping[str, str]) -> list[str]:
    """Command and arguments, `$(NAME)` replaced.

    Raises:
        ConfigError: there is no command; images are not looked into.
    """
    words = [*container.get("command", []), *container.get("args", [])]
    if not container.get("command"):
        raise ConfigError("A NodeAgent runs no image: a container needs a command. Got: none")
    return [expand(word, variables) for word in words]


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)` where NAME is known; `$$` is a dollar."""

    def replaced(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        return variables.get(found[1], found[0])

    return re.sub(r"\$\$|\$\(([^()]+)\)", replaced, text)


def values(kind: str, reference: Object, lookup: Lookup) -> dict[str, bytes]:
    """The data of a ConfigMap or Secret; nothing if it is missing and optional.

    Raises:
        ConfigError: it is missing.
    """
    found = lookup(kind, reference["name"])
    if found is None:
        if reference.get("optional"):
            return {}
        raise ConfigError(f'{kind.removesuffix("s")} "{reference["name"]}" not found')
    coded = {**(found.get("binaryData") or {})}
    plain = found.get("data") or {}
    if kind == "secrets":
        coded, plain = plain, {}
    return {key: base64.b64decode(value) for key, value in coded.items()} | {
        key: value.encode() for key, value in plain.items()
    }


def field(pod: Object, path: str, addresses: Mapping[str, str]) -> str:
    """The pod's field at a path of the downward API.

    Raises:
        ConfigError: that field is not known.
    """
    found = re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path)
    if found:
        return str(pod["metadata"].get(found[1], {}).get(found[2], ""))
    section, _, name = path.partition(".")
    if section == "status" and name in addresses:
        return addresses[name]
    if section in ("metadata", "spec") and isinstance(pod[section].get(name), str):
        return str(pod[section][name])
    raise ConfigError(f"fieldPath names a field of the pod. Got: {path}")


def quantity(text: str) -> float:
    """`500m` -> 0.5, `1Gi` -> 1073741824."""
    found = re.fullmatch(r"([0-9.]+)([a-zA-Z]*)", text)
    if not found or found[2] not in UNITS:
        raise ConfigError(f"A quantity is a number and a unit. Got: {text}")
    return float(found[1]) * UNITS[found[2]]


def _referred(
    pod: Object, container: Object, source: Object, addresses: Mapping[str, str], lookup: Lookup
) -> str | None:
    if "fieldRef" in source:
        return field(pod, source["fieldRef"]["fieldPath"], addresses)
    if "resourceFieldRef" in source:
        return _resource(container, source["resourceFieldRef"])
    for kind, key in (("configmaps", "configMapKeyRef"), ("secrets", "secretKeyRef")):
        if key in source:
            reference = source[key]
            found = values(kind, reference, lookup).get(reference["key"])
            if found is None and not reference.get("optional"):
                where = f"{kind.removesuffix('s')} {reference['name']}"
                raise ConfigError(f"couldn't find key {reference['key']} in {where}")
            return None if found is None else found.decode()
    raise ConfigError(f"valueFrom is one that a NodeAgent knows. Got: {', '.join(source)}")


def _resource(container: Object, reference: Object) -> str:
    section, _, name = reference["resource"].partition(".")
    amount = quantity(container.get("resources", {}).get(section, {}).get(name, "0"))
    # The API stores a divisor that was left out as 0.
    divisor = quantity(str(reference.get("divisor", "0"))) or 1
    return str(math.ceil(amount / divisor))
