"""The statistics that an edge node sends to the depot each second, an AAL5 SDU on the VP's management VC.

This project's own format, since the patent leaves it open; 68 octets, so two cells::

    magic "ADST" 4 | version 1 | server 1 | cores 2 | sequence 4 | flows 4
    packets in 8 | packets out 8 | octets in 8 | octets out 8 | load 4 | connect time 4 | time 8
    fillers sent 2 | idle received 2

A later version only appends: it has these fields at these places, and more octets behind them. So a reader takes a
report of its own version if the length is right, and one of a later version if it is longer; it leaves alone what is
appended. `layouts.STATISTICS`, the Scapy layer and the Lua dissector read it in the same way.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import NamedTuple

_LAYOUT = Struct(">4sBBHIIQQQQIIQHH")
MAGIC, VERSION = b"ADST", 1
SIZE = _LAYOUT.size
"""68, the octets of a report of this version."""


class ServerState(IntEnum):
    """What the edge node met when it last connected to its server."""

    UNKNOWN = 0
    ACCEPTS = 1
    REFUSES = 2
    SILENT = 3


class Statistics(NamedTuple):
    """A report: `in` is towards the server; load in thousandths of the load average; connect time in microseconds.

    Of a server that is silent the connect time is what was waited for it in vain.
    `time` is the edge node's clock in ns, for what is measured between two reports. Of the datagrams of full length
    that the edge node has sent, and of the idle cells that it has received, the lower 16 bits are told. Of a report of
    a later version this holds the fields that are known here, and a server's state that is not known is UNKNOWN.
    """

    server: ServerState
    cores: int
    sequence: int
    flows: int
    packets_in: int
    packets_out: int
    octets_in: int
    octets_out: int
    load: int
    connect_time: int
    time: int
    fillers_sent: int = 0
    idle_received: int = 0

    def pack(self) -> bytes:
        """The 68 octets, in this version of the format."""
        return _LAYOUT.pack(MAGIC, VERSION, *self)

    @classmethod
    def unpack(cls, sdu: bytes) -> Statistics:
        """Read a report of this version or a later one; raise ValueError, which says why, when it is none."""
        _check(sdu)
        _, version, server, *rest = _LAYOUT.unpack_from(sdu)
        is_later = version > VERSION and server > max(ServerState)
        return cls(ServerState.UNKNOWN if is_later else ServerState(server), *rest)


def is_statistics(sdu: bytes) -> bool:
    """Whether an SDU is a report, by its size, magic and version."""
    try:
        _check(sdu)
    except ValueError:
        return False
    return True


def _check(sdu: bytes) -> None:
    """Raise ValueError unless size, magic and version are those of a report."""
    size = len(sdu)
    if size < SIZE:
        raise ValueError(f"statistics have {SIZE} octets, here are {size}")
    magic, version = sdu[:4], sdu[4]
    if magic != MAGIC or version < VERSION:
        raise ValueError(f"statistics begin {MAGIC!r} and version {VERSION} or later, not {magic!r} and {version}")
    if version == VERSION and size != SIZE:
        raise ValueError(f"statistics have {SIZE} octets, here are {size}")
    if version > VERSION and size == SIZE:
        raise ValueError(f"statistics begin with version {version}, which has more than {SIZE} octets, here are {size}")
