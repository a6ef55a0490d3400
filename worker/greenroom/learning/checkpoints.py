"""Checkpoints on disk: whole or absent, verified when read, the newest few kept.

A checkpoint is a folder, named after its environment steps and a running number::

    checkpoints/
      000003-step-12000/
        manifest.json         counts, identity, and each file's size and SHA-256
        learner.json          one part's state: the tree, arrays replaced by references
        learner.safetensors   the arrays
        ...

It is written under a temporary name, every file is flushed to the disk (fsync), and
the folder is renamed last, so that a process may die at any moment. What was not
renamed is swept away by the next start.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greenroom.core import State
from greenroom.errors import CheckpointError, CheckpointMismatch
from greenroom.learning.states import read_state, write_state

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
FORMAT = 1
TEMPORARY_PREFIX = ".writing-"
FOLDER_NAME = re.compile(r"\d{6,}-step-\d+")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as read.

    Attributes:
        path: its folder.
        counts: ``environmentSteps`` and ``learnerSteps`` at that moment.
        parts: each part's state, by name.
    """

    path: Path
    counts: Mapping[str, int]
    parts: Mapping[str, State]


@dataclass(frozen=True)
class WrittenCheckpoint:
    """A checkpoint on the disk.

    Attributes:
        path: its folder.
        environment_steps, learner_steps: its counts.
        time: when it was written, in seconds since 1970.
    """

    path: Path
    environment_steps: int
    learner_steps: int
    time: float


class CheckpointStore:
    """The checkpoints of one run.

        store = CheckpointStore(directory, keep=3, identity=identity)
        store.save({"learner": learner.state()}, environment_steps=12_000, learner_steps=6_000)
        newest = store.load_newest()

    Args:
        directory: where the folders are; made if absent.
        keep: how many of the newest to keep, at least 1.
        identity: what an experiment must not change when it resumes, as JSON values;
            a checkpoint with another is refused.
        edits: whether hyperparameters may have been edited since a checkpoint was written;
            then only another environment, seed or kind of agent is refused.
    """

    def __init__(
        self, directory: Path, keep: int, identity: Mapping[str, Any], *, edits: bool = False
    ) -> None:
        assert keep >= 1, keep
        self._directory = directory
        self._keep = keep
        self._identity = json.loads(json.dumps(identity))
        self._edits = edits
        try:
            directory.mkdir(parents=True, exist_ok=True)
            for leftover in directory.glob(f"{TEMPORARY_PREFIX}*"):
                shutil.rmtree(leftover)
        except OSError as error:
            raise CheckpointError(
                f"Checkpoints need a directory of their own. Got: {directory}: {error.strerror}."
            ) from error

    def save(
        self, parts: Mapping[str, State], *, environment_steps: int, learner_steps: int
    ) -> Path:
        """Write a checkpoint, then delete those beyond the newest ``keep``.

        Raises:
            CheckpointError: it could not be written (a full disk); the earlier ones stand.
        """
        existing = self.folders()
        number = _number(existing[-1]) + 1 if existing else 0
        final = self._directory / f"{number:06d}-step-{environment_steps}"
        temporary = self._directory / f"{TEMPORARY_PREFIX}{final.name}"
        try:
            self._write(temporary, parts, environment_steps, learner_steps)
            temporary.rename(final)
            _fsync(self._directory)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            newest = existing[-1].name if existing else "none"
            raise CheckpointError(
                f"A checkpoint must fit on the disk of {self._directory}. Got: {error.strerror}. "
                f"The newest whole one is still there: {newest}."
            ) from error
        for old in existing[: max(0, len(existing) + 1 - self._keep)]:
            shutil.rmtree(old, ignore_errors=True)  # what stays is tried again next time
        return final

    def folders(self) -> list[Path]:
        """Return the checkpoints' folders, oldest first.

        Raises:
            CheckpointError: the directory cannot be read.
        """
        return _folders(self._directory)

    def load_newest(self) -> Checkpoint:
        """Return the newest checkpoint that is whole; damaged ones are passed over, with a warning.

        Raises:
            CheckpointMismatch: the newest belongs to another experiment.
            CheckpointError: there is none that is whole.
        """
        damaged: list[str] = []
        for path in reversed(self.folders()):
            try:
                return self._load(path)
            except CheckpointMismatch:
                raise
            except CheckpointError as error:
                damaged.append(str(error))
                logger.warning("Checkpoint passed over: %s", error)
        raise CheckpointError(
            f"To resume, a run needs a whole checkpoint in {self._directory}. "
            f"Got: {'; '.join(damaged) or 'none at all'}."
        )

    def _write(
        self,
        folder: Path,
        parts: Mapping[str, State],
        environment_steps: int,
        learner_steps: int,
    ) -> None:
        folder.mkdir()
        for name, state in parts.items():
            write_state(folder, name, state)
        files = {
            path.name: {"bytes": path.stat().st_size, "sha256": _digest(path)}
            for path in sorted(folder.iterdir())
        }
        manifest = {
            "format": FORMAT,
            "counts": {"environmentSteps": environment_steps, "learnerSteps": learner_steps},
            "parts": list(parts),
            "identity": self._identity,
            "files": files,
        }
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
        for path in folder.iterdir():
            _fsync(path)
        _fsync(folder)

    def _load(self, path: Path) -> Checkpoint:
        manifest = check_checkpoint(path, self._identity, edits=self._edits)
        try:
            parts = {name: read_state(path, name) for name in manifest["parts"]}
        except (OSError, ValueError, KeyError) as error:
            raise CheckpointError(f"{path} cannot be read: {error!r}") from error
        return Checkpoint(path, manifest["counts"], parts)


