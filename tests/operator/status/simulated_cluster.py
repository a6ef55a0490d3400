"""A small cluster without a cluster: pods come and go, a learner learns, an operator decides.

One `step` is one second. Everything that may go either way is drawn from ``random``, so that
a seed is a whole history. What must never happen is asserted where it would.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

from life_tools import KINDS, NOW, UID, experiment

from greenroom_api.status import ExperimentStatus
from greenroom_operator import stored
from greenroom_operator.names import ROLES, Role, child_name
from greenroom_operator.observed import (
    Checkpoint,
    Child,
    LearnerState,
    Observed,
    Pod,
    Progress,
    Silence,
)
from greenroom_operator.policies import decide
from greenroom_operator.policies.stopping import LOST_AFTER
from greenroom_operator.status import make_status

GRACE: dict[Role, int] = {"replay": 20, "learner": 90, "actor": 30, "evaluator": 30}
SERVED_SECONDS = 60
WISHES = {suspend: experiment(suspend=suspend) for suspend in (False, True)}


@dataclass
class SimulatedPod:
    """A pod, and its container's life."""

    uid: str
    role: Role
    starts_in: int
    ready_in: int
    leaves_at: int | None = None
    ends_in: int = 0
    lost: bool = False
    restarts: int = 0
    exit_code: int | None = None
    started: bool = False
    ready: bool = False


@dataclass
class Volume:
    """What outlives a learner's pod."""

    environment_steps: int = 0
    learner_steps: int = 0
    checkpoint: Checkpoint | None = None
    finished: bool = False


@dataclass
class Learner:
    """What a learner has in memory."""

    state: LearnerState = "starting"
    learner_steps: int = 0
    stopping_for: int = 0
    read: bool = False
    served: int = 0


@dataclass
class Life:
    """How a history goes: chances for one second, and fixed traits."""

    crash: float = 0.0
    lost_node: float = 0.0
    lost_status: float = 0.0
    restart: float = 0.0
    down: float = 0.0
    clock_jump: float = 0.0
    diverges: bool = False
    saves_in: int = 5
    target: int = 10**9


