"""Evaluations that the learner wants and the evaluator plays; results come back once each."""

from __future__ import annotations

import threading
import time

from greenroom.variables.messages import EvaluationOrder, EvaluationReport


class Evaluations:
    """The newest request of a learner, and the results that it has not taken yet.

        evaluations = Evaluations(learner)
        evaluations.request(environment_steps=10_000, version=5_000)      # the learner
        order = evaluations.next_order()                                  # the evaluator
        evaluations.report(EvaluationReport(10_000, 5_120, learner, returns, lengths))
        for result in evaluations.take_results():                         # the learner
            ...

    Whoever asks gets the newest request until it is answered: an evaluator that asks
    again has died, dropped it, or lets itself be heard of. A newer request takes the place
    of an older one, which is played no more unless somebody is at it already; that result
    is taken all the same, for it is a true one. One that an earlier learner process wanted
    is not: its parameters may be lost, and their versions come again with others.

    Args:
        learner: names the learner's process.
    """

    def __init__(self, learner: str) -> None:
        self._learner = learner
        self._lock = threading.Lock()
        self._wanted: tuple[int, int] | None = None
        self._taken: set[tuple[int, int]] = set()
        self._results: list[EvaluationReport] = []
        self._seen: float | None = None

    def request(self, environment_steps: int, version: int) -> None:
        """Want an evaluation, with variables of ``version`` (learner steps) or newer."""
        with self._lock:
            self._wanted = environment_steps, version

    def take_results(self) -> list[EvaluationReport]:
        """Return the results that came since the last call, in order of arrival."""
        with self._lock:
            results, self._results = self._results, []
            return results

    def seen_seconds_ago(self) -> float | None:
        """Return for how long no evaluator has asked or reported; None if none ever has."""
        with self._lock:
            return None if self._seen is None else time.monotonic() - self._seen

    def next_order(self) -> EvaluationOrder:
        """Return what an evaluator is to do now."""
        with self._lock:
            self._seen = time.monotonic()
            if self._wanted is None:
                return EvaluationOrder(False, 0, 0, self._learner)
            return EvaluationOrder(True, *self._wanted, self._learner)

    def report(self, report: EvaluationReport) -> None:
        """Take a result, unless it is a repetition or another learner's."""
        with self._lock:
            self._seen = time.monotonic()
            if report.learner != self._learner:
                return
            key = report.environment_steps, report.version
            wanted = self._wanted
            answers = wanted is not None and key[0] == wanted[0] and key[1] >= wanted[1]
            if answers or key not in self._taken:
                self._taken.add(key)
                self._results.append(report)
            if answers:
                self._wanted = None
