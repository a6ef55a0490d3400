"""Fetching from a real API server. Its nodes are simulated, so that ``exec`` runs here instead."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from small import SPEC

from e2e.cluster import binaries
from e2e.cluster.cluster import Cluster, Kubectl
from greenroom.cli import reader_pod
from greenroom.cli.fetch import unpack

ROOT = Path(__file__).parents[2]
CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: small-learner}}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: {storage}
  resources: {{requests: {{storage: 1Gi}}}}
"""
WRAPPER = """#!/bin/sh
for argument; do
  if [ "$argument" = exec ] && [ -n "$EXEC_DIRECTORY" ]; then
    while [ "$1" != -- ]; do shift; done
    exec sh -c "$(echo "$4" | sed "s|/var/lib/greenroom/run|$EXEC_DIRECTORY|")"
  fi
done
exec {kubectl} --cache-dir={cache} "$@"
"""


class Fetching:
    """``greenroom fetch`` as a process, with a namespace to fetch from."""

    def __init__(self, cluster: Cluster, kubectl: Kubectl, folder: Path) -> None:
        self.kubectl = kubectl
        self.target = folder / "fetched"
        self.source = folder / "source"
        bin_folder = folder / "bin"
        bin_folder.mkdir()
        wrapper = bin_folder / "kubectl"
        wrapper.write_text(
            WRAPPER.format(kubectl=binaries.path("kubectl"), cache=folder / "kubectl-cache")
        )
        wrapper.chmod(0o755)
        self.environment = {
            **os.environ,
            "PATH": f"{bin_folder}:/usr/bin:/bin",
            "KUBECONFIG": str(cluster.kubeconfig),
        }

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "greenroom", "fetch", "rlx/small"]
        options = ["--namespace", self.kubectl.namespace, "--to", str(self.target), *arguments]
        return subprocess.Popen(
            [*command, *options],
            env=self.environment | environment,
            # A shell that runs tests in the background has SIGINT ignored, also by children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        with self.start(*arguments, **environment) as process:
            output, errors = process.communicate(timeout=60)
        assert "Traceback" not in errors
        return process.returncode, output, errors

    def have_experiment(self, image: str | None = "greenroom/worker:test") -> None:
        crd = ROOT / "crds" / "rlexperiments.yaml"
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(crd))
        self.kubectl("wait", "--for=condition=Established", "crd/rlexperiments.greenroom.dev")
        manifest: dict[str, Any] = {
            "apiVersion": "greenroom.dev/v1alpha1",
            "kind": "RLExperiment",
            "metadata": {"name": "small"},
            "spec": SPEC,
        }
        self.kubectl("create", "-f", "-", stdin=json.dumps(manifest))
        if image:
            status = json.dumps({"status": {"images": {"worker": image, "replay": image}}})
            patch = ("--subresource=status", "--type=merge", f"--patch={status}")
            self.kubectl("patch", "rlexperiment", "small", *patch)

    def have_claim(self, storage: str = "standard") -> None:
        self.kubectl("create", "-f", "-", stdin=CLAIM.format(storage=storage))

    def readers(self) -> list[str]:
        """Reader pods that nobody has deleted."""
        pods = self.kubectl.json("get", "pods", "-l", "app.kubernetes.io/component=fetch")["items"]
        return [
            pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]
        ]


@pytest.fixture
def fetching(cluster: Cluster, kubectl: Kubectl, tmp_path: Path) -> Fetching:
    return Fetching(cluster, kubectl, tmp_path)


def test_what_is_on_the_volume_comes_and_the_pod_goes(fetching: Fetching) -> None:
    restricted = "pod-security.kubernetes.io/enforce=restricted"
    fetching.kubectl("label", "namespace", fetching.kubectl.namespace, restricted)
    fetching.have_experiment()
    fetching.have_claim()
    (fetching.source / "checkpoints" / "000000-step-5").mkdir(parents=True)
    (fetching.source / "checkpoints" / "000000-step-5" / "manifest.json").write_text("{}")
    (fetching.source / "summary.json").write_bytes(b"\0" * 2**20)
    code, output, errors = fetching.run(EXEC_DIRECTORY=str(fetching.source))
    assert code == 0, errors
    assert output == f"fetched 2 files, 1.0 MiB, to {fetching.target}\n"
    for path in ("checkpoints/000000-step-5/manifest.json", "summary.json"):
        assert (fetching.target / path).read_bytes() == (fetching.source / path).read_bytes()
    assert fetching.readers() == []
    code, _, errors = fetching.run()
    assert code == 2
    assert "must not be there yet" in errors


