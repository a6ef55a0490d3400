"""The kinds of objects that the operator reads and writes, and where the API server has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from greenroom_api.experiment import GROUP, KIND, VERSION
from greenroom_operator.names import WORKLOAD as WORKLOAD_KIND


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of namespaced objects.

    Attributes:
        group, version, kind, plural: as discovery names them; the core group is "".
        prunable: whether an object of ours that is no longer planned is deleted. What holds
            data is not.
    """

    group: str
    version: str
    kind: str
    plural: str
    prunable: bool = True

    @property
    def api_version(self) -> str:
        """``apiVersion`` of an object."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None, name: str = "", subresource: str = "") -> str:
        """Return the URL path of an object, or of all objects without a name.

        >>> DEPLOYMENT.path("team", "x-learner")
        '/apis/apps/v1/namespaces/team/deployments/x-learner'
        """
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        place = f"/namespaces/{namespace}" if namespace else ""
        parts = [root + place, self.plural, name, subresource]
        return "/".join(part for part in parts if part)


EXPERIMENT: Final = Kind(GROUP, VERSION, KIND, "rlexperiments", prunable=False)
STATEFUL_SET: Final = Kind("apps", "v1", "StatefulSet", "statefulsets")
DEPLOYMENT: Final = Kind("apps", "v1", "Deployment", "deployments")
SERVICE: Final = Kind("", "v1", "Service", "services")
CONFIG_MAP: Final = Kind("", "v1", "ConfigMap", "configmaps")
VOLUME_CLAIM: Final = Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", False)
DISRUPTION_BUDGET: Final = Kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets")
NETWORK_POLICY: Final = Kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies")
POD_MONITOR: Final = Kind("monitoring.coreos.com", "v1", "PodMonitor", "podmonitors")
WORKLOAD: Final = Kind("kueue.x-k8s.io", "v1beta2", WORKLOAD_KIND, "workloads")
"""Kueue's. What Kubernetes calls workloads are `WORKLOADS`."""
RESOURCE_FLAVOR: Final = Kind("kueue.x-k8s.io", "v1beta2", "ResourceFlavor", "resourceflavors")
PRIORITY_CLASS: Final = Kind(
    "kueue.x-k8s.io", "v1beta2", "WorkloadPriorityClass", "workloadpriorityclasses"
)
POD: Final = Kind("", "v1", "Pod", "pods", prunable=False)
SECRET: Final = Kind("", "v1", "Secret", "secrets", prunable=False)
EVENT: Final = Kind("", "v1", "Event", "events", prunable=False)
LEASE: Final = Kind("coordination.k8s.io", "v1", "Lease", "leases", prunable=False)

WORKLOADS: Final = (STATEFUL_SET, DEPLOYMENT)
CHILDREN: Final = (
    CONFIG_MAP,
    VOLUME_CLAIM,
    SERVICE,
    NETWORK_POLICY,
    *WORKLOADS,
    DISRUPTION_BUDGET,
    POD_MONITOR,
    WORKLOAD,
)
"""What a plan is made of."""

OPTIONAL: Final = (POD_MONITOR, WORKLOAD)
"""Kinds that not every cluster knows."""

BY_NAME: Final = {kind.kind: kind for kind in (*CHILDREN, POD, SECRET)}
