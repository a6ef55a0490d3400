"""The definition on the API server that all tests of a run share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_server_tools import SMALL, Try, patiently
from kubernetes import client, config

from e2e.cluster.cluster import Cluster, Kubectl
from greenroom_api.crd import PLURAL
from greenroom_api.experiment import GROUP, VERSION

CRD = Path(__file__).parents[2] / "crds" / "rlexperiments.yaml"


@pytest.fixture(scope="module")
def admin(cluster: Cluster) -> Kubectl:
    """kubectl on a cluster that knows RLExperiments."""
    kubectl = cluster.kubectl()
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRD))
    patiently(
        kubectl, "wait", "--for=condition=Established", f"crd/{PLURAL}.{GROUP}", "--timeout=30s"
    )
    patiently(kubectl, "get", f"{PLURAL}.{GROUP}", "--all-namespaces")
    return kubectl


@pytest.fixture(scope="module")
def objects(cluster: Cluster, admin: Kubectl) -> Iterator[client.CustomObjectsApi]:
    with config.new_client_from_config(str(cluster.kubeconfig)) as connection:
        yield client.CustomObjectsApi(connection)


@pytest.fixture
def attempt(objects: client.CustomObjectsApi, namespace: str) -> Try:
    def create(document: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
        try:
            stored = objects.create_namespaced_custom_object(
                GROUP,
                VERSION,
                namespace,
                PLURAL,
                document,
                dry_run="All",
                field_validation="Strict",
            )
        except client.ApiException as error:
            if error.status not in (400, 422):
                raise
            return None, json.loads(error.body)["message"]
        assert isinstance(stored, dict)
        return stored, ""

    return create


@pytest.fixture
def stored(admin: Kubectl, kubectl: Kubectl) -> Kubectl:
    """kubectl in a namespace that holds SMALL."""
    kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(SMALL))
    return kubectl
