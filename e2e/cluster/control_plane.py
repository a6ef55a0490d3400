"""A real Kubernetes control plane as processes on 127.0.0.1; needs neither root nor Docker.

    with ControlPlane(nodes=2) as plane:
        kubectl = plane.cluster.kubectl()
        kubectl("create", "deployment", "web", "--image=any")
        plane.apiserver.restart()

etcd, kube-apiserver, kube-controller-manager and kube-scheduler are the ones of a real cluster;
nodes and pods are simulated by kwok (`kwok.py`), or pods run as processes (`node_agent.py`).
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import requests

from e2e.cluster import binaries, commands
from e2e.cluster.certificates import Certificates, make_certificates
from e2e.cluster.client import Api, ApiError, Object
from e2e.cluster.cluster import Cluster, write_kubeconfig
from e2e.cluster.commands import ADDRESS, SERVICE_ADDRESS
from e2e.cluster.kwok import kwok_command, make_nodes
from e2e.cluster.processes import Component, free_port, remove_when_gone, wait_until

READY_SECONDS = 90.0
REQUESTS_PER_SECOND = 1000
MEMORY_FOLDER = Path("/dev/shm")
USERS = {
    "admin": "system:masters",
    "system:kube-controller-manager": "",
    "system:kube-scheduler": "",
    "kwok": "system:masters",
}
# What the control plane asks of itself is nine tenths of all, and nobody's question here.
AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: ["system:apiserver", "system:kube-controller-manager", "system:kube-scheduler", "kwok"]
- level: None
  userGroups: ["system:serviceaccounts:kube-system"]
- level: Metadata
"""

# As on most clusters: the default class, its volumes may grow.
STORAGE_CLASS = {
    "metadata": {
        "name": "standard",
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    },
    "provisioner": "kubernetes.io/host-path",
    "allowVolumeExpansion": True,
}


