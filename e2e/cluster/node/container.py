"""One run of a container: a process in namespaces of its own, on a copy of this machine's files.

Its root folder is an overlay over this machine's: everything installed is there, and what it
writes is gone with it. Its volumes lie at their mount paths, the checkout and its Python are
there read-only, so that `greenroom` runs as in the image. It is process 1 of its own process
namespace: as in a real container, what it leaves behind ends with it.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from e2e.cluster.binaries import REPOSITORY
from e2e.cluster.client import Object
from e2e.cluster.processes import start

_USED = {REPOSITORY, Path(sys.prefix), Path(sys.base_prefix)}
NEEDED = tuple(str(one) for one in sorted(_USED) if not _USED.intersection(one.parents))
"""Folders that every container sees where they are, whatever is mounted around them."""

PATH = f"{sys.prefix}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
# Not `unshare --fork`, which fails where SIGKILL ended the process that it waits for.
FIRST_PROCESS = 'setpriv --pdeathsig=KILL bash "$0" & exec 2>/dev/null; wait $!'
MESSAGE_BYTES = 4096
LOG_BYTES = 2048


@dataclass(frozen=True)
class Mount:
    """A folder or file of this machine that a container sees at `path`."""

    source: Path
    path: str
    read_only: bool = False


@dataclass(frozen=True)
class Launch:
    """What a container is started with.

    Attributes:
        container: as in the pod's spec.
        command: with all variables replaced.
        environment: all of it.
        mounts: its volumes and more.
        user, group: numbers; groups: more of them.
    """

    container: Object
    command: Sequence[str]
    environment: Mapping[str, str]
    mounts: Sequence[Mount]
    user: int = 0
    group: int = 0
    groups: Sequence[int] = field(default=())


class Run:
    """A container that was started.

    Args:
        launch: what it is started with.
        sandbox: the process that holds the pod's namespaces.
        folder: for this run's own files.
        log: where its output goes.
    """

    def __init__(self, launch: Launch, sandbox: int, folder: Path, log: Path) -> None:
        self.log = log
        self._policy = launch.container.get("terminationMessagePolicy", "File")
        self._message = folder / "termination-message"
        folder.mkdir(parents=True)
        (folder / "root").mkdir()
        self._message.touch()
        self._message.chmod(0o666)
        (folder / "resolv.conf").touch()
        script = folder / "start.sh"
        script.write_text(_script(launch, folder, self._message))
        namespaces = ["--net", "--uts", "--ipc"]
        enter = ["nsenter", f"--target={sandbox}", *namespaces, "--"]
        unshare = ["unshare", "--mount", "--pid", "--", "bash", "-c", FIRST_PROCESS, str(script)]
        with log.open("a") as file:
            self._process = start([*enter, *unshare], file)

    @property
    def exit_code(self) -> int | None:
        """None while it runs; 128 and the signal's number if a signal ended it."""
        status = self._process.poll()
        return status if status is None or status >= 0 else 128 - status

    def message(self) -> str:
        """What it leaves as the reason of its end."""
        said = self._message.read_text(errors="replace")[:MESSAGE_BYTES]
        if not said and self._policy == "FallbackToLogsOnError" and self.exit_code:
            said = self.log.read_bytes()[-LOG_BYTES:].decode(errors="replace")
        return said

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its first process."""
        first = self._first()
        if first:
            try:
                os.kill(first, number)
            except ProcessLookupError:
                return

    def kill(self) -> None:
        """End it, and everything it started, with SIGKILL."""
        self._process.kill()
        self._process.wait()

    def succeeds(self, command: Sequence[str], seconds: float) -> str:
        """Run a command in it; return what is wrong, nothing if its status is 0."""
        enter = ["nsenter", f"--target={self._first()}", "--mount", "--net", "--uts", "--ipc"]
        try:
            done = subprocess.run(
                [*enter, "--pid", "--root", "--wd=/", "--", *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"command {command[0]} took longer than {seconds:g} s"
        return done.stdout.decode(errors="replace")[-200:] or "failed" if done.returncode else ""

    def _first(self) -> int | None:
        """The process that is number 1 inside."""
        pid = self._process.pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except FileNotFoundError:
            return None
        return int(children[0]) if children else None


def _script(launch: Launch, folder: Path, message: Path) -> str:
    """The shell script that makes the container's root folder and becomes the container."""
    root = folder / "root"
    context = launch.container.get("securityContext", {})
    paths = [mount.path for mount in launch.mounts]
    lines = ["set -e", "mount --make-rprivate /", *_overlay(folder, root)]
    for mount in launch.mounts:
        lines += _bind(mount, root)
    for needed in NEEDED:
        # Also where a mount path hides it: a checkout in /tmp stays there.
        if not any(needed == other or needed.startswith(f"{other}/") for other in paths):
            lines += [_reachable(needed, root)]
        lines += _bind(Mount(Path(needed), needed, read_only=True), root)
    lines += _devices(root)
    where = launch.container.get("terminationMessagePath", "/dev/termination-log")
    lines += _bind(Mount(message, where), root)
    lines += _bind(Mount(folder / "resolv.conf", "/etc/resolv.conf"), root)
    if context.get("readOnlyRootFilesystem"):
        lines.append(f"mount -o remount,ro {_quote(root)}")
    variables = [f"{name}={value}" for name, value in launch.environment.items()]
    become = ["setpriv", f"--reuid={launch.user}", f"--regid={launch.group}"]
    groups = ",".join(map(str, launch.groups))
    become += [f"--groups={groups}" if groups else "--clear-groups"]
    become += ["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--pdeathsig=KILL", "--"]
    inside = shlex.join([*become, "env", "-i", *variables, *launch.command])
    enter = f"cd {shlex.quote(launch.container.get('workingDir', '/'))} && exec {inside}"
    lines.append(f"exec chroot {_quote(root)} sh -c {shlex.quote(enter)}")
    return "\n".join(lines) + "\n"


