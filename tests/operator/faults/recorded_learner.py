"""A learner's `/status` on an address of this machine, which simulated pods are given as theirs.

What is recorded, and not a real learner, is right only where something else is tested.
"""

from __future__ import annotations

import json
import random
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from greenroom_operator.names import HTTP_PORT

POD_IP = "test.greenroom.dev/pod-ip"


class RecordedLearner:
    """Answers at `address`, as the learner of the experiment whose uid it is told.

    Attributes:
        address: of 127.0.0.0/8; nobody else's in this run.
        uid: of the experiment.
        state: as in `/status`.
    """

    def __init__(self, state: str = "training") -> None:
        self.uid = ""
        self.state = state

    def __enter__(self) -> RecordedLearner:
        learner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps(learner.status()).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = _listen(Handler)
        self.address = str(self._server.server_address[0])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def status(self) -> dict[str, Any]:
        """What it answers now."""
        ended = self.state in ("finished", "stopped")
        return {
            "uid": self.uid,
            "state": self.state,
            "detail": "an evaluation returned 500" if ended else "",
            "environmentSteps": 2_000,
            "learnerSteps": 1_000,
            "episodeReturn": 500.0,
            "environmentStepsPerSecond": 100.0,
            "learnerStepsPerSecond": 50.0,
            "samplesPerInsert": 32.0,
            "wantedSamplesPerInsert": 32.0,
            "bottleneck": None,
            "checkpoint": {
                "environmentSteps": 2_000,
                "learnerSteps": 1_000,
                "time": datetime(2026, 1, 1, tzinfo=UTC).isoformat(),
                "final": ended,
            },
        }


def _listen(handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    for _ in range(100):
        address = f"127.{random.randint(16, 127)}.{random.randint(0, 255)}.{random.randint(1, 254)}"
        try:
            return ThreadingHTTPServer((address, HTTP_PORT), handler)
        except OSError:
            continue
    raise AssertionError(f"An address of 127.0.0.0/8 with port {HTTP_PORT} free. Got: none")
