"""The operator's own health: what its probes say when it cannot do its work, and its metrics."""

import asyncio
import json
import time

import pytest
import requests
from definition import install_crd
from operating import apply, eventually, ready
from operator_process import OperatorProcess
from prometheus_client import generate_latest

from e2e.cluster.control_plane import ControlPlane
from greenroom_operator.errors import OperatorError
from greenroom_operator.health import STALE_SECONDS, STUCK_SECONDS, Health, served
from greenroom_operator.metrics import Metrics


class Clock:
    """A clock that the test sets."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


async def turned(health):
    """Let the loop turn once."""
    beating = asyncio.create_task(health.beat())
    await asyncio.sleep(0)
    beating.cancel()


def test_a_loop_that_stands_still_is_seen_from_outside():
    clock = Clock()
    metrics = Metrics()
    health = Health(metrics, clock)
    with served(health, metrics, "127.0.0.1", 0) as port:
        alive = f"http://127.0.0.1:{port}/healthz"
        assert requests.get(alive, timeout=5).status_code == 200

        clock.now += STUCK_SECONDS + 1
        answer = requests.get(alive, timeout=5)
        assert (answer.status_code, "stood still" in answer.text) == (503, True)

        asyncio.run(turned(health))
        assert requests.get(alive, timeout=5).status_code == 200


def test_a_watch_that_never_begins_is_missed():
    clock = Clock()
    health = Health(Metrics(), clock)
    health.expect(["/api/v1/pods"])
    assert health.why_not_alive() is None
    clock.now += STALE_SECONDS + 1
    asyncio.run(turned(health))
    assert "the watch of /api/v1/pods was last accepted" in health.why_not_alive()


def test_it_is_not_ready_before_its_watches_have_begun():
    health = Health(Metrics())
    assert health.why_not_ready() == "starting"
    health.expect(["/api/v1/pods", "/api/v1/services"])
    health.not_ready = None
    assert health.why_not_ready() == "2 of 2 watches have not begun yet"


def test_probes_are_answered(make_operator):
    operator = make_operator().wait_ready()
    assert operator.metric("greenroom_operator_watch_age_seconds") > 0
    assert operator.get("/healthz").text == "alive\n"
    assert operator.get("/readyz").text == "ready\n"
    missing = operator.get("/nothing")
    assert missing.status_code == 404
    assert "Got: /nothing" in missing.text


def test_an_address_that_is_taken_is_an_error_that_says_so():
    metrics = Metrics()
    with (
        served(Health(metrics), metrics, "127.0.0.1", 0) as port,
        pytest.raises(OperatorError, match=rf"must be able to listen.*127.0.0.1:{port}"),
        served(Health(metrics), metrics, "127.0.0.1", port),
    ):
        pass


def test_counters_begin_at_0():
    text = generate_latest(Metrics().registry).decode()
    for series in (
        'errors_total{reason="refused"}',
        'reconciles_total{result="failed"}',
        'progress_polls_total{result="silent"}',
    ):
        assert f"greenroom_operator_{series} 0.0" in text


def test_metrics_tell_what_was_done(operator, kubectl):
    apply(kubectl, "x")
    ready(kubectl, "x")

    assert eventually(
        lambda: operator.metric("greenroom_operator_experiments", phase="Running"),
        lambda count: count == 1,
    )
    assert operator.metric("greenroom_operator_experiments") == 1
    requests_of = "greenroom_operator_api_requests_total"
    assert operator.metric(requests_of, verb="apply", code="201") == 11
    assert operator.metric("greenroom_operator_reconciles_total", result="failed") == 0
    assert operator.metric("greenroom_operator_errors_total") == 0
    # The one that wrote the phase is counted at its end.
    eventually(
        lambda: operator.metric("greenroom_operator_reconcile_seconds_count"),
        lambda count: count >= 2,
    )
    assert 0 <= operator.metric("greenroom_operator_watch_age_seconds") < STALE_SECONDS

    kubectl("delete", "rlx", "x", "--timeout=30s")
    eventually(lambda: operator.metric("greenroom_operator_experiments"), lambda count: count == 0)


def test_the_log_as_json_names_the_experiment(make_operator, kubectl):
    operator = make_operator("--log-format=json").wait_leading()
    apply(kubectl, "x")
    ready(kubectl, "x")
    # Its last line is whole then.
    assert operator.stop() == 0

    lines = [json.loads(line) for line in operator.log.splitlines()]

    about = [line for line in lines if line.get("experiment") == "x"]
    assert {line["namespace"] for line in about} == {kubectl.namespace}
    assert any(line["message"].startswith("created ConfigMap x-experiment") for line in about)
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)


def test_without_the_definition_it_says_what_is_missing(tmp_path):
    with ControlPlane() as plane:
        operator = OperatorProcess(
            plane.cluster.kubeconfig, "default", tmp_path / "operator.log"
        ).start()
        assert operator.wait() == 1
    assert "rlexperiments.greenroom.dev must be installed before the operator" in operator.log
    assert "Traceback" not in operator.log


def test_without_a_cluster_it_says_so(tmp_path):
    operator = OperatorProcess(tmp_path / "none", "default", tmp_path / "operator.log").start()
    assert operator.wait() == 1
    assert "needs a service account or a kubeconfig that works" in operator.log
    assert "Traceback" not in operator.log


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ready_once_the_api_server_is_there_and_not_alive_when_its_watches_are_cut(tmp_path):
    with ControlPlane(nodes=1) as plane:
        install_crd(plane.cluster.kubectl())
        plane.apiserver.pause()
        # Alone: without a Lease that ends the process when it cannot be renewed.
        operator = OperatorProcess(
            plane.cluster.kubeconfig,
            "default",
            tmp_path / "operator.log",
            ["--no-leader-elect"],
        ).start()
        refused = operator.get("/readyz")
        assert (refused.status_code, operator.get("/healthz").status_code) == (503, 200)

        plane.apiserver.resume()
        operator.wait_ready()

        plane.apiserver.pause()
        cut = time.monotonic()
        eventually(
            lambda: operator.get("/healthz").status_code,
            lambda status: status == 503,
            seconds=STALE_SECONDS + 60,
        )
        assert time.monotonic() - cut > 30, "a watch is not stale after a moment"
        assert "was last accepted" in operator.get("/healthz").text
        assert "Traceback" not in operator.log
        operator.kill()
