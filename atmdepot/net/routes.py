"""The interfaces by which this machine reaches an address, by the kernel's present routes (rtnetlink(7))."""

from __future__ import annotations

import errno
import logging
import os
import socket
from struct import Struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HEADER, _ROUTE, _ATTRIBUTE, _NEXT_HOP, _INT = (
    Struct("=IHHII"), Struct("=BBBBBBBBI"), Struct("=HH"), Struct("=HBBi"), Struct("=i"))
_NLMSG_ERROR, _RTM_NEWROUTE, _RTM_GETROUTE, _NLM_F_REQUEST = 2, 24, 26, 1
_RTA_DST, _RTA_SRC, _RTA_OIF, _RTA_MULTIPATH = 1, 2, 4, 9
_RTM_F_FIB_MATCH = 0x2000
"""Ask for the route itself, with all its next hops, instead of the next hop that a packet would take."""
_NO_ROUTE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL, errno.ENODEV, errno.ENETDOWN}
_MOST = 65_536
AGAIN = 100_000_000
"""Least interval (ns) between two queries of the routes."""

log = logging.getLogger("atmdepot")


def interfaces_towards(family: int, peer: str, local: str) -> frozenset[int] | None:
    """The numbers of the interfaces by which packets from `local` go to `peer`, addresses without scopes.

    An empty set without a route; None when the kernel does not tell. Packets of a machine to itself come by the
    loopback interface, or seem to come by the interface that has the address.
    """
    found: set[int] = set()
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as netlink:
            netlink.settimeout(1)
            for flags in (0, _RTM_F_FIB_MATCH):  # the next hop in use, and all next hops of its route
                netlink.send(_question(family, peer, local, flags))
                found.update(_answer(netlink.recv(_MOST)))
    except OSError as error:
        if error.errno not in _NO_ROUTE:
            return frozenset(found) or None
    return frozenset(found)


def _question(family: int, peer: str, local: str, flags: int) -> bytes:
    destination, source = (socket.inet_pton(family, address) for address in (peer, local))
    bits = 8 * len(destination)
    route = _ROUTE.pack(family, bits, bits, 0, 0, 0, 0, 0, flags)
    octets = route + b"".join(_ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value
                              for kind, value in ((_RTA_DST, destination), (_RTA_SRC, source)))
    return _HEADER.pack(_HEADER.size + len(octets), _RTM_GETROUTE, _NLM_F_REQUEST, 1, 0) + octets


def _answer(message: bytes) -> Iterator[int]:
    """The interfaces in the kernel's answer; raise OSError with the kernel's error."""
    length, kind, _, _, _ = _HEADER.unpack_from(message)
    if kind == _NLMSG_ERROR:
        number = -_INT.unpack_from(message, _HEADER.size)[0]
        raise OSError(number, os.strerror(number))
    if kind != _RTM_NEWROUTE:
        raise OSError(errno.EPROTO, "no route in the answer")
    for attribute, value in _attributes(message[_HEADER.size + _ROUTE.size:length]):
        if attribute == _RTA_OIF:
            yield _INT.unpack(value)[0]
        elif attribute == _RTA_MULTIPATH:
            yield from _next_hops(value)


def _attributes(octets: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ATTRIBUTE.size <= len(octets):
        length, kind = _ATTRIBUTE.unpack_from(octets, at)
        yield kind, octets[at + _ATTRIBUTE.size:at + length]
        at += max(length + 3 & ~3, _ATTRIBUTE.size)  # at least a header, so a length of 0 ends the loop, too


def _next_hops(octets: bytes) -> Iterator[int]:
    at = 0
    while at + _NEXT_HOP.size <= len(octets):
        length, _, _, interface = _NEXT_HOP.unpack_from(octets, at)
        yield interface
        at += max(length + 3 & ~3, _NEXT_HOP.size)


class PeerInterfaces:
    """The interfaces from which a link takes its peer's datagrams: the interfaces by which the peer is reached.

    The routes are queried again when a datagram comes by another interface, since they may have changed; at most once
    in `AGAIN` ns, or a flood of forged datagrams would be a flood of queries.
    """

    def __init__(self, link: str, ask: Callable[[], frozenset[int] | None], clock: Callable[[], int]) -> None:
        """Query the interfaces by `ask`, which returns None for any interface; `clock` gives the time in ns."""
        self._link = link
        self._ask = ask
        self._clock = clock
        self._asked_at = clock()
        self.numbers = ask()
        if self.numbers is None:
            log.warning("link %s: the kernel does not tell by which interface its far end is reached: datagrams are "
                        "taken from any", link)

    @property
    def fast(self) -> int:
        """The interface to compare with first: 0 for any, -1 without a route."""
        return 0 if self.numbers is None else min(self.numbers, default=-1)

    def holds(self, interface: int) -> bool:
        """True when the peer may use an interface, after a query of routes that may have changed."""
        if self.numbers is None or interface in self.numbers:
            return True
        now = self._clock()
        if now - self._asked_at < AGAIN:
            return False
        self._asked_at = now
        before, self.numbers = self.numbers, self._ask()
        if self.numbers != before:
            log.warning("link %s: its far end is reached by %s now", self._link, self.names())
        return self.numbers is None or interface in self.numbers

    def names(self) -> str:
        """The interfaces' names for people to read."""
        if self.numbers is None:
            return "any interface"
        return ", ".join(sorted(map(_name, self.numbers))) or "no interface"


def _name(interface: int) -> str:
    try:
        return socket.if_indextoname(interface)
    except OSError:
        return str(interface)
