"""What a role's HTTP endpoint says, wherever the role runs."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from learner_tools import TOKEN

HOST = "127.0.0.1"


class Answering:
    """Something that listens on a port of this machine."""

    def __init__(self, http_port: int) -> None:
        self.http_port = http_port

    def ask(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(
                f"http://{HOST}:{self.http_port}{path}", timeout=30
            ) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = json.loads(self.ask("/status")[1])
        return status

    def check_that_it_keeps_the_secret(self, *others: str) -> None:
        """Nobody needs a token to ask here: so none is told, on no path that there is.

        Args:
            others: paths that there are beside those of every role.
        """
        code, words = self.ask("/nothing")
        assert code == 404
        paths = words.removeprefix("There is ").partition(". Got:")[0].split(", ")
        assert set(paths) == {"/healthz", "/readyz", "/metrics", "/status", *others}
        for path in [*paths, "/nothing"]:
            code, words = self.ask(path)
            assert code in (200, 404, 503)
            assert words
            assert TOKEN not in words, path
