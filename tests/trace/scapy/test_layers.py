"""Scapy's cells, CPCS-PDUs and OAM against the codecs and the layouts; then what a Scapy user expects of layers."""

from __future__ import annotations

import copy
import doctest
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scapy.config import conf
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import ARP, LLC, SNAP, Ether
from scapy.packet import Packet, Padding, Raw, fuzz
from scapy.plist import PacketList
from scapy.sendrecv import sendp

from atmdepot.atm.sar import Reassembler, segment
from atmdepot.atm.vc import Vc, VcTable
from atmdepot.drops import Drops
from atmdepot.net.udp_link import UdpLink
from atmdepot.trace.scapy.layers import (
    AAL5,
    ATM,
    ATM_NNI,
    ATMOAM,
    ATMTrain,
    ATMTrain_NNI,
    AtmUdpSocket,
    DepotAnnouncement,
    DepotMessage,
    DepotRecall,
    EdgeFlows,
    EdgeStatistics,
    LLCBridged,
    VCBridged,
    bind_ports,
    cells,
    idle_cell,
    reassemble,
    unbind_ports,
    verdict,
)
from atmdepot.wire import layouts
from atmdepot.wire.aal5 import MAX_SDU, Aal5Error, CrcMode, cpcs_pdu, crc32, parse_cpcs_pdu, to_cells
from atmdepot.wire.announcement import Announcement, Flows, Message, Recall, ToldFlow
from atmdepot.wire.cell import CellHeader, Interface
from atmdepot.wire.llc import ETHERTYPE_IPV4, Encapsulation, decapsulate, encapsulate
from atmdepot.wire.oam import OamPayload
from atmdepot.wire.statistics import ProxyFigures, ServerState, Statistics
from tests.aal5 import abort_pdu
from tests.checkout import ROOT
from tests.effort import examples
from tests.net.ends import fresh, fresh6, pair_of
from tests.packets import cell_headers, damaged, ip_packets, sdus

if TYPE_CHECKING:
    from collections.abc import Iterator

INTERFACES = pytest.mark.parametrize(("layer", "interface", "layout"), [
    (ATM, Interface.UNI, layouts.UNI_CELL), (ATM_NNI, Interface.NNI, layouts.NNI_CELL)], ids=["UNI", "NNI"])
payloads = st.binary(min_size=48, max_size=48)
nibble = st.integers(0, 15)
some = examples(60)

SYN = IP(src="192.0.2.1", dst="10.0.0.80") / TCP(sport=40000, dport=80, flags="S")
PING = IP(src="192.0.2.1", dst="10.0.0.80") / ICMP(id=9) / ("x" * 56)


def test_the_page_is_true() -> None:
    failed, attempted = doctest.testfile(str(ROOT / "docs" / "scapy.md"), module_relative=False)
    assert (failed, attempted > 40) == (0, True)


# ── the cell ──

@INTERFACES
@some
@given(data=st.data(), payload=payloads)
def test_cells_are_built_as_the_codec_and_the_layout_do(
    layer: Any, interface: Interface, layout: Any, data: st.DataObject, payload: bytes,
) -> None:
    header = data.draw(cell_headers(interface))
    fields = header._asdict()
    if interface is Interface.NNI:
        del fields["gfc"]
    built = bytes(layer(**fields) / Raw(payload))
    assert built == header.pack(interface) + payload
    assert built == layout.build({"header": fields, "information_field": payload})


@INTERFACES
@some
@given(data=st.data(), payload=payloads)
def test_cells_are_read_as_the_codec_and_the_layout_do(
    layer: Any, interface: Interface, layout: Any, data: st.DataObject, payload: bytes,
) -> None:
    header = data.draw(cell_headers(interface))
    octets = header.pack(interface) + payload
    cell = layer(octets)
    assert (cell.vpi, cell.vci, cell.pti, cell.clp) == header[:4]
    assert interface is Interface.NNI or cell.gfc == header.gfc
    assert (cell.hec, cell.hec_ok, bytes(cell.payload)) == (octets[4], True, payload)
    specified = layout.parse(octets).header
    assert cell.sprintf(f"%{layer.__name__}.pti% %{layer.__name__}.vci%") == f"{specified.pti} {specified.vci}"
    oam = header.pti in (4, 5) or header.vci in (3, 4)
    assert cell.payload.__class__ is (ATMOAM if oam else Raw)
    assert bytes(cell) == octets


@pytest.mark.parametrize(("header", "hec"), [
    ("00000001", 0x52), ("00000000", 0x55), ("00000010", 0x25), ("00000050", 0xE2), ("00000100", 0x40),
    ("00000200", 0x7F), ("00000230", 0xEF), ("00A00640", 0xA4)])
def test_published_hecs(header: str, hec: int) -> None:
    read = ATM(bytes.fromhex(header) + bytes((hec,)) + bytes(48))
    assert read.hec_ok
    del read.hec
    assert bytes(read)[4] == hec


@some
@given(st.integers(0, 255))
def test_a_given_hec_is_kept(hec: int) -> None:
    cell = ATM(vpi=1, vci=64, hec=hec)
    assert bytes(cell)[4] == hec
    assert cell.hec_ok is ATM(bytes(cell)).hec_ok is (hec == 0xA3)


def test_a_cells_verdict_on_hec_and_size() -> None:
    assert verdict(ATM(vpi=1, vci=64)) == ["ATM: HEC a3 right"]
    assert verdict(ATM(vpi=1, vci=64, hec=0)) == ["ATM: HEC 00 wrong, not a3"]
    assert verdict(ATM(bytes(ATM(vpi=1, vci=64))[:20])) == ["ATM: HEC a3 right; a payload of 15, not 48, octets"]


@some
@given(st.binary(max_size=47))
def test_a_short_payload_is_filled(payload: bytes) -> None:
    assert bytes(ATM() / Raw(payload))[5:] == payload + bytes(48 - len(payload))
    assert bytes(ATM(vci=0) / Raw(payload))[5:] == payload + b"\x6A" * (48 - len(payload))


