"""The frames of servers and turns in the stream between depots: NAME, SERVERS, TURNS.

`replication.py` has the format.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, NamedTuple, Self

from atmdepot.wire.replication import Frame, Kind, check_below, check_size, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SERVER_NAME, SERVICE_NAME = 0, 1
ALIVE, DRAINING = 0x01, 0x02
_NAME, _SERVER, _POOL, _POSITION = Struct(">BH"), Struct(">HBBI"), Struct(">HH"), Struct(">Hqq")
_LONGEST_NAME = 1024  # in octets: names are kept as long as a connection


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
        check_size(frame, _NAME.size)
        kind, number = _NAME.unpack_from(frame.body)
        check_below("kind", kind, 2)
        check_below("the length of a name", len(frame.body) - _NAME.size, _LONGEST_NAME + 1)
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
        check_size(frame, _POOL.size)
        service, preloaded = _POOL.unpack_from(frame.body)
        return cls(service, preloaded, [Position(*item) for item in _items(frame, _POOL.size, _POSITION)])


def _items(frame: Frame, at: int, item: Struct) -> Iterator[tuple[int, ...]]:
    if (len(frame.body) - at) % item.size:
        raise ValueError(f"{name_of(frame)} has items of {item.size} octets, here are {len(frame.body) - at}")
    return item.iter_unpack(frame.body[at:])
