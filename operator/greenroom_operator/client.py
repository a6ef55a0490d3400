"""Requests to the API server: plain dicts in and out, each with a deadline.

The Kubernetes client loads and refreshes credentials; requests go through one aiohttp
session, since typed models cost more than everything else that a reconcile does.

    async with connected() as api:
        await api.apply(DEPLOYMENT, manifest)
        async for version, page in api.list(POD, None, selector="app=x"):
            ...
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from kubernetes.aio import config as kubernetes_config
from kubernetes.aio.client import Configuration

from greenroom_operator.errors import ApiRefused, ApiUnavailable, Conflict, NotFound, OperatorError
from greenroom_operator.kinds import Kind
from greenroom_operator.names import FIELD_MANAGER

REQUEST_SECONDS: Final = 15.0
LIST_SECONDS: Final = 60.0
# Objects come with all of their fields, ten times as large as what is kept of them.
PAGE: Final = 50
# A server that asks for more patience than this is asked again by the next reconcile.
LONGEST_RETRY_AFTER: Final = 2.0
THROTTLED_TRIES: Final = 3
# Requests under way at the same time.
CONNECTIONS: Final = 64
# How JSON escapes a character beyond the first 65,536, such as most emoji.
_PAIR: Final = re.compile(r"\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}")

Object = dict[str, Any]
Count = Callable[[str, str], None]
"""Takes the verb and the code ("201", or a word if there was no answer) of each request."""


class Api:
    """The API server. Objects are plain dicts.

    Every method raises `ApiUnavailable` or `ApiRefused`.
    """

    def __init__(
        self, configuration: Configuration, session: aiohttp.ClientSession, count: Count
    ) -> None:
        self._configuration = configuration
        self._session = session
        self._count = count

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """Return an object; raise NotFound if there is none."""
        return await self.request("GET", kind.path(namespace, name))

    async def metadata(self, kind: Kind, namespace: str, name: str) -> Object:
        """Return the metadata of an object; raise NotFound if there is none."""
        answer = await self.request(
            "GET",
            kind.path(namespace, name),
            accept="application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
        )
        metadata: Object = answer["metadata"]
        return metadata

    async def list(
        self, kind: Kind, namespace: str | None, *, selector: str = ""
    ) -> AsyncIterator[tuple[int, list[Object]]]:
        """Yield all objects, page by page, each with the resource version of the list."""
        query = {"limit": str(PAGE)} | ({"labelSelector": selector} if selector else {})
        while True:
            answer = await self.request(
                "GET", kind.path(namespace), query=query, seconds=LIST_SECONDS, verb="list"
            )
            yield int(answer["metadata"]["resourceVersion"]), answer["items"]
            token = answer["metadata"].get("continue")
            if not token:
                return
            query["continue"] = token

    async def create(self, kind: Kind, manifest: Mapping[str, Any]) -> Object:
        """Create an object; raise Conflict if it is there already."""
        path = kind.path(manifest["metadata"]["namespace"])
        return await self.request("POST", path, manifest, query={"fieldManager": FIELD_MANAGER})

    async def apply(self, kind: Kind, manifest: Mapping[str, Any]) -> Object:
        """Create or change an object by server-side apply; unknown fields are refused."""
        metadata = manifest["metadata"]
        return await self.request(
            "PATCH",
            kind.path(metadata["namespace"], metadata["name"]),
            manifest,
            query={"fieldManager": FIELD_MANAGER, "force": "true", "fieldValidation": "Strict"},
            content_type="application/apply-patch+yaml",
            verb="apply",
        )

    async def merge(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        patch: Mapping[str, Any],
        *,
        subresource: str = "",
    ) -> Object:
        """Change an object by a JSON merge patch (RFC 7396)."""
        return await self.request(
            "PATCH",
            kind.path(namespace, name, subresource),
            patch,
            query={"fieldManager": FIELD_MANAGER},
            content_type="application/merge-patch+json",
        )

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str) -> None:
        """Delete this very object, its dependents in the background; fine if it is gone."""
        options = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        try:
            await self.request("DELETE", kind.path(namespace, name), options)
        except (NotFound, Conflict):
            return  # somebody was faster, or it is another object by now

    async def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        seconds: float = REQUEST_SECONDS,
        verb: str | None = None,
    ) -> Object:
        """Make one request; wait and try again if the server is busy and says for how long."""
        headers = {"Content-Type": content_type, "Accept": accept}
        data = None if body is None else _encode(body)
        for tries_left in reversed(range(THROTTLED_TRIES)):
            try:
                return await self._once(
                    method, path, data, query, headers, seconds, verb or method.lower()
                )
            except ApiUnavailable as error:
                wait = error.retry_after
                if wait is None or wait > LONGEST_RETRY_AFTER or not tries_left:
                    raise
                await asyncio.sleep(wait)
        raise AssertionError("the last try returns or raises")

    async def _once(
        self,
        method: str,
        path: str,
        data: bytes | None,
        query: Mapping[str, str] | None,
        headers: dict[str, str],
        seconds: float,
        verb: str,
    ) -> Object:
        headers |= await credentials(self._configuration)
        code = "cancelled"
        try:
            async with self._session.request(
                method,
                self._configuration.host + path,
                params=query,
                data=data,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=seconds),
            ) as response:
                text = await response.read()
                code = str(response.status)
                if response.status < 300:
                    return _parsed(text, method, path)
                raise _error(response, text, method, path)
        except TimeoutError as error:
            code = "timeout"
            message = f"{method} {path} must be answered within {seconds:g} s. Got: no answer."
            raise ApiUnavailable(message, reason=code) from error
        except (aiohttp.ClientError, OSError) as error:
            code = "connection"
            raise ApiUnavailable(f"{method} {path}: {error}", reason=code) from error
        finally:
            self._count(verb, code)


@asynccontextmanager
async def connected(count: Count = lambda verb, code: None) -> AsyncIterator[Api]:
    """Connect as a pod does inside one, else by ``KUBECONFIG``, else ``~/.kube/config``.

    Raises:
        OperatorError: there is no configuration, or it cannot be read.
    """
    configuration = await load_configuration()
    async with open_session(configuration) as session:
        yield Api(configuration, session, count)


async def load_configuration(kubeconfig: str | None = None) -> Configuration:
    """Return where the API server is and how to log in there.

    Args:
        kubeconfig: path; without it as `connected` says.

    Raises:
        OperatorError: there is no configuration, or it cannot be read.
    """
    configuration = Configuration()
    try:
        if kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ:
            kubernetes_config.load_incluster_config(client_configuration=configuration)
        else:
            await kubernetes_config.load_kube_config(kubeconfig, client_configuration=configuration)
    except (kubernetes_config.ConfigException, OSError) as error:
        raise OperatorError(
            f"The operator needs a service account or a kubeconfig that works. Got: {error}"
        ) from error
    configuration.host = configuration.host.rstrip("/")
    return configuration


async def credentials(configuration: Configuration) -> dict[str, str]:
    """Return the headers that log in; tokens of pods and of plugins are renewed by this."""
    token = await configuration.get_api_key_with_prefix("BearerToken")
    return {"Authorization": token} if token else {}


def open_session(
    configuration: Configuration,
    *,
    headers: Mapping[str, str] | None = None,
    traces: list[aiohttp.TraceConfig] | None = None,
    connections: int = CONNECTIONS,
) -> aiohttp.ClientSession:
    """Return a session that trusts, and is trusted by, the configured API server.

    Args:
        configuration: where that is.
        headers, traces: of all its requests.
        connections: at the same time, at the most; 0 for any number.
    """
    context = ssl.create_default_context(
        cafile=configuration.ssl_ca_cert, cadata=configuration.ca_cert_data
    )
    # Authorities of clusters often lack the extensions that Python 3.13 has begun to demand.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, ssl=context),
        headers={"User-Agent": FIELD_MANAGER, **(headers or {})},
        proxy=configuration.proxy or _proxy_of_environment(configuration.host),
        read_bufsize=2**21,
        trace_configs=traces,
    )


def _proxy_of_environment(url: str) -> str | None:
    """Return the proxy for a URL; aiohttp would look it up, in a thread, at each request."""
    parts = urlsplit(url)
    if parts.hostname is None or proxy_bypass(parts.hostname):
        return None
    return getproxies().get(parts.scheme)


def _parsed(text: bytes, method: str, path: str) -> Object:
    try:
        answer: Object = json.loads(text)
    except ValueError as error:
        message = f"{method} {path} must be answered in JSON. Got: {text[:80]!r}."
        raise ApiUnavailable(message, reason="garbled") from error
    return answer


def _encode(body: Mapping[str, Any]) -> bytes:
    """Return JSON that a reader of YAML takes, too, as that of server-side apply is one.

    It knows no surrogate pairs and, unlike JSON, wants other special characters escaped.
    """
    text = json.dumps(body, separators=(",", ":"))
    return _PAIR.sub(lambda pair: str(json.loads(f'"{pair[0]}"')), text).encode()


def _error(
    response: aiohttp.ClientResponse, text: bytes, method: str, path: str
) -> ApiUnavailable | ApiRefused:
    try:
        answer = json.loads(text)
        reason, message = str(answer.get("reason", "")), str(answer.get("message", ""))
    except (ValueError, AttributeError):
        reason, message = "", text[:200].decode(errors="replace")
    status = response.status
    if status == 429 or status >= 500:
        seconds = response.headers.get("Retry-After", "")
        return ApiUnavailable(
            f"{method} {path}: {status} {message or response.reason}",
            reason=str(status),
            retry_after=float(seconds) if seconds.isdecimal() else None,
        )
    kind = {404: NotFound, 409: Conflict}.get(status, ApiRefused)
    return kind(message or f"{method} {path}: {status}", status=status, reason=reason)
