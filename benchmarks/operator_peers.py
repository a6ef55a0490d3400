"""The operators that ours is compared with: KubeRay and JobSet, built from Go modules.

Their versions and checksums are pinned in `benchmarks/peers/`; their CRDs are files of the
modules that are downloaded. Both run as ours does: one process, no webhooks, no leader election,
no limit of requests that would be what is measured, and a log of errors alone.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from benchmarks.load_client import NAMESPACE, Subject
from benchmarks.operator_contestants import Contestant
from e2e.cluster import binaries
from e2e.cluster.binaries import Binary
from e2e.cluster.certificates import make_certificates
from e2e.cluster.client import Object
from e2e.cluster.commands import ADDRESS, Command
from e2e.cluster.control_plane import REQUESTS_PER_SECOND
from e2e.cluster.processes import free_port
from greenroom_operator.kinds import POD, SERVICE, Kind

MODULES = Path(__file__).with_name("peers")
RAY_CLUSTER = Kind("ray.io", "v1", "RayCluster", "rayclusters")
JOB_SET = Kind("jobset.x-k8s.io", "v1alpha2", "JobSet", "jobsets")
JOB = Kind("batch", "v1", "Job", "jobs")
# Nobody pulls it: kwok's pods only say that they run.
IMAGE = "example.com/worker:1"
QUIET = ("--zap-log-level=error", "--zap-stacktrace-level=panic")


def _owner(child: Object, kind: Kind) -> str | None:
    owners = child["metadata"].get("ownerReferences", [])
    return next((owner["name"] for owner in owners if owner["kind"] == kind.kind), None)


def _manifests(folder: Path) -> str:
    return "\n---\n".join(path.read_text() for path in sorted(folder.glob("*.yaml")))


def _ray_group(container: str) -> Object:
    containers = [{"name": container, "image": IMAGE}]
    return {"rayStartParams": {}, "template": {"spec": {"containers": containers}}}


def _replicated_job(name: str) -> Object:
    pod = {"containers": [{"name": "worker", "image": IMAGE}], "restartPolicy": "OnFailure"}
    job = {
        "completionMode": "Indexed",
        "parallelism": 1,
        "completions": 1,
        "template": {"spec": pod},
    }
    return {"name": name, "replicas": 1, "template": {"spec": job}}


def _jobs_ready(job_set: Object) -> bool:
    wanted = {job["name"]: job["replicas"] for job in job_set["spec"]["replicatedJobs"]}
    jobs = job_set.get("status", {}).get("replicatedJobsStatus", [])
    return {job["name"]: job["ready"] for job in jobs} == wanted


def _serving(folder: Path) -> Path:
    """A folder with a certificate and its key under the names that controller-runtime reads."""
    made = folder / "webhook"
    made.mkdir(exist_ok=True)
    certificates = make_certificates(made, (ADDRESS,))
    shutil.copy(certificates.serving, made / "tls.crt")
    shutil.copy(certificates.serving_key, made / "tls.key")
    return made


class KubeRay:
    """A RayCluster of a head and two workers: three pods and a Service."""

    _BINARY = Binary(
        "kuberay",
        project="github.com/ray-project/kuberay/ray-operator",
        command="github.com/ray-project/kuberay/ray-operator",
        minutes=2,
        modules=MODULES,
    )
    subject = Subject(
        RAY_CLUSTER,
        (SERVICE, POD),
        parent=lambda child: _owner(child, RAY_CLUSTER),
        ready=lambda cluster: bool(cluster.get("status", {}).get("state") == "ready"),
    )

    @property
    def name(self) -> str:
        return f"KubeRay {self._BINARY.version.removeprefix('v')}"

    def build(self) -> Path:
        return binaries.built("kuberay", self._BINARY)

    def definitions(self) -> str:
        return _manifests(binaries.source(self._BINARY) / "config/crd/bases")

    def body(self, name: str) -> Object:
        workers = {"groupName": "workers", "replicas": 2, "minReplicas": 2, "maxReplicas": 2}
        return {
            "apiVersion": RAY_CLUSTER.api_version,
            "kind": RAY_CLUSTER.kind,
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "headGroupSpec": _ray_group("ray-head"),
                "workerGroupSpecs": [workers | _ray_group("ray-worker")],
            },
        }

    def command(self, kubeconfig: Path, port: int, folder: Path) -> Command:
        return [
            self.build(),
            f"--kubeconfig={kubeconfig}",
            "--enable-leader-election=false",
            "--metrics-addr=0",
            f"--health-probe-bind-address={ADDRESS}:{port}",
            f"--qps={REQUESTS_PER_SECOND}",
            f"--burst={2 * REQUESTS_PER_SECOND}",
            *QUIET,
        ]


class JobSet:
    """A JobSet of two Jobs, each of one pod, and the headless Service of their names.

    What its webhook would fill in is in the object already.
    """

    _BINARY = Binary(
        "jobset",
        project="sigs.k8s.io/jobset",
        command="sigs.k8s.io/jobset",
        minutes=2,
        modules=MODULES,
    )
    subject = Subject(
        JOB_SET,
        (SERVICE, JOB),
        parent=lambda child: _owner(child, JOB_SET),
        ready=_jobs_ready,
    )

    @property
    def name(self) -> str:
        return f"JobSet {self._BINARY.version.removeprefix('v')}"

    def build(self) -> Path:
        return binaries.built("jobset", self._BINARY)

    def definitions(self) -> str:
        return _manifests(binaries.source(self._BINARY) / "config/components/crd/bases")

    def body(self, name: str) -> Object:
        return {
            "apiVersion": JOB_SET.api_version,
            "kind": JOB_SET.kind,
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "network": {"enableDNSHostnames": True, "publishNotReadyAddresses": True},
                "successPolicy": {"operator": "All"},
                "startupPolicy": {"startupPolicyOrder": "AnyOrder"},
                "replicatedJobs": [_replicated_job("leader"), _replicated_job("worker")],
            },
        }

    def command(self, kubeconfig: Path, port: int, folder: Path) -> Command:
        configuration = folder / "jobset.json"
        configuration.write_text(json.dumps(self._configuration(port, folder)))
        return [
            self.build(),
            f"--kubeconfig={kubeconfig}",
            f"--config={configuration}",
            *QUIET,
        ]

    def _configuration(self, port: int, folder: Path) -> Object:
        return {
            "apiVersion": "config.jobset.x-k8s.io/v1alpha1",
            "kind": "Configuration",
            "leaderElection": {"leaderElect": False},
            # The server of its webhooks cannot be turned off; the API server knows of none.
            "webhook": {"host": ADDRESS, "port": free_port(), "certDir": str(_serving(folder))},
            "internalCertManagement": {"enable": False},
            "metrics": {"bindAddress": "0"},
            "health": {"healthProbeBindAddress": f"{ADDRESS}:{port}"},
            "clientConnection": {"qps": REQUESTS_PER_SECOND, "burst": 2 * REQUESTS_PER_SECOND},
        }


PEERS: dict[str, Contestant] = {"kuberay": KubeRay(), "jobset": JobSet()}
