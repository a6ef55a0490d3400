"""Writing the files of a run: whole or not at all, with errors that name the file."""

from __future__ import annotations

import errno
import math
import numbers
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

from greenroom.errors import RunDirectoryError

Scalar: TypeAlias = float | int | str | None


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a failure of the disk in this block into an error that names ``path``.

    Raises:
        RunDirectoryError: an `OSError` came up: a full disk, a missing permission.
    """
    try:
        yield
    except OSError as error:
        code = errno.errorcode.get(error.errno or 0, "unknown error")
        raise RunDirectoryError(
            "A run's files must be readable and writable, and their disk must have room. "
            f"Got: {error.strerror or error} ({code}) at {path}."
        ) from error


def replace_text(path: Path, text: str) -> None:
    """Write a whole file so that a reader, or a crash, finds the old one or the new one.

    Raises:
        RunDirectoryError: it cannot be written; the old one stands.
    """
    temporary = path.with_name(f".{path.name}.writing")
    with disk_errors(path):
        try:
            with temporary.open("w", encoding="utf-8", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


class AppendingFile:
    """A file that grows by whole records, each handed to the operating system at once.

    A killed process leaves at most one torn record, at the end; a record that a full
    disk cut is taken back.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with disk_errors(path):
            self._file = path.open("ab", buffering=0)

    def append(self, record: bytes) -> None:
        """Write one record.

        Raises:
            RunDirectoryError: it did not fit; nothing of it is left.
        """
        with disk_errors(self.path):
            before = os.fstat(self._file.fileno()).st_size
            try:
                view = memoryview(record)
                while view:
                    view = view[os.write(self._file.fileno(), view) :]
            except OSError:
                with suppress(OSError):  # the first failure is the one to tell
                    os.ftruncate(self._file.fileno(), before)
                raise

    def close(self) -> None:
        """Close it; what was appended is already written."""
        self._file.close()


def plain_row(row: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return the row with plain values: numpy's become Python's, and NaN and infinity None.

    JSON has no word for a number that is not finite.
    """
    return {name: _plain(name, value) for name, value in row.items()}


def _plain(name: str, value: object) -> Scalar:
    match value:
        case None | str():
            return value
        case numbers.Integral():
            return int(value)
        case numbers.Real():
            number = float(value)
            return number if math.isfinite(number) else None
    raise TypeError(f"A column holds numbers, text or None. Got: {name}={value!r}.")
