"""How a run can be launched."""

from __future__ import annotations

from enum import StrEnum


class Launch(StrEnum):
    """How the parts of an experiment share this machine."""

    LOCKSTEP = "lockstep"
    OVERLAPPED = "overlapped"
    PROCESSES = "processes"
