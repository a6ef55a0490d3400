"""Whatever the schema allows is refused with words, or looked after; the operator stands it."""

import json
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from operating import document, eventually, ready

from e2e.cluster.client import Api, ApiError
from greenroom_operator.kinds import CHILDREN, EXPERIMENT, OPTIONAL
from greenroom_operator.names import MANAGED_BY

sys.path.append(str(Path(__file__).parents[2] / "api"))

from api_strategies import documents, experiments, spoilt

CRD = Path(__file__).parents[3] / "crds" / "rlexperiments.yaml"
SCHEMA = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
SPECS = 200
SECONDS = 300.0
# Specs ask for thousands of actors; what the operator writes is the same without them.
QUOTA = {"metadata": {"name": "few"}, "spec": {"hard": {"pods": "20"}}}


def test_each_character_reaches_the_pods(cut_off, cluster, kubectl):
    # Server-side apply reads YAML, which knows some of them otherwise than JSON does.
    words = "\U0001f600 \u00e9\u4e2d \x7f\x85\u2028\ufeff \\ud83d\\ude00 \\\U0001f680"
    kwargs = {"words": words}
    environment = {"gymnasium": {"id": "CartPole-v1", "kwargs": kwargs}}
    with Api.of(cluster.kubeconfig) as api:
        made = json.loads(document("x", environment=environment))
        api.create(EXPERIMENT.path(kubectl.namespace), made)
    ready(kubectl, "x")
    told = kubectl.json("get", "configmap", "x-experiment")["data"]["experiment.yaml"]
    assert yaml.safe_load(told)["spec"]["environment"]["gymnasium"]["kwargs"] == kwargs


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_random_specs_are_refused_with_words_or_looked_after(cut_off, cluster, namespace):
    accepted = {}
    refused = []
    with Api.of(cluster.kubeconfig) as api:
        api.create(f"/api/v1/namespaces/{namespace}/resourcequotas", QUOTA)

        @settings(
            max_examples=SPECS,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        @given(experiments(SCHEMA) | documents() | documents().flatmap(spoilt))
        def create(drawn):
            name = f"r{len(accepted) + len(refused)}"
            drawn["metadata"] = {"name": name}
            try:
                made = api.create(EXPERIMENT.path(namespace) + "?fieldValidation=Strict", drawn)
            except ApiError as error:
                refused.append(error)
            else:
                accepted[name] = made["spec"].get("managedBy", MANAGED_BY) == MANAGED_BY

        create()
        # Both happen, or the specs are not what the test is about.
        assert min(len(accepted), len(refused)) > SPECS / 10, (len(accepted), len(refused))
        # The words name a field.
        assert [e for e in refused if e.code not in (400, 422) or "spec" not in str(e)] == []
        ours = {name for name, is_ours in accepted.items() if is_ours}

        def told():
            items = api.get(EXPERIMENT.path(namespace))["items"]
            return {item["metadata"]["name"] for item in items if _is_told(item)}

        eventually(told, lambda names: names == ours, SECONDS)

        api.delete(EXPERIMENT.path(namespace))

        def left():
            kinds = [kind for kind in CHILDREN if kind not in OPTIONAL]
            items = [i for k in kinds for i in api.get(k.path(namespace))["items"]]
            return [i["metadata"]["name"] for i in items if "ownerReferences" in i["metadata"]]

        eventually(left, lambda names: not names, SECONDS)
    assert cut_off.metric("greenroom_operator_errors_total", reason="bug") == 0


def _is_told(item):
    """Whether the conditions of an experiment are of its spec as it is, and have words."""
    status = item.get("status", {})
    conditions = status.get("conditions", [])
    return status.get("observedGeneration") == item["metadata"]["generation"] and all(
        condition["message"] for condition in conditions
    )
