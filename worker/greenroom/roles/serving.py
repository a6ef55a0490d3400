"""What the processes of a run have in common: a stop request, an endpoint, a token."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from greenroom.errors import ConfigurationError
from greenroom.observability.endpoint import Endpoint
from greenroom.roles import settings
from greenroom.roles.lifetime import RoleStop, stop_requested

logger = logging.getLogger(__name__)

# Libraries, a GPU, a large model, a checkpoint on a slow disk: all before the main loop turns.
START_SECONDS: Final = 15 * 60.0


class Labelled(NamedTuple):
    """Numbers of one metric, by the value of a label: ``state``, ``{"starting": 1.0, ...}``."""

    label: str
    values: Mapping[str, float]


Status = Callable[[], Mapping[str, Any]]
Figures = Callable[[], Mapping[str, float | Labelled]]


class RoleContext:
    """The process around a role.

        with role_context("actor-0", "127.0.0.1", 8080, follow_stdin=False) as context:
            context.observe(role.status, role.figures)
            while not context.stop:
                context.alive()
                ...

    Attributes:
        stop: true once somebody asked to stop.
        token: the run's.
        registry: of its metrics.
    """

    def __init__(self, name: str, host: str, http_port: int, stop: RoleStop, token: str) -> None:
        self.stop = stop
        self.token = token
        self._status: Status = lambda: {"state": "starting"}
        self._figures: Figures = dict
        self._routes: dict[str, Callable[[], object]] = {}
        self.registry = CollectorRegistry()
        self._endpoint = Endpoint(
            host,
            http_port,
            role=name,
            registry=self.registry,
            status=lambda: self._status(),
            routes=self._routes,
        )
        self._endpoint.alive(START_SECONDS)
        logger.info("status and metrics are at http://%s:%d", host, self._endpoint.port)
        self.registry.register(FiguresCollector(lambda: self._figures()))
        ProcessCollector(registry=self.registry)

    def observe(self, status: Status, figures: Figures) -> None:
        """Have the endpoint show these from now on.

        Args:
            status: JSON values for ``/status``; "state" and "detail" are for people.
            figures: numbers for ``/metrics``, by metric name; ``_total`` are counters.
        """
        self._status, self._figures = status, figures

    def route(self, path: str, answer: Callable[[], object]) -> None:
        """Answer a request for ``path`` with what ``answer`` returns, as JSON."""
        self._routes[path] = answer

    def alive(self, seconds: float | None = None) -> None:
        """Say that the main loop turns, and how long its next turn may take if that is long."""
        self._endpoint.alive(seconds)

    def ready(self, reason: str | None = None) -> None:
        """Say that the role does what it is for, or why it does not."""
        self._endpoint.ready(reason)

    def close(self) -> None:
        """Stop answering."""
        self._endpoint.close()


def run_token() -> str:
    """Return the run's token.

    Raises:
        ConfigurationError: it is not in the environment.
    """
    token = os.environ.get(settings.TOKEN, "")
    if not token:
        raise ConfigurationError(
            f"The processes of a run share a secret in ${settings.TOKEN}. Got: it is not set."
        )
    return token


@contextmanager
def role_context(
    name: str, host: str, http_port: int, *, follow_stdin: bool
) -> Iterator[RoleContext]:
    """Take signals, and serve the endpoint, while the role runs.

    Raises:
        ConfigurationError: the run's token is not in the environment.
    """
    token = run_token()
    with stop_requested(follow_stdin=follow_stdin) as stop:
        context = RoleContext(name, host, http_port, stop, token)
        try:
            yield context
        finally:
            context.close()


class FiguresCollector(Collector):
    """Numbers as Prometheus' metrics, read when it asks; see `RoleContext.observe`."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        for name, value in self._figures().items():
            help_text = name.removeprefix("greenroom_").removesuffix("_total").replace("_", " ")
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            if not isinstance(value, Labelled):
                yield kind(name, help_text, value)
                continue
            family = kind(name, help_text, labels=[value.label])
            for label, number in value.values.items():
                family.add_metric([label], number)
            yield family
