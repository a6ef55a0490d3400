"""What an experiment's status says: a pure function of spec, observation and previous status.

The same observation gives the same status again, so that nothing is written at rest.

    status = make_status(experiment, observed, decision)

    making      the whole of it, and what is latched
    conditions  Ready, Progressing, Suspended, Succeeded, Failed, ReplayStalled, Admitted
    progress    counts, rates and the checkpoint; how often they change
    situation   what conditions are made of
    suspended   Suspended, and what is said while pods leave
    stalled     ReplayStalled
    admitted    Admitted, of an experiment that names a queue
    images      which images an experiment keeps
    invalid     of an experiment that cannot be read
    events      what a change of status tells people
"""

from greenroom_operator.status.events import Event, events
from greenroom_operator.status.images import resolve_images
from greenroom_operator.status.invalid import invalid_status
from greenroom_operator.status.making import make_status

__all__ = ["Event", "events", "invalid_status", "make_status", "resolve_images"]
