"""Other definitions on the cluster: an older, looser one of experiments, and one of monitors."""

import json

import pytest
import yaml
from definition import CRD, control_plane, install_crd
from operating import SPEC, apply, child_names, children, condition, eventually, ready
from operator_process import OperatorProcess

from e2e.cluster.cluster import KubectlError
from greenroom_api import InvalidExperiment, parse_experiment

# On a busy machine a control plane takes its time to start.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MONITORS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "podmonitors.monitoring.coreos.com"},
    "spec": {
        "group": "monitoring.coreos.com",
        "scope": "Namespaced",
        "names": {"kind": "PodMonitor", "plural": "podmonitors", "singular": "podmonitor"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                        },
                    }
                },
            }
        ],
    },
}


@pytest.fixture(scope="module")
def plane():
    with control_plane(nodes=1) as made:
        yield made


@pytest.fixture
def start(plane, tmp_path):
    """Start operators on the module's own control plane; each must log no error."""
    made = []

    def starting(*flags):
        log = tmp_path / f"operator-{len(made)}.log"
        made.append(OperatorProcess(plane.cluster.kubeconfig, "default", log, flags))
        return made[-1].start().wait_leading()

    yield starting
    for operator in made:
        operator.stop()
        print(f"--- {operator.path.name}\n{operator.log}")
    for operator in made:
        operator.check()


def test_what_an_older_definition_let_in_is_told_in_the_words_of_validate(plane, start):
    kubectl = plane.cluster.kubectl("default")
    loose = yaml.safe_load(CRD.read_text())
    schema = loose["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema.pop("x-kubernetes-validations", None)
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema["properties"]["spec"] = anything
    text = json.dumps(loose)
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)
    wrong = {**SPEC, "replay": {"minSize": 100, "maxSize": 10}}
    document = {
        "apiVersion": "greenroom.dev/v1alpha1",
        "kind": "RLExperiment",
        "metadata": {"name": "x", "namespace": "default"},
        "spec": wrong,
    }
    with pytest.raises(InvalidExperiment) as caught:
        parse_experiment(document)
    # The definition takes a moment to be another.
    eventually(lambda: tried(kubectl, document), lambda error: error is None)
    install_crd(kubectl)

    start()

    words = " ".join(str(caught.value).split())
    eventually(
        lambda: condition(kubectl, "x", "Ready"),
        lambda found: found == ("False", "InvalidExperiment", words),
    )
    assert children(kubectl, "x") == {}

    # Mended, it is as any other.
    mended = {**document, "spec": {**SPEC, "replay": {"minSize": 100, "maxSize": 1000}}}
    kubectl("replace", "-f", "-", stdin=json.dumps(mended))
    ready(kubectl, "x")
    assert children(kubectl, "x").keys() == child_names("x")
    kubectl("delete", "rlx", "x", "--timeout=30s")


def tried(kubectl, document):
    """Try to create an experiment; return the error, None if it was made."""
    try:
        kubectl("create", "-f", "-", stdin=json.dumps(document))
    except KubectlError as error:
        return str(error)
    return None


def test_monitors_are_made_where_the_cluster_knows_them_and_wanted(plane, start):
    kubectl = plane.cluster.kubectl("default")
    first = start("--resync-interval=10")
    apply(kubectl, "y")
    ready(kubectl, "y")
    assert "PodMonitors are not made" in first.log

    kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(MONITORS))
    kubectl("wait", "--for=condition=Established", "crd/podmonitors.monitoring.coreos.com")

    def monitors():
        found = kubectl.json("get", "podmonitors.monitoring.coreos.com")["items"]
        return [item["metadata"]["name"] for item in found]

    eventually(monitors_served(kubectl), lambda served: served)
    # Its watches were chosen without them: it ends, to be started again.
    assert first.wait() == 0
    assert "the cluster knows PodMonitors now" in first.log
    second = start()
    eventually(monitors, lambda names: names == ["y"])
    kubectl("delete", "podmonitors.monitoring.coreos.com", "y")
    eventually(monitors, lambda names: names == ["y"])
    assert second.stop() == 0

    start("--no-pod-monitors")
    eventually(monitors, lambda names: names == [])
    kubectl("delete", "rlx", "y", "--timeout=30s")


def monitors_served(kubectl):
    """Return a look at whether discovery tells of monitors."""
    return lambda: "podmonitors" in kubectl("api-resources", "--output=name")
