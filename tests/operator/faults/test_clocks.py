"""Two candidates for a Lease whose clocks are days apart, one of them cut off from the API server.

The wall clock is only written into the Lease; who may take it is told by each candidate's own
monotonic clock.
"""

import asyncio
import contextvars
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest

from greenroom_operator import leader
from greenroom_operator.client import Api, load_configuration, open_session
from greenroom_operator.leader import Lease, LeaseLost

# So much longer than a request takes that a machine which stands still for a moment loses nothing.
DURATION = 9.0
FAST = timedelta(days=2)

ahead = contextvars.ContextVar("ahead", default=timedelta(0))


class OwnClock(datetime):
    """The wall clock of the candidate that asks for it."""

    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) + ahead.get()


@pytest.fixture
def _short_lease(monkeypatch):
    monkeypatch.setattr(leader, "DURATION_SECONDS", DURATION)
    monkeypatch.setattr(leader, "SAFETY_SECONDS", 3.0)
    monkeypatch.setattr(leader, "RENEW_SECONDS", 0.3)
    monkeypatch.setattr(leader, "REQUEST_SECONDS", 3.0)
    monkeypatch.setattr(leader, "datetime", OwnClock)


async def hold(lease, clock):
    """Take a Lease and hold it by a clock; return when it was lost."""
    ahead.set(clock)
    await lease.acquire()
    with pytest.raises(LeaseLost):
        await lease.hold()
    return time.monotonic()


async def take(lease, clock):
    """Wait for a Lease by a clock; return when it was ours."""
    ahead.set(clock)
    await lease.acquire()
    return time.monotonic()


@pytest.mark.slow
@pytest.mark.usefixtures("_short_lease")
@pytest.mark.parametrize("clock", [FAST, -FAST], ids=["ahead", "behind"])
def test_clocks_that_differ_neither_keep_nor_break_a_lease(cluster, namespace, proxy, clock):
    async def compete():
        async with AsyncExitStack() as stack:

            async def candidate(kubeconfig, name):
                configuration = await load_configuration(str(kubeconfig))
                session = await stack.enter_async_context(open_session(configuration))
                api = Api(configuration, session, lambda verb, code: None)
                return Lease(api, namespace, "operator", name)

            first = await candidate(proxy.kubeconfig, "first")
            second = await candidate(cluster.kubeconfig, "second")
            holding = asyncio.create_task(hold(first, clock))
            while first.holder != "first":
                await asyncio.sleep(0.05)
            taking = asyncio.create_task(take(second, -clock))

            # It is renewed, so that nobody else gets it, whatever time its record tells.
            await asyncio.sleep(2 * DURATION)
            assert not holding.done()
            assert not taking.done()

            cut = time.monotonic()
            proxy.sever()
            lost, taken = await asyncio.gather(holding, taking)
            # At no time there are two of them.
            assert cut < lost < taken
            assert second.holder == "second"
            written = await second._request("GET", named=True)
            told = datetime.fromisoformat(written["spec"]["renewTime"])
            assert abs(told - datetime.now(UTC) + clock) < FAST / 2
        # TLS connections end by a last exchange, for which aiohttp does not wait.
        await asyncio.sleep(0.25)

    asyncio.run(compete())
