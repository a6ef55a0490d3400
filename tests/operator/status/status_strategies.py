"""Random observations, likely or not, and previous statuses, ours or not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, get_args

from hypothesis import strategies as st
from life_tools import KINDS, NOW, UID

from greenroom_operator import names
from greenroom_operator.names import ROLES, child_name
from greenroom_operator.observed import (
    Checkpoint,
    Child,
    LearnerState,
    Observed,
    Pod,
    Progress,
    Silence,
    Source,
)

WORDS = st.sampled_from(["", "", "no", "0/3 nodes\n are available", "é" * 3_000]) | st.text(
    max_size=20
)
TIMES = st.integers(-10_000, 10_000).map(lambda seconds: NOW + timedelta(seconds=seconds / 3))
COUNTS = st.integers(0, 9) | st.sampled_from([-1, 10**6, 2**60])
NUMBERS = st.none() | st.floats() | st.sampled_from([0.0, 12.5])
PODS = st.builds(
    Pod,
    name=st.sampled_from([f"pod-{number}" for number in range(9)]),
    uid=st.sampled_from([f"uid-{number}" for number in range(9)]),
    role=st.sampled_from(ROLES),
    phase=st.sampled_from(["Pending", "Running", "Running", "Succeeded", "Failed", "Unknown"]),
    ready=st.booleans(),
    deleting=st.booleans(),
    leaves=st.none() | TIMES,
    ip=st.sampled_from(["", "10.0.0.1"]),
    restarts=st.integers(0, 20),
    waiting=st.sampled_from(["", "", "CrashLoopBackOff", "ErrImagePull", "ImagePullBackOff"])
    | WORDS,
    waiting_message=WORDS,
    exit_code=st.sampled_from([None, None, 0, 1, 2, 3, 137, 255, 999]),
    exit_reason=st.sampled_from(["", "Error", "OOMKilled"]),
    exit_message=WORDS,
    unschedulable=st.just("") | WORDS,
    reason=st.sampled_from(["", "Evicted", "not a reason"]),
    message=WORDS,
    inputs=st.sampled_from(["", "old", "new"]),
)
CHECKPOINTS = st.builds(Checkpoint, COUNTS, COUNTS, TIMES, st.booleans())
PROGRESSES = st.builds(
    Progress,
    time=TIMES,
    pod=st.sampled_from([f"uid-{number}" for number in range(9)]),
    state=st.sampled_from(get_args(LearnerState)),
    detail=WORDS,
    environment_steps=COUNTS,
    learner_steps=COUNTS,
    episode_return=NUMBERS,
    environment_steps_per_second=NUMBERS,
    learner_steps_per_second=NUMBERS,
    samples_per_insert=NUMBERS,
    bottleneck=st.sampled_from([None, "acting", "learning"]),
    checkpoint=st.none() | CHECKPOINTS,
)
WORKLOADS = st.builds(
    Child,
    uid=st.just("child"),
    owner=st.sampled_from([UID, UID, "other", None]),
    inputs=st.sampled_from([None, "new"]),
    replicas=st.sampled_from([None, 0, 1, 2]),
    existing=st.integers(0, 2),
    failure=st.just("") | WORDS,
)
CLAIMS = st.builds(
    Child, uid=st.just("claim"), bound=st.sampled_from([None, "Pending", "Bound", "Lost"])
)
CHILDREN = st.fixed_dictionaries(
    {},
    optional={(KINDS[role], child_name("x", role)): WORKLOADS for role in ROLES}
    | {("PersistentVolumeClaim", name): CLAIMS for name in ("x-learner", "data-x-replay-0")},
)
OBSERVATIONS = st.builds(
    Observed,
    now=TIMES,
    children=CHILDREN,
    pods=st.lists(PODS, max_size=7, unique_by=lambda pod: pod.uid).map(tuple),
    progress=st.none() | PROGRESSES,
    silence=st.none() | st.builds(Silence, TIMES, WORDS),
    source=st.none() | st.builds(Source, WORDS, st.booleans(), st.lists(WORDS).map(tuple)),
    refused=st.dictionaries(st.tuples(st.just("Service"), WORDS), WORDS, max_size=2),
)

JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)
_TIME_WORDS = st.sampled_from(["2026-11-24T12:00:00Z", "2030-01-01", "2026-11-24T12:00:00"]) | JUNK
_CONDITIONS = st.fixed_dictionaries(
    {
        "type": st.sampled_from([names.READY, names.SUCCEEDED, names.FAILED, names.SUSPENDED]),
        "status": st.sampled_from(["True", "False", "Unknown"]) | JUNK,
    },
    optional={"reason": JUNK, "message": JUNK, "lastTransitionTime": _TIME_WORDS},
)
OTHERS_STATUSES = st.fixed_dictionaries(
    {},
    optional={
        "phase": st.sampled_from(["Running", "Pending"]) | JUNK,
        "conditions": st.lists(_CONDITIONS | JUNK, max_size=4) | JUNK,
        "environmentSteps": COUNTS | JUNK,
        "learnerSteps": COUNTS | JUNK,
        "checkpoint": st.fixed_dictionaries({"final": st.booleans() | JUNK}) | JUNK,
        "failures": COUNTS | JUNK,
        "restarts": st.lists(st.fixed_dictionaries({"uid": JUNK, "count": JUNK}) | JUNK) | JUNK,
        "startTime": _TIME_WORDS,
        "completionTime": _TIME_WORDS,
        "progressTime": _TIME_WORDS,
    },
)
"""Statuses that somebody wrote by hand, in a hurry."""
