"""`python -m e2e.kind`: a cluster of real nodes with Greenroom's images, to try things on."""

from __future__ import annotations

import argparse
import sys

from e2e.cluster.binaries import BuildError
from e2e.kind import cluster
from e2e.kind.engine import EngineError, choose
from e2e.kind.images import build_and_push


def main(arguments: list[str] | None = None) -> int:
    """Run a sub-command and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m e2e.kind", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="bring up the cluster, and push Greenroom's images")
    up.add_argument("--workers", type=int, default=0, help="nodes beside the first (%(default)s)")
    commands.add_parser("down", help="remove the cluster and its registry")
    chosen = parser.parse_args(arguments)
    try:
        engine = choose()
        if chosen.command == "down":
            cluster.down(engine)
            return 0
        kubeconfig = cluster.up(engine, chosen.workers)
        for target, image in build_and_push(engine, cluster.REGISTRY).items():
            print(f"# {target}: {image}")
        print(f"alias kubectl={cluster.kubectl(kubeconfig)[0]}\nexport KUBECONFIG={kubeconfig}")
    except (BuildError, EngineError) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
