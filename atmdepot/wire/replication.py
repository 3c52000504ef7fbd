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
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple, Self

import msgspec

from atmdepot.wire.ip import PROTOCOL_TCP, PROTOCOL_UDP

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HEAD = Struct(">BBH")
HEAD_SIZE = HEAD.size
_SESSION = Struct(">BBHBBBBHHBBIIII")
_BODY = Struct(">BBBBHHBBIIII")
_STATE = Struct(">BBHBBI")
_GONE = Struct(">BBHB")
_NAME, _SERVER, _POOL, _POSITION = Struct(">BH"), Struct(">HBBI"), Struct(">HH"), Struct(">Hqq")
_SNAPSHOT, _HEARTBEAT, _TWO = Struct(">QQQI"), Struct(">QQQIBBH"), Struct(">QQ")
_SESSION_SIZE, _STATE_SIZE, _GONE_SIZE = (it.size - HEAD_SIZE for it in (_SESSION, _STATE, _GONE))
_MOST = 0xFFFF
LONGEST = 0xFFFFFFFF
"""The greatest time (ms) that a frame tells, for this and all longer times."""
NO_SCALE = 15
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
_HELLO, _SESSION_KIND, _STATE_KIND, _GONE_KIND = (int(kind) for kind in (
    Kind.HELLO, Kind.SESSION, Kind.STATE, Kind.GONE))
OUTSIDE, IPV6, UNFIT, SERVES = 0x01, 0x02, 0x04, 0x08
"""Flags of a frame: it is not of the log; its key has IPv6 addresses; the sender of a HEARTBEAT cannot serve."""
HALF_OPEN, REWRITTEN = 0x01, 0x02
"""Flags of a SESSION: it is half-open, or a UDP flow without an answer; its answers have another flow than its key."""
CLOSED_BY = ("", "FIN", "RST", "idle", "half-open", "another reason")
"""The reasons for which an entry is in the secondary table, by number; empty for the primary table."""
ROLES = ("alone", "joining", "standby", "active", "handing-over")
"""The roles of a depot, by number."""
SERVER_NAME, SERVICE_NAME = 0, 1
ALIVE, DRAINING = 0x01, 0x02
_STATES = 11
_RUNS, _OFFSETS = 1 << 63, 1 << 60
_TERMS = (1 << 63) - (1 << 32)  # no greater term is believed, so that those after it fit announcements
_LONGEST_NAME = 1024  # in octets: names are kept as long as a connection
_LONGEST_WORD = 256  # of a HELLO: what it says may get into the log
_GAMMA, _MASK = 0x9E3779B97F4A7C15, 2**64 - 1
_KEY_SIZES = {0: 13, IPV6: 37}
_PROTOCOLS = (PROTOCOL_TCP, PROTOCOL_UDP)


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


class Told(NamedTuple):
    """A SESSION: what the standby is told of an entry. Times in ms, states by number; `answers` is empty or a key."""

    key: bytes
    server: int
    channel: int
    category: int
    closed_by: int
    half_open: bool
    client_state: int
    server_state: int
    client_scale: int
    server_scale: int
    time_left: int
    age: int
    client_isn: int
    server_isn: int
    answers: bytes = b""

    def pack(self, outside: int = 0) -> bytes:
        """The frame."""
        out = bytearray()
        put_session(out, *self, outside)
        return bytes(out)

    @classmethod
    def unpack(cls, frame: Frame) -> Self:
        """Read a SESSION; raise ValueError with the field that is wrong."""
        body = frame.body
        key = _key_of(frame, _SESSION_SIZE)
        flags, closed_by, states, scales, server, channel, category, _, left, age, one, other = _BODY.unpack_from(body)
        _check("closed by", closed_by, len(CLOSED_BY))
        _check_states(states)
        answers = _answers_of(frame, key) if flags & REWRITTEN else b""
        return cls(key, server, channel, category, closed_by, bool(flags & HALF_OPEN), states >> 4, states & 15,
                   scales >> 4, scales & 15, left, age, one, other, answers)


