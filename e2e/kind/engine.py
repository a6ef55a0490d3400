"""What runs the containers that are nodes, and builds images: Docker, or podman.

engine = choose()
engine("exec", "greenroom-control-plane", "crictl", "ps")
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from e2e.cluster import binaries

PODMAN_PACKAGES = (
    *("podman", "netavark", "aardvark-dns", "containernetworking-plugins", "runc"),
    *("debootstrap", "catatonit"),
)
"""Debian's; aardvark-dns lets nodes find each other by name."""
SECONDS = 1800.0


class EngineError(Exception):
    """A container command failed, or there is nothing here that runs containers."""


@dataclass(frozen=True)
class Engine:
    """Docker, or podman as root.

    Attributes:
        name: the command.
        environment: what it and kind are started with, beside this process's own.
    """

    name: Literal["docker", "podman"]
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def pulls(self) -> bool:
        """Whether images of others are pulled; else everything is built here."""
        return self.name == "docker"

    def __call__(self, *arguments: str | Path, seconds: float = SECONDS) -> str:
        """Run one of its commands; return what it printed.

        Raises:
            EngineError: it failed, or took longer than that.
        """
        return run([self.name, *arguments], self.environment, seconds)

    def succeeds(self, *arguments: str) -> bool:
        """Whether a command succeeds."""
        try:
            self(*arguments, seconds=60.0)
        except EngineError:
            return False
        return True


def run(command: list[str | Path], environment: Mapping[str, str], seconds: float = SECONDS) -> str:
    """Run a command; return what it printed.

    Raises:
        EngineError: it failed; the message ends in its last lines.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"`{' '.join(words)}` must end within {seconds:g} s") from error
    if done.returncode:
        last = "\n  ".join(done.stdout.splitlines()[-20:])
        raise EngineError(f"`{' '.join(words)}` must succeed. Got: {done.returncode}:\n  {last}")
    return done.stdout


def choose() -> Engine:
    """Return Docker if its daemon answers, else podman, which is installed first if need be.

    Raises:
        EngineError: neither is to be had.
    """
    docker = Engine("docker")
    if shutil.which("docker") and docker.succeeds("info"):
        say("nodes are containers of Docker; kind's own node image is pulled")
        return docker
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise EngineError(
            "Nodes are containers: Docker's daemon must answer, or this must be root on Debian, "
            "where podman is installed. Got: neither"
        )
    missing = [command for command in ("podman", "debootstrap") if not shutil.which(command)]
    if missing:
        say("installing podman")
        silent = {"DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "update", "-qq"], silent)
        install = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *PODMAN_PACKAGES]
        run(list(install), silent)
    say("nodes are containers of podman; their image is built here")
    # kind mounts it, whether a kernel has modules or not.
    Path("/lib/modules").mkdir(exist_ok=True)
    return Engine(
        "podman",
        {"CONTAINERS_CONF": str(_podman_settings()), "KIND_EXPERIMENTAL_PROVIDER": "podman"},
    )


def say(line: str) -> None:
    """Tell people what goes on."""
    print(line, file=sys.stderr, flush=True)


def cache() -> Path:
    """Where files of this package are kept, outside the clone."""
    folder = binaries.cache().parent / "kind"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _podman_settings() -> Path:
    """Write podman's settings; this machine's own are left alone."""
    files, processes = (
        min(resource.getrlimit(limit)[1], most) if resource.getrlimit(limit)[1] >= 0 else most
        for limit, most in ((resource.RLIMIT_NOFILE, 65_536), (resource.RLIMIT_NPROC, 30_000))
    )
    path = cache() / "containers.conf"
    path.write_text(
        # More than root has here is refused.
        f'[containers]\ndefault_ulimits = ["nofile={files}:{files}", "nproc={processes}:'
        f'{processes}"]\n'
        # crun refuses nodes where both versions of cgroups are mounted.
        '[engine]\nruntime = "runc"\n[network]\nnetwork_backend = "netavark"\n'
    )
    return path
