"""The pods' network: a bridge of its own, reachable from this machine and from nowhere else.

    network = Network(log)
    address = network.join(pid)  # the process' network namespace gets an eth0 with that address

The bridge lies in a network namespace that one process holds, joined to this machine by one
pair of virtual interfaces. When that process ends, however it ends, all of it is gone.
"""

from __future__ import annotations

import ipaddress
import os
import subprocess
import threading
from collections import deque
from pathlib import Path

from e2e.cluster.processes import start, wait_until

SUBNETS = tuple(ipaddress.IPv4Network("10.200.0.0/16").subnets(new_prefix=24))
START_SECONDS = 60.0


class NodeError(Exception):
    """Pods cannot run as processes here; the message says what is missing."""


class Network:
    """A subnet 10.200.N.0/24 with a bridge; this machine has its first address.

    Raises:
        NodeError: namespaces and interfaces cannot be made here.
    """

    def __init__(self, log: Path) -> None:
        with log.open("a") as file:
            self._holder = start(["unshare", "--net", "sleep", "infinity"], file)
        self._lock = threading.Lock()
        self._outside = ""
        try:
            wait_for_namespace(self._holder, "net", log)
            self._outside, subnet = self._take_subnet()
            self._free = deque(map(str, subnet.hosts()))
            self.host = self._free.popleft()
            _run("address", "add", f"{self.host}/24", "dev", self._outside)
            _run("link", "set", self._outside, "up")
            bridge = ["link add bridge type bridge", "link set bridge up"]
            uplink = ["link set uplink master bridge", "link set uplink up"]
            _batch(self._holder.pid, [*bridge, *uplink])
        except BaseException:
            self.close()
            raise

    def join(self, pid: int) -> str:
        """Give a process' own network namespace an interface on the bridge; return its address."""
        with self._lock:
            # Longest unused first: neighbours remember for a while whose an address was.
            address = self._free.popleft()
        # Unique on the bridge's side, where it is named after the address.
        port = f"pod{address.rpartition('.')[2]}"
        _run("link", "add", "eth0", "netns", str(pid), "type", "veth", *self._inside(port))
        _batch(self._holder.pid, [f"link set {port} master bridge", f"link set {port} up"])
        own = [f"address add {address}/24 dev eth0", "link set eth0 up", "link set lo up"]
        _batch(pid, own)
        return address

    def leave(self, address: str) -> None:
        """The address may be given to another pod; its interface ends with the pod's namespace."""
        with self._lock:
            self._free.append(address)

    def close(self) -> None:
        """Remove bridge and interfaces."""
        if self._outside:
            # Before the holder, whose end lets another node take this name.
            _run("link", "delete", self._outside, check=False)
        self._holder.kill()
        self._holder.wait()

    def _take_subnet(self) -> tuple[str, ipaddress.IPv4Network]:
        """The near end of the pair of interfaces, and the subnet of the same number."""
        for number, subnet in enumerate(SUBNETS):
            # Fails where the name is taken: so the number is ours alone.
            name = f"greenroom{number}"
            pair = ["link", "add", name, "type", "veth", *self._inside("uplink")]
            made = _run(*pair, check=False)
            if made.returncode == 0:
                return name, subnet
            if "File exists" not in made.stderr:
                raise NodeError(_needs(made.stderr))
        raise NodeError(f"A node takes one of {len(SUBNETS)} subnets of 10.200.0.0/16. Got: none")

    def _inside(self, name: str) -> tuple[str, ...]:
        return ("peer", "name", name, "netns", str(self._holder.pid))


def wait_for_namespace(process: subprocess.Popen[bytes], kind: str, log: Path) -> None:
    """Return once a process that `unshare` starts has a namespace of its own.

    Raises:
        NodeError: it ended instead.
    """
    own = os.readlink(f"/proc/self/ns/{kind}")

    def settled() -> bool:
        try:
            return (
                process.poll() is not None or os.readlink(f"/proc/{process.pid}/ns/{kind}") != own
            )
        except FileNotFoundError:
            return True

    wait_until(settled, START_SECONDS, f"a namespace ({kind}) is made")
    if process.poll() is not None:
        raise NodeError(_needs(log.read_text(errors="replace").strip()[-500:]))


def _needs(got: str) -> str:
    return (
        "Pods run as processes in namespaces of their own, which needs root with CAP_SYS_ADMIN and "
        f"CAP_NET_ADMIN, and iproute2 and util-linux. Got: {got.strip()}"
    )


def _run(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    try:
        done = subprocess.run(
            ["ip", *arguments], capture_output=True, text=True, check=False, timeout=30
        )
    except FileNotFoundError as problem:
        raise NodeError(_needs(str(problem))) from None
    if check and done.returncode:
        raise NodeError(_needs(f"ip {' '.join(arguments)}: {done.stderr}"))
    return done


def _batch(pid: int, lines: list[str]) -> None:
    """Run `ip` commands in the network namespace of a process."""
    command = ["nsenter", f"--target={pid}", "--net", "ip", "-batch", "-"]
    done = subprocess.run(
        command, input="\n".join(lines), capture_output=True, text=True, check=False, timeout=30
    )
    if done.returncode:
        raise NodeError(_needs(f"{lines}: {done.stderr}"))