def test_a_longer_payload_does_not_build() -> None:
    with pytest.raises(ValueError, match=r"48 octets, not 49: cut them with cells\(\)"):
        bytes(ATM() / Raw(bytes(49)))
    assert len(ATM() / Raw(bytes(48)) / Padding(b"more")) == 57


def test_empty_cells() -> None:
    assert bytes(idle_cell()) == bytes.fromhex("0000000152" + "6a" * 48)
    assert idle_cell().summary() == ATM(bytes(idle_cell())).summary() == "ATM idle / Raw"
    assert ATM(vci=0).summary() == "ATM unassigned"
    assert ATM(vpi=1, vci=0).summary() == "ATM 1/0 user"
    assert ATM(vci=0, pti=1).summary() == "ATM 0/0 user_last"


@pytest.mark.parametrize(("whole", "payload"), [(ATM() / Raw(bytes(48)), Raw), (ATMOAM(), None),
                                                (ATM() / ATMOAM(), ATMOAM)], ids=["user", "OAM", "OAM cell"])
def test_octets_behind_a_cell_are_padding(whole: Packet, payload: type | None) -> None:
    octets = bytes(whole) + b"more"
    read = whole.__class__(octets)
    assert [layer.__class__ for layer in read.iterpayloads()][1:] == [payload, Padding][payload is None:]
    assert (read.lastlayer().load, bytes(read)) == (b"more", octets)


def test_the_pti_goes_with_the_payload() -> None:
    assert (ATM().pti, (ATM() / AAL5()).pti, (ATM_NNI() / AAL5()).pti, (ATM() / ATMOAM()).pti) == (0, 1, 1, 5)
    assert [(ATM(vci=vci) / ATMOAM()).pti for vci in (2, 3, 4, 5)] == [5, 0, 0, 5]
    assert (ATM(pti="oam_f5_segment") / ATMOAM()).pti == 4
    assert ATM(bytes(ATM_NNI(vci=4) / ATMOAM())).payload.__class__ is ATMOAM


def test_several_cells_at_once() -> None:
    """Scapy's way: a list in a field stands for a packet each."""
    made = list(ATM(vpi=1, vci=[64, 65]) / AAL5() / SYN)
    assert [cell.vci for cell in made] == [64, 65]
    assert bytes(made[0])[5:] == bytes(made[1])[5:]


# ── AAL5 ──

@some
@given(sdus, st.integers(0, 255), st.integers(0, 255))
def test_pdus_are_built_and_read_as_the_codec_and_the_layout_do(sdu: bytes, uu: int, cpi: int) -> None:
    octets = cpcs_pdu(sdu, uu=uu, cpi=cpi)
    built = AAL5(uu=uu, cpi=cpi) / Raw(sdu)
    assert bytes(built) == octets == layouts.CPCS_PDU.build({"sdu": sdu, "cpcs_uu": uu, "cpi": cpi})
    read, specified = AAL5(octets), layouts.CPCS_PDU.parse(octets)
    assert (read.uu, read.cpi, read.length, read.pad, read.crc) == (
        specified.cpcs_uu, specified.cpi, specified.length, specified.pad, specified.crc)
    assert bytes(read.payload) == sdu
    assert (read.crc_ok, built.crc_ok, bytes(read)) == (True, True, octets)


@pytest.mark.parametrize(("sdu", "crc"), [
    (bytes(40), 0x864D7F99), (b"\xFF" * 40, 0xC55E457A), (bytes(range(1, 41)), 0xBF671ED0)])
def test_published_crcs(sdu: bytes, crc: int) -> None:
    pdu = AAL5() / Raw(sdu)
    assert AAL5(bytes(pdu)).crc == crc
    assert verdict(pdu) == [f"AAL5: CRC-32 {crc:08x} right; Length 40 right"]


def test_the_greatest_sdu() -> None:
    assert bytes(AAL5() / Raw(bytes(MAX_SDU))) == cpcs_pdu(bytes(MAX_SDU))
    with pytest.raises(ValueError, match="at most 65535 octets, not 65536"):
        bytes(AAL5() / Raw(bytes(MAX_SDU + 1)))


def test_without_an_sdu_it_is_an_abort() -> None:
    assert bytes(AAL5()) == abort_pdu()
    assert verdict(AAL5(abort_pdu())) == ["AAL5: CRC-32 386624c1 right; Length 0: the sender aborted the PDU"]


@some
@given(sdus, st.binary(max_size=60), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF))
def test_given_fields_are_kept(sdu: bytes, pad: bytes, length: int, crc: int) -> None:
    octets = bytes(AAL5(pad=pad, length=length, crc=crc) / Raw(sdu))
    assert octets == sdu + pad + bytes(2) + length.to_bytes(2, "big") + crc.to_bytes(4, "big")
    read = AAL5(octets)
    assert (read.length, read.crc, bytes(read)) == (length, crc, octets)
    del read.pad, read.length, read.crc
    assert bytes(read) == bytes(AAL5() / read.payload)


def test_a_change_shows_until_the_trailer_is_computed_again() -> None:
    [pdu] = reassemble(cells(SYN, 1, 64))
    pdu[TCP].payload = Raw("more")
    assert (pdu.crc_ok, parse(bytes(pdu))) == (False, None)
    del pdu.pad, pdu.length, pdu.crc
    assert (pdu.crc_ok, parse(bytes(pdu))) == (True, bytes(SYN) + b"more")


def parse(pdu: bytes) -> bytes | None:
    try:
        return parse_cpcs_pdu(pdu).sdu
    except Aal5Error:
        return None


@pytest.mark.parametrize(("octets", "said"), [
    (cpcs_pdu(bytes(40), crc=CrcMode.DYNAMIPS),
     "CRC-32 b691cee6 wrong, not 864d7f99, but as Dynamips writes it; Length 40 right"),
    (bytes(AAL5(length=41) / Raw(bytes(40))), "CRC-32 828c622e right; Length 41 does not fit 48 octets of PDU"),
    (bytes(AAL5(pad=b"") / Raw(bytes(10))), "CRC-32 cc140b5d right; 18 octets are no whole number of payloads")],
    ids=["Dynamips", "Length", "size"])
def test_a_pdus_verdict_on_its_trailer(octets: bytes, said: str) -> None:
    assert verdict(AAL5(octets)) == [f"AAL5: {said}"]


