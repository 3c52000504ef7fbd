"""The hand-written codecs against the executable specification, in both directions.

"Build": the layout builds and the codec reads. "Parse": the codec writes, or random octets come, and both read.
"""

from __future__ import annotations

from typing import Any

import pytest
from construct import ChecksumError, ConstructError
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.drops import DropReason
from atmdepot.wire import layouts
from atmdepot.wire.aal5 import Aal5Error, CpcsPdu, cpcs_pdu, parse_cpcs_pdu
from atmdepot.wire.cell import CellHeader, Interface, hec
from atmdepot.wire.llc import Encapsulation, EncapsulationError, decapsulate, encapsulate
from atmdepot.wire.oam import FaultFunction, OamPayload, OamType
from tests.aal5 import abort_pdu
from tests.effort import examples
from tests.packets import (
    cell_headers,
    damaged,
    ipv4_packets,
    ipv6_packets,
    octet,
    port,
    sdus,
    word,
)

HEADERS = {Interface.UNI: layouts.UNI_CELL_HEADER, Interface.NNI: layouts.NNI_CELL_HEADER}
CELLS = {Interface.UNI: layouts.UNI_CELL, Interface.NNI: layouts.NNI_CELL}
PTI_NAMES = ["user", "user_last", "user_congested", "user_congested_last", "oam_f5_segment",
             "oam_f5_end_to_end", "resource_management", "reserved"]
VCI_NAMES = {1: "meta_signalling", 2: "broadcast_signalling", 3: "oam_f4_segment", 4: "oam_f4_end_to_end",
             5: "signalling", 6: "vp_resource_management"}

vcis = st.one_of(st.integers(0, 40), port)
payloads = st.binary(min_size=48, max_size=48)


# ── checks ──

def test_check_values() -> None:
    assert layouts.crc10(b"123456789") == 0x199
    assert layouts.crc32(b"123456789") == 0xFC891918
    assert layouts.hec(b"123456789") == 0xA1  # CRC-8/I-432-1 of the catalogue


# ── cells ──

def fields_of(header: CellHeader, interface: Interface) -> dict[str, Any]:
    fields: dict[str, Any] = {"vpi": header.vpi, "vci": header.vci, "pti": header.pti, "clp": header.clp}
    return fields | ({"gfc": header.gfc} if interface is Interface.UNI else {})


@pytest.mark.parametrize("interface", Interface)
@given(data=st.data())
def test_cell_header(interface: Interface, data: st.DataObject) -> None:
    header = data.draw(cell_headers(interface))._replace(vci=data.draw(vcis))
    fields = fields_of(header, interface)
    built = HEADERS[interface].build(fields)
    assert built == header.pack(interface)
    seen = HEADERS[interface].parse(built)
    assert {name: int(seen[name]) for name in fields} == fields
    assert seen.hec == built[4]
    assert str(seen.pti) == PTI_NAMES[header.pti]
    assert str(seen.vci) == VCI_NAMES.get(header.vci, str(header.vci))


@pytest.mark.parametrize("interface", Interface)
@given(octets=st.binary(min_size=5, max_size=5))
def test_any_five_octets(interface: Interface, octets: bytes) -> None:
    good = octets[:4] + bytes((hec(octets[:4]),))
    seen = HEADERS[interface].parse(good)
    header = CellHeader.unpack(good, interface)
    assert {name: int(seen[name]) for name in fields_of(header, interface)} == fields_of(header, interface)
    if octets != good:
        with pytest.raises(ChecksumError):
            HEADERS[interface].parse(octets)


@pytest.mark.parametrize("interface", Interface)
@given(data=st.data(), payload=payloads)
def test_cell(interface: Interface, data: st.DataObject, payload: bytes) -> None:
    header = data.draw(cell_headers(interface))
    octets = CELLS[interface].build({"header": fields_of(header, interface), "information_field": payload})
    assert octets == header.pack(interface) + payload
    assert CELLS[interface].parse(octets).information_field == payload


# ── AAL5 ──

@given(sdus, octet, octet)
def test_cpcs_pdu(sdu: bytes, uu: int, cpi: int) -> None:
    pdu = layouts.CPCS_PDU.build({"sdu": sdu, "cpcs_uu": uu, "cpi": cpi})
    assert pdu == cpcs_pdu(sdu, uu=uu, cpi=cpi)
    assert parse_cpcs_pdu(pdu) == CpcsPdu(sdu, uu, cpi)
    seen = layouts.CPCS_PDU.parse(pdu)
    assert (seen.sdu, seen.cpcs_uu, seen.cpi, seen.length) == (sdu, uu, cpi, len(sdu))
    assert seen.crc == int.from_bytes(pdu[-4:], "big")


