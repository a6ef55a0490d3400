"""What the operator tells Prometheus of itself."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The operator's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.reconciles = Counter(
            "greenroom_operator_reconciles",
            "Reconciles that ended, by result: done or failed.",
            ["result"],
            registry=self.registry,
        )
        self.reconcile_seconds = Histogram(
            "greenroom_operator_reconcile_seconds",
            "Time that a reconcile took.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.queue_depth = Gauge(
            "greenroom_operator_queue_depth",
            "Experiments that wait for a reconcile.",
            registry=self.registry,
        )
        self.api_requests = Counter(
            "greenroom_operator_api_requests",
            "Requests to the API server, watches apart, by verb and status code.",
            ["verb", "code"],
            registry=self.registry,
        )
        self.errors = Counter(
            "greenroom_operator_errors",
            "What went wrong, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self.experiments = Gauge(
            "greenroom_operator_experiments",
            "Experiments that are looked after, by phase.",
            ["phase"],
            registry=self.registry,
        )
        self.is_leader = Gauge(
            "greenroom_operator_is_leader",
            "1 while this process holds the Lease, or needs none.",
            registry=self.registry,
        )
        self.watch_age = Gauge(
            "greenroom_operator_watch_age_seconds",
            "Time since the API server accepted the watch that did so longest ago.",
            registry=self.registry,
        )
        self.polls = Counter(
            "greenroom_operator_progress_polls",
            "Questions to learners, by result: answered, silent or stranger.",
            ["result"],
            registry=self.registry,
        )

        # A series that begins with its first event begins at 1, and increase() misses that one.
        for counter, values in (
            (self.reconciles, ("done", "failed")),
            (self.errors, ("bug", "connection", "refused", "timeout")),
            (self.polls, ("answered", "silent", "stranger")),
        ):
            for value in values:
                counter.labels(value)

    def count_request(self, verb: str, code: str) -> None:
        """Count one request."""
        self.api_requests.labels(verb, code).inc()
