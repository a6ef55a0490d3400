"""A full life of one experiment, whose operator is cut off and killed once in each step.

    with Life(cluster, folder) as life:
        life.lead()                         # create, scale, suspend, resume, finish, delete
    life.snapshots                          # what there was after each step
    with Life(cluster, folder, Crash(write=7, delivered=True), life.snapshots) as crashed:
        crashed.lead()                      # each step ends as it did in the other life

Pods are simulated; the learner's `/status` is recorded, since crash points are the subject.
"""

from __future__ import annotations

import difflib
import json
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from life_objects import family, snapshot
from operator_process import OperatorProcess
from proxy import Proxy
from recorded_learner import POD_IP, RecordedLearner

from e2e.cluster.client import Api, Object
from e2e.cluster.cluster import Cluster
from greenroom_operator.kinds import EVENT, EXPERIMENT, POD, Kind

STEP_SECONDS = 120.0
LOOK_SECONDS = 0.2
NAME = "x"
# No Lease: whoever is killed would keep it for its whole duration; that is tested elsewhere.
FLAGS = ("--no-leader-elect", "--progress-interval=1", "--progress-via=pods")


@dataclass(frozen=True)
class Crash:
    """Where the operator is cut off and killed, in each step that has so many writes.

    Attributes:
        write: its number in the step, from 1.
        delivered: whether the API server has done it by then.
    """

    write: int
    delivered: bool


def experiment(learner: str) -> Object:
    """A small experiment whose learner's pod is at this address."""
    template = {"metadata": {"annotations": {POD_IP: learner}}}
    return {
        "apiVersion": EXPERIMENT.api_version,
        "kind": EXPERIMENT.kind,
        "metadata": {"name": NAME},
        "spec": {
            "environment": {"gymnasium": {"id": "CartPole-v1"}},
            "agent": {"dqn": {}},
            "learner": {"podTemplate": template},
            "stop": {"environmentSteps": 1_000_000},
        },
    }


