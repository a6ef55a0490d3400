"""What events become in the queue: which of them go first."""

import asyncio

from greenroom_operator.cache import Cache
from greenroom_operator.handlers import _experiment_handler
from greenroom_operator.queue import WorkQueue


class Told:
    """A cache and a queue whose handler is called as kopf calls it."""

    def __init__(self):
        self.queue = WorkQueue()
        self._handler = _experiment_handler(Cache(), self.queue)
        self._version = 0

    async def tell(self, event, name, generation=1):
        """Tell of an event of an experiment."""
        self._version += 1
        metadata = {"namespace": "team", "name": name, "uid": name, "generation": generation}
        body = {"metadata": {**metadata, "resourceVersion": str(self._version)}, "spec": {}}
        raw = {"type": event, "object": body}
        # kopf gives much more by keyword, which must do no harm.
        await self._handler(event=raw, type=event, body=body, name=name, memo={})

    async def work(self):
        """Work all off; return the names in their order."""
        names = []
        while len(self.queue):
            key = await self.queue.get()
            self.queue.done(key)
            names.append(key[1])
        return names


def test_a_spec_that_somebody_changed_goes_before_new_experiments():
    async def run():
        told = Told()
        await told.tell("ADDED", "x")
        assert await told.work() == ["x"]

        for name in "abc":
            await told.tell("ADDED", name)
        await told.tell("MODIFIED", "x", generation=2)
        assert await told.work() == ["x", "a", "b", "c"]

    asyncio.run(run())


def test_a_spec_that_is_changed_while_its_experiment_waits_goes_first():
    async def run():
        told = Told()
        for name in "abc":
            await told.tell("ADDED", name)
        await told.tell("MODIFIED", "c", generation=2)
        assert await told.work() == ["c", "a", "b"]

    asyncio.run(run())


def test_an_experiment_that_was_deleted_goes_first():
    async def run():
        told = Told()
        await told.tell("ADDED", "x")
        await told.work()

        await told.tell("ADDED", "a")
        await told.tell("DELETED", "x")
        assert await told.work() == ["x", "a"]

    asyncio.run(run())


def test_what_leaves_the_spec_as_it_is_goes_in_turn():
    async def run():
        told = Told()
        await told.tell("ADDED", "x")
        await told.work()

        await told.tell("ADDED", "a")
        # As a status that was written, or a label.
        await told.tell("MODIFIED", "x")
        assert await told.work() == ["a", "x"]

    asyncio.run(run())
