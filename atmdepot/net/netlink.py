"""Events of the kernel's routing (rtnetlink(7)): a socket that hears them, and the fields that a daemon needs.

The messages are parsed here, without pyroute2: a host may have thousands of foreign route changes a second, and it must
be cheap to ignore them.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

NEW_LINK, DEL_LINK, NEW_ADDRESS, DEL_ADDRESS, NEW_ROUTE, DEL_ROUTE = 16, 17, 20, 21, 24, 25
NEW_RULE, DEL_RULE, NEW_NETCONF = 32, 33, 80

_GROUPS = (1, 5, 7, 8, 9, 11, 19, 24, 25)
"""RTNLGRP_LINK, IPV4_IFADDR, IPV4_ROUTE, IPV4_RULE, IPV6_IFADDR, IPV6_ROUTE, IPV6_RULE, IPV4_NETCONF, IPV6_NETCONF."""
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_SO_RCVBUFFORCE = 33  # not in Python's socket module
_BUFFER = 2**20

_HEADER = Struct("=IHHII")
_LINK = Struct("=BxHiII")
_ADDRESS = Struct("=BBBBI")
_ROUTE = Struct("=BBBBBBBBI")
_NETCONF = Struct("=B3x")
_ATTRIBUTE = Struct("=HH")
_NUMBER = Struct("=i")
_RTA_DST, _RTA_OIF, _RTA_PRIORITY, _RTA_TABLE = 1, 4, 6, 15
_NETCONFA_IFINDEX = 1
_TYPE = 0x3FFF
"""Mask of an attribute's type, without the flags NLA_F_NESTED and NLA_F_NET_BYTEORDER."""


class Event(NamedTuple):
    """A change of the kernel's set-up: its kind and its object; -1 for an interface or a table that is not named."""

    kind: int
    interface: int = -1
    """Number of the interface; of a route, the number of the interface by which it leads out."""
    table: int = -1
    destination: bytes = b""
    """A route's address, packed; empty for a default route."""
    bits: int = 0
    metric: int = 0


def open_events() -> socket.socket:
    """A non-blocking socket on which the events come; raise OSError when it is not available."""
    events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
    try:
        with suppress(OSError):  # takes CAP_NET_ADMIN in the first user namespace
            events.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        events.bind((0, 0))
        for group in _GROUPS:
            events.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
    except OSError:
        events.close()
        raise
    return events


def events_in(octets: bytes) -> Iterator[Event]:
    """The events of a datagram; truncated and unknown messages are left out."""
    at = 0
    while at + _HEADER.size <= len(octets):
        length, kind, _, _, _ = _HEADER.unpack_from(octets, at)
        if length < _HEADER.size or at + length > len(octets):
            return
        event = _event(kind, octets[at + _HEADER.size:at + length])
        if event is not None:
            yield event
        at += length + 3 & ~3  # messages are aligned to 4 octets (NLMSG_ALIGN)


def _event(kind: int, body: bytes) -> Event | None:
    if kind in (NEW_LINK, DEL_LINK) and len(body) >= _LINK.size:
        return Event(kind, _LINK.unpack_from(body)[2])
    if kind in (NEW_ADDRESS, DEL_ADDRESS) and len(body) >= _ADDRESS.size:
        return Event(kind, _ADDRESS.unpack_from(body)[4])
    if kind in (NEW_ROUTE, DEL_ROUTE) and len(body) >= _ROUTE.size:
        _, bits, _, _, table, *_ = _ROUTE.unpack_from(body)
        attributes = _attributes(body, _ROUTE.size)
        return Event(kind, _number(attributes.get(_RTA_OIF)), _number(attributes.get(_RTA_TABLE), table),
                     attributes.get(_RTA_DST, b""), bits, _number(attributes.get(_RTA_PRIORITY), 0))
    if kind in (NEW_RULE, DEL_RULE):
        return Event(kind)
    if kind == NEW_NETCONF and len(body) >= _NETCONF.size:
        return Event(kind, _number(_attributes(body, _NETCONF.size).get(_NETCONFA_IFINDEX)))
    return None


def _attributes(body: bytes, at: int) -> dict[int, bytes]:
    found = {}
    while at + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if length < _ATTRIBUTE.size:
            break
        found[kind & _TYPE] = body[at + _ATTRIBUTE.size:at + length]
        at += length + 3 & ~3  # attributes are aligned, too (RTA_ALIGN)
    return found


def _number(octets: bytes | None, otherwise: int = -1) -> int:
    if octets is None or len(octets) < _NUMBER.size:
        return otherwise
    number: int = _NUMBER.unpack_from(octets)[0]
    return number