@pytest.mark.parametrize("size", [1, 39, 40, 41, 88, 89, 9180, 65535])
def test_cpcs_pdu_sizes(size: int) -> None:
    assert layouts.CPCS_PDU.parse(cpcs_pdu(bytes(size))).length == size
    assert layouts.CPCS_PDU.build({"sdu": bytes(size)}) == cpcs_pdu(bytes(size))


def test_an_abort() -> None:
    assert layouts.CPCS_PDU.build({"sdu": b""}) == abort_pdu()
    assert layouts.CPCS_PDU.parse(abort_pdu()).length == 0


@given(sdus, st.data())
def test_cpcs_pdus_with_any_pad_and_length(sdu: bytes, data: st.DataObject) -> None:
    """A PDU to the one is a PDU to the other, but for aborts, which the codec reports as such."""
    size = -(len(sdu) + 8) % 48
    pad = data.draw(st.binary(min_size=size, max_size=size))
    room = len(sdu) + size
    length = data.draw(st.one_of(st.integers(max(0, room - 60), room + 60), st.just(len(sdu)), port))
    pdu = layouts.CPCS_PDU.build({"sdu": sdu, "pad": pad, "length": length})
    try:
        expected = layouts.CPCS_PDU.parse(pdu)
    except ConstructError:
        with pytest.raises(Aal5Error) as caught:
            parse_cpcs_pdu(pdu)
        assert caught.value.reason in (DropReason.LENGTH_ERROR, DropReason.ABORTED)
        return
    assert expected.length == length
    if length:
        assert parse_cpcs_pdu(pdu).sdu == expected.sdu
    assert expected.sdu + expected.pad == sdu + pad


