"""What can go wrong between the operator and the API server.

OperatorError
├── ApiUnavailable        no answer, or one that a later try may better (429, 5xx)
└── ApiRefused            an answer that stands (4xx)
    ├── NotFound          404
    └── Conflict          409
"""

from __future__ import annotations


class OperatorError(Exception):
    """The base of all errors of this package."""


class ApiUnavailable(OperatorError):
    """The API server gave no answer, or one that a later try may better.

    Attributes:
        reason: one word for metrics: "timeout", "connection", "429", "500".
        retry_after: seconds that the server asked to wait, None if it did not.
    """

    def __init__(self, message: str, *, reason: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after = retry_after


class ApiRefused(OperatorError):
    """The API server refused a request.

    Attributes:
        status: HTTP status.
        reason: of Kubernetes' Status object ("Invalid", "Forbidden").
    """

    def __init__(self, message: str, *, status: int, reason: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class NotFound(ApiRefused):
    """There is no such object."""


class Conflict(ApiRefused):
    """The object exists already, or is another one than the request says."""
