"""A learner that is not there, is silent, or comes again; and what cannot stand beside it."""

import threading
import time
from contextlib import contextmanager

import pytest
from learner_tools import TOKEN, make_report, running, silent_server
from reverb_server import free_port

from greenroom.errors import ConfigurationError, GreenroomError, LearnerUnavailable
from greenroom.variables.messages import EvaluationReport
from greenroom.variables.remote import LearnerClient
from greenroom.variables.service import LearnerService


@pytest.mark.parametrize(
    ("asked", "ask"),
    [
        ("to take a report", lambda client: client.report(make_report())),
        ("for variables", lambda client: client.get_variables(-1)),
        ("what to evaluate", lambda client: client.next_evaluation()),
        (
            "to take an evaluation",
            lambda client: client.report_evaluation(EvaluationReport(1, 1, "", (1.0,), (1,))),
        ),
    ],
)
def test_a_call_to_a_silent_learner_ends_and_says_what_it_waited_for(asked, ask):
    with silent_server() as address, LearnerClient(address, TOKEN, timeout=0.3) as client:
        began = time.monotonic()
        with pytest.raises(LearnerUnavailable) as raised:
            ask(client)
        assert 0.25 < time.monotonic() - began < 5
        assert f"The learner at {address} must answer within 0.3 s" in str(raised.value)
        assert f"It was asked {asked}. Got: deadline_exceeded after " in str(raised.value)


def test_a_call_to_nobody_fails_at_once(learner):
    learner.service.close()
    began = time.monotonic()
    with pytest.raises(LearnerUnavailable, match=r"Got: unavailable after .* s: .*refused"):
        learner.client.report(make_report())
    assert time.monotonic() - began < 5


def test_closing_a_client_ends_its_calls():
    with silent_server() as address:
        client = LearnerClient(address, TOKEN, timeout=60.0)
        faults = []

        def ask():
            with pytest.raises(LearnerUnavailable) as raised:
                client.next_evaluation()
            faults.append(str(raised.value))

        thread = threading.Thread(target=ask)
        thread.start()
        time.sleep(0.1)
        client.close()
        thread.join(timeout=10)
        assert len(faults) == 1
        with pytest.raises(LearnerUnavailable, match=f"client of the learner at {address} was"):
            client.next_evaluation()


def test_clients_find_a_learner_that_was_started_again(tmp_path):
    port = free_port()
    with running(tmp_path, port, environment_steps=1_000) as (service, _, journal):
        client = LearnerClient(f"127.0.0.1:{port}", TOKEN)
        client.report(make_report(environment_steps=10))
        client.report(make_report("actor-1", environment_steps=1))
        service.close()
        with pytest.raises(LearnerUnavailable):
            client.report(make_report(environment_steps=20))
    with client, running(tmp_path, port, environment_steps=1_000) as (_, _, journal):
        assert journal.counts.total.environment_steps == 11
        began = time.monotonic()
        order = None
        while order is None:
            try:
                order = client.report(make_report(environment_steps=20))
            except LearnerUnavailable:
                assert time.monotonic() - began < 20, "it is not found"
                time.sleep(0.02)
        assert order.environment_steps == 21
        assert order.steps_until_report == 0  # what the other actor holds is not known yet
        assert client.report(make_report("actor-1")).steps_until_report == 320


def test_two_learners_cannot_share_a_port(learner):
    port = learner.service.port
    with (
        pytest.raises(GreenroomError, match=f"port of its own. Got: {port}"),
        running_beside(learner, "127.0.0.1", port),
    ):
        pass


def test_an_address_of_another_machine_is_refused(learner):
    with (
        pytest.raises(ConfigurationError, match=r"address of its own\. Got: 192\.0\.2\.1:0"),
        running_beside(learner, "192.0.2.1", 0),
    ):
        pass


@contextmanager
def running_beside(learner, host, port):
    service = LearnerService(
        host, port, TOKEN, learner.journal, unroll_steps=1, environment_steps=None
    )
    try:
        yield
    finally:
        service.close()
