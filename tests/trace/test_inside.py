"""The contents of items, above all of the beginnings of packets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atmdepot.drops import DropReason
from atmdepot.net.events import Drop, SessionChange
from atmdepot.printable import printable_in_place
from atmdepot.trace.inside import flow_of, header_of, oam_payload_of, packet_from_beginning, packet_of, vc_of
from atmdepot.wire.cell import CellHeader, Interface
from atmdepot.wire.ip import MalformedPacket
from atmdepot.wire.packet import analyse
from tests import packets
from tests.ip_packets import packed, tcp
from tests.trace import items as made


@given(made.packets(), st.integers(0, 100))
def test_a_packets_beginning_reads_like_the_packet(packet: bytes, cut: int) -> None:
    headers = (20 if packet[0] >> 4 == 4 else 40) + 20
    assert packet_from_beginning(packet[:headers + cut]) == analyse(packet)


@given(packets.ip_packets, st.integers(0, 200))
def test_any_beginning_is_read_right(packet: bytes, cut: int) -> None:
    try:
        whole = analyse(packet)
    except MalformedPacket:
        whole = None
    beginning = packet_from_beginning(packet[:cut])
    if whole is not None and beginning is not None:
        assert beginning == whole
    if cut >= len(packet) and whole is not None:
        assert beginning == whole


def test_other_llc_protocols_are_no_packets() -> None:
    packet = tcp("10.9.0.2", 1, "10.9.0.3", 2, 16)
    for ethertype, expected in (("0800", True), ("0806", False), ("86DD", True)):
        drop = Drop(0, "", DropReason.CRC_ERROR, 1, bytes.fromhex(f"AAAA03000000{ethertype}") + packet)
        assert (packet_of(drop) is not None) == expected


def test_the_beginning_of_an_ipv6_packet() -> None:
    packet = tcp("fd00::1", 1, "fd00::2", 2, 16, data=bytes(500))
    assert packet_from_beginning(packet[:256]) == analyse(packet)
    assert packet_from_beginning(packet[:59]) is None


@given(packets.no_packets)
def test_noise_has_no_packet_or_one(noise: bytes) -> None:
    packet_from_beginning(noise)
    for reason in DropReason:
        drop = Drop(0, "", reason, 1, noise)
        for find in (vc_of, header_of, oam_payload_of, packet_of, flow_of):
            find(drop)


@given(packets.cell_headers(Interface.NNI))
def test_the_header_of_a_dropped_cell(header: CellHeader) -> None:
    octets = header.pack(Interface.NNI) + bytes(48)
    drop = Drop(0, "", DropReason.UNKNOWN_VC, 1, octets, (header.vpi, header.vci))
    found = header_of(drop)
    assert found is not None
    assert found._replace(gfc=0) == header
    assert vc_of(drop) == (header.vpi, header.vci)
    assert header_of(Drop(0, "", DropReason.UNKNOWN_VC, 1, octets)) == CellHeader.unpack(octets)
    assert header_of(Drop(0, "", DropReason.UNKNOWN_VC, 1, octets[:52])) is None
    assert vc_of(Drop(0, "", DropReason.CRC_ERROR, 1, octets, (1, 2))) == (1, 2)


def test_the_flow_of_a_session() -> None:
    def change(protocol: str, client: str, service: str = "10.80.0.1:80") -> SessionChange:
        return SessionChange(0, 1, "opened", protocol, client, service, "web1", "to-web1", (1, 64), "UBR.1")

    service = packed("10.80.0.1"), 80
    assert flow_of(change("TCP", "10.9.0.2:40000")) == (6, packed("10.9.0.2"), 40000, *service)
    assert flow_of(change("udp", "[fd00::1]:7", "[fd00::2]:80")) == (17, packed("fd00::1"), 7, packed("fd00::2"), 80)
    for nonsense in ("", ":", "10.9.0.2", "10.9.0.2:x", "10.9.0.2:65536", "10.9.0.2:-1", "host:80", "[]:80"):
        assert flow_of(change("TCP", nonsense)) is None


@given(st.text())
def test_printable_texts_keep_their_places(text: str) -> None:
    plain = printable_in_place(text)
    assert plain.isprintable()
    assert len(plain) == len(text)
    assert all(now in (before, " ", "?") for now, before in zip(plain, text, strict=True))
    assert printable_in_place(plain) == plain
