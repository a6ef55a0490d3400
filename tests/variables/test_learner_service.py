"""The learner's service over a real connection: who may call, and what is said if it fails."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from learner_tools import (
    TOKEN,
    UNROLL,
    full_disk,
    make_report,
    running,
    silent_server,
    wait_until,
)

from greenroom.errors import (
    AccessDenied,
    ConfigurationError,
    GreenroomError,
    LearnerUnavailable,
)
from greenroom.variables import serving, snapshots
from greenroom.variables.messages import ActorOrder, EvaluationReport, VariablesRequest, encode
from greenroom.variables.remote import LearnerClient
from greenroom.variables.service import LearnerService

METHODS = [
    serving.REPORT_ACTOR,
    serving.NEXT_EVALUATION,
    serving.REPORT_EVALUATION,
    serving.GET_VARIABLES,
]
ANYTHING = encode(VariablesRequest(-1, ""))


@pytest.fixture
def learner(tmp_path):
    with running(tmp_path) as made:
        yield made


def call(address, method, payload, metadata=(), timeout=10.0):
    """Call a method as anybody might; return the messages of its answer."""
    with grpc.insecure_channel(address) as channel:
        path = f"/{serving.SERVICE}/{method}"
        if method == serving.GET_VARIABLES:
            stream = channel.unary_stream(path)
            return list(stream(payload, metadata=metadata, timeout=timeout))
        return [channel.unary_unary(path)(payload, metadata=metadata, timeout=timeout)]


def bearer(token):
    return (("authorization", f"Bearer {token}"),)


# --- counts, orders, evaluations -----------------------------------------------------------


def test_an_actor_is_told_what_it_needs(tmp_path):
    with running(tmp_path, environment_steps=1_000) as (service, client, journal):
        journal.raise_to(environment_steps=200, episodes=3)
        assert client.report(make_report()) == ActorOrder(200, 0, 400, stop=False)
        order = client.report(make_report("actor-0", "b", environment_steps=50))
        assert order == ActorOrder(250, 1, 360, stop=False)
        service.stop_actors()
        order = client.report(make_report("actor-0", "b", environment_steps=60))
        assert order == ActorOrder(260, 1, 0, stop=True)


def test_actors_stop_where_the_experiment_ends(tmp_path):
    with running(tmp_path, environment_steps=100) as (_, client, _):
        assert client.report(make_report(environment_steps=99)).steps_until_report == UNROLL
        order = client.report(make_report(environment_steps=105))
        assert order == ActorOrder(105, 0, 0, stop=True)


def test_an_incarnation_that_was_replaced_stops_and_still_counts(learner):
    service, client, journal = learner
    client.report(make_report(environment_steps=10))
    client.report(make_report("actor-0", "b", environment_steps=1))
    order = client.report(make_report(environment_steps=15))
    assert order == ActorOrder(16, 0, 0, stop=True)
    assert not client.report(make_report("actor-0", "b", environment_steps=1)).stop
    assert service.actors()["actor-0"].report.incarnation == "b"
    assert journal.counts.total.environment_steps == 16


def test_the_newest_returns_are_taken_once(learner):
    service, client, _ = learner
    client.report(make_report(episodes=2, recent_returns=(1.0, 2.0)))
    client.report(make_report(episodes=2, recent_returns=(1.0, 2.0)))
    client.report(make_report(episodes=3, recent_returns=(1.0, 2.0, 3.0)))
    assert service.take_returns() == [1.0, 2.0, 3.0]
    assert service.take_returns() == []
    client.report(make_report(episodes=300, recent_returns=tuple(map(float, range(100)))))
    assert service.take_returns() == list(map(float, range(100)))


def test_the_learner_sees_when_actors_were_heard_of(learner):
    service, client, _ = learner
    assert service.actors() == {}
    newest = make_report(environment_steps=10, version=4)
    client.report(newest)
    seen = service.actors()["actor-0"]
    assert seen.report == newest
    assert 0 <= seen.seconds_ago < 60


def test_an_evaluation_goes_there_and_back(learner):
    service, client, _ = learner
    assert not client.next_evaluation().due
    service.evaluations.request(environment_steps=1_000, version=5)
    order = client.next_evaluation()
    assert (order.due, order.environment_steps, order.version) == (True, 1_000, 5)
    result = EvaluationReport(1_000, 6, order.learner, (1.5, -2.0), (10, 20))
    client.report_evaluation(result)
    assert service.evaluations.take_results() == [result]
    assert not client.next_evaluation().due


# --- the token ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "metadata",
    [(), bearer("another"), bearer(TOKEN + "x"), (("authorization", TOKEN),), bearer("")],
)
def test_nothing_is_answered_without_the_token(learner, method, metadata):
    learner.service.publish(1, {"w": torch.ones(1)})
    with pytest.raises(grpc.RpcError) as raised:
        call(learner.client.address, method, ANYTHING, metadata)
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert TOKEN not in raised.value.details()


def test_a_client_with_another_token_is_denied_access(learner):
    with LearnerClient(learner.client.address, "another") as client:
        for ask in (
            lambda: client.report(make_report(environment_steps=10)),
            lambda: client.get_variables(-1),
            client.next_evaluation,
            lambda: client.report_evaluation(EvaluationReport(1, 1, "", (1.0,), (1,))),
        ):
            with pytest.raises(AccessDenied, match=r"must carry the run's token\. Got: another"):
                ask()
    assert learner.service.actors() == {}
    assert learner.service.evaluations.take_results() == []


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "schlüssel"])
def test_what_cannot_be_a_token_is_refused_and_not_told(tmp_path, token):
    with pytest.raises(ConfigurationError, match="must be printable ASCII") as raised:
        LearnerClient("127.0.0.1:1", token)
    assert not token or token not in str(raised.value)


# --- variables ------------------------------------------------------------------------------


def test_a_large_model_comes_in_pieces(learner):
    service, client, _ = learner
    published = torch.arange(6_000_000, dtype=torch.float32)  # 24 MB, above gRPC's 4 MB
    service.publish(1, {"w": published})
    messages = call(client.address, serving.GET_VARIABLES, ANYTHING, bearer(TOKEN))
    assert json.loads(messages[0])["size"] == sum(map(len, messages[1:])) > 24_000_000
    assert max(map(len, messages)) == snapshots.CHUNK_BYTES
    assert len(messages) == 1 + 23
    assert torch.equal(client.get_variables(-1).values["w"], published)


def test_variables_are_serialized_once_for_all_who_ask_and_not_at_all_for_nobody(
    learner, monkeypatch
):
    service, client, _ = learner
    serialized = []
    serialize = snapshots.serialize

    def slowly(values):
        serialized.append(values["version"].item())
        time.sleep(0.1)  # so that all of them ask meanwhile
        return serialize(values)

    monkeypatch.setattr(snapshots, "serialize", slowly)
    for version in range(3):
        service.publish(version, {"version": torch.tensor(version)})
    assert serialized == []
    received = []
    threads = [
        threading.Thread(target=lambda: received.append(client.get_variables(-1)))
        for _ in range(32)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert [variables.version for variables in received] == [2] * 32
    assert serialized == [2]
    assert client.get_variables(2) is None
    assert serialized == [2]


def test_a_dtype_that_cannot_travel_is_refused_where_it_is_published(learner):
    with pytest.raises(TypeError, match=r"has\. Got: w is torch\.complex128"):
        learner.service.publish(1, {"w": torch.zeros(2, dtype=torch.complex128)})


def test_clients_that_do_not_read_hold_up_neither_the_learner_nor_for_long_others(learner):
    service, client, _ = learner
    service.publish(1, {"w": torch.zeros(8_000_000)})
    with grpc.insecure_channel(client.address) as channel:
        get = channel.unary_stream(f"/{serving.SERVICE}/{serving.GET_VARIABLES}")
        stalled = [
            get(ANYTHING, metadata=bearer(TOKEN), timeout=2.0) for _ in range(serving.THREADS)
        ]
        for stream in stalled:
            next(stream)  # the header, and nothing after it
        began = time.monotonic()
        service.publish(2, {"w": torch.zeros(8)})
        assert time.monotonic() - began < 0.5
        assert client.get_variables(1).version == 2  # within the others' deadline
        for stream in stalled:
            stream.cancel()


# --- a learner that is not there ------------------------------------------------------------


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
        assert f"It was asked {asked}. Got: deadline_exceeded after 0.3 s" in str(raised.value)


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
    with running(tmp_path, environment_steps=1_000) as (service, _, journal):
        port = service.port
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
                assert time.monotonic() - began < 5, "it is not found"
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


# --- what goes wrong ------------------------------------------------------------------------


def test_a_report_that_the_disk_did_not_take_is_not_acknowledged(learner):
    _, client, journal = learner
    with (
        full_disk(journal),
        pytest.raises(LearnerUnavailable, match=r"learner at .* failed: .*No space left on device"),
    ):
        client.report(make_report(environment_steps=10))
    assert journal.counts.total.environment_steps == 0
    assert client.report(make_report(environment_steps=10)).environment_steps == 10


@pytest.mark.parametrize("method", METHODS)
def test_a_call_without_a_deadline_is_refused(learner, method):
    with pytest.raises(grpc.RpcError) as raised:
        call(learner.client.address, method, ANYTHING, bearer(TOKEN), timeout=None)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "must have a deadline within 600 seconds" in raised.value.details()


def test_a_service_that_knows_no_such_call_is_taken_for_another_version():
    with grpc_server_without_methods() as address, LearnerClient(address, TOKEN) as client:
        with pytest.raises(GreenroomError, match="must understand what it is asked") as raised:
            client.next_evaluation()
        assert type(raised.value) is GreenroomError


@contextmanager
def grpc_server_without_methods():
    with ThreadPoolExecutor(1) as executor:
        server = grpc.server(executor)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(0).wait(5)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.sampled_from(
    [*json.loads(encode(make_report())), "returns", "lengths", "newer_than", "learner"]
)
WRONG = st.one_of(
    st.binary(max_size=200),
    st.dictionaries(FIELDS, JSON, max_size=12).map(lambda fields: json.dumps(fields).encode()),
    # A whole report in which one field is something else.
    st.tuples(FIELDS, JSON).map(
        lambda change: json.dumps(
            json.loads(encode(make_report())) | {change[0]: change[1]}
        ).encode()
    ),
)


@given(
    method=st.sampled_from(
        [serving.REPORT_ACTOR, serving.REPORT_EVALUATION, serving.GET_VARIABLES]
    ),
    payload=WRONG,
)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_malformed_request_is_the_callers_fault(learner, method, payload):
    fault = fault_of(lambda: call(learner.client.address, method, payload, bearer(TOKEN)))
    if fault is not None:  # some of what is made here is a report after all
        assert fault.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert " must " in fault.details()
        assert "Got: " in fault.details()
    learner.client.next_evaluation()  # and others are served


def fault_of(ask):
    try:
        ask()
    except grpc.RpcError as error:
        return error
    return None


@pytest.mark.parametrize(
    "answer", [b"", b"{}", b'{"version": 1, "learner": "", "size": 5}', b"\xff" * 40]
)
def test_an_answer_that_is_none_is_another_versions(answer):
    handlers = {
        serving.GET_VARIABLES: lambda _: iter([answer, b"abc"]),
    }
    unary = dict.fromkeys([serving.REPORT_ACTOR, serving.NEXT_EVALUATION], lambda _: answer)
    server = serving.GrpcServer("127.0.0.1", 0, TOKEN, unary, handlers)
    try:
        with LearnerClient(f"127.0.0.1:{server.port}", TOKEN) as client:
            for ask in (
                lambda: client.get_variables(-1),
                lambda: client.report(make_report()),
                client.next_evaluation,
            ):
                with pytest.raises(GreenroomError, match="must answer as a learner of this"):
                    ask()
    finally:
        server.close()


def test_closing_the_service_leaves_no_thread(tmp_path):
    with running(tmp_path) as (_, client, _):
        client.next_evaluation()
        assert any(thread.name.startswith("learner-service") for thread in threading.enumerate())
    wait_until(
        lambda: (
            not any(thread.name.startswith("learner-service") for thread in threading.enumerate())
        )
    )
