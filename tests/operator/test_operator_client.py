"""The client against a server that misbehaves as API servers do: busy, slow, garbled, gone."""

import asyncio
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from greenroom_operator.client import THROTTLED_TRIES, Api, load_configuration, open_session
from greenroom_operator.errors import ApiRefused, ApiUnavailable, Conflict, NotFound
from greenroom_operator.kinds import DEPLOYMENT, POD


class Server:
    """Answers as it is told, in turn; the last answer stands for all that follow."""

    def __init__(self):
        self.requests = []
        self.times = []
        self.answers = []
        self.hold = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length)
                server.times.append(time.monotonic())
                server.requests.append((self.command, self.path, dict(self.headers), body))
                turn = min(len(server.requests), len(server.answers)) - 1
                status, headers, text = server.answers[turn]
                if status == 0:
                    # Says nothing until the test is over.
                    server.hold.wait(30)
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def says(self, status, body=b"{}", **headers):
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append((status, names, text))

    def close(self):
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server():
    made = Server()
    yield made
    made.close()


@pytest.fixture
def kubeconfig(server, tmp_path):
    path = tmp_path / "kubeconfig"
    path.write_text(
        json.dumps(
            {
                "clusters": [{"name": "c", "cluster": {"server": server.url + "/"}}],
                "users": [{"name": "u", "user": {"token": "secret"}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )
    return path


@pytest.fixture
def ask(kubeconfig):
    """Make a request in an event loop; return what it gives, and the counts."""
    counts = []

    def run(use):
        async def with_api():
            configuration = await load_configuration(str(kubeconfig))
            async with open_session(configuration) as session:
                return await use(Api(configuration, session, lambda *one: counts.append(one)))

        return asyncio.run(with_api())

    run.counts = counts
    return run


def test_it_says_who_it_is_and_how_it_applies(server, ask):
    server.says(201, {"metadata": {"uid": "1"}})
    manifest = {"metadata": {"name": "x", "namespace": "team"}}

    assert ask(lambda api: api.apply(DEPLOYMENT, manifest)) == {"metadata": {"uid": "1"}}

    ((method, path, headers, body),) = server.requests
    assert method == "PATCH"
    assert path == (
        "/apis/apps/v1/namespaces/team/deployments/x"
        "?fieldManager=greenroom-operator&force=true&fieldValidation=Strict"
    )
    assert headers["Authorization"] == "Bearer secret"
    assert headers["User-Agent"] == "greenroom-operator"
    assert headers["Content-Type"] == "application/apply-patch+yaml"
    assert json.loads(body) == manifest
    assert ask.counts == [("apply", "201")]


def test_a_busy_server_is_asked_again_as_it_says(server, ask):
    server.says(429, {"message": "slowly"}, Retry_After="1")
    server.says(200, {"ok": True})

    assert ask(lambda api: api.get(POD, "team", "p")) == {"ok": True}
    assert ask.counts == [("get", "429"), ("get", "200")]
    # No sooner; how much later is this machine's affair.
    first, second = server.times
    assert second - first >= 1


def test_a_server_that_stays_busy_is_unavailable(server, ask):
    server.says(429, {"message": "slowly"}, Retry_After="0")

    with pytest.raises(ApiUnavailable, match="429 slowly") as caught:
        ask(lambda api: api.get(POD, "team", "p"))
    assert (caught.value.reason, caught.value.retry_after) == ("429", 0.0)
    assert len(server.requests) == THROTTLED_TRIES


def test_more_patience_than_a_reconcile_has_is_left_to_the_queue(server, ask):
    server.says(503, {"message": "restarting"}, Retry_After="60")

    with pytest.raises(ApiUnavailable) as caught:
        ask(lambda api: api.get(POD, "team", "p"))
    assert (caught.value.reason, caught.value.retry_after) == ("503", 60.0)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "error"), [(404, NotFound), (409, Conflict), (403, ApiRefused), (422, ApiRefused)]
)
def test_a_refusal_has_the_servers_words(server, ask, status, error):
    server.says(status, {"reason": "Why", "message": "such words"})

    with pytest.raises(error, match=r"^such words$") as caught:
        ask(lambda api: api.get(POD, "team", "p"))
    assert (type(caught.value), caught.value.status, caught.value.reason) == (error, status, "Why")


@pytest.mark.parametrize("text", [b"<html>gateway</html>", b"[]", b"\xff\xfe", b""])
def test_what_is_no_status_is_no_bug(server, ask, text):
    server.says(502, text)

    with pytest.raises(ApiUnavailable) as caught:
        ask(lambda api: api.get(POD, "team", "p"))
    assert caught.value.reason == "502"


@pytest.mark.parametrize("text", [b"<html>a proxy's page</html>", b"", b'{"half":'])
def test_an_answer_that_is_not_json_is_as_good_as_none(server, ask, text):
    server.says(200, text)

    with pytest.raises(ApiUnavailable) as caught:
        ask(lambda api: api.get(POD, "team", "p"))
    assert caught.value.reason == "garbled"


def test_no_answer_in_time_is_unavailable(server, ask):
    server.says(0)

    with pytest.raises(ApiUnavailable, match=r"must be answered within 0\.2 s") as caught:
        ask(lambda api: api.request("GET", "/slow", seconds=0.2))
    assert caught.value.reason == "timeout"
    assert ask.counts == [("get", "timeout")]


def test_no_server_is_unavailable(server, ask):
    server.says(200)
    server.close()

    with pytest.raises(ApiUnavailable) as caught:
        ask(lambda api: api.get(POD, "team", "p"))
    assert caught.value.reason == "connection"


def test_lists_come_page_by_page(server, ask):
    def page(version, *items, **metadata):
        return {"metadata": {"resourceVersion": version, **metadata}, "items": list(items)}

    server.says(200, page("7", {"n": 1}, {"n": 2}, **{"continue": "more"}))
    server.says(200, page("7", {"n": 3}))

    async def all_pages(api):
        return [found async for found in api.list(POD, None, selector="app=x")]

    assert ask(all_pages) == [(7, [{"n": 1}, {"n": 2}]), (7, [{"n": 3}])]
    paths = [path for _, path, _, _ in server.requests]
    assert paths == [
        "/api/v1/pods?limit=50&labelSelector=app%3Dx",
        "/api/v1/pods?limit=50&labelSelector=app%3Dx&continue=more",
    ]
    assert ask.counts == [("list", "200")] * 2


@pytest.mark.parametrize("status", [404, 409])
def test_what_is_gone_already_is_deleted(server, ask, status):
    server.says(status, {"message": "gone"})

    ask(lambda api: api.delete(POD, "team", "p", uid="u"))

    ((method, _, _, body),) = server.requests
    assert method == "DELETE"
    assert json.loads(body) == {
        "preconditions": {"uid": "u"},
        "propagationPolicy": "Background",
    }
