"""One training, from its first step or a checkpoint to its end: who is called when.

    advance -> metrics row -> evaluation -> checkpoint -> advance -> ... -> the end

A driver advances training up to the next thing that is due. Rows and evaluations are
due by environment steps, so that equal runs leave equal records; checkpoints and the
display are due by the clock, and change nothing in the training.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from greenroom.core import State
from greenroom.errors import CheckpointError, GreenroomError, TrainingDiverged
from greenroom.launch.assembly import Parts
from greenroom.launch.drivers import Driver, Limits
from greenroom.launch.reporting import Reporter
from greenroom.launch.stopping import Reached, StopReason, stop_reason
from greenroom.learning.checkpoints import Checkpoint, CheckpointStore
from greenroom_api import RLExperiment

ROW_INTERVAL = 1_000
HOUSEKEEPING_SECONDS = 0.1


class Training:
    """Advances a training and does what is due on the way.

    Args:
        experiment: what was asked for.
        parts: the parts of this process.
        driver: who acts and learns when.
        checkpoints: where checkpoints go.
        reporter: where rows, evaluations and progress go.
        asked_to_stop: asked often; True ends the training with a checkpoint.

    Attributes:
        last_return: mean return of the newest evaluation, None before the first.
    """

    def __init__(
        self,
        experiment: RLExperiment,
        parts: Parts,
        driver: Driver,
        checkpoints: CheckpointStore,
        reporter: Reporter,
        asked_to_stop: Callable[[], bool],
    ) -> None:
        self._spec = experiment.spec
        self._parts = parts
        self._driver = driver
        self._checkpoints = checkpoints
        self._reporter = reporter
        self._asked_to_stop = asked_to_stop
        self._next_row = ROW_INTERVAL
        self._next_evaluation = self._spec.evaluator.interval
        self._evaluated_at: list[int] | None = None
        self.last_return: float | None = None
        self._earlier_seconds = 0.0
        self._began = time.monotonic()
        self._next_checkpoint = self._began + self._spec.checkpoint.interval
        self._next_housekeeping = self._began

    @property
    def environment_steps(self) -> int:
        """Transitions so far."""
        return self._parts.actor.environment_steps

    @property
    def learner_steps(self) -> int:
        """Gradient steps so far."""
        return self._parts.learning.learner_steps

    @property
    def seconds(self) -> float:
        """Running time, that before a resume included."""
        return self._earlier_seconds + time.monotonic() - self._began

    def run(self) -> StopReason | None:
        """Train to the end, evaluate and save; return why it ended, None if it was asked to."""
        try:
            reason = self._train()
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
        self._parts.learning.check_finite()
        self.save()
        return reason

    def _train(self) -> StopReason | None:
        """Advance until a stop condition is met and evaluated (None: asked to stop before)."""
        while not self._asked_to_stop():
            reason = self._stop_reason()
            if reason is None:
                self._driver.advance(self._limits(), self._interrupted)
                self._do_what_is_due()
            elif self._evaluated_at == self._position() or self._evaluate():
                return self._stop_reason() or reason
        return None

    def _stop_reason(self) -> StopReason | None:
        return stop_reason(self._spec.stop, self._reached())

    def _limits(self) -> Limits:
        due = [self._next_row, self._next_evaluation]
        if self._spec.stop.environment_steps is not None:
            due.append(self._spec.stop.environment_steps)
        return Limits(min(due), self._spec.stop.learner_steps)

    def _interrupted(self) -> bool:
        return time.monotonic() >= self._next_housekeeping or self._asked_to_stop()

    def _do_what_is_due(self) -> None:
        if self.environment_steps >= self._next_row:
            self._next_row = _following(self.environment_steps, ROW_INTERVAL)
            self._reporter.training_row(self._reached())
        if self.environment_steps >= self._next_evaluation:
            self._evaluate()
        now = time.monotonic()
        if now >= self._next_checkpoint:
            self._save_or_warn()
            self._next_checkpoint = time.monotonic() + self._spec.checkpoint.interval
        if now >= self._next_housekeeping:
            self._reporter.update("Running", self._reached())
            self._next_housekeeping = time.monotonic() + HOUSEKEEPING_SECONDS

    def _position(self) -> list[int]:
        """Return the counts that tell whether anything was done since."""
        return [self.environment_steps, self.learner_steps]

    def _reached(self) -> Reached:
        return Reached(self.environment_steps, self.learner_steps, self.last_return, self.seconds)

    def _evaluate(self) -> bool:
        """Evaluate; return False if asked to stop before the last episode ended."""
        self._parts.learning.check_finite()
        self._reporter.update("Evaluating", self._reached())
        evaluation = self._parts.evaluator.evaluate(self.environment_steps, self._asked_to_stop)
        if evaluation is None:
            return False  # it is due again when the run resumes
        self._next_evaluation = _following(self.environment_steps, self._spec.evaluator.interval)
        self._evaluated_at = self._position()
        self.last_return = evaluation.episode_return
        self._reporter.evaluation_row(self._reached(), evaluation)
        return True

    def _save_or_warn(self) -> None:
        """A full disk may be emptied before the next interval; the end insists."""
        try:
            self._parts.learning.check_finite()
            self.save()
        except CheckpointError as error:
            self._reporter.warn(str(error))

    def save(self) -> None:
        """Write a checkpoint.

        Raises:
            CheckpointError: it could not be written.
        """
        parts = self._parts
        self._driver.settle()
        path = self._checkpoints.save(
            {
                "learning": parts.learning.state(),
                "actor": parts.actor.state(),
                "adder": parts.adder.state(),
                "driver": self._driver.state(),
                "replay": parts.replay.state(),
                "training": self._state(),
            },
            environment_steps=self.environment_steps,
            learner_steps=self.learner_steps,
        )
        self._reporter.saved(path)

    def _state(self) -> State:
        return {
            "next_row": self._next_row,
            "next_evaluation": self._next_evaluation,
            "evaluated_at": self._evaluated_at,
            "last_return": self.last_return,
            "seconds": self.seconds,
        }

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint."""
        states = checkpoint.parts
        self._parts.learning.restore(states["learning"])
        self._parts.actor.restore(states["actor"])
        self._parts.adder.restore(states["adder"])
        self._parts.replay.restore(states["replay"])
        self._driver.restore(states["driver"])
        own = states["training"]
        self._next_row = own["next_row"]
        # The evaluator's interval may have been changed for the rest of the run.
        self._next_evaluation = min(
            own["next_evaluation"],
            _following(self.environment_steps, self._spec.evaluator.interval),
        )
        self._evaluated_at = own["evaluated_at"]
        self.last_return = own["last_return"]
        self._earlier_seconds = own["seconds"]


def _following(steps: int, interval: int) -> int:
    """Return the next multiple of ``interval`` after ``steps``."""
    return (steps // interval + 1) * interval
