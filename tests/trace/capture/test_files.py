"""Captures of every kind as sources of records: what is in them, what is damaged, how much is held."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import struct
import tracemalloc
from collections import Counter
from typing import TYPE_CHECKING, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.net.events import Cells, SessionChange
from atmdepot.trace.capture.files import open_capture
from atmdepot.trace.capture.pcap import CaptureError
from atmdepot.trace.capture.write import open_writer
from atmdepot.trace.filter.filter import parse_filter
from atmdepot.trace.follow import Follower
from atmdepot.trace.inside import vc_of
from atmdepot.trace.items import Pdu
from atmdepot.trace.sessions import CaptureSessions
from atmdepot.trace.show.clock import Stamp
from atmdepot.trace.show.fields import row
from atmdepot.trace.show.stats import Statistics
from atmdepot.trace.show.text import LinePrinter
from atmdepot.trace.show.tree import tree_text
from atmdepot.trace.sources import CapturedCells, HecMark, PduSeen, Remark, UnplacedPdu
from atmdepot.trace.tracer import Tracer
from atmdepot.wire.aal5 import cpcs_pdu
from atmdepot.wire.cell import CellHeader
from tests.ip_packets import SYN, tcp
from tests.trace.captures import (
    cells_of,
    erf_cell,
    erf_pdu,
    ethernet,
    http_packet,
    interface,
    option,
    packet,
    pcap_file,
    section,
    train_of,
    udp_packet,
)

if TYPE_CHECKING:
    from pathlib import Path

    from atmdepot.trace.sources import SourceRecord

TRAIN = train_of(http_packet(4))
FIRST, SECOND, LAST = cells_of(TRAIN)
PDU = cpcs_pdu(http_packet(4))
UDP = udp_packet(TRAIN)
LINK = "10.0.0.1:5501-10.0.0.2:5502"
HALF_PAST_THREE = 3_500_000_000


class Capture(io.BytesIO):
    name = "x.pcap"


def read(octets: bytes, **options: object) -> list[SourceRecord]:
    with open_capture(Capture(octets), **options) as source:  # type: ignore[arg-type]
        return list(source)


def one(frame: bytes, link_type: int, **options: object) -> SourceRecord:
    [record] = read(pcap_file([(7, 9, frame)], link_type=link_type), **options)
    return record


def cell_seen(octets: bytes, direction: str = "out", *, link: str = "link", hec: HecMark = HecMark.ABSENT,
              node: str = "", time: int = HALF_PAST_THREE) -> CapturedCells:
    return CapturedCells(time, link, direction, octets, node, hec)


def cells_seen(direction: str = "out", link: str = LINK) -> Cells:
    return Cells(7_000_000_009, link, direction, TRAIN)


# ── link types ──

@pytest.mark.parametrize(("flags", "expected"), [
    (4, cell_seen(FIRST)), (5, cell_seen(FIRST, "in")), (4 | 16, cell_seen(FIRST, hec=HecMark.BAD)),
    (6, cell_seen(FIRST, "in", link="link.2")), (7, cell_seen(FIRST, "in", link="link.3"))])
def test_erf_cells(flags: int, expected: CapturedCells) -> None:
    assert one(erf_cell(FIRST, flags=flags), 197) == expected


def test_erf_pdus_of_all_types_and_with_extension_headers() -> None:
    pdu = PduSeen(HALF_PAST_THREE, "link", "out", FIRST[:4], PDU)
    extensions = b"\x83" + bytes(7) + b"\x03" + bytes(7)
    channel = b"\0\0\0\x07"
    assert one(erf_pdu(FIRST, PDU), 197) == pdu
    assert one(erf_pdu(FIRST, PDU, kind=0x84, extra=extensions), 197) == pdu
    assert one(erf_pdu(FIRST, PDU, kind=9, extra=channel), 197) == pdu
    assert one(erf_pdu(FIRST, PDU, kind=0x89, extra=extensions + channel), 197) == pdu
    assert one(erf_pdu(FIRST, FIRST[5:], kind=7, extra=channel), 197) == cell_seen(FIRST)
    assert one(erf_pdu(FIRST, FIRST[5:], kind=0x83, extra=extensions), 197) == cell_seen(FIRST)


def test_channels_whose_header_is_counted_in_the_wire_length() -> None:
    for kind, body in ((7, FIRST[5:]), (9, PDU)):
        record = bytearray(erf_pdu(FIRST, body, kind=kind, extra=bytes(4)))
        record[14:16] = struct.pack(">H", 8 + len(body))
        record = bytearray(record)
        assert getattr(one(bytes(record), 197), "octets", b"")[-len(body):] == body


def test_erf_records_without_cells_and_lost_ones_are_counted_and_told_once() -> None:
    other = erf_pdu(FIRST, PDU, kind=2)
    octets = pcap_file([(0, 0, frame) for frame in (other, erf_cell(FIRST, lost=3), other, erf_cell(LAST, lost=1),
                                                    erf_pdu(FIRST, b"x", kind=0x81, extra=bytes(8)))], link_type=197)
    with open_capture(Capture(octets)) as source:
        records = list(source)
    assert [record for record in records if isinstance(record, Cells)] == [cell_seen(FIRST), cell_seen(LAST)]
    assert [type(record) for record in records] == [Remark, Remark, CapturedCells, CapturedCells, Remark]
    assert source.records == 5
    assert source.passed_over == {"ERF records of type 2": 2, "records lost by the capturing card": 4,
                                  "ERF records of type 1": 1}
    [told] = source.summary()
    assert told.startswith("x.pcap: 5 records; passed over: 2 ERF records of type 2, 4 records lost by the ")


def cut(octets: bytes, length: int) -> bytes:
    """A pcap file of one ERF record, of which only the beginning was kept."""
    header = pcap_file([], link_type=197)
    return header + struct.pack("<IIII", 0, 0, length, len(octets)) + octets[:length]


def test_pdus_cut_to_a_snap_length_miss_octets_and_cells_are_passed_over() -> None:
    whole = erf_pdu(FIRST, PDU)
    for kept in range(20, len(whole)):
        [seen] = read(cut(whole, kept))
        assert seen == PduSeen(HALF_PAST_THREE, "link", "out", FIRST[:4], PDU[:kept - 20], True, len(whole) - kept)
    for kept in range(68):
        [remark] = read(cut(erf_cell(FIRST), kept))
        assert isinstance(remark, Remark)
        assert remark.text.startswith("x.pcap, octet 24: an ERF ")


def test_a_card_that_cut_a_pdu_itself() -> None:
    record = bytearray(erf_pdu(FIRST, PDU[:96]))
    record[14:16] = struct.pack(">H", 4 + len(PDU))
    [seen] = read(pcap_file([(0, 0, bytes(record))], link_type=197))
    assert isinstance(seen, PduSeen)
    assert (seen.octets, seen.missing) == (PDU[:96], 48)


FRAMES = {
    "Ethernet": (1, ethernet(UDP), "out"),
    "one VLAN tag": (1, ethernet(UDP, b"\x81\x00\x00\x05"), "out"),
    "two VLAN tags": (1, ethernet(UDP, b"\x88\xa8\x00\x07\x81\x00\x00\x05"), "out"),
    "raw": (101, UDP, "out"),
    "IPv4": (228, UDP, "out"),
    "NULL, little-endian": (0, b"\2\0\0\0" + UDP, "out"),
    "NULL, big-endian": (0, b"\0\0\0\2" + UDP, "out"),
    "LOOP": (108, b"\0\0\0\2" + UDP, "out"),
    "SLL, received": (113, b"\0\0\0\1\0\6" + bytes(8) + b"\x08\x00" + UDP, "in"),
    "SLL, sent": (113, b"\0\4\0\1\0\6" + bytes(8) + b"\x08\x00" + UDP, "out"),
    "SLL, from others": (113, b"\0\3\0\1\0\6" + bytes(8) + b"\x08\x00" + UDP, "out"),
    "SLL, loopback": (113, b"\0\0\3\4\0\6" + bytes(8) + b"\x08\x00" + UDP, "out"),
    "SLL2, received": (276, b"\x08\x00\0\0\0\0\0\2\0\1\0\6" + bytes(8) + UDP, "in"),
    "SLL2, sent": (276, b"\x08\x00\0\0\0\0\0\2\0\1\4\6" + bytes(8) + UDP, "out"),
}


@pytest.mark.parametrize(("link_type", "frame", "direction"), FRAMES.values(), ids=FRAMES)
def test_cells_in_udp_of_each_link_type(link_type: int, frame: bytes, direction: str) -> None:
    assert one(frame, link_type) == cells_seen(direction)
    assert one(frame, link_type, ports=[5501]) == cells_seen(direction)


def test_ports_names_and_other_frames() -> None:
    octets = pcap_file([(7, 9, ethernet(UDP)), (7, 9, bytes(14)), (7, 9, ethernet(http_packet(6)))])
    with open_capture(Capture(octets), ports=[5501], names=lambda *ends: ("n", f"{ends[0][1]}", "in")) as source:
        assert list(source) == [Cells(7_000_000_009, "5501", "in", TRAIN, "n")]
    assert source.passed_over == {"frames that are not IP": 1, "packets that are not UDP": 1}


def test_the_loopback_interface_shows_each_packet_once() -> None:
    for link_type, sent, received in (
            (113, b"\0\4\3\4" + bytes(10) + b"\x08\x00", b"\0\0\3\4" + bytes(10) + b"\x08\x00"),
            (276, b"\x08\x00\0\0\0\0\0\1\3\4\4\6" + bytes(8), b"\x08\x00\0\0\0\0\0\1\3\4\0\6" + bytes(8))):
        octets = pcap_file([(7, 9, sent + UDP), (7, 9, received + UDP)], link_type=link_type)
        assert read(octets) == [cells_seen()]


def test_interfaces_of_an_any_capture_are_kept_apart() -> None:
    heads = [b"\x08\x00\0\0\0\0\0" + bytes((index,)) + b"\0\1\0\6" + bytes(8) for index in (2, 3)]
    octets = pcap_file([(7, 9, head + UDP) for head in heads], link_type=276)
    assert read(octets) == [cells_seen("in"), cells_seen("in", LINK + "#2")]


def test_late_cells_come_before_the_one_that_proved_them() -> None:
    octets = pcap_file([(n, 0, ethernet(udp_packet(cell))) for n, cell in enumerate((FIRST, SECOND, LAST))])
    assert read(octets) == [Cells(n * 10**9, LINK, "out", cell) for n, cell in enumerate((FIRST, SECOND, LAST))]
    unproven, remark = open_capture(Capture(octets[:-100])), []
    remark = list(unproven)
    assert unproven.passed_over == {"UDP datagrams that may hold cells": 2}
    assert [type(one) for one in remark] == [Remark, Remark]


def test_gns3s_cells_and_rfc_1483() -> None:
    header = pcap_file([], link_type=100)
    llc = b"\xaa\xaa\x03" + bytes(50)
    for frame, expected in ((FIRST, Cells(0, "link", "", FIRST)),
                            (llc, PduSeen(0, "link", "", b"\0\0\0\2", llc, False))):
        assert read(header + struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame) == [expected]


def test_sunatm() -> None:
    assert one(b"\x82\x05\x00\x28abc", 123) == PduSeen(
        7_000_000_009, "link", "out", CellHeader(5, 40, 1).pack()[:4], b"abc", False, 1)


LLC = bytes.fromhex("AAAA030000000800") + http_packet(4)


@pytest.mark.parametrize(("link_type", "frame"), [
    (100, LLC), (11, LLC), (106, LLC), (19, LLC), (106, http_packet(4)), (19, http_packet(6))])
def test_frames_whose_vc_is_not_told_claim_none(link_type: int, frame: bytes) -> None:
    records = read(pcap_file([(7, 9, frame)], link_type=link_type))
    [record] = [one for one in records if isinstance(one, PduSeen)]
    assert isinstance(record, UnplacedPdu)
    (pdu,) = Follower().take(record)
    assert isinstance(pdu, Pdu)
    assert (pdu.vc, vc_of(pdu)) == (None, None)
    assert not {"vpi", "vci", "vc"} & row(pdu).keys()
    assert "0/0" not in LinePrinter(Stamp.NONE).line(pdu)
    assert pdu.packet is not None
    for words in ("vpi 0", "vci 0", "vc 0/0", "idle", "vci 0-65535"):
        assert not parse_filter(words.split()).matches(pdu), words
    assert parse_filter(["tcp", "port", "80"]).matches(pdu)
    statistics = Statistics()
    statistics.add(pdu)
    assert statistics.tables()["vcs"][0]["vc"] == ""


def test_a_session_of_frames_without_a_vc_claims_none() -> None:
    syn = tcp("10.9.0.2", 4000, "10.80.0.1", 80, SYN)
    record = one(bytes.fromhex("AAAA030000000800") + syn, 100)
    change, _ = Follower(sessions=CaptureSessions()).take(record)
    assert isinstance(change, SessionChange)
    assert vc_of(change) is None
    assert "-1" not in LinePrinter(Stamp.NONE).line(change)


@pytest.mark.parametrize("format", ["erf", "pcapng", "sunatm"])
def test_a_pdu_without_a_vc_has_no_place_in_captures_that_tell_it(format: str) -> None:  # noqa: A002
    with open_writer(io.BytesIO(), format) as writer:
        totals = Tracer([one(LLC, 100)], Follower(cells=True), level="all", keep=None, shower=None, writer=writer,
                        remark=lambda _: None).run()
    assert writer.left_out == {"PDUs whose VC is not known": 1}
    assert totals.not_written == {"PDU": 1}


@pytest.mark.parametrize(("link_type", "converts"), [
    (135, "editcap -C 12 -T atm-rfc1483"), (137, "editcap -C 8 -T atm-rfc1483"), (140, "tshark -r")])
def test_unread_link_types_name_a_converter(link_type: int, converts: str) -> None:
    octets = pcap_file([(7, 9, LLC)], link_type=link_type)
    with pytest.raises(CaptureError, match=rf"^x\.pcap: the link type is {link_type} .*{converts}"):
        read(octets)
    [remark] = read(section() + interface(link_type) + packet(LLC) * 2)
    assert isinstance(remark, Remark)
    assert converts in remark.text


@pytest.mark.parametrize(("link_type", "converts"), [
    (11, "editcap -T atm-rfc1483"), (19, "editcap -T linux-atm-clip"), (106, "editcap -T rawip")])
def test_link_types_that_hold_less_than_it_seems_say_so(link_type: int, converts: str) -> None:
    remark, record = read(pcap_file([(7, 9, LLC)], link_type=link_type))
    assert isinstance(remark, Remark)
    assert f"link type {link_type} " in remark.text
    assert converts in remark.text
    assert isinstance(record, PduSeen)


def test_clip_frames_that_are_neither_ip_nor_llc_are_counted() -> None:
    with open_capture(Capture(pcap_file([(0, 0, b""), (0, 0, b"\x12abc")], link_type=106))) as source:
        assert [type(one) for one in source] == [Remark] * 3
    assert source.passed_over == {"CLIP frames that are neither IP nor LLC": 2}


# ── pcapng ──

def flags(direction: int) -> bytes:
    return option(2, struct.pack("<I", direction)) + option(0, b"")


def test_names_and_directions_of_pcapng() -> None:
    octets = (section() + interface(197, name="depot:to-web1") + interface(197, name="to-web2") + interface(197)
              + interface(1, name="eth0", resolution=9) + interface(147)
              + packet(erf_cell(FIRST), number=0, options=flags(1)) + packet(erf_cell(FIRST, flags=5), number=1)
              + packet(erf_cell(FIRST), number=2)
              + packet(ethernet(UDP), number=3, ticks=7_000_000_009, options=flags(1))
              + packet(b"what", number=4) + packet(b"ever", number=4) + packet(erf_cell(LAST)))
    with open_capture(Capture(octets)) as source:
        *seen, remark, last = list(source)
    assert last == cell_seen(LAST, link="to-web1", node="depot")
    assert seen == [cell_seen(FIRST, "in", link="to-web1", node="depot"), cell_seen(FIRST, "in", link="to-web2"),
                    cell_seen(FIRST, link="link2"), cells_seen("in")]
    assert isinstance(remark, Remark)
    assert "frames of link type 147 are not known to carry cells" in remark.text
    assert source.passed_over == {"frames of link type 147": 2}
    assert source.records == 7


def test_a_capture_of_two_ethernet_interfaces_keeps_them_apart() -> None:
    octets = section() + interface(1, resolution=9) * 2 + b"".join(
        packet(ethernet(UDP), number=number, ticks=7_000_000_009) for number in (0, 1))
    assert read(octets) == [cells_seen(), cells_seen(link=LINK + "#2")]


# ── files ──

PCAP = pcap_file([(7, 9, ethernet(UDP))])
PCAPNG = section() + interface(197) + packet(erf_cell(FIRST)) + packet(erf_pdu(FIRST, PDU))


@pytest.mark.parametrize("octets", [PCAP, PCAPNG])
def test_a_path_a_string_a_file_and_a_compressed_one(octets: bytes, tmp_path: Path) -> None:
    expected = read(octets)
    path, packed = tmp_path / "a.pcap", tmp_path / "a.pcap.gz"
    path.write_bytes(octets)
    packed.write_bytes(gzip.compress(octets[:40]) + gzip.compress(octets[40:]))
    for where in (path, str(path), packed):
        with open_capture(where) as source:
            assert list(source) == expected
    with path.open("rb") as file, open_capture(file) as source:
        assert list(source) == expected
        source.close()
        assert not file.closed


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(PCAP + bytes(3))))
    [cells, remark] = open_capture("-")
    assert cells == cells_seen()
    assert isinstance(remark, Remark)
    assert remark.text.startswith("standard input: the file ends")


def test_a_pipe_is_read_as_it_comes(tmp_path: Path) -> None:
    """Each record is given before the next one is written, and stop ends it after the one that follows."""
    reading, writing = os.pipe()
    with open(writing, "wb", buffering=0) as pipe, open(reading, "rb") as file:
        pipe.write(pcap_file([], link_type=197))
        source = open_capture(file)
        records = iter(source)
        for cell in (FIRST, SECOND):
            pipe.write(pcap_file([(0, 0, erf_cell(cell))])[24:])
            assert next(records) == cell_seen(cell)
        source.stop()
        pipe.write(pcap_file([(0, 0, erf_cell(LAST))])[24:] * 3)
        assert list(records) in ([], [cell_seen(LAST)])


@pytest.mark.parametrize(("octets", "why"), [
    pytest.param(b"", "ends at octet 0", id="empty"),
    pytest.param(b"\x7fELF" + bytes(60), "no pcap file", id="a program"),
    pytest.param(b"<html>" * 9, "no pcap file", id="a page"),
    pytest.param(pcap_file([], link_type=147), r"the link type is 147, which .* those that are: 197 \(ERF\), 123 ",
                 id="link type 147"),
    pytest.param(PCAP[:20], "ends at octet 20", id="cut in its header"),
    pytest.param(gzip.compress(b"hello, this is text that has been compressed"), "no pcap file", id="gzip'd text"),
    pytest.param(gzip.compress(PCAP)[:12], "cut short", id="gzip'd and cut"),
    pytest.param(b"\x1f\x8b" + bytes(40), "damaged", id="damaged gzip")])
def test_a_file_that_is_no_capture_is_refused(octets: bytes, why: str) -> None:
    with pytest.raises(CaptureError, match=rf"^x\.pcap( \(unpacked\))?: .*{why}"):
        open_capture(Capture(octets))


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="No such file"):
        open_capture(tmp_path / "none")
    with pytest.raises(CaptureError, match="Is a directory"):
        open_capture(tmp_path)


# ── damage ──

def test_damage_is_told_with_its_place_the_first_times_and_the_rest_counted() -> None:
    bad = erf_cell(FIRST)[:40]
    octets = pcap_file([(0, 0, bad)] * 10 + [(0, 0, erf_cell(LAST))], link_type=197)
    with open_capture(Capture(octets.replace(struct.pack("<II", 40, 41), struct.pack("<II", 40, 40)))) as source:
        records = list(source)
    remarks = [record.text for record in records if isinstance(record, Remark)]
    assert [remark.split(": ")[0] for remark in remarks] == [f"x.pcap, octet {at}" for at in (24, 80, 136)]
    assert remarks[-1].endswith("further ones are only counted")
    assert records[-1] == cell_seen(LAST)
    assert source.passed_over == {"damaged ERF records": 10}


def test_a_lying_length_ends_the_reading_of_pcap_with_its_place() -> None:
    octets = PCAP + struct.pack("<IIII", 0, 0, 1 << 30, 1) + bytes(100)
    cells, remark = read(octets)
    assert cells == cells_seen()
    assert remark == Remark(f"x.pcap: the record at octet {len(PCAP)} claims 1073741824 octets, above the limit of "
                            "262144: the file is damaged from there on")


SAMPLES = {
    "erf": pcap_file([(0, 0, erf_cell(FIRST)), (0, 0, erf_pdu(FIRST, PDU)), (0, 0, erf_cell(LAST))], link_type=197),
    "big-endian": pcap_file([(0, 0, erf_cell(FIRST)), (0, 0, erf_cell(LAST))], link_type=197, order=">",
                            magic=0xA1B2C3D4),
    "ethernet": pcap_file([(0, 0, ethernet(UDP)), (0, 0, ethernet(udp_packet(FIRST)))]),
    "sunatm": pcap_file([(0, 0, b"\x82\x05\x00\x28abc")] * 2, link_type=123),
    "gns3": pcap_file([(0, 0, FIRST), (0, 0, LAST)], link_type=100),
    "pcapng": PCAPNG + section(">") + interface(1, ">", name="eth0") + packet(ethernet(UDP), ">", options=bytes(8)),
    "gzip": gzip.compress(PCAPNG),
}


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_every_cut_gives_a_beginning_of_the_records(sample: bytes) -> None:
    whole = [record for record in read(sample) if not isinstance(record, Remark)]
    for length in range(len(sample)):
        try:
            records = read(sample[:length])
        except CaptureError:
            continue
        given = [record for record in records if not isinstance(record, Remark)]
        assert given == whole[:len(given)]


@given(st.sampled_from(list(SAMPLES.values())), st.data())
def test_wrong_bits_and_lengths_raise_no_other_error(sample: bytes, data: st.DataObject) -> None:
    damaged = bytearray(sample)
    for _ in range(data.draw(st.integers(1, 4))):
        if data.draw(st.booleans()):
            at = data.draw(st.integers(0, len(sample) * 8 - 1))
            damaged[at // 8] ^= 1 << at % 8
        else:
            at = data.draw(st.integers(0, len(sample) - 4))
            damaged[at:at + 4] = data.draw(st.sampled_from([b"\0" * 4, b"\xff" * 4, b"\0\0\1\0", b"\x7f\xff\xff\xff"]))
    check(bytes(damaged))


heads = st.sampled_from([b"", *(sample[:24] for sample in SAMPLES.values()), section(), PCAPNG])


@given(st.binary(max_size=300), heads, st.sampled_from([(), (5501,)]))
def test_noise_raises_no_other_error(noise: bytes, before: bytes, ports: tuple[int, ...]) -> None:
    check(before + noise, ports)


def check(octets: bytes, ports: tuple[int, ...] = ()) -> None:
    records: list[SourceRecord] = []
    with contextlib.suppress(CaptureError):
        records = read(octets, ports=ports)
    for record in records:
        if isinstance(record, Remark):
            assert record.text.isprintable()
        elif isinstance(record, Cells):
            assert record.octets
            assert len(record.octets) % 53 == 0
            assert record.direction in ("in", "out", "")
        else:
            assert record.time >= 0


# ── memory ──

class Endless(io.RawIOBase):
    """A head, and then a body again and again, up to a number of octets."""

    def __init__(self, head: bytes, body: bytes, length: int) -> None:
        self._parts = [head]
        self._body = body * (1 + (1 << 16) // len(body))
        self.left = length

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        octets = self._parts.pop() if self._parts else self._body
        given, rest = octets[:size], octets[size:]
        if rest:
            self._parts.append(rest)
        self.left -= len(given)
        return given if self.left > 0 else b""


def flows(count: int) -> bytes:
    """Datagrams of many conversations, none of which is ever proven."""
    return b"".join(pcap_file([(0, 0, ethernet(udp_packet(FIRST, ("10.1.0.1", 1 + n))))])[24:] for n in range(count))


BODIES = {
    "erf": (pcap_file([], link_type=197), pcap_file([(0, 0, erf_cell(FIRST)), (0, 0, erf_pdu(FIRST, PDU))])[24:]),
    "damaged": (pcap_file([], link_type=197), pcap_file([(0, 0, erf_cell(FIRST)[:50])])[24:]),
    "pcapng": (section() + interface(197), packet(erf_cell(FIRST), options=flags(1)) + packet(b"", number=9)),
    "sections": (b"", section() + interface(1, name="x" * 50) * 3),
    "interfaces": (section(), interface(197, name="eth0")),
    "unproven": (pcap_file([]), flows(50)),
}


@pytest.mark.parametrize(("head", "body"), BODIES.values(), ids=BODIES)
def test_memory_does_not_grow_with_the_file(head: bytes, body: bytes) -> None:
    peaks = []
    for length in (2_400_000, 4_000_000) if body is BODIES["unproven"][1] else (600_000, 2_400_000):
        file: BinaryIO = Endless(head, body, length)  # type: ignore[assignment]
        tracemalloc.start()
        try:
            with open_capture(file) as source:
                kinds = Counter(type(record) for record in source)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert kinds[Remark] < 10
    assert peaks[1] < 1.2 * peaks[0] < 6_000_000


# ── hostile captures ──

KINDS = {
    "pcap": PCAP, "pcap of ERF": pcap_file([(0, 0, erf_cell(FIRST)), (0, 0, erf_pdu(FIRST, PDU))], link_type=197),
    "SunATM": pcap_file([(0, 0, b"\x82\x05\x00\x28" + LLC)] * 2, link_type=123),
    "RFC 1483": pcap_file([(0, 0, LLC), (0, 0, FIRST)], link_type=100), "pcapng": PCAPNG,
    "ERF": erf_cell(FIRST) + erf_cell(SECOND) + erf_pdu(FIRST, PDU)}


@pytest.mark.parametrize("octets", KINDS.values(), ids=KINDS)
@given(st.lists(st.tuples(st.integers(0, 400), st.sampled_from([
    b"", b"\0", b"\xff", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0"])), max_size=4),
    st.none() | st.integers(0, 400))
def test_only_the_captures_error_escapes(
        octets: bytes, changes: list[tuple[int, bytes]], cut: int | None) -> None:
    """From the file to the last line, through every part that reads what the file says."""
    for at, change in changes:
        octets = octets[:at] + change + octets[at + len(change):]
    follower = Follower(cells=True, sessions=CaptureSessions())
    printer = LinePrinter()
    with contextlib.suppress(CaptureError), open_capture(Capture(octets[:cut])) as source:
        for record in source:
            for item in follower.take(record):
                assert printer.line(item)
                assert row(item)
                tree_text(item, cells=True)
