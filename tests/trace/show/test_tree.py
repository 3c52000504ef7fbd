"""Trees, word for word; and that hostile octets give one, too."""

from __future__ import annotations

from textwrap import dedent, indent

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from atmdepot.atm.sar import segment
from atmdepot.atm.vc import Vc
from atmdepot.net.events import Cells, Missed
from atmdepot.trace.follow import Follower
from atmdepot.trace.items import Cell, CrcVerdict, HecVerdict, Pdu, Place
from atmdepot.trace.names import VcName
from atmdepot.trace.show import tree
from atmdepot.trace.show.tree import tree_text
from atmdepot.trace.sources import CapturedCells, HecMark, PduSeen
from atmdepot.wire import layouts
from atmdepot.wire.aal5 import CrcMode, cpcs_pdu
from atmdepot.wire.cell import CellHeader, Interface
from atmdepot.wire.llc import Encapsulation, encapsulate
from atmdepot.wire.oam import OamPayload
from atmdepot.wire.statistics import VERSION, ServerState, Statistics, octets_of
from tests.atm.plain_reassembler import plain_crc32
from tests.effort import examples
from tests.ip_packets import ACK, PSH, ip, ping, tcp, udp
from tests.packets import no_packets
from tests.trace.captures import flipped
from tests.trace.items import cells as any_cells
from tests.trace.items import pdus as any_pdus

CLIENT, VIP = "10.9.0.2", "10.80.0.1"
REQUEST = tcp(CLIENT, 40000, VIP, 80, PSH | ACK, seq=101, ack=301, options=bytes.fromhex("020405B401030307"),
              data=b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")


def trees(octets: bytes, *, hec: HecMark = HecMark.RECORDED, crc: CrcMode | None = None,
          interface: Interface | None = None, **settings: bool) -> list[str]:
    """The trees of the items of some cells."""
    items = Follower(cells=True, crc=crc).take(CapturedCells(0, "l", "in", octets, hec=hec, interface=interface))
    return [tree_text(item, **settings) for item in items]


def pdu_tree(sdu: bytes, **settings: object) -> str:
    return trees(segment(sdu, Vc(1, 64, **settings)))[-1]  # type: ignore[arg-type]


def pinned(text: str) -> str:
    return indent(dedent(text).strip("\n"), "    ")


HTTP = """
    CPCS-PDU: 2 cells, 96 octets
        sdu: 75 octets: 45 00 00 4b 00 00 00 00 40 06 66 52 0a 09 00 02 0a 50 00 01 9c 40 00 50 ...
        pad: 13 octets: 00 00 00 00 00 00 00 00 00 00 00 00 00
        cpcs uu: 0
        cpi: 0
        length: 75
        crc: {crc} (good)
    IPv4
        header
            version: 4
            ihl: 5
            dscp: 0
            ecn: 0
            total length: 75
            identification: 0
            reserved: no
            dont fragment: no
            more fragments: no
            fragment offset: 0
            time to live: 64
            protocol: tcp (6)
            header checksum: 6652
            source address: 10.9.0.2
            destination address: 10.80.0.1
        options: 0 octets
        payload: 55 octets: 9c 40 00 50 00 00 00 65 00 00 01 2d 70 18 ff ff {checksum} 00 00 02 04 05 b4 ...
    TCP
        source port: 40000
        destination port: 80
        sequence number: 101
        acknowledgment number: 301
        control
            data offset: 7
            reserved: 0
            cwr: no
            ece: no
            urg: no
            ack: yes
            psh: yes
            rst: no
            syn: no
            fin: no
        window: 65535
        checksum: {tcp_checksum}
        urgent pointer: 0
        options
            list
                mss
                    length: 4
                    value: 1460
                nop
                window_scale
                    length: 3
                    value: 7
            padding: 0 octets
        data: 27 octets: 47 45 54 20 2f 20 48 54 54 50 2f 31 2e 31 0d 0a 48 6f 73 74 3a 20 78 0d ...
"""
HTTP_BY_SCAPY = """
    HTTP Request
        Method: GET
        Path: /
        Http_Version: HTTP/1.1
        Host: x
"""


def http_tree() -> str:
    sums = REQUEST[36:38]
    return HTTP.format(crc=cpcs_pdu(REQUEST)[-4:].hex(), checksum=sums.hex(" "), tcp_checksum=sums.hex())


def test_an_http_request() -> None:
    assert pdu_tree(REQUEST) == pinned(http_tree()) + "\n" + pinned(HTTP_BY_SCAPY)


def test_without_scapy_the_tree_ends_with_tcp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "_scapy", lambda: None)
    assert pdu_tree(REQUEST) == pinned(http_tree())


