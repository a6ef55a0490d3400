"""Volumes only grow."""

import pytest
from plan_tools import by_key, experiment, planned

from greenroom_operator.observed import Child
from greenroom_operator.plan.quantities import larger, quantity

CLAIM = ("PersistentVolumeClaim", "cartpole-learner")
REPLAY_CLAIM = ("PersistentVolumeClaim", "data-cartpole-replay-0")
REPLAY = ("StatefulSet", "cartpole-replay")


def requested(manifest):
    return manifest["spec"]["resources"]["requests"]["storage"]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5", 5),
        ("1Ki", 1024),
        ("3Gi", 3 * 2**30),
        ("2Ei", 2**61),
        ("1k", 1000),
        ("7E", 7 * 10**18),
        ("12e6", 12 * 10**6),
        ("1.5G", 1_500_000_000),
        ("1500m", 1.5),
    ],
)
def test_quantities_are_numbers(text, number):
    assert quantity(text) == number


@pytest.mark.parametrize(
    ("wanted", "present", "result"),
    [
        ("5Gi", None, "5Gi"),
        ("5Gi", "5Gi", "5Gi"),
        ("5Gi", "10Gi", "10Gi"),
        ("5Gi", "5G", "5Gi"),
        ("1Ti", "1023Gi", "1Ti"),
        ("5Gi", "5120Mi", "5Gi"),
    ],
)
def test_a_volume_is_never_asked_to_shrink(wanted, present, result):
    assert larger(wanted, present) == result
    children = {} if present is None else {CLAIM: Child(uid="c", storage=present)}
    storage = {"checkpoint": {"storage": {"size": wanted}}}

    assert requested(by_key(planned(experiment(**storage), children=children))[CLAIM]) == result


@pytest.mark.parametrize(
    ("present", "applied"),
    [(None, None), ("10Gi", "20Gi"), ("20Gi", None), ("30Gi", None)],
)
def test_the_claim_that_the_stateful_set_made_is_applied_only_to_grow(present, applied):
    children = {} if present is None else {REPLAY_CLAIM: Child(uid="c", storage=present)}
    storage = {"replay": {"storage": {"size": "20Gi"}}}

    claim = by_key(planned(experiment(**storage), children=children)).get(REPLAY_CLAIM)

    if applied is None:
        assert claim is None
    else:
        assert claim["spec"] == {"resources": {"requests": {"storage": applied}}}
        assert "ownerReferences" not in claim["metadata"]


def test_a_claim_that_is_going_does_not_grow():
    children = {REPLAY_CLAIM: Child(uid="c", storage="1Gi", deleting=True)}

    assert REPLAY_CLAIM not in by_key(planned(experiment(), children=children))


def test_the_claim_template_stays_as_it_was_made():
    def template(children):
        storage = {"replay": {"storage": {"size": "20Gi"}}}
        (claim,) = by_key(planned(experiment(**storage), children=children))[REPLAY]["spec"][
            "volumeClaimTemplates"
        ]
        return requested(claim)

    assert template({}) == "20Gi"
    assert template({REPLAY: Child(uid="s", storage="10Gi")}) == "10Gi"


def test_a_retained_volume_has_no_owner_but_tells_whose_it_was():
    kept = by_key(planned(experiment(checkpoint={"retain": "Retain"})))[CLAIM]["metadata"]
    deleted = by_key(planned(experiment()))[CLAIM]["metadata"]

    assert "ownerReferences" not in kept
    assert kept["annotations"]["greenroom.dev/owner"] == deleted["ownerReferences"][0]["uid"]
    assert "greenroom.dev/owner" not in deleted["annotations"]


@pytest.mark.parametrize(
    ("said", "spec"), [({}, {}), ({"storageClassName": ""}, {"storageClassName": ""})]
)
def test_no_class_is_not_the_default_class(said, spec):
    found = by_key(planned(experiment(checkpoint={"storage": said}, replay={"storage": said})))

    for claim in (found[CLAIM], found[REPLAY]["spec"]["volumeClaimTemplates"][0]):
        named = {key: value for key, value in claim["spec"].items() if key == "storageClassName"}
        assert named == spec
