"""The container of each role: what it runs, with which variables, and how much it gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from greenroom_operator import names
from greenroom_operator.names import Role
from greenroom_operator.plan.subject import Subject

# Variables of greenroom.roles.settings, which the operator does not import.
TOKEN: Final = "GREENROOM_TOKEN"
EXPERIMENT: Final = "GREENROOM_EXPERIMENT"
REPLAY: Final = "GREENROOM_REPLAY"
LEARNER: Final = "GREENROOM_LEARNER"
TABLES: Final = "GREENROOM_TABLES"
BIND_HOST: Final = "GREENROOM_BIND_HOST"
PORT: Final = "GREENROOM_PORT_NUMBER"
HTTP_PORT: Final = "GREENROOM_HTTP_PORT_NUMBER"
RUN_DIRECTORY: Final = "GREENROOM_RUN_DIRECTORY"
UID: Final = "GREENROOM_UID"
STAY: Final = "GREENROOM_STAY"
ACTOR_NAME: Final = "GREENROOM_ACTOR_NAME"
SHIP_LOGS: Final = "GREENROOM_SHIP_LOGS"
CHECKPOINT_DIRECTORY: Final = "GREENROOM_CHECKPOINT_DIRECTORY"
CHECKPOINT_INTERVAL: Final = "GREENROOM_CHECKPOINT_INTERVAL"

SECURITY: Final = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
TEMPORARY: Final[dict[str, Any]] = {"name": "tmp", "mountPath": "/tmp"}
DATA: Final[dict[str, Any]] = {"name": "data", "mountPath": names.DATA_DIRECTORY}
EXPERIMENT_MOUNT: Final[dict[str, Any]] = {
    "name": "experiment",
    "mountPath": names.EXPERIMENT_DIRECTORY,
    "readOnly": True,
}
_PORTS: Final = {
    "replay": (names.REVERB_PORT_NAME, names.REVERB_PORT),
    "learner": (names.VARIABLES_PORT_NAME, names.VARIABLES_PORT),
}


@dataclass(frozen=True, slots=True)
class Needs:
    """What a role gets unless a ``podTemplate`` says otherwise, and how patient its probes are.

    There is no limit of CPU: it would hold a role back while cores idle, and requests already
    share out a busy node fairly. A role that needs more memory than its limit is killed, not
    its neighbours.

    Attributes:
        cpu: requested cores.
        memory, memory_limit: requested, and at most.
        starting_seconds: until it must answer for the first time.
        silent_seconds: that it may fail to answer later.
    """

    cpu: str
    memory: str
    memory_limit: str
    starting_seconds: int
    silent_seconds: int


# Restoring replay blocks its HTTP endpoint for some 10 s per million items, at its start or
# when the learner describes other tables. The others answer 200 until their main loop has
# stood still for a minute; making a large environment, or loading a large model, is longer.
NEEDS: Final[dict[Role, Needs]] = {
    "replay": Needs("500m", "2Gi", "8Gi", starting_seconds=3_600, silent_seconds=600),
    "learner": Needs("1", "2Gi", "8Gi", starting_seconds=1_200, silent_seconds=300),
    "actor": Needs("500m", "512Mi", "2Gi", starting_seconds=600, silent_seconds=120),
    "evaluator": Needs("250m", "512Mi", "2Gi", starting_seconds=600, silent_seconds=120),
}
_STARTUP_PERIOD: Final = 5
_LIVENESS_PERIOD: Final = 15


def worker_container(subject: Subject, role: Role) -> dict[str, Any]:
    """Return the container in which a role runs."""
    http: dict[str, Any] = {
        "name": names.HTTP_PORT_NAME,
        "containerPort": names.HTTP_PORT,
        "protocol": "TCP",
    }
    ports = [http]
    if role in _PORTS:
        name, number = _PORTS[role]
        ports = [{"name": name, "containerPort": number, "protocol": "TCP"}, http]
    mounts: list[dict[str, Any]] = [TEMPORARY]
    if role != "replay":
        mounts = [EXPERIMENT_MOUNT, *mounts]
    if role in ("replay", "learner"):
        mounts = [DATA, *mounts]
    return {
        "name": names.CONTAINER,
        "image": subject.image(role),
        "command": ["greenroom", "role", role],
        "env": environment(subject, role),
        "ports": ports,
        "resources": _resources(subject, role),
        **_probes(NEEDS[role]),
        "volumeMounts": mounts,
        "securityContext": SECURITY,
        # The cause of a crash, without a right to read logs.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def seed_container(subject: Subject) -> dict[str, Any]:
    """Return the init container that copies the run to begin from, unless there is one."""
    return {
        "name": names.SEED_CONTAINER,
        "image": subject.image("learner"),
        "command": [
            *("greenroom", "role", "seed"),
            *("--source", f"{names.SOURCE_DIRECTORY}/run"),
            *("--run-directory", names.RUN_DIRECTORY),
        ],
        "env": _writable() + _plain({EXPERIMENT: names.EXPERIMENT_FILE}),
        "resources": {
            "requests": {"cpu": "250m", "memory": "512Mi"},
            "limits": {"memory": "2Gi"},
        },
        "volumeMounts": [
            DATA,
            {"name": "source", "mountPath": names.SOURCE_DIRECTORY, "readOnly": True},
            EXPERIMENT_MOUNT,
            TEMPORARY,
        ],
        "securityContext": SECURITY,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def environment(subject: Subject, role: Role) -> list[dict[str, Any]]:
    """Return the variables that a role is configured by."""
    # A bare name is found in the pod's own namespace at the first try, whatever the cluster's
    # domain is.
    replay = f"{subject.child('replay')}:{names.REVERB_PORT}"
    learner = f"{subject.child('learner')}:{names.VARIABLES_PORT}"
    tables = f"http://{subject.child('learner')}:{names.HTTP_PORT}/tables"
    of_role = {
        "replay": {
            TABLES: tables,
            LEARNER: learner,
            PORT: str(names.REVERB_PORT),
            CHECKPOINT_DIRECTORY: names.REPLAY_DIRECTORY,
            CHECKPOINT_INTERVAL: str(subject.spec.checkpoint.interval),
            SHIP_LOGS: "1",
        },
        "learner": {
            EXPERIMENT: names.EXPERIMENT_FILE,
            REPLAY: replay,
            PORT: str(names.VARIABLES_PORT),
            RUN_DIRECTORY: names.RUN_DIRECTORY,
            UID: subject.uid,
            STAY: "1",
        },
        "actor": {EXPERIMENT: names.EXPERIMENT_FILE, REPLAY: replay, LEARNER: learner},
        "evaluator": {EXPERIMENT: names.EXPERIMENT_FILE, LEARNER: learner, SHIP_LOGS: "1"},
    }[role]
    listening = {BIND_HOST: "0.0.0.0", HTTP_PORT: str(names.HTTP_PORT)}
    variables = _writable() + _plain(of_role | listening)
    if role == "actor":
        pod_name = {"fieldRef": {"fieldPath": "metadata.name"}}
        variables.append({"name": ACTOR_NAME, "valueFrom": pod_name})
    secret = names.token_name(subject.name, subject.uid)
    token = {"secretKeyRef": {"name": secret, "key": names.TOKEN_KEY}}
    return [*variables, {"name": TOKEN, "valueFrom": token}]


def _writable() -> list[dict[str, Any]]:
    """Return what makes caches go where they can be written, as a user that has no entry."""
    return _plain({"HOME": TEMPORARY["mountPath"], "USER": "greenroom"})


def _plain(values: dict[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _resources(subject: Subject, role: Role) -> dict[str, Any]:
    needs, cpu = NEEDS[role], NEEDS[role].cpu
    if role == "learner":
        cpu = str(subject.spec.learner.torch_threads)
    return {
        "requests": {"cpu": cpu, "memory": needs.memory},
        "limits": {"memory": needs.memory_limit},
    }


def _probes(needs: Needs) -> dict[str, Any]:
    alive, ready = (
        {"httpGet": {"path": path, "port": names.HTTP_PORT_NAME}, "timeoutSeconds": 5}
        for path in ("/healthz", "/readyz")
    )
    return {
        "startupProbe": alive
        | {
            "periodSeconds": _STARTUP_PERIOD,
            "failureThreshold": needs.starting_seconds // _STARTUP_PERIOD,
        },
        "livenessProbe": alive
        | {
            "periodSeconds": _LIVENESS_PERIOD,
            "failureThreshold": needs.silent_seconds // _LIVENESS_PERIOD,
        },
        "readinessProbe": ready | {"periodSeconds": 5, "failureThreshold": 3},
    }
