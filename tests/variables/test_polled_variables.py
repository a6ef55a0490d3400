"""The newest parameters at hand, whatever the learner does."""

import threading
import time

import pytest
import torch
from learner_tools import TOKEN, running, silent_server, wait_until

from greenroom.errors import AccessDenied, LearnerUnavailable
from greenroom.variables import polling
from greenroom.variables.polling import PolledVariables
from greenroom.variables.remote import LearnerClient


@pytest.fixture
def make_polled():
    made = []

    def make(client, period=0.01):
        made.append(PolledVariables(client, period))
        return made[-1]

    yield make
    for variables in made:
        variables.close()


def test_the_first_variables_are_waited_for(learner, make_polled):
    variables = make_polled(learner.client)
    with pytest.raises(LearnerUnavailable, match=r"within 0.05 s. Got: it has published none yet"):
        variables.wait_first(timeout=0.05)
    assert variables.version == -1
    threading.Timer(0.1, learner.service.publish, (3, {"w": torch.ones(1)})).start()
    assert variables.wait_first(timeout=10.0).version == 3
    assert variables.version == 3


def test_a_wait_for_a_learner_that_is_not_there_says_so(learner, make_polled):
    learner.service.close()
    variables = make_polled(learner.client)
    assert variables.age == float("inf")
    wait_until(lambda: variables.error is not None)
    with pytest.raises(LearnerUnavailable, match=r"within 0.05 s. Got: The learner at .* refused"):
        variables.wait_first(timeout=0.05)


def test_a_wait_with_another_token_ends_at_once(learner, make_polled):
    with LearnerClient(learner.client.address, "another") as client:
        variables = make_polled(client)
        began = time.monotonic()
        with pytest.raises(AccessDenied):
            variables.wait_first(timeout=30.0)
        assert time.monotonic() - began < 10


def test_a_dead_learner_does_not_hold_up_acting(learner, make_polled):
    variables = make_polled(learner.client)
    learner.service.publish(3, {"w": torch.ones(1)})
    variables.wait_first(timeout=10.0)
    learner.service.close()
    wait_until(lambda: variables.error is not None)
    began = time.monotonic()
    assert variables.get(2).version == 3
    assert variables.get(3) is None
    assert time.monotonic() - began < 5
    assert isinstance(variables.error, LearnerUnavailable)
    time.sleep(0.1)
    assert 0.1 < variables.age < 60


def test_a_restarted_learners_older_variables_are_taken_once(tmp_path, make_polled):
    with running(tmp_path) as (service, _, _):
        client = LearnerClient(f"127.0.0.1:{service.port}", TOKEN)
        variables = make_polled(client)
        service.publish(1_000, {"w": torch.tensor(1.0)})
        variables.wait_first(timeout=10.0)
        assert variables.get(-1).version == 1_000
    with client, running(tmp_path, service.port) as (service, _, _):
        time.sleep(0.05)
        assert variables.get(1_000) is None  # it has nothing yet; acting goes on
        service.publish(800, {"w": torch.tensor(2.0)})  # its checkpoint's
        wait_until(lambda: variables.version == 800)
        restored = variables.get(1_000)
        assert restored.version == 800
        assert restored.values["w"] == 2.0
        assert variables.get(800) is None
        assert variables.get(1_000) is None
        assert variables.error is None


def test_nothing_is_copied_while_nothing_is_new(learner, make_polled):
    variables = make_polled(learner.client)
    learner.service.publish(3, {"w": torch.ones(1)})
    first = variables.wait_first(timeout=10.0)
    for _ in range(3):
        asked = time.monotonic()
        wait_until(lambda asked=asked: time.monotonic() - variables.age > asked)
    assert variables.get(-1) is first


def test_closing_ends_the_thread_even_in_a_request():
    with silent_server() as address, LearnerClient(address, TOKEN) as client:
        variables = PolledVariables(client)
        time.sleep(0.1)
        began = time.monotonic()
        variables.close()
        assert time.monotonic() - began < 5
        assert not any(thread.name == "polled-variables" for thread in threading.enumerate())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_broke_is_not_taken_for_a_quiet_learner(learner, make_polled, monkeypatch):
    def broken(self, newer_than, learner):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(polling.LearnerClient, "fetch", broken)
    variables = make_polled(learner.client)
    variables._thread.join(timeout=10)
    with pytest.raises(AssertionError, match="must not end"):
        variables.get(-1)