class Life:
    """One experiment in a namespace of its own, with a proxy, a learner and an operator.

    Args:
        folder: for logs.
        crash: when the operator is killed; another one is started, to whom nothing happens.
        expected: snapshots of another life: each step must end so.

    Attributes:
        crashes: how often an operator was killed.
        writes: how many writes each step took, Leases apart.
        snapshots: by step: objects and status, without what differs between two lives.
        events: reasons of the experiment's Events, in order.
    """

    def __init__(
        self,
        cluster: Cluster,
        folder: Path,
        crash: Crash | None = None,
        expected: Mapping[str, str] | None = None,
    ) -> None:
        self.namespace = f"t-life-{uuid.uuid4().hex[:8]}"
        self._cluster = cluster
        self._folder = folder / self.namespace
        self._folder.mkdir()
        self._crash = crash
        self._expected = expected
        self.crashes = 0
        self.writes: dict[str, int] = {}
        self.snapshots: dict[str, str] = {}
        self.events: list[str] = []
        self._uids: dict[str, str] = {}

    def __enter__(self) -> Life:
        with ExitStack() as stack:
            self._api = stack.enter_context(Api.of(self._cluster.kubeconfig))
            self._api.create("/api/v1/namespaces", {"metadata": {"name": self.namespace}})
            stack.callback(self._api.delete, f"/api/v1/namespaces/{self.namespace}")
            self._learner = stack.enter_context(RecordedLearner())
            self._proxy = stack.enter_context(Proxy(self._cluster.kubeconfig, self._folder))
            self._operator = OperatorProcess(
                self._proxy.kubeconfig, self.namespace, self._folder / "operator.log", FLAGS
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def lead(self) -> None:
        """Lead the experiment through its life.

        Raises:
            AssertionError: a step does not end as it should, children or the Secret were
                replaced, or the operator logged an error.
        """
        self._operator.start()
        try:
            self._create()
            self._change("scale", {"actors": {"replicas": 3}}, "Running", actors=3)
            self._change("suspend", {"suspend": True}, "Suspended", actors=0)
            self._change("resume", {"suspend": False}, "Running", actors=3)
            self._finish()
            self._delete()
        finally:
            self._operator.kill()
        # kopf tells of each request that it tries again as of an error.
        for words in ("Traceback", "was never retrieved"):
            assert words not in self._operator.log, self._operator.log

    # --- steps ------------------------------------------------------------------------------

    def _create(self) -> None:
        self._arm()
        made = self._api.create(EXPERIMENT.path(self.namespace), experiment(self._learner.address))
        self._learner.uid = made["metadata"]["uid"]
        self._settle("create", "Running", actors=1)

    def _change(self, step: str, spec: Object, phase: str, *, actors: int) -> None:
        self._arm()
        self._api.patch(EXPERIMENT.path(self.namespace, NAME), {"spec": spec})
        self._settle(step, phase, actors=actors)

    def _finish(self) -> None:
        self._arm()
        self._learner.state = "finished"
        self._settle("finish", "Succeeded", actors=0)

    def _delete(self) -> None:
        self._arm()
        self._api.delete(EXPERIMENT.path(self.namespace, NAME))
        # Kubernetes' garbage collector does it, and the operator makes nothing anew.
        self._wait(lambda: not family(self._api, self.namespace), "delete")
        events = [e for e in self._list(EVENT) if e["involvedObject"]["uid"] == self._learner.uid]
        self.events = [e["reason"] for e in sorted(events, key=lambda e: e["firstTimestamp"])]

    def _arm(self) -> None:
        if self._crash is not None:
            write = self._proxy.writes + self._crash.write
            self._proxy.cut_at(write, delivered=self._crash.delivered)

    def _settle(self, step: str, phase: str, *, actors: int) -> None:
        def settled() -> bool:
            if not self._settled(phase, actors):
                return False
            self.snapshots[step] = self._snapshot()
            return self._expected is None or self.snapshots[step] == self._expected[step]

        self._wait(settled, step)
        objects = family(self._api, self.namespace)
        uids = {name: item["metadata"]["uid"] for name, item in objects.items()}
        secrets = [name for name in uids if name.startswith("Secret ")]
        assert len(secrets) == 1, secrets
        self._uids = self._uids or uids
        assert uids == self._uids, f"{step}: children were replaced"

    def _wait(self, met: Callable[[], bool], step: str) -> None:
        deadline = time.monotonic() + STEP_SECONDS
        before = self._proxy.writes
        while True:
            if self._proxy.severed:
                self._operator.kill()
                self.crashes += 1
                self._proxy.restore()
                self._operator.start()
            assert self._operator.status is None, f"The operator ended:\n{self._operator.log}"
            if met():
                self.writes[step] = self._proxy.writes - before
                return
            assert time.monotonic() < deadline, self._words(step)
            time.sleep(LOOK_SECONDS)

    def _words(self, step: str) -> str:
        """Why a step has not ended."""
        got = self.snapshots.get(step) or json.dumps(self._experiment().get("status"), indent=1)
        expected = "" if self._expected is None else self._expected.get(step, "")
        difference = difflib.unified_diff(expected.splitlines(), got.splitlines(), lineterm="")
        words = "\n".join(difference if expected else [got])
        return f"{step} with {self._crash} did not end as it should:\n{words}\n{self._operator.log}"

    # --- what there is ----------------------------------------------------------------------

    def _settled(self, phase: str, actors: int) -> bool:
        found = self._experiment()
        status = found.get("status", {})
        if (
            status.get("phase") != phase
            or status.get("observedGeneration") != found["metadata"]["generation"]
            or status["actors"]["replicas"] != actors
            or status["actors"]["ready"] != actors
        ):
            return False
        verdicts = {c["type"]: c for c in status["conditions"]}
        progressing = verdicts["Progressing"]
        if phase == "Running":
            # All pods are ready, and the learner has been asked.
            asked = verdicts["ReplayStalled"]["reason"] == "Flowing"
            return asked and bool(progressing["reason"] == "AsSpecified")
        return progressing["status"] == "False" and not self._list(POD)

    def _experiment(self) -> Object:
        return self._api.get(EXPERIMENT.path(self.namespace, NAME))

    def _list(self, kind: Kind) -> list[Object]:
        items: list[Object] = self._api.get(kind.path(self.namespace))["items"]
        return items

    def _snapshot(self) -> str:
        return snapshot(
            family(self._api, self.namespace),
            self._experiment()["status"],
            (self.namespace, self._learner.uid, self._learner.uid[:8], self._learner.address),
        )
