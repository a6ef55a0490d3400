"""kind itself, and the binaries of a node where kind's own node image cannot be pulled."""

from __future__ import annotations

from pathlib import Path

from e2e.cluster import binaries
from e2e.cluster.binaries import Binary

MODULES = Path(__file__).with_name("modules")
_KUBERNETES = "k8s.io/kubernetes"
_DISTRIBUTION = "github.com/distribution/distribution/v3"

KIND = Binary("kind", "sigs.k8s.io/kind", "sigs.k8s.io/kind", 1, modules=MODULES)
COREDNS = Binary(
    "coredns", "github.com/coredns/coredns", "github.com/coredns/coredns", 3, modules=MODULES
)
REGISTRY = Binary("registry", _DISTRIBUTION, f"{_DISTRIBUTION}/cmd/registry", 1, modules=MODULES)
KUBELET = Binary("kubernetes", _KUBERNETES, f"{_KUBERNETES}/cmd/kubelet", 2)
KUBEADM = Binary("kubernetes", _KUBERNETES, f"{_KUBERNETES}/cmd/kubeadm", 1)
KUBE_PROXY = Binary("kubernetes", _KUBERNETES, f"{_KUBERNETES}/cmd/kube-proxy", 1)


def kind() -> Path:
    """The command `kind`."""
    return binaries.built("kind", KIND)


def registry() -> Path:
    """The registry that nodes pull from."""
    return binaries.built("registry", REGISTRY)


def of_a_node() -> dict[str, Path]:
    """All that a node of a cluster runs, by the name that it has there."""
    control = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
    return {name: binaries.path(name) for name in control} | {
        "coredns": binaries.built("coredns", COREDNS),
        "kubelet": binaries.built("kubelet", KUBELET),
        "kubeadm": binaries.built("kubeadm", KUBEADM),
        "kube-proxy": binaries.built("kube-proxy", KUBE_PROXY),
    }
