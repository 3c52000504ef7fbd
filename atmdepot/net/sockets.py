"""Options that sockets of several kinds need."""

from __future__ import annotations

import socket

_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33


def grow_buffers(made: socket.socket, size: int) -> None:
    """Ask for buffers of `size` octets; with CAP_NET_ADMIN, beyond the limit for ordinary users."""
    for force, plain in ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        try:
            made.setsockopt(socket.SOL_SOCKET, force, size)
        except OSError:  # without CAP_NET_ADMIN, net.core.rmem_max and wmem_max bound the size
            made.setsockopt(socket.SOL_SOCKET, plain, size)
