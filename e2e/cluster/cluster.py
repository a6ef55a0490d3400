"""A cluster to test on, however it came up: its kubeconfig, and kubectl."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.cluster import binaries

EXISTING = "GREENROOM_E2E_KUBECONFIG"
"""The environment variable that names a cluster to use instead of starting one."""

KUBECTL_SECONDS = 60.0
TOKEN_LIFETIME = "4h"


class KubectlError(Exception):
    """kubectl ended with an error; the message is what it said."""


@dataclass(frozen=True)
class Kubectl:
    """The real kubectl on one cluster.

    kubectl = Kubectl(kubeconfig, namespace="t-1")
    kubectl("apply", "--server-side", "-f", "-", stdin=manifest)
    ready = kubectl.json("get", "deployment", "x")["status"]["readyReplicas"]

    Attributes:
        kubeconfig: which cluster, and as whom.
        namespace: where a command goes that names none itself.
    """

    kubeconfig: Path
    namespace: str = "default"

    def __call__(
        self, *arguments: str, stdin: str | None = None, seconds: float = KUBECTL_SECONDS
    ) -> str:
        """Run a command and return what it printed.

        Raises:
            KubectlError: it failed.
            subprocess.TimeoutExpired: it took longer than `seconds`.
        """
        done = subprocess.run(
            [
                binaries.path("kubectl"),
                f"--kubeconfig={self.kubeconfig}",
                f"--namespace={self.namespace}",
                f"--cache-dir={self.kubeconfig.parent / 'kubectl-cache'}",
                *arguments,
            ],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if done.returncode:
            said = done.stderr.strip() or done.stdout.strip()
            raise KubectlError(f"kubectl {' '.join(arguments)}: {said}")
        return done.stdout

    def json(self, *arguments: str, stdin: str | None = None) -> Any:
        """Run a command with `--output=json` and return what it printed, parsed."""
        return json.loads(self(*arguments, "--output=json", stdin=stdin))


@dataclass(frozen=True)
class Cluster:
    """A running cluster.

    Attributes:
        kubeconfig: of an administrator.
        folder: where files of this user of the cluster go.
        audit_log: where each request is recorded, None if it is not.
    """

    kubeconfig: Path
    folder: Path
    audit_log: Path | None = None

    @classmethod
    def existing(cls, folder: Path) -> Cluster | None:
        """The cluster that `GREENROOM_E2E_KUBECONFIG` names, None if it names none.

        `folder` gets a copy of that kubeconfig, with the files it refers to inside.
        """
        named = os.environ.get(EXISTING)
        if not named:
            return None
        copy = folder / "kubeconfig"
        copy.touch(mode=0o600)
        copy.write_text(Kubectl(Path(named).resolve())("config", "view", "--raw", "--flatten"))
        return cls(copy, folder)

    def kubectl(self, namespace: str = "default") -> Kubectl:
        """The real kubectl as an administrator."""
        return Kubectl(self.kubeconfig, namespace)

    def kubeconfig_for(self, namespace: str, service_account: str) -> Path:
        """A kubeconfig with the rights of a ServiceAccount that is there already.

        It holds a token as a pod would get it, for four hours.
        """
        kubectl = self.kubectl(namespace)
        token = kubectl("create", "token", service_account, f"--duration={TOKEN_LIFETIME}")
        server = kubectl.json("config", "view", "--raw", "--minify")["clusters"][0]["cluster"]
        path = self.folder / f"{namespace}.{service_account}.kubeconfig"
        write_kubeconfig(path, server, token.strip(), namespace)
        return path


def write_kubeconfig(
    path: Path, server: dict[str, Any], token: str, namespace: str = "default"
) -> None:
    """Write the kubeconfig of a user who is known by a token.

    It is JSON, which is YAML. `server` is the `cluster` of a kubeconfig: where it is and how
    it is trusted.
    """
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "greenroom-e2e", "cluster": server}],
        "users": [{"name": "user", "user": {"token": token}}],
        "contexts": [
            {
                "name": "greenroom-e2e",
                "context": {"cluster": "greenroom-e2e", "user": "user", "namespace": namespace},
            }
        ],
        "current-context": "greenroom-e2e",
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(content, indent=1))
