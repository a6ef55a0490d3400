"""What roles say of themselves (``/status``), asked for beside the launcher's own work."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Mapping
from typing import Any

PERIOD_SECONDS = 0.25
TIMEOUT_SECONDS = 1.0


class StatusPoller:
    """Asks each role for its status a few times a second, in a thread.

    Args:
        addresses: host and port of each role's HTTP endpoint, by the role's name.
    """

    def __init__(self, addresses: Mapping[str, tuple[str, int]]) -> None:
        self._addresses = dict(addresses)
        self._newest: dict[str, dict[str, Any]] = {}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="status", daemon=True)

    def newest(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the newest answers; a role that does not answer is missing."""
        return dict(self._newest)

    def __enter__(self) -> StatusPoller:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.wait(PERIOD_SECONDS):
            for name, (host, port) in self._addresses.items():
                if self._closed.is_set():
                    return
                status = fetch_json(host, port, "/status")
                if status is None:
                    self._newest.pop(name, None)
                else:
                    self._newest[name] = status


def fetch_json(host: str, port: int, path: str) -> dict[str, Any] | None:
    """Return the JSON object at a path, None if there is none within a second."""
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        answer = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return answer if isinstance(answer, dict) else None