def test_cells_are_in_the_tree_of_a_pdu_if_asked_for() -> None:
    train = segment(REQUEST, Vc(1, 64))
    first, last, whole = trees(train)
    assert first == pinned("""
        cell 1: 00 10 04 00 a3
            gfc: 0
            vpi: 1
            vci: 64
            pti: user (0)
            clp: 0
            hec: a3 (good)
        """)
    assert last.startswith("    cell 2: 00 10 04 02 ad\n")
    assert trees(train, cells=True) == [first, last, "\n".join((first, last, whole))]


def test_the_header_format_is_that_of_the_link() -> None:
    cell = CellHeader(0x123, 64).pack(Interface.NNI) + bytes(48)
    uni, nni = (trees(cell, interface=interface)[0].splitlines() for interface in Interface)
    assert uni[1:3] == ["        gfc: 1", "        vpi: 35"]
    assert nni[1] == "        vpi: 291"
    assert nni[2:] == uni[3:]


@pytest.mark.parametrize(("bit", "told"), [
    (0, "bit 8 of octet 1"), (7, "bit 1 of octet 1"), (8, "bit 8 of octet 2"), (31, "bit 1 of octet 4"),
    (32, "bit 8 of octet 5"), (39, "bit 1 of octet 5")])
def test_a_header_with_one_wrong_bit(bit: int, told: str) -> None:
    """The fields are the mended ones; octets and bits are counted as I.361 counts them."""
    cell = flipped(segment(REQUEST, Vc(1, 64)), bit)
    lines = trees(cell)[0].splitlines()
    assert lines[0] == f"    cell 1: {cell[:5].hex(' ')}"
    assert lines[1:] == [f"        {line}" for line in (
        "gfc: 0", "vpi: 1", "vci: 64", "pti: user (0)", "clp: 0", f"hec: {cell[4]:02x} (corrected: {told} was wrong)")]


def test_a_header_that_is_beyond_correction() -> None:
    cell = flipped(segment(REQUEST, Vc(1, 64))[:53], 3, 31)
    assert trees(cell)[0].splitlines() == [f"    {line}" for line in (
        "cell: 10 10 04 01 a3", "    gfc: 1", "    vpi: 1", "    vci: 64", "    pti: user (0)", "    clp: 1",
        f"    hec: a3 (bad: {layouts.hec(cell[:4]):02x} would be right)")]


def test_a_second_wrong_header_in_a_row_is_not_mended_here_either() -> None:
    train = segment(bytes(20), Vc(1, 64)) * 2
    told = trees(flipped(train, 3, 424 + 3))
    assert "gfc: 0" in told[0]
    assert "gfc: 1" in told[2]
    assert told[2].endswith("hec: ad (bad: ca would be right)")


def test_a_hec_that_was_not_captured() -> None:
    assert trees(segment(bytes(20), Vc(1, 64)), hec=HecMark.ABSENT)[0].endswith("hec: not captured")


# OAM.


LOOPBACK = CellHeader(1, 64, 5).pack() + bytes.fromhex("180100000001" + "FF" * 16 + "6A" * 24 + "0309")


def test_a_loopback_cell() -> None:
    (told,) = trees(LOOPBACK)
    assert told == pinned("""
        cell: 00 10 04 0a 95
            gfc: 0
            vpi: 1
            vci: 64
            pti: oam_f5_end_to_end (5)
            clp: 0
            hec: 95 (good)
        OAM
            oam type: fault_management (1)
            function type: loopback (8)
            function specific
                loopback indication
                    reserved: 0
                    to be looped: yes
                correlation tag: 00000001
                loopback location id: 16 octets: ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff
                source id: 16 octets: 6a 6a 6a 6a 6a 6a 6a 6a 6a 6a 6a 6a 6a 6a 6a 6a
                unused: 8 octets: 6a 6a 6a 6a 6a 6a 6a 6a
            reserved: 0
            crc10: 309 (good)
        """)
    assert trees(flipped(LOOPBACK, 423))[0].endswith("crc10: 308 (bad: 309 would be right)")


@given(st.binary(min_size=46, max_size=46), st.integers(0, 63))
def test_the_crc10_covers_the_reserved_bits(octets: bytes, reserved: int) -> None:
    bits = int.from_bytes(octets, "big") << 6 | reserved
    crc = layouts.crc10(bits.to_bytes(47, "big"))
    (told,) = trees(CellHeader(1, 4).pack() + (bits << 10 | crc).to_bytes(48, "big"))
    assert told.endswith(f"reserved: {reserved}\n        crc10: {crc:03x} (good)")


@pytest.mark.parametrize(("oam_type", "function", "told"), [
    (1, 0, ["oam type: fault_management (1)", "function type: ais (0)", "function specific", "    defect type: 6a"]),
    (2, 1, ["oam type: performance_management (2)", "function type: backward_reporting (1)"]),
    (5, 9, ["oam type: protection_switching (5)", "function type: 9"]),
    (6, 9, ["oam type: 6", "function type: 9"])])
