"""The dashboard of the operator."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from charts.dashboards.panels import (
    BYTES,
    PER_SECOND,
    SECONDS,
    Query,
    figure,
    make_dashboard,
    series,
    variable,
)

OPERATOR = 'namespace="$namespace"'


def of(metric: str, matchers: str = "") -> str:
    """Return a selector of the operator's series of a metric."""
    return f"greenroom_operator_{metric}{{{OPERATOR}{', ' if matchers else ''}{matchers}}}"


def rate(metric: str, by: str = "") -> str:
    """Return the rate of one of the operator's counters, summed over its replicas."""
    summed = f"sum by ({by})" if by else "sum"
    return f"{summed} (rate({of(metric)}[$__rate_interval]))"


def process(metric: str) -> str:
    """Return a selector of the operator's own processes; others have such series too."""
    return f"{metric}{{{OPERATOR}}} and on (pod) {of('is_leader')}"


def operator_dashboard() -> Dashboard:
    """Return it."""
    return make_dashboard(
        "Greenroom / Operator",
        "greenroom-operator",
        "Whether the operator keeps up, what it asks of the API server, and what goes wrong.",
        variables=[
            variable(
                "namespace",
                "label_values(greenroom_operator_is_leader, namespace)",
                "Namespace",
            )
        ],
        rows={"Now": _NOW, "Reconciles": _RECONCILES, "API server": _API, "Process": _PROCESS},
    )


def _quantile(share: float) -> str:
    seconds = rate("reconcile_seconds_bucket", by="le")
    return f"histogram_quantile({share:g}, {seconds})"


_NOW = [
    figure(
        "Leader",
        "The replica that holds the Lease.",
        Query(f"{of('is_leader')} == 1", "{{pod}}"),
        name=True,
    ),
    figure(
        "Experiments", "That are looked after.", Query(f"sum({of('experiments')}) or vector(0)")
    ),
    figure(
        "Failed",
        "Experiments that have failed for good.",
        Query(f"""sum({of("experiments", 'phase="Failed"')}) or vector(0)"""),
    ),
    figure(
        "Degraded",
        "Experiments that go on with less than they ask for.",
        Query(f"""sum({of("experiments", 'phase="Degraded"')}) or vector(0)"""),
    ),
    figure("Queue", "Experiments that wait for a reconcile.", Query(f"sum({of('queue_depth')})")),
    figure(
        "Oldest watch",
        "Time since the API server accepted the watch that did so longest ago.",
        Query(f"max({of('watch_age_seconds')})"),
        unit=SECONDS,
    ),
]

_RECONCILES = [
    series(
        "Experiments by phase",
        "That are looked after.",
        Query(f"sum by (phase) ({of('experiments')})", "{{phase}}"),
    ),
    series(
        "Reconciles",
        "Per second, by how they ended.",
        Query(rate("reconciles_total", by="result"), "{{result}}"),
        unit=PER_SECOND,
    ),
    series(
        "Time of a reconcile",
        "Half of them take less than the median; one in a hundred takes longer than p99.",
        Query(_quantile(0.5), "median"),
        Query(_quantile(0.99), "p99"),
        unit=SECONDS,
    ),
    series("Queue", "Experiments that wait for a reconcile.", Query(of("queue_depth"), "{{pod}}")),
    series(
        "Errors",
        "Per second, by reason.",
        Query(rate("errors_total", by="reason"), "{{reason}}"),
        unit=PER_SECOND,
    ),
    series(
        "Learners asked",
        "Questions for progress per second, by what came of them.",
        Query(rate("progress_polls_total", by="result"), "{{result}}"),
        unit=PER_SECOND,
    ),
]

_API = [
    series(
        "Requests",
        "Per second, watches apart, by verb. At rest there is nothing but the Lease.",
        Query(rate("api_requests_total", by="verb"), "{{verb}}"),
        unit=PER_SECOND,
    ),
    series(
        "Answers",
        "Per second, by status code.",
        Query(rate("api_requests_total", by="code"), "{{code}}"),
        unit=PER_SECOND,
    ),
    series(
        "Age of the oldest watch",
        "It falls when a watch is opened again, which happens every two minutes.",
        Query(of("watch_age_seconds"), "{{pod}}"),
        unit=SECONDS,
    ),
]

_PROCESS = [
    series("Leader", "1 while a replica holds the Lease.", Query(of("is_leader"), "{{pod}}")),
    series(
        "CPU",
        "Cores in use.",
        Query(
            f"rate(process_cpu_seconds_total{{{OPERATOR}}}[$__rate_interval]) "
            f"and on (pod) {of('is_leader')}",
            "{{pod}}",
        ),
    ),
    series("Memory", "Resident.", Query(process("process_resident_memory_bytes"), "{{pod}}"),
           unit=BYTES),
]  # fmt: skip
