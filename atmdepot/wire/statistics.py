"""The statistics that an edge node sends to the depot each second, an AAL5 SDU on the VP's management VC.

The format is this project's own, since the patent leaves it open: 68 octets in version 1, which take two cells::

    magic "ADST" 4 | version 1 | server 1 | cores 2 | sequence 4 | flows 4
    packets in 8 | packets out 8 | octets in 8 | octets out 8 | load 4 | connect time 4 | time 8
    fillers sent 2 | idle received 2
    version 2: term 8 | octets of the depot's name 1 | name of the depot that is followed

An edge node writes version 2 once a depot of the set has announced itself (`wire/announcement.py`). A later version
only appends: it keeps these fields at these offsets and adds octets behind them. A reader accepts a report of a version
that it knows if the length is right, and a report of a later version if it is not shorter; it ignores the appended
octets. `layouts.STATISTICS`, the Scapy layer and the Lua dissector follow the same rule.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import NamedTuple

_LAYOUT, _FOLLOWS = Struct(">4sBBHIIQQQQIIQHH"), Struct(">QB")
MAGIC, PLAIN_VERSION, VERSION = b"ADST", 1, 2
SIZE = _LAYOUT.size
"""68, the octets of a report of version 1."""
_LEAST = SIZE + _FOLLOWS.size
LONGEST_NAME = 32


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
    full-length datagrams sent and idle cells received. `term` is the highest that the edge node has heard of the set of
    the depot that gets the report, and `follows` the depot of the set that it follows; 0 and empty in version 1. A
    report of a later version is cut to the fields known here, and an unknown server state becomes UNKNOWN.
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
    term: int = 0
    follows: str = ""

    def pack(self) -> bytes:
        """The octets of a report: in version 1 where no depot has announced itself, else in version 2."""
        *plain, term, follows = self
        if not term and not follows:
            return _LAYOUT.pack(MAGIC, PLAIN_VERSION, *plain)
        name = str(follows).encode()
        return _LAYOUT.pack(MAGIC, VERSION, *plain) + _FOLLOWS.pack(term, len(name)) + name

    @classmethod
    def unpack(cls, sdu: bytes) -> Statistics:
        """Read a report of this or a later version; raise ValueError, which says why, for any other SDU."""
        _check(sdu)
        _, version, server, *rest = _LAYOUT.unpack_from(sdu)
        if version > PLAIN_VERSION:
            term, size = _FOLLOWS.unpack_from(sdu, SIZE)
            rest += [term, sdu[_LEAST:_LEAST + size].decode("ascii", "replace")]
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
        raise ValueError(f"statistics have {SIZE} octets or more, here are {size}")
    magic, version = sdu[:4], sdu[4]
    if magic != MAGIC or version < PLAIN_VERSION:
        raise ValueError(f"statistics begin {MAGIC!r} and version 1 or later, not {magic!r} and {version}")
    least = SIZE
    if version > PLAIN_VERSION:
        # The octets of the name stand last of the fields of fixed size.
        least = _LEAST + (sdu[_LEAST - 1] if size >= _LEAST else 0)
    if size < least or (version <= VERSION and size != least):
        raise ValueError(f"statistics of version {version} have {least} octets, here are {size}")
    if least > _LEAST + LONGEST_NAME:
        raise ValueError(f"statistics name a depot by at most {LONGEST_NAME} octets, not {least - _LEAST}")
