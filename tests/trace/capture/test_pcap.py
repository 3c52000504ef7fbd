"""pcap files: all byte orders and resolutions, files cut short, damaged and hostile, IP out of frames."""

from __future__ import annotations

import contextlib
import io
import itertools
import struct
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from atmdepot.drops import DropReason
from atmdepot.trace.capture.pcap import (
    MAX_RECORD,
    CaptureError,
    LinkType,
    PcapReader,
    PcapRecord,
    PcapWriter,
    ip_packets,
)
from tests.trace.captures import http_packet, pcap_file

if TYPE_CHECKING:
    from pathlib import Path

MICRO, NANO = 0xA1B2C3D4, 0xA1B23C4D
V4, V6 = http_packet(4), http_packet(6)


def reader_of(octets: bytes, name: str = "x.pcap") -> PcapReader:
    return PcapReader(io.BytesIO(octets), name)


# ── reading ──

@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("magic", "fraction"), [(MICRO, 123456), (NANO, 123456000)])
def test_reads_both_byte_orders_and_resolutions(magic: int, fraction: int, order: str) -> None:
    octets = pcap_file([(1_700_000_000, fraction, b"one"), (1_700_000_001, 0, b"")], magic=magic, order=order,
                       link_type=101)
    reader = reader_of(octets)
    assert reader.link_type is LinkType.RAW_IP
    assert list(reader) == [PcapRecord(1_700_000_000_123_456_000, b"one", 4),
                            PcapRecord(1_700_000_001_000_000_000, b"", 1)]
    assert reader.truncated is None


def test_link_type_is_the_lower_half_of_its_word() -> None:
    assert reader_of(pcap_file([], link_type=0x2400_0001)).link_type is LinkType.ETHERNET


def test_an_unknown_link_type_is_its_number() -> None:
    assert reader_of(pcap_file([], link_type=147)).link_type == 147


def test_the_name_is_the_files_own_unless_given(tmp_path: Path) -> None:
    path = tmp_path / "seen.pcap"
    path.write_bytes(pcap_file([]))
    with path.open("rb") as file:
        assert PcapReader(file).name == str(path)
    assert PcapReader(io.BytesIO(path.read_bytes())).name == "the capture"


def test_every_truncation_gives_the_whole_records_and_says_where_it_ends() -> None:
    contents = [b"first", b"", b"the third one"]
    whole = pcap_file([(n, n, octets) for n, octets in enumerate(contents)])
    ends = [24, *itertools.accumulate((16 + len(octets) for octets in contents), initial=24)][1:]
    for cut in range(24, len(whole) + 1):
        reader = reader_of(whole[:cut])
        complete = sum(end <= cut for end in ends) - 1
        assert [record.octets for record in reader] == contents[:complete]
        if cut in ends:
            assert reader.truncated is None
        else:
            assert reader.truncated is not None
            assert reader.truncated.startswith("x.pcap: ")
            assert f"octet {cut}," in reader.truncated
            assert f"octet {ends[complete]}" in reader.truncated
        assert list(reader) == []


def test_a_file_that_grows_after_it_broke_off_is_not_read_from_the_middle() -> None:
    whole = pcap_file([(0, 0, bytes(40))])
    file = io.BytesIO(whole[:50])
    reader = PcapReader(file)
    assert list(reader) == []
    file.write(whole[50:])
    file.write(bytes(100))
    file.seek(50)
    assert list(reader) == []


@pytest.mark.parametrize("cut", range(24))
def test_a_cut_file_header_is_an_error(cut: int) -> None:
    with pytest.raises(CaptureError, match=rf"^x\.pcap: the file ends at octet {cut}, before its 24-octet"):
        reader_of(pcap_file([])[:cut])


@pytest.mark.parametrize(("head", "advice"), [
    ("0A0D0D0A", "pcapng.*`tshark -F pcap -r IN -w OUT`"),
    ("1F8B0800", "gzip.*gunzip"),
    ("FD377A585A00", "xz.*unxz"),
    ("28B52FFD", "zstd.*unzstd"),
    ("425A6839", "bzip2.*bunzip2"),
    ("7F454C46", "no pcap file .it begins 7f 45 4c 46.*`tshark -F pcap -r IN -w OUT`"),
])
def test_other_files_are_named_and_the_way_out_told(head: str, advice: str) -> None:
    with pytest.raises(CaptureError, match=rf"^x\.pcap: .*{advice}"):
        reader_of(bytes.fromhex(head) + bytes(100))


