"""The command of each component: which flags, and why."""

from __future__ import annotations

from pathlib import Path

from e2e.cluster import binaries
from e2e.cluster.certificates import Certificates

Command = list[str | Path]

ADDRESS = "127.0.0.1"
SERVICE_RANGE = "10.96.0.0/16"
SERVICE_ADDRESS = "10.96.0.1"
STORE_BYTES = 8 * 2**30


def etcd(data: Path, clients: str, peers: str) -> Command:
    """The store; its files in `data`, for clients and (absent) peers at these URLs."""
    return [
        binaries.path("etcd"),
        f"--data-dir={data}/etcd",
        f"--listen-client-urls={clients}",
        f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
        # Nothing has to outlive the machine.
        "--unsafe-no-fsync",
        f"--quota-backend-bytes={STORE_BYTES}",
    ]


def apiserver(store: str, port: int, certificates: Certificates, tokens: Path) -> Command:
    """The API server at `port`, with RBAC; users are those of the file `tokens`."""
    return [
        binaries.path("kube-apiserver"),
        f"--etcd-servers={store}",
        f"--bind-address={ADDRESS}",
        f"--secure-port={port}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        f"--tls-cert-file={certificates.serving}",
        f"--tls-private-key-file={certificates.serving_key}",
        f"--service-account-signing-key-file={certificates.service_accounts}",
        f"--service-account-key-file={certificates.service_accounts}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--token-auth-file={tokens}",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged",
        # By a namespace's annotations its pods come to a NodeAgent's node.
        "--enable-admission-plugins=PodNodeSelector,PodTolerationRestriction",
        # Nobody would answer there: the Service's address leads nowhere on this machine.
        "--endpoint-reconciler-type=none",
    ]


def audit_flags(policy: Path, log: Path) -> list[str]:
    """Flags with which the API server records each request in `log`."""
    return [
        f"--audit-policy-file={policy}",
        f"--audit-log-path={log}",
        # In the file before the answer is sent, so that a test reads what it did.
        "--audit-log-mode=blocking",
        # One file, whose end a test remembers: at 100 MB the default begins another.
        "--audit-log-maxsize=4096",
    ]


def controller_manager(
    kubeconfig: Path, port: int, certificates: Certificates, rate: int
) -> Command:
    """The controllers; they may make `rate` requests per second."""
    return [
        *_client("kube-controller-manager", kubeconfig, port, certificates, rate),
        f"--service-account-private-key-file={certificates.service_accounts}",
        f"--root-ca-file={certificates.authority}",
        "--use-service-account-credentials",
        "--controllers=*,-nodeipam,-cloud-node-lifecycle",
        # Claims of the default class get a folder of this machine; only a NodeAgent mounts it.
        "--enable-hostpath-provisioner",
    ]


def scheduler(kubeconfig: Path, port: int, certificates: Certificates, rate: int) -> Command:
    """The scheduler; it may make `rate` requests per second."""
    return _client("kube-scheduler", kubeconfig, port, certificates, rate)


def _client(
    name: str, kubeconfig: Path, port: int, certificates: Certificates, rate: int
) -> Command:
    return [
        binaries.path(name),
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--bind-address={ADDRESS}",
        f"--secure-port={port}",
        f"--tls-cert-file={certificates.serving}",
        f"--tls-private-key-file={certificates.serving_key}",
        "--leader-elect=false",
        f"--kube-api-qps={rate}",
        f"--kube-api-burst={2 * rate}",
    ]
