import pytest
from life_tools import NOW, after, experiment, latched, seen

from greenroom_operator.policies import decide


@pytest.mark.parametrize("kind", ["Succeeded", "Failed"])
@pytest.mark.parametrize(
    ("ttl", "seconds", "delete", "recheck"),
    [
        (None, 10**9, False, None),
        (0, 0, True, None),
        (600, 0, False, 600.5),
        (600, 599, False, 1.5),
        (600, 600, True, None),
        (10**6, 0, False, 3600.5),  # looked at again before: clocks are put right
        (600, -(10**6), False, 3600.5),  # the clock was put back: later rather than earlier
    ],
)
def test_the_time_starts_at_completion(kind, ttl, seconds, delete, recheck):
    spec = {} if ttl is None else {"ttlSecondsAfterFinished": ttl}
    decision = decide(experiment(latched(kind), **spec), seen(now=after(seconds)))
    assert (decision.delete, decision.recheck_seconds) == (delete, recheck)


def test_what_has_not_ended_is_kept():
    made = experiment({"completionTime": "2020-01-01T00:00:00Z"}, ttlSecondsAfterFinished=0)
    assert not decide(made, seen(now=NOW)).delete


def test_without_a_time_to_count_from_nothing_is_deleted():
    status = latched("Succeeded") | {"completionTime": "yesterday"}
    assert not decide(experiment(status, ttlSecondsAfterFinished=0), seen()).delete
