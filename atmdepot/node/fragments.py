"""IP fragments: only the first names its flow, so the others follow it.

They belong together by source, destination, protocol and identification (RFC 791, RFC 8200). Fragments that come before
their first are held. Both the map and what is held are bounded and live shortly; what is given up is counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from atmdepot.drops import DropReason, Drops

if TYPE_CHECKING:
    from atmdepot.wire.packet import Packet

T = TypeVar("T")

_LIFE = 5_000_000_000
_MAX_PACKETS = 1024
_MAX_HELD = 64
_MAX_OCTETS = 1 << 20

FragmentKey = tuple[bytes, bytes, int, int]


class Held(NamedTuple):
    """A fragment that waits for its first."""

    octets: bytes
    packet: Packet


class _Entry(Generic[T]):
    __slots__ = ("born", "held", "target")

    def __init__(self, born: int) -> None:
        self.born = born
        self.target: T | None = None
        self.held: list[Held] = []


class FragmentMap(Generic[T]):
    """Where the fragments of each packet go."""

    def __init__(self, drops: Drops) -> None:
        self._drops = drops
        self._octets = 0  # of all that is held
        self._entries: dict[FragmentKey, _Entry[T]] = {}  # in the order in which they were born

    def __len__(self) -> int:
        return len(self._entries)

    def first(self, packet: Packet, target: T, now: int) -> list[Held]:
        """The first fragment has come and goes to `target`; those that waited for it may follow now."""
        entry = self._entry(packet, now)
        entry.target = target
        held, entry.held = entry.held, []
        self._octets -= _octets_of(held)
        return held

    def later(self, octets: bytes, packet: Packet, now: int) -> T | None:
        """Where a later fragment goes; None when it is held until its first comes (or was given up, and counted)."""
        entry = self._entry(packet, now)
        if entry.target is None:
            if self._has_room(entry.held, self._octets + len(octets)):
                self._octets += len(octets)
                entry.held.append(Held(octets, packet))
            else:
                self._drops.count(DropReason.FRAGMENT, octets=octets)
        return entry.target

    def target_of(self, packet: Packet, now: int) -> T | None:
        """Where `later` would send a fragment; None when its first has not come."""
        entry = self._living(_key_of(packet), now)
        return None if entry is None else entry.target

    def waiting_for(self, packet: Packet, now: int) -> list[Held]:
        """The fragments that wait for the first one of a packet."""
        entry = self._living(_key_of(packet), now)
        return [] if entry is None else entry.held

    def would_hold(self, octets: bytes, packet: Packet, now: int) -> bool:
        """Whether `later` would hold a fragment whose first has not come; else it would drop it."""
        held = self.waiting_for(packet, now)
        total = self._octets + len(octets)
        if self._living(_key_of(packet), now) is None and (leaving := self._leaving_for(_key_of(packet))) is not None:
            total -= _octets_of(self._entries[leaving].held)
        return self._has_room(held, total)

    def _has_room(self, held: list[Held], total: int) -> bool:
        return len(held) < _MAX_HELD and total <= _MAX_OCTETS

    def _entry(self, packet: Packet, now: int) -> _Entry[T]:
        key = _key_of(packet)
        entry = self._living(key, now)
        if entry is None:
            if (leaving := self._leaving_for(key)) is not None:
                self._give_up(leaving)
            entry = self._entries[key] = _Entry(now)
        return entry

    def _living(self, key: FragmentKey, now: int) -> _Entry[T] | None:
        entry = self._entries.get(key)
        return None if entry is None or entry.born + _LIFE <= now else entry

    def _leaving_for(self, key: FragmentKey) -> FragmentKey | None:
        """The packet that a new one pushes out: the one of its name, whose time is over, or the oldest of too many."""
        if key in self._entries:
            return key
        return next(iter(self._entries)) if len(self._entries) >= _MAX_PACKETS else None

    def expire(self, now: int) -> None:
        """Forget packets whose time is over."""
        while (key := next(iter(self._entries), None)) is not None and self._entries[key].born + _LIFE <= now:
            self._give_up(key)

    def next_timer(self) -> int | None:
        """When `expire` has something to do (ns), or None."""
        oldest = next(iter(self._entries.values()), None)
        return None if oldest is None else oldest.born + _LIFE

    def _give_up(self, key: FragmentKey) -> None:
        held = self._entries.pop(key).held
        self._octets -= _octets_of(held)
        for fragment in held:
            self._drops.count(DropReason.FRAGMENT, octets=fragment.octets)


def _key_of(packet: Packet) -> FragmentKey:
    return packet.source, packet.destination, packet.protocol, packet.identification


def _octets_of(held: list[Held]) -> int:
    return sum(len(fragment.octets) for fragment in held)
