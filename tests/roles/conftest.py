"""Ports for roles that are processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from greenroom.launch.ports import ReservedPorts


@pytest.fixture
def ports() -> Iterator[ReservedPorts]:
    with ReservedPorts() as reserved:
        yield reserved
