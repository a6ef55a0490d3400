"""Greenroom's images: built from the clone, and pushed to the registry that nodes pull from.

A tag is a digest of the image, so that what did not change is neither moved nor pulled again.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def build_and_push(
    engine: Engine, registry: str, source: Path = REPOSITORY, revision: str = "HEAD"
) -> dict[str, Image]:
    """Return our images by target, in the registry at that address.

    Args:
        source: the clone, or a copy of what it had at `revision`.

    Raises:
        EngineError: one cannot be built or pushed.
    """
    options = build_options(engine)
    commit = subprocess.run(
        ["git", "rev-parse", revision], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.strip()
    return {
        target: build_one(
            engine,
            f"{registry}/greenroom/{target}",
            *(*options, f"--build-arg=REVISION={commit}"),
            *("-f", source / file, "--target", target, source),
        )
        for target, file in TARGETS.items()
    }


def build_one(engine: Engine, repository: str, *arguments: str | Path) -> Image:
    """Return an image that was built by `build` with these arguments, in its registry.

    Raises:
        EngineError: it cannot be built or pushed.
    """
    began = time.monotonic()
    built = f"{repository}:built"
    engine("build", "-q", "-t", built, *arguments)
    identity = engine("image", "inspect", "--format={{.Id}}", built).strip()
    size = int(engine("image", "inspect", "--format={{.Size}}", built)) / 1e9
    image = Image(repository, identity.removeprefix("sha256:")[:12])
    took = time.monotonic() - began
    engine("tag", built, str(image))
    began = time.monotonic()
    insecure = [] if engine.pulls else ["--tls-verify=false"]
    engine("push", "-q", *insecure, str(image))
    say(
        f"{repository.rpartition('/')[2]}: {size:.2f} GB, built in {took:.0f} s, pushed in "
        f"{time.monotonic() - began:.0f} s"
    )
    return image


def chart_values(images: Mapping[str, Image]) -> dict[str, Any]:
    """Return the chart's values that name these images."""
    named = {
        target: {"repository": image.repository, "tag": image.tag}
        for target, image in images.items()
    }
    return {
        "image": named["operator"],
        "worker": {"image": named["worker"]},
        "replay": {"image": named["replay"]},
    }
