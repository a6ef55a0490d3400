"""A learner is killed: nothing acknowledged is lost, and its clients find the next one."""

import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest
from learner_tools import TOKEN, make_report, wait_until
from reverb_server import free_port

from greenroom.errors import LearnerUnavailable
from greenroom.variables.polling import PolledVariables
from greenroom.variables.remote import LearnerClient

PROGRAM = Path(__file__).with_name("learner_process.py")


@contextmanager
def learner_process(port, folder, version):
    process = subprocess.Popen(
        [sys.executable, PROGRAM, str(port), folder, str(version)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:  # leaving it closes the standard input, and waits
        yield process, int(process.stdout.readline())


def report_until_it_fails(client, acknowledged):
    with suppress(LearnerUnavailable):
        for steps in count(1):
            client.report(make_report(environment_steps=steps))
            acknowledged.append(steps)


@pytest.mark.slow
def test_a_killed_learner_costs_no_acknowledged_count(tmp_path):
    port = free_port()
    with learner_process(port, tmp_path, version=1_000) as (process, _):
        client = LearnerClient(f"127.0.0.1:{port}", TOKEN)
        variables = PolledVariables(client, period=0.05)
        assert variables.wait_first(timeout=30.0).version == 1_000
        variables.get(-1)
        reported = []

        def kill_in_the_middle():
            wait_until(lambda: len(reported) > 10)
            process.kill()

        killer = threading.Thread(target=kill_in_the_middle)
        killer.start()
        report_until_it_fails(client, reported)
        killer.join()
    acknowledged = len(reported)
    assert acknowledged > 10
    with learner_process(port, tmp_path, version=800):
        listening = time.monotonic()
        order = None
        while order is None:
            try:
                order = client.report(make_report(environment_steps=acknowledged + 1))
            except LearnerUnavailable:
                time.sleep(0.05)
        assert time.monotonic() - listening < 10
        assert order.environment_steps == acknowledged + 1
        assert order.incarnation_number == 0
        wait_until(lambda: variables.version == 800)
        assert variables.get(1_000).version == 800
        assert client.report(make_report("actor-1")).environment_steps == acknowledged + 1
        variables.close()
        client.close()