@dataclass
class SimulatedCluster:
    """An experiment x, its workloads and pods, and one operator."""

    random: Random
    life: Life
    suspend: bool = False
    seconds: int = 0
    skew: int = 0
    down_for: int = 0
    status: dict[str, Any] = field(default_factory=dict)
    wanted: dict[Role, int] = field(default_factory=dict)
    pods: list[SimulatedPod] = field(default_factory=list)
    volume: Volume = field(default_factory=Volume)
    learners: dict[str, Learner] = field(default_factory=dict)
    progress: Progress | None = None
    silence: Silence | None = None
    poll_at: int | None = None
    learner_ran: bool = False
    status_was_lost: bool = False
    jumped: bool = False
    ended: tuple[str, str] | None = None
    writes: int = 0
    made: int = 0

    # --- one second ------------------------------------------------------------------------

    def step(self) -> None:
        self.seconds += 1
        self._make_pods()
        for pod in list(self.pods):
            self._live(pod)
        if self._happens(self.life.lost_status):
            self.status, self.status_was_lost, self.ended = {}, True, None
        if self._happens(self.life.clock_jump):
            self.skew, self.jumped = self.random.choice([-7200, -5, 5, 7200, 0]), True
        if self._happens(self.life.down):
            self.down_for = self.random.randint(1, 120)
        if self._happens(self.life.restart) or self.down_for:
            self.progress, self.silence, self.poll_at = None, None, None
        if self.down_for:
            self.down_for -= 1
        else:
            self._operate()

    def _happens(self, chance: float) -> bool:
        return self.random.random() < chance

    # --- Kubernetes ------------------------------------------------------------------------

    def _make_pods(self) -> None:
        for role, wanted in self.wanted.items():
            mine = [pod for pod in self.pods if pod.role == role]
            alive = [pod for pod in mine if pod.leaves_at is None]
            for pod in alive[wanted:]:
                self._tell_to_leave(pod)
            # A StatefulSet's pod has a name of its own: the next one waits for it.
            taken = mine if role == "replay" else alive
            for _ in range(wanted - len(taken)):
                self.made += 1
                starts, ready = self.random.randint(0, 5), self.random.randint(0, 3)
                self.pods.append(SimulatedPod(f"{role}-{self.made}", role, starts, ready))

    def _tell_to_leave(self, pod: SimulatedPod) -> None:
        self._check_order(pod)
        pod.leaves_at, pod.ready = self.seconds + GRACE[pod.role], False
        pod.ends_in = self.random.randint(0, 5) if pod.role != "replay" else 1
        pod.lost = self._happens(self.life.lost_node)
        if pod.uid in self.learners:
            self.learners[pod.uid].stopping_for = self.life.saves_in + 1

    def _check_order(self, pod: SimulatedPod) -> None:
        """Nobody is told to leave before those that leave earlier have left."""
        earlier: dict[Role, tuple[Role, ...]] = {
            "learner": ("actor", "evaluator"),
            "replay": ("actor", "evaluator", "learner"),
        }
        for other in self.pods:
            if other.role in earlier.get(pod.role, ()) and not self.jumped:
                assert self._is_overdue(other), f"{pod.uid} leaves before {other.uid}"

    def _is_overdue(self, pod: SimulatedPod) -> bool:
        late = None if pod.leaves_at is None else self.seconds - pod.leaves_at
        return late is not None and late >= LOST_AFTER.total_seconds()

    def _live(self, pod: SimulatedPod) -> None:
        if pod.leaves_at is not None:
            self._leave(pod)
        elif not pod.started:
            pod.starts_in -= 1
            pod.started = pod.starts_in < 0
        elif self._happens(self.life.crash):
            self._crash(pod)
        else:
            pod.ready_in -= 1
            pod.ready = pod.ready_in < 0
        if pod.role == "learner" and pod.started and pod in self.pods:
            self._learn(pod)

    def _crash(self, pod: SimulatedPod) -> None:
        pod.restarts, pod.exit_code, pod.ready = pod.restarts + 1, 1, False
        pod.ready_in = self.random.randint(0, 20)
        self.learners.pop(pod.uid, None)

    def _leave(self, pod: SimulatedPod) -> None:
        assert pod.leaves_at is not None
        if pod.lost:
            return
        learner = self.learners.get(pod.uid)
        if learner is None or self.volume.finished:
            pod.ends_in -= 1
            done = pod.ends_in < 0
        else:
            learner.served += learner.state == "stopped"
            patience = 5 if learner.read else SERVED_SECONDS
            done = learner.served > patience
        if done or self.seconds >= pod.leaves_at:
            self.pods.remove(pod)
            self.learners.pop(pod.uid, None)

    # --- the learner -----------------------------------------------------------------------

    def _learn(self, pod: SimulatedPod) -> None:
        self.learner_ran = True
        volume = self.volume
        learner = self.learners.get(pod.uid)
        if learner is None:
            if pod.leaves_at is None:
                steps = 0 if volume.checkpoint is None else volume.checkpoint.learner_steps
                self.learners[pod.uid] = Learner(learner_steps=steps)
            return
        if volume.finished:
            learner.state = "finished"
        elif learner.stopping_for:
            learner.state = "stopping" if learner.state != "stopped" else "stopped"
            learner.stopping_for = max(1, learner.stopping_for - 1)
            if learner.stopping_for == 1 and learner.state != "stopped":
                self._save(learner, final=True)
                learner.state = "stopped"
        else:
            self._train(pod, learner)

    def _train(self, pod: SimulatedPod, learner: Learner) -> None:
        learner.state = "training"
        self.volume.environment_steps += self.random.randint(0, 9)
        learner.learner_steps += self.random.randint(0, 3)
        if self.life.diverges and learner.learner_steps > 20:
            pod.exit_code, pod.ready = 3, False
        if self.seconds % 20 == 0 or learner.learner_steps >= self.life.target:
            self.volume.finished = learner.learner_steps >= self.life.target
            self._save(learner, final=self.volume.finished)

    def _save(self, learner: Learner, *, final: bool) -> None:
        self.volume.learner_steps = learner.learner_steps
        self.volume.checkpoint = Checkpoint(
            self.volume.environment_steps, learner.learner_steps, self._now(), final
        )

    # --- the operator ----------------------------------------------------------------------

    def _now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds + self.skew)

    def _poll(self) -> None:
        for pod in self.pods:
            learner = self.learners.get(pod.uid)
            if learner is None or pod.lost:
                continue
            checkpoint = self.volume.checkpoint
            if checkpoint is not None and learner.state not in ("stopped", "finished"):
                checkpoint = replace(checkpoint, final=False)
            self.progress = Progress(
                self._now(),
                pod.uid,
                learner.state,
                environment_steps=self.volume.environment_steps,
                learner_steps=learner.learner_steps,
                environment_steps_per_second=4.5,
                checkpoint=checkpoint,
            )
            learner.read = learner.read or learner.state in ("stopped", "finished")
            self.silence = None
            return
        self.silence = self.silence or Silence(self._now(), "no answer")

    def observe(self) -> Observed:
        pods = tuple(self._seen(pod) for pod in sorted(self.pods, key=lambda pod: pod.uid))
        children = {}
        for role in ROLES:
            mine = [pod for pod in self.pods if pod.role == role]
            existing = [pod for pod in mine if role == "replay" or pod.leaves_at is None]
            if role in self.wanted:
                children[(KINDS[role], child_name("x", role))] = Child(
                    uid=role, owner=UID, replicas=self.wanted[role], existing=len(existing)
                )
        return Observed(
            now=self._now(),
            children=children,
            pods=pods,
            progress=self.progress,
            silence=self.silence,
        )

    def _seen(self, pod: SimulatedPod) -> Pod:
        leaves = None if pod.leaves_at is None else NOW + timedelta(seconds=pod.leaves_at)
        return Pod(
            name=pod.uid,
            uid=pod.uid,
            role=pod.role,
            phase="Running" if pod.started else "Pending",
            ready=pod.ready,
            deleting=leaves is not None,
            leaves=leaves,
            ip="10.0.0.1" if pod.started else "",
            restarts=pod.restarts,
            exit_code=pod.exit_code,
        )

    def _operate(self) -> None:
        if self.poll_at is not None and self.seconds >= self.poll_at:
            self._poll()
        made = replace(WISHES[self.suspend], status=self.status)
        observed = self.observe()
        decision = decide(made, observed)
        if decision.goal == "run" and stored.terminal(self.status) is not None:
            raise AssertionError("an ended experiment runs")
        self.wanted = dict(decision.replicas)
        status = make_status(made, observed, decision)
        again = make_status(replace(made, status=status), observed, decision)
        assert again == status, "the status of a status is another one"
        if status != self.status:
            self._check(status)
            self.writes += 1
        self.status = status
        pause = decision.poll_seconds
        due = None if pause is None else self.seconds + max(1, round(pause))
        self.poll_at = due if self.poll_at is None or due is None else min(due, self.poll_at)
        if due is not None and self.poll_at is not None and self.poll_at <= self.seconds:
            self.poll_at = due

    def _check(self, status: dict[str, Any]) -> None:
        ExperimentStatus.model_validate(status)
        steps = status.get("environmentSteps", 0)
        assert self.status.get("environmentSteps", 0) <= steps <= self.volume.environment_steps
        end = stored.terminal(status)
        if self.ended is not None:
            assert (end, status["completionTime"]) == self.ended
        if end is not None:
            self.ended = (end, status["completionTime"])
            assert (end == "Succeeded") == self.volume.finished or end == "Failed"
