"""The learner's service over a real connection: counts, orders, evaluations and variables."""

import json
import threading
import time

import grpc
import pytest
import torch
from learner_tools import ANYTHING, TOKEN, UNROLL, bearer, call, make_report, running, wait_until

from greenroom.variables import serving, snapshots
from greenroom.variables.messages import ActorOrder, EvaluationReport

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
            get(ANYTHING, metadata=bearer(TOKEN), timeout=4.0) for _ in range(serving.THREADS)
        ]
        for stream in stalled:
            next(stream)  # the header, and nothing after it
        service.publish(2, {"w": torch.zeros(8)})
        assert all(stream.is_active() for stream in stalled), "it waited for them"
        assert client.get_variables(1).version == 2  # within the others' deadline
        for stream in stalled:
            stream.cancel()


def test_closing_the_service_leaves_no_thread(tmp_path):
    with running(tmp_path) as (_, client, _):
        client.next_evaluation()
        assert any(thread.name.startswith("learner-service") for thread in threading.enumerate())
    wait_until(
        lambda: (
            not any(thread.name.startswith("learner-service") for thread in threading.enumerate())
        )
    )