def test_a_record_longer_than_the_bound_is_damage_and_ends_the_reading() -> None:
    octets = pcap_file([(0, 0, b"good")]) + struct.pack("<IIII", 0, 0, MAX_RECORD + 1, 1) + bytes(100)
    reader = reader_of(octets)
    assert next(reader).octets == b"good"
    with pytest.raises(CaptureError, match=r"^x\.pcap: the record at octet 44 claims 262145 octets"):
        next(reader)
    assert list(reader) == []


def test_a_record_of_the_bound_is_read_despite_the_snap_length() -> None:
    [record] = reader_of(pcap_file([(0, 0, bytes(MAX_RECORD))], snap_length=0))
    assert len(record.octets) == MAX_RECORD


class Endless(io.RawIOBase):
    """A file header and then the same record without end, at most 1000 octets at a time, as a pipe may do."""

    def __init__(self, record: bytes) -> None:
        self._record = record
        self._left = pcap_file([])

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not self._left:
            self._left = struct.pack("<IIII", 1, 2, len(self._record), len(self._record)) + self._record
        given, self._left = self._left[:min(size, 1000)], self._left[min(size, 1000):]
        return given


def test_reads_an_unbuffered_stream_record_by_record() -> None:
    taken = list(itertools.islice(PcapReader(Endless(bytes(range(256)) * 20)), 3))  # type: ignore[arg-type]
    assert taken == [PcapRecord(1_000_000_002, bytes(range(256)) * 20, 5120)] * 3


def test_memory_does_not_grow_with_the_file() -> None:
    reader = PcapReader(Endless(bytes(5000)))  # type: ignore[arg-type]
    tracemalloc.start()
    try:
        for _ in itertools.islice(reader, 1000):
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 200_000


@given(st.binary(max_size=200), st.sampled_from([b"", pcap_file([]), pcap_file([], magic=MICRO, order=">")]))
@example(b"\xff" * 60, pcap_file([]))
def test_random_octets_raise_no_other_error(noise: bytes, header: bytes) -> None:
    found = 0
    with contextlib.suppress(CaptureError):
        for record in reader_of(header + noise):
            found += 16 + len(record.octets)
    assert found <= len(noise)


# ── writing ──

times = st.integers(0, (1 << 32) * 10**9 - 1)


records_to_write = st.lists(st.tuples(times, st.binary(max_size=100), st.integers(0, 2**32 - 1)))


@given(records_to_write, st.sampled_from(LinkType))
def test_written_records_are_read_back(records: list[tuple[int, bytes, int]], link_type: LinkType) -> None:
    file = io.BytesIO()
    writer = PcapWriter(file, link_type)
    for record in records:
        writer.write(*record)
    file.seek(0)
    reader = PcapReader(file)
    assert reader.link_type is link_type
    assert list(reader) == records
    assert reader.truncated is None


def test_the_octets_written() -> None:
    file = io.BytesIO()
    PcapWriter(file, LinkType.ERF).write(1_500_000_007, b"abc")
    assert file.getvalue().hex(" ", -4) == (
        "4d3cb2a1 02000400 00000000 00000000 00000400 c5000000 01000000 0765cd1d 03000000 03000000 616263")


@pytest.mark.parametrize(("time_ns", "length", "why"), [
    (-1, 0, "does not fit"), (2**32 * 10**9, 0, "does not fit"), (0, MAX_RECORD + 1, "at most 262144")])
def test_values_beyond_a_record_are_refused_unwritten(time_ns: int, length: int, why: str) -> None:
    file = io.BytesIO()
    writer = PcapWriter(file, LinkType.RAW_IP)
    with pytest.raises(ValueError, match=why):
        writer.write(time_ns, bytes(length))
    assert len(file.getvalue()) == 24


def test_flush_hands_over_written_records(tmp_path: Path) -> None:
    path = tmp_path / "live.pcap"
    with path.open("wb") as file:
        writer = PcapWriter(file, LinkType.RAW_IP)
        writer.write(5, V4)
        assert path.read_bytes() == b""
        writer.flush()
        assert [record.octets for record in reader_of(path.read_bytes())] == [V4]


# ── IP packets ──

