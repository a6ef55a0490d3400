import pytest
from life_tools import all_pods, broken, experiment, leaving, pending, pod, seen

from greenroom_operator.observed import Child
from greenroom_operator.policies.failure import Failures, count_failures, failed


def verdict(*pods, backoff=6, status=None, **fields):
    made = experiment(status, failurePolicy={"backoffLimit": backoff})
    observed = seen(pods, **fields)
    return failed(made, observed, count_failures(made, observed))


def test_a_restart_counts_once_over_any_number_of_looks():
    crashed = seen((broken("learner", restarts=2), broken("evaluator", restarts=1)))
    first = count_failures(experiment(), crashed)
    assert first == Failures(3, {"uid-x-learner-0": 2, "uid-x-evaluator-0": 1})
    status = {
        "failures": first.total,
        "restarts": [{"uid": uid, "count": count} for uid, count in first.restarts.items()],
    }
    assert count_failures(experiment(status), crashed) == first
    again = seen((broken("learner", restarts=3), pod("learner", 1, restarts=1)))
    assert count_failures(experiment(status), again).total == 5


def test_what_is_gone_stays_counted_and_its_pod_is_forgotten():
    status = {"failures": 4, "restarts": [{"uid": "gone", "count": 4}]}
    assert count_failures(experiment(status), seen()) == Failures(4, {})


@pytest.mark.parametrize(
    "harmless",
    [
        pod("actor", restarts=50),
        leaving("learner", restarts=50, exit_code=143),
        pod("learner", phase="Failed", ready=False, reason="Evicted", restarts=50),
        pending("learner", waiting="ImagePullBackOff"),
        pending("learner", unschedulable="no node"),
        pending("learner", waiting="CreateContainerConfigError"),
    ],
)
def test_what_is_no_failure(harmless):
    assert verdict(harmless, pod("actor", 1), backoff=0) is None
    assert count_failures(experiment(), seen((harmless,))).total == 0


def test_nonsense_in_the_stored_counts_counts_as_nothing():
    status = {"failures": "many", "restarts": [7, {"uid": "uid-x-learner-0", "count": -3}]}
    assert count_failures(experiment(status), seen((broken("learner", restarts=1),))).total == 1


@pytest.mark.parametrize(("restarts", "over"), [(6, False), (7, True)])
def test_the_back_off_limit_is_the_last_number_that_is_endured(restarts, over):
    learner = broken("learner", restarts=restarts, exit_code=1, exit_message="...\nboom\n")
    cause = verdict(learner, broken("evaluator"))
    assert (cause is not None) is over
    if cause:
        assert cause.reason == "BackoffLimitExceeded"
        assert cause.message == (
            "7 failures, and spec.failurePolicy.backoffLimit is 6: "
            "learner ended with exit code 1: boom"
        )


def test_an_oom_kill_is_named_in_the_end_too():
    killed = broken("learner", restarts=1, exit_code=137, exit_reason="OOMKilled")
    cause = verdict(killed, backoff=0)
    assert cause is not None
    assert cause.message.endswith("learner ended with exit code 137 (SIGKILL) (OOMKilled)")


@pytest.mark.parametrize("role", ["replay", "learner", "actor", "evaluator"])
@pytest.mark.parametrize(("code", "reason"), [(2, "InvalidExperiment"), (3, "CannotGoOn")])
def test_an_end_that_trying_again_cannot_help_is_one_at_once(role, code, reason):
    ended = broken(role, exit_code=code, exit_reason="Error", exit_message="error: the loss is nan")
    cause = verdict(ended, pod("actor", 1))
    assert cause is not None
    assert cause.reason == reason
    assert cause.message == f"{role} ended with exit code {code}: error: the loss is nan"


@pytest.mark.parametrize("code", [0, 1, 137, 143])
def test_other_ends_are_tried_again(code):
    assert verdict(broken("learner", exit_code=code, restarts=1)) is None


def test_a_pod_of_an_older_spec_fails_nothing():
    # The spec was mended; the pods with the fault are about to be replaced.
    old = broken("learner", exit_code=2, inputs="old")
    child = Child(uid="d", inputs="new")
    assert verdict(old, children={("Deployment", "x-learner"): child}) is None
    assert verdict(leaving("learner", exit_code=2)) is None
    assert verdict(old) is not None


@pytest.mark.parametrize(
    ("actors", "over"),
    [
        ((broken("actor", 0, restarts=7, exit_code=1), broken("actor", 1)), True),
        ((broken("actor", 0, restarts=7, exit_code=1), pod("actor", 1)), False),
        ((broken("actor", 0, restarts=6, exit_code=1), broken("actor", 1)), False),
    ],
)
def test_actors_fail_an_experiment_only_together(actors, over):
    cause = verdict(*actors)
    assert (cause is not None) is over
    if cause:
        assert cause.message == (
            "no actor is ready, one restarted 7 times, and spec.failurePolicy.backoffLimit is 6: "
            "actor ended with exit code 1"
        )


def test_an_experiment_that_runs_has_not_failed():
    assert verdict(*all_pods()) is None
