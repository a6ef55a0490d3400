"""Every error that Greenroom raises on purpose, in one tree.

    GreenroomError                     the user can act on it; states rule and value
    ├── ConfigurationError             the experiment asks for what cannot be; nothing was started
    │   └── EnvironmentSetupError      no such environment, or unsupported spaces
    ├── EnvironmentFault               the environment broke its own contract while running
    ├── ReplayTimeout                  a bounded wait on replay ended, and why
    │   └── ReplayUnavailable          the replay server does not answer; it may come back
    ├── ReplayClosed                   replay was closed while, or before, somebody used it
    ├── LearnerUnavailable             the learner does not answer; it may come back
    ├── RoleFailed                     a process of the run ended, and starting it again is no use
    ├── AccessDenied                   the run's token was missing or another
    ├── SignatureError                 data does not fit the table's signature
    ├── ReplayDataError                what a replay server sent cannot be read
    ├── TrainingDiverged               a loss or parameter is no longer a finite number
    ├── CheckpointError                a checkpoint cannot be written or read
    │   └── CheckpointMismatch         it is whole, but belongs to another experiment
    └── RunDirectoryError              the run directory exists, is missing, or is not one of ours

A broken invariant of Greenroom itself is an ``AssertionError``, never one of these.
The command turns each of these into one message and exit status 1 (2 for
``ConfigurationError``), without a traceback.
"""


class GreenroomError(Exception):
    """Something the user can act on; the message states the rule, then what it got."""


class ConfigurationError(GreenroomError):
    """The experiment asks for something that cannot be."""


class EnvironmentSetupError(ConfigurationError):
    """The environment cannot be made, or its spaces are not supported."""


class EnvironmentFault(GreenroomError):
    """A running environment broke its contract: a NaN reward, an observation outside its space."""


class ReplayTimeout(GreenroomError):
    """A bounded wait on replay ended. Nothing is lost: pending items and samples stay."""


class ReplayUnavailable(ReplayTimeout):
    """The replay server did not answer within the wait, as opposed to its limiter holding back."""


class LearnerUnavailable(GreenroomError):
    """The learner's service did not answer in time; the call may be repeated."""


class RoleFailed(GreenroomError):
    """A process of the run ended too often, or in a way that starting it again cannot mend."""


class AccessDenied(GreenroomError):
    """A service of the run was called without the run's token."""


class ReplayClosed(GreenroomError):
    """Replay was closed."""


class SignatureError(GreenroomError):
    """Data that does not fit the table's signature."""


class ReplayDataError(GreenroomError):
    """A replay server sent something that is not what Reverb's protocol says."""


class TrainingDiverged(GreenroomError):
    """A loss or a parameter is no longer finite."""


class CheckpointError(GreenroomError):
    """A checkpoint cannot be written or read."""


class CheckpointMismatch(CheckpointError):
    """A whole checkpoint that belongs to another experiment."""


class RunDirectoryError(GreenroomError):
    """The run directory exists already, is missing, or is not a run."""