MACS = bytes.fromhex("020000000001 020000000002")
SLL = b"\0\0\0\1\0\6" + MACS[:6] + bytes(2)
SLL2 = bytes(2) + b"\0\0\0\2\0\1\4\6" + MACS[:6] + bytes(2)
V4_TYPE, V6_TYPE, ARP_TYPE = b"\x08\x00", b"\x86\xdd", b"\x08\x06"
FRAMES = {
    "ethernet": (1, MACS + V4_TYPE + V4, V4),
    "ethernet, IPv6": (1, MACS + V6_TYPE + V6, V6),
    "ethernet, padded": (1, MACS + V4_TYPE + V4 + bytes(9), V4),
    "ethernet, IPv6 and FCS": (1, MACS + V6_TYPE + V6 + b"\1\2\3\4", V6),
    "one VLAN tag": (1, MACS + b"\x81\x00\x60\x05" + V6_TYPE + V6, V6),
    "two VLAN tags": (1, MACS + b"\x88\xa8\x00\x07\x81\x00\x00\x05" + V4_TYPE + V4 + bytes(3), V4),
    "raw IP": (101, V4, V4),
    "raw IPv6, padded": (101, V6 + bytes(2), V6),
    "IPv4": (228, V4, V4),
    "IPv6": (229, V6, V6),
    "SLL": (113, SLL + V4_TYPE + V4, V4),
    "SLL, IPv6 in a VLAN": (113, SLL + b"\x81\x00\x00\x05" + V6_TYPE + V6, V6),
    "SLL2": (276, V6_TYPE + SLL2 + V6, V6),
    "SLL2, padded": (276, V4_TYPE + SLL2 + V4 + bytes(5), V4),
}


@pytest.mark.parametrize(("link_type", "frame", "packet"), FRAMES.values(), ids=FRAMES)
def test_ip_packets_of_each_link_type(link_type: int, frame: bytes, packet: bytes) -> None:
    packets = ip_packets(reader_of(pcap_file([(7, 9, frame)], link_type=link_type)))
    assert list(packets) == [(7_000_000_009, packet)]
    assert not packets.skipped


NOT_IP, MALFORMED = DropReason.NOT_IP, DropReason.MALFORMED
SKIPPED = {
    "ARP": (1, MACS + ARP_TYPE + bytes(46), NOT_IP),
    "a tagged frame of another kind": (1, MACS + b"\x81\x00\x00\x05" + ARP_TYPE + V4, NOT_IP),
    "an 802.3 length": (1, MACS + b"\x00\x80" + V4, NOT_IP),
    "a frame cut in its header": (1, MACS[:9], NOT_IP),
    "nothing but tags": (1, MACS + b"\x81\x00\x81\x00" * 5, NOT_IP),
    "nothing": (1, b"", NOT_IP),
    "version 5": (101, b"\x55" + V4[1:], NOT_IP),
    "an IPv4 packet of which the end is missing": (1, MACS + V4_TYPE + V4[:-1], MALFORMED),
    "an IPv6 packet of which the end is missing": (229, V6[:-1], MALFORMED),
    "an IPv4 total length of 0, as offload leaves it": (101, V4[:2] + bytes(2) + V4[4:], MALFORMED),
}


@pytest.mark.parametrize(("link_type", "frame", "reason"), SKIPPED.values(), ids=SKIPPED)
def test_frames_without_a_packet_are_counted(link_type: int, frame: bytes, reason: DropReason) -> None:
    good = MACS + V4_TYPE + V4 if link_type == 1 else V6
    packets = ip_packets(reader_of(pcap_file([(1, 0, frame), (2, 0, good)], link_type=link_type)))
    assert [time for time, _ in packets] == [2_000_000_000]
    assert dict(packets.skipped) == {reason: 1}


@pytest.mark.parametrize(("link_type", "named"), [
    (197, r"197 \(ERF\)"), (147, "147"), (100, r"100 \(ATM_RFC1483\)")])
def test_other_link_types_are_refused_by_name(link_type: int, named: str) -> None:
    accepted = r"accepted are 1 \(ETHERNET\), 113 .*, 276 .*, 101 "
    with pytest.raises(CaptureError, match=rf"^x\.pcap: .*link type {named}; {accepted}"):
        ip_packets(reader_of(pcap_file([], link_type=link_type)))


def test_packets_up_to_the_cut_are_given() -> None:
    reader = reader_of(pcap_file([(1, 0, V4), (2, 0, V6)], link_type=101)[:-1])
    assert [packet for _, packet in ip_packets(reader)] == [V4]
    assert reader.truncated


@given(st.lists(st.binary(max_size=80)), st.sampled_from([1, 101, 113, 228, 229, 276]))
def test_random_frames_raise_no_error(frames: list[bytes], link_type: int) -> None:
    packets = ip_packets(reader_of(pcap_file([(0, 0, frame) for frame in frames], link_type=link_type)))
    found = list(packets)
    assert len(found) + packets.skipped.total() == len(frames)
    assert all(any(packet in frame for frame in frames) for _, packet in found)
