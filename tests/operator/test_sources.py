"""What is known of the volume that an experiment begins from, and who uses it."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).with_name("plan")))

from plan_tools import experiment

from greenroom_operator.cache import Cache
from greenroom_operator.kinds import VOLUME_CLAIM
from greenroom_operator.observed import Source
from greenroom_operator.sources import source_of

OF_X = {"experiment": "x"}
CLAIM_OF_X = {"claimName": "x-learner"}


def metadata(name, namespace, of, role):
    labels = {"greenroom.dev/experiment": of, "greenroom.dev/role": role}
    head = {"name": name, "namespace": namespace, "uid": name}
    return {**head, "resourceVersion": "1", "labels": labels}


def claim(cache, name="x-learner", of="x", namespace="team"):
    """Have a claim that an experiment has made."""
    body = {"metadata": metadata(name, namespace, of, "learner")}
    cache.child(VOLUME_CLAIM, "ADDED", body)


def pod(cache, name, phase, role="learner", of="x", namespace="team"):
    """Have a pod."""
    body = {"metadata": metadata(name, namespace, of, role), "status": {"phase": phase}}
    cache.pod("ADDED", body)


def source(cache, wanted):
    """Ask for y, which begins from what `wanted` says."""
    return source_of(experiment("y", resumeFrom=wanted), cache)


def test_who_begins_from_nothing_has_no_source():
    cache = Cache()
    claim(cache)
    assert source_of(experiment("y"), cache) is None


def test_an_experiment_that_is_not_there_has_no_claim():
    cache = Cache()
    # One of that name is in another namespace.
    claim(cache, namespace="other")
    pod(cache, "x-learner-1", "Running", namespace="other")
    assert source(cache, OF_X) == Source("x-learner", exists=False)


def test_an_experiment_whose_claim_is_not_made_yet_has_none():
    cache = Cache()
    claim(cache, "data-x-replay-0")
    pod(cache, "x-learner-1", "Pending")
    assert source(cache, OF_X) == Source("x-learner", exists=False)


@pytest.mark.parametrize("wanted", [OF_X, CLAIM_OF_X])
def test_learners_that_run_or_may_use_the_claim(wanted):
    cache = Cache()
    claim(cache)
    pod(cache, "x-learner-2", "Running")
    pod(cache, "x-learner-1", "Pending")
    pod(cache, "x-actors-1", "Running", role="actor")
    # Another one that begins from the same volume makes a claim of its own.
    pod(cache, "z-learner-1", "Running", of="z")
    users = ("x-learner-1", "x-learner-2")
    assert source(cache, wanted) == Source("x-learner", exists=True, users=users)


@pytest.mark.parametrize("wanted", [OF_X, CLAIM_OF_X])
@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_learners_that_have_ended_use_nothing(wanted, phase):
    cache = Cache()
    claim(cache)
    pod(cache, "x-learner-1", phase)
    assert source(cache, wanted) == Source("x-learner", exists=True)


@pytest.mark.parametrize("name", ["archive", "archive-learner"])
def test_a_claim_that_is_not_ours_is_taken_to_be_there_and_free(name):
    cache = Cache()
    assert source(cache, {"claimName": name}) == Source(name, exists=True)
    # As little is known of it where an experiment is called alike.
    claim(cache, "data-archive-replay-0", of="archive")
    pod(cache, "archive-learner-1", "Running", of="archive")
    assert source(cache, {"claimName": name}) == Source(name, exists=True)
