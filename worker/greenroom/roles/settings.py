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

EXIT_FAILED: Final = 1
"""A role failed; starting it again may help."""

EXIT_INVALID: Final = 2
"""Wrong usage, or an experiment that cannot be; starting it again does not help."""

EXIT_PERMANENT: Final = 3
"""The run itself failed (training diverged); starting the role again does not help."""
