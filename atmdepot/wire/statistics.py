"""The statistics that an edge node sends to the depot each second, an AAL5 SDU on the VP's management VC.

The format is this project's own, since the patent leaves it open: 68 octets in version 1, which take two cells::

    magic "ADST" 4 | version 1 | server 1 | cores 2 | sequence 4 | flows 4
    packets in 8 | packets out 8 | octets in 8 | octets out 8 | load 4 | connect time 4 | time 8
    fillers sent 2 | idle received 2
    version 2: term 8 | octets of the depot's name 1 | name of the depot that is followed
    version 3: requests 8 | hits 8 | fetches 8 | fetched 8 | unread 4, of a caching proxy

An edge node writes version 2 once a depot of the set has announced itself (`wire/announcement.py`), and version 3
where its server is a caching proxy. A later version only appends: it keeps these fields at these offsets and adds
octets behind them. A reader accepts a report of a version that it knows if the length is right, and a report of a later
version if it is not shorter; it ignores the appended octets. `layouts.STATISTICS`, the Scapy layer and the Lua
dissector follow the same rule.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import NamedTuple

_LAYOUT, _FOLLOWS, _PROXY = Struct(">4sBBHIIQQQQIIQHH"), Struct(">QB"), Struct(">QQQQI")
MAGIC, PLAIN_VERSION, PROXY_VERSION, VERSION = b"ADST", 1, 3, 3
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


class ProxyFigures(NamedTuple):
    """The work of a caching proxy since the edge node's start.

    Requests of clients, without the edge node's own questions, and those of them that were hits; requests to origins,
    and KB that came from there; answers to questions that could not be read.
    """

    requests: int
    hits: int
    fetches: int
    fetched: int
    unread: int

    @property
    def misses(self) -> int:
        """The requests of clients that were no hits, whatever became of them."""
        return max(0, self.requests - self.hits)


class Statistics(NamedTuple):
    """A report. `in` is towards the server; load in thousandths of the load average; connect time in microseconds.

    For a SILENT server the connect time is the time waited in vain. `time` is the edge node's clock in ns, so that a
    reader can measure between two reports. `fillers_sent` and `idle_received` are the lower 16 bits of the counts of
    full-length datagrams sent and idle cells received. `term` is the highest that the edge node has heard of the set of
    the depot that gets the report, and `follows` the depot of the set that it follows; 0 and empty in version 1.
    `proxy` is None before version 3. A report of a later version is cut to the fields known here, and an unknown server
    state becomes UNKNOWN.
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
    proxy: ProxyFigures | None = None

    def pack(self) -> bytes:
        """The octets of a report, in the least version that has what is to be told."""
        plain, name = self[:-3], self.follows.encode()
        if self.proxy is None and not self.term and not name:
            return _LAYOUT.pack(MAGIC, PLAIN_VERSION, *plain)
        version = PLAIN_VERSION + 1 if self.proxy is None else PROXY_VERSION
        octets = _LAYOUT.pack(MAGIC, version, *plain) + _FOLLOWS.pack(self.term, len(name)) + name
        return octets if self.proxy is None else octets + _PROXY.pack(*self.proxy)

    @classmethod
    def unpack(cls, sdu: bytes) -> Statistics:
        """Read a report of this or a later version; raise ValueError, which says why, for any other SDU."""
        _check(sdu)
        _, version, server, *rest = _LAYOUT.unpack_from(sdu)
        if version > PLAIN_VERSION:
            term, size = _FOLLOWS.unpack_from(sdu, SIZE)
            rest += [term, sdu[_LEAST:_LEAST + size].decode("ascii", "replace")]
            if version >= PROXY_VERSION:
                rest.append(ProxyFigures(*_PROXY.unpack_from(sdu, _LEAST + size)))
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


def octets_of(sdu: bytes) -> int:
    """The octets that the fields of a report take, by its version and the size of its name, as far as they are here."""
    version = sdu[4] if len(sdu) > 4 else PLAIN_VERSION
    if version <= PLAIN_VERSION:
        return SIZE
    name = sdu[_LEAST - 1] if len(sdu) >= _LEAST else 0  # it stands last of the fields of fixed size
    return _LEAST + name + (_PROXY.size if version >= PROXY_VERSION else 0)


def _check(sdu: bytes) -> None:
    """Raise ValueError unless size, magic and version are those of a report."""
    size = len(sdu)
    if size < SIZE:
        raise ValueError(f"statistics have {SIZE} octets or more, here are {size}")
    magic, version = sdu[:4], sdu[4]
    if magic != MAGIC or version < PLAIN_VERSION:
        raise ValueError(f"statistics begin {MAGIC!r} and version 1 or later, not {magic!r} and {version}")
    least = octets_of(sdu)
    if size < least or (version <= VERSION and size != least):
        raise ValueError(f"statistics of version {version} have {least} octets, here are {size}")
    if version > PLAIN_VERSION and (name := sdu[_LEAST - 1]) > LONGEST_NAME:
        raise ValueError(f"statistics name a depot by at most {LONGEST_NAME} octets, not {name}")
