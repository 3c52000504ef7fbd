"""Options that sockets of several kinds need."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from atmdepot.errors import EnvironmentLacks

if TYPE_CHECKING:
    from atmdepot.config.units import TcpAddress

_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33


def grow_buffers(made: socket.socket, size: int) -> None:
    """Ask for buffers of `size` octets; with CAP_NET_ADMIN, beyond the limit for ordinary users."""
    for force, plain in ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        try:
            made.setsockopt(socket.SOL_SOCKET, force, size)
        except OSError:  # without CAP_NET_ADMIN, net.core.rmem_max and wmem_max bound the size
            made.setsockopt(socket.SOL_SOCKET, plain, size)


def listen(address: TcpAddress, backlog: int, page: str, hint: str) -> socket.socket:
    """Listen for connections to a page; raise EnvironmentLacks, which names the page and ends with the hint."""
    try:
        family, _, _, _, found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(found[:2], family=family, backlog=backlog)
    except (OSError, UnicodeError) as error:
        reason = str(getattr(error, "strerror", None) or error).partition(" (while attempting")[0]
        raise EnvironmentLacks(f"{page} cannot be had at {address}: {reason}; {hint}") from None
