"""The frames of the stream between depots that tell of the stream itself and of its ends, from SNAPSHOT to HELLO.

`replication.py` has the format.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple, Self

import msgspec

from atmdepot.decoding import NOT_DECODED
from atmdepot.wire.replication import FORMAT, OUTSIDE, Frame, Kind, check_below, check_size

ROLES = ("alone", "joining", "standby", "active", "handing-over")
"""The roles of a depot, by number."""
_SNAPSHOT, _HEARTBEAT, _TWO = Struct(">QQQI"), Struct(">QQQIBBH"), Struct(">QQ")
_RUNS, _OFFSETS = 1 << 63, 1 << 60
_TERMS = (1 << 63) - (1 << 32)  # no greater term is believed, so that those after it fit announcements
_LONGEST_WORD = 256  # of a HELLO: what it says may get into the log


class Snapshot(NamedTuple):
    """A SNAPSHOT: all sessions follow, among the frames of the log from `offset` on. Its end has the same form."""

    run: int
    offset: int
    term: int
    sessions: int

    def pack(self, kind: Kind = Kind.SNAPSHOT) -> bytes:
        """The frame; `kind` is SNAPSHOT or SNAPSHOT_END."""
        return Frame(kind, OUTSIDE, _SNAPSHOT.pack(*self)).pack()

    @classmethod
    def unpack(cls, frame: Frame) -> Self:
        """Read a SNAPSHOT or SNAPSHOT_END; raise ValueError as `Ack.unpack` does."""
        check_size(frame, _SNAPSHOT.size)
        told = cls(*_SNAPSHOT.unpack_from(frame.body))
        _check_place(told.run, told.offset)
        return told


class Heartbeat(NamedTuple):
    """A HEARTBEAT: how the sender is. `role` by number (`ROLES`), load in thousandths; digest as of `offset`."""

    term: int
    offset: int
    digest: int
    sessions: int
    role: int
    edges: int
    load: int

    def pack(self, flags: int = 0) -> bytes:
        """The frame; `flags` may have `UNFIT` and `SERVES`."""
        return Frame(Kind.HEARTBEAT, OUTSIDE | flags, _HEARTBEAT.pack(*self)).pack()

    @classmethod
    def unpack(cls, frame: Frame) -> Self:
        """Read a HEARTBEAT; raise ValueError with the field that is wrong."""
        check_size(frame, _HEARTBEAT.size)
        told = cls(*_HEARTBEAT.unpack_from(frame.body))
        check_below("role", told.role, len(ROLES))
        check_below("term", told.term, _TERMS)
        return told


class Ack(NamedTuple):
    """An ACK: how far the log of a run is applied. A RESUMED, of the same form, says that it goes on from there."""

    run: int
    offset: int

    def pack(self, kind: Kind = Kind.ACK) -> bytes:
        """The frame; `kind` is ACK or RESUMED."""
        return Frame(kind, OUTSIDE, _TWO.pack(*self)).pack()

    @classmethod
    def unpack(cls, frame: Frame) -> Self:
        """Read an ACK or RESUMED; raise ValueError for a body that is too short, and for a place that no log has."""
        check_size(frame, _TWO.size)
        told = cls(*_TWO.unpack_from(frame.body))
        _check_place(told.run, told.offset)
        return told


class Turnover(NamedTuple):
    """A HANDOVER, HANDED_OVER or BYE: the sender's term, and the offset up to which it has told or applied."""

    term: int
    offset: int

    def pack(self, kind: Kind) -> bytes:
        """The frame; `kind` is HANDOVER, HANDED_OVER or BYE."""
        return Frame(kind, OUTSIDE, _TWO.pack(*self)).pack()

    @classmethod
    def unpack(cls, frame: Frame) -> Self:
        """Read one; raise ValueError for a body that is too short."""
        check_size(frame, _TWO.size)
        return cls(*_TWO.unpack_from(frame.body))


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """A HELLO, the first frame of each direction: who speaks, what it has applied, and the names for its numbers.

    `applied` are the run and the offset up to which it has the other's log; run 0 for none. `run` is its own.
    `table` has digests of the parts of the VC table in which both must agree, by place; `challenge` is random.
    """

    network: str
    set: str
    node: str
    run: int
    term: int
    role: str
    applied: tuple[int, int] = (0, 0)
    sessions: int = 0
    servers: list[str] = []
    services: list[str] = []
    timers: dict[str, int] = {}
    table: dict[str, str] = {}
    keyed: bool = False
    challenge: bytes = b""
    version: str = ""
    format: int = FORMAT

    def pack(self) -> bytes:
        """The frame; raises ValueError when its names take more than 65,535 octets."""
        return Frame(Kind.HELLO, OUTSIDE, msgspec.json.encode(self)).pack()

    @classmethod
    def unpack(cls, frame: Frame) -> Self:
        """Read a HELLO; raise ValueError with what is wrong. Keys that a later version adds are ignored."""
        try:
            told = msgspec.json.decode(frame.body, type=cls)
        except NOT_DECODED as error:
            raise ValueError(f"HELLO: {error}") from None
        if told.role not in ROLES:
            raise ValueError(f"HELLO: role {told.role!r:.99} is none of {', '.join(ROLES)}")
        if not (0 <= told.term < _TERMS and 0 <= told.run < _RUNS and 0 <= told.sessions < _RUNS):
            raise ValueError("HELLO: term, run or sessions are out of range")
        for word in (told.network, told.set, told.node, told.version, *told.table, *told.table.values()):
            if len(word) > _LONGEST_WORD or not word.isprintable():
                raise ValueError(f"HELLO: {word[:99]!r} is too long, or no text for the log")
        return told


def _check_place(run: int, offset: int) -> None:
    """Raise ValueError for a run of more than 63 bits, and for an offset that no log reaches in its life."""
    check_below("run", run, _RUNS)
    check_below("offset", offset, _OFFSETS)
