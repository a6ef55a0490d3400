"""A run that goes on with what another one has learnt: its newest checkpoint, copied."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from greenroom.errors import CheckpointError, CheckpointMismatch
from greenroom.learning.checkpoints import check_checkpoint, checkpoint_folders
from greenroom.observability.files import disk_errors, replace_text
from greenroom.observability.run_directory import RunDirectory
from greenroom.training.runs import identity
from greenroom.variables.counts import BASE
from greenroom.variables.journal_lines import counts_to_lines, read_counts
from greenroom_api import RLExperiment

logger = logging.getLogger(__name__)

STAGED: Final = ".seeding"


def seed_run(experiment: RLExperiment | None, source: Path, directory: Path) -> str | None:
    """Make ``directory`` a run that goes on from the newest checkpoint of ``source``.

    Its counts go on, and its metrics; its end, if it has ended, is not taken over. The
    source is only read, and must not be written meanwhile. A copy that was cut short begins
    anew at the next call.

    Args:
        experiment: that the checkpoint must fit; None leaves that to the learner.
        source: the other run.
        directory: of the new one.

    Returns:
        The checkpoint's name; None if ``directory`` is a run already.

    Raises:
        CheckpointMismatch: the checkpoint does not fit the experiment.
        CheckpointError: there is none that is whole.
        RunDirectoryError: ``source`` is no run, or a disk does not do its work.
    """
    target = RunDirectory.at(directory)
    if target.begun:
        return None
    run = RunDirectory.open(source)
    wanted = None if experiment is None else identity(experiment)
    checkpoint = _newest_whole(run, wanted)
    staged = RunDirectory(directory / STAGED)
    with disk_errors(directory):
        shutil.rmtree(staged.path, ignore_errors=True)
        # With its times: when it was written is told by a file's.
        shutil.copytree(checkpoint, staged.checkpoints / checkpoint.name)
        counts = read_counts(run.counts).total
        staged.counts.write_bytes(counts_to_lines({BASE: counts}))
        if run.metrics_jsonl.exists():
            shutil.copy2(run.metrics_jsonl, staged.metrics_jsonl)
        check_checkpoint(staged.checkpoints / checkpoint.name, wanted, edits=True)
        for path in staged.path.rglob("*"):
            _flush(path)
        for path in staged.path.iterdir():
            _replace(path, directory / path.name)
        staged.path.rmdir()
    # From now on it is a run.
    replace_text(target.experiment, run.experiment.read_text(encoding="utf-8"))
    return checkpoint.name


def _newest_whole(run: RunDirectory, wanted: Mapping[str, Any] | None) -> Path:
    damaged: list[str] = []
    for path in reversed(checkpoint_folders(run.checkpoints)):
        try:
            check_checkpoint(path, wanted, edits=True)
        except CheckpointMismatch:
            raise
        except CheckpointError as error:
            damaged.append(str(error))
            logger.warning("Checkpoint passed over: %s", error)
        else:
            return path
    raise CheckpointError(
        f"A run goes on from a whole checkpoint in {run.checkpoints}. "
        f"Got: {'; '.join(damaged) or 'none at all'}."
    )


def _flush(path: Path) -> None:
    """Have a file or folder on the disk before anything says that it is there."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace(path: Path, target: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    path.replace(target)
