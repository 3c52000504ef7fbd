"""IP fragments: only the first fragment has the ports of its flow, so later fragments follow the first.

Fragments belong together by source, destination, protocol and identification in IPv4 (RFC 791 section 3.2), by source,
destination and identification in IPv6 (RFC 8200 section 4.5), where the Next Header of later fragments is meaningless.
Fragments that come before their first are held. The map is bounded by packets, octets and age; evicted fragments are
counted. Each fragment has an origin. An origin that floods the map loses only packets of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from atmdepot.atm.shares import Shares
from atmdepot.drops import DropReason, Drops

if TYPE_CHECKING:
    from atmdepot.wire.packet import Packet

T = TypeVar("T")

_LIFE = 5_000_000_000
_MAX_PACKETS = 1024
_MAX_OCTETS = 1 << 20
_MAX_OCTETS_OF_PACKET = 1 << 17
"""Octets held of a packet at most: it has up to 65,535 octets, and the rest allows for its fragments' headers."""
_LEAST = 256
"""The least octets that a held fragment counts for, since holding a tiny fragment takes that much memory."""
_ROUTING_PREFIX = 8
"""The octets of an IPv6 address that a site cannot choose freely: a host has all addresses of its /64."""

FragmentKey = tuple[bytes, bytes, int, int]
Origin = bytes | str


class Held(NamedTuple):
    """A fragment that waits for the first fragment of its packet."""

    octets: bytes
    packet: Packet


class _Entry(Generic[T]):
    __slots__ = ("born", "held", "octets", "origin", "target")

    def __init__(self, born: int, origin: Origin) -> None:
        self.born = born
        self.origin = origin
        self.target: T | None = None
        self.held: list[Held] = []
        self.octets = 0  # that `held` counts for, at least `_LEAST` for each fragment


