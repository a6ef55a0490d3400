"""Logs on their way to the learner: nobody waits for it, no line comes twice, losses are said."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from learner_tools import TOKEN, running, silent_server, wait_until

from greenroom.errors import RunDirectoryError
from greenroom.variables import log_shipping as module
from greenroom.variables import serving
from greenroom.variables.log_shipping import LogShipper
from greenroom.variables.messages import LogText, encode

logger = logging.getLogger("a.shipped.role")
logger.propagate = False
logger.setLevel(logging.INFO)


class Kept:
    """What a learner keeps; its disk may be full."""

    def __init__(self) -> None:
        self.texts: list[tuple[str, str]] = []
        self.full = False
        self.refused = 0

    def __call__(self, role: str, text: str) -> None:
        if self.full:
            self.refused += 1
            raise RunDirectoryError("no room")
        self.texts.append((role, text))

    @property
    def lines(self) -> list[str]:
        return "".join(text for _, text in self.texts).splitlines()


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PERIOD_SECONDS", 0.02)


@contextmanager
def shipping(address: str, token: str = TOKEN) -> Iterator[LogShipper]:
    shipper = LogShipper("replay", address, token)
    logger.addHandler(shipper)
    try:
        with closing(shipper):
            yield shipper
    finally:
        logger.removeHandler(shipper)


def test_lines_arrive_in_order_and_the_last_with_the_end(
    tmp_path: Path, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLOSE_SECONDS", 60.0)  # however slow the machine is
    with running(tmp_path, keep_log=kept) as learner:
        with shipping(learner.client.address) as shipper:
            logger.info("first")
            wait_until(lambda: kept.lines == ["first"])
            for number in range(5_000):  # several batches
                logger.info("line %d", number)
            logger.info("ends in ünicode")
        assert kept.lines == ["first", *(f"line {n}" for n in range(5_000)), "ends in ünicode"]
        assert {role for role, _ in kept.texts} == {"replay"}
        assert shipper.dropped_bytes == 0


def test_lines_wait_for_a_learner_that_comes_later(tmp_path: Path, kept: Kept) -> None:
    with running(tmp_path) as learner:
        port = learner.service.port
    with shipping(f"127.0.0.1:{port}"):
        logger.info("before")
        time.sleep(0.1)
        with running(tmp_path, port, keep_log=kept):
            wait_until(lambda: kept.lines == ["before"])


def test_of_too_many_the_oldest_are_dropped_and_the_log_says_so(
    tmp_path: Path, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUFFER_BYTES", 1_000)
    kept.full = True
    with running(tmp_path, keep_log=kept) as learner, shipping(learner.client.address) as shipper:
        logger.info("under way")
        wait_until(lambda: kept.refused > 0)
        for number in range(1_000, 1_500):
            logger.info("line %d", number)  # of 10 bytes
        assert shipper.dropped_bytes == 4_000
        kept.full = False
        wait_until(lambda: len(kept.lines) >= 102)
        under_way, missing, *lines = kept.lines
        assert under_way == "under way"
        assert missing == "4000 bytes of this log are missing here: dropped"
        assert lines == [f"line {number}" for number in range(1_400, 1_500)]


def test_a_batch_that_comes_again_is_kept_once(tmp_path: Path, kept: Kept) -> None:
    with (
        running(tmp_path, keep_log=kept) as learner,
        grpc.insecure_channel(learner.client.address) as channel,
    ):
        append: Any = channel.unary_unary(f"/{serving.SERVICE}/{serving.APPEND_LOG}")
        metadata = ((serving.AUTHORIZATION, serving.authorization(TOKEN)),)
        for sender, number in (("a", 0), ("a", 0), ("a", 1), ("b", 0)):
            batch = LogText("evaluator", sender, number, f"{sender}{number}\n")
            append(encode(batch), timeout=5, metadata=metadata)
        assert kept.lines == ["a0", "a1", "b0"]
        for role in ("learner", "../escape", ""):
            with pytest.raises(grpc.RpcError, match="Logs are kept of replay and evaluator"):
                append(encode(LogText(role, "a", 0, "x\n")), timeout=5, metadata=metadata)


def test_a_learner_that_keeps_none_and_one_with_another_token_take_nothing(
    tmp_path: Path, kept: Kept
) -> None:
    with running(tmp_path) as learner, shipping(learner.client.address):
        logger.info("for nobody")
    (tmp_path / "other").mkdir()
    with running(tmp_path / "other", keep_log=kept) as learner:
        with shipping(learner.client.address, "another"):
            logger.info("not for you")
        assert kept.lines == []


def test_who_logs_never_waits_for_a_learner_that_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CALL_SECONDS", 60.0)
    began = time.monotonic()
    with silent_server() as address, shipping(address):
        for number in range(1_000):
            logger.info("line %d", number)
        assert time.monotonic() - began < 30.0
    assert time.monotonic() - began < 30.0, "the end waits two seconds, not for the call"


def test_it_needs_no_torch() -> None:
    code = (
        "import sys, greenroom.roles.log_shipping, greenroom.variables.log_shipping; "
        "print({'torch', 'gymnasium', 'tensorflow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
