"""Leader election: one process at a time writes, by a Lease that it keeps renewing.

    lease = Lease(api, settings)
    await lease.acquire()               # waits while another one holds it
    await lease.hold()                  # returns only by raising LeaseLost

Others take a Lease over when its record has not changed for its whole duration by *their*
monotonic clock, so that no two clocks are compared and a clock that jumps does no harm. The
holder stops `SAFETY_SECONDS` before that, by its own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from greenroom_operator.client import Api
from greenroom_operator.errors import ApiRefused, ApiUnavailable, Conflict, NotFound, OperatorError
from greenroom_operator.kinds import LEASE

logger = logging.getLogger(__name__)

DURATION_SECONDS: Final = 15.0
RENEW_SECONDS: Final = 3.0
SAFETY_SECONDS: Final = 5.0
# Each request ends well within the time that is left to renew.
REQUEST_SECONDS: Final = 3.0


class LeaseLost(OperatorError):
    """Another process may write from now on; this one must end at once."""


class Lease:
    """One candidate's view of the Lease.

    Args:
        api: where the Lease is.
        namespace, name: of the Lease.
        identity: what this candidate is called there; another one for each process.

    Attributes:
        read: whether the Lease could be read, or made, at the last try.
        holder: who holds it, as far as is known.
    """

    def __init__(self, api: Api, namespace: str, name: str, identity: str) -> None:
        self._api, self._namespace, self._name = api, namespace, name
        self._identity = identity
        self.read = False
        self.holder = ""
        self._seen: tuple[Any, ...] | None = None
        self._seen_at = 0.0
        self._renewed_at = 0.0

    async def acquire(self) -> None:
        """Wait until this candidate holds the Lease.

        Raises:
            ApiRefused: the API server lets it neither read nor write the Lease.
        """
        waiting = ""
        while not await self._try():
            if self.holder and self.holder != waiting:
                waiting = self.holder
                logger.info("waiting for the Lease that %s holds", waiting)
            await asyncio.sleep(RENEW_SECONDS)
        logger.info("leading: the Lease %s/%s is ours", self._namespace, self._name)

    async def hold(self) -> None:
        """Keep the Lease for as long as that is possible.

        Raises:
            LeaseLost: it is another one's, or could not be renewed in time.
        """
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            renewed = False
            # A server that is slow, or asks for patience, must not hold up the end.
            try:
                async with asyncio.timeout(self._seconds_left()):
                    renewed = await self._try()
            except TimeoutError:
                pass
            except ApiRefused as error:
                # A server that has just started knows no rights yet, and a token may be renewed.
                logger.warning("the Lease was not renewed: %s", error)
            if not renewed and self.holder not in ("", self._identity):
                raise LeaseLost(f"the Lease was taken over by {self.holder}")
            if self._seconds_left() <= 0:
                raise LeaseLost(f"the Lease was not renewed for {DURATION_SECONDS:g} s")

    def _seconds_left(self) -> float:
        """Return how long this candidate may hold the Lease without renewing it."""
        return self._renewed_at + DURATION_SECONDS - SAFETY_SECONDS - time.monotonic()

    async def release(self) -> None:
        """Let another candidate have the Lease at once, if it is ours."""
        try:
            lease = await self._request("GET", named=True)
            if lease["spec"].get("holderIdentity") == self._identity:
                await self._put(lease, {"holderIdentity": "", "leaseDurationSeconds": 1})
        except OperatorError as error:
            logger.warning("the Lease was not released: %s", error)

    async def _try(self) -> bool:
        """Take or renew the Lease; return whether it is ours."""
        began = time.monotonic()
        try:
            try:
                lease = await self._request("GET", named=True)
            except NotFound:
                await self._create()
            else:
                self.read = True
                if not self._may_take(lease.get("spec", {})):
                    return False
                await self._put(lease, self._record(lease.get("spec", {})))
        except Conflict:
            return False  # another candidate was faster; its name is seen next time
        except ApiUnavailable as error:
            self.read = False
            logger.warning("the Lease cannot be reached: %s", error)
            return False
        except ApiRefused:
            self.read = False
            raise
        self.read, self.holder = True, self._identity
        self._renewed_at = began
        return True

    def _may_take(self, spec: Mapping[str, Any]) -> bool:
        self.holder = spec.get("holderIdentity") or ""
        if self.holder in ("", self._identity):
            return True
        record = (self.holder, spec.get("renewTime"), spec.get("leaseTransitions"))
        now = time.monotonic()
        if record != self._seen:
            self._seen, self._seen_at = record, now
        duration = float(spec.get("leaseDurationSeconds", DURATION_SECONDS))
        return now - self._seen_at > duration

    def _record(self, before: Mapping[str, Any]) -> dict[str, Any]:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        changes = before.get("holderIdentity") != self._identity
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(DURATION_SECONDS),
            "acquireTime": now if changes else before.get("acquireTime", now),
            "renewTime": now,
            "leaseTransitions": before.get("leaseTransitions", 0)
            + (1 if before and changes else 0),
        }

    async def _create(self) -> None:
        body = {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": self._record({}),
        }
        await self._request("POST", body)

    async def _put(self, lease: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
        """Write the Lease as it was read, so that of two candidates one is refused (409)."""
        await self._request("PUT", {**lease, "spec": spec}, named=True)

    async def _request(
        self, method: str, body: Mapping[str, Any] | None = None, *, named: bool = False
    ) -> dict[str, Any]:
        path = LEASE.path(self._namespace, self._name if named else "")
        return await self._api.request(method, path, body, seconds=REQUEST_SECONDS)
