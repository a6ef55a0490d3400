"""Evaluations that the learner wants and the evaluator plays; results come back once each."""

from __future__ import annotations

import threading
import time

from greenroom.variables.messages import EvaluationOrder, EvaluationReport


class Evaluations:
    """The newest request of the learner, and the results that it has not taken yet.

        evaluations.request(environment_steps=10_000, version=5_000)      # the learner
        order = evaluations.next_order()                                  # the evaluator
        evaluations.report(EvaluationReport(10_000, 5_120, returns, lengths))
        for result in evaluations.take_results():                         # the learner
            ...

    Whoever asks gets the newest request until it is answered: an evaluator that asks
    again has died, or dropped it. A newer request takes the place of an older one, which
    is played no more unless somebody is at it already; that result is taken all the same,
    for it is a true one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: tuple[int, int] | None = None
        self._taken: set[tuple[int, int]] = set()
        self._results: list[EvaluationReport] = []
        self._stopping = False
        self._seen: float | None = None

    def request(self, environment_steps: int, version: int) -> None:
        """Want an evaluation, with variables of ``version`` (learner steps) or newer.

        Nothing is wanted if such a one has been reported already.
        """
        with self._lock:
            answered = any(
                steps == environment_steps and used >= version for steps, used in self._taken
            )
            self._wanted = None if answered else (environment_steps, version)

    @property
    def pending(self) -> bool:
        """Whether the newest request is not answered yet."""
        with self._lock:
            return self._wanted is not None

    def take_results(self) -> list[EvaluationReport]:
        """Return the results that came since the last call, in order of arrival."""
        with self._lock:
            results, self._results = self._results, []
            return results

    def stop(self) -> None:
        """Tell evaluators to leave when they ask next; what is pending is played no more."""
        with self._lock:
            self._stopping = True

    def seen_seconds_ago(self) -> float | None:
        """Return for how long no evaluator has asked or reported; None if none ever has.

        One that plays is silent until its last episode ends.
        """
        with self._lock:
            return None if self._seen is None else time.monotonic() - self._seen

    def next_order(self) -> EvaluationOrder:
        """Return what an evaluator is to do now."""
        with self._lock:
            self._seen = time.monotonic()
            due = self._wanted is not None and not self._stopping
            steps, version = self._wanted if due and self._wanted else (0, 0)
            return EvaluationOrder(due, steps, version, self._stopping)

    def report(self, report: EvaluationReport) -> None:
        """Take a result; one of the same point and version is a repetition, and passed over."""
        with self._lock:
            self._seen = time.monotonic()
            key = report.environment_steps, report.version
            if key not in self._taken:
                self._taken.add(key)
                self._results.append(report)
            if self._wanted is not None and report.environment_steps == self._wanted[0]:
                self._wanted = None if report.version >= self._wanted[1] else self._wanted