def test_other_oam_cells(oam_type: int, function: int, told: list[str]) -> None:
    (text,) = trees(CellHeader(1, 3).pack() + OamPayload(oam_type, function, b"").pack())
    assert text.split("    OAM\n")[1].splitlines()[:len(told)] == [f"        {line}" for line in told]


# PDUs that are not as they should be.


def test_a_pdu_with_a_wrong_crc() -> None:
    octets = cpcs_pdu(bytes(40))
    told = trees(flipped(segment(bytes(40), Vc(1, 64)), 423))[-1]
    assert told == pinned(f"""
        CPCS-PDU: 1 cell, 48 octets
            sdu: 40 octets: {'00 ' * 24}...
            pad: 0 octets
            cpcs uu: 0
            cpi: 0
            length: 40
            crc: {octets[-4:-1].hex()}{octets[-1] ^ 1:02x} (bad: {octets[-4:].hex()} would be right)
        """)


@pytest.mark.parametrize("crc", [CrcMode.STRICT, CrcMode.DYNAMIPS])
def test_a_crc_by_dynamips_rule(crc: CrcMode) -> None:
    told = trees(segment(bytes(40), Vc(1, 64, crc=CrcMode.DYNAMIPS)), crc=crc)[-1].splitlines()
    assert told[6] == "        crc: b691cee6 (bad: 864d7f99 would be right), as Dynamips writes it"


@pytest.mark.parametrize(("length", "cells"), [(41, 1), (40, 2), (65535, 1), (0, 2)])
def test_a_length_that_does_not_fit(length: int, cells: int) -> None:
    body = bytes(48 * cells - 8) + b"\x07\x09" + length.to_bytes(2, "big")
    octets = body + int(plain_crc32(body)).to_bytes(4, "big")
    headers = [CellHeader(1, 64, int(n == cells - 1)).pack() for n in range(cells)]
    told = trees(b"".join(header + octets[48 * n:48 * n + 48] for n, header in enumerate(headers)))[-1].splitlines()
    assert told[1:] == [f"        {line}" for line in (
        f"sdu and pad: {48 * cells - 8} octets: {'00 ' * 24}...", "cpcs uu: 7", "cpi: 9",
        f"length: {length} (bad: it does not fit {48 * cells} octets)", f"crc: {octets[-4:].hex()} (good)")]


def test_unfinished_pdus_and_other_items_have_no_tree_of_their_own() -> None:
    follower = Follower()
    assert follower.take(Cells(0, "l", "in", segment(REQUEST, Vc(1, 64))[:53])) == []
    assert [tree_text(pdu) for pdu in follower.finish()] == [""]
    assert tree_text(Missed(0, 1)) == ""


def test_an_sdu_alone_has_a_tree_without_a_trailer() -> None:
    (pdu,) = Follower().take(PduSeen(0, "l", "in", CellHeader(1, 64).pack()[:4], REQUEST, trailer=False))
    assert tree_text(pdu) == pdu_tree(REQUEST).split("\n", 7)[7]


# What PDUs carry.


def test_llc() -> None:
    assert pdu_tree(REQUEST, encapsulation=Encapsulation.LLC).split("\n", 7)[7] == pinned(f"""
        LLC/SNAP
            dsap: aa
            ssap: aa
            control: 03
            oui: 000000
            ethertype: ipv4 (0800)
            packet: 75 octets: {REQUEST[:24].hex(' ')} ...
        """) + "\n" + pdu_tree(REQUEST).split("\n", 7)[7]


@pytest.mark.parametrize(("encapsulation", "name", "first"), [
    (Encapsulation.LLC_BRIDGED, "LLC/SNAP", "dsap: aa"),
    (Encapsulation.VC_MUX_BRIDGED, "bridged Ethernet", "pad: 2 octets: 00 00")])
def test_bridged_frames(encapsulation: Encapsulation, name: str, first: str) -> None:
    told = pdu_tree(bytes(range(20)), encapsulation=encapsulation).splitlines()
    assert told[7:9] == [f"    {name}", f"        {first}"]
    assert told[-1] == f"        frame: 20 octets: {bytes(range(20)).hex(' ')}"


def test_udp_over_ipv6() -> None:
    told = pdu_tree(udp("fd00::1", 1000, "fd00::2", 2000, b"hello")).splitlines()[7:]
    assert told[0] == "    IPv6"
    assert "            source address: fd00::1" in told
    at = told.index("    UDP")
    assert told[at + 1:] == ["        source port: 1000", "        destination port: 2000", "        length: 13",
                             f"        checksum: {udp('fd00::1', 1000, 'fd00::2', 2000, b'hello')[46:48].hex()}",
                             "        data: 5 octets: 68 65 6c 6c 6f"]


