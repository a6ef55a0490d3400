"""The queue against a model of it, with a clock that moves when the test says so."""

import asyncio

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from greenroom_operator.queue import FIRST_BACKOFF, LONGEST_BACKOFF, Urgency, WorkQueue

KEYS = st.sampled_from([("team", name) for name in "abc"])
URGENCIES = st.sampled_from(list(Urgency))


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose time is a number."""

    def __init__(self):
        self.now = 0.0
        super().__init__()

    def time(self):
        return self.now

    def settle(self):
        """Run all that can run now."""

        async def turns():
            for _ in range(10):
                await asyncio.sleep(0)

        self.run_until_complete(turns())


class QueueMachine(RuleBasedStateMachine):
    """Keys are added, worked on by up to three workers, done, failed, put off and forgotten."""

    def __init__(self):
        super().__init__()
        self.loop = Loop()
        self.queue = WorkQueue()
        self.idle = []  # workers that wait for a key
        self.turns = 0
        self.places = {}  # waiting keys: urgency, and since when with that
        self.working = set()
        self.again = {}
        self.due = {}
        self.failures = {}

    def teardown(self):
        for worker in self.idle:
            worker.cancel()
        self.loop.settle()
        self.loop.close()

    def expect(self, key, urgency):
        """Note in the model that a key is added."""
        self.turns += 1
        if key in self.working:
            self.again[key] = min(urgency, self.again.get(key, urgency))
        elif urgency != Urgency.CHANGED and key in self.failures and key in self.due:
            pass  # its time will come
        elif key not in self.places or urgency < self.places[key][0]:
            self.places[key] = urgency, self.turns

    def settle(self):
        """Let workers take keys, and hold each against the model."""
        self.loop.settle()
        taken = [worker.result() for worker in self.idle if worker.done()]
        self.idle = [worker for worker in self.idle if not worker.done()]
        firsts = sorted(self.places, key=self.places.__getitem__)[: len(taken)]
        assert sorted(taken) == sorted(firsts), "the most urgent go first, then the oldest"
        assert not self.working & set(taken), "one key is never worked on twice at once"
        for key in taken:
            del self.places[key]
            self.working.add(key)

    @precondition(lambda self: len(self.idle) + len(self.working) < 3)
    @rule()
    def a_worker_is_free(self):
        self.idle.append(self.loop.create_task(self.queue.get()))
        self.settle()

    @rule(key=KEYS, urgency=URGENCIES)
    def add(self, key, urgency):
        self.queue.add(key, urgency)
        self.expect(key, urgency)
        self.settle()

    @rule(keys=st.lists(st.tuples(KEYS, URGENCIES), min_size=2))
    def add_several_at_once(self, keys):
        for key, urgency in keys:
            self.queue.add(key, urgency)
            self.expect(key, urgency)
        self.settle()

    def apart(self, seconds):
        """Make a number of seconds one of its own, so that no two keys are due at once."""
        self.turns += 1
        return seconds + 1e-4 * self.turns

    @rule(key=KEYS, seconds=st.integers(1, 100).map(float))
    def add_later(self, key, seconds):
        seconds = self.apart(seconds)

        async def add():
            self.queue.add_later(key, seconds)

        self.loop.run_until_complete(add())
        self.due[key] = self.loop.now + seconds

    @rule(key=KEYS)
    def cancel(self, key):
        self.queue.cancel(key)
        self.due.pop(key, None)

    @rule(key=KEYS)
    def forget(self, key):
        self.queue.forget(key)
        self.due.pop(key, None)
        self.failures.pop(key, None)

    @precondition(lambda self: self.working)
    @rule(data=st.data())
    def done(self, data):
        key = data.draw(st.sampled_from(sorted(self.working)))
        self.queue.done(key)
        self.failures.pop(key, None)
        self.working.remove(key)
        if key in self.again:
            self.expect(key, self.again.pop(key))
        self.settle()

    @precondition(lambda self: self.working)
    @rule(data=st.data(), at_least=st.sampled_from([0.0, 0.0, 7.0, 300.0]))
    def failed(self, data, at_least):
        key = data.draw(st.sampled_from(sorted(self.working)))
        at_least = self.apart(at_least) if at_least else 0.0

        async def fail():
            return self.queue.failed(key, at_least=at_least)

        seconds = self.loop.run_until_complete(fail())
        failures = self.failures.get(key, 0)
        self.failures[key] = failures + 1
        middle = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2**failures)
        lowest, highest = 0.75 * middle, 1.25 * middle
        assert max(at_least, lowest) <= seconds <= max(at_least, highest)
        self.working.remove(key)
        # What a person changed may be the cure; everything else waits for its time.
        if self.again.pop(key, None) == Urgency.CHANGED:
            self.expect(key, Urgency.CHANGED)
        self.due[key] = self.loop.now + seconds
        self.settle()

    @rule(seconds=st.integers(1, 400).map(float))
    def time_passes(self, seconds):
        # In the order of their times, as they come.
        until = self.loop.now + seconds
        for key, due in sorted(self.due.items(), key=lambda item: item[1]):
            if due <= until:
                self.loop.now = max(due, self.loop.now)
                del self.due[key]
                self.expect(key, Urgency.ROUTINE)
                self.settle()
        self.loop.now = until
        self.settle()

    @invariant()
    def nothing_waits_beside_a_free_worker(self):
        assert not (self.idle and self.places)

    @invariant()
    def as_many_wait_as_were_added(self):
        assert len(self.queue) == len(self.places)


TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


@pytest.fixture
def loop():
    made = Loop()
    yield made
    made.close()


def test_back_off_doubles_up_to_its_longest_and_begins_anew_after_success(loop):
    queue, key = WorkQueue(), ("team", "x")

    async def fail():
        queue.add(key, Urgency.NEW)
        assert await queue.get() == key
        return queue.failed(key)

    waits = []
    for _ in range(12):
        waits.append(loop.run_until_complete(fail()))
        queue.cancel(key)
    for count, seconds in enumerate(waits):
        assert 0.75 <= seconds / min(LONGEST_BACKOFF, FIRST_BACKOFF * 2**count) <= 1.25
    assert max(waits) <= 1.25 * LONGEST_BACKOFF

    async def succeed():
        queue.add(key, Urgency.NEW)
        queue.done(await queue.get())

    loop.run_until_complete(succeed())
    assert loop.run_until_complete(fail()) <= 1.25 * FIRST_BACKOFF


def test_back_off_ends_early_for_a_change_alone(loop):
    queue, key = WorkQueue(), ("team", "x")

    async def fail():
        queue.add(key, Urgency.NEW)
        return queue.failed(await queue.get(), at_least=4.0)

    loop.run_until_complete(fail())
    queue.add(key, Urgency.ROUTINE)
    queue.add(key, Urgency.NEW)
    assert len(queue) == 0

    queue.add(key, Urgency.CHANGED)
    assert len(queue) == 1


def test_keys_that_failed_together_do_not_come_back_together(loop):
    queue = WorkQueue()

    async def fail():
        for number in range(20):
            queue.add(("team", f"x{number}"), Urgency.NEW)
        return [queue.failed(await queue.get()) for _ in range(20)]

    assert len(set(loop.run_until_complete(fail()))) > 10


def test_a_place_that_was_left_is_not_taken_again(loop):
    queue, first, second = WorkQueue(), ("team", "a"), ("team", "b")

    async def order():
        queue.add(first, Urgency.NEW)
        queue.add(first, Urgency.CHANGED)
        queue.done(await queue.get())
        queue.add(second, Urgency.NEW)
        queue.add(first, Urgency.NEW)
        return [await queue.get(), await queue.get()]

    assert loop.run_until_complete(order()) == [second, first]
