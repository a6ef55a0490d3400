"""The directory of a run: what is where, and whether a directory is one of ours.

::

    runs/cartpole-20260131-093000/
      experiment.yaml     the experiment as resolved, defaults included
      environment.txt     Python, platform and package versions
      metrics.jsonl       one row a line; metrics.csv and tensorboard/ hold the same
      metrics.csv
      tensorboard/
      checkpoints/        to go on from
      policy/             the exported policy
      summary.json        how it ended
      counts.jsonl        what actors reported, of a run as processes
      processes/          its roles' logs, and replay's checkpoints
"""

from __future__ import annotations

import fcntl
import glob
import itertools
import json
import os
import platform
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import TextIO

import yaml

from greenroom.errors import RunDirectoryError
from greenroom.observability.files import disk_errors, plain_row, replace_text
from greenroom.observability.progress import Summary

RUNS = Path("runs")
PROCESSES = "processes"


@dataclass(frozen=True)
class RunDirectory:
    """The paths of one run, by name."""

    path: Path

    @property
    def experiment(self) -> Path:
        return self.path / "experiment.yaml"

    @property
    def environment(self) -> Path:
        return self.path / "environment.txt"

    @property
    def metrics_jsonl(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def metrics_csv(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def policy(self) -> Path:
        return self.path / "policy"

    @property
    def summary(self) -> Path:
        return self.path / "summary.json"

    @property
    def counts(self) -> Path:
        return self.path / "counts.jsonl"

    @property
    def processes(self) -> Path:
        return self.path / PROCESSES

    @property
    def logs(self) -> Path:
        return self.processes / "logs"

    @property
    def kept_logs(self) -> Path:
        return self.path / "logs"

    @classmethod
    def create(cls, path: Path | None, name: str) -> RunDirectory:
        """Make an empty run directory.

        Args:
            path: absent yet, or an empty directory (hidden files do not count, nor logs of
                processes that were refused before the run began); None is
                ``runs/name-YYYYmmdd-HHMMSS``, numbered if that is taken.
            name: of the experiment.

        Raises:
            RunDirectoryError: it holds something already, or cannot be made.
        """
        if path is None:
            return cls(_make_unique(RUNS / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"))
        with disk_errors(path):
            path.mkdir(parents=True, exist_ok=True)
            visible = sorted(item.name for item in path.iterdir() if item.name[0] != ".")
            if visible == [PROCESSES]:
                visible = []  # logs of a run that was refused before it began
        if visible:
            raise RunDirectoryError(
                "A new run needs an empty directory, so that no earlier results are lost. "
                f"Got: {path}, which holds {', '.join(visible[:3])}"
                f"{', ...' if len(visible) > 3 else ''}. To go on with the run in it, add "
                "--resume; to start another, give another --run-directory."
            )
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """Return the run at ``path``.

        Raises:
            RunDirectoryError: there is none, or it is not one of ours.
        """
        run = cls(path)
        if not path.is_dir():
            raise RunDirectoryError(f"A run directory must exist. Got: {path}.")
        try:
            experiment = yaml.safe_load(run.experiment.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            experiment = None
        if not isinstance(experiment, dict) or experiment.get("kind") != "RLExperiment":
            raise RunDirectoryError(
                "A run directory holds experiment.yaml, of kind RLExperiment. "
                f"Got: {path}, which does not."
            )
        return run

    @classmethod
    def at(cls, path: Path) -> RunDirectory:
        """Return the run at ``path``, made if absent: whether it begins or goes on is not asked.

        Raises:
            RunDirectoryError: it cannot be made.
        """
        with disk_errors(path):
            path.mkdir(parents=True, exist_ok=True)
        return cls(path)

    @property
    def begun(self) -> bool:
        """Whether there is a run to go on with."""
        return self.experiment.exists()

    @classmethod
    def newest(cls, name: str) -> RunDirectory:
        """Return the run of the experiment ``name`` in ``runs/`` that began last.

        Raises:
            RunDirectoryError: there is none.
        """
        pattern = re.compile(re.escape(name) + r"-(\d{8}-\d{6})(?:-(\d+))?")
        begun = {
            (match[1], int(match[2] or 1)): path
            for path in RUNS.glob(f"{glob.escape(name)}-*/")
            if (match := pattern.fullmatch(path.name)) and cls(path).experiment.exists()
        }
        if not begun:
            raise RunDirectoryError(
                f"To resume without --run-directory, there must be a run of {name!r} in {RUNS}/. "
                "Got: none."
            )
        return cls.open(begun[max(begun)])

    @contextmanager
    def locked(
        self, name: str = "lock", again: Callable[[str], bool] = lambda _: False
    ) -> Iterator[None]:
        """Keep other processes from writing this run; a killed process lets go of it.

        Args:
            name: of the lock; a launcher's is another than its learner's.
            again: told which process is writing it; waits a moment, and returns whether to try
                once more.

        Raises:
            RunDirectoryError: another process is writing it.
        """
        with disk_errors(self.path), (self.path / f".{name}").open("a+") as lock:
            while (writer := _taken(lock)) is not None:
                if not again(writer):
                    raise RunDirectoryError(
                        "A run is written by one process at a time. Got: "
                        f"{self.path}, which {writer} is writing."
                    )
            lock.truncate(0)
            # In containers, it is often process 1.
            lock.write(f"{os.getpid()} of {socket.gethostname()}\n")
            lock.flush()
            yield

    def write_experiment(self, experiment_yaml: str) -> None:
        """Write down what is run, the whole RLExperiment as resolved, and with which packages.

        From then on the directory is a run, which `open` takes.

        Raises:
            RunDirectoryError: it cannot be written.
        """
        replace_text(self.experiment, experiment_yaml)
        replace_text(self.environment, describe_environment())

    def write_summary(self, summary: Summary) -> None:
        """Write down how the run ended.

        Raises:
            RunDirectoryError: it cannot be written.
        """
        replace_text(
            self.summary, json.dumps(plain_row(summary.to_json()), indent=2, allow_nan=False) + "\n"
        )

    def read_summary(self) -> Summary | None:
        """Return how the run ended the last time, None if it never has."""
        try:
            return Summary.from_json(json.loads(self.summary.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError):
            return None


def _taken(lock: TextIO) -> str | None:
    """Take a lock; return which process has it, None if it is ours now."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        return f"process {lock.read().strip()}"
    return None


def _make_unique(path: Path) -> Path:
    """Make the directory ``path``, or ``path-2``, ``path-3``...: two runs may begin at once."""
    for number in itertools.count(1):
        candidate = path if number == 1 else path.with_name(f"{path.name}-{number}")
        with disk_errors(candidate), suppress(FileExistsError):
            candidate.mkdir(parents=True)
            return candidate
    raise AssertionError("counting does not end")


def describe_environment() -> str:
    """Return Python, the platform and every installed distribution, ``name==version``, sorted."""
    installed = {
        f"{distribution.metadata['Name']}=={distribution.version}"
        for distribution in distributions()
    }
    lines = [
        f"# Python {platform.python_version()} ({platform.python_implementation()})",
        f"# {platform.platform()} {platform.machine()}",
        *sorted(installed, key=str.lower),
    ]
    return "\n".join(lines) + "\n"
