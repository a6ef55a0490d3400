"""A pod's volumes as folders of this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from e2e.cluster.client import Object
from e2e.cluster.node.environment import ConfigError, Lookup, field, values

Claim = Callable[[str], Path]
"""The folder of a PersistentVolumeClaim; raises ConfigError while it has none."""


def make_volumes(
    pod: Object, folder: Path, addresses: Mapping[str, str], lookup: Lookup, claim: Claim
) -> dict[str, Path]:
    """The pod's volumes by name; files of ConfigMaps and Secrets are brought up to date.

    Raises:
        ConfigError: one cannot be mounted yet.
    """
    made: dict[str, Path] = {}
    for volume in pod["spec"].get("volumes", []):
        name = volume["name"]
        if "persistentVolumeClaim" in volume:
            made[name] = claim(volume["persistentVolumeClaim"]["claimName"])
            continue
        if "hostPath" in volume:
            made[name] = Path(volume["hostPath"]["path"])
            continue
        made[name] = folder / name
        made[name].mkdir(parents=True, exist_ok=True)
        if "emptyDir" in volume:
            # As kubelet leaves it: for every user of the pod.
            made[name].chmod(0o777)
        else:
            _write(made[name], _content(volume, pod, addresses, lookup))
    return made


def _content(
    source: Object, pod: Object, addresses: Mapping[str, str], lookup: Lookup
) -> dict[str, bytes]:
    if "projected" in source:
        parts = [_content(part, pod, addresses, lookup) for part in source["projected"]["sources"]]
        return {path: data for part in parts for path, data in part.items()}
    if "configMap" in source:
        return _items("configmaps", source["configMap"], lookup)
    if "secret" in source:
        # A volume says secretName where a projection says name.
        secret = source["secret"]
        return _items("secrets", {"name": secret.get("secretName"), **secret}, lookup)
    if "downwardAPI" in source:
        return {
            item["path"]: field(pod, item["fieldRef"]["fieldPath"], addresses).encode()
            for item in source["downwardAPI"].get("items", [])
        }
    if "serviceAccountToken" in source:
        # Pods here cannot reach the API server: it listens on this machine's 127.0.0.1.
        return {}
    kinds = ", ".join(key for key in source if key != "name")
    raise ConfigError(f"A volume is of a kind that a NodeAgent knows. Got: {kinds}")


def _items(kind: str, reference: Object, lookup: Lookup) -> dict[str, bytes]:
    found = values(kind, reference, lookup)
    if "items" not in reference:
        return found
    missing = [item["key"] for item in reference["items"] if item["key"] not in found]
    if missing and not reference.get("optional"):
        raise ConfigError(f"{kind.removesuffix('s')} {reference['name']} has no key {missing[0]}")
    return {i["path"]: found[i["key"]] for i in reference["items"] if i["key"] in found}


def _write(folder: Path, content: dict[str, bytes]) -> None:
    """Replace all files at once, as kubelet does: names lead through the link `..data`."""
    link = folder / "..data"
    old = folder / os.readlink(link) if link.is_symlink() else None
    if old and _read(old) == content:
        return
    number = int(old.name.rpartition(".")[2]) + 1 if old else 0
    new = folder / f"..version.{number}"
    for path, data in content.items():
        (new / path).parent.mkdir(parents=True, exist_ok=True)
        (new / path).write_bytes(data)
    new.mkdir(exist_ok=True)
    following = folder / "..data.new"
    following.symlink_to(new.name)
    following.replace(link)
    for top in {Path(path).parts[0] for path in content}:
        if not (folder / top).is_symlink():
            (folder / top).symlink_to(Path("..data") / top)
    if old:
        shutil.rmtree(old)


def _read(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
