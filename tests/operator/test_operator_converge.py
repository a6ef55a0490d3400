"""From any mixture of children, one pass brings what is planned; the next writes nothing.

The real parts on a real API server: client, comparison with the cluster, cache and applier.
"""

import asyncio
import copy
import itertools
import sys
from collections import Counter
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from operating import document

sys.path.append(str(Path(__file__).with_name("plan")))

from plan_tools import by_key, planned

from greenroom_operator import kinds
from greenroom_operator.apply import Applier
from greenroom_operator.cache import Cache
from greenroom_operator.client import Api, load_configuration, open_session
from greenroom_operator.errors import NotFound
from greenroom_operator.experiment import Experiment
from greenroom_operator.kinds import BY_NAME
from greenroom_operator.projection import owned_fields, owns_all
from greenroom_operator.queue import WorkQueue
from greenroom_operator.sync import Synchronizer

# Of what an experiment is made of; monitors need a definition that is not there.
CHILDREN = 11
STATES = ("missing", "as-planned", "stale", "edited", "unlabelled", "orphaned", "foreign")
NUMBERS = itertools.count()
WRITES = {"apply", "post", "patch", "delete"}
# What stands in a child's place and is somebody else's.
THEIRS = {
    "Service": {"spec": {"ports": [{"port": 80}]}},
    "ConfigMap": {"data": {"theirs": "1"}},
    "PersistentVolumeClaim": {
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        }
    },
    "NetworkPolicy": {"spec": {"podSelector": {}}},
    "PodDisruptionBudget": {"spec": {"selector": {"matchLabels": {"app": "theirs"}}}},
}
POD = {
    "metadata": {"labels": {"app": "theirs"}},
    "spec": {"containers": [{"name": "c", "image": "example.com/theirs"}]},
}
WORKLOAD = {"replicas": 0, "selector": {"matchLabels": {"app": "theirs"}}, "template": POD}
THEIRS["Deployment"] = {"spec": WORKLOAD}
THEIRS["StatefulSet"] = {"spec": {**WORKLOAD, "serviceName": "theirs"}}
EXTRA = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", **THEIRS["PodDisruptionBudget"]}


@pytest.fixture
def space(crd, kubectl):
    """kubectl in the test's namespace, of a cluster that knows experiments."""
    return kubectl


async def by_hand(api, kind, manifest, patch):
    """Change a child as somebody with an editor would."""
    metadata = manifest["metadata"]
    await api.request(
        "PATCH",
        kind.path(metadata["namespace"], metadata["name"]),
        patch,
        query={"fieldManager": "editor"},
        content_type="application/merge-patch+json",
    )


async def prepare(api, manifest, state):
    """Bring one child into a state."""
    kind = BY_NAME[manifest["kind"]]
    metadata = manifest["metadata"]
    if state == "missing":
        return
    if state == "foreign":
        body = {name: manifest[name] for name in ("apiVersion", "kind")}
        place = {name: metadata[name] for name in ("name", "namespace")}
        await api.request(
            "POST",
            kind.path(metadata["namespace"]),
            {**body, "metadata": place, **THEIRS[kind.kind]},
        )
        return
    made = copy.deepcopy(manifest)
    if state == "stale":
        # An older operator said another thing, and one thing more.
        made["metadata"]["annotations"]["greenroom.dev/applied"] = "older"
        made["metadata"]["labels"]["older"] = "1"
        template = made.get("spec", {}).get("template")
        if template:
            template["metadata"]["annotations"]["greenroom.dev/inputs"] = "older"
    await api.apply(kind, made)
    labels = {"app.kubernetes.io/instance": "edited"}
    patches = {
        "edited": {"labels": labels, "annotations": {"by": "hand"}},
        "unlabelled": {"labels": {"greenroom.dev/experiment": None}},
        "orphaned": {"ownerReferences": None},
    }
    if state in patches:
        await by_hand(api, kind, manifest, {"metadata": patches[state]})


