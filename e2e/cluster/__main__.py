"""`python -m e2e.cluster`: a control plane to try things on, and its binaries."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from e2e.cluster import binaries
from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.processes import ComponentError

DESCRIPTION = """\
A real Kubernetes control plane as processes on 127.0.0.1: etcd, kube-apiserver,
kube-controller-manager and kube-scheduler, with nodes that kwok simulates.
It needs Linux and Go (or uv, which brings Go); neither root nor Docker.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run a sub-command and return the exit status."""
    chosen = _parser().parse_args(arguments)
    try:
        if chosen.command == "build":
            for path in binaries.build(chosen.names or binaries.BINARIES).values():
                print(path)
        else:
            _up(chosen)
    except (binaries.BuildError, ComponentError, TimeoutError) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m e2e.cluster",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="start a control plane; Ctrl-C ends it")
    up.add_argument("--nodes", type=int, default=3, help="nodes of kwok (%(default)s)")
    up.add_argument("--audit", action="store_true", help="record each request in audit.log")
    up.add_argument(
        "--folder", type=Path, help="where logs and kubeconfig go; kept (a temporary folder)"
    )
    build = commands.add_parser("build", help="build the binaries that are not there yet")
    build.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        choices=[*binaries.BINARIES, []],
        help=f"all of them if none is named: {', '.join(binaries.BINARIES)}",
    )
    return parser


def _up(chosen: argparse.Namespace) -> None:
    # SIGTERM ends it as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with ControlPlane(nodes=chosen.nodes, audit=chosen.audit, folder=chosen.folder) as plane:
            used = [f"{c.name} {c.memory / 2**20:.0f} MiB" for c in plane.components]
            print(f"# {', '.join(used)}\n# logs: {plane.folder}")
            if plane.cluster.audit_log:
                print(f"# audit log: {plane.cluster.audit_log}")
            print("# Ctrl-C ends it; in another terminal:")
            print(f"alias kubectl={binaries.path('kubectl')}")
            print(f"export KUBECONFIG={plane.cluster.kubeconfig}", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        print("# ended")


if __name__ == "__main__":
    sys.exit(main())
