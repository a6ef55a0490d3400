"""What is planned, on a real API server: accepted as it is, restricted, and written once."""

import json
import sys
import time
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).with_name("plan")))

from golden import INPUTS, Input
from plan_tools import SPEC, by_key, experiment, planned, templates

from e2e.cluster.cluster import KubectlError
from greenroom_operator.experiment import Experiment
from greenroom_operator.kinds import STATEFUL_SET, VOLUME_CLAIM
from greenroom_operator.plan.merge import MERGE_KEYS
from greenroom_operator.projection import child_of, owned_fields, owns_all

CRD = Path(__file__).parents[2] / "crds" / "rlexperiments.yaml"
KINDS = "configmaps,persistentvolumeclaims,services,networkpolicies,statefulsets,deployments,pdb"
SELECTOR = "greenroom.dev/experiment"
SECONDS = 60.0
# Its kind is not on the cluster: Prometheus' operator brings it.
ABSENT = ("PodMonitor", "Workload")
REPLAYS = "data-x-replay-0"


@pytest.fixture(scope="module")
def experiments(cluster):
    """The API of experiments is installed."""
    kubectl = cluster.kubectl()
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRD))

    def served():
        try:
            return kubectl("get", "rlexperiments", "--all-namespaces", "--output=name")
        except KubectlError as error:
            return error

    eventually(served, lambda answer: not isinstance(answer, KubectlError))


@pytest.fixture
def restricted(experiments, kubectl):
    """A namespace that takes restricted pods alone, and warns of others."""
    modes = (f"pod-security.kubernetes.io/{mode}=restricted" for mode in ("enforce", "warn"))
    kubectl("label", "namespace", kubectl.namespace, *modes)
    return kubectl


def create(kubectl, document):
    """Create an experiment and return it as the API server has it."""
    head = {"apiVersion": "greenroom.dev/v1alpha1", "kind": "RLExperiment"}
    metadata = {**document["metadata"], "namespace": kubectl.namespace}
    body = json.dumps({**head, "metadata": metadata, "spec": document["spec"]})
    made = kubectl.json("create", "--validate=strict", "-f", "-", stdin=body)
    return Experiment.from_object({**made, "status": document.get("status", {})})


def apply(kubectl, manifests):
    text = "---\n".join(json.dumps(manifest) + "\n" for manifest in manifests)
    flags = ("--server-side", "--force-conflicts", "--field-manager=greenroom-operator")
    kubectl("apply", *flags, "--validate=strict", "--warnings-as-errors", "-f", "-", stdin=text)


def eventually(look, wanted):
    """Look until what is seen is as wanted; return it."""
    deadline = time.monotonic() + SECONDS
    while not wanted(seen := look()):
        assert time.monotonic() < deadline, f"after {SECONDS:g} s it is still: {seen}"
        time.sleep(0.5)
    return seen


def live(kubectl):
    """Return the metadata of each child."""
    items = kubectl.json("get", KINDS, "-l", SELECTOR, "--show-managed-fields")["items"]
    return {(item["kind"], item["metadata"]["name"]): item["metadata"] for item in items}


def versions(kubectl):
    """Return the resource version of each child."""
    return {key: metadata["resourceVersion"] for key, metadata in live(kubectl).items()}


def written_again(kubectl, manifests):
    """Apply once more, when controllers seem to have come to rest; return what that changed."""
    seen = []

    def look():
        seen.append(versions(kubectl))
        return seen[-2:]

    before = eventually(look, lambda last: len(last) == 2 and last[0] == last[1])[-1]
    apply(kubectl, manifests)
    return {key for key, version in versions(kubectl).items() if before.get(key) != version}


def pods(kubectl):
    """Return how many pods there are, by role."""
    counts = {}
    for pod in kubectl.json("get", "pods")["items"]:
        role = pod["metadata"]["labels"]["greenroom.dev/role"]
        counts[role] = counts.get(role, 0) + 1
    return counts


@pytest.mark.parametrize(
    "path", [path for path in INPUTS if not Input.read(path).children], ids=lambda path: path.stem
)
def test_a_plan_is_accepted_and_makes_restricted_pods_and_applying_it_again_writes_nothing(
    restricted, path
):
    given = Input.read(path)
    created = create(restricted, given.experiment)
    manifests = [one for one in given.planned(created) if one["kind"] not in ABSENT]
    wanted = {
        manifest["metadata"]["labels"]["greenroom.dev/role"]: manifest["spec"]["replicas"]
        for manifest in manifests
        if manifest.get("spec", {}).get("replicas")
    }

    apply(restricted, manifests)

    eventually(lambda: pods(restricted), lambda counts: counts == wanted)
    eventually(lambda: written_again(restricted, manifests), lambda changed: changed == set())
    found = live(restricted)
    for key, manifest in by_key(tuple(manifests)).items():
        assert owns_all(manifest, owned_fields(found[key])), key


