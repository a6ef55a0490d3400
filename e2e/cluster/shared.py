"""One control plane for all workers of a test run: it ends when the last of them does.

    with shared_cluster(folder, own) as cluster:
        cluster.kubectl()("get", "nodes")

The first one to ask starts a process that holds the control plane; everyone who uses it holds a
lock (`users`) that the kernel lets go of when its process ends, however it ends. That process
waits for the lock itself, and so for all of them.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e.cluster import binaries
from e2e.cluster.cluster import Cluster
from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.processes import ComponentError, wait_until

NODES = 3
START_SECONDS = 120.0


@contextmanager
def shared_cluster(folder: Path, own: Path) -> Iterator[Cluster]:
    """The control plane of `folder`, started if there is none; files of the caller go to `own`.

    It has three nodes of kwok and an audit log.

    Raises:
        BuildError: a binary cannot be built.
        ComponentError: it does not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    users = (folder / "users").open("w")
    try:
        with (folder / "starting").open("w") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            # Held alone, it is a control plane that is about to end; the next one starts then.
            fcntl.flock(users, fcntl.LOCK_SH)
            if not _running(folder):
                _start(folder)
        state = json.loads((folder / "state.json").read_text())
        yield Cluster(Path(state["kubeconfig"]), own, Path(state["audit_log"]))
    finally:
        users.close()


def _running(folder: Path) -> bool:
    with (folder / "holder").open("w") as holder:
        try:
            fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return (folder / "state.json").exists()
    return False


def _start(folder: Path) -> None:
    # Here and not in that process, so that a long build shows its progress.
    binaries.build()
    (folder / "state.json").unlink(missing_ok=True)
    with (folder / "control-plane.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "e2e.cluster.shared", str(folder)],
            cwd=binaries.REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    started = folder / "state.json"
    wait_until(
        lambda: started.exists() or process.poll() is not None,
        START_SECONDS,
        f"the shared control plane of {folder} is up",
    )
    if not started.exists():
        raise ComponentError(f"No shared control plane. Got:\n{Path(log.name).read_text()}")
    # It goes on after this worker: nobody here waits for it.
    process.returncode = 0


def _hold(folder: Path) -> None:
    with (folder / "holder").open("w") as holder, (folder / "users").open("w") as users:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with ControlPlane(nodes=NODES, audit=True, folder=folder / "control-plane") as plane:
            unfinished = folder / "state.json.new"
            state = {
                "kubeconfig": str(plane.cluster.kubeconfig),
                "audit_log": str(plane.cluster.audit_log),
            }
            unfinished.write_text(json.dumps(state))
            unfinished.rename(folder / "state.json")
            fcntl.flock(users, fcntl.LOCK_EX)
            (folder / "state.json").unlink()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Hold a control plane while others use it.")
    parser.add_argument("folder", type=Path)
    _hold(parser.parse_args().folder)
