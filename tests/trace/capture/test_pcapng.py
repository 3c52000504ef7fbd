"""pcapng: sections, interfaces and packets of every kind; damaged, cut and hostile files."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.trace.capture.octets import OctetReader
from atmdepot.trace.capture.pcapng import MAX_BLOCK, MAX_INTERFACES, PcapngReader
from atmdepot.trace.notes import Notes
from atmdepot.trace.sources import Remark
from tests.trace.capture.test_octets import Trickle
from tests.trace.captures import block, interface, option, packet, section

if TYPE_CHECKING:
    from collections.abc import Callable

US = 1_700_000_000_000_001
"""A time in microseconds."""


class Seen:
    """A file as the reader gives it."""

    def __init__(self, octets: bytes, pieces: list[int] | None = None) -> None:
        self.interfaces: list[tuple[int, str, int]] = []
        self.notes = Notes(lambda: f"octet {self.reader.record_offset}")
        file = Trickle(octets, pieces) if pieces else io.BytesIO(octets)
        self.reader = PcapngReader(OctetReader(file), self.notes, self._decoder)  # type: ignore[arg-type]
        self.frames = [(decode(0, b"", 0, ""), *rest) for decode, *rest in self.reader.frames()]

    def _decoder(self, link_type: int, name: str, number: int) -> Callable[..., tuple[int, str, int]]:
        self.interfaces.append((link_type, name, number))
        return lambda *_: (link_type, name, number)

    @property
    def remarks(self) -> list[str]:
        return [remark.text for remark in self.notes.pending if isinstance(remark, Remark)]


A = 197, "", 0

# ── what there is ──

@pytest.mark.parametrize("order", ["<", ">"])
def test_packets_of_a_section_in_either_byte_order(order: str) -> None:
    seen = Seen(section(order) + interface(197, order) + packet(b"abcde", order, ticks=US)
                + packet(b"", order, ticks=US + 1, original=9))
    assert seen.frames == [(A, US * 1000, b"abcde", 0, ""), (A, (US + 1) * 1000, b"", 9, "")]
    assert seen.remarks == []


def test_several_sections_with_interfaces_and_byte_orders_of_their_own() -> None:
    two = (section(">") + interface(197, ">", name="depot:to-web1") + interface(123, ">")
           + packet(b"one", ">", number=1)
           + section("<") + interface(1, name="eth0", resolution=9) + packet(b"two", ticks=7))
    seen = Seen(two + packet(b"three", number=1))
    assert seen.interfaces == [(197, "depot:to-web1", 0), (123, "", 1), (1, "eth0", 0)]
    assert seen.frames == [((123, "", 1), 0, b"one", 0, ""), ((1, "eth0", 0), 7, b"two", 0, "")]
    assert seen.remarks == [f"octet {len(two)}: a packet of interface 1, which no block before describes"]


@pytest.mark.parametrize(("resolution", "ticks", "ns"), [
    (None, 1_500_000, 1_500_000_000), (6, 7, 7_000), (9, 123_456_789_012, 123_456_789_012), (0, 5, 5_000_000_000),
    (3, 5, 5_000_000), (12, 1_234_567, 1_234), (127, 5, 0), (0x80, 3, 3_000_000_000), (0x80 | 32, 1 << 31, 500_000_000),
    (0x80 | 10, 1025, 1_000_976_562), (0xFF, 1 << 63, 0)])
def test_resolutions(resolution: int | None, ticks: int, ns: int) -> None:
    [(_, time, *_)] = Seen(section() + interface(197, resolution=resolution) + packet(b"", ticks=ticks)).frames
    assert time == ns


@pytest.mark.parametrize("offset", [0, 1, 1_700_000_000, -1])
def test_an_offset_in_seconds_is_added(offset: int) -> None:
    [(_, time, *_)] = Seen(section() + interface(197, offset=offset) + packet(b"", ticks=2_000_000)).frames
    assert time == (2 + offset) * 10**9


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("flags", "direction"), [(1, "in"), (2, "out"), (0, ""), (3, ""), (0x0102, "out")])
@pytest.mark.parametrize("before", [False, True])
def test_the_direction_of_a_packet(order: str, flags: int, direction: str, before: bool) -> None:
    options = option(2, struct.pack(order + "I", flags), order) + option(0, b"", order)
    if before:
        options = option(1, b"a comment", order) + options
    [frame] = Seen(section(order) + interface(197, order) + packet(b"abc", order, options=options)).frames
    assert frame[-1] == direction


@pytest.mark.parametrize("options", [
    struct.pack("<HH", 2, 400) + bytes(8), struct.pack("<HHH", 2, 2, 1), option(1, b"") * 20, b"\xff" * 12,
    option(0, b"") + option(2, struct.pack("<I", 1))])
def test_misfit_options_are_ignored(options: bytes) -> None:
    seen = Seen(section() + interface(197) + packet(b"abc", options=options) + packet(b"next"))
    assert [(octets, direction) for _, _, octets, _, direction in seen.frames] == [(b"abc", ""), (b"next", "")]


def test_simple_packets_are_of_the_first_interface_and_have_the_time_of_the_one_before() -> None:
    simple = block(3, struct.pack("<I", 5) + b"abcde")
    seen = Seen(section() + interface(1, name="eth0") + simple + packet(b"x", ticks=9) + simple)
    assert seen.frames == [((1, "eth0", 0), 0, b"abcde", 0, ""), ((1, "eth0", 0), 9000, b"x", 0, ""),
                           ((1, "eth0", 0), 9000, b"abcde", 0, "")]
    cut = block(3, struct.pack("<I", 500) + b"abc")
    [frame] = Seen(section() + interface(1, snap=3) + cut).frames
    assert frame == ((1, "", 0), 0, b"abc", 497, "")
    assert Seen(section() + simple).frames == []


@pytest.mark.parametrize("order", ["<", ">"])
def test_old_packet_blocks(order: str) -> None:
    def old(number: int, lost: int) -> bytes:
        return block(2, struct.pack(order + "HHIIII", number, lost, 0, 5, 3, 4) + b"abc\0"
                     + option(2, struct.pack(order + "I", 2), order), order)

    seen = Seen(section(order) + interface(197, order) + old(0, 0xFFFF) + old(0, 3) + old(1, 0))
    assert seen.frames == [(A, 5000, b"abc", 1, "out")] * 2
    assert seen.notes.passed_over == {"packets lost when they were captured": 3, "packets of unknown interfaces": 1}


def test_other_blocks_are_passed_over_and_great_ones_never_held() -> None:
    others = b"".join(block(kind, bytes(40)) for kind in (4, 5, 0x0A, 0xBAD, 0x40000BAD, 0x80000001))
    great = block(0x0A, bytes(MAX_BLOCK))
    seen = Seen(section() + others + interface(197) + others + packet(b"abc") + great + packet(b"def"), [1000])
    assert [frame[2] for frame in seen.frames] == [b"abc", b"def"]
    [remark] = seen.remarks
    assert f"a block of {MAX_BLOCK + 12} octets, more than {MAX_BLOCK}, is passed over" in remark


@pytest.mark.parametrize(("name", "shown"), [
    ("to-web1", "to-web1"), ("a b\tc", "a_b_c"), ("\x1b[31mred\n", "_[31mred_"), ("x" * 100, "x" * 64),
    ("eth0\0", "eth0")])
def test_names_are_fit_for_a_terminal(name: str, shown: str) -> None:
    assert Seen(section() + interface(1, name=name)).interfaces == [(1, shown, 0)]


def test_no_more_interfaces_than_are_believed() -> None:
    seen = Seen(section() + interface(1) * (MAX_INTERFACES + 3) + packet(b"x", number=MAX_INTERFACES)
                + packet(b"y", number=MAX_INTERFACES - 1))
    assert len(seen.interfaces) == MAX_INTERFACES
    assert [frame[2] for frame in seen.frames] == [b"y"]
    assert seen.notes.passed_over == {"interfaces beyond the bound": 3, "packets of unknown interfaces": 1}


# ── what is damaged ──

GOOD = section() + interface(197) + packet(b"first")
LATER = packet(b"later")


@pytest.mark.parametrize(("damage", "why"), [
    (packet(b"abc", captured=5), "it claims 5 octets"), (packet(b"abc", captured=0xFFFFFFFF), "it claims 4294967295"),
    (block(6, bytes(16)), "too short"), (block(2, bytes(8)), "too short"), (block(3, struct.pack("<I", 9)), "claims 9"),
    (block(3, b""), "claims"), (packet(b"abc", number=77), "interface 77"), (block(1, b"abcd"), "damaged interface")])
def test_damage_within_a_block_is_told_with_its_place_and_the_next_read(damage: bytes, why: str) -> None:
    seen = Seen(GOOD + damage + LATER)
    assert [frame[2] for frame in seen.frames] == [b"first", b"later"]
    [remark] = seen.remarks
    assert remark.startswith(f"octet {len(GOOD)}: ")
    assert why in remark


@pytest.mark.parametrize(("damage", "why"), [
    (block(6, b"", total=8), "a length of 8 octets"), (block(6, bytes(40), total=41), "a length of 41 octets"),
    (block(6, bytes(20), trailing=0), "two lengths differ: 32 and 0"), (block(99, b"", trailing=99), "lengths differ"),
    (section(version=2), "version 2.0"), (block(0x0A0D0D0A, bytes(16)), "no byte-order magic"),
    (block(0x0A0D0D0A, struct.pack("<I", 0x1A2B3C4D)), "a length of 16 octets"),
    (section()[:-4] + b"\1\0\0\0", "two lengths differ")])
def test_where_no_place_is_known_the_reading_ends(damage: bytes, why: str) -> None:
    seen = Seen(GOOD + damage + LATER)
    assert [frame[2] for frame in seen.frames] == [b"first"]
    [remark] = seen.remarks
    assert remark.startswith(f"octet {len(GOOD)}: ")
    assert why in remark
    assert remark.endswith("what follows cannot be read")


def test_every_cut_gives_the_whole_packets_and_is_told() -> None:
    blocks = [section(), interface(197), packet(b"one"), packet(b"two", options=option(1, b"x")), block(5, bytes(12)),
              packet(b"three")]
    whole = b"".join(blocks)
    ends = [len(b"".join(blocks[:n])) for n in range(len(blocks) + 1)]
    for cut in range(len(whole) + 1):
        seen = Seen(whole[:cut])
        assert [frame[2] for frame in seen.frames] == [b"one", b"two", b"three"][
            :sum(cut >= ends[number] for number in (3, 4, 6))]
        if cut in ends:
            assert seen.remarks == []
        else:
            [remark] = seen.remarks
            assert remark.startswith(f"octet {max(end for end in ends if end < cut)}: the file ends in the middle")
    great = Seen(section() + block(99, bytes(MAX_BLOCK))[:-5])
    assert great.notes.passed_over == {"blocks that are too great": 1, "cuts": 1}


# ── anything ──

frames_written = st.lists(st.tuples(st.sampled_from("<>"), st.binary(max_size=60), st.integers(0, 2**63),
                                    st.integers(0, 100), st.sampled_from(["", "in", "out"]), st.integers(0, 3)))


@given(frames_written, st.lists(st.integers(1, 60), min_size=1, max_size=4))
def test_there_and_back_in_pieces_of_any_size(
        frames: list[tuple[str, bytes, int, int, str, int]], pieces: list[int]) -> None:
    parts, expected = [], []
    for order, octets, ticks, missing, direction, number in frames:
        flags = option(2, struct.pack(order + "I", ["", "in", "out"].index(direction)), order)
        parts.append(section(order)
                     + b"".join(interface(197, order, name=f"i{n}", resolution=9) for n in range(number + 1))
                     + packet(octets, order, number=number, ticks=ticks, original=len(octets) + missing,
                              options=flags if direction else b""))
        expected.append(((197, f"i{number}", number), ticks, octets, missing, direction))
    seen = Seen(b"".join(parts), pieces)
    assert seen.frames == expected
    assert seen.remarks == []


@given(st.binary(max_size=200), st.sampled_from([b"", section(), GOOD, section(">") + interface(1, ">")]))
def test_noise_raises_no_error(noise: bytes, before: bytes) -> None:
    seen = Seen(before + noise)
    assert sum(len(frame[2]) for frame in seen.frames) <= len(before + noise)


@given(st.data())
def test_wrong_bits_raise_no_error(data: st.DataObject) -> None:
    whole = bytearray(GOOD + packet(b"second", options=option(2, bytes(4))) + section(">") + interface(1, ">", name="x")
                      + packet(b"third", ">"))
    for at in data.draw(st.lists(st.integers(0, len(whole) * 8 - 1), min_size=1, max_size=4)):
        whole[at // 8] ^= 1 << at % 8
    assert len(Seen(bytes(whole)).frames) <= 3
