"""The statistics that an edge node sends to the depot each second, an AAL5 SDU on the VP's management VC.

This project's own format, since the patent leaves it open; 68 octets, so two cells::

    magic "ADST" 4 | version 1 | server 1 | cores 2 | sequence 4 | flows 4
    packets in 8 | packets out 8 | octets in 8 | octets out 8 | load 4 | connect time 4 | time 8 | reserved 4
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import NamedTuple

_LAYOUT = Struct(">4sBBHIIQQQQIIQ4x")
_MAGIC, _VERSION = b"ADST", 1


class ServerState(IntEnum):
    """What the edge node met when it last connected to its server."""

    UNKNOWN = 0
    ACCEPTS = 1
    REFUSES = 2
    SILENT = 3


class Statistics(NamedTuple):
    """A report: `in` is towards the server; load in thousandths of the load average; connect time in microseconds.

    Of a server that is silent the connect time is what was waited for it in vain.
    `time` is the edge node's clock in ns, for what is measured between two reports.
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

    def pack(self) -> bytes:
        """The 68 octets."""
        return _LAYOUT.pack(_MAGIC, _VERSION, *self)

    @classmethod
    def unpack(cls, sdu: bytes) -> Statistics:
        """Read a report; raise ValueError when it is none of this version."""
        if len(sdu) != _LAYOUT.size:
            raise ValueError(f"statistics have {_LAYOUT.size} octets, here are {len(sdu)}")
        magic, version, server, *rest = _LAYOUT.unpack(sdu)
        if (magic, version) != (_MAGIC, _VERSION):
            raise ValueError(f"statistics begin {_MAGIC!r} {_VERSION}, not {magic!r} {version}")
        return cls(ServerState(server), *rest)


def is_statistics(sdu: bytes) -> bool:
    """Whether an SDU is a report, by its size, magic and version."""
    return len(sdu) == _LAYOUT.size and sdu.startswith(_MAGIC + bytes((_VERSION,)))
