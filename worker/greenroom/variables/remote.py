"""The learner's service as its clients see it: parameters in, counts and evaluations out."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

import grpc

from greenroom.core import Variables
from greenroom.errors import AccessDenied, GreenroomError, LearnerUnavailable
from greenroom.variables import serving
from greenroom.variables.messages import (
    ActorOrder,
    ActorReport,
    Done,
    EvaluationOrder,
    EvaluationReport,
    VariablesHeader,
    VariablesRequest,
    decode,
    encode,
)
from greenroom.variables.snapshots import deserialize

TIMEOUT_SECONDS: Final = 10.0

Answer = TypeVar("Answer")


class Fetched(NamedTuple):
    """Variables, and which learner process they are from."""

    variables: Variables
    learner: str


class LearnerClient:
    """Calls to the learner's service, from any thread.

        with LearnerClient("127.0.0.1:8001", token) as client:
            order = client.report(ActorReport("actor-0", incarnation, 0, 0, (), 0.0, 0.0, -1, 0))
            variables = client.get_variables(newer_than=-1)

    A call fails at once where nobody listens, and after ``timeout`` seconds where nobody
    answers; to repeat it, in a second or so, is the caller's business. It never does harm:
    counts are cumulative, and an evaluation is taken once.

    Attributes:
        address: HOST:PORT of the learner's service.
        token: the run's.
        timeout: seconds for each call.

    Raises:
        ConfigurationError: the token cannot be one.
        LearnerUnavailable: by any call: the learner did not answer in time, or could not do
            what was asked (its disk is full, say); the call may be repeated.
        AccessDenied: by any call: the token is another run's.
        GreenroomError: by any call: the other side does not speak as this one does.
    """

    def __init__(self, address: str, token: str, timeout: float = TIMEOUT_SECONDS) -> None:
        self.address = address
        self.token = token
        self.timeout = timeout
        self._metadata = ((serving.AUTHORIZATION, serving.authorization(token)),)
        self._closed = False
        self._channel = grpc.insecure_channel(address, options=serving.CHANNEL_OPTIONS)
        self._get_variables: grpc.UnaryStreamMultiCallable[bytes, bytes]
        self._get_variables = self._channel.unary_stream(_path(serving.GET_VARIABLES))
        self._report = self._unary(serving.REPORT_ACTOR)
        self._next_evaluation = self._unary(serving.NEXT_EVALUATION)
        self._report_evaluation = self._unary(serving.REPORT_EVALUATION)

    def _unary(self, method: str) -> grpc.UnaryUnaryMultiCallable[bytes, bytes]:
        return self._channel.unary_unary(_path(method))

    def __enter__(self) -> LearnerClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def report(self, report: ActorReport) -> ActorOrder:
        """Report what an actor has done; return what it is to do.

        What was answered is on the learner's disk. An actor that gets no answer may go on
        with the steps that it was granted before, and report again.
        """
        return self._ask("to take a report", self._report, encode(report), ActorOrder)

    def get_variables(self, newer_than: int) -> Variables | None:
        """Return the newest variables, or None if they are not newer than that version."""
        fetched = self.fetch(newer_than, learner="")
        return None if fetched is None else fetched.variables

    def fetch(self, newer_than: int, learner: str) -> Fetched | None:
        """Return the newest variables, or None if they are not newer than that version.

        A learner process other than ``learner`` ("" for any) returns what it has: one that
        was started again goes on from a checkpoint, with a version that may be older.
        """
        request = encode(VariablesRequest(newer_than, learner))

        def receive() -> Fetched | None:
            messages = self._get_variables(request, timeout=self.timeout, metadata=self._metadata)
            first = next(messages, None)
            if first is None:
                return None
            header = decode(VariablesHeader, first)
            contents = b"".join(messages)
            if len(contents) != header.size:
                raise ValueError(f"{header.size} bytes were announced. Got: {len(contents)}.")
            return Fetched(Variables(header.version, deserialize(contents)), header.learner)

        return self._attempt("for variables", receive)

    def next_evaluation(self) -> EvaluationOrder:
        """Return what an evaluator is to do now."""
        return self._ask("what to evaluate", self._next_evaluation, b"", EvaluationOrder)

    def report_evaluation(self, report: EvaluationReport) -> None:
        """Hand over an evaluation."""
        self._ask("to take an evaluation", self._report_evaluation, encode(report), Done)

    def close(self) -> None:
        """End the calls under way, with `LearnerUnavailable`."""
        self._closed = True
        self._channel.close()

    def _ask(
        self,
        what: str,
        method: grpc.UnaryUnaryMultiCallable[bytes, bytes],
        request: bytes,
        kind: type[Answer],
    ) -> Answer:
        return self._attempt(
            what,
            lambda: decode(kind, method(request, timeout=self.timeout, metadata=self._metadata)),
        )

    def _attempt(self, what: str, call: Callable[[], Answer]) -> Answer:
        began = time.monotonic()
        try:
            return call()
        except grpc.RpcError as error:
            raise self._translate(error, what, time.monotonic() - began) from error
        except ValueError as error:
            if self._closed:  # grpc raises it for a channel that was closed
                raise LearnerUnavailable(
                    f"The client of the learner at {self.address} was closed."
                ) from error
            raise GreenroomError(
                f"{self.address} must answer as a learner of this version does. Got: {error}"
            ) from error

    def _translate(self, error: Any, what: str, waited: float) -> GreenroomError:
        """Return our error for one of grpc's."""
        code, details = error.code(), error.details()
        match code:
            case grpc.StatusCode.UNAUTHENTICATED:
                return AccessDenied(f"The learner at {self.address} denied access: {details}")
            case grpc.StatusCode.INVALID_ARGUMENT | grpc.StatusCode.UNIMPLEMENTED:
                return GreenroomError(
                    f"The learner at {self.address} must understand what it is asked, as one of "
                    f"this version does. Got: {details}"
                )
            case grpc.StatusCode.INTERNAL:
                return LearnerUnavailable(f"The learner at {self.address} failed: {details}")
        return LearnerUnavailable(
            f"The learner at {self.address} must answer within {self.timeout:g} s. It was asked "
            f"{what}. Got: {code.name.lower()} after {waited:.1f} s: {details}"
        )


def _path(method: str) -> str:
    return f"/{serving.SERVICE}/{method}"
