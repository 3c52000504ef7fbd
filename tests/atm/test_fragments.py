"""The map of fragments: against a plain model, and its bounds under a flood."""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import pack

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from atmdepot.atm import fragments
from atmdepot.atm.fragments import FragmentMap
from atmdepot.atm.shares import Shares
from atmdepot.drops import DropReason, Drops
from atmdepot.wire.packet import Packet, analyse
from tests.effort import examples
from tests.ip_packets import UDP, ip
from tests.network_in_memory import CLIENT4, CLIENT6, SECOND, VIP4, VIP6

LIFE = 5 * SECOND
Name = tuple[bytes, bytes, int, int]


def part(
    identification: int, *, later: bool = True, size: int = 28, source: str = CLIENT4, protocol: int = UDP,
) -> tuple[bytes, Packet]:
    """A fragment of `size` octets, IPv4 or IPv6 by its source."""
    if ":" in source:
        field_ = pack(">BBHI", protocol, 0, 80 | 1 if later else 1, identification)
        options = bytes((UDP, 0, 1, 4, 0, 0, 0, 0)) if protocol == 60 else bytes(8)
        octets = ip(source, VIP6, 44, field_ + options + bytes(size - 56))
    else:
        octets = ip(source, VIP4, protocol, bytes(size - 20), identification=identification,
                    fragment=0x2000 | 10 * later)
    packet = analyse(octets)
    assert (packet.identification, packet.later) == (identification, later)
    return octets, packet


# A model that looks at everything, each time.


@dataclass
class Waiting:
    name: Name
    origin: bytes
    born: int
    target: str | None = None
    held: list[bytes] = field(default_factory=list)

    @property
    def weight(self) -> int:
        return sum(max(len(octets), 256) for octets in self.held)


class PlainMap:
    """Packets in a list, the oldest first; shares are added up anew for each question."""

    def __init__(self) -> None:
        self.packets: list[Waiting] = []
        self.dropped = 0

    @staticmethod
    def name(packet: Packet) -> Name:
        return (packet.source, packet.destination, packet.protocol if packet.version == 4 else 0,
                packet.identification)

    def find(self, packet: Packet, now: int) -> Waiting | None:
        return next((one for one in self.packets if one.name == self.name(packet) and now < one.born + LIFE), None)

    def total(self) -> int:
        return sum(one.weight for one in self.packets)

    def give_up(self, one: Waiting) -> None:
        self.packets.remove(one)
        self.dropped += len(one.held)

    def share(self, origin: bytes, amount: str) -> int:
        return sum(getattr(one, amount) if amount == "weight" else 1 for one in self.packets if one.origin == origin)

    def rank(self, origin: bytes, amount: str) -> int:
        return self.share(origin, amount).bit_length()

    def among_heaviest(self, victim: bytes, amount: str) -> bool:
        """True when the source that lost a packet had one of the greatest shares, to a factor of two."""
        return all(self.rank(one.origin, amount) <= self.rank(victim, amount) for one in self.packets)


