"""Messages of the kernel's routing: any octets give events within bounds, and damage takes no others along."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from atmdepot.net.netlink import DEL_ROUTE, NEW_ADDRESS, NEW_LINK, NEW_NETCONF, NEW_ROUTE, NEW_RULE, Event, events_in
from tests.effort import examples
from tests.hostile_octets import damaged

HEADER = 16


def message(kind: int, body: bytes, length: int | None = None) -> bytes:
    whole = struct.pack("=IHHII", HEADER + len(body) if length is None else length, kind, 0, 1, 0) + body
    return whole + bytes(-len(whole) % 4)


def attribute(kind: int, body: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(body), kind) + body + bytes(-len(body) % 4)


def route(kind: int = NEW_ROUTE) -> bytes:
    head = struct.pack("=BBBBBBBBI", 2, 32, 0, 0, 254, 3, 0, 1, 0)
    return message(kind, head + attribute(1, b"\x0a\x50\0\x01") + attribute(4, struct.pack("=i", 7))
                   + attribute(15, struct.pack("=i", 1000)) + attribute(6, struct.pack("=i", 20)))


ROUTE = Event(NEW_ROUTE, 7, 1000, b"\x0a\x50\0\x01", 32, 20)
LINK = message(NEW_LINK, struct.pack("=BxHiII", 0, 1, 9, 0, 0))
WHOLE = [route(), route(DEL_ROUTE), LINK, message(NEW_ADDRESS, struct.pack("=BBBBI", 2, 24, 0, 0, 5)),
         message(NEW_RULE, bytes(12)),
         message(NEW_NETCONF, struct.pack("=B3x", 2) + attribute(1, struct.pack("=i", 3)))]


def test_each_kind_is_read() -> None:
    assert list(events_in(b"".join(WHOLE))) == [
        ROUTE, ROUTE._replace(kind=DEL_ROUTE), Event(NEW_LINK, 9), Event(NEW_ADDRESS, 5), Event(NEW_RULE),
        Event(NEW_NETCONF, 3)]


numbers = st.sampled_from([0, 1, 3, 4, 15, 16, 17, 0xFFFF, 2**31, 2**32 - 1])
bodies = st.binary(max_size=64) | damaged([whole[HEADER:] for whole in WHOLE])
any_message = st.builds(message, st.sampled_from([16, 17, 20, 21, 24, 25, 32, 33, 80, 0, 3, 0xFFFF]), bodies,
                        st.none() | numbers)


@given(st.lists(any_message | damaged(WHOLE) | st.binary(max_size=40), max_size=6).map(b"".join))
@examples(500)
def test_any_octets_give_no_more_events_than_there_is_room_for(octets: bytes) -> None:
    found = list(events_in(octets))
    assert len(found) <= len(octets) // HEADER
    for event in found:
        assert event.destination in octets
        assert -2**31 <= event.interface < 2**32
        assert 0 <= event.bits < 256


@given(st.lists(st.builds(message, st.integers(100, 0xFFFF), st.binary(max_size=30)), max_size=4), bodies)
@examples(200)
def test_messages_with_damaged_insides_hide_none_behind_them(strange: list[bytes], body: bytes) -> None:
    octets = b"".join([*strange, message(NEW_ROUTE, body), LINK])
    assert list(events_in(octets))[-1] == Event(NEW_LINK, 9)
