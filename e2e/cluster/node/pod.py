"""One pod of the node: a thread that does for it what kubelet does."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import requests

from e2e.cluster.client import STRATEGIC, Api, ApiError, Object
from e2e.cluster.node.container import PATH, Launch, Mount, Run
from e2e.cluster.node.environment import ConfigError, command, environment
from e2e.cluster.node.life import Life
from e2e.cluster.node.network import Network, wait_for_namespace
from e2e.cluster.node.status import pod_status
from e2e.cluster.node.volumes import make_volumes
from e2e.cluster.processes import start

STEP_SECONDS = 0.1
VOLUME_SECONDS = 2.0
DEFAULT_USER = 65532
GONE = 404


@dataclass(frozen=True)
class Host:
    """What the pods of a node share.

    Attributes:
        api: the API server; each pod clones it.
        network: their bridge.
        folder: for their files.
        logs: for their containers' output.
        waits: seconds before a container's first, second, ... restart.
    """

    api: Api
    network: Network
    folder: Path
    logs: Path
    waits: Sequence[float]


class PodWorker(threading.Thread):
    """Runs a pod until it is deleted; `pod` is the newest object that the agent has seen."""

    def __init__(self, host: Host, pod: Object) -> None:
        meta = pod["metadata"]
        super().__init__(name=f"pod {meta['namespace']}/{meta['name']}", daemon=True)
        self.pod = pod
        self.hosts = ""
        self._host = host
        self._api = host.api.clone()
        self._folder = host.folder / meta["uid"]
        self._end = threading.Event()
        self._volumes: dict[str, Path] = {}
        self._volumes_due = 0.0
        self._reported: Object = {}
        self._path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"

    def end(self) -> None:
        """Kill everything, say nothing to the API server: as if the node had lost its power."""
        self._end.set()

    def run(self) -> None:
        """Do what is due until the pod is gone."""
        self._make_sandbox()
        try:
            while not self._end.wait(STEP_SECONDS):
                if "deletionTimestamp" in self.pod["metadata"]:
                    self._terminate()
                    return
                self._step()
                self._report()
        finally:
            self._remove()

    def _make_sandbox(self) -> None:
        self._folder.mkdir(parents=True)
        log = self._folder / "sandbox.log"
        hold = 'echo "$1" >/proc/sys/kernel/hostname; exec sleep infinity'
        name = self.pod["metadata"]["name"]
        with log.open("w") as file:
            made = ["unshare", "--net", "--uts", "--ipc", "sh", "-c", hold, "sh", name]
            self._sandbox = start(made, file)
        wait_for_namespace(self._sandbox, "net", log)
        address = self._host.network.join(self._sandbox.pid)
        self._addresses = {"podIP": address, "hostIP": self._host.network.host}
        self._hosts_file = self._folder / "hosts"
        self._write_hosts()
        spec = self.pod["spec"]
        policy = spec.get("restartPolicy", "Always")
        init_policy = "Never" if policy == "Never" else "OnFailure"
        self._inits = [self._life(c, init_policy) for c in spec.get("initContainers", [])]
        self._mains = [self._life(c, policy) for c in spec["containers"]]

    def _life(self, container: Object, policy: str) -> Life:
        return Life(
            container,
            policy=policy,
            grace=self.pod["spec"].get("terminationGracePeriodSeconds", 30),
            waits=self._host.waits,
            launch=lambda number: self._launch(container, number),
            address=self._addresses["podIP"],
        )

    def _step(self) -> None:
        self._write_hosts()
        if time.monotonic() > self._volumes_due:
            self._volumes_due = time.monotonic() + VOLUME_SECONDS
            self._refresh_volumes()
        for life in self._inits:
            life.step()
            if life.exit_code != 0:
                return
        for life in self._mains:
            life.step()

    def _refresh_volumes(self) -> None:
        try:
            self._volumes = make_volumes(
                self.pod, self._folder / "volumes", self._addresses, self._lookup, self._claim
            )
        except ConfigError:
            # A container that needs it says so itself when it is to be started.
            self._volumes_due = 0.0

    def _launch(self, container: Object, number: int) -> Run:
        if not self._volumes and self.pod["spec"].get("volumes"):
            # Raises what is wrong.
            self._volumes = make_volumes(
                self.pod, self._folder / "volumes", self._addresses, self._lookup, self._claim
            )
        variables = {"PATH": PATH, "HOME": "/", "HOSTNAME": self.pod["metadata"]["name"]}
        variables |= environment(self.pod, container, self._addresses, self._lookup)
        context = {**self.pod["spec"].get("securityContext", {})}
        context |= container.get("securityContext", {})
        user = context.get("runAsUser", DEFAULT_USER if context.get("runAsNonRoot") else 0)
        group = context.get("fsGroup")
        launch = Launch(
            container=container,
            command=command(container, variables),
            environment=variables,
            mounts=self._mounts(container, group),
            user=user,
            group=context.get("runAsGroup", user),
            groups=() if group is None else (group,),
        )
        name = f"{container['name']}.{number}"
        meta = self.pod["metadata"]
        label = f"{meta['namespace']}_{meta['name']}_{meta['uid'][:8]}_{name}"
        log = self._host.logs / f"{label}.log"
        return Run(launch, self._sandbox.pid, self._folder / "runs" / name, log)

    def _mounts(self, container: Object, group: int | None) -> list[Mount]:
        mounts = [Mount(self._hosts_file, "/etc/hosts")]
        for wanted in container.get("volumeMounts", []):
            source = self._volumes[wanted["name"]]
            if group is not None and not wanted.get("readOnly"):
                _give(source, group)
            if "subPath" in wanted:
                source = source / wanted["subPath"]
                if not source.exists():
                    source.mkdir(parents=True)
            mounts.append(Mount(source, wanted["mountPath"], wanted.get("readOnly", False)))
        # Outer ones first: an inner one lies on top.
        return sorted(mounts, key=lambda mount: mount.path)

    def _terminate(self) -> None:
        lives = [*self._inits, *self._mains]
        grace = self.pod["metadata"].get("deletionGracePeriodSeconds", 30)
        for life in lives:
            life.give_up()
            life.terminate(grace)
        while any(life.running for life in lives) and not self._end.wait(STEP_SECONDS):
            self._write_hosts()
            for life in lives:
                life.step()
            self._report()
        while not self._end.is_set() and not self._delete():
            self._end.wait(STEP_SECONDS)

    def _report(self) -> None:
        status = pod_status(self.pod, self._inits, self._mains, self._addresses, self._reported)
        if status == self._reported:
            return
        body = {"metadata": {"uid": self.pod["metadata"]["uid"]}, "status": status}
        try:
            self._api.patch(f"{self._path}/status", body, STRATEGIC)
        except (ApiError, requests.RequestException):
            # The next step tries again; a pod that is gone for good is ended by the agent.
            return
        self._reported = status

    def _delete(self) -> bool:
        self._report()
        uid = self.pod["metadata"]["uid"]
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
        try:
            self._api.delete(self._path, body)
        except ApiError as problem:
            return problem.code in (GONE, 409)
        except requests.RequestException:
            return False
        return True

    def _remove(self) -> None:
        for life in [*self._inits, *self._mains]:
            life.kill()
        self._sandbox.kill()
        self._sandbox.wait()
        self._host.network.leave(self._addresses["podIP"])
        self._api.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _write_hosts(self) -> None:
        own = f"127.0.0.1 localhost\n{self._addresses['podIP']} {self.pod['metadata']['name']}\n"
        text = own + self.hosts
        if not self._hosts_file.exists() or self._hosts_file.read_text() != text:
            # In place: containers have this very file mounted.
            with self._hosts_file.open("w") as file:
                file.write(text)

    def _lookup(self, kind: str, name: str) -> Object | None:
        namespace = self.pod["metadata"]["namespace"]
        return self._read(f"/api/v1/namespaces/{namespace}/{kind}/{name}")

    def _claim(self, name: str) -> Path:
        claim = self._lookup("persistentvolumeclaims", name)
        if not claim or "volumeName" not in claim["spec"]:
            raise ConfigError(f'persistentvolumeclaim "{name}" is not bound')
        volume = self._read(f"/api/v1/persistentvolumes/{claim['spec']['volumeName']}")
        if not volume or "hostPath" not in volume["spec"]:
            raise ConfigError(f'persistentvolumeclaim "{name}" is not a folder of this node')
        folder = Path(volume["spec"]["hostPath"]["path"])
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _read(self, path: str) -> Object | None:
        try:
            return self._api.get(path)
        except ApiError as problem:
            if problem.code == GONE:
                return None
            raise ConfigError(str(problem)) from None
        except requests.RequestException as problem:
            raise ConfigError(str(problem)) from None


def _give(folder: Path, group: int) -> None:
    """As fsGroup does, and as fsGroupChangePolicy OnRootMismatch: only where it is not yet so."""
    if folder.stat().st_gid == group and folder.stat().st_mode & 0o2000:
        return
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            os.chown(path, -1, group)
            path.chmod(path.stat().st_mode | (0o2770 if path.is_dir() else 0o660))
