"""One training, from its first step or a checkpoint to its end: who is called when.

    advance -> metrics row -> evaluation -> checkpoint -> advance -> ... -> the end

A driver advances training up to the next thing that is due. Rows and evaluations are
due by environment steps, so that equal runs leave equal records; checkpoints and the
display are due by the clock, and change nothing in the training. The end stands still
until the very parameters that the run leaves behind were evaluated.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from greenroom.core import State
from greenroom.errors import CheckpointError, GreenroomError, TrainingDiverged
from greenroom.learning.checkpoints import Checkpoint, CheckpointStore
from greenroom.learning.loop import LearningLoop
from greenroom.training.drivers import Driver, Limits
from greenroom.training.evaluations import Evaluations
from greenroom.training.reporting import Reporter
from greenroom.training.stopping import Reached, StopDescription, StopReason, stop_reason
from greenroom_api import RLExperiment

ROW_INTERVAL = 1_000
HOUSEKEEPING_SECONDS = 0.1
EVALUATION_WAIT_SECONDS = 0.1


class _Position(NamedTuple):
    environment_steps: int
    learner_steps: int


class Training:
    """Advances a training and does what is due on the way.

    Args:
        experiment: what was asked for.
        learning: the learner and its count.
        driver: who acts and learns when.
        evaluations: who plays evaluations.
        checkpoints: where checkpoints go.
        reporter: where rows, evaluations and progress go.
        asked_to_stop: asked often; True ends the training with a checkpoint.
        stop: returns the stop conditions; asked often.

    Attributes:
        last_return: mean return of the newest evaluation, None before the first.
    """

    def __init__(
        self,
        experiment: RLExperiment,
        learning: LearningLoop,
        driver: Driver,
        evaluations: Evaluations,
        checkpoints: CheckpointStore,
        reporter: Reporter,
        asked_to_stop: Callable[[], bool],
        stop: Callable[[], StopDescription],
    ) -> None:
        self._spec = experiment.spec
        self._learning = learning
        self._driver = driver
        self._evaluations = evaluations
        self._checkpoints = checkpoints
        self._reporter = reporter
        self._asked_to_stop = asked_to_stop
        self._stop = stop
        self._next_row = ROW_INTERVAL
        self._next_evaluation = self._spec.evaluator.interval
        self._requested: _Position | None = None
        self._evaluated_at: _Position | None = None
        self._stands_at: _Position | None = None  # at what may be the end, which is saved
        self.last_return: float | None = None
        self._earlier_seconds = 0.0
        self._began = time.monotonic()
        self._next_checkpoint = self._began + self._spec.checkpoint.interval
        self._next_housekeeping = self._began

    @property
    def environment_steps(self) -> int:
        """Transitions so far."""
        return self._driver.environment_steps

    @property
    def learner_steps(self) -> int:
        """Gradient steps so far."""
        return self._learning.learner_steps

    @property
    def seconds(self) -> float:
        """Running time, that before a resume included."""
        return self._earlier_seconds + time.monotonic() - self._began

    def run(self) -> StopReason | None:
        """Train to the end, evaluate and save; return why it ended, None if it was asked to."""
        self._learning.publish()  # what was restored, or the first parameters
        try:
            reason = self._train()
            if reason is not None:
                self._driver.finish()
        except (TrainingDiverged, CheckpointError):
            raise
        except Exception:
            # The parts are between two steps, and what they hold is kept. Only the actor's
            # generator may be one action ahead.
            try:
                self._save_or_warn()
            except GreenroomError as error:
                self._reporter.warn(str(error))
            raise
        self._learning.check_finite()
        self.save()
        return reason

    def _train(self) -> StopReason | None:
        """Advance until a stop condition is met and evaluated (None: asked to stop before)."""
        while not self._asked_to_stop():
            reason = self._stop_reason()
            if reason is None:
                self._driver.advance(self._limits(), self._interrupted)
                self._do_what_is_due()
            elif self._evaluated_at == self._position():
                return reason
            else:
                # A return was reached by what was asked for earlier, or a budget is used up:
                # the parameters of now are what the run leaves, so they are judged too.
                if self._stands_at != self._position():
                    # A learner that is killed from here on must not learn all of it again.
                    self._stands_at = self._position()
                    self._save_or_warn()
                if self._requested != self._position():
                    self._request_evaluation()
                self._take_evaluations(wait=EVALUATION_WAIT_SECONDS)
                self._do_what_the_clock_says("Evaluating")
        return None

    def _stop_reason(self) -> StopReason | None:
        return stop_reason(self._stop(), self._reached())

    def _limits(self) -> Limits:
        stop, due = self._stop(), [self._next_row, self._next_evaluation]
        if stop.environment_steps is not None:
            due.append(stop.environment_steps)
        return Limits(min(due), stop.learner_steps)

    def _interrupted(self) -> bool:
        return time.monotonic() >= self._next_housekeeping or self._asked_to_stop()

    def _do_what_is_due(self) -> None:
        if self.environment_steps >= self._next_row:
            self._next_row = _following(self.environment_steps, ROW_INTERVAL)
            self._reporter.training_row(self._reached())
        if self.environment_steps >= self._next_evaluation:
            self._request_evaluation()
        self._take_evaluations(wait=0.0)
        self._do_what_the_clock_says("Running")

    def _do_what_the_clock_says(self, state: str) -> None:
        now = time.monotonic()
        if now >= self._next_checkpoint:
            self._save_or_warn()
            self._next_checkpoint = time.monotonic() + self._spec.checkpoint.interval
        if now >= self._next_housekeeping:
            side = self._evaluations if state == "Evaluating" else self._driver
            why = side.why_waiting()
            self._reporter.update(state, self._reached(), why)
            self._next_housekeeping = time.monotonic() + HOUSEKEEPING_SECONDS

    def _position(self) -> _Position:
        """Return the counts that tell whether anything was done since."""
        return _Position(self.environment_steps, self.learner_steps)

    def _reached(self) -> Reached:
        return Reached(self.environment_steps, self.learner_steps, self.last_return, self.seconds)

    def _request_evaluation(self) -> None:
        self._learning.check_finite()
        self._next_evaluation = _following(self.environment_steps, self._spec.evaluator.interval)
        self._requested = self._position()
        self._reporter.update("Evaluating", self._reached())
        self._evaluations.request(*self._requested)

    def _take_evaluations(self, wait: float) -> None:
        for ended in self._evaluations.take(self._asked_to_stop, wait):
            at = _Position(ended.environment_steps, ended.learner_steps)
            if self._requested is not None and at.environment_steps >= self._requested[0]:
                self._requested = None
            self._evaluated_at = at
            self.last_return = ended.evaluation.episode_return
            self._reporter.evaluation_row(self._reached(), ended)

    def _save_or_warn(self) -> None:
        """A full disk may be emptied before the next interval; the end insists."""
        try:
            self._learning.check_finite()
            self.save()
        except CheckpointError as error:
            self._reporter.warn(str(error))

    def save(self) -> None:
        """Write a checkpoint.

        Raises:
            CheckpointError: it could not be written.
        """
        self._reporter.update("Saving", self._reached())
        # First the driver's: what is under way elsewhere ends, and counts with it.
        others = self._driver.state()
        path = self._checkpoints.save(
            {"learning": self._learning.state(), **others, "training": self._state()},
            environment_steps=self.environment_steps,
            learner_steps=self.learner_steps,
        )
        self._reporter.saved(path)

    def _state(self) -> State:
        # An evaluation that was asked for and has not ended is due again after a resume.
        asked = [] if self._requested is None else [self._requested.environment_steps]
        return {
            "next_row": self._next_row,
            "next_evaluation": min([self._next_evaluation, *asked]),
            "evaluated_at": None if self._evaluated_at is None else list(self._evaluated_at),
            "last_return": self.last_return,
            "seconds": self.seconds,
        }

    def restore(self, checkpoint: Checkpoint, reported_steps: int) -> None:
        """Go on from a checkpoint; see `Driver.restore` for ``reported_steps``."""
        states = checkpoint.parts
        self._learning.restore(states["learning"])
        for missing in self._driver.restore(states, reported_steps):
            self._reporter.warn(f"resuming {checkpoint.path.name}: {missing}")
        own = states["training"]
        self._next_row = own["next_row"]
        # The evaluator's interval may have been changed for the rest of the run.
        self._next_evaluation = min(
            own["next_evaluation"],
            _following(self.environment_steps, self._spec.evaluator.interval),
        )
        at = own["evaluated_at"]
        self._evaluated_at = None if at is None else _Position(*at)
        self.last_return = own["last_return"]
        self._earlier_seconds = own["seconds"]


def _following(steps: int, interval: int) -> int:
    """Return the next multiple of ``interval`` after ``steps``."""
    return (steps // interval + 1) * interval
