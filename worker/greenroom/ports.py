"""Whether a port is free, where sharing it would be no error to the system."""

from __future__ import annotations

import socket

from greenroom.errors import GreenroomError


def check_port_is_free(port: int, what: str) -> None:
    """Refuse a port of this machine on which somebody listens already.

    Two servers that set SO_REUSEPORT, as gRPC's and Greenroom's do, would share it, each
    with a part of the connections and neither with an error.

    Args:
        port: 0 is free.
        what: needs it; the error message begins with it.

    Raises:
        GreenroomError: somebody listens on it.
    """
    with socket.socket() as probe:
        probe.settimeout(1.0)
        if port and probe.connect_ex(("127.0.0.1", port)) == 0:
            raise GreenroomError(
                f"{what} needs a port of its own. Got: {port}, which another process listens on."
            )
