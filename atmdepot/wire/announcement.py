"""The messages of depots and edge nodes on a VP's management VC, beside statistics: who is active, and flows.

They are AAL5 SDUs of this project's own format::

    head          magic "ADAN" 4 | version 1 | type 1 | flags 2
    announcement  head | term 8 | period 4 | octets of the set's name 1 | and of the node's 1 | set's name | node's name
    recall        head | number 4 | since 4
    flows         head | number 4 | part 4 | v4 flows 2 | v6 flows 2 | v4 flows 19 each | v6 flows 43 each
    flow          key 13 or 37 | VCI 2 | half-open 1 bit | age 31 bits

A depot announces itself with its set's term, each `period` ms. With a recall it asks an edge node for the flows that
had a packet in the last `since` ms (0: for all). The edge node answers by flows: `part` counts the SDUs of an
answer from 0, and the last has a flag. `age` is the ms since the flow's last packet from the depot. A TCP flow is
half-open until its client has sent more than SYNs. Of two edge nodes that tell one flow, as after a SYN that was sent
again, an established one has the session rather than a half-open one, which a late copy of the SYN may have made; of
two alike the later has it.

A later version only appends, as with statistics: a reader ignores what stands behind the fields that it knows. A
message of this version has nothing behind them. A layout that changes otherwise gets another type, so that no build
misreads it: type 3 was flows with ages in seconds.
"""

from __future__ import annotations

import re
from enum import IntEnum, IntFlag
from itertools import chain
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from atmdepot.wire.flows import FlowKey

MAGIC, VERSION = b"ADAN", 1
_HEAD, _ANNOUNCEMENT, _RECALL, _FLOWS = Struct(">4sBBH"), Struct(">QIBB"), Struct(">II"), Struct(">IIHH")
_FLOW4, _FLOW6 = Struct(">13sHI"), Struct(">37sHI")
FIRST_FLOW = _HEAD.size + _FLOWS.size
"""The octets before the first flow of a part."""
FLOW_SIZES = {13: _FLOW4.size, 37: _FLOW6.size}
"""The octets of a flow, by those of its key."""
LONGEST_NAME = 32
MOST_PERIOD = 60_000
"""Greatest period of announcements, in ms: so no depot can count as heard for ever."""
MOST_TERM = 2**63 - 1
MOST_AGE = 0x7FFFFFFF
"""Greatest age in ms."""
_HALF_OPEN = MOST_AGE + 1
_NAME = re.compile(rb"[A-Za-z0-9_-]+")
_IPV4_KEY = 13


class Kind(IntEnum):
    """The types of messages."""

    ANNOUNCEMENT = 1
    RECALL = 2
    FLOWS = 4


class Claim(IntFlag):
    """Flags of a depot in its announcement; a reader ignores those that it does not know."""

    NOTHING = 0
    ACTIVE = 1
    """It is the set's active depot. Without this it only says that it runs."""
    HANDING_OVER = 2
    """It gives its sessions to another depot of the set."""


_CLAIMS = Claim.ACTIVE | Claim.HANDING_OVER


class OtherBuild(ValueError):
    """A message of a type that this build does not have."""


class Announcement(NamedTuple):
    """A depot announces itself: its set and name, the set's term, and the ms until it does so again."""

    of: str
    node: str
    term: int
    period: int
    claim: Claim = Claim.ACTIVE

    def pack(self) -> bytes:
        """The octets of an announcement; raise ValueError for a value that does not fit."""
        of, node = self.of.encode(), self.node.encode()
        _check_announcement(len(of), len(node), self.term, self.period)
        _name("set", of)
        _name("node", node)
        return (_HEAD.pack(MAGIC, VERSION, Kind.ANNOUNCEMENT, self.claim)
                + _ANNOUNCEMENT.pack(self.term, self.period, len(of), len(node)) + of + node)


class Recall(NamedTuple):
    """A depot asks for flows: a number, which the answer repeats, and the ms in which they had a packet (0: all)."""

    number: int
    since: int = 0

    def pack(self) -> bytes:
        """The octets of a recall."""
        return _HEAD.pack(MAGIC, VERSION, Kind.RECALL, 0) + _RECALL.pack(self.number, self.since)


class ToldFlow(NamedTuple):
    """A flow of an edge node, as its client sees it, the channel (VCI) on which it came, and the ms since.

    It is half-open while the client has sent nothing but SYNs.
    """

    key: FlowKey
    channel: int
    age: int
    is_half_open: bool = False

    def pack(self) -> bytes:
        """The octets of a flow."""
        layout = _FLOW4 if len(self.key) == _IPV4_KEY else _FLOW6
        return layout.pack(self.key, self.channel, self.age | (_HALF_OPEN if self.is_half_open else 0))


