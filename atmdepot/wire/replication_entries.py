"""The frames of entries of the session tables in the stream between depots: SESSION, STATE, GONE.

`replication.py` has the format.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple, Self

from atmdepot.wire.ip import PROTOCOL_TCP, PROTOCOL_UDP
from atmdepot.wire.replication import HEAD_SIZE, IPV6, Frame, Kind, check_below, check_size, name_of

_SESSION = Struct(">BBHBBBBHHBBIIII")
_BODY = Struct(">BBBBHHBBIIII")
_STATE = Struct(">BBHBBI")
_GONE = Struct(">BBHB")
_SESSION_SIZE, _STATE_SIZE, _GONE_SIZE = (it.size - HEAD_SIZE for it in (_SESSION, _STATE, _GONE))
_SESSION_KIND, _STATE_KIND, _GONE_KIND = int(Kind.SESSION), int(Kind.STATE), int(Kind.GONE)
NO_SCALE = 15
HALF_OPEN, REWRITTEN = 0x01, 0x02
"""Flags of a SESSION: it is half-open, or a UDP flow without an answer; its answers have another flow than its key."""
CLOSED_BY = ("", "FIN", "RST", "idle", "half-open", "another reason")
"""The reasons for which an entry is in the secondary table, by number; empty for the primary table."""
_STATES = 11
_GAMMA, _MASK = 0x9E3779B97F4A7C15, 2**64 - 1
_KEY_SIZES = {0: 13, IPV6: 37}
_PROTOCOLS = (PROTOCOL_TCP, PROTOCOL_UDP)


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
        check_below("closed by", closed_by, len(CLOSED_BY))
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
        check_below("closed by", closed_by, len(CLOSED_BY))
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


def _key_of(frame: Frame, at: int) -> bytes:
    """The key behind the fields of a body."""
    size = _KEY_SIZES[frame.flags & IPV6]
    check_size(frame, at + size)
    if frame.body[at] not in _PROTOCOLS:
        raise ValueError(f"{name_of(frame)}: the protocol of a key is 6 or 17, here is {frame.body[at]}")
    return frame.body[at:at + size]


def _answers_of(frame: Frame, key: bytes) -> bytes:
    """The flow of a SESSION's answers, behind its key."""
    at = _SESSION_SIZE + len(key)
    check_size(frame, at + len(key))
    answers = frame.body[at:at + len(key)]
    if answers[0] != key[0]:
        raise ValueError(f"{name_of(frame)}: the answers have the protocol of the key, {key[0]}, here is {answers[0]}")
    return answers


def _check_states(states: int) -> None:
    check_below("the client's state", states >> 4, _STATES)
    check_below("the server's state", states & 15, _STATES)


def hash_of_key_plainly(key: bytes, seed: int) -> int:
    """A hash of a flow's key, 64 bits; both begin from the same seed."""
    hashed = seed
    for at in range(0, len(key), 8):
        hashed = (hashed ^ int.from_bytes(key[at:at + 8], "big")) * _GAMMA & _MASK
        hashed ^= hashed >> 32
    return hashed


try:
    from atmdepot.wire._replication import hash_of_key as hash_of_key
    from atmdepot.wire._replication import put_session as put_session
    from atmdepot.wire._replication import put_state as put_state
except ImportError:
    put_session, put_state, hash_of_key = put_session_plainly, put_state_plainly, hash_of_key_plainly