@some
@given(st.one_of(st.binary(max_size=150), st.sampled_from([bytes(40), bytes(88)])),
       st.one_of(st.integers(0, 100), st.integers(0, 0xFFFF)), st.booleans())
def test_verdicts_agree_with_the_codec(body: bytes, length: int, right: bool) -> None:
    covered = body + bytes(2) + length.to_bytes(2, "big")
    octets = covered + (crc32(covered) if right else 0).to_bytes(4, "big")
    [said] = verdict(AAL5(octets))
    good = AAL5(octets).crc_ok and said.endswith(f"Length {length} right")
    assert good is (parse(octets) is not None)


FRAME = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / SYN
V6 = IPv6(src="2001:db8::1", dst="2001:db8::2") / ICMPv6EchoRequest()


@pytest.mark.parametrize(("sdu", "layers"), [
    (SYN, [IP, TCP]), (V6, [IPv6, ICMPv6EchoRequest]),
    (LLC() / SNAP() / SYN, [LLC, SNAP, IP, TCP]), (LLC() / SNAP() / V6, [LLC, SNAP, IPv6, ICMPv6EchoRequest]),
    (LLC() / SNAP() / ARP(psrc="192.0.2.1", hwsrc="02:00:00:00:00:01"), [LLC, SNAP, ARP]),
    (LLC() / SNAP(OUI=0x0B, code=1), [LLC, SNAP]),
    (LLCBridged() / FRAME, [LLCBridged, Ether, IP, TCP]), (LLCBridged(pid=1) / FRAME, [LLCBridged, Ether, IP, TCP]),
    (VCBridged() / FRAME, [VCBridged, Ether, IP, TCP]),
    (VCBridged() / FRAME / Padding(bytes(6)), [VCBridged, Ether, IP, TCP, Padding]),
    (LLCBridged(pid=1) / FRAME / Padding(bytes(6)), [LLCBridged, Ether, IP, TCP, Padding]),
    (Raw(b"\x99 neither"), [Raw])], ids=lambda value: value.summary() if isinstance(value, Packet) else "")
def test_sdus_are_dissected_by_their_encapsulation(sdu: Packet, layers: list[type]) -> None:
    octets = bytes(AAL5() / sdu)
    read = AAL5(octets)
    assert [layer.__class__ for layer in read.iterpayloads()] == [AAL5, *layers]
    assert bytes(read) == octets
    assert parse_cpcs_pdu(octets).sdu == (read.payload.build())
    again = read.copy()
    again.clear_cache()  # the fields alone
    assert bytes(again) == octets


@some
@given(st.binary(min_size=4, max_size=80))
def test_bridged_frames_are_as_the_codec_and_the_layout_have_them(frame: bytes) -> None:
    assert bytes(LLCBridged() / Raw(frame)) == encapsulate(frame, Encapsulation.LLC_BRIDGED)
    assert bytes(VCBridged() / Raw(frame)) == encapsulate(frame, Encapsulation.VC_MUX_BRIDGED)
    with_fcs = bytes(LLCBridged(pid="ethernet_with_fcs") / Raw(frame))
    assert with_fcs == layouts.LLC_BRIDGED.build({"pid": "ethernet_with_fcs", "frame": frame})
    assert decapsulate(with_fcs, Encapsulation.LLC_BRIDGED).octets == frame
    assert LLCBridged(with_fcs).fcs == int.from_bytes(with_fcs[-4:], "little")
    assert bytes(LLCBridged(pid=1, fcs=7) / Raw(frame)) == with_fcs[:-4] + b"\7\0\0\0"


def test_llc_names_the_packet() -> None:
    sdu = bytes(LLC() / SNAP() / SYN)
    assert sdu == encapsulate(bytes(SYN), Encapsulation.LLC)
    assert decapsulate(sdu, Encapsulation.LLC) == (ETHERTYPE_IPV4, bytes(SYN))


# ── OAM ──

LOOPBACK_FIELDS = {"type": "fault_management", "function": "loopback", "correlation_tag": 1}


@pytest.mark.parametrize(("fields", "octets"), [
    ({}, "10" + "6a" * 45 + "03b9"), ({"function": "rdi"}, "11" + "6a" * 45 + "00af"),
    ({"function": "continuity_check"}, "14" + "6a" * 45 + "0387"),
    (LOOPBACK_FIELDS, "180100000001" + "ff" * 16 + "6a" * 24 + "0309"),
    (LOOPBACK_FIELDS | {"loopback_indication": "reply"}, "180000000001" + "ff" * 16 + "6a" * 24 + "01f0")])
def test_published_oam_cells(fields: dict[str, Any], octets: str) -> None:
    assert bytes(ATMOAM(**fields)).hex() == octets
    read = ATMOAM(bytes.fromhex(octets))
    assert (read.crc_ok, read.summary()) == (True, ATMOAM(**fields).summary())


@given(nibble, nibble, st.binary(min_size=45, max_size=45))
@example(1, 0, bytes(45))
@example(1, 8, bytes(45))
@example(1, 4, bytes(45))
@example(2, 1, bytes(45))
def test_oam_is_read_and_built_as_the_codec_and_the_layout_do(kind: int, function: int, field: bytes) -> None:
    octets = OamPayload(kind, function, field).pack()
    read = ATMOAM(octets)
    assert (read.type, read.function, read.crc_ok) == (kind, function, True)
    assert (read.sprintf("%ATMOAM.type%"), read.sprintf("%ATMOAM.function%")) == named(octets)
    del read.crc10
    assert bytes(read) == octets
    rest = "unused" if (kind, function) in [(1, 0), (1, 1), (1, 4), (1, 8)] else "function_specific"
    assert octets[1:46].endswith(read.fields[rest])
    assert {"unused", "function_specific"} & set(read.fields) == {rest}
    fields = {name: read.getfieldval(name) for name in read.fields}
    assert bytes(ATMOAM(**fields)) == octets


def named(octets: bytes) -> tuple[str, str]:
    specified = layouts.OAM.parse(octets)
    return str(specified.oam_type), str(specified.function_type)