def test_volumes_grow_and_replays_goes_with_its_stateful_set(restricted):
    small = create(restricted, {"metadata": {"name": "x"}, "spec": SPEC})
    apply(restricted, [one for one in planned(small) if one["kind"] not in ABSENT])
    # Only what is bound may grow.
    eventually(lambda: claims(restricted), lambda found: bound(found) == {"x-learner", REPLAYS})

    sizes = {"replay": {"storage": {"size": "11Gi"}}, "checkpoint": {"storage": {"size": "6Gi"}}}
    patch = json.dumps({"spec": sizes})
    larger = Experiment.from_object(
        restricted.json("patch", "rlx", "x", "--type=merge", f"--patch={patch}")
    )
    manifests = planned(larger, children=children(restricted))
    apply(restricted, [one for one in manifests if one["kind"] not in ABSENT])

    assert {name: size(claim) for name, claim in claims(restricted).items()} == {
        "x-learner": "6Gi",
        REPLAYS: "11Gi",
    }
    again = by_key(planned(larger, children=children(restricted)))
    assert ("PersistentVolumeClaim", REPLAYS) not in again
    assert again["StatefulSet", "x-replay"] == by_key(manifests)["StatefulSet", "x-replay"]
    # Kubernetes has made it the StatefulSet's own.
    eventually(lambda: claims(restricted)[REPLAYS]["metadata"], lambda it: "ownerReferences" in it)
    restricted("delete", "statefulset", "x-replay", "--wait=false")
    eventually(lambda: set(claims(restricted)), lambda found: found == {"x-learner"})


def claims(kubectl):
    return {item["metadata"]["name"]: item for item in kubectl.json("get", "pvc")["items"]}


def bound(found):
    return {name for name, claim in found.items() if claim["status"].get("phase") == "Bound"}


def size(claim):
    return claim["spec"]["resources"]["requests"]["storage"]


def children(kubectl):
    """Return what the operator keeps of volumes and replay."""
    kinds = (STATEFUL_SET, VOLUME_CLAIM)
    return {
        (kind.kind, item["metadata"]["name"]): child_of(kind, item)
        for kind in kinds
        for item in kubectl.json("get", kind.plural)["items"]
    }


def test_lists_are_merged_by_the_keys_that_the_api_server_names(cluster):
    document = json.loads(cluster.kubectl()("get", "--raw", "/openapi/v3/api/v1"))
    schemas = document["components"]["schemas"]
    named = dict(keyed_lists(schemas, "io.k8s.api.core.v1.PodTemplateSpec"))

    assert {path: named.get(path) for path in MERGE_KEYS} == MERGE_KEYS
    for template in templates(planned(experiment(resumeFrom={"claimName": "other"}))).values():
        merged = {path for path in lists(template) if path in named}
        # Ports are the operator's alone.
        assert merged - MERGE_KEYS.keys() <= {("spec", "containers", "ports")}


def keyed_lists(schemas, name, path=()):
    """Yield the paths of lists that are merged, with their keys; none below volumes' sources."""
    for field, schema in schemas[name].get("properties", {}).items():
        below = (*path, field)
        keys = schema.get("x-kubernetes-list-map-keys")
        if keys is None and "x-kubernetes-patch-merge-key" in schema and schema["type"] == "array":
            keys = [schema["x-kubernetes-patch-merge-key"]]
        if keys:
            yield below, tuple(keys)
        for reference in references(schema):
            if len(below) <= 5:
                yield from keyed_lists(schemas, reference, below)


def references(schema):
    """Yield the names of schemas that a field's values, or its entries', have."""
    for part in (schema, schema.get("items", {})):
        for choice in (part, *part.get("allOf", ())):
            if "$ref" in choice:
                yield choice["$ref"].rsplit("/", 1)[1]


def lists(value, path=()):
    """Yield the paths of all lists."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from lists(item, (*path, name))
    elif isinstance(value, list):
        yield path
        for item in value:
            yield from lists(item, path)
