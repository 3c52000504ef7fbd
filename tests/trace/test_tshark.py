"""Our captures as tshark sees them, and its captures as we read them."""

from __future__ import annotations

import gzip
import io
import struct
import subprocess
import zlib
from typing import TYPE_CHECKING

import pytest

from atmdepot.trace.capture.erf import MAX_PDU_CELLS
from atmdepot.trace.capture.files import open_capture
from atmdepot.trace.capture.pcap import CaptureError, LinkType, PcapReader, PcapRecord, PcapWriter, ip_packets
from atmdepot.trace.capture.write import ATM_FORMATS, open_writer
from atmdepot.trace.follow import Follower
from atmdepot.trace.items import Pdu
from atmdepot.trace.sources import CapturedCells, PduSeen, Remark
from atmdepot.wire.aal5 import cpcs_pdu
from atmdepot.wire.ip import address_text
from atmdepot.wire.llc import Encapsulation, encapsulate
from atmdepot.wire.oam import ActivationFunction, FaultFunction, OamFlow
from atmdepot.wire.oam_messages import (
    Activation,
    Backward,
    ContinuityCheck,
    Defect,
    Direction,
    Forward,
    Loopback,
    Request,
)
from tests.trace.captures import (
    V4_ADDRESSES,
    V6_ADDRESSES,
    cells_of,
    erf_cell,
    erf_pdu,
    ethernet,
    flipped,
    http_packet,
    interface,
    packet,
    pcap_file,
    section,
    train_of,
    udp_packet,
)
from tests.trace.traced import traced

if TYPE_CHECKING:
    from pathlib import Path

    from atmdepot.trace.sources import SourceRecord
    from tests.wireshark import Wireshark

pytestmark = pytest.mark.tshark

TIME = 1_700_000_000_123_456_789
GOOD = "1"
"""A checksum's state as tshark names it."""
ONLY_CELLS, ONLY_PDUS = "erf.types.type == 3", "erf.types.type == 4"


def write_erf(path: Path, *trains: tuple[bytes, str]) -> Path:
    """A capture of trains, a ms apart."""
    traced(path, ((TIME + n * 1_000_000, direction, train) for n, (train, direction) in enumerate(trains)))
    return path


@pytest.mark.parametrize("encapsulation", [Encapsulation.VC_MUX, Encapsulation.LLC])
@pytest.mark.parametrize("version", [4, 6])
def test_cells_aal5_ip_tcp_and_http_are_seen(
        tshark: Wireshark, tmp_path: Path, version: int, encapsulation: Encapsulation) -> None:
    train = train_of(encapsulate(http_packet(version), encapsulation), vpi=7, vci=1234)
    count = len(train) // 53
    path = write_erf(tmp_path / "link.erf", (train, "out"))

    assert tshark.fields(path, "erf.types.type", "atm.vpi", "atm.vci") == (
        [["3", "7", "1234"]] * count + [["4", "7", "1234"]])
    [pdu] = tshark.frames(path, ONLY_PDUS)
    assert "AAL5 CRC: 0x" in pdu
    assert "(correct)" in pdu
    assert f"Cells: {count}\n" in pdu
    ip, addresses = ("ip", V4_ADDRESSES) if version == 4 else ("ipv6", V6_ADDRESSES)
    [seen] = tshark.fields(path, f"{ip}.src", f"{ip}.dst", "tcp.dstport", "tcp.checksum.status",
                           "http.request.uri", only=f"{ONLY_PDUS} && http")
    assert seen == [*map(address_text, addresses), "80", GOOD, "/index.html"]


def test_the_payload_of_a_cell_stands_in_its_place(tshark: Wireshark, tmp_path: Path) -> None:
    train = train_of(http_packet(4))
    path = write_erf(tmp_path / "link.erf", (train, "out"))
    seen = [payload for [payload] in tshark.fields(path, "data.data", only=ONLY_CELLS)]
    assert seen == [cell[5:].hex() for cell in cells_of(train)]


@pytest.mark.parametrize("version", [4, 6])
def test_a_damaged_pdu_has_an_incorrect_crc(tshark: Wireshark, tmp_path: Path, version: int) -> None:
    train = train_of(http_packet(version))
    # One bit in the third cell: in the request, behind the headers by which tshark finds it.
    path = write_erf(tmp_path / "link.erf", (train, "out"), (flipped(train, (53 * 2 + 20) * 8 + 7), "out"))
    good, bad = tshark.frames(path, ONLY_PDUS)
    assert "(correct)" in good
    assert "(incorrect" in bad
    assert "Transmission Control Protocol" in bad


