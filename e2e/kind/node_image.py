"""The node image where kind's own cannot be pulled: built by podman, kept under a digest.

Debian is the base of it, and of Greenroom's images too; Kubernetes comes from Go modules. What
kubeadm starts as pods lies in the image, as it does in kind's own.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from e2e.cluster import binaries
from e2e.kind.binaries import COREDNS, KIND, KUBELET, of_a_node
from e2e.kind.engine import Engine, cache, run, say

FILES = Path(__file__).with_name("node")
SUITE = "bookworm"
BASE = f"localhost/greenroom/debian:{SUITE}"
CERTIFICATES = Path("/etc/ssl/certs")


def base_image(engine: Engine) -> str:
    """Return Debian with Python: what images are built on where none can be pulled.

    Raises:
        EngineError: Debian's packages are not to be had.
    """
    if not engine.succeeds("image", "exists", BASE):
        say(f"making {BASE} of Debian's packages; about 2 minutes the first time")
        with tempfile.TemporaryDirectory(dir=cache()) as folder:
            root, archive = Path(folder) / "root", Path(folder) / "root.tar"
            packages = "--include=ca-certificates,python3,python3-venv"
            run(["debootstrap", "--variant=minbase", packages, SUITE, root], {})
            run(["tar", "--numeric-owner", "-C", root, "-cf", archive, "."], {})
            engine("import", "--change", "ENV LANG=C.UTF-8", archive, BASE)
    return BASE


def build_options(engine: Engine) -> list[str]:
    """Return what a build needs to reach package indices, besides what is in its file."""
    if engine.pulls:
        return []
    found = {
        "PIP_CERT": CERTIFICATES / "ca-certificates.crt",
        "SSL_CERT_FILE": CERTIFICATES / "ca-certificates.crt",
    }
    indices = {
        name: os.environ[name]
        for name in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX")
        if name in os.environ
    }
    arguments = [f"--build-arg={name}={value}" for name, value in (found | indices).items()]
    # Certificates of this machine's own authorities count there, too.
    return [
        *("--isolation=chroot", "--network=host", f"--volume={CERTIFICATES}:{CERTIFICATES}:ro"),
        f"--build-arg=BASE_IMAGE={base_image(engine)}",
        *arguments,
    ]


def node_image(engine: Engine) -> str | None:
    """Return the image of a node, None for kind's own.

    Raises:
        BuildError: a binary cannot be built.
        EngineError: the image cannot.
    """
    if engine.pulls:
        return None
    programs = of_a_node()
    name = f"localhost/greenroom/kind-node:{KUBELET.version}-{_digest(programs)}"
    if engine.succeeds("image", "exists", name):
        return name
    base_image(engine)
    say(f"building {name}; about 3 minutes the first time")
    with tempfile.TemporaryDirectory(dir=cache()) as folder:
        context = Path(folder)
        shutil.copytree(FILES, context, dirs_exist_ok=True)
        shutil.copytree(binaries.source(KIND) / "images" / "base" / "files", context / "kind")
        subprocess.run(["chmod", "-R", "u+w", str(context / "kind")], check=True)
        (context / "version").write_text(KUBELET.version)
        for manifest in context.glob("*.yaml"):
            text = manifest.read_text().replace("{{ KUBERNETES }}", KUBELET.version)
            manifest.write_text(text)
        (context / "binaries").mkdir()
        for program in ("kubelet", "kubeadm", "kubectl"):
            shutil.copy(programs[program], context / "binaries" / program)
        packages = "localhost/greenroom/node-packages"
        options = build_options(engine)
        engine("build", "-q", *options, "--target=packages", "-t", packages, context)
        images = _started_by_kubeadm(programs["kubeadm"])
        _archives(engine, programs, packages, images, context / "images")
        # kind's files name the pause image of another Kubernetes.
        settings = context / "kind" / "etc" / "containerd" / "config.toml"
        (pause,) = (image for image in images if "/pause:" in image)
        settings.write_text(re.sub(r"(sandbox_image = ).*", rf'\1"{pause}"', settings.read_text()))
        engine("build", "-q", *options, "-t", name, context)
    return name


def _started_by_kubeadm(kubeadm: Path) -> list[str]:
    flags = ["--output=json", f"--kubernetes-version={KUBELET.version}"]
    images: list[str] = json.loads(run([kubeadm, "config", "images", "list", *flags], {}))["images"]
    return images


def _archives(
    engine: Engine, programs: dict[str, Path], packages: str, images: list[str], folder: Path
) -> None:
    """Write images into archives, each of one program that is named as the image is."""
    folder.mkdir()
    for image in images:
        program = image.rpartition("/")[2].partition(":")[0]
        with tempfile.TemporaryDirectory(dir=folder.parent) as place:
            context = Path(place)
            source = (
                Path(shutil.which("catatonit") or "") if program == "pause" else (programs[program])
            )
            shutil.copy(source, context / program)
            # kube-proxy needs iptables, and the others nothing.
            start = packages if program == "kube-proxy" else "scratch"
            entry = {"pause": '["/pause", "-P"]', "coredns": '["/coredns"]'}.get(program)
            target = f"/{program}" if entry else f"/usr/local/bin/{program}"
            (context / "Dockerfile").write_text(
                f"FROM {start}\nCOPY {program} {target}\n"
                "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
                + (f"ENTRYPOINT {entry}\n" if entry else "")
            )
            engine("build", "-q", "--isolation=chroot", "-t", image, context)
            engine("save", "-q", "--format=docker-archive", "-o", folder / f"{program}.tar", image)
            engine("rmi", image)


def _digest(programs: dict[str, Path]) -> str:
    parts = [path.read_bytes() for path in [Path(__file__), *sorted(FILES.iterdir())]]
    # Names of binaries end in digests of their pins.
    parts += [path.name.encode() for _, path in sorted(programs.items())]
    parts += [KIND.version.encode(), COREDNS.version.encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:8]