def put_session_plainly(
    out: bytearray, key: bytes, server: int, channel: int, category: int, closed_by: int, half_open: bool,
    client_state: int, server_state: int, client_scale: int, server_scale: int, time_left: int, age: int,
    client_isn: int, server_isn: int, answers: bytes = b"", outside: int = 0,
) -> None:
    """Put a SESSION frame at the end of `out`."""
    size = len(key)
    flags = (HALF_OPEN if half_open else 0) | (REWRITTEN if answers else 0)
    out += _SESSION.pack(
        _SESSION_KIND, outside | (IPV6 if size > 13 else 0), _SESSION_SIZE + size + len(answers), flags,
        closed_by, client_state << 4 | server_state, client_scale << 4 | server_scale, server, channel, category, 0,
        time_left, age, client_isn, server_isn) + key + answers


class State(NamedTuple):
    """A STATE: an entry's states and table have changed."""

    key: bytes
    client_state: int
    server_state: int
    closed_by: int
    time_left: int

    def pack(self) -> bytes:
        """The frame."""
        out = bytearray()
        put_state(out, *self)
        return bytes(out)

    @classmethod
    def unpack(cls, frame: Frame) -> Self:
        """Read a STATE; raise ValueError with the field that is wrong."""
        key = _key_of(frame, _STATE_SIZE)
        states, closed_by = frame.body[0], frame.body[1]
        _check("closed by", closed_by, len(CLOSED_BY))
        _check_states(states)
        return cls(key, states >> 4, states & 15, closed_by, int.from_bytes(frame.body[2:6], "big"))


def put_state_plainly(
    out: bytearray, key: bytes, client_state: int, server_state: int, closed_by: int, time_left: int,
) -> None:
    """Put a STATE frame at the end of `out`."""
    size = len(key)
    out += _STATE.pack(_STATE_KIND, IPV6 if size > 13 else 0, _STATE_SIZE + size, client_state << 4 | server_state,
                       closed_by, time_left) + key


class Gone(NamedTuple):
    """A GONE: an entry has left without passing through the secondary table."""

    key: bytes
    reason: int = 0

    def pack(self) -> bytes:
        """The frame."""
        size = len(self.key)
        return _GONE.pack(_GONE_KIND, IPV6 if size > 13 else 0, _GONE_SIZE + size, self.reason) + self.key

    @classmethod
    def unpack(cls, frame: Frame) -> Self:
        """Read a GONE; raise ValueError for a body that is too short."""
        return cls(_key_of(frame, _GONE_SIZE), frame.body[0])


class Name(NamedTuple):
    """A NAME: the number by which the sender will call a server or a service."""

    kind: int
    number: int
    name: str

    def pack(self, outside: int = 0) -> bytes:
        """The frame."""
        name = self.name.encode()[:_LONGEST_NAME].decode(errors="ignore").encode()
        return Frame(Kind.NAME, outside, _NAME.pack(self.kind, self.number) + name).pack()

    @classmethod
    def unpack(cls, frame: Frame) -> Self:
        """Read a NAME; raise ValueError with what is wrong."""
        _check_size(frame, _NAME.size)
        kind, number = _NAME.unpack_from(frame.body)
        _check("kind", kind, 2)
        _check("the length of a name", len(frame.body) - _NAME.size, _LONGEST_NAME + 1)
        return cls(kind, number, frame.body[_NAME.size:].decode())  # UnicodeDecodeError is a ValueError


class ServerTold(NamedTuple):
    """A server's condition: flags `ALIVE` and `DRAINING`, a bit for each fault, and for how long (ms)."""

    server: int
    condition: int
    faults: int
    since: int


def servers_frame(told: Sequence[ServerTold], outside: int = 0) -> bytes:
    """The octets of a SERVERS frame."""
    return Frame(Kind.SERVERS, outside, b"".join(_SERVER.pack(*each) for each in told)).pack()


def servers_told(frame: Frame) -> list[ServerTold]:
    """Read a SERVERS frame; raise ValueError where it ends within an item."""
    return [ServerTold(*item) for item in _items(frame, 0, _SERVER)]


class Position(NamedTuple):
    """A server's position in a balancer, in two signed numbers of 64 bits that the criterion understands."""

    server: int
    value: int
    order: int