async def extras(api, experiment):
    """Make children that no plan has: one ours, one of nobody; return their names."""
    place = {"namespace": experiment.namespace}
    labels = {
        "app.kubernetes.io/managed-by": "greenroom-operator",
        "greenroom.dev/experiment": experiment.name,
    }
    owner = {
        "apiVersion": "greenroom.dev/v1alpha1",
        "kind": "RLExperiment",
        "name": experiment.name,
        "uid": experiment.uid,
        "controller": True,
    }
    names = {"ours": f"{experiment.name}-old", "theirs": f"{experiment.name}-other"}
    for whose, name in names.items():
        metadata = {**place, "name": name, "labels": labels}
        if whose == "ours":
            metadata["ownerReferences"] = [owner]
        await api.create(BY_NAME["PodDisruptionBudget"], {**EXTRA, "metadata": metadata})
    return names


async def one_pass(api, experiment):
    """Look at the cluster as an operator that starts, and apply what is planned."""
    cache, queue = Cache(), WorkQueue()
    children = [kind for kind in kinds.CHILDREN if kind not in kinds.OPTIONAL]
    known = (*children, kinds.POD, kinds.EXPERIMENT)
    await Synchronizer(api, cache, queue, known, (experiment.namespace,), 600.0).compare()
    manifests = plan_of(experiment)
    return await Applier(api, cache).apply(experiment, manifests), manifests, cache


def plan_of(experiment):
    return [one for one in planned(experiment) if one["kind"] != "PodMonitor"]


async def live(api, manifest):
    metadata = manifest["metadata"]
    try:
        kind = BY_NAME[manifest["kind"]]
        return await api.get(kind, metadata["namespace"], metadata["name"])
    except NotFound:
        return None


async def converge(kubeconfig, experiment, states):
    counts = Counter()

    def count(verb, code):
        if verb in WRITES and code.startswith("2"):
            counts[verb] += 1

    configuration = await load_configuration(str(kubeconfig))
    async with open_session(configuration) as session:
        api = Api(configuration, session, count)
        manifests = plan_of(experiment)
        assert len(manifests) == CHILDREN
        for manifest, state in zip(manifests, states, strict=True):
            await prepare(api, manifest, state)
        names = await extras(api, experiment)
        foreign = {
            key: await live(api, manifest)
            for (key, manifest), state in zip(by_key(tuple(manifests)).items(), states, strict=True)
            if state == "foreign"
        }

        applied, manifests, cache = await one_pass(api, experiment)

        assert applied.refused.keys() == foreign.keys()
        assert applied.deleted == [("PodDisruptionBudget", names["ours"])]
        for key, manifest in by_key(tuple(manifests)).items():
            found = await live(api, manifest)
            if key in foreign:
                assert found["metadata"]["uid"] == foreign[key]["metadata"]["uid"]
                assert "labels" not in found["metadata"]
                assert (
                    found.get("spec") == foreign[key].get("spec") or "volumeName" in found["spec"]
                )
                continue
            assert owns_all(manifest, owned_fields(found["metadata"])), key
            annotations = manifest["metadata"]["annotations"]
            assert annotations.items() <= found["metadata"]["annotations"].items()
            assert "older" not in found["metadata"]["labels"]
            (owner,) = found["metadata"]["ownerReferences"]
            assert owner["uid"] == experiment.uid

        # Neither with what this pass has learnt, nor with what another operator finds.
        counts.clear()
        await Applier(api, cache).apply(experiment, manifests)
        await one_pass(api, experiment)
        assert counts == Counter()
        other = {"kind": "PodDisruptionBudget"}
        place = {"namespace": experiment.namespace, "name": names["theirs"]}
        assert await live(api, {**other, "metadata": place}) is not None


@pytest.mark.slow
@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(states=st.lists(st.sampled_from(STATES), min_size=CHILDREN, max_size=CHILDREN))
def test_any_mixture_of_children_converges_in_one_pass(space, states):
    name = f"x{next(NUMBERS)}"
    made = space.json("create", "-f", "-", stdin=document(name))
    asyncio.run(converge(space.kubeconfig, Experiment.from_object(made), states))
    space("delete", "rlx", name, "--wait=false")


@pytest.mark.parametrize("state", STATES)
def test_all_children_in_one_state_converge_in_one_pass(space, state):
    made = space.json("create", "-f", "-", stdin=document("x"))
    asyncio.run(converge(space.kubeconfig, Experiment.from_object(made), [state] * CHILDREN))
