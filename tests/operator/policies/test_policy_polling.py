from dataclasses import replace

import pytest
from life_tools import (
    ALL,
    all_pods,
    experiment,
    latched,
    leaving,
    pending,
    pod,
    progress,
    running_status,
    saved,
    seen,
    status_of,
)

from greenroom_operator.policies import decide

FINAL = saved(final=True)


def poll(made, *pods, **fields):
    return decide(made, seen(pods, **fields)).poll_seconds


@pytest.mark.parametrize(
    "learner",
    [
        (),
        (pending("learner"),),
        (pod("learner", phase="Failed", ready=False),),
        (pod("actor"),),
    ],
)
def test_without_a_learner_that_runs_nobody_is_asked(learner):
    assert poll(experiment(), *learner) is None


def test_a_learner_is_asked_every_15_s_each_at_its_own_time():
    pauses = {
        poll(replace(experiment(), uid=f"uid-{number}"), pod("learner")) for number in range(100)
    }
    assert len(pauses) > 90
    assert all(13.5 <= pause <= 16.5 for pause in pauses)
    assert poll(experiment(), pod("learner")) == poll(experiment(), pod("learner"))


def test_a_last_word_is_asked_for_at_once_until_it_is_known():
    suspended = experiment(suspend=True)
    assert poll(suspended, leaving("learner")) == 1
    unfinished = progress("stopping", checkpoint=saved(final=False))
    assert poll(suspended, leaving("learner"), progress=unfinished) == 1
    stopped = progress("stopped", checkpoint=FINAL)
    assert poll(suspended, leaving("learner"), progress=stopped) is None
    assert poll(suspended, leaving("learner"), progress=replace(stopped, pod="another")) == 1


def test_a_learner_that_finished_is_asked_soon_until_that_is_in_the_status():
    finished = progress("finished", checkpoint=FINAL)
    assert poll(experiment(), pod("learner"), progress=finished) == 1
    assert poll(experiment(latched("Succeeded")), pod("learner"), progress=finished) > 10


def test_nothing_is_looked_at_again_where_time_alone_changes_nothing():
    running = experiment(running_status())
    assert decide(running, seen(all_pods(), ALL)).recheck_seconds is None


def test_a_start_is_looked_at_again_when_it_takes_long():
    made = experiment()
    starting = experiment(status_of(made, seen()))
    assert decide(starting, seen()).recheck_seconds == 15.5
