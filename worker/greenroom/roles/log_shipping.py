"""Having the learner keep what another role logs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry

from greenroom.errors import ConfigurationError
from greenroom.observability.kept_logs import log_kept_by
from greenroom.roles import settings
from greenroom.roles.serving import FiguresCollector
from greenroom.variables.log_shipping import LogShipper


@contextmanager
def log_shipped(role: str, learner: str, token: str, registry: CollectorRegistry) -> Iterator[None]:
    """Send what is logged in the block to the learner; ``registry`` tells what was dropped.

    Raises:
        ConfigurationError: it is not said where the learner is.
    """
    if not learner:
        raise ConfigurationError(
            f"Shipping logs needs the learner's address, in ${settings.LEARNER}. Got: none."
        )
    shipper = LogShipper(role, learner, token)
    registry.register(
        FiguresCollector(lambda: {"greenroom_log_dropped_bytes_total": shipper.dropped_bytes})
    )
    with log_kept_by(shipper):
        yield