def test_protocols_beyond_the_layouts_are_scapys() -> None:
    """Only fields that are there: Scapy knows more of ICMP than an echo request has."""
    echo = ping(CLIENT, VIP, b"abc")
    assert pdu_tree(echo).split("    ICMP\n")[1] == (
        f"        type: echo-request\n        code: 0\n        chksum: 0x{int(echo[22:24].hex(), 16):x}\n"
        "        id: 0x0\n        seq: 0x1")


def test_a_later_fragment_has_no_transport_header() -> None:
    later = ip(CLIENT, VIP, 6, bytes(40), fragment=5)
    assert "    TCP" not in pdu_tree(later).splitlines()
    first = ip(CLIENT, VIP, 6, REQUEST[20:], fragment=0x2000)
    assert "    TCP" in pdu_tree(first).splitlines()
    six = ip("fd00::1", "fd00::2", 44, bytes.fromhex("0600000800000001") + bytes(40))
    assert "    TCP" not in pdu_tree(six).splitlines()


# Hostile octets.


def test_scapys_errors_are_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(octets: bytes) -> None:
        raise ZeroDivisionError(octets)

    monkeypatch.setattr(tree, "_scapy", lambda: (broken, broken))
    assert pdu_tree(REQUEST) == pinned(http_tree()) + "\n    Scapy cannot read on: ZeroDivisionError"


def check(text: str) -> None:
    assert all(line.isprintable() and line.startswith("    ") for line in text.split("\n") if text)


def test_control_characters_do_not_get_through() -> None:
    request = b"GET /\x1b[2J HTTP/1.1\r\nHost: \x9b\x00\r\nX: a\tb\r\n\r\n"
    told = pdu_tree(tcp(CLIENT, 1, VIP, 80, PSH | ACK, data=request))
    check(told)
    assert "Path: /\\x1b[2J" in told


@st.composite
def hostile_pdus(draw: st.DrawFn) -> Pdu:
    """Anything that an SDU may be, as HTTP and DNS at times, on VCs whose table may say what it likes."""
    data = draw(st.binary(max_size=100))
    sdu = draw(st.one_of(
        no_packets, st.just(tcp(CLIENT, 1, VIP, 80, ACK, data=b"GET / HTTP/1.1\r\n" + data)),
        st.just(udp(CLIENT, 53, VIP, 53, data)), st.just(ping("fd00::1", "fd00::2", data)),
        st.just(ip(CLIENT, VIP, draw(st.integers(0, 255)), data)), st.just(data)))
    how = draw(st.none() | st.sampled_from(Encapsulation))
    if how is not None and draw(st.booleans()) and sdu and sdu[0] >> 4 in (4, 6):
        sdu = encapsulate(sdu, how)
    octets = cpcs_pdu(sdu or b"x")
    pdu = Pdu(0, 0, Place("", "l", "in"), bytes(4), 1, 64, draw(st.just(octets) | st.binary(min_size=8, max_size=100)))
    pdu.sdu, pdu.name, pdu.count = sdu, VcName(encapsulation=how), 1
    pdu.length = int.from_bytes(pdu.octets[-6:-4], "big")
    pdu.crc = draw(st.sampled_from(CrcVerdict))
    return pdu


@examples(200, suppress_health_check=list(HealthCheck))
@given(st.one_of(hostile_pdus(), any_pdus(), any_cells()), st.booleans())
def test_any_item_has_a_tree(item: Cell | Pdu, cells: bool) -> None:
    check(tree_text(item, cells=cells))


@examples(200, suppress_health_check=list(HealthCheck))
@given(st.one_of(hostile_pdus(), any_pdus()))
def test_any_item_has_a_tree_without_scapy(item: Pdu) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree, "_scapy", lambda: None)
        check(tree_text(item))


@given(st.binary(min_size=53, max_size=53), st.sampled_from(HecVerdict), st.sampled_from(Interface))
def test_any_cell_has_a_tree(octets: bytes, verdict: HecVerdict, interface: Interface) -> None:
    header = CellHeader.unpack(octets, interface)
    check(tree_text(Cell(0, Place("", "l", "in"), octets, header, verdict, interface=interface)))


def test_a_report_of_a_later_version() -> None:
    report = Statistics(ServerState.ACCEPTS, 2, 7, 3, 0, 0, 0, 0, 0, 0, 0).pack()
    later = report[:4] + bytes([VERSION + 1]) + report[5:]
    told = pdu_tree(later + bytes(octets_of(later) - len(later)) + b"new").splitlines()
    assert [line.strip() for line in told[told.index("    statistics of an edge node"):]][1:6] == [
        "magic: 4 octets: 41 44 53 54", f"version: {VERSION + 1}", "server: accepts (1)", "cores: 2", "sequence: 7"]
    assert told[-1].strip() == "appended: 3 octets: 6e 65 77"
