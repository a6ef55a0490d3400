"""What the operator does while the API server does not do its part, and afterwards."""

import itertools
import time

import pytest
from operating import apply, children, complete, eventually, ready, status
from proxy import Answer, Delay, Expire, Hold

from greenroom_operator.client import REQUEST_SECONDS

ERRORS = "greenroom_operator_errors_total"
AGE = "greenroom_operator_watch_age_seconds"
FAULT_SECONDS = 5.0
# One experiment, ten kinds that are watched: a hot loop makes hundreds.
MOST_CALLS_PER_SECOND = 20.0
# kopf pauses for 0.1 s before it lists and watches one of the ten kinds anew.
MOST_LISTS_PER_SECOND = 250.0


def calls_per_second(proxy, seconds=FAULT_SECONDS):
    """How often the operator calls, from now on."""
    began = time.monotonic()
    time.sleep(seconds)
    return len(proxy.since(began)) / seconds


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(409, "Conflict"), "refused"),
        (Answer(429, "TooManyRequests", retry_after=1), "429"),
        (Answer(500, "InternalError"), "500"),
        (Answer(503, "ServiceUnavailable", retry_after=3), "503"),
    ],
    ids=lambda value: value.status if isinstance(value, Answer) else "",
)
def test_writes_that_are_answered_with_an_error_are_done_later(
    cut_off, proxy, kubectl, answer, reason
):
    proxy.fault = lambda call: answer if call.write else None
    apply(kubectl, "x")
    eventually(lambda: cut_off.metric(ERRORS, reason=reason), bool)

    assert calls_per_second(proxy) < MOST_CALLS_PER_SECOND
    assert children(kubectl, "x") == {}
    assert cut_off.get("/healthz").status_code == 200

    proxy.fault = lambda call: None
    ready(kubectl, "x")


@pytest.mark.parametrize("status", [429, 503])
def test_patience_that_the_server_asks_for_is_given(cut_off, proxy, kubectl, status):
    # Longer than one request waits for: it is the experiment that comes back later.
    proxy.fault = lambda call: Answer(status, retry_after=4) if call.write else None
    apply(kubectl, "x")
    eventually(lambda: [call for call in proxy.calls if call.write], lambda calls: len(calls) > 2)

    times = [call.time for call in proxy.calls if call.write]
    assert min(later - earlier for earlier, later in itertools.pairwise(times)) >= 4


def test_a_request_without_an_answer_holds_up_no_other_experiment(cut_off, proxy, kubectl):
    proxy.fault = lambda call: Hold() if call.write and "/stuck-" in call.path else None
    apply(kubectl, "stuck")
    apply(kubectl, "other")

    ready(kubectl, "other")
    timeouts = eventually(
        lambda: cut_off.metric(ERRORS, reason="timeout"), bool, 3 * REQUEST_SECONDS
    )
    assert timeouts == 1
    assert cut_off.get("/healthz").status_code == 200

    proxy.fault = lambda call: None
    ready(kubectl, "stuck")


def test_watches_that_end_are_asked_for_anew(cut_off, proxy, kubectl):
    apply(kubectl, "x")
    ready(kubectl, "x")
    began = time.monotonic()
    for replicas in (2, 3, 4):
        proxy.end_watches()
        kubectl("scale", "rlx/x", f"--replicas={replicas}")
        eventually(lambda: status(kubectl, "x")["actors"]["ready"], lambda n, r=replicas: n == r)

    watches = [call for call in proxy.since(began) if call.watch]
    assert len(watches) <= 3 * 3 * len({call.path for call in watches})


@pytest.mark.parametrize(
    "fault",
    [Expire(), Answer(429, retry_after=1), Answer(500), Answer(503)],
    ids=["expired", "429", "500", "503"],
)
def test_what_was_deleted_while_there_was_no_watch_is_put_back(cut_off, proxy, kubectl, fault):
    apply(kubectl, "x")
    ready(kubectl, "x")
    proxy.fault = lambda call: fault if call.watch else None
    proxy.end_watches()
    began = time.monotonic()
    eventually(lambda: [call for call in proxy.since(began) if call.watch], bool)
    kubectl("delete", "service/x-learner", "deployment/x-evaluator")
    if fault == Expire():
        # What changed before the next list is in no watch any more.
        assert calls_per_second(proxy) < MOST_LISTS_PER_SECOND
    else:
        assert calls_per_second(proxy) < MOST_CALLS_PER_SECOND

    proxy.fault = lambda call: None
    put_back = {("Service", "x-learner"), ("Deployment", "x-evaluator")}
    eventually(lambda: children(kubectl, "x").keys(), lambda names: names >= put_back)
    assert cut_off.get("/healthz").status_code == 200


def test_an_api_server_that_is_slow_is_waited_for(cut_off, proxy, kubectl):
    proxy.fault = lambda call: Delay(1.0)
    apply(kubectl, "x")
    ready(kubectl, "x")
    kubectl("scale", "rlx/x", "--replicas=2")
    eventually(lambda: status(kubectl, "x")["actors"]["ready"], lambda ready: ready == 2)

    assert cut_off.metric(ERRORS) == 0
    assert cut_off.get("/healthz").status_code == 200


def test_a_cut_shows_in_the_age_of_the_watch_and_is_mended(cut_off, proxy, kubectl):
    apply(kubectl, "x")
    ready(kubectl, "x")
    proxy.sever()
    severed = cut_off.metric(AGE)
    kubectl("delete", "deployment/x-actors")
    kubectl("scale", "rlx/x", "--replicas=3")

    assert calls_per_second(proxy) < MOST_CALLS_PER_SECOND
    # No watch is accepted meanwhile, so that after `health.STALE_SECONDS` it is not alive.
    assert cut_off.metric(AGE) >= severed + FAULT_SECONDS

    proxy.restore()
    eventually(lambda: status(kubectl, "x")["actors"]["ready"], lambda ready: ready == 3)
    eventually(lambda: cut_off.metric(AGE), lambda age: age < severed + FAULT_SECONDS)
    complete(kubectl, "x")


def test_an_operator_that_starts_while_there_is_no_api_server_waits_for_it(
    crd, proxy, make_operator, kubectl
):
    proxy.fault = lambda call: Answer(503)
    operator = make_operator("--no-leader-elect", kubeconfig=proxy.kubeconfig)
    eventually(lambda: len(proxy.calls), lambda calls: calls > 2)
    assert operator.get("/readyz").status_code == 503
    assert operator.get("/healthz").status_code == 200
    assert calls_per_second(proxy, 2.0) < MOST_CALLS_PER_SECOND

    proxy.fault = lambda call: None
    operator.wait_ready()
    apply(kubectl, "x")
    ready(kubectl, "x")