@some
@given(st.sampled_from(["ais", "rdi"]), st.integers(0, 255), st.binary(min_size=16, max_size=16))
def test_alarms_are_as_the_layout_has_them(function: str, defect: int, location: bytes) -> None:
    assert bytes(ATMOAM(function=function, defect_type=defect, defect_location=location)) == layouts.OAM.build({
        "oam_type": "fault_management", "function_type": function,
        "function_specific": {"defect_type": defect, "defect_location": location}})


@some
@given(st.booleans(), st.integers(0, 2**32 - 1), st.binary(min_size=16, max_size=16),
       st.binary(min_size=16, max_size=16))
def test_loopbacks_are_as_the_layout_has_them(request: bool, tag: int, location: bytes, source: bytes) -> None:
    assert bytes(ATMOAM(function="loopback", loopback_indication=int(request), correlation_tag=tag,
                        loopback_location_id=location, source_id=source)) == layouts.OAM.build({
        "oam_type": "fault_management", "function_type": "loopback", "function_specific": {
            "loopback_indication": {"to_be_looped": request}, "correlation_tag": tag,
            "loopback_location_id": location, "source_id": source}})


@given(payloads)
def test_any_octets_as_oam_are_judged_as_the_codec_does(octets: bytes) -> None:
    read = ATMOAM(octets)
    try:
        OamPayload.unpack(octets)
    except ValueError:
        assert not read.crc_ok
        assert f"CRC-10 {read.crc10:03x} wrong" in verdict(read)[0]
    else:
        assert read.crc_ok
    del read.crc10
    assert OamPayload.unpack(bytes(read)).field == octets[1:46]
    assert bytes(read)[46] & 0xFC == octets[46] & 0xFC


def test_given_oam_fields_are_kept() -> None:
    assert bytes(ATMOAM(crc10=0x155, reserved=0x2A))[46:] == bytes.fromhex("a955")
    assert verdict(ATMOAM(crc10=0)) == ["ATMOAM: CRC-10 000 wrong, not 3b9"]
    short = ATMOAM(type=2, function="backward_reporting", function_specific=b"\1\2")
    assert bytes(short)[:46] == b"\x21\1\2" + b"\x6A" * 43


# ── trains ──

@INTERFACES
@some
@given(data=st.data(), count=st.integers(0, 130))
def test_trains(layer: Any, interface: Interface, layout: Any, data: st.DataObject, count: int) -> None:
    """Longer ones, too, than Scapy's own limit for lists."""
    header = data.draw(cell_headers(interface)).pack(interface)
    octets = b"".join(header + bytes((number,)) * 48 for number in range(count))
    train = (ATMTrain if interface is Interface.UNI else ATMTrain_NNI)(octets)
    assert [bytes(cell) for cell in train.cells] == [octets[at:at + 53] for at in range(0, len(octets), 53)]
    assert {cell.__class__ for cell in train.cells} <= {layer}
    assert bytes(train) == bytes(ATMTrain(cells=train.cells)) == octets
    assert train.summary().endswith(f" of {count}")


def test_a_changed_cell_changes_its_train() -> None:
    train = ATMTrain(bytes(ATMTrain(cells=cells(PING, 1, 64))))
    train.cells[0].clp = 1
    assert verdict(train) == ["ATMTrain: whole cells: 2", "ATM: HEC a3 wrong, not a4", "ATM: HEC ad right"]
    train.cells[1].payload.load = bytes(48)
    assert bytes(train)[-48:] == bytes(48)


def test_a_train_that_is_cut() -> None:
    octets = bytes(ATMTrain(cells=cells(PING, 1, 64)))
    assert [len(cell) for cell in ATMTrain(octets[:60]).cells] == [53, 7]
    assert verdict(ATMTrain(octets[:60])) == [
        "ATMTrain: whole cells: 1, and 7 octets that are none", "ATM: HEC a3 right",
        "ATM: HEC ad right; a payload of 2, not 48, octets"]
    assert [cell.__class__ for cell in ATMTrain(octets[:56]).cells] == [ATM, Raw]
    assert verdict(ATMTrain(octets[:56]))[0] == "ATMTrain: whole cells: 1, and 3 octets that are none"


def test_ports_are_cells_only_while_they_are_bound() -> None:
    before = list(UDP.payload_guess)
    sent = IP() / UDP(sport=40001, dport=5501) / Raw(bytes(ATM(vpi=1, vci=64)))
    assert UDP(bytes(sent[UDP])).payload.__class__ is Raw
    bind_ports(5501, 5502)
    bind_ports(5503, nni=True)
    try:
        assert UDP(bytes(sent[UDP])).payload.__class__ is ATMTrain
        assert UDP(bytes(UDP(sport=5502, dport=9) / Raw("x"))).payload.__class__ is ATMTrain
        assert UDP(bytes(UDP(sport=9, dport=5503) / Raw(bytes(53)))).payload.cells[0].__class__ is ATM_NNI
        assert UDP(bytes(UDP() / ATMTrain())).fields.items() >= {"sport": 5502, "dport": 5502}.items()
    finally:
        unbind_ports(5501, 5502, 5503)
    assert UDP.payload_guess == before
    assert UDP(bytes(sent[UDP])).payload.__class__ is Raw
    assert (UDP() / ATMTrain()).dport == UDP().dport


# ── segmentation and reassembly ──

@some
@given(sdus, st.integers(0, 4095), st.integers(5, 0xFFFF), st.integers(0, 1), st.booleans())
def test_segmentation_is_that_of_the_codec(sdu: bytes, vpi: int, vci: int, clp: int, nni: bool) -> None:
    interface = Interface.NNI if nni else Interface.UNI
    vpi = vpi if nni else vpi % 256
    made = cells(sdu, vpi, vci, clp, nni)
    headers = [CellHeader(vpi, vci, pti, clp).pack(interface) for pti in (0, 1)]
    assert b"".join(map(bytes, made)) == to_cells(cpcs_pdu(sdu), *headers)
    [pdu] = reassemble(made, nni)
    assert reassemble(b"".join(map(bytes, made)), nni) == reassemble(map(bytes, made), nni) == [pdu]
    assert (bytes(pdu.payload), pdu.vpi, pdu.vci, pdu.clp, pdu.efci) == (sdu, vpi, vci, clp, 0)


