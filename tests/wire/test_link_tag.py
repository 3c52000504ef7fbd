"""The tag of a link's datagrams: what was not made with the key, or came before, gives no cells."""

from __future__ import annotations

import random
from hashlib import blake2s

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.wire.cell import CELL_SIZE
from atmdepot.wire.link_tag import (
    TAG_SIZE,
    WINDOW,
    BadTag,
    LinkTag,
    Replayed,
    ReplayWindow,
    direction_of,
    is_tagged_with,
    tag_of,
)

KEY, OTHER = bytes(range(32)), bytes(16)
START = 1_795_416_121_887_399_000
cells = st.binary(min_size=CELL_SIZE, max_size=3 * CELL_SIZE)


def ends(key: bytes = KEY, start: int = START) -> tuple[LinkTag, LinkTag]:
    return LinkTag(key, 0, start), LinkTag(key, 1, start)


def test_the_tag_is_keyed_blake2s_over_direction_counter_and_cells() -> None:
    octets = (7).to_bytes(8, "big")
    expected = blake2s(b"\1" + octets + b"cells", key=KEY, digest_size=16).digest()
    assert tag_of(KEY, 1, 7, b"cells") == octets + expected
    assert LinkTag.size(27) == 27 * 53 + TAG_SIZE == 1455


@given(st.lists(cells, min_size=1, max_size=20))
def test_a_sealed_datagram_opens_once(trains: list[bytes]) -> None:
    one, other = ends()
    sealed = [one.seal(train) for train in trains]
    assert {len(datagram) - len(train) for datagram, train in zip(sealed, trains, strict=True)} == {TAG_SIZE}
    assert [other.open(datagram) for datagram in sealed] == trains
    for datagram in sealed:
        with pytest.raises(Replayed):
            other.open(datagram)


@given(cells, st.data())
def test_damaged_cut_or_lengthened_datagrams_are_refused(train: bytes, data: st.DataObject) -> None:
    one, other = ends()
    good = one.seal(train)
    bit = data.draw(st.integers(0, 8 * len(good) - 1), "bit")
    flipped = bytearray(good)
    flipped[bit // 8] ^= 1 << bit % 8
    cut = good[:data.draw(st.integers(0, len(good) - 1), "length")]
    for bad in (bytes(flipped), cut, good + b"\0", train, b"", good[1:]):
        with pytest.raises(BadTag):
            other.open(bad)
    assert other.open(good) == train, "what was forged moved nothing"


def test_another_key_or_direction_is_not_taken() -> None:
    one, other = ends()
    with pytest.raises(BadTag):
        other.open(LinkTag(OTHER, 0, START).seal(bytes(53)))
    with pytest.raises(BadTag):
        one.open(one.seal(bytes(53)))  # sent back to its sender
    assert is_tagged_with(KEY, 0, one.seal(bytes(53)))
    assert not is_tagged_with(KEY, 1, one.seal(bytes(53)))
    assert direction_of("depot", "web1") == 1 - direction_of("web1", "depot")


def test_a_restarted_sender_is_taken_and_its_past_is_not() -> None:
    one, other = ends()
    before = [one.seal(bytes([number]) * 53) for number in range(100)]
    for datagram in before:
        other.open(datagram)
    again = LinkTag(KEY, 0, START + 1_000_000_000)
    assert other.open(again.seal(bytes(53))) == bytes(53)
    for datagram in before:
        with pytest.raises(Replayed):
            other.open(datagram)


@pytest.mark.parametrize(("counter", "taken"), [
    (WINDOW, False), (WINDOW + 1, True), (1, False), (0, False), (5000, True), (2 * WINDOW - 1, True)])
def test_the_edges_of_the_window(counter: int, taken: bool) -> None:
    window = ReplayWindow()
    assert window.take(1)
    assert window.take(2 * WINDOW)
    assert window.take(counter) is taken
    assert not window.take(counter)


@given(st.lists(st.integers(0, 4 * WINDOW) | st.integers(0, 2**64 - 1), max_size=200))
def test_the_window_agrees_with_a_set(counters: list[int]) -> None:
    window, taken, greatest = ReplayWindow(), set[int](), -1
    for counter in counters:
        good = counter not in taken and counter > greatest - WINDOW
        assert window.take(counter) is good
        taken.add(counter)
        greatest = max(greatest, counter)


def test_datagrams_out_of_order_are_taken() -> None:
    draw = random.Random(1)
    one, other = ends()
    sealed = [one.seal(number.to_bytes(4, "big") * 14) for number in range(WINDOW)]
    draw.shuffle(sealed)
    assert sum(len(other.open(datagram)) for datagram in sealed) == WINDOW * 56