class Flows(NamedTuple):
    """A part of the answer to a recall: its flows, IPv4 first."""

    number: int
    part: int
    is_last: bool
    flows: list[ToldFlow]

    def pack(self) -> bytes:
        """The octets of this part; raise ValueError when IPv4 flows stand behind IPv6 flows."""
        sizes = [len(flow.key) for flow in self.flows]
        v4 = sizes.count(_IPV4_KEY)
        if sizes != sorted(sizes):
            raise ValueError("flows: IPv4 flows come first")
        body = b"".join([flow.pack() for flow in self.flows])
        return (_HEAD.pack(MAGIC, VERSION, Kind.FLOWS, self.is_last)
                + _FLOWS.pack(self.number, self.part, v4, len(sizes) - v4) + body)


Message = Announcement | Recall | Flows


def is_message(sdu: bytes) -> bool:
    """True when an SDU begins as one of these messages does."""
    return sdu.startswith(MAGIC)


def read(sdu: bytes) -> Message:
    """Read a message of this or a later version.

    Raises:
        OtherBuild: its type is of another build.
        ValueError: it is none; the text names the field.

    """
    if len(sdu) < _HEAD.size:
        raise ValueError(f"head: a message has at least {_HEAD.size} octets, here are {len(sdu)}")
    magic, version, kind, flags = _HEAD.unpack_from(sdu)
    if magic != MAGIC or version < VERSION:
        raise ValueError(f"head: a message begins {MAGIC!r} and version 1 or later, not {magic!r} and {version}")
    if kind == Kind.ANNOUNCEMENT:
        return _announcement(sdu, version, flags)
    if kind == Kind.RECALL:
        _check_size("recall", sdu, version, _HEAD.size + _RECALL.size)
        return Recall(*_RECALL.unpack_from(sdu, _HEAD.size))
    if kind == Kind.FLOWS:
        return _flows(sdu, version, flags)
    raise OtherBuild(f"type: {kind} is of another build of atmdepot, and none of {', '.join(map(str, map(int, Kind)))}")


def _announcement(sdu: bytes, version: int, flags: int) -> Announcement:
    names = _HEAD.size + _ANNOUNCEMENT.size
    if len(sdu) < names:
        raise ValueError(f"announcement: it has at least {names} octets, here are {len(sdu)}")
    term, period, of_size, node_size = _ANNOUNCEMENT.unpack_from(sdu, _HEAD.size)
    _check_announcement(of_size, node_size, term, period)
    node = names + of_size
    _check_size("names", sdu, version, node + node_size)
    return Announcement(_name("set", sdu[names:node]), _name("node", sdu[node:node + node_size]), term, period,
                        Claim(flags & _CLAIMS))


def _name(field: str, octets: bytes) -> str:
    if _NAME.fullmatch(octets) is None:
        raise ValueError(f"{field}: a name has letters, digits, '_' and '-', not {octets!r}")
    return octets.decode("ascii")


def _check_announcement(of_size: int, node_size: int, term: int, period: int) -> None:
    for field, value, most in (("set", of_size, LONGEST_NAME), ("node", node_size, LONGEST_NAME)):
        if not 1 <= value <= most:
            raise ValueError(f"{field}: a name has 1 to {most} octets, not {value}")
    if not 1 <= term <= MOST_TERM:
        raise ValueError(f"term: it is 1 to {MOST_TERM}, not {term}")
    if not 1 <= period <= MOST_PERIOD:
        raise ValueError(f"period: it is 1 to {MOST_PERIOD} ms, not {period}")


def _flows(sdu: bytes, version: int, flags: int) -> Flows:
    if len(sdu) < FIRST_FLOW:
        raise ValueError(f"flows: they have at least {FIRST_FLOW} octets, here are {len(sdu)}")
    number, part, v4, v6 = _FLOWS.unpack_from(sdu, _HEAD.size)
    v6_at = FIRST_FLOW + v4 * _FLOW4.size
    end = v6_at + v6 * _FLOW6.size
    _check_size("flows", sdu, version, end)
    told = chain(_FLOW4.iter_unpack(sdu[FIRST_FLOW:v6_at]), _FLOW6.iter_unpack(sdu[v6_at:end]))
    return Flows(number, part, bool(flags & 1), [
        ToldFlow(key, channel, age & MOST_AGE, age >= _HALF_OPEN) for key, channel, age in told])


def _check_size(field: str, sdu: bytes, version: int, size: int) -> None:
    """Raise ValueError unless an SDU has the octets of its fields, and no more if it is of this version."""
    if len(sdu) < size or (version == VERSION and len(sdu) > size):
        raise ValueError(f"{field}: the message has {size} octets by its fields, here are {len(sdu)}")
