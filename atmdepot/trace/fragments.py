"""IP fragments of UDP datagrams, reassembled for a trace.

A node never does this: it cuts its links' datagrams to fit a path. Captures of other systems' links still have
fragments, in any order. A datagram with overlapping fragments is dropped (RFC 5722), unless the fragments are equal; so
is the oldest when too many octets wait, and each after a minute of the capture's own time (RFC 8200 section 4.5).
"""

from __future__ import annotations

from bisect import bisect
from collections import OrderedDict
from typing import NamedTuple

MAX_AGE = 60_000_000_000
"""Time that a datagram waits for its last fragment, in ns from the first that came."""
MAX_OCTETS = 4 * 2**20
"""Most octets of waiting fragments, with the overhead of each."""
_OVERHEAD = 128  # octets of the objects around a fragment, roughly
_MAX_DATAGRAM = 0xFFFF


class Fragment(NamedTuple):
    """A part of a datagram: `octets` are the captured octets of its `length`, at `offset` in the datagram.

    `packet` is common to the fragments of a packet: addresses and identification. `protocol` is the protocol of the
    first octets behind the IP header.
    """

    packet: bytes
    addresses: bytes
    protocol: int
    offset: int
    more: bool
    octets: bytes
    length: int


class Joined(NamedTuple):
    """A packet's octets behind its IP header, as captured up to the first gap; `length` counts all octets."""

    addresses: bytes
    protocol: int
    octets: bytes
    length: int


class _Packet:
    """The fragments of a packet that came until now, in order."""

    __slots__ = ("begun", "fragments", "held", "length", "offsets", "there")

    def __init__(self, begun: int) -> None:
        self.begun = begun
        self.offsets: list[int] = []
        self.fragments: list[Fragment] = []
        self.there = self.held = 0
        self.length = -1

    def fits(self, fragment: Fragment, at: int) -> bool:
        """True when a fragment fits at index `at`: between its neighbours, and within the packet."""
        end = fragment.offset + fragment.length
        before = self.fragments[at - 1] if at else None
        if before is not None and before.offset + before.length > fragment.offset:
            return False
        if at < len(self.offsets) and end > self.offsets[at]:
            return False
        if not fragment.more and at < len(self.offsets):
            return False
        return end <= _MAX_DATAGRAM and (self.length < 0 or end <= self.length)

    def joined(self) -> Joined:
        """Return the whole packet; octets after the first gap in the capture are left out."""
        first = self.fragments[0]
        parts = []
        for fragment in self.fragments:
            parts.append(fragment.octets)
            if len(fragment.octets) < fragment.length:
                break
        return Joined(first.addresses, first.protocol, b"".join(parts), self.length)


class FragmentJoiner:
    """Holds fragments until their packets are complete; `lost` counts the fragments whose packets never were."""

    def __init__(self, max_octets: int = MAX_OCTETS, max_age: int = MAX_AGE) -> None:
        self._max_octets = max_octets
        self._max_age = max_age
        self._packets: OrderedDict[tuple[int, str, bytes], _Packet] = OrderedDict()
        self._held = 0
        self.lost = 0

    def add(self, time: int, fragment: Fragment, interface: int = 0, hint: str = "") -> Joined | None:
        """Take a fragment; return the packet that it completes. Views of two interfaces are kept apart."""
        self._expire(time)
        key = interface, hint, fragment.packet
        packet = self._packets.get(key)
        if packet is None:
            packet = self._packets[key] = _Packet(time)
        at = bisect(packet.offsets, fragment.offset)
        if at and packet.fragments[at - 1] == fragment:
            self.lost += 1  # a copy of the same fragment
            return None
        # All fragments but the last are multiples of 8 octets (RFC 791).
        if not packet.fits(fragment, at) or (fragment.more and fragment.length % 8):
            self._give_up(key, 1)
            return None
        packet.offsets.insert(at, fragment.offset)
        packet.fragments.insert(at, fragment)
        packet.there += fragment.length
        held = len(fragment.octets) + _OVERHEAD
        packet.held += held
        self._held += held
        if not fragment.more:
            packet.length = fragment.offset + fragment.length
        if packet.there == packet.length:
            del self._packets[key]
            self._held -= packet.held
            return packet.joined()
        while self._held > self._max_octets:
            self._give_up(next(iter(self._packets)))
        return None

    def finish(self) -> None:
        """Drop all fragments that wait."""
        for key in list(self._packets):
            self._give_up(key)

    def _expire(self, now: int) -> None:
        while self._packets:
            key, oldest = next(iter(self._packets.items()))
            oldest.begun = min(oldest.begun, now)  # the clock may have been set back
            if now - oldest.begun < self._max_age:
                return
            self._give_up(key)

    def _give_up(self, key: tuple[int, str, bytes], more: int = 0) -> None:
        packet = self._packets.pop(key)
        self._held -= packet.held
        self.lost += len(packet.fragments) + more
