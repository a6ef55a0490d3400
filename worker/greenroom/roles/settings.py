"""Names of the environment variables that roles read, once for launchers, pods and roles.

Each is the default of a command-line option of ``greenroom role``.
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
