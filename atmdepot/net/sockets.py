"""What sockets of several kinds need."""

from __future__ import annotations

import socket

_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33


def grow_buffers(made: socket.socket, size: int) -> None:
    """Ask for buffers of `size` octets: with the right to, beyond what the system allows an ordinary user."""
    for force, plain in ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        try:
            made.setsockopt(socket.SOL_SOCKET, force, size)
        except OSError:
            made.setsockopt(socket.SOL_SOCKET, plain, size)
