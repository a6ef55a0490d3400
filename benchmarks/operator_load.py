"""What the operator costs: many experiments on a real control plane, nodes and pods by kwok.

    python -m benchmarks.operator_load                          # 60 at 2/s
    python -m benchmarks.operator_load --beside kuberay jobset  # and the ratios to theirs
    python -m benchmarks.operator_load --experiments 1000 --rate 1000

Prints what an experiment costs (`benchmarks/operator_figures.py` says what is counted), and of
our operator also CPU time and requests at rest, the time that it takes after a restart to agree
with the cluster, and that deletion takes. Each contestant has a new control plane of the same
settings, and its operator is warm before anything is measured. Their objects differ in what they
are made of, so that CPU time a write is the figure to compare.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.load_client import NAMESPACE, LoadClient
from benchmarks.operator_contestants import Contestant, Greenroom
from benchmarks.operator_figures import Figures, figures, table
from benchmarks.operator_peers import PEERS
from benchmarks.operator_process import Operator, make_account
from e2e.cluster.cluster import Kubectl, KubectlError
from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.processes import wait_until
from greenroom_operator.client import credentials, load_configuration, open_session

WAIT_SECONDS = 900.0
NODES = 20
MANY = 500
"""From so many on, one is scaled while others are created."""


def measure(contestant: Contestant, arguments: argparse.Namespace) -> Figures:
    """Bring up a control plane and the contestant's operator, and put them under load."""
    with ControlPlane(nodes=NODES, audit=True) as plane:
        kubectl = plane.cluster.kubectl(NAMESPACE)
        kubectl("apply", "--server-side", "-f", "-", stdin=contestant.definitions())
        wait_until(lambda: _serves_all(kubectl), 30.0, "all that is defined is served")
        make_account(plane.cluster)
        log = plane.folder / "operator.log"
        try:
            return asyncio.run(load(contestant, plane, arguments))
        finally:
            lines = log.read_text().splitlines() if log.exists() else []
            print(f"lines of the operator's log: {len(lines)}")
            print("\n".join(line[:200] for line in lines[-5:]), flush=True)


def _serves_all(kubectl: Kubectl) -> bool:
    names = kubectl("get", "crd", "--output=name").split()
    try:
        kubectl("get", ",".join(name.partition("/")[2] for name in names))
    except KubectlError:
        return False
    return True


async def load(
    contestant: Contestant, plane: ControlPlane, arguments: argparse.Namespace
) -> Figures:
    configuration = await load_configuration(str(plane.cluster.kubeconfig))
    headers = await credentials(configuration)
    subject = contestant.subject
    async with (
        open_session(configuration, headers=headers) as session,
        asyncio.TaskGroup() as tasks,
    ):
        client = LoadClient(plane.url, session, subject)
        await client.create_pods(arguments.foreign_pods)
        watches = [
            tasks.create_task(client.watch(kind)) for kind in (subject.kind, *subject.children)
        ]
        with running(contestant, plane) as operator:
            await until(operator.ready, "the operator is ready")
            await warm_up(client, contestant)
            found = await create(client, operator, contestant, arguments)
            if isinstance(contestant, Greenroom):
                await rest(operator, arguments)
        if isinstance(contestant, Greenroom):
            with running(contestant, plane) as operator:
                await restart(operator, arguments)
                await delete(client, operator)
        for watch in watches:
            watch.cancel()
    return found


@contextmanager
def running(contestant: Contestant, plane: ControlPlane) -> Iterator[Operator]:
    operator = Operator(contestant, plane)
    operator.start()
    try:
        yield operator
    finally:
        operator.stop(30.0)


async def until(condition: Callable[[], object], what: str) -> float:
    began = time.perf_counter()
    while not condition():
        if time.perf_counter() - began > WAIT_SECONDS:
            raise TimeoutError(f"{what} must happen within {WAIT_SECONDS:g} s")
        await asyncio.sleep(0.05)
    return time.perf_counter() - began


async def warm_up(client: LoadClient, contestant: Contestant) -> None:
    """Begin with a cluster that has served all that is measured: a new CRD's first takes 2 s."""
    await client.create([contestant.body("warm")], 1.0)
    await until(lambda: client.seen.ready, "the first is ready")
    await forget(client)


