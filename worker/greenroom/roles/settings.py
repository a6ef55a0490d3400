"""What roles and those who start them agree on: environment variables and exit statuses.

Each variable is the default of a command-line option of ``greenroom role``.
"""

from __future__ import annotations

from typing import Final

TOKEN: Final = "GREENROOM_TOKEN"
"""The secret that the processes of one run share; never an argument, which others can see."""

EXPERIMENT: Final = "GREENROOM_EXPERIMENT"
"""Path of the experiment file."""

REPLAY: Final = "GREENROOM_REPLAY"
"""HOST:PORT of the Reverb server."""

LEARNER: Final = "GREENROOM_LEARNER"
"""HOST:PORT of the learner's service."""

TABLES: Final = "GREENROOM_TABLES"
"""Path or URL of the description of the replay tables; the learner serves it at /tables."""

BIND_HOST: Final = "GREENROOM_BIND_HOST"
"""Address that a role's servers listen on: 127.0.0.1, or 0.0.0.0 for every interface."""

# Kubernetes sets NAME_PORT and NAME_HOST of its own for each Service, ours among them perhaps.
PORT: Final = "GREENROOM_PORT_NUMBER"
"""Port of a role's service."""

HTTP_PORT: Final = "GREENROOM_HTTP_PORT_NUMBER"
"""Port of a role's HTTP endpoint; 0 lets the system choose."""

RUN_DIRECTORY: Final = "GREENROOM_RUN_DIRECTORY"
"""Where the learner leaves everything; a run that is there already goes on."""

UID: Final = "GREENROOM_UID"
"""Which experiment this is, among all that had its name; the learner's /status tells it."""

STAY: Final = "GREENROOM_STAY"
"""Whether a learner that has ended goes on telling how, until it is told to leave."""

ACTOR_NAME: Final = "GREENROOM_ACTOR_NAME"
"""Name of an actor, another one than each other actor's of the run has."""

SHIP_LOGS: Final = "GREENROOM_SHIP_LOGS"
"""Whether replay and evaluator send their logs to the learner, which keeps them."""

CHECKPOINT_DIRECTORY: Final = "GREENROOM_CHECKPOINT_DIRECTORY"
"""Where the replay server keeps its checkpoints."""

CHECKPOINT_INTERVAL: Final = "GREENROOM_CHECKPOINT_INTERVAL"
"""Time between checkpoints: seconds, or a duration like 5m."""

EXIT_FAILED: Final = 1
"""A role failed; starting it again may help."""

EXIT_INVALID: Final = 2
"""Wrong usage, or an experiment that cannot be; starting it again does not help."""

EXIT_PERMANENT: Final = 3
"""The run itself failed (training diverged); starting the role again does not help."""

EVENT: Final = "event: "
"""How the learner's log begins what a launcher shows its user: an evaluation, a checkpoint."""
