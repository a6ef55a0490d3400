"""A contestant's operator as a process, and what it uses: the same for each of them.

    operator = Operator(contestant, plane, user)
    operator.start()
    before = operator.usage()

CPU time and memory are what Linux says of the process (`/proc`). Requests are counted in the
API server's audit log, by the user who made them: operators' own counts would differ in what
they count.
"""

from __future__ import annotations

import http.client
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load_client import NAMESPACE
from benchmarks.operator_contestants import Contestant
from e2e.cluster.cluster import Cluster
from e2e.cluster.commands import ADDRESS
from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.processes import Component, free_port

ACCOUNT = "contestant"
USER = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
READS = frozenset({"get", "list"})


@dataclass(frozen=True)
class Usage:
    """What an operator has used since it began; requests are those that were answered.

    Writes are all of them; those of statuses and Events are also counted by themselves.
    """

    cpu_seconds: float
    peak_mebibytes: float
    writes: int
    status_writes: int
    events: int
    reads: int


class Operator(Component):
    """A contestant's operator; `make_account` comes first."""

    def __init__(self, contestant: Contestant, plane: ControlPlane) -> None:
        assert plane.cluster.audit_log, "requests are counted in the audit log"
        self._port = free_port()
        kubeconfig = plane.cluster.kubeconfig_for(NAMESPACE, ACCOUNT)
        super().__init__(
            "operator",
            contestant.command(kubeconfig, self._port, plane.folder),
            plane.folder / "operator.log",
            self.ready,
        )
        self._requests = Requests(plane.cluster.audit_log, USER)

    def ready(self) -> bool:
        try:
            self.get("/readyz")
        except (OSError, http.client.HTTPException):
            return False
        return True

    def get(self, path: str) -> str:
        """What it answers at its port.

        Raises:
            HTTPException: another status than 200.
        """
        connection = http.client.HTTPConnection(ADDRESS, self._port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status != 200:
            raise http.client.HTTPException(f"{path}: {answer.status} {text}")
        return text

    def usage(self) -> Usage:
        stat = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(stat[11]) + int(stat[12])
        status = Path(f"/proc/{self.pid}/status").read_text()
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        requests = self._requests.count()
        return Usage(
            cpu_seconds=ticks / os.sysconf("SC_CLK_TCK"),
            peak_mebibytes=int(peak.split()[1]) / 1024,
            writes=requests.total() - requests["reads"],
            status_writes=requests["status"],
            events=requests["events"],
            reads=requests["reads"],
        )


def make_account(cluster: Cluster) -> None:
    """The ServiceAccount of every operator: it may do anything."""
    kubectl = cluster.kubectl(NAMESPACE)
    kubectl("create", "serviceaccount", ACCOUNT)
    subject = f"--serviceaccount={NAMESPACE}:{ACCOUNT}"
    kubectl("create", "clusterrolebinding", ACCOUNT, "--clusterrole=cluster-admin", subject)


class Requests:
    """One user's requests in an audit log from now on."""

    def __init__(self, log: Path, user: str) -> None:
        self._log, self._user = log, user
        self._position = log.stat().st_size
        self._counted: Counter[str] = Counter()

    def count(self) -> Counter[str]:
        """Reads, writes of statuses, of Events and of what else there is; watches apart."""
        with self._log.open("rb") as log:
            log.seek(self._position)
            lines = log.read()
        # The last line may still be being written.
        whole = lines.rfind(b"\n") + 1
        self._position += whole
        self._counted.update(requests_of(self._user, lines[:whole].splitlines()))
        return self._counted.copy()


def requests_of(user: str, lines: Iterable[bytes]) -> Iterator[str]:
    """Yield what each request of a user is for, of lines of an audit log, watches apart."""
    for event in map(json.loads, lines):
        if event["stage"] != "ResponseComplete" or event["user"]["username"] != user:
            continue
        what = event.get("objectRef", {})
        if event["verb"] in READS:
            yield "reads"
        elif event["verb"] != "watch":
            is_event = what.get("resource") == "events"
            yield "events" if is_event else what.get("subresource", "children")