@pytest.mark.parametrize(("vc", "nni", "text"), [
    ((256, 64), False, "vpi 256 does not fit the 8 bits it has at UNI"),
    ((4096, 64), True, "vpi 4096 does not fit the 12 bits it has at NNI"),
    ((1, 65536), False, "vci 65536 does not fit"), ((1, 64, 2), False, "clp 2 does not fit")])
def test_a_vc_that_does_not_fit(vc: tuple[int, ...], nni: bool, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        cells(SYN, *vc, nni=nni)


def test_a_pad_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="58 octets of CPCS-PDU fill no whole number of cells"):
        cells(AAL5(pad=b"") / Raw(bytes(50)), 1, 64)
    assert len(cells(AAL5(pad=bytes(48)) / Raw(bytes(40)), 1, 64)) == 2


def test_vcs_that_differ_in_one_number() -> None:
    one, vci, vpi = cells(PING, 1, 64), cells(PING, 1, 65), cells(PING, 2, 64)
    mixed = [cell for three in zip(one, vci, vpi, strict=True) for cell in three]
    assert [(pdu.vpi, pdu.vci, pdu.crc_ok) for pdu in reassemble(mixed)] == [
        (1, 64, True), (1, 65, True), (2, 64, True)]


long_sdus = st.builds(lambda size, octet: bytes((octet,)) * size, st.integers(1, 250), st.integers(0, 255))


@st.composite
def interleaved(draw: st.DrawFn) -> tuple[list[tuple[int, int, bytes]], list[Any]]:
    """PDUs on some VCs in the order of their ends, and their cells, mixed; and OAM and idle cells in between."""
    queues: dict[tuple[int, int], list[tuple[Any, bytes | None]]] = {}
    for vpi, vci, sdu in draw(st.lists(st.tuples(st.integers(0, 1), st.integers(64, 65), long_sdus), max_size=8)):
        made = cells(sdu, vpi, vci)
        queues.setdefault((vpi, vci), []).extend((cell, sdu if cell is made[-1] else None) for cell in made)
    ends, mixed = [], []
    while queues:
        vc = draw(st.sampled_from(sorted(queues)))
        cell, sdu = queues[vc].pop(0)
        mixed.append(cell)
        if sdu is not None:
            ends.append((*vc, sdu))
        if not queues[vc]:
            del queues[vc]
        if draw(st.integers(0, 9)) == 0:
            mixed.append(draw(st.sampled_from([
                idle_cell(), ATM(vpi=vc[0], vci=vc[1]) / ATMOAM(), ATM(vpi=vc[0], vci=4) / ATMOAM(),
                ATM(vpi=vc[0], vci=vc[1], pti="resource_management")])))
    return ends, mixed


@examples(30)
@given(interleaved())
def test_interleaved_vcs_are_kept_apart(made: tuple[list[tuple[int, int, bytes]], list[Any]]) -> None:
    ends, mixed = made
    octets = [bytes(cell) for cell in mixed]
    for given_as in (mixed, octets, ATMTrain(b"".join(octets)),
                     PacketList([IP() / UDP() / ATMTrain(cells=[cell]) for cell in mixed])):
        assert [(pdu.vpi, pdu.vci, bytes(pdu.payload)) for pdu in reassemble(given_as)] == ends


@examples(30)
@given(st.lists(st.tuples(st.integers(64, 66), st.binary(min_size=1, max_size=200)), max_size=6))
def test_reassembly_agrees_with_the_depots(sent: list[tuple[int, bytes]]) -> None:
    vcs = {vci: Vc(vpi=1, vci=vci) for vci in (64, 65, 66)}
    octets = b"".join(segment(sdu, vcs[vci]) for vci, sdu in sent)
    ours = Reassembler(VcTable(*vcs.values()), timeout=1).receive(octets, now=0)
    assert [(pdu.vci, bytes(pdu.payload)) for pdu in reassemble(octets)] == [
        (sdu.vc.vci, sdu.octets) for sdu in ours] == sent


def test_clp_and_efci_of_the_cells_are_kept() -> None:
    first, last = cells(PING, 1, 64)
    first.clp, last.pti, first.time, last.time = 1, "user_congested_last", 1.5, 2.5
    [pdu] = reassemble([first, last])
    assert (pdu.clp, pdu.efci, pdu.time, bytes(pdu.payload)) == (1, 1, 2.5, bytes(PING))


def test_lost_and_unfinished() -> None:
    made = cells(PING, 1, 64)
    assert reassemble(made[:1]) == reassemble([]) == reassemble(b"") == []
    [pdu] = reassemble(made[1:])
    assert (pdu.crc_ok, "wrong" in verdict(pdu)[0]) == (False, True)
    [merged] = reassemble([*made[:1], *made])
    assert not merged.crc_ok


def test_cells_that_no_receiver_takes() -> None:
    first, last = cells(PING, 1, 64)
    assert reassemble([first, ATM(vpi=1, vci=64, hec=0) / Raw(bytes(48)), bytes(last)[:52], last, Raw("?")]) == \
        reassemble([first, last])
    others = [ATM(vpi=1, vci=64, pti=pti) / Raw(bytes(48)) for pti in (4, 5, 6, 7)]
    assert reassemble([first, *others, last]) == reassemble([first, last])
    assert reassemble(ATM(vci=5, pti=1) / AAL5() / SYN)
    assert not reassemble([ATM(vci=vci, pti=1) / AAL5() / SYN for vci in range(5)])


# ── summary and show ──

