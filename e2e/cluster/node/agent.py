"""A node whose pods run as real processes: a small kubelet for tests.

    with ControlPlane(nodes=1) as plane, NodeAgent(plane.cluster) as agent:
        kubectl = plane.cluster.kubectl("training")
        agent.take("training")  # pods made in that namespace from now on run here
        kubectl("apply", "-f", "examples/cartpole-dqn.yaml")
        ...
        print(agent.logs())

Done as kubelet does it: init containers, restarts with back-off, exit codes and termination
messages, startup, liveness and readiness probes, SIGTERM and grace on deletion, users and
groups, read-only root folders, ConfigMaps, Secrets (volumes follow their changes), emptyDir and
claims, an address per pod. What a pod sees of other pods: every name of a Service leads straight
to its pods, so a Service's port must be its pods' port.

Left out: images (the command runs from the checkout's environment), limits of CPU and memory,
preStop hooks, sidecar init containers, gRPC probes, logs and exec through the API server,
ServiceAccount tokens (no pod can reach the API server), NetworkPolicies.
It needs root: for namespaces, mounts and interfaces. When its process ends, all of it is gone.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import requests

from e2e.cluster.client import Api, ApiError, Object
from e2e.cluster.cluster import Cluster
from e2e.cluster.node.network import Network
from e2e.cluster.node.pod import Host, PodWorker
from e2e.cluster.processes import remove_when_gone, wait_until

LABEL = "greenroom.dev/node-agent"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
RESTART_WAITS = (0.0, 1.0, 2.0)
POLL_SECONDS = 0.2
LEASE_SECONDS = 10.0
ADMISSION_SECONDS = 60.0
RESTRICTED_POD = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {
            "name": "main",
            "image": "example.com/none:1",
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            },
        }
    ],
}
"""One that every namespace admits; it is never made."""
RESOURCES = {"cpu": "1000", "memory": "4Ti", "pods": "200"}


class NodeAgent:
    """A node for the pods of the namespaces that it takes.

    Args:
        cluster: whose control plane runs on this machine.
        name: of the node; None: a new one.
        restart_waits: seconds before a container's first, second, ... restart.
        folder: where the containers' logs go; kept. None: a new one, removed afterwards.

    Raises:
        NodeError: processes cannot be put in namespaces here.
        ValueError: the cluster is none that a `ControlPlane` started.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        name: str | None = None,
        restart_waits: Sequence[float] = RESTART_WAITS,
        folder: Path | None = None,
    ) -> None:
        self.name = name or f"agent-{uuid.uuid4().hex[:6]}"
        self._cluster = cluster
        self._waits = restart_waits
        self._kept_folder = folder
        self._workers: dict[str, PodWorker] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._loop, name=f"node {self.name}", daemon=True)
        self._lease_due = 0.0

    def __enter__(self) -> NodeAgent:
        with contextlib.ExitStack() as undo:
            self._api = undo.enter_context(Api.of(self._cluster.kubeconfig))
            scratch = Path(tempfile.mkdtemp(prefix="greenroom-node-"))
            undo.callback(remove_when_gone(scratch))
            self._logs = self._kept_folder or scratch / "logs"
            self._logs.mkdir(parents=True, exist_ok=True)
            self._network = Network(scratch / "network.log")
            undo.callback(self._network.close)
            self._host = Host(self._api, self._network, scratch / "pods", self._logs, self._waits)
            self._api.create("/api/v1/nodes", self._node())
            undo.callback(self._leave)
            self._thread.start()
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def take(self, namespace: str) -> None:
        """Let the pods that are made in that namespace from now on come to this node."""
        tolerations = [{"key": LABEL, "operator": "Exists"}]
        annotations = {
            "scheduler.alpha.kubernetes.io/node-selector": f"{LABEL}={self.name}",
            "scheduler.alpha.kubernetes.io/defaultTolerations": json.dumps(tolerations),
        }
        body = {"metadata": {"annotations": annotations}}
        with self._api.clone() as api:
            api.patch(f"/api/v1/namespaces/{namespace}", body)
            # Admission reads the annotations a moment later; a pod before that goes elsewhere.
            wait_until(
                lambda: self._would_come(api, namespace),
                ADMISSION_SECONDS,
                f"pods of {namespace} come to {self.name}",
            )

    def _would_come(self, api: Api, namespace: str) -> bool:
        body = {"metadata": {"generateName": "dry-"}, "spec": RESTRICTED_POD}
        try:
            pod = api.create(f"/api/v1/namespaces/{namespace}/pods?dryRun=All", body)
        except ApiError:
            return False  # the namespace's service account is not there yet
        return LABEL in pod["spec"].get("nodeSelector", {})

    def logs(self, match: str = "") -> str:
        """What containers printed so far: those with `match` in `NAMESPACE_POD_UID_CONTAINER.N`."""
        files = sorted(self._logs.glob("*.log"), key=lambda path: path.stat().st_mtime)
        return "\n".join(
            f"--- {path.stem}\n{path.read_text(errors='replace')}"
            for path in files
            if match in path.stem
        )

    def _leave(self) -> None:
        self._end.set()
        self._thread.join()
        for worker in self._workers.values():
            worker.end()
        for worker in self._workers.values():
            worker.join()
        # The control plane may be gone already, and the node with it.
        with contextlib.suppress(ApiError, requests.RequestException):
            self._api.delete(f"/api/v1/nodes/{self.name}")

    def _node(self) -> Object:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ready = {"type": "Ready", "status": "True", "reason": "AgentReady"}
        times = {"lastHeartbeatTime": now, "lastTransitionTime": now}
        labels = {
            LABEL: self.name,
            "kubernetes.io/hostname": self.name,
            "kubernetes.io/os": "linux",
        }
        return {
            "metadata": {"name": self.name, "labels": labels},
            "spec": {"taints": [{"key": LABEL, "value": self.name, "effect": "NoSchedule"}]},
            "status": {
                "capacity": RESOURCES,
                "allocatable": RESOURCES,
                "conditions": [ready | times],
                "addresses": [{"type": "InternalIP", "address": self._network.host}],
            },
        }

    def _loop(self) -> None:
        while not self._end.wait(POLL_SECONDS):
            try:
                self._renew_lease()
                self._look_at_pods()
                self._look_at_services()
            except (ApiError, requests.RequestException):
                # The API server is away, as it may be in a test; pods go on meanwhile.
                continue

    def _renew_lease(self) -> None:
        if time.monotonic() < self._lease_due:
            return
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": self.name, "leaseDurationSeconds": 40, "renewTime": now}
        try:
            self._api.patch(f"{LEASES}/{self.name}", {"spec": spec})
        except ApiError as problem:
            if problem.code != 404:
                raise
            self._api.create(LEASES, {"metadata": {"name": self.name}, "spec": spec})
        self._lease_due = time.monotonic() + LEASE_SECONDS

    def _look_at_pods(self) -> None:
        found = self._api.get("/api/v1/pods", fieldSelector=f"spec.nodeName={self.name}")["items"]
        pods = {pod["metadata"]["uid"]: pod for pod in found}
        for uid, pod in pods.items():
            if uid in self._workers:
                self._workers[uid].pod = pod
            elif pod["status"].get("phase") not in ("Succeeded", "Failed"):
                self._workers[uid] = PodWorker(self._host, pod)
                self._workers[uid].start()
        for uid in self._workers.keys() - pods.keys():
            # Deleted by its own worker, or by force.
            self._workers[uid].end()
            self._workers.pop(uid).join()

    def _look_at_services(self) -> None:
        lines: defaultdict[str, list[str]] = defaultdict(list)
        slices = self._api.get("/apis/discovery.k8s.io/v1/endpointslices")["items"]
        for found in slices:
            service = found["metadata"].get("labels", {}).get("kubernetes.io/service-name")
            namespace = found["metadata"]["namespace"]
            for endpoint in found.get("endpoints") or []:
                if service and endpoint.get("conditions", {}).get("ready", True):
                    lines[namespace] += _names(endpoint, service, namespace)
        everywhere = {name: "\n".join(sorted(found)) for name, found in lines.items()}
        for worker in list(self._workers.values()):
            own = worker.pod["metadata"]["namespace"]
            worker.hosts = everywhere.get(own, "") + "\n"


def _names(endpoint: Object, service: str, namespace: str) -> list[str]:
    """Lines of /etc/hosts for an endpoint: the Service's names, and the pod's own below them."""
    names = [service, f"{service}.{namespace}", f"{service}.{namespace}.svc"]
    names.append(f"{names[-1]}.cluster.local")
    if "hostname" in endpoint:
        names += [f"{endpoint['hostname']}.{name}" for name in names]
    return [f"{address} {' '.join(names)}" for address in endpoint["addresses"]]