async def forget(client: LoadClient) -> None:
    """Delete all, wait until nothing is left, and forget that it was there."""
    count = len(client.seen.created)
    await client.delete_all()
    await until(lambda: len(client.seen.gone) >= count, "deletion")
    await until(lambda: not client.seen.present.total(), "children are collected")
    client.forget()


async def create(
    client: LoadClient,
    operator: Operator,
    contestant: Contestant,
    arguments: argparse.Namespace,
) -> Figures:
    count, seen = arguments.experiments, client.seen
    bodies = [contestant.body(f"load-{index}") for index in range(count)]
    before, began = operator.usage(), time.perf_counter()
    creating = asyncio.create_task(client.create(bodies, arguments.rate))
    if count >= MANY and isinstance(contestant, Greenroom):
        await scale(client, count)
    took = await creating
    await until(lambda: len(seen.ready) >= count, "all are ready")
    ready = time.perf_counter() - began
    await asyncio.sleep(2.0)
    found = figures(contestant.name, seen, before, operator.usage())
    print(f"{contestant.name}: {count} of {found.children} children, ", end="")
    print(f"created in {took:.1f} s, ready in {ready:.1f} s", flush=True)
    return found


async def scale(client: LoadClient, count: int) -> None:
    seen = client.seen
    await until(lambda: len(seen.ready) >= count // 4, "a quarter is ready")
    began = time.perf_counter()
    await client.scale("load-0", 3)
    await until(lambda: "load-0" in seen.scaled, "the scale arrives")
    print(f"kubectl scale in the middle:   {seen.scaled['load-0'] - began:7.2f} s")


async def rest(operator: Operator, arguments: argparse.Namespace) -> None:
    print(f"errors:                        {counted(operator, 'errors'):7.0f}")
    # Pods of kwok answer nobody: that is said once, after a minute.
    await asyncio.sleep(arguments.settle)
    before, reconciles = operator.usage(), counted(operator, "reconciles")
    await asyncio.sleep(arguments.rest)
    after = operator.usage()
    cpu = after.cpu_seconds - before.cpu_seconds
    writes, reads = after.writes - before.writes, after.reads - before.reads
    print(f"at rest, {arguments.rest:g} s: CPU, s:        {cpu:7.2f}")
    print(f"  writes, reads:               {writes:3.0f} {reads:3.0f}")
    print(f"  reconciles:                  {counted(operator, 'reconciles') - reconciles:7.0f}")


async def restart(operator: Operator, arguments: argparse.Namespace) -> None:
    began = time.perf_counter()
    await until(operator.ready, "the operator is ready")
    await until(
        lambda: counted(operator, "reconciles") >= arguments.experiments, "all are looked at again"
    )
    took, usage = time.perf_counter() - began, operator.usage()
    print(f"restarted, all agreed upon in: {took:7.1f} s")
    print(f"  writes, CPU s, peak MiB:     {usage.writes:3.0f} {usage.cpu_seconds:.1f} ", end="")
    print(f"{usage.peak_mebibytes:.0f}")


async def delete(client: LoadClient, operator: Operator) -> None:
    before, began = operator.usage(), time.perf_counter()
    await forget(client)
    print(f"deleted, children and all:     {time.perf_counter() - began:7.1f} s")
    print(f"  the operator's writes:       {operator.usage().writes - before.writes:7.0f}")


def counted(operator: Operator, what: str) -> float:
    """The sum of one of our operator's counters: errors or reconciles."""
    lines = operator.get("/metrics").splitlines()
    metric = f"greenroom_operator_{what}_total"
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(metric))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--experiments", type=int, default=60, help="and objects of each peer")
    parser.add_argument("--rate", type=float, default=2.0, help="creations a second, at most")
    parser.add_argument("--beside", nargs="+", choices=PEERS, default=[], help="compare with these")
    parser.add_argument("--lean", action="store_true", help="no budgets, policies, monitors")
    parser.add_argument("--foreign-pods", type=int, default=0, help="others' pods around")
    parser.add_argument("--settle", type=float, default=80.0, help="seconds before that rest")
    parser.add_argument("--rest", type=float, default=60.0, help="seconds of rest")
    arguments = parser.parse_args()
    contestants = [Greenroom(arguments.lean), *(PEERS[name] for name in arguments.beside)]
    for contestant in contestants:
        contestant.build()
    ours, *peers = [measure(contestant, arguments) for contestant in contestants]
    print(table(ours, peers))


if __name__ == "__main__":
    main()