class Fragments(RuleBasedStateMachine):
    """The map and the model side by side; which of the heaviest sources loses, the map may choose."""

    sources = st.sampled_from([CLIENT4, "10.9.0.3", "10.9.0.4", CLIENT6, "2001:db8::7"])
    names = st.integers(1, 6)
    sizes = st.sampled_from([100, 300, 700, 1500])

    def __init__(self) -> None:
        super().__init__()
        self.bounds = {"_MAX_PACKETS": 6, "_MAX_OCTETS": 6000, "_MAX_OCTETS_OF_PACKET": 3000}
        self.kept = {name: getattr(fragments, name) for name in self.bounds}
        for name, value in self.bounds.items():
            setattr(fragments, name, value)
        self.drops = Drops()
        self.map: FragmentMap[str] = FragmentMap(self.drops)
        self.model = PlainMap()
        self.now = 0

    def teardown(self) -> None:
        for name, value in self.kept.items():
            setattr(fragments, name, value)

    def victims(self, mine: Name) -> list[Waiting]:
        """The packets that the map has given up in favour of another."""
        there = set(self.map._entries)
        return [one for one in self.model.packets if one.name not in there and one.name != mine]

    def enter(self, packet: Packet, origin: bytes) -> Waiting:
        model = self.model
        for old in [one for one in model.packets if one.name == model.name(packet)]:
            model.give_up(old)
        model.packets.append(Waiting(model.name(packet), origin, self.now))
        return model.packets[-1]

    @rule(source=sources, identification=names, size=sizes, protocol=st.sampled_from([UDP, 60]))
    def a_later_one(self, source: str, identification: int, size: int, protocol: int) -> None:
        octets, packet = part(identification, size=size, source=source, protocol=protocol)
        origin = packet.source if packet.version == 4 else packet.source[:8]
        would = self.map.would_hold(octets, packet, self.now)
        known = self.model.find(packet, self.now)
        full = self.model.total() + max(size, 256) > 6000
        heavier = any(self.model.rank(one.origin, "weight") > (
            self.model.share(origin, "weight") + max(size, 256)).bit_length() for one in self.model.packets)
        fits = (known is None or known.weight + max(size, 256) <= 3000) and (not full or heavier)
        target = self.map.later(octets, packet, self.now)
        if known is not None and known.target is not None:
            assert target == known.target
            return
        assert target is None
        assert would == fits
        if not fits:
            self.model.dropped += 1
            return
        crowded = len(self.model.packets) >= 6  # then a packet goes for its number, and more may go for their octets
        for victim in self.victims(self.model.name(packet)):
            assert victim.origin != origin or crowded
            self.model.give_up(victim)
        one = known or self.enter(packet, origin)
        one.held.append(octets)

    @rule(source=sources, identification=names, protocol=st.sampled_from([UDP, 60]), where=st.sampled_from("abc"))
    def the_first(self, source: str, identification: int, protocol: int, where: str) -> None:
        _, packet = part(identification, later=False, size=100, source=source, protocol=protocol)
        origin = packet.source if packet.version == 4 else packet.source[:8]
        known = self.model.find(packet, self.now)
        expected = [] if known is None else known.held
        assert [held.octets for held in self.map.waiting_for(packet, self.now)] == expected
        assert [held.octets for held in self.map.first(packet, where, self.now)] == expected
        assert self.map.target_of(packet, self.now) == where
        for victim in self.victims(self.model.name(packet)):
            assert self.model.among_heaviest(victim.origin, "packets")
            self.model.give_up(victim)
        one = known or self.enter(packet, origin)
        one.target, one.held = where, []

    @rule(seconds=st.sampled_from([0, 1, 3, 7]), noticed=st.booleans())
    def time_passes(self, seconds: int, noticed: bool) -> None:
        self.now += seconds * SECOND
        if noticed:
            self.map.expire(self.now)
            for old in [one for one in self.model.packets if one.born + LIFE <= self.now]:
                self.model.give_up(old)

    @invariant()
    def both_hold_the_same(self) -> None:
        model = self.model
        assert list(self.map._entries) == [one.name for one in model.packets]
        assert self.map._octets == model.total() <= 6000
        assert len(self.map) == len(model.packets) <= 6
        assert self.drops[DropReason.FRAGMENT] == model.dropped
        assert self.map.next_timer() == (model.packets[0].born + LIFE if model.packets else None)


TestFragments = Fragments.TestCase
TestFragments.settings = examples(150, stateful_step_count=40, deadline=None)


# Bounds.


def test_number_of_packets_in_the_map_is_bounded_and_the_oldest_goes() -> None:
    drops = Drops()
    fragments_of: FragmentMap[str] = FragmentMap(drops)
    for n in range(1030):
        assert fragments_of.later(*part(n), now=n) is None
    assert len(fragments_of) == 1024
    assert drops == {DropReason.FRAGMENT: 6}
    assert fragments_of.first(part(3, later=False)[1], "x", 2000) == []
    assert [held.octets for held in fragments_of.first(part(900, later=False)[1], "x", 2000)] == [part(900)[0]]


@pytest.mark.parametrize(("source", "mtu", "count"), [(CLIENT4, 576, 119), (CLIENT4, 1280, 53), (CLIENT6, 1280, 54)])
def test_greatest_packet_waits_whole_for_its_first(source: str, mtu: int, count: int) -> None:
    """64 KB in fragments of the least MTUs, the first one last."""
    drops = Drops()
    fragments_of: FragmentMap[str] = FragmentMap(drops)
    for _ in range(count):
        assert fragments_of.later(*part(1, size=mtu, source=source), now=0) is None
    assert drops == {}
    assert len(fragments_of.first(part(1, later=False, size=mtu, source=source)[1], "x", 1)) == count
    assert fragments_of.later(*part(1, source=source, size=mtu), now=2) == "x"