def test_interleaved_vcs_directions_times_and_header_errors(tshark: Wireshark, tmp_path: Path) -> None:
    one, two = train_of(http_packet(4), 5, 40), train_of(http_packet(6), 5, 41)
    mixed = b"".join(cell for pair in zip(cells_of(one), cells_of(two), strict=False) for cell in pair)
    rest = b"".join(cells_of(two)[len(cells_of(one)):])
    path = write_erf(tmp_path / "link.erf", (mixed, "out"), (rest, "out"),
                     (flipped(one, 30) + flipped(one[:53], 3, 30), "in"))

    pdus = tshark.frames(path, ONLY_PDUS)
    assert len(pdus) == 3
    assert all("(correct)" in pdu for pdu in pdus)
    names = "atm.vci", "erf.flags.cap", "atm.channel", "frame.time_epoch"
    assert tshark.fields(path, *names, only=ONLY_PDUS) == [
        ["40", "0", "0", "1700000000.123456789"], ["41", "0", "0", "1700000000.124456789"],
        ["40", "1", "1", "1700000000.125456789"]]
    errors = [rxe for [rxe] in tshark.fields(path, "erf.flags.rxe", only="erf.flags.cap == 1")]
    assert errors == [*["0"] * (len(one) // 53 + 1), "1"], "a corrected cell is written as a receiver goes on with it"


def test_the_greatest_pdu_is_seen_whole(tshark: Wireshark, tmp_path: Path) -> None:
    size = MAX_PDU_CELLS * 48 - 8
    path = write_erf(tmp_path / "link.erf", (train_of(http_packet(4, bytes(size - 40))), "out"))
    [pdu] = tshark.frames(path, ONLY_PDUS)
    assert f"AAL5 len: {size}\n" in pdu
    assert "(correct)" in pdu
    assert len(tshark.fields(path, "atm.vci")) == MAX_PDU_CELLS + 1


def test_tshark_reads_our_writers_files(tshark: Wireshark, tmp_path: Path) -> None:
    path = tmp_path / "ours.pcap"
    times = [0, 1, 999_999_999, TIME, TIME + 1, (2**31 - 1) * 10**9]
    with path.open("wb") as file:
        writer = PcapWriter(file, LinkType.RAW_IP)
        for time_ns in times:
            writer.write(time_ns, http_packet(4))
    seen = tshark.fields(path, "frame.time_epoch", "ip.src", "tcp.dstport")
    assert seen == [[f"{time_ns // 10**9}.{time_ns % 10**9:09}", "192.0.2.1", "80"] for time_ns in times]


PCAP_FORMATS = {"microseconds": ("pcap", 1000), "nanoseconds": ("nsecpcap", 1)}


@pytest.mark.parametrize(("kind", "unit"), PCAP_FORMATS.values(), ids=PCAP_FORMATS)
@pytest.mark.parametrize("program", ["tshark", "editcap"])
def test_our_reader_reads_files_of_tshark_and_editcap(
        tshark: Wireshark, tmp_path: Path, program: str, kind: str, unit: int) -> None:
    ethernet = bytes(12) + b"\x08\x00"
    sent = [(1_700_000_000, 123_456_789, ethernet + http_packet(4)), (1_700_000_001, 7, b"short")]
    source, copy = tmp_path / "source.pcap", tmp_path / "copy.pcap"
    source.write_bytes(pcap_file(sent, order=">"))
    if program == "tshark":
        tshark.tshark(source, "-F", kind, "-w", str(copy))
    else:
        tshark.editcap("-F", kind, source, copy)
    expected = [PcapRecord((seconds * 10**9 + ns) // unit * unit, octets, len(octets) + 1)
                for seconds, ns, octets in sent]
    with copy.open("rb") as file:
        reader = PcapReader(file)
        assert reader.link_type is LinkType.ETHERNET
        assert list(reader) == expected
        assert reader.truncated is None
    with copy.open("rb") as file:
        assert [packet for _, packet in ip_packets(PcapReader(file))] == [http_packet(4)]


def test_a_pcapng_file_is_refused_and_the_advice_given_works(tshark: Wireshark, tmp_path: Path) -> None:
    source, modern, converted = (tmp_path / name for name in ("a.pcap", "b.pcapng", "c.pcap"))
    source.write_bytes(pcap_file([(1, 2000, http_packet(4))], link_type=101))
    tshark.editcap("-F", "pcapng", source, modern)
    with modern.open("rb") as file, pytest.raises(CaptureError) as refusal:
        PcapReader(file)
    advice = str(refusal.value).split("`")[1]
    command = [{"IN": str(modern), "OUT": str(converted)}.get(word, word) for word in advice.split()]
    subprocess.run(command, check=True, capture_output=True)
    reader = PcapReader(io.BytesIO(converted.read_bytes()))
    assert list(ip_packets(reader)) == [(1_000_002_000, http_packet(4))]


# ── the writers ──

def read(path: Path) -> list[SourceRecord]:
    with open_capture(path) as source:
        return list(source)


def write(path: Path, kind: str, *, snap: int = 0) -> Path:
    """Two links of two nodes, with a request of IPv4 out and one of IPv6 in, each with its cells."""
    with open_writer(path, kind, snap=snap) as writer:
        for n, (node, link, direction, version) in enumerate((("depot", "to-web1", "out", 4), ("web1", "up", "in", 6))):
            sdu = encapsulate(http_packet(version), Encapsulation.LLC)
            train = train_of(sdu, 5, 40 + n)
            writer.cells(TIME + n, node, link, direction, train)
            writer.pdu(TIME + n, node, link, direction, train[-53:-49], cpcs_pdu(sdu), f"request {n}")
        writer.missed("web1", 7)
    return path


@pytest.mark.parametrize("kind", ATM_FORMATS)
def test_each_format_shows_vcs_times_packets_and_http(tshark: Wireshark, tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / kind, kind)
    seen = tshark.fields(path, "frame.time_epoch", "atm.vpi", "atm.vci", "tcp.checksum.status", "http.request.uri",
                         only="http")
    assert seen == [["1700000000.123456789", "5", "40", GOOD, "/index.html"],
                    ["1700000000.123456790", "5", "41", GOOD, "/index.html"]]
    if kind != "sunatm":
        pdus = tshark.frames(path, ONLY_PDUS)
        assert ["(correct)" in pdu for pdu in pdus] == [True, True]
        cells = tshark.fields(path, "atm.vci", "data.data", only=ONLY_CELLS)
        trains = [train_of(encapsulate(http_packet(4 + 2 * n), Encapsulation.LLC), 5, 40 + n) for n in (0, 1)]
        assert cells == [[str(40 + n), cell[5:].hex()] for n, train in enumerate(trains) for cell in cells_of(train)]


def test_pcapng_has_interfaces_directions_comments_and_counts(tshark: Wireshark, tmp_path: Path) -> None:
    path = write(tmp_path / "a.pcapng", "pcapng")
    names = ("frame.interface_name", "frame.interface_description", "frame.packet_flags_direction", "frame.comment")
    assert tshark.fields(path, *names, only=ONLY_PDUS) == [
        ["depot:to-web1", "ATM link to-web1, as node depot sees it", "0x00000002", "request 0"],
        ["web1:up", "ATM link up, as node web1 sees it", "0x00000001", "request 1"]]
    told = tshark.capinfos(path)
    assert "Capture application: atmdepot" in told
    assert told.count("Number of stat entries = 1") == 2
    assert told.count("Time precision = nanoseconds (9)") == 2


@pytest.mark.parametrize("kind", ATM_FORMATS)
def test_a_snap_length_is_a_shorter_frame_of_the_same_length(tshark: Wireshark, tmp_path: Path, kind: str) -> None:
    only = "" if kind == "sunatm" else ONLY_PDUS
    whole = tshark.fields(write(tmp_path / "whole", kind), "frame.len", "frame.cap_len", only=only)
    cut = tshark.fields(write(tmp_path / "cut", kind, snap=60), "frame.len", "frame.cap_len", only=only)
    assert [length for length, _ in cut] == [length for length, _ in whole]
    assert [captured for _, captured in cut] == ["60" if kind == "sunatm" else "64"] * 2


def test_every_file_of_a_rotation_is_one_for_tshark(tshark: Wireshark, tmp_path: Path) -> None:
    train = train_of(http_packet(4))
    with open_writer(tmp_path / "r.pcapng", "pcapng", max_octets=2000) as writer:
        for n in range(10):
            writer.cells(TIME + n, "depot", f"link{n % 3}", "out", train)
    paths = sorted(tmp_path.glob("r_*"))
    assert len(paths) > 1
    assert sum(len(tshark.fields(path, "atm.vci", "frame.interface_name")) for path in paths) == 30


# ── the readers ──

def test_rewritten_captures_are_read_as_the_first_ones(tshark: Wireshark, tmp_path: Path) -> None:
    for kind in ATM_FORMATS:
        path = write(tmp_path / f"{kind}.pcap", kind)
        expected = read(path)
        copies = {name: tmp_path / f"{kind}-{name}" for name in ("tshark", "editcap", "mergecap", "pcap", "gz")}
        tshark.tshark(path, "-F", "pcapng", "-w", str(copies["tshark"]))
        tshark.editcap("-F", "pcapng", path, copies["editcap"])
        tshark.mergecap("-F", "pcapng", "-w", copies["mergecap"], path)
        copies["gz"].write_bytes(gzip.compress(path.read_bytes()))
        if kind == "pcapng":
            copies.pop("pcap")
        else:
            tshark.editcap("-F", "nsecpcap", path, copies["pcap"])
        for name, copy in copies.items():
            assert read(copy) == expected, (kind, name)


def test_merged_captures_keep_the_links_apart(tshark: Wireshark, tmp_path: Path) -> None:
    one, two, merged = write(tmp_path / "one", "pcapng"), tmp_path / "two", tmp_path / "merged"
    train = train_of(http_packet(4))
    with open_writer(two, "pcapng") as writer:
        writer.cells(TIME + 2, "sw1", "trunk", "out", train)
    tshark.mergecap("-w", merged, one, two)
    assert read(merged) == read(one) + read(two)


def test_captures_cut_by_editcap_report_missing_octets(tshark: Wireshark, tmp_path: Path) -> None:
    path, cut = write(tmp_path / "a", "erf"), tmp_path / "cut"
    tshark.editcap("-s", "80", path, cut)
    for whole, part in zip(read(path), read(cut), strict=True):
        if isinstance(whole, PduSeen):
            assert isinstance(part, PduSeen)
            assert part.octets + whole.octets[len(part.octets):] == whole.octets
            assert part.missing == len(whole.octets) - len(part.octets) > 0
        else:
            assert part == whole
    tshark.editcap("-s", "40", path, cut)
    assert not any(isinstance(record, CapturedCells) for record in read(cut))


@pytest.mark.parametrize("resolution", [None, 0, 3, 6, 9, 0x80 | 20, 0x80 | 32])
@pytest.mark.parametrize("offset", [None, 1000])
def test_times_of_any_resolution_agree_with_tshark(
        tshark: Wireshark, tmp_path: Path, resolution: int | None, offset: int | None) -> None:
    path = tmp_path / "a.pcapng"
    frame = ethernet(udp_packet(train_of(http_packet(4))))
    path.write_bytes(section(">") + interface(1, ">", resolution=resolution, offset=offset)
                     + b"".join(packet(frame, ">", ticks=ticks) for ticks in (0, 1_234_567, 987_654_321)))
    times = [f"{record.time // 10**9}.{record.time % 10**9:09}" for record in read(path)
             if not isinstance(record, Remark)]
    assert [[time] for time in times] == tshark.fields(path, "frame.time_epoch")


def test_channels_and_extension_headers_are_read_as_tshark_does(tshark: Wireshark, tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    train, sdu = train_of(http_packet(4), 7, 77), http_packet(4)
    channel, extension = struct.pack(">I", 7), b"\x03" + bytes(7)
    records = [erf_pdu(train[:4], cpcs_pdu(sdu), kind=9, extra=channel),
               erf_pdu(train[:4], cpcs_pdu(sdu), kind=0x89, extra=extension + channel),
               erf_pdu(train[:4], train[5:53], kind=7, extra=channel),
               erf_pdu(train[:4], train[5:53], kind=0x83, extra=extension)]
    path.write_bytes(pcap_file([(0, 0, record) for record in records], link_type=197))
    assert tshark.fields(path, "atm.vci", "http.request.uri") == [["77", "/index.html"], *[["77", ""]] * 3]
    assert ["(correct)" in frame for frame in tshark.frames(path)] == [True, True, False, False]
    seen = read(path)
    assert [getattr(record, "octets", None) for record in seen] == [cpcs_pdu(sdu)] * 2 + [train[:53]] * 2


# ── what both read ──

def items_of(path: Path) -> list[Pdu]:
    follower = Follower()
    return [item for record in read(path) for item in follower.take(record) if isinstance(item, Pdu)]


def test_an_erf_file_is_read_as_tshark_reads_it(tshark: Wireshark, tmp_path: Path) -> None:
    path = tmp_path / "records.erf"
    train = train_of(http_packet(4))
    pdu = cpcs_pdu(http_packet(4))
    other = struct.pack("<QBB", 3 << 32, 2, 4) + struct.pack(">HHH", 16 + 62, 0, 60) + bytes(62)
    path.write_bytes(b"".join([*map(erf_cell, cells_of(train)), other, erf_pdu(train, pdu),
                               erf_pdu(train, pdu, kind=0x84, extra=b"\x01" + bytes(7))]))
    types = [kind for (kind,) in tshark.fields(path, "erf.types.type")]
    records = [one for one in read(path) if not isinstance(one, Remark)]
    assert types == ["3", "3", "3", "2", "4", "4"]
    assert [type(one) for one in records] == [CapturedCells] * 3 + [PduSeen] * 2
    assert tshark.fields(path, "tcp.dstport", only="tcp") == [["80"], ["80"]]
    assert [pdu.flow[4] for pdu in items_of(path) if pdu.flow] == [80, 80]


@pytest.mark.parametrize(("link_type", "header"), [
    (135, bytes.fromhex("4D474300") + bytes(8)), (137, bytes.fromhex("4D474300") + bytes(4))])
def test_the_advice_on_junipers_link_types_works(
        tshark: Wireshark, tmp_path: Path, link_type: int, header: bytes) -> None:
    source, converted = tmp_path / "juniper.pcap", tmp_path / "converted.pcapng"
    source.write_bytes(pcap_file([(1, 0, header + encapsulate(http_packet(4), Encapsulation.LLC))],
                                 link_type=link_type))
    with pytest.raises(CaptureError) as refusal:
        open_capture(source)
    advice = str(refusal.value).split("`")[1]
    command = [{"IN": str(source), "OUT": str(converted)}.get(word, word) for word in advice.split()]
    subprocess.run(command, check=True, capture_output=True)
    [pdu] = items_of(converted)
    assert pdu.flow is not None
    assert pdu.flow[4] == 80
    assert pdu.vc is None


@pytest.mark.parametrize(("link_type", "frame"), [
    (11, encapsulate(http_packet(4), Encapsulation.LLC)), (19, http_packet(4)), (106, http_packet(6))])
def test_frames_without_a_vc_agree_with_tshark(
        tshark: Wireshark, tmp_path: Path, link_type: int, frame: bytes) -> None:
    path = tmp_path / "frames.pcap"
    path.write_bytes(pcap_file([(1, 0, frame)], link_type=link_type))
    assert tshark.fields(path, "tcp.dstport", "http.request.uri") == [["80", "/index.html"]]
    [pdu] = items_of(path)
    assert pdu.flow is not None
    assert pdu.flow[4] == 80


@pytest.mark.parametrize("head", ["AAAA030080C200070000", "AAAA030080C200010000"])
def test_bridged_frames_agree_with_tshark(tshark: Wireshark, tmp_path: Path, head: str) -> None:
    frame = ethernet(http_packet(4), bytes.fromhex("81002005"))
    fcs = zlib.crc32(frame).to_bytes(4, "little") if head.endswith("10000") else b""
    path = write_erf(tmp_path / "bridged.pcap", (train_of(bytes.fromhex(head) + frame + fcs), "out"))
    [[port, vlan]] = tshark.fields(path, "tcp.dstport", "vlan.id", only="http.request")
    assert (port, vlan) == ("80", "5")
    assert [pdu.flow[4] for pdu in items_of(path) if pdu.flow] == [80]


def test_oam_cells_have_a_right_crc(tshark: Wireshark, tmp_path: Path) -> None:
    """Of each function that a node sends, on F4 and on F5."""
    place = b"\1" * 16
    payloads = [Defect(FaultFunction.AIS, location=place).pack(), Defect(FaultFunction.RDI, location=place).pack(),
                ContinuityCheck().pack(), Loopback(True, 7, source=place).pack(), Forward(1, 2, 3, 4).pack(),
                Backward(1, 2, 3, 4, 5, 6, 7, 8).pack(),
                Activation(ActivationFunction.CONTINUITY_CHECK, Request.ACTIVATE, Direction.BOTH, 1).pack()]
    trains = [(flow.header(1, 40) + payload, "out") for flow in OamFlow for payload in payloads]
    path = write_erf(tmp_path / "oam.erf", *trains)
    frames = tshark.frames(path, ONLY_CELLS)
    assert len(frames) == len(trains)
    assert ["CRC-10" in frame and "(correct)" in frame for frame in frames] == [True] * len(trains)