def test_a_volume_that_cannot_be_read_leaves_neither_files_nor_a_pod(fetching: Fetching) -> None:
    fetching.have_experiment()
    fetching.have_claim()
    # The simulated node runs nothing; nor is there such a directory.
    for environment in ({}, {"EXEC_DIRECTORY": str(fetching.source)}):
        code, _, errors = fetching.run(**environment)
        assert code == 1
        assert "error: The volume must be read to its end. Got: " in errors
        assert not fetching.target.exists()
        assert not list(fetching.target.parent.glob(".*fetching"))
        assert fetching.readers() == []


def test_each_thing_that_is_missing_is_named(fetching: Fetching) -> None:
    nothing = {"KUBECONFIG": str(fetching.target)}
    code, _, errors = fetching.run(**nothing)
    assert code == 1
    assert "error: kubectl get failed: " in errors
    code, _, errors = fetching.run(PATH="/nowhere")
    assert code == 1
    assert "kubectl, which must be on PATH. Got: none." in errors

    fetching.have_experiment(image=None)
    code, _, errors = fetching.run()
    assert code == 1
    assert 'persistentvolumeclaims "small-learner" not found' in errors
    fetching.have_claim()
    code, _, errors = fetching.run()
    assert code == 1
    assert "Got: small, whose status names no image yet." in errors
    fetching.kubectl("delete", "rlexperiment", "small")
    code, _, errors = fetching.run()
    assert code == 1
    assert 'rlexperiments.greenroom.dev "small" not found' in errors
    assert fetching.readers() == []


def test_a_pod_that_does_not_start_says_why_and_goes(fetching: Fetching) -> None:
    fetching.have_experiment()
    fetching.have_claim(storage="there-is-none")
    code, _, errors = fetching.run("--timeout", "2")
    assert code == 1
    assert "waiting for the pod small-fetch-" in errors
    assert "must run within 2 s. Got: " in errors
    assert "unbound immediate PersistentVolumeClaims" in errors
    assert fetching.readers() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_takes_the_pod_with_it(fetching: Fetching, number: signal.Signals) -> None:
    fetching.have_experiment()
    fetching.have_claim(storage="there-is-none")
    with fetching.start() as process:
        deadline = time.monotonic() + 30
        while not fetching.readers():
            assert time.monotonic() < deadline, "no pod"
            time.sleep(0.1)
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "Traceback" not in errors
    assert fetching.readers() == []


def test_a_volume_of_another_node_is_explained() -> None:
    advice = reader_pod._advice('Multi-Attach error for volume "pvc-1": Volume is already used')
    assert "in use on another node" in advice
    assert "spec.suspend: true" in advice
    assert reader_pod._advice("insufficient cpu") == ""


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "link/escaped"])
def test_nothing_is_written_outside_the_target(tmp_path: Path, name: str) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, ".."
        if name.startswith("link"):
            archive.addfile(link)
        member = tarfile.TarInfo(name)
        member.size = 4
        archive.addfile(member, io.BytesIO(b"evil"))
    target = tmp_path / "target"
    target.mkdir()
    stream.seek(0)
    if name.startswith("/"):  # taken as relative
        unpack(stream, target)
    else:
        with pytest.raises(tarfile.FilterError):
            unpack(stream, target)
    assert not (tmp_path / "escaped").exists()
    assert not Path("/tmp/escaped").exists()


def test_a_stream_that_is_cut_is_an_error(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        member = tarfile.TarInfo("metrics.jsonl")
        member.size = 4_000
        archive.addfile(member, io.BytesIO(b"x" * 4_000))
    with pytest.raises(tarfile.ReadError):
        unpack(io.BytesIO(stream.getvalue()[:2_000]), tmp_path)
