"""The API server in plain dicts, for the parts that make nodes and run pods.

Tests use kubectl (see `cluster.py`) or a client library; this is the little that the cluster
itself needs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import requests

Object = dict[str, Any]

REQUEST_SECONDS = 30.0
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


class ApiError(Exception):
    """The API server refused a request.

    Attributes:
        code: of the HTTP answer.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Api:
    """An API server at `url`, trusted by the authority in `ca`, as the bearer of `token`.

    with Api(url, ca, token) as api:
        api.create("/api/v1/nodes", {"metadata": {"name": "node-0"}, ...})
        pods = api.get("/api/v1/pods", fieldSelector="spec.nodeName=node-0")["items"]

    A session of `requests` is for one thread at a time: give each thread an Api of its own.
    """

    def __init__(self, url: str, ca: Path, token: str) -> None:
        self.url = url
        self.ca = ca
        self.token = token
        self._session = requests.Session()
        # A proxy in the environment is not for 127.0.0.1.
        self._session.trust_env = False
        self._session.verify = str(ca)
        self._session.headers["Authorization"] = f"Bearer {token}"

    @classmethod
    def of(cls, kubeconfig: Path) -> Api:
        """The API server and user of a kubeconfig that a `ControlPlane` wrote.

        Raises:
            ValueError: it is another one.
        """
        try:
            content = json.loads(kubeconfig.read_text())
            server = content["clusters"][0]["cluster"]
            token = content["users"][0]["user"]["token"]
            return cls(server["server"], Path(server["certificate-authority"]), token)
        except (ValueError, KeyError):
            raise ValueError(
                f"Nodes are added to a control plane of e2e.cluster. Got: {kubeconfig}"
            ) from None

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def clone(self) -> Api:
        """The same server and user, for another thread."""
        return Api(self.url, self.ca, self.token)

    def ready(self, path: str = "/readyz") -> bool:
        """Whether a health check says ok."""
        try:
            return self._session.get(self.url + path, timeout=2).ok
        except requests.RequestException:
            return False

    def get(self, path: str, **parameters: str) -> Object:
        return self._request("GET", path, parameters)

    def create(self, path: str, body: Object) -> Object:
        return self._request("POST", path, {}, body)

    def patch(self, path: str, body: Object, content_type: str = MERGE) -> Object:
        return self._request("PATCH", path, {}, body, content_type)

    def delete(self, path: str, body: Object | None = None) -> Object:
        return self._request("DELETE", path, {}, body)

    def _request(
        self,
        method: str,
        path: str,
        parameters: dict[str, str],
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> Object:
        answer = self._session.request(
            method,
            self.url + path,
            params=parameters,
            data=None if body is None else json.dumps(body),
            headers={"Content-Type": content_type},
            timeout=REQUEST_SECONDS,
        )
        _check(answer)
        found: Object = answer.json()
        return found


def _check(answer: requests.Response) -> None:
    if answer.ok:
        return
    try:
        message = answer.json()["message"]
    except (ValueError, KeyError, TypeError):
        message = answer.text
    raise ApiError(answer.status_code, message)
