"""Who may call the learner, what is refused, and what is said if a call fails."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from learner_tools import ANYTHING, METHODS, TOKEN, bearer, call, full_disk, make_report

from greenroom.errors import AccessDenied, ConfigurationError, GreenroomError, LearnerUnavailable
from greenroom.variables import serving
from greenroom.variables.messages import EvaluationReport, encode
from greenroom.variables.remote import LearnerClient

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
