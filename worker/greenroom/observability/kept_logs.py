"""Logs that stay with a run: the newest 10 MiB of each role's, over all its processes.

::

    logs/
      learner.log       the newest lines
      learner.log.1     those before; together 10 MiB at most
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from greenroom.errors import RunDirectoryError
from greenroom.observability.files import AppendingFile, disk_errors

logger = logging.getLogger(__name__)

KEPT_BYTES: Final = 10 * 2**20


class KeptLog:
    """One role's log. Safe to use from several threads.

    Args:
        path: of the newest lines; its folder is made if absent.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        self._open()

    def _open(self) -> None:
        self._file = AppendingFile(self._path)
        self._size = self._path.stat().st_size

    def append(self, text: str) -> None:
        """Append whole lines.

        Raises:
            RunDirectoryError: the disk is full; nothing of them is left.
        """
        data = text.encode(errors="backslashreplace")
        with self._lock, disk_errors(self._path):
            if self._size + len(data) > KEPT_BYTES // 2:
                self._file.close()
                self._path.replace(self._path.with_name(f"{self._path.name}.1"))
                self._open()
            self._file.append(data)
            self._size += len(data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class KeptLogHandler(logging.Handler):
    """Appends what this process logs. A full disk costs lines, which the log says afterwards."""

    def __init__(self, log: KeptLog) -> None:
        super().__init__()
        self._log = log
        self._missing = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Append a line."""
        missing = f"{self._missing} lines are missing here: dropped\n" if self._missing else ""
        try:
            self._log.append(f"{missing}{self.format(record)}\n")
            self._missing = 0
        except RunDirectoryError:
            self._missing += 1

    def close(self) -> None:
        """Close the file."""
        self._log.close()
        super().close()


class KeptLogs:
    """The logs of several roles in ``folder``."""

    def __init__(self, folder: Path, roles: Iterable[str]) -> None:
        self._logs = {role: KeptLog(folder / f"{role}.log") for role in roles}

    def append(self, role: str, text: str) -> None:
        """Append whole lines to one of them; see `KeptLog.append`."""
        self._logs[role].append(text)

    def close(self) -> None:
        """Close the files."""
        for log in self._logs.values():
            log.close()


@contextmanager
def log_kept_by(handler: logging.Handler) -> Iterator[None]:
    """Have what is logged in the block, and an error that ends it, go to ``handler`` too."""
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    except Exception as error:
        # To this handler alone: whoever catches it prints it.
        cause = type(error), error, error.__traceback__
        name, level = logger.name, logging.ERROR
        handler.handle(logger.makeRecord(name, level, __file__, 0, "%s", (error,), cause))
        raise
    finally:
        root.removeHandler(handler)
        handler.close()
