"""An actor's reports to the learner, sent beside its acting."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from dataclasses import dataclass, replace

from greenroom.errors import GreenroomError, LearnerUnavailable
from greenroom.variables.messages import ActorOrder, ActorReport
from greenroom.variables.remote import LearnerClient

logger = logging.getLogger(__name__)

# A learner sees steps as late as this, and evaluates as late; each report is an fsync there.
REPORT_SECONDS = 0.25
MOST_REPORTS_PER_SECOND = 200
LONGEST_REPORT_SECONDS = 1.0
RETRY_SECONDS = 0.5


@dataclass(frozen=True)
class Standing:
    """What the newest order says, put beside the count that it answers.

    Attributes:
        order: the learner's newest.
        counted: this incarnation's environment steps that it knows of.
    """

    order: ActorOrder
    counted: int

    @property
    def allowed(self) -> int:
        """Environment steps of this incarnation that may be taken before the next report."""
        return self.counted + self.order.steps_until_report


class Reports:
    """Sends what an actor has done, every so often and when it is asked to.

        reports = Reports(client, report)
        standing = reports.send()                     # the first one, in this thread
        reports.start()
        while acting:
            reports.put(report)                       # the newest
            while own_steps >= reports.allowed:
                reports.hurry(wait=0.1)
        reports.close()

    A learner that does not answer holds up nobody: the newest order stands, and the counts
    are in the next report. Where many actors report, each does so less often, but every
    second.

    Args:
        client: to the learner.
        report: the first one.

    Attributes:
        error: why the last report did not arrive, None if it did.
    """

    def __init__(self, client: LearnerClient, report: ActorReport) -> None:
        self.error: GreenroomError | None = None
        self._client = client
        self._report = report
        self._standing: Standing | None = None
        self._broken: BaseException | None = None
        self._wanted = threading.Event()
        self._answered = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="reports", daemon=True)

    @property
    def standing(self) -> Standing | None:
        """What the newest order says, None before the first answer."""
        if self._broken is not None:
            raise self._broken
        return self._standing

    @property
    def allowed(self) -> int:
        """Environment steps that this incarnation may take in all, 0 before the first answer."""
        standing = self.standing
        return 0 if standing is None else standing.allowed

    @property
    def actors(self) -> int:
        """How many actors report to this learner, as far as is known."""
        return 1 if self._standing is None else self._standing.order.actors

    @property
    def _period(self) -> float:
        period = max(REPORT_SECONDS, self.actors / MOST_REPORTS_PER_SECOND)
        return min(period, LONGEST_REPORT_SECONDS)

    def put(self, report: ActorReport) -> None:
        """Have this one sent next."""
        self._report = report

    def send(self) -> Standing:
        """Report now, and return what the answer says.

        Raises:
            LearnerUnavailable: it did not arrive; the next report will say the same and more.
            AccessDenied: the token is not the run's.
        """
        standing = self._standing
        allowed = 0 if standing is None else standing.allowed
        report = replace(self._report, allowed_steps=allowed)
        try:
            order = self._client.report(report)
        except GreenroomError as error:
            if self.error is None:
                # Before the first answer the learner may only be starting, and after an
                # order to stop it may have ended.
                expected = standing is None or standing.order.stop
                level = logging.INFO if expected else logging.WARNING
                logger.log(level, "a report did not arrive: %s", error)
            self.error = error
            raise
        if self.error is not None:
            logger.info("reports arrive again")
        self.error = None
        standing = Standing(order, report.environment_steps)
        with self._answered:
            self._standing = standing
            self._answered.notify_all()
        return standing

    def start(self) -> None:
        """Send reports in a thread from now on."""
        self._thread.start()

    def hurry(self, wait: float) -> None:
        """Have a report sent now, and wait ``wait`` seconds at most for an answer."""
        with self._answered:
            before = self._standing
            self._wanted.set()
            self._answered.wait_for(lambda: self._standing is not before, wait)

    def close(self) -> None:
        """Send no more, once the report under way has ended."""
        self._closed = True
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            while True:
                self._wanted.wait(self._period)
                if self._closed:
                    return
                self._wanted.clear()
                with contextlib.suppress(LearnerUnavailable):
                    self.send()
                if self.error is not None:
                    time.sleep(RETRY_SECONDS)
        except BaseException as error:
            # Whoever acts would go on uncounted: it is told at its next step.
            self._broken = error
