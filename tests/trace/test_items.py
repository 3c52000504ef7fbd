"""Descriptions of cells and PDUs, and the contents of an SDU."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.net.events import Drop
from atmdepot.trace.filter.filter import parse_filter
from atmdepot.trace.items import Cell, HecVerdict, Pdu, Place, encapsulation_of
from atmdepot.trace.names import VcName
from atmdepot.trace.show.clock import Stamp
from atmdepot.trace.show.fields import row
from atmdepot.trace.show.text import LinePrinter
from atmdepot.trace.show.tree import tree_text
from atmdepot.trace.verdicts import expected_cells
from atmdepot.wire.cell import CellHeader
from atmdepot.wire.llc import Encapsulation, encapsulate
from atmdepot.wire.packet import analyse
from atmdepot.wire.statistics import ServerState, Statistics
from tests.ip_packets import ping, tcp
from tests.packets import ip_packets, no_packets
from tests.trace.captures import ethernet, http_packet

PLACE = Place("depot", "to-web1", "out")
V4 = tcp("10.9.0.2", 4000, "10.80.0.1", 80, 2)
V6 = ping("fd00:9::2", "fd00:80::1")
ARP = bytes.fromhex("AAAA030000000806") + bytes(28)


def pdu_of(sdu: bytes, name: VcName | None = None, octets: bytes = b"") -> Pdu:
    pdu = Pdu(5, 3, PLACE, bytes(4), 1, 64, octets or sdu)
    pdu.sdu = sdu
    pdu.name = name or pdu.name
    return pdu


def cell_of(vci: int, pti: int) -> Cell:
    return Cell(5, PLACE, CellHeader(1, vci, pti).pack() + bytes(range(48)), CellHeader(1, vci, pti), HecVerdict.GOOD)


def test_items_are_somewhere() -> None:
    cell, pdu = cell_of(64, 0), pdu_of(V4)
    assert (cell.time, cell.node, cell.link, cell.direction) == (5, *PLACE)
    assert (pdu.time, pdu.begun, pdu.node, pdu.link, pdu.direction) == (5, 3, *PLACE)
    assert cell.payload == bytes(range(48))


@pytest.mark.parametrize(("vci", "pti", "is_oam"), [
    (64, 0, False), (64, 3, False), (64, 4, True), (64, 5, True), (64, 6, False), (64, 7, False),
    (3, 0, True), (3, 3, True), (4, 0, True), (3, 6, False), (4, 7, False), (4, 5, True), (5, 0, False), (2, 1, False)])
def test_oam_cells_by_pti_and_by_vci(vci: int, pti: int, is_oam: bool) -> None:
    """F5 has PTI 4 and 5, F4 the VCIs 3 and 4 (I.361 sections 2.2.3 and 2.2.4)."""
    assert cell_of(vci, pti).is_oam == is_oam


@pytest.mark.parametrize(("octets", "length", "pad"), [
    (48, 40, 0), (48, 1, 39), (48, 41, -1), (96, 41, 47), (96, 40, -1), (48, -1, -1), (48, 0, 40), (0, -1, -1)])
def test_pad(octets: int, length: int, pad: int) -> None:
    pdu = pdu_of(b"", octets=bytes(octets))
    pdu.length = length
    assert pdu.pad == pad


@pytest.mark.parametrize(("octets", "missing", "count", "unfinished", "told"), [
    (48, 0, 1, False, True), (48, 48, 2, False, True), (40, 0, 1, False, False), (40, 8, 1, False, True),
    (48, 0, 1, True, False)])
def test_a_trailer_fills_the_last_cell(octets: int, missing: int, count: int, unfinished: bool, told: bool) -> None:
    pdu = pdu_of(b"", octets=bytes(octets))
    pdu.missing, pdu.count, pdu.unfinished = missing, count, unfinished
    assert pdu.has_trailer == told


# What an SDU carries.


@given(ip_packets, st.sampled_from([Encapsulation.VC_MUX, Encapsulation.LLC]), st.booleans())
def test_ip_packets_are_found_with_and_without_a_table(octets: bytes, how: Encapsulation, is_told: bool) -> None:
    pdu = pdu_of(encapsulate(octets, how), VcName(encapsulation=how if is_told else None))
    assert (pdu.carried.how, pdu.carried.octets, pdu.packet) == (how, octets, analyse(octets))
    assert pdu.carried.ethertype == (0x0800 if octets[0] >> 4 == 4 else 0x86DD)
    assert pdu.carried.problem == ""
    assert pdu.flow == analyse(octets).flow()
    assert pdu.carried is pdu.carried, "it is looked at once"


@pytest.mark.parametrize(("sdu", "name", "how", "problem"), [
    (b"\0\1\2", VcName(), "", "no IP packet: it begins 00 01 02"),
    (ARP, VcName(), "llc", "EtherType 0806"),
    (bytes.fromhex("AAAA030080C200070000") + bytes(20), VcName(), "llc-bridged", "a bridged Ethernet frame"),
    (bytes.fromhex("AAAA030080C200010000") + bytes(2), VcName(), "llc-bridged",
     "a bridged frame with FCS is shorter than its FCS"),
    (bytes(16), VcName(), "vc-mux-bridged", "a bridged Ethernet frame"),
    (V4, VcName(encapsulation=Encapsulation.LLC), "llc", f"the SDU begins {V4[:10].hex(' ')}, not aa aa 03 00 00 00"),
    (V4[:30], VcName(), "vc-mux", "header 20, total 40 and 30 octets contradict one another"),
    (b"\x20" * 30, VcName(encapsulation=Encapsulation.VC_MUX), "vc-mux",
     "a packet of version 2 is neither IPv4 nor IPv6"),
    (V4, VcName(role="management"), "statistics", "statistics of an edge node")])
def test_sdus_without_a_packet_say_why(sdu: bytes, name: VcName, how: str, problem: str) -> None:
    pdu = pdu_of(sdu, name)
    assert (pdu.carried.how, pdu.carried.problem, pdu.packet, pdu.flow) == (how, problem, None, None)


@given(st.binary(max_size=80) | no_packets, st.none() | st.sampled_from(Encapsulation),
       st.sampled_from(["", "session", "management"]))
def test_any_sdu_carries_a_packet_or_says_why_not(sdu: bytes, how: Encapsulation | None, role: str) -> None:
    carried = pdu_of(sdu, VcName(role=role, encapsulation=how)).carried
    assert (carried.packet is None) == bool(carried.problem)


def test_a_pdu_without_sdu_is_empty() -> None:
    assert pdu_of(b"", octets=V4).packet is None


@pytest.mark.parametrize(("sdu", "told"), [
    (b"", None), (b"\x45", Encapsulation.VC_MUX), (b"\x60", Encapsulation.VC_MUX), (b"\x50", None),
    (bytes.fromhex("AAAA03000000"), Encapsulation.LLC), (bytes.fromhex("AAAA0300000108"), None),
    (bytes.fromhex("AAAA030080C200070000"), Encapsulation.LLC_BRIDGED),
    (bytes.fromhex("AAAA030080C200010000"), Encapsulation.LLC_BRIDGED),
    (bytes.fromhex("AAAA030080C200020000"), None),
    (bytes(16), Encapsulation.VC_MUX_BRIDGED), (bytes(15), None)])
def test_the_first_octets_speak_of_the_encapsulation(sdu: bytes, told: Encapsulation | None) -> None:
    assert encapsulation_of(sdu) is told


def test_a_report_of_an_edge_node_is_no_ip_packet() -> None:
    report = Statistics(ServerState.ACCEPTS, 2, 7, 0, 0, 0, 0, 0, 0, 0, 0).pack()
    assert encapsulation_of(report) is None
    assert expected_cells(report[:48], None) == 0
    pdu = Pdu(0, 0, Place("", "l", "in"), bytes(4), 1, 33, report)
    pdu.sdu = report
    assert pdu.carried.how == "statistics"


# Bridged Ethernet frames (RFC 2684 sections 5.2 and 6.2).

TAGS = {"no tag": b"", "a VLAN": bytes.fromhex("81000005"), "two": bytes.fromhex("88A8000181000005")}
HEADS = {"LLC": "AAAA030080C200070000", "LLC with FCS": "AAAA030080C200010000", "VC": "0000"}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("tags", TAGS.values(), ids=TAGS)
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("padding", [0, 7])
def test_the_packet_in_a_bridged_frame_is_found(head: str, tags: bytes, version: int, padding: int) -> None:
    packet = http_packet(version)
    frame = ethernet(packet, tags) + bytes(padding)
    fcs = zlib.crc32(frame).to_bytes(4, "little") if "FCS" in head else b""
    pdu = pdu_of(bytes.fromhex(HEADS[head]) + frame + fcs)
    assert (pdu.carried.octets, pdu.carried.frame, pdu.carried.problem) == (packet, frame, "")
    assert pdu.flow == analyse(packet).flow()
    assert pdu.carried.ethertype == (0x0800 if version == 4 else 0x86DD)
    for words in (["tcp", "port", "80"], ["ack"], ["src", "host", "192.0.2.1" if version == 4 else "2001:db8::1"]):
        assert parse_filter(words).matches(pdu)
    assert row(pdu)["dport"] == 80
    line, quick = (LinePrinter(Stamp.NONE, quick=quick).line(pdu) for quick in (False, True))
    assert "00:00:00:00:00:00" in line
    assert '"GET /index.html HTTP/1.1"' in line
    assert ":80 TCP [P.] length" in quick
    tree = tree_text(pdu)
    assert ("\n    Ethernet\n" in tree, f"IPv{version}\n" in tree, "destination port: 80" in tree) == (True,) * 3
    assert ("vlan: 5, priority 0" in tree) == bool(tags)


@pytest.mark.parametrize("octets", [b"", b"\x45", http_packet(4)[:30]])
def test_a_frame_whose_packet_is_damaged_says_so(octets: bytes) -> None:
    frame = bytes(12) + b"\x08\x00" + octets
    carried = pdu_of(bytes.fromhex(HEADS["LLC"]) + frame).carried
    assert carried.packet is None
    assert carried.problem
    assert carried.frame == frame


def test_a_frame_that_a_capture_has_cut_shows_its_packet() -> None:
    pdu = pdu_of(bytes.fromhex(HEADS["LLC"]) + ethernet(http_packet(4))[:-20])
    pdu.missing = 28
    assert ":80 TCP [P.]" in LinePrinter(Stamp.NONE).line(pdu)


def test_the_packet_in_a_bridged_frame_that_was_dropped_is_found() -> None:
    drop = Drop(0, "l", "crc-error", 1, (bytes.fromhex(HEADS["LLC"]) + ethernet(http_packet(4)))[:80])
    assert parse_filter(["tcp", "port", "80"]).matches(drop)
