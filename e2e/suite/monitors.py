"""Monitors of Prometheus' operator, as scrape configurations of Prometheus.

What that operator writes of a PodMonitor and of a ServiceMonitor, for the fields that ours have;
a field that is not known here is an error, and not ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Object = Mapping[str, Any]
Relabeling = dict[str, Any]


def scrape_configs(monitors: Iterable[Object]) -> list[dict[str, Any]]:
    """Return what to scrape, one entry for each endpoint of each monitor."""
    return [config for monitor in monitors for config in _of_monitor(monitor)]


def _of_monitor(monitor: Object) -> Iterator[dict[str, Any]]:
    about, spec = monitor["metadata"], monitor["spec"]
    of_pods = monitor["kind"] == "PodMonitor"
    endpoints = "podMetricsEndpoints" if of_pods else "endpoints"
    assert set(spec) <= {"selector", "podTargetLabels", endpoints}, spec
    assert set(spec["selector"]) == {"matchLabels"}, spec
    place = about["namespace"]
    for number, endpoint in enumerate(spec[endpoints]):
        assert set(endpoint) <= {"port", "path", "interval"}, endpoint
        relabelings = _of_pods(monitor, endpoint) if of_pods else _of_service(monitor, endpoint)
        interval = {"scrape_interval": endpoint["interval"]} if "interval" in endpoint else {}
        yield {
            "job_name": f"{monitor['kind']}/{place}/{about['name']}/{number}",
            "metrics_path": endpoint.get("path", "/metrics"),
            **interval,
            "kubernetes_sd_configs": [
                {
                    "role": "pod" if of_pods else "endpointslice",
                    "namespaces": {"names": [place]},
                }
            ],
            "relabel_configs": [
                *relabelings,
                {"target_label": "endpoint", **_is(endpoint["port"])},
            ],
        }


def _of_pods(monitor: Object, endpoint: Object) -> list[Relabeling]:
    about, spec = monitor["metadata"], monitor["spec"]
    return [
        {"source_labels": ["__meta_kubernetes_pod_phase"], "action": "drop", "regex": _ENDED},
        *_kept("pod", spec["selector"]["matchLabels"]),
        _keep("pod_container_port_name", endpoint["port"]),
        _copy("namespace", "namespace"),
        _copy("pod_container_name", "container"),
        _copy("pod_name", "pod"),
        {"target_label": "job", **_is(f"{about['namespace']}/{about['name']}")},
        *(
            _copy(f"pod_label_{_word(name)}", _word(name))
            for name in spec.get("podTargetLabels", ())
        ),
    ]


def _of_service(monitor: Object, endpoint: Object) -> list[Relabeling]:
    return [
        {"source_labels": ["__meta_kubernetes_pod_phase"], "action": "drop", "regex": _ENDED},
        *_kept("service", monitor["spec"]["selector"]["matchLabels"]),
        _keep("endpointslice_port_name", endpoint["port"]),
        _copy("namespace", "namespace"),
        _copy("service_name", "service"),
        _copy("pod_name", "pod"),
        _copy("pod_container_name", "container"),
        _copy("service_name", "job"),
    ]


_ENDED = "(Failed|Succeeded)"


def _kept(what: str, labels: Mapping[str, str]) -> list[Relabeling]:
    return [_keep(f"{what}_label_{_word(name)}", value) for name, value in labels.items()]


def _keep(meta: str, value: str) -> Relabeling:
    source = [f"__meta_kubernetes_{meta}"]
    return {"source_labels": source, "action": "keep", "regex": re.escape(value)}


def _copy(meta: str, label: str) -> Relabeling:
    return {"source_labels": [f"__meta_kubernetes_{meta}"], "target_label": label}


def _is(value: str) -> Relabeling:
    return {"replacement": value}


def _word(name: str) -> str:
    """Return a label of Kubernetes as Prometheus writes it."""
    return re.sub(r"\W", "_", name)
