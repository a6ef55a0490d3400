"""Asking learners: over real HTTP, with every wrong answer there is."""

import asyncio
import json
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from greenroom_operator.cache import Cache
from greenroom_operator.client import Api, load_configuration, open_session
from greenroom_operator.metrics import Metrics
from greenroom_operator.names import HTTP_PORT
from greenroom_operator.observed import LearnerState, Pod, Progress
from greenroom_operator.progress import Poller, learner_pod, parse_progress

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
KEY = ("team", "x")
STATES = st.sampled_from(LearnerState.__args__)
GOOD = {
    "uid": "experiment",
    "state": "training",
    "environmentSteps": 1000,
    "learnerSteps": 500,
    "episodeReturn": 21.5,
    "samplesPerInsert": None,
    "bottleneck": "acting",
    "checkpoint": {
        "environmentSteps": 900,
        "learnerSteps": 450,
        "time": "2026-11-24T11:59:00Z",
        "final": False,
    },
    "detail": "",
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def test_a_status_is_read():
    progress = parse_progress(GOOD, NOW, "pod")

    assert (progress.time, progress.pod, progress.state) == (NOW, "pod", "training")
    assert (progress.environment_steps, progress.learner_steps) == (1000, 500)
    assert (progress.episode_return, progress.samples_per_insert) == (21.5, None)
    assert progress.checkpoint.time == datetime(2026, 11, 24, 11, 59, tzinfo=UTC)
    assert progress.checkpoint.final is False


@settings(deadline=None)
@given(state=STATES, changes=st.dictionaries(st.sampled_from(sorted(GOOD)), JSON))
def test_whatever_a_learner_says_is_progress_or_no_status(state, changes):
    answer = {**GOOD, "state": state, **changes}
    try:
        progress = parse_progress(answer, NOW, "pod")
    except ValueError:
        return
    assert isinstance(progress, Progress)
    assert progress.bottleneck in (None, "acting", "learning")
    assert isinstance(progress.environment_steps, int)


def test_the_learner_that_stays_is_asked_before_one_that_leaves():
    pods = [
        Pod("a", "1", "learner", "Running", ip="10.0.0.1", deleting=True),
        Pod("b", "2", "learner", "Running", ip="10.0.0.2"),
        Pod("c", "3", "learner", "Pending"),
        Pod("d", "4", "actor", "Running", ip="10.0.0.4"),
    ]
    assert learner_pod(pods).name == "b"
    assert learner_pod(pods[:1]).name == "a"
    assert learner_pod(pods[2:]) is None


class Answering:
    """An HTTP server that gives one answer at one path, and knows no other."""

    def __init__(self, path, host, port=0):
        self.status, self.text, self.asked = 200, json.dumps(GOOD).encode(), 0
        answering = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                known = self.path == path
                answering.asked += known
                status, text = (answering.status, answering.text) if known else (404, b"")
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer((host, port), Handler)
        self.url = f"http://{host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


# The API server's port is in the kubeconfig, a learner's is the same everywhere.
PLACES = {
    "pods": ("/status", HTTP_PORT),
    "proxy": ("/api/v1/namespaces/team/pods/x-learner-1:8080/proxy/status", 0),
}


@pytest.fixture(params=PLACES)
def learner(request, worker_id):
    """A learner, or the API server that answers in its place; how to ask it, and where it is."""
    # The port is a pod's: workers of a test run have addresses of their own.
    number = int(worker_id.removeprefix("gw") or 0) if worker_id != "master" else 0
    host = f"127.77.0.{number + 1}"
    path, port = PLACES[request.param]
    answering = Answering(path, host, port)
    answering.via, answering.host = request.param, host
    yield answering
    answering.close()


@pytest.fixture
def ask(learner, tmp_path):
    """Have the learner asked; return what the cache knows then, and the metrics."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        json.dumps(
            {
                "clusters": [{"name": "c", "cluster": {"server": learner.url}}],
                "users": [{"name": "u", "user": {}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )

    async def once(deleted):
        cache, metrics, asked = Cache(), Metrics(), asyncio.Event()
        metadata = {"namespace": KEY[0], "name": KEY[1], "uid": "experiment", "generation": 1}
        cache.experiment("ADDED", {"metadata": {**metadata, "resourceVersion": "1"}})
        pod = Pod("x-learner-1", "pod", "learner", "Running", ready=True, ip=learner.host)
        cache.family(KEY).pods[pod.name] = 1, pod
        if deleted:
            cache.experiment("DELETED", {"metadata": {**metadata, "resourceVersion": "2"}})
        configuration = await load_configuration(str(kubeconfig))
        async with open_session(configuration) as session:
            api = Api(configuration, session, lambda *_: None)
            poller = Poller(api, cache, lambda key: asked.set(), metrics, learner.via)
            poller.schedule(KEY, 0.0)
            async with asyncio.timeout(60):
                await asked.wait()
            await poller.close()
        return cache.observed(KEY, NOW), metrics

    return lambda deleted=False: asyncio.run(once(deleted))


def polls(metrics, result):
    return metrics.registry.get_sample_value(
        "greenroom_operator_progress_polls_total", {"result": result}
    )


def test_an_answer_becomes_progress(learner, ask):
    seen, metrics = ask()

    assert seen.silence is None
    assert (seen.progress.environment_steps, seen.progress.pod) == (1000, "pod")
    assert polls(metrics, "answered") == 1


@pytest.mark.parametrize("status", [200, 500])
def test_a_learner_whose_experiment_was_deleted_is_read_and_nothing_kept(learner, ask, status):
    learner.status = status

    seen, metrics = ask(deleted=True)

    assert learner.asked == 1
    assert seen.progress is seen.silence is None
    assert polls(metrics, "answered") == polls(metrics, "silent") == 0


@pytest.mark.parametrize(
    ("status", "text", "words"),
    [
        (500, b"no", "500|no"),
        (200, b"<html>", "JSON|Expecting value"),
        (200, b"[1]", "must be a JSON object"),
        (200, b'"training"', "must be a JSON object"),
        (200, json.dumps({**GOOD, "uid": "other"}).encode(), "another experiment's learner"),
        (200, json.dumps({**GOOD, "state": "dancing"}).encode(), "state must be one of"),
        (200, json.dumps({**GOOD, "checkpoint": {"final": True}}).encode(), "another form"),
        (200, b'{"uid": "experiment", "state": ["training"]}', "state must be one of"),
    ],
)
def test_a_wrong_answer_is_silence_with_its_cause(learner, ask, status, text, words):
    learner.status, learner.text = status, text

    seen, metrics = ask()

    assert seen.progress is None
    assert any(word in seen.silence.error for word in words.split("|")), seen.silence.error
    assert polls(metrics, "silent") == 1
