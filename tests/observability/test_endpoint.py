"""The HTTP endpoint of a role, asked over real sockets."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from greenroom.errors import GreenroomError
from greenroom.observability import endpoint as module
from greenroom.observability.endpoint import Endpoint

State = dict[str, Any]


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def routes() -> dict[str, Callable[[], object]]:
    return {"/tables": lambda: [1, 2]}


@pytest.fixture
def state() -> State:
    return {"environmentSteps": 12}


@pytest.fixture
def endpoint(
    registry: CollectorRegistry, routes: dict[str, Callable[[], object]], state: State
) -> Iterator[Endpoint]:
    with Endpoint(
        "127.0.0.1",
        0,
        role="actor-0",
        registry=registry,
        status=lambda: state,
        routes=routes,
        stalled_seconds=0.3,
    ) as made:
        yield made


def ask(endpoint: Endpoint, path: str, method: str = "GET") -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=5)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.getheader("Content-Type", ""), response.read().decode()
    finally:
        connection.close()


def test_readiness_has_a_reason_and_for_how_long(endpoint: Endpoint) -> None:
    assert ask(endpoint, "/readyz")[::2] == (503, "starting, for 0 s\n")
    endpoint.ready("waiting for tables at http://learner/tables")
    endpoint.ready("waiting for tables at http://learner/tables")
    status, _, text = ask(endpoint, "/readyz")
    assert (status, text) == (503, "waiting for tables at http://learner/tables, for 0 s\n")
    endpoint.ready()
    assert ask(endpoint, "/readyz")[::2] == (200, "ready\n")


def test_the_time_of_a_reason_goes_on_while_it_stands(endpoint: Endpoint) -> None:
    endpoint.ready("waiting for a")
    time.sleep(0.6)
    endpoint.ready("waiting for a")
    assert ask(endpoint, "/readyz")[2] == "waiting for a, for 1 s\n"
    endpoint.ready("waiting for b")
    assert ask(endpoint, "/readyz")[2] == "waiting for b, for 0 s\n"


def test_health_follows_the_main_loop(endpoint: Endpoint) -> None:
    endpoint.alive()
    assert ask(endpoint, "/healthz")[::2] == (200, "alive\n")
    time.sleep(0.4)
    status, _, text = ask(endpoint, "/healthz")
    assert (status, text) == (503, "the main loop has stood still for 0 s, longer than 0.3 s\n")
    endpoint.alive()
    assert ask(endpoint, "/healthz")[0] == 200
    endpoint.alive(10.0)  # a checkpoint takes longer than a turn
    time.sleep(0.4)
    assert ask(endpoint, "/healthz")[0] == 200
    endpoint.alive()
    time.sleep(0.4)
    assert ask(endpoint, "/healthz")[0] == 503


def test_metrics_are_those_of_the_registry(endpoint: Endpoint, registry: CollectorRegistry) -> None:
    assert "greenroom_role_ready 0.0" in ask(endpoint, "/metrics")[2]
    endpoint.ready()
    assert "greenroom_role_ready 1.0" in ask(endpoint, "/metrics")[2]
    counter = Counter("greenroom_replay_inserts", "Items inserted.", ["table"], registry=registry)
    counter.labels(table="transitions").inc(3)
    status, kind, text = ask(endpoint, "/metrics")
    assert status == 200
    assert kind.startswith("text/plain; version=")
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples[("greenroom_replay_inserts_total", "transitions")] == 3.0
    assert not any(name.startswith("python") for name, *_ in samples)


def test_status_and_routes_are_json_of_this_moment(
    endpoint: Endpoint, routes: dict[str, Callable[[], object]], state: State
) -> None:
    endpoint.ready("waiting for the learner")
    status, kind, text = ask(endpoint, "/status")
    assert (status, kind) == (200, "application/json")
    told = json.loads(text)
    assert 0 <= told.pop("uptimeSeconds") < 60
    assert told == {
        "role": "actor-0",
        "ready": False,
        "reason": "waiting for the learner, for 0 s",
        "environmentSteps": 12,
    }
    state["environmentSteps"] = 13
    endpoint.ready()
    told = json.loads(ask(endpoint, "/status")[2])
    assert (told["ready"], told["reason"], told["environmentSteps"]) == (True, None, 13)

    assert json.loads(ask(endpoint, "/tables?pretty=1")[2]) == [1, 2]
    routes["/later"] = lambda: {"x": None}
    assert json.loads(ask(endpoint, "/later")[2]) == {"x": None}


def test_what_is_not_there_is_404_and_says_what_is(endpoint: Endpoint) -> None:
    status, _, text = ask(endpoint, "/metric")
    assert status == 404
    assert text == "There is /healthz, /readyz, /metrics, /status, /tables. Got: /metric\n"
    assert ask(endpoint, "/status", "POST")[0] == 501


def test_head_has_no_body(endpoint: Endpoint) -> None:
    assert ask(endpoint, "/status", "HEAD") == (200, "application/json", "")
    assert ask(endpoint, "/readyz", "HEAD")[0] == 503


@pytest.mark.parametrize("bad", [float("nan"), object(), 1 / 3j])
def test_an_error_of_the_role_is_500_and_harms_no_other(
    endpoint: Endpoint, state: State, bad: object
) -> None:
    state["environmentSteps"] = bad
    status, _, text = ask(endpoint, "/status")
    assert status == 500
    assert "Error: " in text
    assert ask(endpoint, "/readyz")[0] == 503


def test_requests_are_answered_side_by_side(
    endpoint: Endpoint, routes: dict[str, Callable[[], object]]
) -> None:
    both = threading.Barrier(2, timeout=5)
    routes["/meet"] = both.wait
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: ask(endpoint, "/meet")[2], range(2)))
    assert sorted(answers) == ["0\n", "1\n"]


def test_a_silent_client_is_let_go(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module._Handler, "timeout", 0.2)
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=5) as client:
        client.sendall(b"GET /status HTTP/1.1\r\n")
        assert client.recv(100) == b""


def test_clients_that_go_away_leave_no_trace(
    endpoint: Endpoint, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=5) as client:
        # A reset instead of an orderly end.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.sendall(b"GET /status HTTP/1.1\r\n")
    assert ask(endpoint, "/readyz")[0] == 503
    assert capfd.readouterr() == ("", "")


def make(port: int, host: str = "127.0.0.1") -> Endpoint:
    return Endpoint(host, port, role="replay", registry=CollectorRegistry(), status=dict)


def test_a_port_is_taken_by_one_at_a_time(endpoint: Endpoint) -> None:
    with pytest.raises(GreenroomError, match="The HTTP endpoint of replay needs a port of its own"):
        make(endpoint.port)
    endpoint.close()
    with make(endpoint.port) as again:
        assert ask(again, "/readyz")[0] == 503


def test_a_port_that_is_only_held_can_be_taken() -> None:
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        with make(held.getsockname()[1]) as endpoint:
            assert ask(endpoint, "/readyz")[0] == 503


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(GreenroomError, match=r"listen on its address\. Got: 203\.0\.113\.1:8000"):
        make(8000, host="203.0.113.1")


def test_it_needs_no_library_of_learning() -> None:
    program = (
        "import sys, greenroom.observability.endpoint, greenroom.observability.logs\n"
        "print({'torch', 'gymnasium', 'rich', 'tensorboardX'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "set()"