class TurnsTold(NamedTuple):
    """A TURNS: the preloaded server of a service's pool (or `NO_SERVER`), and the positions in its balancer."""

    service: int
    preloaded: int
    positions: list[Position]

    def pack(self, outside: int = 0) -> bytes:
        """The frame."""
        return Frame(Kind.TURNS, outside, _POOL.pack(self.service, self.preloaded) + b"".join(
            _POSITION.pack(*each) for each in self.positions)).pack()

    @classmethod
    def unpack(cls, frame: Frame) -> Self:
        """Read a TURNS; raise ValueError where it is too short or ends within an item."""
        _check_size(frame, _POOL.size)
        service, preloaded = _POOL.unpack_from(frame.body)
        return cls(service, preloaded, [Position(*item) for item in _items(frame, _POOL.size, _POSITION)])


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
        _check_size(frame, _SNAPSHOT.size)
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
        _check_size(frame, _HEARTBEAT.size)
        told = cls(*_HEARTBEAT.unpack_from(frame.body))
        _check("role", told.role, len(ROLES))
        _check("term", told.term, _TERMS)
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
        _check_size(frame, _TWO.size)
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
        _check_size(frame, _TWO.size)
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
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ValueError(f"HELLO: {error}") from None
        if told.role not in ROLES:
            raise ValueError(f"HELLO: role {told.role!r:.99} is none of {', '.join(ROLES)}")
        if not (0 <= told.term < _TERMS and 0 <= told.run < _RUNS and 0 <= told.sessions < _RUNS):
            raise ValueError("HELLO: term, run or sessions are out of range")
        for word in (told.network, told.set, told.node, told.version, *told.table, *told.table.values()):
            if len(word) > _LONGEST_WORD or not word.isprintable():
                raise ValueError(f"HELLO: {word[:99]!r} is too long, or no text for the log")
        return told


def _check_size(frame: Frame, least: int) -> None:
    if len(frame.body) < least:
        raise ValueError(f"{_name(frame)} has at least {least} octets, here are {len(frame.body)}")


def _name(frame: Frame) -> str:
    kind = KINDS.get(frame.kind)
    return f"a frame of type {frame.kind}" if kind is None else kind.name


def _key_of(frame: Frame, at: int) -> bytes:
    """The key behind the fields of a body."""
    size = _KEY_SIZES[frame.flags & IPV6]
    _check_size(frame, at + size)
    if frame.body[at] not in _PROTOCOLS:
        raise ValueError(f"{_name(frame)}: the protocol of a key is 6 or 17, here is {frame.body[at]}")
    return frame.body[at:at + size]


def _answers_of(frame: Frame, key: bytes) -> bytes:
    """The flow of a SESSION's answers, behind its key."""
    at = _SESSION_SIZE + len(key)
    _check_size(frame, at + len(key))
    answers = frame.body[at:at + len(key)]
    if answers[0] != key[0]:
        raise ValueError(f"{_name(frame)}: the answers have the protocol of the key, {key[0]}, here is {answers[0]}")
    return answers


def _check(field: str, value: int, below: int) -> None:
    if value >= below:
        raise ValueError(f"{field} is below {below}, here is {value}")


def _check_place(run: int, offset: int) -> None:
    """Raise ValueError for a run of more than 63 bits, and for an offset that no log reaches in its life."""
    _check("run", run, _RUNS)
    _check("offset", offset, _OFFSETS)


def _check_states(states: int) -> None:
    _check("the client's state", states >> 4, _STATES)
    _check("the server's state", states & 15, _STATES)


def _items(frame: Frame, at: int, item: Struct) -> Iterator[tuple[int, ...]]:
    if (len(frame.body) - at) % item.size:
        raise ValueError(f"{_name(frame)} has items of {item.size} octets, here are {len(frame.body) - at}")
    return item.iter_unpack(frame.body[at:])


def hash_of_key_plainly(key: bytes, seed: int) -> int:
    """A hash of a flow's key, 64 bits; both begin from the same seed."""
    hashed = seed
    for at in range(0, len(key), 8):
        hashed = (hashed ^ int.from_bytes(key[at:at + 8], "big")) * _GAMMA & _MASK
        hashed ^= hashed >> 32
    return hashed


def octets_at_plainly(octets: bytearray, at: int, most: int) -> bytes:
    """At most `most` octets from a place on; none beyond the end."""
    return bytes(octets[at:at + most])


try:
    from atmdepot.wire._replication import hash_of_key as hash_of_key
    from atmdepot.wire._replication import octets_at as octets_at
    from atmdepot.wire._replication import put_session as put_session
    from atmdepot.wire._replication import put_state as put_state
except ImportError:
    put_session, put_state = put_session_plainly, put_state_plainly
    hash_of_key, octets_at = hash_of_key_plainly, octets_at_plainly
