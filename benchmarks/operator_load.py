"""What the operator costs: many experiments on a real control plane, nodes and pods by kwok.

    python -m benchmarks.operator_load                     # 60 at 2/s
    python -m benchmarks.operator_load --experiments 1000 --rate 1000

Prints, for each experiment: seconds from its creation to its last child and to Ready, the
operator's writes and CPU time; its peak of memory; CPU time and requests at rest; the time
that a restarted operator takes to agree with the cluster, and that deletion takes. Beside
them stand KubeRay 1.6.2 and JobSet 0.12.0 on two cores, where they were measured.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.load_client import NAMESPACE, LoadClient, Seen
from e2e.cluster.cluster import Kubectl, KubectlError
from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.processes import wait_until
from greenroom_api.crd import custom_resource_definition
from greenroom_operator.client import credentials, load_configuration, open_session
from greenroom_operator.kinds import CHILDREN, EXPERIMENT, POD_MONITOR, SECRET

WAIT_SECONDS = 900.0
NODES = 20
LEAN = ("--no-network-policies", "--no-pod-disruption-budgets", "--no-pod-monitors")
# Peers' figures: writes and CPU milliseconds an object, p99 to children and to Ready at 2/s.
PEERS = {"KubeRay 1.6.2": (11.3, 35.0, 0.10, 0.20), "JobSet 0.12.0": (7.8, 27.0, 0.20, 1.20)}


def experiment(name: str) -> dict[str, Any]:
    return {
        "apiVersion": EXPERIMENT.api_version,
        "kind": EXPERIMENT.kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "environment": {"gymnasium": {"id": "CartPole-v1"}},
            "agent": {"dqn": {}},
            "actors": {"replicas": 2},
            "stop": {"environmentSteps": 200_000},
        },
    }


@dataclass
class Usage:
    """What the operator has used since it began."""

    cpu_seconds: float
    peak_mebibytes: float
    writes: float
    reads: float
    errors: float
    reconciles: float


class Operator:
    """The operator as a process."""

    def __init__(self, kubeconfig: Path, log: Path, flags: tuple[str, ...]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.began = time.perf_counter()
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "greenroom_operator", "--no-leader-elect"),
                    *("--http-port", str(self._port), "--log-level", "warning"),
                    *("--progress-via", "pods", *flags),
                ],
                env=os.environ | {"KUBECONFIG": str(kubeconfig)},
                stderr=output,
            )

    def usage(self) -> Usage:
        stat = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(stat[11]) + int(stat[12])
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        text = self._get("/metrics")
        requests: Counter[str] = Counter()
        for line in text.splitlines():
            if line.startswith("greenroom_operator_api_requests_total"):
                verb = line.partition('verb="')[2].partition('"')[0]
                requests[verb] += int(float(line.rpartition(" ")[2]))
        reads = requests["get"] + requests["list"]
        return Usage(
            cpu_seconds=ticks / os.sysconf("SC_CLK_TCK"),
            peak_mebibytes=int(peak.split()[1]) / 1024,
            writes=requests.total() - reads,
            reads=reads,
            errors=_sum(text, "greenroom_operator_errors_total"),
            reconciles=_sum(text, "greenroom_operator_reconciles_total"),
        )

    def ready(self) -> bool:
        try:
            return self._get("/readyz") == "ready\n"
        except OSError:
            return False

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=5) as answer:
            return str(answer.read().decode())


def _sum(text: str, metric: str) -> float:
    lines = (line for line in text.splitlines() if line.startswith(metric))
    return sum(float(line.rpartition(" ")[2]) for line in lines)


async def until(condition: Any, what: str) -> float:
    began = time.perf_counter()
    while not condition():
        if time.perf_counter() - began > WAIT_SECONDS:
            raise TimeoutError(f"{what} must happen within {WAIT_SECONDS:g} s")
        await asyncio.sleep(0.05)
    return time.perf_counter() - began


def percentiles(values: list[float]) -> str:
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return f"{ordered[len(ordered) // 2]:7.2f} {p99:7.2f}"


@contextmanager
def operator(plane: ControlPlane, log: Path, flags: tuple[str, ...]) -> Iterator[Operator]:
    process = Operator(plane.cluster.kubeconfig, log, flags)
    try:
        yield process
    finally:
        process.stop()


async def load(plane: ControlPlane, arguments: argparse.Namespace, log: Path) -> None:
    configuration = await load_configuration(str(plane.cluster.kubeconfig))
    headers = await credentials(configuration)
    flags = LEAN if arguments.lean else ()
    async with (
        open_session(configuration, headers=headers) as session,
        asyncio.TaskGroup() as tasks,
    ):
        client = LoadClient(plane.url, session)
        await client.create_pods(arguments.foreign_pods)
        kinds = [EXPERIMENT, SECRET, *(kind for kind in CHILDREN if kind is not POD_MONITOR)]
        watches = [tasks.create_task(client.watch(kind)) for kind in kinds]
        with operator(plane, log, flags) as process:
            await until(process.ready, "the operator is ready")
            await warm_up(client)
            await create(client, process, arguments)
            await rest(process, arguments)
        with operator(plane, log, flags) as process:
            await restart(process, arguments)
            await delete(client, process)
        for watch in watches:
            watch.cancel()


async def warm_up(client: LoadClient) -> None:
    """Begin with a cluster that has served all that is measured: a new CRD's first takes 2 s."""
    await client.create([experiment("warm")], 1.0)
    await until(lambda: client.seen.ready, "the first is ready")
    await forget(client)


