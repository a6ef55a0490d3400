"""Scalars for TensorBoard, without TensorFlow.

The events are tensorboardX's; the file is written here, at once. tensorboardX's own
``SummaryWriter`` hands events to a thread: it holds rows back for minutes, and when a
full disk has ended the thread, its queue fills and the training waits for ever.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import masked_crc32c

from greenroom.observability.files import AppendingFile, disk_errors

FILE_VERSION = "brain.Event:2"


class EventFile:
    """A new event file in ``directory``.

    Args:
        directory: TensorBoard's log directory; made if absent.
        purge_step: TensorBoard forgets what earlier files in the directory hold from
            this step on.

    Raises:
        RunDirectoryError: it cannot be written.
    """

    def __init__(self, directory: Path, purge_step: int | None = None) -> None:
        with disk_errors(directory):
            directory.mkdir(parents=True, exist_ok=True)
            number = len(list(directory.iterdir()))
        # TensorBoard reads files in the order of their names; two may begin in one second.
        name = f"events.out.tfevents.{int(time.time()):010d}.{number:04d}"
        self._file = AppendingFile(directory / name)
        self._append(Event(wall_time=time.time(), file_version=FILE_VERSION))
        if purge_step is not None:
            self._append(
                Event(
                    wall_time=time.time(),
                    step=purge_step,
                    session_log=SessionLog(status=SessionLog.START),
                )
            )

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write the values of one step, by tag.

        Raises:
            RunDirectoryError: the disk is full; nothing of it is left.
        """
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        self._append(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))

    def close(self) -> None:
        """Close it; what was written is already there."""
        self._file.close()

    def _append(self, event: Event) -> None:
        """Frame the event as a TFRecord: length, its checksum, data, its checksum."""
        data = event.SerializeToString()
        length = struct.pack("<Q", len(data))
        length_crc = struct.pack("<I", masked_crc32c(length))
        data_crc = struct.pack("<I", masked_crc32c(data))
        self._file.append(length + length_crc + data + data_crc)
