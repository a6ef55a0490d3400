"""Events: one for each turn that an experiment takes."""

from dataclasses import replace

from life_tools import (
    ALL,
    NONE,
    after,
    all_pods,
    broken,
    experiment,
    leaving,
    pending,
    pod,
    progress,
    running_status,
    saved,
    seen,
    status_of,
)

from greenroom_operator.status import events


class Told:
    """An experiment, and what was told of it."""

    def __init__(self, **spec):
        self.made = experiment(**spec)

    def see(self, *pods, replicas=ALL, suspend=False, **fields):
        old = self.made.status
        made = replace(experiment(suspend=suspend), status=old)
        status = status_of(made, seen(pods, replicas, **fields))
        self.made = replace(made, status=status)
        return [(event.type, event.reason, event.message) for event in events(old, status)]


def test_a_good_life():
    told = Told()
    assert told.see() == []
    assert told.see(*all_pods()) == [("Normal", "Started", "replay, learner and actors are ready")]
    assert told.see(*all_pods(), progress=progress()) == []
    finished = progress(
        "finished", detail="return 480 of 475", checkpoint=saved(final=True), seconds=60
    )
    ended = told.see(*all_pods(), progress=finished)
    assert ended == [("Normal", "Succeeded", "return 480 of 475")]
    assert told.see(pod("learner")) == []
    assert told.see(replicas=NONE) == []


def test_suspended_and_resumed():
    told = Told()
    told.see()
    told.see(*all_pods())
    suspending = told.see(*all_pods(), suspend=True)
    assert suspending == [("Normal", "Suspending", "actors leave, then the learner, then replay")]
    assert told.see(leaving("learner"), replicas=NONE, suspend=True) == []
    (missed,) = told.see(replicas=NONE, suspend=True)
    assert missed[:2] == ("Warning", "Suspended")
    assert "without a word of its last checkpoint" in missed[2]
    assert told.see() == [("Normal", "Resumed", "all roles start")]
    assert told.see(*all_pods()) == []


def test_a_recorded_checkpoint_is_no_warning():
    told = Told()
    told.see(*all_pods())
    last = progress("stopped", checkpoint=saved(final=True))
    *_, suspended = told.see(replicas=NONE, suspend=True, progress=last)
    assert suspended[:2] == ("Normal", "Suspended")
    resumed = told.see()
    assert resumed == [("Normal", "Resumed", "the learner goes on from its newest checkpoint")]


def test_a_crash_is_told_once_with_its_cause_and_then_that_it_is_over():
    told = Told()
    told.see(*all_pods())
    crashed = broken("learner", restarts=1, exit_code=1, exit_message="boom")
    cause = "learner ContainerCrashed: exit code 1, 1 restart: boom"
    assert told.see(*all_pods(2, crashed)) == [
        ("Warning", "Restarted", f"a container was restarted, failure 1 so far: {cause}")
    ]
    assert told.see(*all_pods(2, crashed)) == []
    recovered = told.see(*all_pods(2, replace(crashed, ready=True)))
    assert recovered == [("Normal", "Recovered", "replay, learner and actors are ready")]


def test_a_crash_that_was_over_before_it_was_seen_is_told_too():
    told = Told()
    told.see(*all_pods())
    restarted = told.see(*all_pods(2, pod("learner", restarts=1)))
    assert restarted == [("Warning", "Restarted", "a container was restarted, failure 1 so far")]


def test_what_holds_pods_up_is_told_when_it_changes_and_not_with_each_word():
    told = Told()
    told.see()
    stuck = pending("learner", unschedulable="0/3 nodes are available")
    warning = ("Warning", "Unschedulable", "learner Unschedulable: 0/3 nodes are available")
    assert told.see(stuck) == [warning]
    assert told.see(replace(stuck, unschedulable="0/4 nodes are available")) == []
    pulls = pending("learner", waiting="ErrImagePull", waiting_message="denied")
    assert told.see(pulls) == [("Warning", "ImagePullBackOff", "learner ImagePullBackOff: denied")]


def test_a_failure_is_told_with_its_reason():
    told = Told()
    told.see(*all_pods())
    diverged = broken("learner", exit_code=3, exit_message="nan")
    assert told.see(*all_pods(2, diverged)) == [
        ("Warning", "Failed", "CannotGoOn: learner ended with exit code 3: nan")
    ]
    assert told.see(replicas=NONE) == []


def test_a_stall_is_told_and_its_end():
    told = Told()
    told.made = experiment(running_status())
    for seconds in (0, 130):
        said = progress("training", seconds, bottleneck="learning")
        last = told.see(*all_pods(), progress=said, now=after(seconds))
    assert last == [
        (
            "Warning",
            "ReplayStalled",
            "InsertingBlocked: acting is blocked: actors wait for the learner; no steps for 2 min, "
            "2/2 actors ready",
        )
    ]
    moves = progress("training", 140, environment_steps=2_000)
    told_of = told.see(*all_pods(), progress=moves, now=after(140))
    assert told_of == [("Normal", "ReplayFlows", "experience flows")]