def test_the_fragments_held_of_one_packet_are_bounded() -> None:
    drops = Drops()
    fragments_of: FragmentMap[str] = FragmentMap(drops)
    for _ in range(600):
        fragments_of.later(*part(1), now=0)
    assert drops == {DropReason.FRAGMENT: 600 - (1 << 17) // 256}, "a tiny one counts for 256 octets"


def test_octets_that_are_held_are_bounded_and_come_free_again() -> None:
    drops = Drops()
    fragments_of: FragmentMap[str] = FragmentMap(drops)
    fitting = (1 << 20) // 8000
    for n in range(fitting + 10):
        fragments_of.later(*part(n, size=8000), now=0)
    assert drops == {DropReason.FRAGMENT: 10}
    fragments_of.first(part(0, later=False)[1], "x", 0)
    fragments_of.later(*part(500, size=8000), now=0)
    assert drops == {DropReason.FRAGMENT: 10}, "one has gone, so there is room for one"
    fragments_of.expire(5 * SECOND)
    assert drops == {DropReason.FRAGMENT: 10 + fitting}
    assert (len(fragments_of), fragments_of.next_timer(), fragments_of._octets) == (0, None, 0)


@pytest.mark.parametrize("size", [28, 300, 1500, 9000])
@pytest.mark.parametrize("flooders", [["10.9.7.1"], ["10.9.7.1", "10.9.7.2"]])
@pytest.mark.parametrize("one_packet", [True, False])
def test_flood_of_one_source_pushes_out_only_its_own(size: int, flooders: list[str], one_packet: bool) -> None:
    drops = Drops()
    fragments_of: FragmentMap[str] = FragmentMap(drops)
    for n in range(3):
        fragments_of.later(*part(n, size=1480), now=0)
    fragments_of.first(part(7, later=False)[1], "mine", 0)
    for n in range(3000):
        for flooder in flooders:
            fragments_of.later(*part(n // 50 if one_packet else n, size=size, source=flooder), now=1)
    for n in range(10, 20):
        fragments_of.later(*part(n, size=1480), now=2)
    assert fragments_of.later(*part(7), now=2) == "mine"
    for n in [*range(3), *range(10, 20)]:
        assert len(fragments_of.first(part(n, later=False)[1], "x", 3)) == 1, "another's packet was pushed out"


def test_addresses_of_one_ipv6_site_are_one_source() -> None:
    drops = Drops()
    fragments_of: FragmentMap[str] = FragmentMap(drops)
    for n in range(20):
        fragments_of.later(*part(n, size=1200, source="2001:db8:1::1"), now=0)
    for n in range(2000):
        fragments_of.later(*part(1, size=60, source=f"2001:db8:2::{n:x}"), now=0)
    assert drops[DropReason.FRAGMENT] == 2000 - 1004
    assert all(fragments_of.waiting_for(part(n, later=False, size=60, source="2001:db8:1::1")[1], 0)
               for n in range(20))


def test_next_header_of_a_later_ipv6_fragment_means_nothing_and_in_ipv4_the_protocol_tells_packets_apart() -> None:
    fragments_of: FragmentMap[str] = FragmentMap(Drops())
    fragments_of.first(part(1, later=False, source=CLIENT6, size=60)[1], "six", 0)
    assert fragments_of.later(*part(1, source=CLIENT6, size=60, protocol=60), now=0) == "six"
    fragments_of.first(part(1, later=False)[1], "four", 0)
    assert fragments_of.later(*part(1, protocol=60), now=0) is None


def test_fragment_of_another_origin_is_dropped_and_a_first_one_begins_anew() -> None:
    drops = Drops()
    fragments_of: FragmentMap[str] = FragmentMap(drops)
    fragments_of.later(*part(1), 0, "to-web1")
    assert fragments_of.later(*part(1), 0, "to-web2") is None
    assert drops == {DropReason.FRAGMENT: 1}
    assert fragments_of.first(part(1, later=False)[1], "b", 0, "to-web2") == []
    assert drops == {DropReason.FRAGMENT: 2}
    assert fragments_of.later(*part(1), 0, "to-web1") is None
    assert fragments_of.later(*part(1), 0, "to-web2") == "b"


def test_old_packet_of_the_same_identification_is_forgotten_after_its_life() -> None:
    drops = Drops()
    fragments_of: FragmentMap[str] = FragmentMap(drops)
    fragments_of.first(part(1, later=False)[1], "old", 0)
    assert fragments_of.later(*part(1), now=5 * SECOND - 1) == "old"
    assert fragments_of.later(*part(1), now=5 * SECOND) is None
    assert fragments_of.next_timer() == 10 * SECOND


# Shares.


def test_shares_tell_the_heaviest_and_its_oldest_part() -> None:
    shares: Shares[str, int] = Shares()
    for number in range(5):
        shares.add("a", number, 10)
    shares.add("b", 9, 30)
    assert (shares.heaviest(), shares.oldest("a")) == ("a", 0)
    assert not shares.is_heaviest("b", 1)
    assert shares.is_heaviest("b", 2), "32 has as many binary digits as 50"
    assert [shares.remove("a", number) for number in (0, 1, 2, 7)] == [10, 10, 10, 0]
    assert (shares.heaviest(), shares.oldest("a")) == ("b", 3)
    shares.remove("b", 9)
    assert [shares.remove("a", number) for number in (3, 4)] == [10, 10]
    with pytest.raises(ValueError, match="no source"):
        shares.heaviest()
    with pytest.raises(KeyError):
        shares.oldest("a")
