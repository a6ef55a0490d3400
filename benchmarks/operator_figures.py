"""What an operator's objects cost, and ours beside the others'."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.load_client import Seen
from benchmarks.operator_process import Usage

# Title, attribute of Figures, digits after the point.
ROWS = (
    ("children each", "children", 0),
    ("to all children, p50 s", "children_p50", 2),
    ("to all children, p99 s", "children_p99", 2),
    ("to ready, p50 s", "ready_p50", 2),
    ("to ready, p99 s", "ready_p99", 2),
    ("writes each", "writes", 1),
    ("of these, status", "status_writes", 1),
    ("of these, Events", "events", 1),
    ("reads each", "reads", 1),
    ("CPU each, ms", "cpu", 1),
    ("CPU a write, ms", "cpu_a_write", 2),
    ("peak resident, MiB", "peak", 0),
)


@dataclass(frozen=True)
class Figures:
    """One contestant's figures; requests and CPU time are its operator's, of one object.

    Attributes:
        name: of the contestant.
        children: objects that its operator made of most objects.
        children_p50, children_p99: seconds from an object's creation to its last child.
        ready_p50, ready_p99: seconds from an object's creation to its being ready.
        writes, reads: requests to the API server, watches apart.
        status_writes, events: of the writes.
        cpu: milliseconds.
        cpu_a_write: milliseconds.
        peak: resident memory of the operator, MiB.
    """

    name: str
    children: float
    children_p50: float
    children_p99: float
    ready_p50: float
    ready_p99: float
    writes: float
    status_writes: float
    events: float
    reads: float
    cpu: float
    cpu_a_write: float
    peak: float


def figures(name: str, seen: Seen, before: Usage, after: Usage) -> Figures:
    """The figures of all objects that were created between these two."""
    count = len(seen.created)
    to_children = [max(times) - seen.created[key] for key, times in seen.children.items()]
    to_ready = [seen.ready[key] - began for key, began in seen.created.items()]
    writes = after.writes - before.writes
    milliseconds = 1000 * (after.cpu_seconds - before.cpu_seconds)
    return Figures(
        name=name,
        children=Counter(len(times) for times in seen.children.values()).most_common(1)[0][0],
        children_p50=percentile(to_children, 0.5),
        children_p99=percentile(to_children, 0.99),
        ready_p50=percentile(to_ready, 0.5),
        ready_p99=percentile(to_ready, 0.99),
        writes=writes / count,
        status_writes=(after.status_writes - before.status_writes) / count,
        events=(after.events - before.events) / count,
        reads=(after.reads - before.reads) / count,
        cpu=milliseconds / count,
        cpu_a_write=milliseconds / writes,
        peak=after.peak_mebibytes,
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all are below."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def table(ours: Figures, peers: Sequence[Figures]) -> str:
    """A row a figure; after each peer's, ours divided by theirs."""
    heading = ["", ours.name]
    for peer in peers:
        heading += [peer.name, "ratio"]
    rows = [heading]
    for title, attribute, digits in ROWS:
        mine: float = getattr(ours, attribute)
        row = [title, f"{mine:.{digits}f}"]
        for peer in peers:
            theirs: float = getattr(peer, attribute)
            row += [f"{theirs:.{digits}f}", f"{mine / theirs:.2f}" if theirs else "-"]
        rows.append(row)
    rows.insert(1, ["---" for _ in heading])
    widths = [max(len(row[column]) for row in rows) for column in range(len(heading))]
    return "\n".join(_line(row, widths) for row in rows)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
    return f"| {first.strip().ljust(widths[0])} | {' | '.join(others)} |"
