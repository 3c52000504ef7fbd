"""The stream between the depots of a set: frames that tell of sessions, servers and turns, and of the stream itself.

The format is this project's own, since the patent leaves it open::

    frame         type 1 | flags 1 | length 2 | body of `length` octets
    SESSION       flags 1 | closed by 1 | states 1 | scales 1 | server 2 | channel 2 | category 1 | reserved 1
                  time left 4 | age 4 | client's ISN 4 | server's ISN 4 | key 13 or 37 | answers 13 or 37, if flagged
    STATE         states 1 | closed by 1 | time left 4 | key 13 or 37
    GONE          reason 1 | key 13 or 37
    NAME          kind 1 | number 2 | name in UTF-8
    SERVERS       server 2 | condition 1 | faults 1 | since 4, for each server
    TURNS         service 2 | preloaded server 2 | (server 2 | value 8 | order 8) for each server with a position
    SNAPSHOT, SNAPSHOT_END                      run 8 | offset 8 | term 8 | sessions 4
    HEARTBEAT     term 8 | offset 8 | digest 8 | sessions 4 | role 1 | edges heard 1 | load 2
    ACK, RESUMED  run 8 | offset 8
    HANDOVER, HANDED_OVER, BYE                  term 8 | offset 8
    RESYNC        empty: all sessions are asked for anew
    STREAM_OVER   empty: the sender's stream ends here, perhaps within a frame; what comes next begins another
    HELLO         JSON (`Hello`)

States and scales have four bits for each end, the client's first; a scale of 15 is unknown. `answers` is the key of the
flow that the answers have where headers are rewritten. Times are in ms, and say how long, never when. Frames without
`OUTSIDE` in their flags are of the log: they count in its offsets. A later version may add types, which a reader skips,
and append to a body, whose tail a reader ignores; the lists of SERVERS and TURNS only grow by whole items.

The bodies are in `replication_entries.py` (SESSION to GONE), `replication_servers.py` (NAME to TURNS) and
`replication_control.py` (the others).
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = Struct(">BBH")
HEAD_SIZE = HEAD.size
_MOST = 0xFFFF
LONGEST = 0xFFFFFFFF
"""The greatest time (ms) that a frame tells, for this and all longer times."""
NO_SERVER = 0xFFFF
FORMAT = 1
"""The version of the format."""


class Kind(IntEnum):
    """The type of a frame."""

    HELLO = 1
    SESSION = 2
    STATE = 3
    GONE = 4
    NAME = 5
    SERVERS = 6
    TURNS = 7
    SNAPSHOT = 8
    SNAPSHOT_END = 9
    HEARTBEAT = 10
    ACK = 11
    HANDOVER = 12
    HANDED_OVER = 13
    BYE = 14
    RESUMED = 15
    RESYNC = 16
    STREAM_OVER = 17


KINDS = {int(kind): kind for kind in Kind}
OUTSIDE, IPV6, UNFIT, SERVES = 0x01, 0x02, 0x04, 0x08
"""Flags of a frame: it is not of the log; its key has IPv6 addresses; the sender of a HEARTBEAT cannot serve."""


class Frame(NamedTuple):
    """A frame as it is on the wire."""

    kind: int
    flags: int
    body: bytes

    @property
    def size(self) -> int:
        """Octets of the frame."""
        return HEAD_SIZE + len(self.body)

    def pack(self) -> bytes:
        """The octets; raises ValueError for a body of more than 65,535 octets."""
        if len(self.body) > _MOST:
            raise ValueError(f"the body of a frame has at most {_MOST} octets, this one has {len(self.body)}")
        return HEAD.pack(self.kind, self.flags, len(self.body)) + self.body


class FrameReader:
    """Frames out of octets that come in pieces. It keeps less than a whole frame, at most 65,538 octets."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, octets: bytes) -> Iterator[Frame]:
        """Yield the frames that the octets complete, unknown ones too; the iterator must be taken to its end."""
        held = self._rest + octets if self._rest else octets
        at, end = 0, len(held)
        while at + HEAD_SIZE <= end:
            kind, flags, length = HEAD.unpack_from(held, at)
            after = at + HEAD_SIZE + length
            if after > end:
                break
            yield Frame(kind, flags, held[at + HEAD_SIZE:after])
            at = after
        self._rest = held[at:]


def check_size(frame: Frame, least: int) -> None:
    """Raise ValueError for a body of fewer octets."""
    if len(frame.body) < least:
        raise ValueError(f"{name_of(frame)} has at least {least} octets, here are {len(frame.body)}")


def name_of(frame: Frame) -> str:
    """The name of a frame's type, for people."""
    kind = KINDS.get(frame.kind)
    return f"a frame of type {frame.kind}" if kind is None else kind.name


def check_below(field: str, value: int, below: int) -> None:
    """Raise ValueError, which names the field, for a value that is not below a bound."""
    if value >= below:
        raise ValueError(f"{field} is below {below}, here is {value}")


def octets_at_plainly(octets: bytearray, at: int, most: int) -> bytes:
    """At most `most` octets from a place on; none beyond the end."""
    return bytes(octets[at:at + most])


try:
    from atmdepot.wire._replication import octets_at as octets_at
except ImportError:
    octets_at = octets_at_plainly