@pytest.mark.parametrize(("packet", "text"), [
    (ATM(vpi=1, vci=64), "ATM 1/64 user"),
    (ATM(vpi=1, vci=64, pti=3, clp=1) / Raw("x"), "ATM 1/64 user_congested_last CLP 1 / Raw"),
    (ATM_NNI(vpi=4095, vci=64, pti=6), "ATM NNI 4095/64 resource_management"),
    (ATM(vpi=1, vci=64) / AAL5() / SYN,
     "ATM 1/64 user_last / AAL5 / IP / TCP 192.0.2.1:40000 > 10.0.0.80:http S"),
    (ATM(vpi=1, vci=64) / ATMOAM(**LOOPBACK_FIELDS),
     "ATM 1/64 oam_f5_end_to_end / ATMOAM fault_management loopback request tag 0x1"),
    (ATM(vpi=1, vci=3) / ATMOAM(function="rdi"), "ATM 1/3 user / ATMOAM fault_management rdi"),
    (ATMOAM(type=2, function="backward_reporting"), "ATMOAM performance_management backward_reporting"),
    (ATMOAM(type=8, function="continuity_check"), "ATMOAM activation_deactivation continuity_check"),
    (ATMOAM(type=7, function=9), "ATMOAM 7 9"),
    (AAL5() / VCBridged() / FRAME, "AAL5 / VCBridged / Ether / IP / TCP 192.0.2.1:40000 > 10.0.0.80:http S"),
    (AAL5() / LLCBridged(), "AAL5 / LLCBridged"),
    (IP() / UDP() / ATMTrain(cells=[ATM(), ATM()]), "IP / UDP / ATMTrain of 2"),
    (ATMTrain_NNI(cells=[ATM_NNI()]), "ATMTrain NNI of 1")], ids=str)
def test_summaries(packet: Packet, text: str) -> None:
    assert packet.summary() == text


def test_a_pdu_says_which_vc_it_came_on() -> None:
    [pdu] = reassemble(cells(LLC() / SNAP() / PING, 1, 64))
    assert pdu.summary() == "AAL5 1/64 / LLC / SNAP / IP / ICMP 192.0.2.1 > 10.0.0.80 echo-request 0 / Raw"


CELL = """\
###[ ATM ]###
  gfc       = 0
  vpi       = 1
  vci       = 64
  pti       = user_last
  clp       = 0
  hec       = 0xad
###[ Raw ]###
     load      = 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'
"""
LOOPBACK = """\
###[ ATM ]###
  gfc       = 0
  vpi       = 1
  vci       = 64
  pti       = oam_f5_end_to_end
  clp       = 0
  hec       = 0x95
###[ ATMOAM ]###
     type      = fault_management
     function  = loopback
     loopback_indication= request
     correlation_tag= 0x1
     loopback_location_id= 16 x ff
     source_id = 16 x 6a
     unused    = 8 x 6a
     reserved  = 0
     crc10     = 0x309
"""
PDU = """\
###[ AAL5 ]###
  pad       = 00000000000000000000000000000000000000000000000000000000000000000000000000
  uu        = 0x0
  cpi       = 0x0
  length    = 3
  crc       = 0xd9e7045d
###[ Raw ]###
     load      = 'odd'
"""


@pytest.mark.parametrize(("packet", "text"), [
    (ATM(bytes(ATM(vpi=1, vci=64, pti=1) / Raw("x" * 48))), CELL),
    (ATM(bytes(ATM(vpi=1, vci=64) / ATMOAM(**LOOPBACK_FIELDS))), LOOPBACK),
    (AAL5(bytes(AAL5() / Raw("odd"))), PDU)], ids=["cell", "loopback", "PDU"])
def test_show_prints_the_fields(packet: Packet, text: str) -> None:
    shown = packet.show(dump=True).replace("= b'", "= '")  # Scapy 2.5 has no b
    assert [line.rstrip() for line in shown.splitlines()] == text.splitlines()


# ── what any Scapy layer can do ──

def kept() -> list[Packet]:
    [pdu] = reassemble(cells(LLC() / SNAP() / PING, 1, 64))
    return [pdu, AAL5() / SYN, *cells(PING, 1, 64), ATM_NNI(vpi=300) / ATMOAM(**LOOPBACK_FIELDS),
            ATMTrain(cells=cells(PING, 1, 64)), ATMTrain(bytes(ATMTrain(cells=cells(PING, 1, 64)))),
            AAL5() / LLCBridged(pid=1) / FRAME]


@pytest.mark.parametrize("packet", kept(), ids=lambda packet: packet.summary())
def test_copies_and_pickles(packet: Packet) -> None:
    octets = bytes(packet)
    for again in (packet.copy(), copy.deepcopy(packet), next(iter(packet)), packet.clone_with(packet.payload, **(
            packet.fields)), pickle.loads(pickle.dumps(packet)), eval(packet.command())):
        assert again.__class__ is packet.__class__
        assert bytes(again) == octets
    assert packet.__class__(octets) == packet.__class__(octets)
    assert repr(packet.__class__(octets)).startswith(f"<{packet.__class__.__name__} ")


def test_copies_of_a_pdu_keep_its_vc() -> None:
    pdu = kept()[0]
    for again in (pdu.copy(), copy.deepcopy(pdu), next(iter(pdu)), pickle.loads(pickle.dumps(pdu))):
        assert (again.vpi, again.vci, again.clp, again.efci) == (1, 64, 0, 0)
    assert pickle.loads(pickle.dumps(AAL5() / SYN)).vci is None


def test_a_pickled_pdu_keeps_its_vc_without_scapys_help() -> None:
    """Older versions of Scapy pickle no attributes that only some layers have."""
    make, arguments, (scapys, own) = kept()[0].__reduce__()
    again = make(*arguments)
    if isinstance(scapys, dict):
        scapys.pop("extra_slots")
    again.__setstate__((scapys, own))
    assert (again.vpi, again.vci) == (1, 64)


def test_a_copy_is_no_other_name() -> None:
    cell = ATM(bytes(ATM(vpi=1, vci=64) / ATMOAM()))
    again = cell.copy()
    again.vci, again[ATMOAM].function = 65, 1
    assert (cell.vci, cell[ATMOAM].function) == (64, 0)


def test_any_cell_is_found_as_a_cell() -> None:
    assert ATM in ATM_NNI()
    assert ATM_NNI not in ATM()
    assert ATMOAM in ATM() / ATMOAM()
    assert (IP() / UDP() / ATMTrain(cells=[ATM(vci=77)]))[ATM].vci == 77


@pytest.mark.parametrize("packet", [
    ATM() / ATMOAM(), ATM_NNI() / ATMOAM(function=8), AAL5() / Raw("x"), LLCBridged(pid=1) / Raw("x" * 20)],
    ids=lambda packet: packet.summary())
