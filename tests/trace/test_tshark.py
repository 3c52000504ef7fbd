"""Our captures as tshark sees them, and its captures as we read them."""

from __future__ import annotations

import io
import subprocess
from typing import TYPE_CHECKING

import pytest

from atmdepot.trace.erf import MAX_PDU_CELLS, Direction, ErfCapture
from atmdepot.trace.pcap import CaptureError, LinkType, PcapReader, PcapRecord, PcapWriter, ip_packets
from atmdepot.wire.ip import address_text
from atmdepot.wire.llc import Encapsulation, encapsulate
from tests.trace.captures import (
    V4_ADDRESSES,
    V6_ADDRESSES,
    cells_of,
    flipped,
    http_packet,
    pcap_file,
    train_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.trace.conftest import Wireshark

pytestmark = pytest.mark.tshark

TIME = 1_700_000_000_123_456_789
SENT, RECEIVED = Direction.SENT, Direction.RECEIVED
GOOD = "1"
"""What tshark says of a checksum."""
ONLY_CELLS, ONLY_PDUS = "erf.types.type == 3", "erf.types.type == 4"


def write_erf(path: Path, *trains: tuple[bytes, int]) -> Path:
    with path.open("wb") as file:
        capture = ErfCapture(file)
        for n, (train, direction) in enumerate(trains):
            capture.record(TIME + n * 1_000_000, train, direction)
    return path


@pytest.mark.parametrize("encapsulation", [Encapsulation.VC_MUX, Encapsulation.LLC])
@pytest.mark.parametrize("version", [4, 6])
def test_cells_aal5_ip_tcp_and_http_are_seen(
        tshark: Wireshark, tmp_path: Path, version: int, encapsulation: Encapsulation) -> None:
    train = train_of(encapsulate(http_packet(version), encapsulation), vpi=7, vci=1234)
    count = len(train) // 53
    path = write_erf(tmp_path / "link.erf", (train, SENT))

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
    path = write_erf(tmp_path / "link.erf", (train, SENT))
    seen = [payload for [payload] in tshark.fields(path, "data.data", only=ONLY_CELLS)]
    assert seen == [cell[5:].hex() for cell in cells_of(train)]


@pytest.mark.parametrize("version", [4, 6])
def test_a_damaged_pdu_has_an_incorrect_crc(tshark: Wireshark, tmp_path: Path, version: int) -> None:
    train = train_of(http_packet(version))
    # One bit in the third cell: in the request, behind the headers by which tshark finds it.
    path = write_erf(tmp_path / "link.erf", (train, SENT), (flipped(train, (53 * 2 + 20) * 8 + 7), SENT))
    good, bad = tshark.frames(path, ONLY_PDUS)
    assert "(correct)" in good
    assert "(incorrect" in bad
    assert "Transmission Control Protocol" in bad


def test_interleaved_vcs_directions_times_and_header_errors(tshark: Wireshark, tmp_path: Path) -> None:
    one, two = train_of(http_packet(4), 5, 40), train_of(http_packet(6), 5, 41)
    mixed = b"".join(cell for pair in zip(cells_of(one), cells_of(two), strict=False) for cell in pair)
    rest = b"".join(cells_of(two)[len(cells_of(one)):])
    path = write_erf(tmp_path / "link.erf", (mixed, SENT), (rest, SENT), (flipped(one, 30), RECEIVED))

    pdus = tshark.frames(path, ONLY_PDUS)
    assert len(pdus) == 3
    assert all("(correct)" in pdu for pdu in pdus)
    names = "atm.vci", "erf.flags.cap", "atm.channel", "frame.time_epoch"
    assert tshark.fields(path, *names, only=ONLY_PDUS) == [
        ["40", "0", "0", "1700000000.123456789"], ["41", "0", "0", "1700000000.124456789"],
        ["40", "1", "1", "1700000000.125456789"]]
    errors = [rxe for [rxe] in tshark.fields(path, "erf.flags.rxe", only="erf.flags.cap == 1")]
    assert errors == ["1", *["0"] * (len(one) // 53)]


def test_the_greatest_pdu_is_seen_whole(tshark: Wireshark, tmp_path: Path) -> None:
    size = MAX_PDU_CELLS * 48 - 8
    path = write_erf(tmp_path / "link.erf", (train_of(http_packet(4, bytes(size - 40))), SENT))
    [pdu] = tshark.frames(path, ONLY_PDUS)
    assert f"AAL5 len: {size}\n" in pdu
    assert "(correct)" in pdu
    assert len(tshark.fields(path, "atm.vci")) == MAX_PDU_CELLS + 1


def test_what_our_writer_writes_tshark_reads(tshark: Wireshark, tmp_path: Path) -> None:
    path = tmp_path / "ours.pcap"
    times = [0, 1, 999_999_999, TIME, TIME + 1, (2**31 - 1) * 10**9]
    with path.open("wb") as file:
        writer = PcapWriter(file, LinkType.RAW_IP)
        for time_ns in times:
            writer.write(time_ns, http_packet(4))
    seen = tshark.fields(path, "frame.time_epoch", "ip.src", "tcp.dstport")
    assert seen == [[f"{time_ns // 10**9}.{time_ns % 10**9:09}", "192.0.2.1", "80"] for time_ns in times]


FORMATS = {"microseconds": ("pcap", 1000), "nanoseconds": ("nsecpcap", 1)}


@pytest.mark.parametrize(("kind", "unit"), FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("program", ["tshark", "editcap"])
def test_what_tshark_and_editcap_write_our_reader_reads(
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
