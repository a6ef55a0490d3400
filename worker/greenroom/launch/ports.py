"""Ports that nobody else on this machine takes while a run goes on."""

from __future__ import annotations

import socket

LOOPBACK = "127.0.0.1"


class ReservedPorts:
    """Free loopback ports, held for as long as this object is open.

        with ReservedPorts() as ports:
            start_server(port=ports.take())

    A role that is restarted must find its port free, and peers find it there again. The
    sockets here are bound but never listen, with SO_REUSEPORT: a server that sets it too
    (gRPC and Greenroom's own do) binds the same port and gets all connections.
    """

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def take(self) -> int:
        """Return one more free port."""
        held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._sockets.append(held)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((LOOPBACK, 0))
        port: int = held.getsockname()[1]
        return port

    def __enter__(self) -> ReservedPorts:
        return self

    def __exit__(self, *_: object) -> None:
        for held in self._sockets:
            held.close()
