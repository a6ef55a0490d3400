"""Every reason of a condition and of an event that this operator gives, in one place.

Beside these, a condition may have a pod's own reason, as the kubelet or the scheduler names
it: ``CreateContainerConfigError``, ``Evicted``, ``InvalidImageName``.
"""

from __future__ import annotations

from typing import Final

# --- Ready, Progressing ------------------------------------------------------------------

ROLES_READY: Final = "RolesReady"
AS_SPECIFIED: Final = "AsSpecified"
STARTING: Final = "Starting"
NOT_READY: Final = "NotReady"
SUSPENDED: Final = "Suspended"
SUCCEEDED: Final = "Succeeded"
FAILED: Final = "Failed"
LEARNER_SILENT: Final = "LearnerSilent"
CHILD_REFUSED: Final = "ChildRefused"
RESUME_SOURCE_MISSING: Final = "ResumeSourceMissing"
RESUME_SOURCE_IN_USE: Final = "ResumeSourceInUse"

# --- what pods suffer from ---------------------------------------------------------------

UNSCHEDULABLE: Final = "Unschedulable"
IMAGE_PULL: Final = "ImagePullBackOff"
CRASH_LOOP: Final = "CrashLoopBackOff"
CRASHED: Final = "ContainerCrashed"
OOM_KILLED: Final = "OOMKilled"
CREATE_FAILED: Final = "FailedCreate"
VOLUME_PENDING: Final = "VolumePending"
VOLUME_LOST: Final = "VolumeLost"
OTHER: Final = "PodNotReady"

# --- stages of stopping: Suspended while suspending, Progressing of all stops ---------------

STOPPING_ACTORS: Final = "StoppingActors"
STOPPING_LEARNER: Final = "StoppingLearner"
STOPPING_REPLAY: Final = "StoppingReplay"

# --- Suspended -----------------------------------------------------------------------------

NOT_SUSPENDED: Final = "NotSuspended"
CHECKPOINT_RECORDED: Final = "CheckpointRecorded"
CHECKPOINT_MISSED: Final = "CheckpointMissed"
NOT_STARTED: Final = "NotStarted"

# --- Succeeded, Failed ---------------------------------------------------------------------

NOT_FINISHED: Final = "NotFinished"
STOP_CONDITION_MET: Final = "StopConditionMet"
NOT_FAILED: Final = "NotFailed"
BACKOFF_LIMIT: Final = "BackoffLimitExceeded"
INVALID: Final = "InvalidExperiment"
CANNOT_GO_ON: Final = "CannotGoOn"

# --- ReplayStalled -------------------------------------------------------------------------

FLOWING: Final = "Flowing"
NOT_TRAINING: Final = "NotTraining"
SAMPLING_BLOCKED: Final = "SamplingBlocked"
INSERTING_BLOCKED: Final = "InsertingBlocked"
BOTH_STAND_STILL: Final = "BothStandStill"

# --- Admitted ------------------------------------------------------------------------------

ADMITTED: Final = "Admitted"
QUEUED: Final = "Queued"
EVICTED: Final = "Evicted"
REQUEUED: Final = "Requeued"
SCALING_REFUSED: Final = "ScalingRefused"
QUEUEING_MISSING: Final = "QueueingMissing"
NOT_QUEUED: Final = "NotQueued"

# --- events only ---------------------------------------------------------------------------

STARTED: Final = "Started"
SUSPENDING: Final = "Suspending"
RESUMED: Final = "Resumed"
RECOVERED: Final = "Recovered"
RESTARTED: Final = "Restarted"
RESTORED: Final = "Restored"
PRUNED: Final = "Pruned"
REPLAY_STALLED: Final = "ReplayStalled"
REPLAY_FLOWS: Final = "ReplayFlows"