def test_fuzzed_packets_build(packet: Packet) -> None:
    for _ in range(20):
        made = bytes(fuzz(packet.copy()))
        assert bytes(packet.__class__(made)) == made
    assert fuzz(packet.copy()).summary()


TAGGED = ATM(vpi=1, vci=64) / ATMOAM(**LOOPBACK_FIELDS)
REPLY = ATM(vpi=1, vci=64) / ATMOAM(**LOOPBACK_FIELDS | {"loopback_indication": 0})


@pytest.mark.parametrize(("answer", "request_", "is_answer"), [
    (REPLY, TAGGED, True), (TAGGED, TAGGED, False), (REPLY, REPLY, False), (TAGGED, REPLY, False),
    (ATM(vpi=1, vci=65) / REPLY.payload, TAGGED, False), (ATM(vpi=2, vci=64) / REPLY.payload, TAGGED, False),
    (ATM(vpi=1, vci=64, pti=4) / REPLY.payload, TAGGED, False),
    (ATM(vpi=1, vci=64) / ATMOAM(**LOOPBACK_FIELDS | {"loopback_indication": 0, "correlation_tag": 2}), TAGGED, False),
    (ATM(vpi=1, vci=64) / ATMOAM(), ATM(vpi=1, vci=64) / ATMOAM(), False),
    (ATM(vpi=1, vci=64, pti=5) / Raw("x"), TAGGED, False), (ATM(vpi=1, vci=64) / Raw("x"), TAGGED, False),
    (ATM(vpi=1, vci=64) / Raw("x"), ATM(vpi=1, vci=64) / AAL5() / SYN, True),
    (ATM(vpi=1, vci=65) / Raw("x"), ATM(vpi=1, vci=64) / Raw("x"), False), (ATM(), IP(), False)])
def test_which_cell_answers_which(answer: Packet, request_: Packet, is_answer: bool) -> None:
    assert bool(answer.answers(request_)) is is_answer
    if is_answer:
        assert answer.hashret() == request_.hashret()


def test_a_pdu_answers_as_its_packet_does() -> None:
    echo = IP(src="10.0.0.80", dst="192.0.2.1") / ICMP(type=0, id=9) / ("x" * 56)
    assert (AAL5() / echo).answers(AAL5() / PING)
    assert not (AAL5() / PING).answers(AAL5() / PING)


# ── hostile octets ──

LAYERS = [ATM, ATM_NNI, ATMOAM, AAL5, LLCBridged, VCBridged, EdgeStatistics, DepotMessage, DepotAnnouncement,
          DepotRecall, EdgeFlows, ATMTrain, ATMTrain_NNI]
BEGINNINGS = [b"", b"\x45", b"\x60", bytes.fromhex("aaaa03000000"), bytes.fromhex("aaaa030080c200070000"),
              bytes.fromhex("aaaa030080c200010000"), bytes(2), bytes.fromhex("0010040ba3"), bytes.fromhex("0010000055")]
hostile = st.one_of(
    st.builds(lambda beginning, rest: beginning + rest, st.sampled_from(BEGINNINGS), st.binary(max_size=160)),
    st.builds(cpcs_pdu, damaged(ip_packets).filter(len)), st.binary(min_size=1, max_size=60).map(cpcs_pdu))


@pytest.fixture
def quiet() -> Iterator[None]:
    """Scapy's own layers warn of what they find odd; ours have nothing to say."""
    before, conf.logLevel = conf.logLevel, 50
    yield
    conf.logLevel = before


@pytest.mark.parametrize(("version", "more"), [(1, b""), (2, b""), (3, b""), (4, b"new")])
def test_a_report_of_an_edge_node(version: int, more: bytes) -> None:
    report = Statistics(ServerState.ACCEPTS, 2, 77, 3, 10, 11, 1000, 1 << 40, 1500, 250, 99)
    if version > 1:
        report = report._replace(term=7, follows="depot2", proxy=ProxyFigures(9, 8, 7, 6, 5) if version > 2 else None)
    octets = report.pack()
    octets = octets[:4] + bytes((version,)) + octets[5:] + more
    layer = AAL5(cpcs_pdu(octets))[EdgeStatistics]
    fields = {name: value for name, value in report._asdict().items() if version > 1 or name not in ("term", "follows")}
    proxy = fields.pop("proxy")
    fields |= proxy._asdict() if proxy else {}
    if version > 1:
        fields["follows"] = report.follows.encode()
    assert {name: layer.getfieldval(name) for name in fields} == fields
    assert (layer.version, bytes(layer.payload)) == (version, more)
    assert bytes(EdgeStatistics(**fields, version=min(version, 3))) == report.pack()


FLOW4, FLOW6 = ToldFlow(bytes(range(13)), 64, 3), ToldFlow(bytes(range(37)), 65, 4)


@pytest.mark.parametrize(("message", "layer", "fields"), [
    (Announcement("main", "depot2", 7, 100), DepotAnnouncement,
     {"term": 7, "period": 100, "set": b"main", "node": b"depot2"}),
    (Recall(3, 1500), DepotRecall, {"number": 3, "since": 1500}),
    (Flows(3, 1, False, [FLOW4, FLOW6]), EdgeFlows,
     {"number": 3, "part": 1, "v4_flows": bytes(range(13)) + bytes.fromhex("004000000003"),
      "v6_flows": bytes(range(37)) + bytes.fromhex("004100000004")})])
