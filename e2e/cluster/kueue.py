"""The real Kueue beside a control plane: its resources, its controller and its webhooks.

    with ControlPlane(nodes=1) as plane, kueue(plane):
        plane.cluster.kubectl()("get", "clusterqueues")

Its controller is a process on 127.0.0.1, as the control plane is, so that the API server is told
of its webhooks by URL. It needs root, or a user's right to namespaces of their own.
"""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from e2e.cluster import binaries
from e2e.cluster.commands import ADDRESS
from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.processes import Component, free_port

READY_SECONDS = 120.0
GROUP = "kueue.x-k8s.io"
# Whose versions differ, by its own kustomization.
CONVERTED = ("workloads", "localqueues", "clusterqueues", "cohorts", "multikueueclusters")

# It looks for the certificate of its metrics in one place only, and needs nothing else of /etc.
IN_ETC = (
    "mount -t tmpfs tmpfs /etc && mkdir -p /etc/kueue/metrics && "
    'ln -s "$1" /etc/kueue/metrics/certs && shift && exec "$@"'
)
Object = dict[str, Any]


def manifests() -> Path:
    """Folder of its manifests: `crd/bases`, `webhook`, ..."""
    return binaries.source(binaries.BINARIES["kueue"]) / "config" / "components"


@contextmanager
def kueue(plane: ControlPlane) -> Iterator[Component]:
    """Run it inside the block; its resources stay behind.

    The value is its controller, which can be stopped, killed, paused and started.
    """
    folder = plane.folder / "kueue"
    folder.mkdir()
    webhooks, health = free_port(), free_port()
    (folder / "config.yaml").write_text(json.dumps(_settings(folder, webhooks, health)))
    # As controller-runtime names them.
    shutil.copy(plane.folder / "serving.crt", folder / "tls.crt")
    shutil.copy(plane.folder / "serving.key", folder / "tls.key")
    authority = base64.b64encode((plane.folder / "ca.crt").read_bytes()).decode()
    kubectl = plane.cluster.kubectl()

    def apply(objects: list[Object]) -> None:
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        kubectl("apply", "--server-side", "-f", "-", stdin=text)

    def client(path: str) -> Object:
        return {"url": f"https://{ADDRESS}:{webhooks}{path}", "caBundle": authority}

    apply(_resources(client("/convert")))
    kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=60s")
    command: list[str | Path] = [
        *("unshare", "--map-root-user", "--mount", "sh", "-c", IN_ETC, "sh", folder),
        binaries.path("kueue"),
        f"--config={folder / 'config.yaml'}",
        f"--kubeconfig={plane.cluster.kubeconfig}",
    ]

    def ready() -> bool:
        with plane.api() as api:
            return type(api)(f"http://{ADDRESS}:{health}", api.ca, api.token).ready("/readyz")

    component = Component("kueue", command, plane.folder / "kueue.log", ready)
    component.start()
    try:
        component.wait_ready(READY_SECONDS)
        apply(list(_webhooks(client)))
        yield component
    finally:
        component.kill()


def _settings(folder: Path, webhooks: int, health: int) -> Object:
    return {
        "apiVersion": f"config.{GROUP}/v1beta2",
        "kind": "Configuration",
        "health": {"healthProbeBindAddress": f"{ADDRESS}:{health}"},
        "metrics": {"bindAddress": "0"},
        "webhook": {"host": ADDRESS, "port": webhooks, "certDir": str(folder)},
        "leaderElection": {"leaderElect": False},
        "internalCertManagement": {"enable": False},
        "featureGates": {"VisibilityOnDemand": False},
        "integrations": {"frameworks": ["batch/job"]},
        "waitForPodsReady": {"timeout": "5m"},
    }


def _resources(converter: Object) -> list[Object]:
    found = []
    for path in sorted((manifests() / "crd" / "bases").glob("*.yaml")):
        resource = yaml.safe_load(path.read_text())
        if resource["spec"]["names"]["plural"] in CONVERTED:
            webhook = {"clientConfig": converter, "conversionReviewVersions": ["v1"]}
            resource["spec"]["conversion"] = {"strategy": "Webhook", "webhook": webhook}
        found.append(resource)
    return found


def _webhooks(client: Any) -> Iterator[Object]:
    """Yield the configurations, with the webhooks of its own kinds: no other is switched on."""
    text = (manifests() / "webhook" / "manifests.yaml").read_text()
    for configuration in yaml.safe_load_all(text):
        configuration["metadata"]["name"] = f"kueue-{configuration['metadata']['name']}"
        kept = []
        for webhook in configuration["webhooks"]:
            if webhook["rules"][0]["apiGroups"] == [GROUP]:
                path = webhook["clientConfig"]["service"]["path"]
                kept.append(webhook | {"clientConfig": client(path)})
        yield configuration | {"webhooks": kept}
