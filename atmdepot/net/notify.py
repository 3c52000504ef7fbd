"""Word to the service manager that a daemon is ready, or stops (sd_notify(3)); nothing where none asks for it."""

from __future__ import annotations

import logging
import os
import socket

log = logging.getLogger("atmdepot")

READY, STOPPING = "READY=1", "STOPPING=1"


def notify(*states: str) -> None:
    """Send states, such as `READY=1`, to the socket that NOTIFY_SOCKET names."""
    place = os.environ.get("NOTIFY_SOCKET", "")
    if not place:
        return
    address = f"\0{place[1:]}" if place.startswith("@") else place
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
            manager.sendto("\n".join(states).encode(), address)
    except OSError as error:
        log.warning("the service manager at %s cannot be told %s: %s", place, states[0], error.strerror)