@given(sdus, st.data())
def test_damaged_pdus(sdu: bytes, data: st.DataObject) -> None:
    pdu = bytearray(cpcs_pdu(sdu))
    pdu[data.draw(st.integers(0, len(pdu) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Aal5Error):
        parse_cpcs_pdu(bytes(pdu))
    with pytest.raises(ConstructError):
        layouts.CPCS_PDU.parse(bytes(pdu))


# ── encapsulations ──

@given(st.one_of(ipv4_packets(), ipv6_packets()))
def test_llc_routed(packet: bytes) -> None:
    version = "ipv4" if packet[0] >> 4 == 4 else "ipv6"
    sdu = layouts.LLC_ROUTED.build({"ethertype": version, "packet": packet})
    assert sdu == encapsulate(packet, Encapsulation.LLC)
    assert decapsulate(sdu, Encapsulation.LLC) == (int(layouts.LLC_ROUTED.parse(sdu).ethertype), packet)
    assert layouts.LLC_ROUTED.parse(sdu).packet == packet


@given(st.binary(max_size=60))
def test_bridged(frame: bytes) -> None:
    sdu = layouts.LLC_BRIDGED.build({"pid": "ethernet", "frame": frame})
    assert sdu == encapsulate(frame, Encapsulation.LLC_BRIDGED)
    assert layouts.LLC_BRIDGED.parse(sdu).frame == frame
    sdu = layouts.LLC_BRIDGED.build({"pid": "ethernet_with_fcs", "frame": frame})
    assert decapsulate(sdu, Encapsulation.LLC_BRIDGED) == (None, frame)
    assert layouts.LLC_BRIDGED.parse(sdu).frame == frame
    sdu = layouts.VC_BRIDGED.build({"frame": frame})
    assert sdu == encapsulate(frame, Encapsulation.VC_MUX_BRIDGED)
    assert layouts.VC_BRIDGED.parse(sdu).frame == frame


def test_the_lan_fcs_is_that_of_ethernet() -> None:
    """A frame with its FCS has the residue of IEEE 802.3: CRC-32 2144DF1C."""
    import zlib

    sdu = layouts.LLC_BRIDGED.build({"pid": "ethernet_with_fcs", "frame": b"123456789"})
    assert sdu[-4:].hex() == "2639f4cb"
    assert zlib.crc32(sdu[10:]) == 0x2144DF1C


@given(damaged(st.builds(lambda header, rest: bytes.fromhex(header) + rest, st.sampled_from(
    ["aaaa030000000800", "aaaa0300000086dd", "aaaa030080c200070000", "aaaa030080c200010000", "0000", ""]),
    st.binary(max_size=20))))
@examples(200)
def test_damaged_encapsulations(sdu: bytes) -> None:
    for encapsulation, layout, name in ((Encapsulation.LLC, layouts.LLC_ROUTED, "packet"),
                                        (Encapsulation.LLC_BRIDGED, layouts.LLC_BRIDGED, "frame"),
                                        (Encapsulation.VC_MUX_BRIDGED, layouts.VC_BRIDGED, "frame")):
        try:
            seen = layout.parse(sdu)
        except ConstructError:
            with pytest.raises(EncapsulationError):
                decapsulate(sdu, encapsulation)
        else:
            assert decapsulate(sdu, encapsulation).octets == seen[name]


# ── OAM ──

FUNCTIONS = {FaultFunction.AIS: "ais", FaultFunction.RDI: "rdi",
             FaultFunction.CONTINUITY_CHECK: "continuity_check", FaultFunction.LOOPBACK: "loopback"}


@given(st.one_of(st.sampled_from(OamType), st.integers(0, 15)),
       st.one_of(st.sampled_from(FaultFunction), st.integers(0, 15)), st.binary(min_size=45, max_size=45))
def test_oam_parse(kind: int, function: int, field: bytes) -> None:
    payload = OamPayload(kind, function, field).pack()
    seen = layouts.OAM.parse(payload)
    assert (int(seen.oam_type), int(seen.function_type), seen.reserved) == (kind, function, 0)
    assert seen.crc10 == int.from_bytes(payload[46:], "big")
    assert layouts.OAM.build(seen) == payload
    if kind == OamType.FAULT_MANAGEMENT and function in FUNCTIONS:
        assert str(seen.oam_type) == "fault_management"
        assert str(seen.function_type) == FUNCTIONS[FaultFunction(function)]


@pytest.mark.parametrize("function", ["ais", "rdi", "continuity_check"])
def test_oam_build(function: str) -> None:
    payload = layouts.OAM.build({"oam_type": "fault_management", "function_type": function})
    number = {name: number for number, name in FUNCTIONS.items()}[function]
    assert payload == OamPayload(OamType.FAULT_MANAGEMENT, number, b"").pack()
    assert OamPayload.unpack(payload) == (1, number, b"\x6A" * 45)


@given(st.integers(0, 1), word, st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16))
def test_loopback(indication: int, tag: int, location: bytes, source: bytes) -> None:
    payload = layouts.OAM.build({
        "oam_type": "fault_management", "function_type": "loopback",
        "function_specific": {
            "loopback_indication": {"to_be_looped": bool(indication)}, "correlation_tag": tag,
            "loopback_location_id": location, "source_id": source}})
    field = bytes((indication,)) + tag.to_bytes(4, "big") + location + source
    assert payload == OamPayload(OamType.FAULT_MANAGEMENT, FaultFunction.LOOPBACK, field).pack()


@pytest.mark.parametrize(("payload", "function"), [
    ("10" + "6a" * 45 + "03b9", "ais"), ("11" + "6a" * 45 + "00af", "rdi"),
    ("14" + "6a" * 45 + "0387", "continuity_check"),
    ("1801" + "00000001" + "ff" * 16 + "6a" * 24 + "0309", "loopback"),
    ("1800" + "00000001" + "ff" * 16 + "6a" * 24 + "01f0", "loopback")])
def test_published_oam_payloads(payload: str, function: str) -> None:
    seen = layouts.OAM.parse(bytes.fromhex(payload))
    assert (str(seen.oam_type), str(seen.function_type)) == ("fault_management", function)
    assert layouts.OAM.build(seen).hex() == payload


@given(st.integers(0, 15), st.integers(0, 15), st.integers(0, 63), st.integers(0, 383))
def test_both_judge_the_crc_10_alike(kind: int, function: int, reserved: int, wrong: int) -> None:
    """Also where the 6 bits in front of it are not 0, as a later standard may have them."""
    payload = layouts.OAM.build({"oam_type": kind, "function_type": function, "reserved": reserved})
    assert OamPayload.unpack(payload)[:2] == (kind, function)
    damaged_payload = (int.from_bytes(payload, "big") ^ 1 << wrong).to_bytes(48, "big")
    with pytest.raises(ChecksumError):
        layouts.OAM.parse(damaged_payload)
    with pytest.raises(ValueError, match="the CRC-10 is wrong"):
        OamPayload.unpack(damaged_payload)
