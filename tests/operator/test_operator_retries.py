"""What the operator tries again, and for how long: a comparison that is refused, its Lease."""

import asyncio

import pytest

from greenroom_operator import leader, sync
from greenroom_operator.cache import Cache
from greenroom_operator.errors import ApiRefused
from greenroom_operator.kinds import CHILDREN, EXPERIMENT, POD
from greenroom_operator.leader import Lease, LeaseLost
from greenroom_operator.queue import WorkQueue
from greenroom_operator.sync import Synchronizer

# Of what takes milliseconds, on any machine.
SECONDS = 60.0


@pytest.mark.parametrize(("status", "reason"), [(410, "Expired"), (403, "Forbidden")])
def test_a_comparison_that_is_refused_is_made_later(monkeypatch, status, reason):
    monkeypatch.setattr(sync, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(sync, "SETTLE_SECONDS", 0.01)
    done = asyncio.Event()
    answers = iter([ApiRefused("not now", status=status, reason=reason)])

    class Lists:
        async def list(self, kind, namespace, *, selector=""):
            if error := next(answers, None):
                raise error
            yield 1, []
            if kind is EXPERIMENT:
                done.set()

    async def run():
        synchronizer = Synchronizer(
            Lists(), Cache(), WorkQueue(), (*CHILDREN, POD, EXPERIMENT), (), 3600.0
        )
        task = asyncio.create_task(synchronizer.run())
        synchronizer.want()
        async with asyncio.timeout(SECONDS):
            await done.wait()
        assert not task.done()
        task.cancel()

    asyncio.run(run())


def test_a_lease_is_held_though_one_renewal_is_refused(monkeypatch):
    monkeypatch.setattr(leader, "RENEW_SECONDS", 0.01)
    refused = ApiRefused("the token is not known yet", status=401, reason="Unauthorized")

    class Restarted:
        """Knows no token at the second and third request, as an API server that has begun anew."""

        def __init__(self):
            self.requests, self.lease = 0, {"spec": {}}

        async def request(self, method, path, body=None, *, seconds):
            self.requests += 1
            if self.requests in (3, 4):
                raise refused
            if method == "PUT":
                self.lease = body
            return self.lease

    async def run():
        server = Restarted()
        lease = Lease(server, "team", "operator", "a")
        await lease.acquire()
        holding = asyncio.create_task(lease.hold())
        async with asyncio.timeout(SECONDS):
            while server.requests < 10:
                await asyncio.sleep(0.01)
        assert not holding.done()
        holding.cancel()

    asyncio.run(run())


def test_a_lease_whose_renewal_takes_too_long_is_lost_in_time(monkeypatch):
    monkeypatch.setattr(leader, "DURATION_SECONDS", 1.0)
    monkeypatch.setattr(leader, "SAFETY_SECONDS", 0.5)
    monkeypatch.setattr(leader, "RENEW_SECONDS", 0.05)

    class Patience:
        """Answers while the Lease is taken, then no more, as one that asks for patience."""

        requests = iter(("GET", "PUT"))

        async def request(self, method, path, body=None, *, seconds):
            if next(self.requests, None) is None:
                await asyncio.Event().wait()
            return {"spec": {}} if method == "GET" else body

    async def run():
        lease = Lease(Patience(), "team", "operator", "a")
        await lease.acquire()
        async with asyncio.timeout(SECONDS):
            with pytest.raises(LeaseLost):
                await lease.hold()

    asyncio.run(run())
