"""Cutting frames and merging packets, plainly and compiled, against packets that are made one by one.

What the kernel makes of the same frames: tests/end_to_end/test_offload.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from atmdepot.wire import offload
from atmdepot.wire.ip import MalformedPacket
from atmdepot.wire.offload import (
    GSO_ECN,
    GSO_TCPV4,
    GSO_TCPV6,
    MAX_SEGMENTS,
    NEEDS_CSUM,
    VirtioNetHeader,
    coalesce_plainly,
    cut_plainly,
)
from tests.effort import examples
from tests.ip_packets import ACK, CWR, ECE, FIN, PSH, RST, SYN, TCP, UDP, URG, checksum, ip, ping, udp
from tests.packets import ip_packets, no_packets
from tests.wire.frames import TIMESTAMPS, Stream, streams

if TYPE_CHECKING:
    from collections.abc import Callable


class Way(NamedTuple):
    """The functions under test."""

    cut: Callable[[bytes], list[bytes]]
    coalesce: Callable[[list[bytes]], list[tuple[bytes, int]]]


WAYS = {"plain": Way(cut_plainly, coalesce_plainly)}
if offload.cut is not cut_plainly:
    WAYS["compiled"] = Way(offload.cut, offload.coalesce)

both_ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
families = pytest.mark.parametrize("stream", [Stream(), Stream().over_ipv6()], ids=["IPv4", "IPv6"])
NO_OFFLOAD = bytes(10)
pytestmark = pytest.mark.both_twins


def outcome(cut: Callable[[bytes], list[bytes]], frame: bytes) -> object:
    """The result, or the reason why there is none."""
    try:
        return cut(frame)
    except MalformedPacket as error:
        return type(error), str(error)


# ── from the kernel ──

@both_ways
@given(stream=streams())
@example(Stream())
@example(Stream(data=bytes(65_483)))
@example(Stream(data=bytes(65_503), flags=ACK | CWR, last_flags=FIN | PSH).over_ipv6())
def test_a_frame_is_cut_into_what_would_have_been_sent_one_by_one(way: Way, stream: Stream) -> None:
    assert way.cut(stream.frame) == stream.packets
    assert way.cut((stream.header._replace(gso_type=stream.header.gso_type | GSO_ECN)).pack() + stream.whole) == (
        stream.packets)


@both_ways
@families
def test_the_first_has_cwr_and_the_last_fin_and_psh(way: Way, stream: Stream) -> None:
    stream = stream._replace(flags=ACK | ECE | CWR, last_flags=FIN | PSH)
    flags = [packet[stream.tcp_at + 13] for packet in way.cut(stream.frame)]
    assert flags == [ACK | ECE | CWR, ACK | ECE, ACK | ECE, ACK | ECE | FIN | PSH]


@both_ways
@families
def test_identifications_and_sequence_numbers_begin_again_at_zero(way: Way, stream: Stream) -> None:
    made = way.cut(stream._replace(sequence=0xFFFFFFFF).frame)
    at = stream.tcp_at + 4
    assert [packet[at:at + 4].hex() for packet in made] == ["ffffffff", "000005a7", "00000b4f", "000010f7"]
    if stream.version == 4:
        assert [packet[4:6].hex() for packet in made] == ["fffe", "ffff", "0000", "0001"]


@both_ways
def test_the_beginning_of_the_checksum_is_taken_as_it_stands(way: Way) -> None:
    """The kernel does so too: a packet that it would have sent with a wrong checksum is not mended."""
    stream = Stream()
    wrong = bytearray(stream.frame)
    wrong[10 + 20 + 16] ^= 1
    for made, right in zip(way.cut(bytes(wrong)), stream.packets, strict=True):
        assert made[:36] + made[38:] == right[:36] + right[38:]
        assert made != right


@both_ways
@families
@pytest.mark.parametrize("gso", [True, False])
def test_a_checksum_of_zero(way: Way, stream: Stream, gso: bool) -> None:
    """The kernel writes it as 0 where it segments, and as FFFF where it only completes a checksum."""
    stream = stream._replace(data=bytes(2) + bytes(range(100)) * 30, size=1000)
    [first, *_] = stream.packets
    data = first[stream.tcp_at + 16:stream.tcp_at + 18] + stream.data[2:]
    stream = stream._replace(data=data if gso else data[:1000])
    header = stream.header if gso else stream.header._replace(gso_type=0, gso_size=0)
    made = way.cut(header.pack() + stream.whole)
    assert made[0][stream.tcp_at + 16:stream.tcp_at + 18] == (b"\0\0" if gso else b"\xFF\xFF")
    if gso:
        assert made == stream.packets


@both_ways
@given(packet=st.one_of(ip_packets, no_packets), flags=st.sampled_from([0, 2]), rest=st.binary(min_size=8, max_size=8))
def test_what_is_complete_stays_as_it_is(way: Way, packet: bytes, flags: int, rest: bytes) -> None:
    frame = bytes((flags, 0)) + rest + packet
    if packet:
        assert way.cut(frame) == [packet]
    else:
        with pytest.raises(MalformedPacket, match="no packet in a frame of 10 octets"):
            way.cut(frame)


@both_ways
@given(data=st.binary(max_size=100), v6=st.booleans())
def test_a_checksum_is_completed(way: Way, data: bytes, v6: bool) -> None:
    whole = udp(*(("fd00::1", 1, "fd00::2", 2) if v6 else ("10.0.0.1", 1, "10.0.0.2", 2)), data)
    at = 40 if v6 else 20
    addresses = whole[8:40] if v6 else whole[12:20]
    begun = checksum(addresses + (len(whole) - at).to_bytes(4, "big") + bytes((0, 0, 0, UDP))) ^ 0xFFFF
    header = VirtioNetHeader(NEEDS_CSUM, csum_start=at, csum_offset=6)
    [made] = way.cut(header.pack() + whole[:at + 6] + begun.to_bytes(2, "big") + whole[at + 8:])
    assert made == (whole if whole[at + 6:at + 8] != b"\0\0" else whole[:at + 6] + b"\xFF\xFF" + whole[at + 8:])


@both_ways
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_frame_may_lie_in_a_buffer(way: Way, kind: Callable[[bytes], bytes]) -> None:
    frame = kind(Stream().frame)
    made = way.cut(frame)
    assert made == Stream().packets
    assert {type(packet) for packet in made} == {bytes}


@both_ways
@pytest.mark.parametrize(("changes", "reason"), [
    ({"flags": 0}, "its checksum is left at"),
    ({"flags": 4}, "the flags 0x04 of a virtio_net_hdr"),
    ({"flags": 5}, "the flags 0x05 of"),
    ({"gso_type": GSO_TCPV6}, "GSO type 0x04 of an IPv4 packet"),
    ({"gso_type": 3}, "GSO type 0x03 of"),
    ({"gso_type": 5}, "GSO type 0x05 of"),
    ({"gso_type": GSO_ECN}, "GSO type 0x80 of"),
    ({"hdr_len": 5053}, "with 5053 octets of headers in 5052"),
    ({"gso_size": 0}, "5000 octets of data to be cut by 0"),
    ({"gso_size": 7}, "5000 octets of data to be cut by 7"),
    ({"csum_start": 22}, "a TCP header at 20, but its checksum is left at 22"),
    ({"csum_start": 0xFFFF}, "at 65535"),
    ({"csum_offset": 6}, r"at 20 \+ 6"),
    ({"gso_type": 0, "csum_start": 5035}, "a checksum at 5051 in 5052 octets"),
    ({"gso_type": 0, "csum_start": 0xFFFF, "csum_offset": 0xFFFF}, "a checksum at 131070 in"),
])
def test_a_header_that_contradicts_its_packet(way: Way, changes: dict[str, int], reason: str) -> None:
    stream = Stream()
    with pytest.raises(MalformedPacket, match=reason):
        way.cut(stream.header._replace(**changes).pack() + stream.whole)


@both_ways
@pytest.mark.parametrize(("at", "octets", "reason"), [
    (0, b"\x65", "contradict one another"),
    (0, b"\x75", "version 7"),
    (0, b"\x44", "contradict one another"),
    (0, b"\x46", "a TCP header at 24"),
    (2, b"\x13\xBB", "a packet of 5051 with"),
    (2, b"\x13\xBD", "contradict one another"),
    (6, b"\x20\0", "no TCP segment"),
    (6, b"\x1F\xFF", "no TCP segment"),
    (9, bytes((UDP,)), "no TCP segment"),
    (32, b"\x40", "a TCP data offset of 16"),
])
def test_a_packet_that_contradicts_itself(way: Way, at: int, octets: bytes, reason: str) -> None:
    stream = Stream()
    packet = stream.whole[:at] + octets + stream.whole[at + len(octets):]
    with pytest.raises(MalformedPacket, match=reason):
        way.cut(stream.header.pack() + packet)


@both_ways
@pytest.mark.parametrize(("extensions", "reason"), [
    ((44, bytes((TCP, 0, 0, 0, 1, 2, 3, 4))), "no TCP segment"),  # a fragment, if only by its header
    ((51, bytes((TCP, 0)) + bytes(6)), "no TCP segment"),  # authentication covers the whole
    ((60, bytes((UDP, 0)) + bytes(6)), "no TCP segment"),
    ((60, bytes((TCP, 255)) + bytes(6)), "a TCP header at 2088|points past the end"),
])
def test_ipv6_extensions_that_segments_cannot_share(
    way: Way, extensions: tuple[int, bytes], reason: str,
) -> None:
    stream = Stream(data=bytes(1000), size=500).over_ipv6()._replace(extensions=extensions)
    with pytest.raises(MalformedPacket, match=reason):
        way.cut(stream.frame)


@both_ways
@families
def test_a_frame_that_is_cut_short_has_no_packets(way: Way, stream: Stream) -> None:
    stream = stream._replace(data=bytes(100), size=50)
    assert len(way.cut(stream.frame)) == 2
    for length in range(len(stream.frame)):
        with pytest.raises(MalformedPacket):
            way.cut(stream.frame[:length])
    with pytest.raises(MalformedPacket, match=r"octets of headers|contradict"):
        way.cut(stream.frame + b"\0")


@both_ways
@families
def test_a_frame_without_data(way: Way, stream: Stream) -> None:
    with pytest.raises(MalformedPacket, match="0 octets of data to be cut by 1448"):
        way.cut(stream._replace(data=b"").frame)


@st.composite
def hostile_frames(draw: st.DrawFn) -> bytes:
    """Frames with some octets of their headers changed, or cut short."""
    stream = draw(streams())
    frame = bytearray(stream.frame[:draw(st.sampled_from([len(stream.frame), len(stream.frame) - 1, 60, 40]))])
    places = st.integers(0, min(len(frame), 10 + stream.data_at) - 1)
    for _ in range(draw(st.integers(0, 3))):
        frame[draw(places)] = draw(st.one_of(st.integers(0, 255), st.sampled_from([0, 1, 4, 16, 20, 40, 0x45, 0x60])))
    return bytes(frame)


@pytest.mark.skipif("compiled" not in WAYS, reason="nothing is compiled here")
@given(frame=st.one_of(hostile_frames(), st.binary(max_size=120)))
@examples(400)
def test_compiled_and_plain_say_the_same_of_any_frame(frame: bytes) -> None:
    assert outcome(offload.cut, frame) == outcome(cut_plainly, frame)


@given(frame=hostile_frames())
def test_nothing_but_malformed_packets_is_raised_and_what_is_made_is_no_more_than_came(frame: bytes) -> None:
    made = outcome(cut_plainly, frame)
    if isinstance(made, list):
        assert len(made) <= len(frame) // 8
        assert sum(map(len, made)) <= len(frame) * (1 + 130 // 8)


# ── to the kernel ──

@both_ways
@given(stream=streams(plain=True))
@example(Stream())
@example(Stream(data=bytes(40 * 1448)).over_ipv6())
def test_segments_become_one_frame_that_is_cut_into_them_again(way: Way, stream: Stream) -> None:
    packets = stream.packets
    [*_, (frame, count)] = frames = way.coalesce(packets)
    if len(packets) == 1:
        assert frames == [(NO_OFFLOAD + packets[0], 1)]
    else:
        assert (len(frames), count) == (1, len(packets))
        assert frame == stream.frame
        assert way.cut(frame) == packets


@st.composite
def bursts(draw: st.DrawFn) -> list[bytes]:
    """Packets of streams, some of them changed, doubled or in another place; and packets of other kinds."""
    packets: list[bytes] = []
    for stream in draw(st.lists(streams(plain=True), max_size=4)):
        packets += stream.packets
    packets += draw(st.lists(st.one_of(ip_packets, no_packets), max_size=3))
    for _ in range(draw(st.integers(0, 4))):
        if packets:
            at = draw(st.integers(0, len(packets) - 1))
            packets.insert(draw(st.integers(0, len(packets))), changed(draw, packets[at]))
    return packets


def changed(draw: st.DrawFn, packet: bytes) -> bytes:
    """A packet with one octet of its headers changed, or with more or less at its end, or as it was."""
    kind = draw(st.integers(0, 3))
    if kind == 0 and packet:
        at = draw(st.integers(0, min(len(packet), 80) - 1))
        return packet[:at] + bytes((draw(st.integers(0, 255)),)) + packet[at + 1:]
    return packet + b"\0" if kind == 1 else packet[:-1] if kind == 2 else packet


@both_ways
@given(packets=bursts())
def test_no_packet_of_any_burst_changes_or_moves(way: Way, packets: list[bytes]) -> None:
    out: list[bytes] = []
    for frame, count in way.coalesce(packets):
        made = [frame[10:]] if frame[:10] == NO_OFFLOAD else cut_plainly(frame)
        assert len(made) == count
        assert len(frame) - 10 <= 65535 or count == 1
        out += made
    assert out == packets


@pytest.mark.skipif("compiled" not in WAYS, reason="nothing is compiled here")
@given(packets=bursts())
@examples(200)
def test_compiled_and_plain_merge_the_same(packets: list[bytes]) -> None:
    assert offload.coalesce(packets) == coalesce_plainly(packets)


def counts(way: Way, packets: list[bytes]) -> list[int]:
    return [count for _, count in way.coalesce(packets)]


OTHER_HEADERS = [
    {"ports": (40_001, 80)}, {"ports": (40_000, 81)}, {"acknowledgment": 8}, {"window": 502}, {"urgent": 1},
    {"tcp_options": bytes((1, 1, 8, 10)) + bytes(8)}, {"tcp_options": TIMESTAMPS[:-1] + b"\xFF"}, {"tcp_options": b""},
    {"traffic_class": 1}, {"traffic_class": 128}, {"ttl": 63}, {"sequence": 999_999}, {"sequence": 1_000_001},
    {"sequence": 998_552}, {"flags": ACK | ECE}, {"flags": ACK | URG}, {"flags": ACK | SYN}, {"flags": ACK | RST},
    {"flags": 0}]
OTHER_IPV4_HEADERS = [
    {"source": bytes((10, 1, 0, 3))}, {"destination": bytes((10, 2, 0, 3))}, {"identification": 0xFFFD},
    {"identification": 0xFFFF}, {"fragment": 0}, {"fragment": 0x8000}, {"fragment": 0x6000}, {"fragment": 0x4001},
    {"ip_options": bytes(4)}]
OTHER_IPV6_HEADERS = [
    {"source": bytes(16)}, {"destination": bytes(16)}, {"flow_label": 1},
    {"extensions": (60, bytes((TCP, 0)) + bytes(6))}]


@both_ways
@pytest.mark.parametrize(("stream", "changes"), [
    *((Stream(), changes) for changes in OTHER_HEADERS + OTHER_IPV4_HEADERS),
    *((Stream().over_ipv6(), changes) for changes in OTHER_HEADERS + OTHER_IPV6_HEADERS),
], ids=lambda value: f"IPv{value.version}" if isinstance(value, Stream) else str(value))
def test_another_header_is_another_frame(way: Way, stream: Stream, changes: dict[str, Any]) -> None:
    one, two, three, _ = stream.packets
    _, other, *_ = stream._replace(**changes).packets
    assert counts(way, [one, two, three]) == [3]
    assert counts(way, [one, other]) == [1, 1]
    assert counts(way, [one, two, other]) == [2, 1]


@both_ways
@families
@pytest.mark.parametrize("flag", [CWR, URG, SYN, RST])
def test_what_segments_cannot_share_is_not_merged(way: Way, stream: Stream, flag: int) -> None:
    one, two, three, _ = stream.packets
    odd = stream._replace(flags=ACK | flag)
    assert counts(way, [odd.packets[0], two, three]) == [1, 2]
    second = odd._replace(sequence=stream.sequence + stream.size, identification=stream.identification + 1)
    assert counts(way, [one, second.packets[0], three]) == [1, 1, 1]
    assert counts(way, [odd.packets[0], second.packets[0]]) == [1, 1]


@both_ways
@families
def test_another_protocol_is_not_merged(way: Way, stream: Stream) -> None:
    def other(packet: bytes) -> bytes:
        if stream.version == 6:
            return packet[:6] + bytes((UDP,)) + packet[7:]
        head = packet[:9] + bytes((UDP, 0, 0)) + packet[12:20]
        return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + packet[20:]

    one, two, *_ = stream.packets
    assert counts(way, [one, two]) == [2]
    assert counts(way, [one, other(two)]) == [1, 1]
    assert counts(way, [other(one), two]) == [1, 1]
    assert counts(way, [other(one), other(two)]) == [1, 1]


@both_ways
@families
def test_the_bits_beside_the_data_offset_are_the_same_in_all(way: Way, stream: Stream) -> None:
    """Accurate ECN counts with one of them."""
    def marked(packet: bytes) -> bytes:
        at = stream.tcp_at + 12
        packet = packet[:at] + bytes((packet[at] | 1,)) + packet[at + 1:]
        begin, end = packet[:stream.tcp_at + 16], packet[stream.tcp_at + 18:]
        segment = begin[stream.tcp_at:] + bytes(2) + end
        return begin + checksum(stream.pseudo_header(len(segment)) + segment).to_bytes(2, "big") + end

    one, two, *_ = stream.packets
    assert counts(way, [one, marked(two)]) == [1, 1]
    [(frame, count)] = way.coalesce([marked(one), marked(two)])
    assert count == 2
    assert way.cut(frame) == [marked(one), marked(two)]


@both_ways
@families
def test_what_may_not_follow(way: Way, stream: Stream) -> None:
    one, two, three, four = stream.packets
    assert counts(way, [one, two, three, four]) == [4]
    assert counts(way, [one, three]) == [1, 1], "a gap"
    assert counts(way, [one, one, two]) == [1, 2], "twice the same"
    assert counts(way, [two, one]) == [1, 1], "the wrong order"
    assert counts(way, [one, ping("10.1.0.2", "10.2.0.2"), two]) == [1, 1, 1], "something between them"
    pure_ack = stream.segment(1, b"", is_last=False)
    assert counts(way, [one, pure_ack, two]) == [1, 1, 1], "no data"
    assert counts(way, [pure_ack, pure_ack]) == [1, 1]
    longer = stream._replace(data=bytes(2897), size=1448).segment(1, bytes(1449), is_last=True)
    assert counts(way, [one, longer]) == [1, 1], "more data than the first"
    assert counts(way, [one, two + b"\0"]) == [1, 1], "octets behind it"
    assert counts(way, [one + b"\0", two]) == [1, 1]
    assert counts(way, [one, two[:-1]]) == [1, 1], "octets missing"


@both_ways
@families
@pytest.mark.parametrize("flags", [PSH, FIN, PSH | FIN])
def test_psh_fin_and_a_short_segment_end_a_frame(way: Way, stream: Stream, flags: int) -> None:
    one, two, three, four = stream.packets
    ending = stream.segment(1, stream.data[1448:2896], is_last=False)
    assert ending == two
    ending = stream._replace(last_flags=flags).segment(1, stream.data[1448:2896], is_last=True)
    assert counts(way, [one, ending, three, four]) == [2, 2]
    first = stream._replace(last_flags=flags).segment(0, stream.data[:1448], is_last=True)
    assert counts(way, [first, two, three]) == [1, 2]
    short = stream.segment(1, bytes(700), is_last=False)
    after = stream._replace(sequence=stream.sequence + 700, identification=0).segment(0, bytes(700), is_last=False)
    assert counts(way, [one, short, after]) == [2, 1]


@both_ways
@families
def test_a_wrong_checksum_stays_with_its_packet(way: Way, stream: Stream) -> None:
    """The end host is to judge it."""
    one, two, three, four = stream.packets
    for at in (stream.tcp_at + 16, len(two) - 1, *([10] if stream.version == 4 else [])):
        wrong = bytearray(two)
        wrong[at] ^= 0x10
        frames = way.coalesce([one, bytes(wrong), three, four])
        assert frames[:2] == [(NO_OFFLOAD + one, 1), (NO_OFFLOAD + bytes(wrong), 1)]
        assert [count for _, count in frames] == [1, 1, 2]
        assert counts(way, [bytes(wrong), three]) == [1, 1]


@both_ways
@families
@pytest.mark.parametrize("which", [0, 1])
def test_the_other_form_of_a_zero_checksum_is_not_lost(way: Way, stream: Stream, which: int) -> None:
    """FFFF is as right as 0, but the kernel would write 0."""
    at = stream.tcp_at + 16
    stream = stream._replace(data=2 * (bytes(2) + bytes(range(98)) * 10), size=982)
    begin = which * 982
    data = stream.data[:begin] + stream.packets[which][at:at + 2] + stream.data[begin + 2:]
    stream = stream._replace(data=data)
    packets = stream.packets
    assert packets[which][at:at + 2] == b"\0\0"
    assert counts(way, packets) == [2]
    packets[which] = packets[which][:at] + b"\xFF\xFF" + packets[which][at + 2:]
    assert way.coalesce(packets) == [(NO_OFFLOAD + packet, 1) for packet in packets]


@both_ways
def test_the_other_form_of_a_zero_header_checksum_is_not_lost(way: Way) -> None:
    stream = Stream(data=bytes(200), size=100)
    # What the second's sum lacks is added to its identification.
    missing = int.from_bytes(stream.packets[1][10:12], "big")
    packets = stream._replace(identification=(stream.identification + missing) % 0xFFFF).packets
    assert packets[1][10:12] == b"\0\0"
    assert counts(way, packets) == [2]
    packets[1] = packets[1][:10] + b"\xFF\xFF" + packets[1][12:]
    assert way.coalesce(packets) == [(NO_OFFLOAD + packet, 1) for packet in packets]


@both_ways
@families
def test_a_frame_has_no_more_than_an_ip_packet_can_have(way: Way, stream: Stream) -> None:
    stream = stream._replace(data=bytes(100 * 1448))
    assert counts(way, stream.packets)[:2] == [45, 45]
    room = 65535 - stream.data_at
    stream = stream._replace(data=bytes(room), size=room // 5)
    assert counts(way, stream.packets) == [5 + bool(room % 5)]
    stream = stream._replace(data=bytes(room + 1), size=(room + 1) // 5)
    assert counts(way, stream.packets)[0] == 5


@both_ways
@families
def test_a_frame_has_no_more_segments_than_one_system_call_takes(way: Way, stream: Stream) -> None:
    stream = stream._replace(data=bytes(20 * (MAX_SEGMENTS + 3)), size=20)
    assert counts(way, stream.packets) == [MAX_SEGMENTS, 3]


@both_ways
@families
def test_tiny_segments_stay_alone(way: Way, stream: Stream) -> None:
    """The kernel makes none of less than 8 octets, and might not cut by less."""
    assert counts(way, stream._replace(data=bytes(14), size=7).packets) == [1, 1]
    assert counts(way, stream._replace(data=bytes(16), size=8).packets) == [2]
    assert counts(way, stream._replace(data=bytes(9), size=8).packets) == [2]


@both_ways
def test_no_packets_no_frames(way: Way) -> None:
    assert way.coalesce([]) == []


@both_ways
def test_packets_of_other_kinds_pass_as_they_are(way: Way) -> None:
    packets = [b"", b"\x45", bytes(100), ip("10.0.0.1", "10.0.0.2", TCP, bytes(40)), udp("::1", 1, "::2", 2, b"x" * 99)]
    packets += [packets[-1]] * 2 + [Stream().packets[0][:30]]
    assert way.coalesce(packets) == [(NO_OFFLOAD + packet, 1) for packet in packets]


def test_a_header_has_ten_octets() -> None:
    assert len(VirtioNetHeader(1, GSO_TCPV4, 52, 1448, 20, 16).pack()) == 10
    assert VirtioNetHeader().pack() == NO_OFFLOAD
