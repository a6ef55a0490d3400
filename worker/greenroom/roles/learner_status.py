"""What a learner tells of a training where nobody watches: its status, metrics and log."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import Any, Final

from greenroom.learning.checkpoints import WrittenCheckpoint, newest_written
from greenroom.learning.loop import LearningLoop
from greenroom.observability.displays import Level
from greenroom.observability.progress import Header, Progress, Summary
from greenroom.observability.run_directory import RunDirectory
from greenroom.roles import settings
from greenroom.roles.serving import Labelled, RoleContext
from greenroom.variables.service import LearnerService

logger = logging.getLogger(__name__)

# A large checkpoint takes minutes; a disk that has not taken it by then never will.
SAVING_SECONDS: Final = 15 * 60.0
STATES: Final = ("starting", "training", "stopping", "finished", "stopped")
ENDED: Final = {"Succeeded": "finished", "Interrupted": "stopped"}
# The panel names who is busy; to everybody else it is what is busy.
SIDES: Final = {"actor": "acting", "learner": "learning"}


class LearnerDisplay:
    """Shows a training at the endpoint of its process (`Display`), from before it begins.

    Args:
        context: the process.
        directory: of the run; its newest checkpoint is told.
        experiment: its name.
        uid: which experiment of that name, "" if nobody asks.

    Attributes:
        ended_read_at: when somebody first read how it ended, on ``time.monotonic``; None
            before.
    """

    def __init__(
        self, context: RoleContext, directory: RunDirectory, experiment: str, uid: str = ""
    ) -> None:
        self.ended_read_at: float | None = None
        self._context = context
        self._directory = directory
        self._identity = {"experiment": experiment, "uid": uid}
        self._service: LearnerService | None = None
        self._learning: LearningLoop | None = None
        self._progress: Progress | None = None
        self._summary: Summary | None = None
        context.observe(self._status, self._figures)
        context.route("/counts", self._counts)

    def attach(self, service: LearnerService, learning: LearningLoop | None = None) -> None:
        """Tell of these too, once they are there."""
        self._service, self._learning = service, learning

    @property
    def state(self) -> str:
        """One of `STATES`; "finished" and "stopped" only once all is saved."""
        summary = self._summary
        if summary is not None and summary.state in ENDED:
            return ENDED[summary.state]
        if summary is not None or self._context.stop:
            return "stopping"
        return "starting" if self._progress is None else "training"

    def start(self, header: Header) -> None:
        """Begin."""
        logger.info("%s: %s on %s", header.experiment, header.agent, header.environment)

    def update(self, progress: Progress) -> None:
        """Keep what the endpoint shows; the learner is ready once it has learned."""
        self._progress = progress
        self._context.alive(SAVING_SECONDS if progress.state == "Saving" else None)
        if progress.waiting_for is None or progress.learner_steps:
            self._context.ready()
        else:
            self._context.ready(reason=f"waiting for {progress.waiting_for}")

    def event(self, message: str, level: Level = "info") -> None:
        """Log what happened."""
        if level == "info":
            logger.info("%s%s", settings.EVENT, message)
        else:
            logger.warning("%s", message)

    def finish(self, summary: Summary) -> None:
        """Show and log how it ended."""
        self._summary = summary
        logger.info("%s: %s", summary.state, summary.message)

    def close(self) -> None:
        """Nothing is held open."""

    # --- the endpoint's side -------------------------------------------------------------

    def _status(self) -> dict[str, Any]:
        state, progress, checkpoint = self.state, self._progress, self._checkpoint()
        ended = state in ENDED.values()
        if ended and self.ended_read_at is None:
            self.ended_read_at = time.monotonic()
        now = progress if state == "training" else None
        return {
            **self._identity,
            "state": state,
            "detail": self._detail(state),
            **self._counts(),
            "episodeReturn": self._episode_return(),
            "environmentStepsPerSecond": now and now.environment_steps_per_second,
            "learnerStepsPerSecond": now and now.learner_steps_per_second,
            "samplesPerInsert": progress and progress.samples_per_insert,
            "wantedSamplesPerInsert": progress and progress.wanted_samples_per_insert,
            "bottleneck": now and now.bottleneck and SIDES[now.bottleneck],
            "checkpoint": checkpoint and _checkpoint_json(checkpoint, final=ended),
            "progress": progress and progress.to_json(),
            "actors": self._actors(),
        }

    def _detail(self, state: str) -> str:
        if self._summary is not None:
            return self._summary.message
        if state != "training" or self._progress is None:
            return ""
        waiting_for = self._progress.waiting_for
        return (
            f"waits for {waiting_for}" if waiting_for else f"{self._progress.learner_steps:,} steps"
        )

    def _counts(self) -> dict[str, int]:
        """Return how far training is: where it goes on from, until it does."""
        known = self._summary or self._progress
        if known is not None:
            return _counts_json(known)
        checkpoint = self._checkpoint()
        learner_steps = 0 if checkpoint is None else checkpoint.learner_steps
        environment_steps = 0 if checkpoint is None else checkpoint.environment_steps
        if self._service is not None:
            environment_steps = self._service.counts.counts.total.environment_steps
        return {"environmentSteps": environment_steps, "learnerSteps": learner_steps}

    def _episode_return(self) -> float | None:
        known = self._summary or self._progress
        return None if known is None else known.episode_return

    def _checkpoint(self) -> WrittenCheckpoint | None:
        return newest_written(self._directory.checkpoints)

    def _actors(self) -> dict[str, Any]:
        actors = {} if self._service is None else self._service.actors()
        return {
            name: {
                "environmentSteps": actor.report.environment_steps,
                "version": actor.report.version,
                "secondsAgo": round(actor.seconds_ago, 3),
            }
            for name, actor in actors.items()
        }

    def _figures(self) -> dict[str, float | Labelled]:
        state, progress, checkpoint = self.state, self._progress, self._checkpoint()
        figures: dict[str, float | Labelled | None] = {
            "greenroom_learner_state": Labelled(
                "state", {name: float(name == state) for name in STATES}
            ),
            "greenroom_learner_steps_total": self._counts()["learnerSteps"],
            "greenroom_episode_return": self._episode_return(),
            "greenroom_learner_checkpoint_timestamp_seconds": None
            if checkpoint is None
            else checkpoint.time,
        }
        if self._service is not None:
            figures |= _actors_figures(self._service)
        if self._learning is not None:
            waited, lost = self._learning.waiting_seconds, self._learning.lost_priority_updates
            figures["greenroom_learner_waiting_seconds_total"] = waited
            figures["greenroom_learner_lost_priority_updates_total"] = lost
        if progress is not None and state == "training":
            figures |= _progress_figures(progress)
        return {name: value for name, value in figures.items() if value is not None}


def _counts_json(known: Progress | Summary) -> dict[str, int]:
    return {
        "environmentSteps": known.environment_steps,
        "learnerSteps": known.learner_steps,
    }


def _checkpoint_json(checkpoint: WrittenCheckpoint, *, final: bool) -> dict[str, Any]:
    written = datetime.fromtimestamp(checkpoint.time, UTC)
    return {
        "environmentSteps": checkpoint.environment_steps,
        "learnerSteps": checkpoint.learner_steps,
        "time": written.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "final": final,
    }


def _actors_figures(service: LearnerService) -> dict[str, float | Labelled | None]:
    total = service.counts.counts.total
    return {
        "greenroom_environment_steps_total": total.environment_steps,
        "greenroom_episodes_total": total.episodes,
        "greenroom_actors_acting_seconds_total": total.acting_seconds,
        "greenroom_actors_waiting_seconds_total": total.waiting_seconds,
        "greenroom_actors_dropped_items_total": total.dropped_items,
        "greenroom_actors_reporting": service.reporting(),
    }


def _progress_figures(progress: Progress) -> dict[str, float | Labelled | None]:
    side = progress.bottleneck
    return {
        "greenroom_environment_steps_per_second": progress.environment_steps_per_second,
        "greenroom_learner_steps_per_second": progress.learner_steps_per_second,
        "greenroom_samples_per_insert": progress.samples_per_insert,
        "greenroom_wanted_samples_per_insert": progress.wanted_samples_per_insert,
        "greenroom_training_return": progress.training_return,
        "greenroom_agent_metric": Labelled("metric", progress.agent_metrics),
        "greenroom_bottleneck": None
        if side is None
        else Labelled("side", {name: float(key == side) for key, name in SIDES.items()}),
    }
