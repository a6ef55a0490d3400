"""The `restricted` Pod Security Standard, as its page states it.

https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
PROFILES = ("RuntimeDefault", "Localhost")
SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}
CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
SELINUX = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")


def violations(spec: Mapping[str, Any]) -> list[str]:
    """Return what a PodSpec breaks, [] if it is restricted."""
    return [*_of_pod(spec), *_of_containers(spec)]


def _of_pod(spec: Mapping[str, Any]) -> Iterator[str]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield field
    for volume in spec.get("volumes", ()):
        kinds = volume.keys() - {"name"}
        if not kinds <= VOLUMES:
            yield f"volume {volume['name']}: {', '.join(sorted(kinds))}"
    security = spec.get("securityContext", {})
    for sysctl in security.get("sysctls", ()):
        if sysctl["name"] not in SYSCTLS:
            yield f"sysctl {sysctl['name']}"
    yield from _of_security("pod", security)


def _of_containers(spec: Mapping[str, Any]) -> Iterator[str]:
    pod = spec.get("securityContext", {})
    for container in (one for kind in CONTAINERS for one in spec.get(kind, ())):
        name, security = container["name"], container.get("securityContext", {})
        yield from _of_security(name, security)
        if any(port.get("hostPort") for port in container.get("ports", ())):
            yield f"{name}: hostPort"
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if container.get(probe, {}).get("httpGet", {}).get("host"):
                yield f"{name}: host of {probe}"
        if security.get("privileged"):
            yield f"{name}: privileged"
        if security.get("procMount", "Default") != "Default":
            yield f"{name}: procMount"
        if security.get("allowPrivilegeEscalation") is not False:
            yield f"{name}: allowPrivilegeEscalation"
        capabilities = security.get("capabilities", {})
        if "ALL" not in capabilities.get("drop", ()):
            yield f"{name}: capabilities are not dropped"
        if not set(capabilities.get("add", ())) <= {"NET_BIND_SERVICE"}:
            yield f"{name}: capabilities are added"
        if security.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True:
            yield f"{name}: runAsNonRoot"
        profile = security.get("seccompProfile", pod.get("seccompProfile", {}))
        if profile.get("type") not in PROFILES:
            yield f"{name}: seccompProfile"


def _of_security(name: str, security: Mapping[str, Any]) -> Iterator[str]:
    if security.get("runAsUser") == 0:
        yield f"{name}: runAsUser"
    if security.get("windowsOptions", {}).get("hostProcess"):
        yield f"{name}: hostProcess"
    options = security.get("seLinuxOptions", {})
    if options.get("user") or options.get("role") or options.get("type", "") not in SELINUX:
        yield f"{name}: seLinuxOptions"
    profile = security.get("appArmorProfile", {}).get("type", "RuntimeDefault")
    if profile not in PROFILES:
        yield f"{name}: appArmorProfile"