def check_checkpoint(
    path: Path, identity: Mapping[str, Any] | None, *, edits: bool = False
) -> dict[str, Any]:
    """Return the manifest of a checkpoint that is whole and of this experiment (None: of any).

    Args:
        path: of its folder.
        identity, edits: see `CheckpointStore`.

    Raises:
        CheckpointMismatch: it belongs to another experiment.
        CheckpointError: it is not whole.
    """
    manifest = _read_manifest(path)
    wanted = manifest["identity"] if identity is None else json.loads(json.dumps(identity))
    differences = list(_differences(manifest["identity"], wanted))
    if edits and differences:
        logger.info("edited since %s was written: %s", path.name, "; ".join(differences))
        differences = list(_differences(_fixed(manifest["identity"]), _fixed(wanted)))
    if differences:
        raise CheckpointMismatch(
            f"{path} belongs to another experiment; to resume, these must be equal. "
            f"Got: {'; '.join(differences)}."
        )
    for name, expected in manifest["files"].items():
        _verify(path / name, expected)
    return manifest


def checkpoint_folders(directory: Path) -> list[Path]:
    """Return the checkpoints' folders, oldest first; none where there is no directory.

    Raises:
        CheckpointError: the directory cannot be read.
    """
    return _folders(directory) if directory.is_dir() else []


def newest_written(directory: Path) -> WrittenCheckpoint | None:
    """Return the newest checkpoint that says what it is, unread; None if there is none.

    Raises:
        CheckpointError: the directory cannot be read.
    """
    for path in reversed(checkpoint_folders(directory)):
        # One that is being deleted, or damaged, is none.
        with suppress(CheckpointError, OSError):
            counts = _read_manifest(path)["counts"]
            written = (path / MANIFEST).stat().st_mtime
            return WrittenCheckpoint(
                path, counts["environmentSteps"], counts["learnerSteps"], written
            )
    return None


def _folders(directory: Path) -> list[Path]:
    try:
        found = [path for path in directory.iterdir() if FOLDER_NAME.fullmatch(path.name)]
    except OSError as error:
        raise CheckpointError(
            f"Checkpoints need a directory that can be read. Got: {directory}: {error.strerror}."
        ) from error
    return sorted(found, key=_number)


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((path / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path / MANIFEST} must be readable JSON. Got: {error}") from error
    needed = {"format", "counts", "parts", "identity", "files"}
    if not isinstance(manifest, dict) or not needed <= manifest.keys():
        raise CheckpointError(f"{path / MANIFEST} must hold {sorted(needed)}. Got: {manifest!r}")
    if manifest["format"] != FORMAT:
        raise CheckpointError(f"{path} must have format {FORMAT}. Got: {manifest['format']!r}.")
    return manifest


def _verify(path: Path, expected: Mapping[str, Any]) -> None:
    try:
        size, digest = path.stat().st_size, _digest(path)
    except OSError as error:
        raise CheckpointError(f"{path} must be readable. Got: {error.strerror}.") from error
    if (size, digest) != (expected["bytes"], expected["sha256"]):
        raise CheckpointError(
            f"{path} must have {expected['bytes']} bytes with SHA-256 {expected['sha256'][:12]}. "
            f"Got: {size} bytes with {digest[:12]}."
        )


def _fixed(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of an identity that no edit may change: else it is another run.

    Whether edited hyperparameters fit is seen when the parts are restored: a network of
    other shapes is refused there.
    """
    agent = sorted(identity.get("agent", {}))
    return {
        "environment": identity.get("environment"),
        "seed": identity.get("seed"),
        "agent": agent,
    }


def _differences(old: Any, new: Any, path: str = "spec") -> Iterator[str]:
    """Yield what differs between two JSON trees, as ``path: old != new``."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(old.get(key), new.get(key), f"{path}.{key}")
    elif old != new:
        yield f"{path} is {old!r} in the checkpoint and {new!r} here"


def _number(path: Path) -> int:
    return int(path.name.split("-", 1)[0])


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