class FragmentMap(Generic[T]):
    """The targets of packets that came in fragments. Times in ns.

    The origin of a fragment is its source address (in IPv6 the /64) unless the caller gives another. A later fragment
    whose origin differs from its packet's is dropped; a first fragment with another origin begins the packet anew.
    """

    def __init__(self, drops: Drops) -> None:
        self._drops = drops
        self._octets = 0  # that all held fragments count for
        self._entries: dict[FragmentKey, _Entry[T]] = {}  # in the order in which they were born
        self._packets_of: Shares[Origin, FragmentKey] = Shares()
        self._octets_of: Shares[Origin, FragmentKey] = Shares()

    def __len__(self) -> int:
        return len(self._entries)

    def first(self, packet: Packet, target: T, now: int, origin: Origin | None = None) -> list[Held]:
        """Note that a first fragment goes to `target`; return the held fragments, which may follow now."""
        key, origin = _key_of(packet), origin or _origin_of(packet)
        entry = self._living(key, now)
        # Held fragments of another origin must not follow this first fragment.
        if entry is None or entry.origin != origin:
            entry = self._enter(key, origin, now)
        entry.target = target
        # The entry stays: its target serves the fragments still to come.
        held, entry.held = entry.held, []
        self._let_go(key, entry)
        return held

    def later(self, octets: bytes, packet: Packet, now: int, origin: Origin | None = None) -> T | None:
        """The target of a later fragment; None when it is held until its first comes, or was dropped and counted."""
        key, origin = _key_of(packet), origin or _origin_of(packet)
        entry = self._living(key, now)
        if entry is not None and entry.target is not None and entry.origin == origin:
            return entry.target
        count = max(len(octets), _LEAST)
        if not self._has_room(entry, origin, count):
            self._drops.count(DropReason.FRAGMENT, octets=octets)
            return None
        if entry is None:
            entry = self._enter(key, origin, now)
        if self._octets + count > _MAX_OCTETS:
            self._make_room(count)
        entry.held.append(Held(octets, packet))
        entry.octets += count
        self._octets += count
        self._octets_of.add(origin, key, count)
        return None

    def target_of(self, packet: Packet, now: int, origin: Origin | None = None) -> T | None:
        """The target that `later` would return for a fragment; None when its first has not come."""
        return self.target_named(_key_of(packet), now, origin or _origin_of(packet))

    def target_named(self, key: FragmentKey, now: int, origin: Origin | None = None) -> T | None:
        """The target of a packet's fragments, by its name (`fragment_key`); None when its first has not come."""
        entry = self._living(key, now)
        return None if entry is None or (origin is not None and entry.origin != origin) else entry.target

    def waiting_for(self, packet: Packet, now: int, origin: Origin | None = None) -> list[Held]:
        """The fragments that wait for the first fragment of a packet."""
        entry = self._living(_key_of(packet), now)
        return [] if entry is None or entry.origin != (origin or _origin_of(packet)) else entry.held

    def would_hold(self, octets: bytes, packet: Packet, now: int, origin: Origin | None = None) -> bool:
        """True when `later` would hold a fragment whose first has not come, False when it would drop the fragment."""
        entry = self._living(_key_of(packet), now)
        return self._has_room(entry, origin or _origin_of(packet), max(len(octets), _LEAST))

    def _has_room(self, entry: _Entry[T] | None, origin: Origin, count: int) -> bool:
        """True when a fragment of `count` octets may be held, if need be in place of the heaviest origin's packets."""
        if entry is not None and (entry.origin != origin or entry.octets + count > _MAX_OCTETS_OF_PACKET):
            return False
        return self._octets + count <= _MAX_OCTETS or not self._octets_of.is_heaviest(origin, count)

    def _make_room(self, count: int) -> None:
        """Evict the heaviest origin's oldest packets; `_has_room` made sure that it has more than `count` octets."""
        origin = self._octets_of.heaviest()
        while self._octets + count > _MAX_OCTETS:
            self._give_up(self._octets_of.oldest(origin))

    def _enter(self, key: FragmentKey, origin: Origin, now: int) -> _Entry[T]:
        """Enter a packet: evict the packet of the same name or, in a full map, the oldest of the heaviest origin."""
        if key in self._entries:
            self._give_up(key)
        elif len(self._entries) >= _MAX_PACKETS:
            self._give_up(self._packets_of.oldest(self._packets_of.heaviest()))
        entry = self._entries[key] = _Entry[T](now, origin)
        self._packets_of.add(origin, key, 1)
        return entry

    def _living(self, key: FragmentKey, now: int) -> _Entry[T] | None:
        entry = self._entries.get(key)
        # `expire` may run late, so the age is checked at each use.
        return None if entry is None or entry.born + _LIFE <= now else entry

    def expire(self, now: int) -> None:
        """Remove the packets whose time is over, and drop their held fragments."""
        while (key := next(iter(self._entries), None)) is not None and self._entries[key].born + _LIFE <= now:
            self._give_up(key)

    def next_timer(self) -> int | None:
        """The time (ns) at which `expire` is next due, or None."""
        oldest = next(iter(self._entries.values()), None)
        return None if oldest is None else oldest.born + _LIFE

    def _give_up(self, key: FragmentKey) -> None:
        entry = self._entries.pop(key)
        self._packets_of.remove(entry.origin, key)
        self._let_go(key, entry)
        for fragment in entry.held:
            self._drops.count(DropReason.FRAGMENT, octets=fragment.octets)

    def _let_go(self, key: FragmentKey, entry: _Entry[T]) -> None:
        """Stop counting the held octets of a packet."""
        self._octets -= entry.octets
        self._octets_of.remove(entry.origin, key)
        entry.octets = 0


def fragment_key(version: int, protocol: int, source: bytes, destination: bytes, identification: int) -> FragmentKey:
    """The name common to all fragments of a packet."""
    return source, destination, protocol if version == 4 else 0, identification


def _key_of(packet: Packet) -> FragmentKey:
    return fragment_key(packet.version, packet.protocol, packet.source, packet.destination, packet.identification)


def _origin_of(packet: Packet) -> Origin:
    # A host has all addresses of its /64, so they count as the same origin.
    return packet.source if packet.version == 4 else packet.source[:_ROUTING_PREFIX]
