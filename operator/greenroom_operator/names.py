"""Every name that the operator and its users share: labels, annotations, ports, reasons.

Children of an experiment ``x`` are named after it and their role: ``x-replay``,
``x-learner``, ``x-actors``, ``x-evaluator``; see `child_name`.
"""

from __future__ import annotations

from typing import Final, Literal

GROUP: Final = "greenroom.dev"
FIELD_MANAGER: Final = "greenroom-operator"
MANAGED_BY: Final = f"{GROUP}/operator"
"""What ``spec.managedBy`` is unless somebody else is to look after an experiment."""

Role = Literal["replay", "learner", "actor", "evaluator"]
ROLES: Final[tuple[Role, ...]] = ("replay", "learner", "actor", "evaluator")

# --- labels: on every child, and on pods -------------------------------------------------

NAME_LABEL: Final = "app.kubernetes.io/name"
INSTANCE_LABEL: Final = "app.kubernetes.io/instance"
COMPONENT_LABEL: Final = "app.kubernetes.io/component"
PART_OF_LABEL: Final = "app.kubernetes.io/part-of"
MANAGED_BY_LABEL: Final = "app.kubernetes.io/managed-by"
EXPERIMENT_LABEL: Final = f"{GROUP}/experiment"
ROLE_LABEL: Final = f"{GROUP}/role"

# What a watch selects children by, on the server.
CHILD_SELECTOR: Final = f"{MANAGED_BY_LABEL}={FIELD_MANAGER},{EXPERIMENT_LABEL}"

# --- annotations --------------------------------------------------------------------------

APPLIED: Final = f"{GROUP}/applied"
"""On a child: digest of the manifest that was applied, replicas apart."""

INPUTS: Final = f"{GROUP}/inputs"
"""On a pod template: digest of what its role is started from; another one rolls the pods."""

OWNER: Final = f"{GROUP}/owner"
"""The experiment's uid, on what its owner references do not tell: pods, and a volume claim that
outlives its experiment."""

# --- Kueue ----------------------------------------------------------------------------------

QUEUE: Final = "kueue.x-k8s.io/queue-name"
"""On an experiment: the LocalQueue that it waits in before anything of it starts."""

WORKLOAD: Final = "Workload"
"""Kind of Kueue's object by which an experiment waits."""

PRIORITY: Final = "kueue.x-k8s.io/priority-class"
"""On an experiment: the WorkloadPriorityClass that tells who of a queue is first."""

# --- pods ---------------------------------------------------------------------------------

CONTAINER: Final = "worker"
SEED_CONTAINER: Final = "seed"
REVERB_PORT: Final = 7000
VARIABLES_PORT: Final = 7001
HTTP_PORT: Final = 8080
REVERB_PORT_NAME: Final = "reverb"
VARIABLES_PORT_NAME: Final = "variables"
HTTP_PORT_NAME: Final = "http"

EXPERIMENT_DIRECTORY: Final = "/etc/greenroom"
EXPERIMENT_FILE: Final = f"{EXPERIMENT_DIRECTORY}/experiment.yaml"
DATA_DIRECTORY: Final = "/var/lib/greenroom"
RUN_DIRECTORY: Final = f"{DATA_DIRECTORY}/run"
REPLAY_DIRECTORY: Final = f"{DATA_DIRECTORY}/replay"
SOURCE_DIRECTORY: Final = "/var/lib/greenroom-source"
TOKEN_KEY: Final = "token"

# --- condition types ----------------------------------------------------------------------

READY: Final = "Ready"
PROGRESSING: Final = "Progressing"
SUSPENDED: Final = "Suspended"
SUCCEEDED: Final = "Succeeded"
FAILED: Final = "Failed"
REPLAY_STALLED: Final = "ReplayStalled"
ADMITTED: Final = "Admitted"

# --- phases: one word for a column ---------------------------------------------------------

QUEUED: Final = "Queued"
PENDING: Final = "Pending"
RUNNING: Final = "Running"
DEGRADED: Final = "Degraded"
SUSPENDING: Final = "Suspending"

_PLURAL: Final[dict[Role, str]] = {
    "replay": "replay",
    "learner": "learner",
    "actor": "actors",
    "evaluator": "evaluator",
}


def child_name(experiment: str, role: Role) -> str:
    """Return the name of a role's workload, and of what belongs to that.

    >>> child_name("cartpole", "actor")
    'cartpole-actors'
    """
    return f"{experiment}-{_PLURAL[role]}"


def workload_name(experiment: str) -> str:
    """Return the name of an experiment's Workload, by which it is queued."""
    return f"rlexperiment-{experiment}"


def token_name(experiment: str, uid: str) -> str:
    """Return the name of the Secret that holds the run's token.

    It is of one run only: what a predecessor of the same name left behind is about to go.

    >>> token_name("cartpole", "7f0c6a52-11d5-4a5e-8b51-6c5c8a1d4e9f")
    'cartpole-token-7f0c6a52'
    """
    return f"{experiment}-token-{uid[:8]}"
