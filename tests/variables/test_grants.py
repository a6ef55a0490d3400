"""A run ends within one unroll for each actor of where it should, whatever the actors do."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from learner_tools import make_report

from greenroom.variables.grants import LOST_SECONDS, UNLIMITED, Grants

UNROLL = 20


def report(actor, steps, incarnation="a", allowed=0):
    return make_report(actor, incarnation, environment_steps=steps, allowed_steps=allowed)


class SimulatedActor:
    """Acts up to what it may, and reports; a call may lose its request or its answer."""

    def __init__(self, name, incarnation):
        self.name = name
        self.incarnation = incarnation
        self.steps = 0
        self.allowed = 0
        self.call = None  # a report under way
        self.answer = None  # what it was answered, on its way back

    def act(self, steps):
        self.steps += min(steps, max(0, self.allowed - self.steps))

    def begin_call(self):
        self.call, self.answer = report(self.name, self.steps, self.incarnation, self.allowed), None

    def end_call(self):
        if self.answer is not None:
            self.allowed = self.call.environment_steps + self.answer
        self.call = None


NUMBERS = st.integers(0, 2)
STEPS = st.sampled_from([1, 30, 10_000])  # a slow actor, and one that uses up what it has


class Acting(RuleBasedStateMachine):
    """Actors of any speed, calls that take any time or are lost, restarts of either side."""

    def __init__(self):
        super().__init__()
        self.begin(3, 500, 0)

    @initialize(actors=st.integers(1, 3), limit=st.integers(0, 1_000), base=st.integers(0, 1_000))
    def begin(self, actors, limit, base):
        self.limit = base + limit
        self.now = 0.0
        self.counted = {"base": base}
        self.actors = [SimulatedActor(f"actor-{index}", "0") for index in range(actors)]
        self.grants = Grants(self.limit, UNROLL)

    def total(self):
        return sum(self.counted.values())

    def pick(self, number):
        return self.actors[number % len(self.actors)]

    @rule(number=NUMBERS, steps=STEPS)
    def an_actor_acts(self, number, steps):
        self.pick(number).act(steps)

    @rule(number=NUMBERS)
    def an_actor_reports(self, number):
        actor = self.pick(number)
        if actor.call is None:
            actor.begin_call()

    @rule(number=NUMBERS)
    def a_report_arrives(self, number):
        actor = self.pick(number)
        if actor.call is not None and actor.answer is None:
            self.counted[actor.name, actor.incarnation] = actor.call.environment_steps
            total = self.total()
            actor.answer = 0
            if total < self.limit:
                actor.answer = self.grants.grant(actor.call, total, self.now)

    @rule(number=NUMBERS)
    def an_answer_arrives(self, number):
        actor = self.pick(number)
        if actor.call is not None and actor.answer is not None:
            actor.end_call()

    @rule(number=NUMBERS, steps=STEPS, times=st.sampled_from([1, 1, 20]))
    def an_actor_acts_and_is_answered_at_once(self, number, steps, times):
        for _ in range(times):
            self.an_actor_acts(number, steps)
            self.an_actor_reports(number)
            self.a_report_arrives(number)
            self.an_answer_arrives(number)

    @rule(number=NUMBERS)
    def a_call_is_lost(self, number):
        actor = self.pick(number)
        actor.call = actor.answer = None

    @rule(number=NUMBERS)
    def an_actor_is_killed(self, number):
        index = number % len(self.actors)
        old = self.actors[index]
        self.actors[index] = SimulatedActor(old.name, str(int(old.incarnation) + 1))

    @rule(number=NUMBERS, times=st.sampled_from([0, 20]))
    def the_learner_is_killed_and_an_actor_finds_the_new_one_first(self, number, times):
        for actor in self.actors:
            actor.call = actor.answer = None
        names = [actor.name for actor in self.actors]
        self.grants = Grants(self.limit, UNROLL, names, self.now + LOST_SECONDS)
        self.an_actor_acts_and_is_answered_at_once(number, 10_000, times)

    @invariant()
    def the_limit_is_kept_within_an_unroll_each(self):
        counted = [self.counted.get((actor.name, actor.incarnation), 0) for actor in self.actors]
        may_take = sum(
            # What it has taken already, and what it may still take without asking.
            max(actor.steps, actor.allowed) - known
            for actor, known in zip(self.actors, counted, strict=True)
        )
        assert self.total() + may_take <= self.limit + len(self.actors) * UNROLL

    def teardown(self):
        """Once all of them act and report again, the limit is reached."""
        for number in range(len(self.actors)):
            self.a_call_is_lost(number)
        for _ in range(200):
            for number in range(len(self.actors)):
                self.an_actor_acts_and_is_answered_at_once(number, 10_000, times=1)
            self.the_limit_is_kept_within_an_unroll_each()
            if self.total() >= self.limit:
                return
        raise AssertionError(f"{self.total()} of {self.limit}: actors wait for each other")


TestActing = Acting.TestCase
TestActing.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


def test_an_actor_gets_an_equal_share_of_what_nobody_holds_in_whole_unrolls():
    grants = Grants(1_010, UNROLL)
    # Half of it, cut: as much is for whoever comes next.
    assert grants.grant(report("actor-0", 0), total=0, now=0.0) == 500
    assert grants.grant(report("actor-1", 0), total=0, now=0.0) == 160  # a third of 510
    assert grants.grant(report("actor-0", 500, allowed=500), total=500, now=0.5) == 100
    assert grants.actors == 2


def test_actors_may_come_under_new_names_for_as_long_as_a_run_takes():
    grants = Grants(10**6, UNROLL)
    for number in range(100):  # each lives as long as another is taken for alive
        now = number * LOST_SECONDS / 2
        assert grants.grant(report(f"pod-{number}", 0), total=0, now=now) > 10**5
        assert grants.actors <= 2


def test_a_limit_may_be_moved():
    grants = Grants(100, UNROLL)
    assert grants.grant(report("actor-0", 100, allowed=100), total=100, now=0.0) == 0
    grants.limit = 300
    assert grants.grant(report("actor-0", 100, allowed=100), total=100, now=0.1) == 100
    grants.limit = None
    assert grants.grant(report("actor-0", 100, allowed=100), total=100, now=0.2) == UNLIMITED


def test_the_last_steps_are_granted_unroll_by_unroll():
    grants = Grants(100, UNROLL)
    assert grants.grant(report("actor-0", 99, allowed=99), total=99, now=0.0) == 20
    assert grants.grant(report("actor-0", 119, allowed=119), total=119, now=0.0) == 0


def test_an_actor_waits_while_another_holds_what_is_left():
    grants = Grants(1_000, UNROLL)
    assert grants.grant(report("slow", 0), total=0, now=0.0) == 500
    fast = total = 0
    while (granted := grants.grant(report("fast", fast, allowed=fast), total, now=0.5)) > 0:
        fast = total = fast + granted
    assert total + 500 <= 1_000 + 2 * UNROLL
    # In its next report the slow one still says that it may take more than it is granted
    # now; in the one after that it has the smaller grant.
    assert grants.grant(report("slow", 10, allowed=500), total + 10, now=1.0) == 140
    assert grants.grant(report("fast", fast, allowed=fast), total + 10, now=1.1) == 0
    assert grants.grant(report("slow", 20, allowed=150), total + 20, now=2.0) == 140
    assert grants.grant(report("fast", fast, allowed=fast), total + 20, now=2.1) == 100


def test_what_a_dead_actor_held_is_handed_out_again():
    grants = Grants(1_000, UNROLL)
    assert grants.grant(report("dead", 0), total=0, now=0.0) == 500
    alive = report("alive", 500, allowed=500)
    assert grants.grant(alive, total=500, now=LOST_SECONDS - 0.1) == 20
    assert grants.grant(alive, total=500, now=LOST_SECONDS + 0.1) == 240


def test_a_new_incarnation_holds_nothing_of_the_old_one():
    grants = Grants(1_000, UNROLL)
    assert grants.grant(report("actor-0", 0), total=0, now=0.0) == 500
    assert grants.grant(report("actor-0", 0, "b"), total=0, now=0.1) == 500
    assert grants.grant(report("actor-1", 0), total=0, now=0.1) == 160


def test_an_actor_that_leaves_holds_nothing():
    grants = Grants(1_000, UNROLL)
    assert grants.grant(report("actor-0", 0), total=0, now=0.0) == 500
    last = make_report("actor-0", "a", environment_steps=10, allowed_steps=500, leaving=True)
    assert grants.grant(last, total=10, now=0.1) == 0
    assert grants.grant(report("actor-1", 0), total=10, now=0.2) == 480


def test_a_late_report_changes_nothing():
    grants = Grants(1_000, UNROLL)
    grants.grant(report("actor-0", 100, allowed=100), total=100, now=0.0)
    before = grants.grant(report("actor-1", 0), total=100, now=0.0)
    assert grants.grant(report("actor-0", 40), total=100, now=0.1) == 0
    assert grants.grant(report("actor-1", 0), total=100, now=0.1) == before


def test_a_restarted_learner_waits_until_it_knows_what_actors_hold():
    grants = Grants(1_000, UNROLL, ["actor-0", "actor-1"], unknown_until=10.0)
    assert grants.grant(report("actor-0", 100, allowed=100), total=100, now=0.0) == 0
    assert grants.grant(report("actor-1", 0, allowed=450), total=100, now=0.5) == 300
    assert grants.grant(report("actor-0", 100, allowed=100), total=100, now=0.6) == 140


def test_a_restarted_learner_waits_no_longer_than_for_the_dead():
    grants = Grants(1_000, UNROLL, ["actor-0", "actor-1"], unknown_until=10.0)
    assert grants.grant(report("actor-0", 100, allowed=100), total=100, now=9.9) == 0
    assert grants.grant(report("actor-0", 100, allowed=100), total=100, now=10.1) == 440


def test_without_a_limit_nobody_waits():
    grants = Grants(None, UNROLL, ["actor-1"], unknown_until=10.0)
    assert grants.grant(report("actor-0", 10**9), total=10**10, now=0.0) == UNLIMITED
