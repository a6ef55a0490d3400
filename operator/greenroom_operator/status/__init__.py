"""What an experiment's status says: a pure function of spec, observation and previous status.

status = make_status(experiment, observed, decision)

making      the whole of it, and what is latched
conditions  Ready, Progressing, Suspended, Succeeded, Failed, ReplayStalled
progress    counts, rates and the checkpoint; how often they change
stall       when experience has ceased to flow
images      which images an experiment keeps
events      what a change of status tells people
"""

from greenroom_operator.status.events import Event, events
from greenroom_operator.status.images import resolve_images
from greenroom_operator.status.making import make_status

__all__ = ["Event", "events", "make_status", "resolve_images"]