@pytest.mark.parametrize("more", [b"", b"new"])
def test_what_depots_and_edge_nodes_tell_each_other(
        message: Message, layer: Any, fields: dict[str, Any], more: bytes) -> None:
    octets = message.pack()
    octets = octets[:4] + bytes((1 + bool(more),)) + octets[5:] + more
    read = AAL5(cpcs_pdu(octets))[DepotMessage]
    assert {name: read[layer].getfieldval(name) for name in fields} == fields
    assert bytes(read[layer].payload) == more
    built = DepotMessage(version=1 + bool(more), flags=read.flags) / layer(**fields) / more
    assert bytes(built) == octets


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)
def test_any_octets_are_read_and_built_again(layer: Any) -> None:
    @examples(70)
    @given(hostile)
    @example(b"")
    def check(octets: bytes) -> None:
        read = layer(octets)
        if octets:
            assert bytes(read) == octets
        assert isinstance(read.summary(), str)
        assert isinstance(read.show(dump=True), str)
        assert isinstance(verdict(read), list)
        reassemble(read)
    check()


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(("layer", "octets"), [
    (ATM, bytes(CellHeader(1, 64, 5).pack() + ATMOAM().build())), (AAL5, cpcs_pdu(bytes(SYN))),
    (ATMOAM, bytes(ATMOAM())), (LLCBridged, bytes(LLCBridged(pid=1) / FRAME)), (VCBridged, bytes(VCBridged() / FRAME)),
    (AAL5, cpcs_pdu(bytes(LLCBridged(pid=1) / FRAME))), (ATMTrain, b"".join(map(bytes, cells(PING, 1, 64))))],
    ids=["OAM cell", "PDU", "OAM", "LLC", "VC", "bridged", "train"])
def test_cut_anywhere(layer: Any, octets: bytes) -> None:
    for size in range(1, len(octets) + 20):
        some_octets = (octets + bytes(20))[:size]
        read = layer(some_octets)
        assert bytes(read) == some_octets
        verdict(read)


# ── the link ──

@pytest.fixture
def ends() -> Iterator[tuple[AtmUdpSocket, AtmUdpSocket]]:
    one, other = pair_of(fresh()), pair_of(fresh())
    with AtmUdpSocket(one, other) as first, AtmUdpSocket(other, one) as second:
        yield first, second


def test_a_link_carries_cells_and_trains(ends: tuple[AtmUdpSocket, AtmUdpSocket]) -> None:
    one, other = ends
    made = cells(SYN / ("x" * 100), 1, 64)
    sendp(made[:1], socket=one, verbose=False)
    assert one.send(ATMTrain(cells=made[1:])) == 53 * 3
    heard = other.sniff(count=2, timeout=20)
    rest = other.sniff(timeout=20, stop_filter=lambda cell: cell.pti == 1)
    assert [len(heard), len(rest)] == [2, 2]
    [pdu] = reassemble([*heard, *rest])
    assert bytes(pdu.payload) == bytes(SYN / ("x" * 100))


def test_a_loopback_is_answered_by_its_tag(ends: tuple[AtmUdpSocket, AtmUdpSocket]) -> None:
    one, other = ends
    for packet in (ATM(vpi=1, vci=64) / Raw("x"), ATM(vpi=1, vci=65) / REPLY.payload, REPLY):
        other.send(packet)
    answer = one.sr1(TAGGED, timeout=20, verbose=False)
    assert bytes(answer) == bytes(REPLY)
    assert bytes(other.recv()) == bytes(TAGGED)
    assert TAGGED.sent_time


def test_only_the_peer_is_heard(ends: tuple[AtmUdpSocket, AtmUdpSocket]) -> None:
    one, other = ends
    with AtmUdpSocket(pair_of(fresh()), one.ins.getsockname()) as stranger:
        stranger.send(ATM(vpi=9, vci=99))
        stranger.send(ATM(vpi=9, vci=99))
    other.send(ATM(vpi=1, vci=64))
    assert [one.recv(), one.recv()] == [None, None]
    assert one.recv().vci == 64


def test_odd_datagrams(ends: tuple[AtmUdpSocket, AtmUdpSocket]) -> None:
    one, other = ends
    for datagram in (b"", b"abc", bytes(ATM())[:9], b"x" * 54):
        other.send(Raw(datagram))
    assert one.recv() is None
    assert [(cell.__class__, len(cell)) for cell in (one.recv() for _ in range(4))] == [
        (Raw, 3), (ATM, 9), (ATM, 53), (Raw, 1)]


def test_a_link_at_an_nni_over_ipv6() -> None:
    one, other = pair_of(fresh6()), pair_of(fresh6())
    with AtmUdpSocket(one, other, nni=True) as first, AtmUdpSocket(other, one, nni=True) as second:
        first.send(ATM_NNI(vpi=4095, vci=64))
        assert second.recv().summary() == "ATM NNI 4095/64 user / Raw"


def test_a_link_to_a_node_of_ours() -> None:
    here, there = fresh(), fresh()
    link = UdpLink("lnk", there, here, 27, Drops())
    with AtmUdpSocket(pair_of(here), pair_of(there)) as one:
        octets = b"".join(map(bytes, cells(PING, 1, 64)))
        one.send(ATMTrain(octets))
        assert link.receive_burst(16) == [octets]
        link.send(octets, 0)
        [pdu] = reassemble(one.sniff(count=2, timeout=20))
        assert bytes(pdu.payload) == bytes(PING)
        assert link.drops == {}
    link.close()


def test_an_address_that_is_taken(ends: tuple[AtmUdpSocket, AtmUdpSocket]) -> None:
    with pytest.raises(OSError, match="in use"):
        AtmUdpSocket(ends[0].ins.getsockname(), ends[1].ins.getsockname())


# ── the module ──

def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_without_scapy_the_error_names_the_extra() -> None:
    done = run("import sys; sys.modules['scapy'] = None; import atmdepot.trace.scapy.layers")
    assert done.stderr.splitlines()[-1] == "ImportError: the Scapy layers need Scapy: pip install 'atmdepot[trace]'"


def test_importing_it_leaves_other_layers_alone() -> None:
    done = run("""if True:
        from scapy.config import conf
        import scapy.layers.inet, scapy.layers.inet6, scapy.layers.l2
        before = [(one, list(one.payload_guess), dict(one._overload_fields)) for one in conf.layers]
        import atmdepot.trace.scapy.layers
        ours = [one for one in conf.layers if one.__module__ == "atmdepot.trace.scapy.layers"]
        for one, guesses, overloads in before:
            assert one.payload_guess == guesses, one
            assert set(one._overload_fields) - set(ours) == set(overloads), one
        print(*sorted(one.__name__ for one in ours))""")
    assert done.stdout.split() == sorted(layer.__name__ for layer in LAYERS), done.stderr
