"""Addresses for which a host answers its neighbours (ARP and neighbour discovery by proxy), as parts of its set-up."""

from __future__ import annotations

import errno
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from pyroute2 import IPRoute, NetlinkError

if TYPE_CHECKING:
    from collections.abc import Iterable

WHAT = "proxy"
"""The kind of such a part (`Part.what`)."""
_NTF_PROXY = 0x8
_PROC = Path("/proc/sys/net/ipv6/conf")


def add(*, address: str, port: str) -> bool:
    """Have the host answer for an address on an interface; False when it does already. Raises OSError, NetlinkError."""
    family, index = _family(address), _index_of(port)
    with IPRoute() as ip:
        entry = {"family": family, "ifindex": index, "dst": address, "flags": _NTF_PROXY}
        try:
            ip.neigh("get", **entry)
            return False
        except NetlinkError as error:
            if error.code != errno.ENOENT:
                raise
        ip.neigh("add", **entry)
    allow(port, [address])
    return True


def allow(port: str, addresses: Iterable[str]) -> None:
    """Have the kernel answer for addresses on an interface, beside their entries. Raises OSError."""
    if any(_family(address) == socket.AF_INET6 for address in addresses):
        (_PROC / port / "proxy_ndp").write_text("1")  # IPv4 needs no switch where the host forwards


def remove(*, address: str, port: str) -> None:
    """Answer for the address no longer; the switch of IPv6 stays, since others may need it."""
    with IPRoute() as ip:
        ip.neigh("del", family=_family(address), ifindex=_index_of(port), dst=address, flags=_NTF_PROXY)


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _index_of(port: str) -> int:
    try:
        return socket.if_nametoindex(port)
    except OSError:
        raise OSError(errno.ENODEV, f"there is no interface {port}, which a server's `port` names") from None