def _overlay(folder: Path, root: Path) -> list[str]:
    layer = folder / "layer"
    layer.mkdir()
    # The upper layer is in memory, and in this mount namespace alone: it ends with it.
    options = f"lowerdir=/,upperdir={layer}/upper,workdir={layer}/work"
    return [
        f"mount -t tmpfs -o mode=755 tmpfs {_quote(layer)}",
        f"mkdir {_quote(layer)}/upper {_quote(layer)}/work",
        f"mount -t overlay -o {_quote(options)} overlay {_quote(root)}",
        f"mount -t proc proc {_quote(root)}/proc",
        f"mount --rbind /sys {_quote(root)}/sys",
    ]


def _bind(mount: Mount, root: Path) -> list[str]:
    target = _quote(f"{root}{mount.path}")
    parent = _quote(os.path.dirname(f"{root}{mount.path}"))
    make = f"mkdir -p {target}" if mount.source.is_dir() else f"mkdir -p {parent}; touch {target}"
    lines = [make, f"mount --bind {_quote(mount.source)} {target}"]
    if mount.read_only:
        lines.append(f"mount -o remount,bind,ro {target}")
    return lines


def _reachable(path: str, root: Path) -> str:
    """Let users other than root pass the folders above `path`, in this container's copy."""
    parents = [str(parent) for parent in Path(path).parents if str(parent) != "/"]
    return "chmod a+x " + " ".join(_quote(f"{root}{parent}") for parent in parents)


def _devices(root: Path) -> list[str]:
    dev = f"{root}/dev"
    lines = [f"mount -t tmpfs -o mode=755 tmpfs {_quote(dev)}", f"mkdir -m 1777 {_quote(dev)}/shm"]
    for name in DEVICES:
        lines += [f"touch {_quote(dev)}/{name}", f"mount --bind /dev/{name} {_quote(dev)}/{name}"]
    links = {"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"}
    return lines + [f"ln -s /proc/self/fd{to} {_quote(dev)}/{name}" for name, to in links.items()]


def _quote(path: str | Path) -> str:
    return shlex.quote(str(path))
