"""What the replay role tells of its tables: as JSON for ``/status``, and for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from greenroom.replay.tables import NO_LIMIT, TableInfo

if TYPE_CHECKING:
    from greenroom.replay.server import ServedTable

Tables = Mapping[str, "ServedTable"]

_COUNTERS: dict[str, tuple[str, Callable[[TableInfo], float]]] = {
    "inserts": ("Items inserted since the table began.", lambda table: table.inserts),
    "samples": ("Items sampled since the table began.", lambda table: table.samples),
    "deletes": ("Items that left since the table began.", lambda table: table.deletes),
}
_GAUGES: dict[str, tuple[str, Callable[[TableInfo], float]]] = {
    "items": ("Items in the table.", lambda table: table.size),
    "max_items": ("Items at most.", lambda table: table.max_size),
    "limiter_samples_per_insert": (
        "Samples that the limiter lets one insert pay for.",
        lambda table: table.samples_per_insert,
    ),
    "limiter_min_items": ("Items before the first sample.", lambda table: table.min_size),
    "limiter_diff": ("Samples that are paid for and not taken.", lambda table: table.diff),
    "limiter_min_diff": ("Below this, samples wait.", lambda table: _bound(table.min_diff)),
    "limiter_max_diff": ("Above this, inserts wait.", lambda table: _bound(table.max_diff)),
}


class TablesCollector(Collector):
    """Makes metrics of the newest state of the tables, at each scrape.

    Args:
        tables: returns that state, by the tables' names.
    """

    def __init__(self, tables: Callable[[], Tables]) -> None:
        self._tables = tables

    def collect(self) -> Iterator[Metric]:
        """Yield ``greenroom_replay_*``, labelled by table."""
        tables = self._tables()
        for name, (text, value) in _COUNTERS.items():
            counter = CounterMetricFamily(f"greenroom_replay_{name}", text, labels=["table"])
            for table, served in tables.items():
                counter.add_metric([table], value(served.table))
            yield counter
        for name, (text, value) in _GAUGES.items():
            gauge = GaugeMetricFamily(f"greenroom_replay_{name}", text, labels=["table"])
            for table, served in tables.items():
                gauge.add_metric([table], value(served.table))
            yield gauge
        seconds = CounterMetricFamily(
            "greenroom_replay_worker_seconds",
            "Time of the table's worker, by what it did or waited for.",
            labels=["table", "state"],
        )
        for table, served in tables.items():
            for state, spent in served.worker_seconds.items():
                seconds.add_metric([table, state], spent)
        yield seconds


def tables_status(tables: Tables) -> dict[str, Any]:
    """Return the tables' state as JSON values; a bound that is none is null."""
    return {name: _table_status(served) for name, served in tables.items()}


def tables_detail(tables: Tables) -> str:
    """Say in a few words what is in the tables."""
    return ", ".join(
        f"{name}: {served.table.size:,} items, {_samples_per_insert(served.table) or 0:.3g} "
        "samples per insert"
        for name, served in tables.items()
    )


def _table_status(served: ServedTable) -> dict[str, Any]:
    table = served.table
    return {
        "size": table.size,
        "maxSize": table.max_size,
        "inserts": table.inserts,
        "samples": table.samples,
        "deletes": table.deletes,
        "samplesPerInsert": _samples_per_insert(table),
        "limiter": {
            "samplesPerInsert": table.samples_per_insert,
            "minSize": table.min_size,
            "diff": table.diff,
            "minDiff": None if abs(table.min_diff) == NO_LIMIT else table.min_diff,
            "maxDiff": None if abs(table.max_diff) == NO_LIMIT else table.max_diff,
        },
        "workerSeconds": {
            _camel(state): round(seconds, 3) for state, seconds in served.worker_seconds.items()
        },
    }


def _samples_per_insert(table: TableInfo) -> float | None:
    return table.samples / table.inserts if table.inserts else None


def _bound(value: float) -> float:
    return value if abs(value) < NO_LIMIT else value * float("inf")


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
