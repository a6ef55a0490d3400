"""Greenroom's images: built from the clone, and pushed to the registry that nodes pull from.

A tag is a digest of the image, so that what did not change is neither moved nor pulled again.
"""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass

from e2e.cluster.binaries import REPOSITORY
from e2e.kind.engine import Engine, say
from e2e.kind.node_image import build_options

# By target: the file that it is in.
TARGETS = {
    "operator": "Dockerfile.operator",
    "replay": "Dockerfile.worker",
    "worker": "Dockerfile.worker",
}


@dataclass(frozen=True)
class Image:
    """An image in the registry, as nodes name it."""

    repository: str
    tag: str

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"


def build_and_push(engine: Engine, registry: str) -> dict[str, Image]:
    """Return our images by target, in the registry at that address.

    Raises:
        EngineError: one cannot be built or pushed.
    """
    options = build_options(engine)
    revision = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.strip()
    made = {}
    for target, file in TARGETS.items():
        began = time.monotonic()
        repository = f"{registry}/greenroom/{target}"
        built = f"{repository}:built"
        engine(
            "build",
            "-q",
            *options,
            f"--build-arg=REVISION={revision}",
            "-f",
            REPOSITORY / file,
            "--target",
            target,
            "-t",
            built,
            REPOSITORY,
        )
        identity = engine("image", "inspect", "--format={{.Id}}", built).strip()
        size = int(engine("image", "inspect", "--format={{.Size}}", built)) / 1e9
        image = Image(repository, identity.removeprefix("sha256:")[:12])
        took = time.monotonic() - began
        engine("tag", built, str(image))
        began = time.monotonic()
        insecure = [] if engine.pulls else ["--tls-verify=false"]
        engine("push", "-q", *insecure, str(image))
        say(
            f"{target}: {size:.2f} GB, built in {took:.0f} s, pushed in "
            f"{time.monotonic() - began:.0f} s"
        )
        made[target] = image
    return made
