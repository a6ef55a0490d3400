"""The roles' logs, followed and merged into one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

# As `greenroom.observability.logs` writes them; what has another form is a traceback's, say.
LINE = re.compile(r"\d\d:\d\d:\d\d (DEBUG|INFO|WARNING|ERROR|CRITICAL) (.*)")
NAME_WIDTH = 10


class LogLine(NamedTuple):
    """One line of a role; ``level`` is None for a line that is no log record."""

    role: str
    level: str | None
    message: str


class MergedLogs:
    """Follows ``FOLDER/ROLE.log`` of each role and appends every line to ``FOLDER/all.log``.

    Args:
        folder: where the logs are; what earlier processes of a resumed run left there is
            not read again.
        roles: whose logs, by name; the files need not be there yet.
    """

    def __init__(self, folder: Path, roles: Sequence[str]) -> None:
        self._paths = {role: folder / f"{role}.log" for role in roles}
        self._read = {
            role: path.stat().st_size if path.exists() else 0 for role, path in self._paths.items()
        }
        self._merged = (folder / "all.log").open("a", encoding="utf-8")

    def read(self) -> list[LogLine]:
        """Return the lines that are new since the last call, and append them to the merged log."""
        lines = [line for role in self._paths for line in self._new_lines(role)]
        for line in lines:
            level = f"{line.level} " if line.level else ""
            self._append(line.role, level + line.message)
        return lines

    def note(self, message: str) -> None:
        """Append a line of the launcher's own."""
        self._append("launcher", message)

    def __enter__(self) -> MergedLogs:
        return self

    def __exit__(self, *_: object) -> None:
        self.read()
        self._merged.close()

    def _append(self, role: str, text: str) -> None:
        self._merged.write(f"{datetime.now():%H:%M:%S} {role:<{NAME_WIDTH}} {text}\n")
        self._merged.flush()

    def _new_lines(self, role: str) -> Iterator[LogLine]:
        path = self._paths[role]
        if not path.exists():
            return
        with path.open("rb") as log:
            log.seek(self._read[role])
            *lines, unfinished = log.read().split(b"\n")
            self._read[role] = log.tell() - len(unfinished)
        for line in lines:
            text = line.decode(errors="replace")
            match = LINE.fullmatch(text)
            yield LogLine(role, match[1], match[2]) if match else LogLine(role, None, text)
