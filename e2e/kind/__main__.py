"""`python -m e2e.kind`: a cluster of real nodes with Greenroom's images, to try things on."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from e2e.cluster import binaries as control
from e2e.cluster.binaries import BuildError
from e2e.kind import cluster
from e2e.kind.engine import EngineError, choose
from e2e.kind.images import build_and_push, chart_values


def main(arguments: list[str] | None = None) -> int:
    """Run a sub-command and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m e2e.kind", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="bring up the cluster, and push Greenroom's images")
    up.add_argument("--workers", type=int, default=0, help="nodes beside the first (%(default)s)")
    up.add_argument("--name", default=cluster.NAME, help="of the cluster (%(default)s)")
    commands.add_parser("down", help="remove our clusters and their registry")
    chosen = parser.parse_args(arguments)
    try:
        engine = choose()
        if chosen.command == "down":
            cluster.down(engine)
            return 0
        kubeconfig = cluster.up(engine, chosen.workers, chosen.name)
        images = build_and_push(engine, cluster.REGISTRY)
        values = kubeconfig.with_name("values.json")
        values.write_text(json.dumps(chart_values(images)))
        print(f"export KUBECONFIG={kubeconfig} PATH={tools(kubeconfig.parent)}:$PATH")
        print(
            "helm upgrade --install greenroom charts/greenroom --namespace greenroom-system "
            f"--create-namespace --wait --values {values}"
        )
    except (BuildError, EngineError) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


def tools(folder: Path) -> Path:
    """Return a folder with the kubectl and the helm that the suite uses."""
    found = folder / "bin"
    found.mkdir(exist_ok=True)
    for name in ("kubectl", "helm"):
        link = found / name
        link.unlink(missing_ok=True)
        link.symlink_to(control.path(name))
    return found


if __name__ == "__main__":
    sys.exit(main())