class ControlPlane:
    """A control plane that lives as long as its `with` block, or its process.

    Its processes are killed when the process that started it ends, even by SIGKILL.

    Args:
        nodes: of kwok; without any, kwok is not started.
        audit: whether each request is recorded in `cluster.audit_log`, at Metadata level.
        apiserver_flags: more flags, such as `--feature-gates=WatchList=false`.
        requests_per_second: that controller manager and scheduler may make. The defaults of
            Kubernetes, 20 and 50, would be what a load test measures.
        folder: where logs and kubeconfigs go; kept. None: a new one, removed afterwards.

    Attributes:
        cluster: what tests use: kubeconfig and kubectl.
        folder: logs (`NAME.log`), certificates, kubeconfigs.
        url: of the API server.
        etcd, apiserver, controller_manager, scheduler, kwok: the components. Each can be
            stopped, killed, paused and started; kwok is None without nodes.
    """

    def __init__(
        self,
        *,
        nodes: int = 0,
        audit: bool = False,
        apiserver_flags: Sequence[str] = (),
        requests_per_second: int = REQUESTS_PER_SECOND,
        folder: Path | None = None,
    ) -> None:
        self._kept_folder = folder
        self._nodes = nodes
        self._audit = audit
        self._apiserver_flags = apiserver_flags
        self._requests_per_second = requests_per_second
        self._tokens = {user: secrets.token_hex(16) for user in USERS}

    def __enter__(self) -> ControlPlane:
        binaries.build(self._binaries())
        self._make_folders()
        try:
            self._make_components()
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def components(self) -> tuple[Component, ...]:
        """All of them, in the order in which they start."""
        made = (self.etcd, self.apiserver, self.controller_manager, self.scheduler, self.kwok)
        return tuple(component for component in made if component)

    def api(self) -> Api:
        """The API server as an administrator, for one thread; close it after use."""
        return Api.of(self.cluster.kubeconfig)

    def close(self) -> None:
        """Kill every process and remove what is not kept."""
        volumes = self._volumes()
        for component in reversed(self._made):
            # Not asked first: what they would put in order is thrown away.
            component.kill()
        self._remove_folders()
        for volume in volumes:
            shutil.rmtree(volume, ignore_errors=True)

    def _volumes(self) -> list[str]:
        """Folders of provisioned volumes; their place below /tmp is the provisioner's choice."""
        if len(self._made) < 2 or not self._made[1].running:
            return []
        self._made[1].resume()
        try:
            with self.api() as api:
                found = api.get("/api/v1/persistentvolumes")["items"]
        except (ApiError, requests.RequestException):
            return []
        return [volume["spec"]["hostPath"]["path"] for volume in found if _provisioned(volume)]

    def _binaries(self) -> list[str]:
        names = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"]
        return [*names, "kwok"] if self._nodes else names

    def _make_folders(self) -> None:
        self._made: list[Component] = []
        scratch = Path(tempfile.mkdtemp(prefix="greenroom-e2e-"))
        # In memory, a write to etcd costs no disk and a test's etcd no wear.
        in_memory = MEMORY_FOLDER if MEMORY_FOLDER.is_dir() else None
        self._data = Path(tempfile.mkdtemp(prefix="greenroom-etcd-", dir=in_memory))
        self._remove_folders = remove_when_gone(scratch, self._data)
        self.folder = self._kept_folder or scratch
        self.folder.mkdir(parents=True, exist_ok=True)
        self._certificates = make_certificates(self.folder, (ADDRESS, SERVICE_ADDRESS))

    def _make_components(self) -> None:
        port, trust = free_port(), self._certificates
        self.url = f"https://{ADDRESS}:{port}"
        audit_log = self.folder / "audit.log" if self._audit else None
        self.cluster = Cluster(self._kubeconfig("admin"), self.folder, audit_log)
        clients, peers = (f"http://{ADDRESS}:{free_port()}" for _ in range(2))
        etcd = commands.etcd(self._data, clients, peers)
        self.etcd = self._make("etcd", etcd, clients, "/health")
        flags = [*self._audit_flags(), *self._apiserver_flags]
        apiserver = commands.apiserver(clients, port, trust, self._write_tokens())
        self.apiserver = self._make("kube-apiserver", [*apiserver, *flags], self.url, "/readyz")
        self.controller_manager = self._make_client(
            "kube-controller-manager", commands.controller_manager
        )
        self.scheduler = self._make_client("kube-scheduler", commands.scheduler)
        self.kwok = self._make_kwok() if self._nodes else None

    def _audit_flags(self) -> list[str]:
        if not self.cluster.audit_log:
            return []
        policy = self.folder / "audit-policy.yaml"
        policy.write_text(AUDIT_POLICY)
        return commands.audit_flags(policy, self.cluster.audit_log)

    def _write_tokens(self) -> Path:
        path = self.folder / "tokens.csv"
        path.touch(mode=0o600)
        lines = (f'{self._tokens[user]},{user},{user},"{USERS[user]}"' for user in USERS)
        path.write_text("\n".join(lines))
        return path

    def _make_client(
        self, name: str, command: Callable[[Path, int, Certificates, int], commands.Command]
    ) -> Component:
        port, kubeconfig = free_port(), self._kubeconfig(f"system:{name}")
        words = command(kubeconfig, port, self._certificates, self._requests_per_second)
        return self._make(name, words, f"https://{ADDRESS}:{port}", "/healthz")

    def _make_kwok(self) -> Component:
        port = free_port()
        command = kwok_command(self._kubeconfig("kwok"), f"{ADDRESS}:{port}")
        return self._make("kwok", command, f"http://{ADDRESS}:{port}", "/healthz")

    def _make(self, name: str, command: Sequence[str | Path], url: str, health: str) -> Component:
        def ready() -> bool:
            with Api(url, self._certificates.authority, self._tokens["admin"]) as probe:
                return probe.ready(health)

        component = Component(name, command, self.folder / f"{name}.log", ready)
        self._made.append(component)
        return component

    def _kubeconfig(self, user: str) -> Path:
        name = "kubeconfig" if user == "admin" else f"{user.rpartition(':')[2]}.kubeconfig"
        server = {"server": self.url, "certificate-authority": str(self._certificates.authority)}
        write_kubeconfig(self.folder / name, server, self._tokens[user])
        return self.folder / name

    def _start(self) -> None:
        for component in self.components[:2]:
            component.start()
            component.wait_ready(READY_SECONDS)
        for component in self.components[2:]:
            component.start()
        with self.api() as api:
            api.create("/apis/storage.k8s.io/v1/storageclasses", STORAGE_CLASS)
            make_nodes(api, self._nodes)
            for component in self.components[2:]:
                component.wait_ready(READY_SECONDS)
            # Pods are refused until the controllers have made this one.
            wait_until(
                lambda: _exists(api, "/api/v1/namespaces/default/serviceaccounts/default"),
                READY_SECONDS,
                "the controller manager makes ServiceAccount default/default",
            )


def _provisioned(volume: Object) -> bool:
    annotations = volume["metadata"].get("annotations", {})
    return bool(annotations.get("pv.kubernetes.io/provisioned-by") == STORAGE_CLASS["provisioner"])


def _exists(api: Api, path: str) -> bool:
    try:
        api.get(path)
    except ApiError as problem:
        if problem.code != 404:
            raise
        return False
    return True
