"""The statistics that an edge node sends to the depot each second, an AAL5 SDU on the VP's management VC.

The format is this project's own, since the patent leaves it open: 68 octets, which take two cells::

    magic "ADST" 4 | version 1 | server 1 | cores 2 | sequence 4 | flows 4
    packets in 8 | packets out 8 | octets in 8 | octets out 8 | load 4 | connect time 4 | time 8
    fillers sent 2 | idle received 2

A later version only appends: it keeps these fields at these offsets and adds octets behind them. A reader accepts a
report of its own version if the length is right, and a report of a later version if it is longer; it ignores the
appended octets. `layouts.STATISTICS`, the Scapy layer and the Lua dissector follow the same rule.
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
    """The result of the edge node's last connection to its server."""

    UNKNOWN = 0
    ACCEPTS = 1
    REFUSES = 2
    SILENT = 3


class Statistics(NamedTuple):
    """A report. `in` is towards the server; load in thousandths of the load average; connect time in microseconds.

    For a SILENT server the connect time is the time waited in vain. `time` is the edge node's clock in ns, so that a
    reader can measure between two reports. `fillers_sent` and `idle_received` are the lower 16 bits of the counts of
    full-length datagrams sent and idle cells received. A report of a later version is cut to the fields known here, and
    an unknown server state becomes UNKNOWN.
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
        """The 68 octets of a report in this version of the format."""
        return _LAYOUT.pack(MAGIC, VERSION, *self)

    @classmethod
    def unpack(cls, sdu: bytes) -> Statistics:
        """Read a report of this or a later version; raise ValueError, which says why, for any other SDU."""
        _check(sdu)
        _, version, server, *rest = _LAYOUT.unpack_from(sdu)
        # A later version may add states; in this version an unknown state is an error.
        is_later = version > VERSION and server > max(ServerState)
        return cls(ServerState.UNKNOWN if is_later else ServerState(server), *rest)


def is_statistics(sdu: bytes) -> bool:
    """True when an SDU is a report, by its size, magic and version."""
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