async def forget(client: LoadClient) -> None:
    """Delete all, wait until nothing is left, and forget that it was there."""
    count = len(client.seen.created)
    await client.delete_all()
    await until(lambda: len(client.seen.gone) >= count, "deletion")
    await until(lambda: not client.seen.present.total(), "children are collected")
    client.seen = Seen()


async def create(client: LoadClient, process: Operator, arguments: argparse.Namespace) -> None:
    count, seen = arguments.experiments, client.seen
    before = process.usage()
    creating = asyncio.create_task(
        client.create([experiment(f"load-{index}") for index in range(count)], arguments.rate)
    )
    began = time.perf_counter()
    if count >= 500:
        await until(lambda: len(seen.ready) >= count // 4, "a quarter is ready")
        scaled = time.perf_counter()
        await client.scale("load-0", 3)
        await until(lambda: "load-0" in seen.scaled, "the scale arrives")
        print(f"kubectl scale in the middle:   {seen.scaled['load-0'] - scaled:7.2f} s")
    took = await creating
    await until(lambda: len(seen.ready) >= count, "all are ready")
    ready = time.perf_counter() - began
    await asyncio.sleep(2.0)
    after = process.usage()
    children = [max(times) - seen.created[name] for name, times in seen.children.items()]
    writes, cpu = after.writes - before.writes, after.cpu_seconds - before.cpu_seconds
    each = Counter(len(times) for times in seen.children.values()).most_common(1)[0][0]
    print(f"{count} experiments of {each} children, created in {took:.1f} s, ", end="")
    print(f"ready in {ready:.1f} s", flush=True)
    print("                                   p50     p99")
    print(f"to all children, s:            {percentiles(children)}")
    to_ready = [seen.ready[name] - seen.created[name] for name in seen.created]
    print(f"to Ready, s:                   {percentiles(to_ready)}")
    print(f"writes each:                   {writes / count:7.1f}")
    print(f"reads each:                    {(after.reads - before.reads) / count:7.1f}")
    print(f"reconciles each:               {(after.reconciles - before.reconciles) / count:7.1f}")
    print(f"CPU each, ms:                  {1000 * cpu / count:7.1f}")
    print(f"CPU a write, ms:               {1000 * cpu / writes:7.2f}")
    print(f"errors:                        {after.errors - before.errors:7.0f}")
    print(f"peak resident memory, MiB:     {after.peak_mebibytes:7.0f}")
    for peer, (peer_writes, peer_cpu, peer_children, peer_ready) in PEERS.items():
        ratio = (cpu / writes) / (peer_cpu / 1000 / peer_writes)
        print(
            f"  {peer}: {peer_writes} writes, {peer_cpu:g} ms each; CPU a write, ours to theirs: "
            f"{ratio:.2f}; their p99 at 2/s {peer_children:.2f} and {peer_ready:.2f} s"
        )


async def rest(process: Operator, arguments: argparse.Namespace) -> None:
    # Pods of kwok answer nobody: that is said once, after a minute.
    await asyncio.sleep(arguments.settle)
    before = process.usage()
    await asyncio.sleep(arguments.rest)
    after = process.usage()
    cpu = after.cpu_seconds - before.cpu_seconds
    writes, reads = after.writes - before.writes, after.reads - before.reads
    print(f"at rest, {arguments.rest:g} s: CPU, s:        {cpu:7.2f}")
    print(f"  writes, reads:               {writes:3.0f} {reads:3.0f}")
    print(f"  reconciles:                  {after.reconciles - before.reconciles:7.0f}")


async def restart(process: Operator, arguments: argparse.Namespace) -> None:
    await until(process.ready, "the operator is ready")
    await until(
        lambda: process.usage().reconciles >= arguments.experiments, "all are looked at again"
    )
    took = time.perf_counter() - process.began
    usage = process.usage()
    print(f"restarted, all agreed upon in: {took:7.1f} s")
    print(f"  writes, CPU s, peak MiB:     {usage.writes:3.0f} {usage.cpu_seconds:.1f} ", end="")
    print(f"{usage.peak_mebibytes:.0f}")


async def delete(client: LoadClient, process: Operator) -> None:
    before, began = process.usage(), time.perf_counter()
    await forget(client)
    after = process.usage()
    print(f"deleted, children and all:     {time.perf_counter() - began:7.1f} s")
    print(f"  the operator's writes:       {after.writes - before.writes:7.0f}")


def _serves(kubectl: Kubectl) -> bool:
    try:
        kubectl("get", EXPERIMENT.plural)
    except KubectlError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--experiments", type=int, default=60)
    parser.add_argument("--rate", type=float, default=2.0, help="creations a second, at most")
    parser.add_argument("--lean", action="store_true", help="no budgets, policies, monitors")
    parser.add_argument("--foreign-pods", type=int, default=0, help="others' pods around")
    parser.add_argument("--settle", type=float, default=80.0, help="seconds before that rest")
    parser.add_argument("--rest", type=float, default=60.0, help="seconds of rest")
    arguments = parser.parse_args()
    with ControlPlane(nodes=NODES) as plane, tempfile.TemporaryDirectory() as folder:
        kubectl = plane.cluster.kubectl(namespace=NAMESPACE)
        definition = yaml.safe_dump(custom_resource_definition())
        kubectl("apply", "--server-side", "-f", "-", stdin=definition)
        wait_until(lambda: _serves(kubectl), 30.0, "experiments are served")
        log = Path(folder) / "operator.log"
        try:
            asyncio.run(load(plane, arguments, log))
        finally:
            lines = log.read_text().splitlines() if log.exists() else []
            print(f"lines of the operator's log from WARNING on: {len(lines)}")
            print("\n".join(lines[-5:]))


if __name__ == "__main__":
    main()
