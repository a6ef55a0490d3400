"""The gRPC side of the learner's service: methods on bytes, the run's token, deadlines, errors."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import grpc

from greenroom.errors import ConfigurationError, GreenroomError
from greenroom.ports import check_port_is_free

SERVICE: Final = "greenroom.v1alpha1.Learner"
GET_VARIABLES: Final = "GetVariables"
REPORT_ACTOR: Final = "ReportActor"
NEXT_EVALUATION: Final = "NextEvaluation"
REPORT_EVALUATION: Final = "ReportEvaluation"
APPEND_LOG: Final = "AppendLog"

AUTHORIZATION: Final = "authorization"
"""Key of the token in a call's metadata."""

THREADS: Final = 16
"""Calls that are answered at a time; others queue. A poll with nothing newer takes a
fraction of a millisecond, a report an fsync, a model what the network takes. A client that
stops reading holds a thread until its deadline, which every call must have."""

LONGEST_DEADLINE: Final = 600.0
"""Seconds that a call may ask for."""

MAX_DETAILS: Final = 1_000
"""Characters of an error: they travel in a header."""

CLOSE_SECONDS: Final = 0.5

CHANNEL_OPTIONS: Final = [
    ("grpc.max_receive_message_length", -1),
    # A proxy of the network's does not know the addresses of a run.
    ("grpc.enable_http_proxy", 0),
    # Clients would share one connection otherwise, and a report wait for a model.
    ("grpc.use_local_subchannel_pool", 1),
    # A learner that was started again is found within a second, at another address too.
    ("grpc.initial_reconnect_backoff_ms", 100),
    # A try gets so long; the usual 20 s are lost where a lost node swallows what it is sent.
    ("grpc.min_reconnect_backoff_ms", 2_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
]

Answer = TypeVar("Answer")


def authorization(token: str) -> str:
    """Return what a call's metadata must say.

    Raises:
        ConfigurationError: a header cannot carry the token.
    """
    if not token or not all("!" <= character <= "~" for character in token):
        raise ConfigurationError(
            "A run's token must be printable ASCII without spaces, one character at least. "
            f"Got: {len(token)} characters."  # and no more of it: errors end up in logs
        )
    return f"Bearer {token}"


class GrpcServer:
    """A server that is running, until it is closed.

    Attributes:
        port: where it listens.

    Args:
        host: the address to listen on: "127.0.0.1", or "[::]" for all.
        port: 0 for any that is free.
        token: a call without it is refused (UNAUTHENTICATED).
        unary: functions from a request to its answer, by method.
        streaming: functions from a request to the messages of its answer, by method.
            A `ValueError` of a function tells the caller that the request is wrong
            (INVALID_ARGUMENT), a `GreenroomError` that the learner is in trouble (INTERNAL).

    Raises:
        ConfigurationError: the token cannot be one, or the address is not this machine's.
        GreenroomError: somebody listens on the port.
    """

    def __init__(
        self,
        host: str,
        port: int,
        token: str,
        unary: Mapping[str, Callable[[bytes], bytes]],
        streaming: Mapping[str, Callable[[bytes], Iterator[bytes]]],
    ) -> None:
        expected = authorization(token).encode()
        methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        for name, function in unary.items():
            methods[name] = grpc.unary_unary_rpc_method_handler(_guarded(function, expected))
        for name, stream in streaming.items():
            methods[name] = grpc.unary_stream_rpc_method_handler(_guarded(stream, expected))
        # Two learners on one port would each get half of the calls.
        check_port_is_free(port, "The learner's service")
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="learner-service")
        self._server = grpc.server(
            self._executor,
            handlers=[grpc.method_handlers_generic_handler(SERVICE, methods)],
            # A launcher keeps the port over restarts with a socket that never listens.
            options=[("grpc.so_reuseport", 1), ("grpc.max_send_message_length", -1)],
        )
        try:
            self.port: int = self._server.add_insecure_port(f"{host}:{port}")
        except RuntimeError as error:
            raise ConfigurationError(
                f"The learner's service must have an address of its own. Got: {host}:{port}, "
                "which is taken or not of this machine."
            ) from error
        self._server.start()

    def close(self) -> None:
        """Stop listening; what is being answered gets half a second more."""
        self._server.stop(grace=CLOSE_SECONDS).wait(timeout=2 * CLOSE_SECONDS)
        self._executor.shutdown()


def _guarded(
    function: Callable[[bytes], Answer], expected: bytes
) -> Callable[[bytes, grpc.ServicerContext], Answer]:
    def handle(request: bytes, context: grpc.ServicerContext) -> Answer:
        _check_call(context, expected)
        try:
            return function(request)
        except ValueError as error:
            code, details = grpc.StatusCode.INVALID_ARGUMENT, str(error)
        except GreenroomError as error:
            code, details = grpc.StatusCode.INTERNAL, str(error)
        context.abort(code, details[:MAX_DETAILS])

    return handle


def _check_call(context: grpc.ServicerContext, expected: bytes) -> None:
    got = str(dict(context.invocation_metadata()).get(AUTHORIZATION, ""))
    if not hmac.compare_digest(got.encode(), expected):
        context.abort(
            grpc.StatusCode.UNAUTHENTICATED,
            f"A call must carry the run's token. Got: {'another one' if got else 'none'}.",
        )
    remaining = context.time_remaining()
    if remaining is None or remaining > LONGEST_DEADLINE:
        context.abort(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"A call must have a deadline within {LONGEST_DEADLINE:.0f} seconds. Got: {remaining}.",
        )
