"""IP fragments put together again: in any order, against the whole; and in bounded memory and time."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.net.events import Cells
from atmdepot.trace.capture.datagrams import IsFragment, NoCells, datagram_of, datagram_of_fragments
from atmdepot.trace.capture.files import open_capture
from atmdepot.trace.fragments import MAX_AGE, Fragment, FragmentJoiner
from atmdepot.trace.sources import Remark
from tests.trace.capture.test_files import Capture
from tests.trace.captures import ethernet, pcap_file, train_of, udp_packet

TRAIN = train_of(bytes(1400))
V4, V6 = udp_packet(TRAIN), udp_packet(TRAIN, ("2001:db8::1", 5501), ("2001:db8::2", 5502))
SECOND = 10**9


def cut(packet: bytes, size: int, identification: int = 7, before: bytes = b"") -> list[bytes]:
    """The fragments of a packet, of `size` octets each; `before` are extension headers in the fragmentable part."""
    head = 20 if packet[0] >> 4 == 4 else 40
    rest, found = before + packet[head:], []
    protocol = 60 if before else 17
    for at in range(0, len(rest), size):
        part, more = rest[at:at + size], at + size < len(rest)
        if head == 20:
            word = at // 8 | 0x2000 * more
            found.append(packet[:2] + struct.pack(">HHH", 20 + len(part), identification, word) + packet[8:20] + part)
        else:
            extension = struct.pack(">BBHI", protocol, 0, at | more, identification)
            found.append(packet[:4] + struct.pack(">HB", 8 + len(part), 44) + packet[7:40] + extension + part)
    return found


def fragment_of(packet: bytes) -> Fragment:
    with pytest.raises(IsFragment) as found:
        datagram_of(packet, 0)
    return found.value.fragment


@pytest.mark.parametrize("packet", [V4, V6], ids=["IPv4", "IPv6"])
@given(st.integers(1, 200).map(lambda eighths: 8 * eighths), st.randoms(use_true_random=False), st.booleans())
def test_in_any_order_they_make_the_datagram(packet: bytes, size: int, random: object, twice: bool) -> None:
    parts = cut(packet, size) * (1 + twice)
    if len(parts) <= 1 + twice:
        return
    random.shuffle(parts)  # type: ignore[attr-defined]
    joiner = FragmentJoiner()
    whole = [joined for time, part in enumerate(parts) if (joined := joiner.add(time, fragment_of(part)))]
    assert whole
    assert {datagram_of_fragments(joined) for joined in whole} == {datagram_of(packet, 0)}


def test_extension_headers_in_the_fragmentable_part() -> None:
    joiner = FragmentJoiner()
    parts = cut(V6, 400, before=bytes((17, 0)) + bytes(6))
    *_, joined = (joiner.add(0, fragment_of(part)) for part in parts)
    assert joined is not None
    assert datagram_of_fragments(joined) == datagram_of(V6, 0)


def test_fragments_of_other_protocols_give_no_datagram() -> None:
    joiner = FragmentJoiner()
    *_, joined = (joiner.add(0, fragment_of(part)) for part in cut(V6, 400, before=bytes((6, 0)) + bytes(6)))
    assert joined is not None
    with pytest.raises(NoCells):
        datagram_of_fragments(joined)


@pytest.mark.parametrize("change", [
    lambda part: part._replace(offset=part.offset - 8), lambda part: part._replace(octets=part.octets[::-1]),
    lambda part: part._replace(offset=0x1FFF * 8), lambda part: part._replace(length=part.length + 8)])
def test_overlapping_or_misfit_fragments_give_no_datagram(change: object) -> None:
    joiner = FragmentJoiner()
    first, second, *rest = map(fragment_of, cut(V4, 400))
    last = rest[-1]
    assert not list(filter(None, (joiner.add(0, one) for one in (first, last, second))))
    assert joiner.add(0, change(second)) is None  # type: ignore[operator]
    assert not list(filter(None, (joiner.add(0, one) for one in rest[:-1])))
    joiner.finish()
    assert joiner.lost == 4 + len(rest) - 1


def test_incomplete_datagrams_expire() -> None:
    joiner = FragmentJoiner()
    first, *rest = map(fragment_of, cut(V4, 400))
    joiner.add(0, first)
    assert joiner.add(MAX_AGE - 1, rest[0]) is None
    assert joiner.lost == 0
    assert not list(filter(None, (joiner.add(MAX_AGE, one) for one in rest[1:])))
    assert joiner.lost == 2


def test_a_clock_set_back_keeps_them_one_age_more() -> None:
    joiner = FragmentJoiner()
    first, *rest = map(fragment_of, cut(V4, 800))
    joiner.add(10**15, first)
    assert joiner.add(5, rest[-1]) is not None or len(rest) > 1
    assert joiner.lost == 0


def test_a_flood_of_first_fragments_is_bounded_and_the_oldest_go() -> None:
    joiner = FragmentJoiner(max_octets=100_000)
    for number in range(2000):
        joiner.add(0, fragment_of(cut(V4, 400, number)[0]))
    parts = cut(V4, 400, 1999)
    assert joiner.lost >= 2000 - 100_000 // 400
    assert joiner.lost < 2000
    assert [bool(joiner.add(0, fragment_of(part))) for part in parts[1:]][-1]


def test_interfaces_are_kept_apart() -> None:
    joiner = FragmentJoiner()
    parts = list(map(fragment_of, cut(V4, 800)))
    joiner.add(0, parts[0], 1)
    assert not list(filter(None, (joiner.add(0, part, 2) for part in parts[1:])))


@given(st.lists(st.builds(
    Fragment, st.sampled_from([b"a", b"b"]), st.just(bytes(8)), st.sampled_from([17, 60]),
    st.integers(0, 0x1FFF).map(lambda eighths: 8 * eighths) | st.sampled_from([0, 8, 16]), st.booleans(),
    st.binary(min_size=1, max_size=24), st.integers(1, 24)).map(
        lambda one: one._replace(length=max(one.length, len(one.octets)))), max_size=30))
def test_any_fragments_do_no_harm(fragments: list[Fragment]) -> None:
    joiner = FragmentJoiner()
    given_back = 0
    for time, fragment in enumerate(fragments):
        joined = joiner.add(time, fragment)
        if joined is not None:
            given_back += 1
            assert len(joined.octets) <= joined.length <= 0xFFFF
            with contextlib.suppress(NoCells):
                datagram_of_fragments(joined)
    joiner.finish()
    assert joiner.lost <= len(fragments) - given_back


# ── in a capture ──

def read(packets: list[bytes]) -> tuple[list[Cells], list[Remark], dict[str, int]]:
    octets = pcap_file([(number, 0, ethernet(packet)) for number, packet in enumerate(packets)])
    with open_capture(Capture(octets), ports=[5501]) as source:
        records = list(source)
        return ([one for one in records if isinstance(one, Cells)], [one for one in records if isinstance(one, Remark)],
                dict(source.passed_over))


@pytest.mark.parametrize("packet", [V4, V6], ids=["IPv4", "IPv6"])
def test_cells_in_fragments_are_seen(packet: bytes) -> None:
    parts = cut(packet, 520)
    cells, remarks, passed = read([*parts[1:], parts[0]])
    assert [one.octets for one in cells] == [TRAIN]
    assert cells[0].time == (len(parts) - 1) * SECOND, "that of the last fragment"
    assert passed == {}
    assert len(remarks) == 1


def test_fragments_of_which_one_is_lost_are_counted() -> None:
    cells, _, passed = read(cut(V4, 520)[1:])
    assert cells == []
    assert passed == {"IP fragments": len(cut(V4, 520)) - 1}


def test_cells_that_a_snap_length_cuts_off_are_counted_in_fragments_too() -> None:
    parts = cut(V4, 520)
    octets = pcap_file([])
    for part in parts:
        frame = ethernet(part)
        kept = frame[:-100] if part is parts[1] else frame
        octets += struct.pack("<IIII", 0, 0, len(kept), len(frame)) + kept
    with open_capture(Capture(octets), ports=[5501]) as source:
        [cells] = [one for one in source if isinstance(one, Cells)]
    there = 520 + 420 - 8
    assert cells.octets == TRAIN[:there // 53 * 53]
    assert source.passed_over == {"cells cut off by the snap length": len(TRAIN) // 53 - there // 53}
