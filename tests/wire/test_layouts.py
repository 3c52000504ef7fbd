"""The hand-written codecs against the executable specification, in both directions.

"Build": the layout builds and the codec reads. "Parse": the codec writes, or random octets come, and both read.
"""

from __future__ import annotations

from typing import Any

import pytest
from construct import ChecksumError, ConstructError
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from atmdepot.drops import DropReason
from atmdepot.wire import layouts
from atmdepot.wire.aal5 import Aal5Error, CpcsPdu, abort_pdu, cpcs_pdu, parse_cpcs_pdu
from atmdepot.wire.cell import CellHeader, Interface, hec
from atmdepot.wire.ip import Ipv4View, Ipv6View, MalformedPacket, internet_checksum
from atmdepot.wire.llc import Encapsulation, EncapsulationError, decapsulate, encapsulate
from atmdepot.wire.oam import FaultFunction, OamPayload, OamType
from atmdepot.wire.packet import analyse
from atmdepot.wire.tcp import TcpView
from tests.packets import (
    address4,
    address6,
    cell_headers,
    damaged,
    ipv4_packets,
    ipv6_packets,
    octet,
    port,
    sdus,
    tcp_segments,
    udp_datagrams,
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


@given(st.binary(max_size=80))
def test_internet_checksum(octets: bytes) -> None:
    assert layouts.internet_checksum(octets) == internet_checksum(octets)


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
    """What is a PDU to the one is a PDU to the other, but for aborts, which the codec reports as such."""
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
@settings(max_examples=200)
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


# ── IP ──

@st.composite
def ipv4_fields(draw: st.DrawFn) -> dict[str, Any]:
    words = draw(st.integers(0, 10))
    return {
        "header": {
            "dscp": draw(st.integers(0, 63)), "ecn": draw(st.integers(0, 3)), "identification": draw(port),
            "dont_fragment": draw(st.booleans()), "more_fragments": draw(st.booleans()),
            "fragment_offset": draw(st.integers(0, 0x1FFF)),
            "time_to_live": draw(octet), "protocol": draw(octet),
            "source_address": draw(address4), "destination_address": draw(address4)},
        "options": draw(st.binary(min_size=4 * words, max_size=4 * words)),
        "payload": draw(st.binary(max_size=60)),
    }


def agrees_ipv4(view: Ipv4View, seen: Any) -> None:
    header = seen.header
    assert (view.dscp, view.ecn, view.identification, view.ttl, view.protocol) == (
        header.dscp, header.ecn, header.identification, header.time_to_live, int(header.protocol))
    assert (view.dont_fragment, view.more_fragments, view.fragment_offset) == (
        header.dont_fragment, header.more_fragments, header.fragment_offset * 8)
    assert (view.source, view.destination, view.payload) == (
        header.source_address, header.destination_address, seen.payload)
    assert (view.header_length, view.total_length) == (header.ihl * 4, header.total_length)


@given(ipv4_fields())
def test_ipv4_build(fields: dict[str, Any]) -> None:
    packet = layouts.IPV4.build(fields)
    view = Ipv4View(packet)
    assert view.checksum_ok
    assert (view.payload, view.total_length) == (fields["payload"], len(packet))
    assert view.fragment_offset == fields["header"]["fragment_offset"] * 8
    agrees_ipv4(view, layouts.IPV4.parse(packet))


@given(st.one_of(ipv4_packets(), damaged(ipv4_packets())))
@settings(max_examples=200)
def test_ipv4_parse(octets: bytes) -> None:
    try:
        seen = layouts.IPV4.parse(octets)
    except ConstructError:
        with pytest.raises(MalformedPacket):
            Ipv4View(octets)
    else:
        agrees_ipv4(Ipv4View(octets), seen)


@st.composite
def ipv6_extensions(draw: st.DrawFn, depth: int = 4) -> tuple[int, dict[str, Any] | None]:
    """A next header number and the extension headers that it begins."""
    kind = draw(st.sampled_from([6, 17, 59, 99])) if depth == 0 else draw(
        st.sampled_from([0, 43, 44, 51, 60, 6, 17, 58, 99]))
    if kind not in (0, 43, 44, 51, 60):
        return kind, None
    following, extension = draw(ipv6_extensions(depth - 1))
    common = {"next_header": following, "extension": extension}
    units = draw(st.integers(0, 2))
    if kind == 44:
        offset = draw(st.integers(0, 0x1FFF)) if extension is None else 0
        fragmentation = {"fragment_offset": offset, "more_fragments": draw(st.booleans())}
        return kind, common | {"fragmentation": fragmentation, "identification": draw(word)}
    if kind == 51:
        return kind, common | {"sequence_number_and_icv": bytes(4 * units)}
    return kind, common | {"data": bytes(6 + 8 * units)}


def chain_of(seen: Any) -> list[Any]:
    """The extension headers, one after the other."""
    chain, extension = [], seen.contents.extension
    while extension is not None:
        chain.append(extension)
        extension = extension.extension
    return chain


def agrees_ipv6(view: Ipv6View, seen: Any) -> None:
    header, chain = seen.header, chain_of(seen)
    word = header.first_word
    assert (view.dscp, view.ecn, view.flow_label) == (word.dscp, word.ecn, word.flow_label)
    assert (view.source, view.destination) == (header.source_address, header.destination_address)
    assert view.total_length == 40 + header.payload_length
    assert view.protocol == int(chain[-1].next_header if chain else header.next_header)
    assert view.payload == seen.contents.payload
    fragments = [one for one in chain if "fragmentation" in one]
    last = fragments[-1] if fragments else None
    assert view.fragment_offset == (last.fragmentation.fragment_offset * 8 if last else 0)
    assert view.more_fragments == (last.fragmentation.more_fragments if last else False)
    assert view.identification == (last.identification if last else 0)


@given(st.integers(0, 63), st.integers(0, 0xFFFFF), address6, address6, ipv6_extensions(),
       st.binary(max_size=40))
def test_ipv6_build(dscp: int, label: int, source: bytes, destination: bytes, extensions: tuple[int, Any],
                    payload: bytes) -> None:
    next_header, extension = extensions
    packet = layouts.IPV6.build({
        "header": {"first_word": {"dscp": dscp, "flow_label": label}, "next_header": next_header,
                   "source_address": source, "destination_address": destination},
        "contents": {"extension": extension, "payload": payload}})
    view = Ipv6View(packet)
    assert (view.dscp, view.payload, view.total_length) == (dscp, payload, len(packet))
    while extension is not None:
        next_header, extension = extension["next_header"], extension["extension"]
    assert view.protocol == next_header
    agrees_ipv6(view, layouts.IPV6.parse(packet))


@given(st.one_of(ipv6_packets(), damaged(ipv6_packets())))
@settings(max_examples=200)
def test_ipv6_parse(octets: bytes) -> None:
    try:
        seen = layouts.IPV6.parse(octets)
    except ConstructError:
        with pytest.raises(MalformedPacket):
            Ipv6View(octets)
    else:
        assume(len(chain_of(seen)) < 16)
        agrees_ipv6(Ipv6View(octets), seen)


# ── TCP and UDP ──

FLAGS = ("cwr", "ece", "urg", "ack", "psh", "rst", "syn", "fin")
options = st.lists(st.one_of(
    st.just({"kind": "nop"}),
    st.builds(lambda value: {"kind": "mss", "value": value}, port),
    st.builds(lambda value: {"kind": "window_scale", "value": value}, octet),
    st.just({"kind": "sack_permitted", "value": b""}),
    st.builds(lambda value, echo: {"kind": "timestamps", "value": {"ts_value": value, "ts_echo_reply": echo}},
              word, word),
    st.builds(lambda left, right: {"kind": "sack", "value": [{"left_edge": left, "right_edge": right}]},
              word, word),
    st.builds(lambda kind, value: {"kind": kind, "value": value}, st.integers(20, 255),
              st.binary(max_size=6)),
), max_size=4)


def agrees_tcp(view: TcpView, seen: Any) -> None:
    assert (view.source_port, view.destination_port) == (seen.source_port, seen.destination_port)
    assert (view.sequence, view.acknowledgment) == (seen.sequence_number, seen.acknowledgment_number)
    assert f"{view.flags:08b}" == "".join(str(int(seen.control[flag])) for flag in FLAGS)
    assert (view.window, view.header_length, view.payload) == (
        seen.window, seen.control.data_offset * 4, seen.data)
    written = {int(one.kind): layouts.TCP_OPTION.build(one)[2:] for one in seen.options.list}
    assert view.options == {kind: value for kind, value in written.items() if kind != 1}
    values = {(str(one.kind), one.length): one.value for one in seen.options.list}
    if [str(one.kind) for one in seen.options.list].count("mss") < 2:
        assert view.mss == values.get(("mss", 4))
    if [str(one.kind) for one in seen.options.list].count("window_scale") < 2:
        scale = values.get(("window_scale", 3))
        assert view.window_scale == (None if scale is None else min(scale, 14))


@given(port, port, word, word, st.sets(st.sampled_from(FLAGS)), port, options, st.binary(max_size=30))
def test_tcp_build(source: int, destination: int, sequence: int, acknowledgment: int, flags: set[str],
                   window: int, chosen: list[dict[str, Any]], payload: bytes) -> None:
    segment = layouts.TCP.build({
        "source_port": source, "destination_port": destination, "sequence_number": sequence,
        "acknowledgment_number": acknowledgment, "control": dict.fromkeys(flags, True), "window": window,
        "options": {"list": chosen}, "data": payload})
    view = TcpView(segment)
    assert view.payload == payload
    assert (view.source_port, view.destination_port, view.window) == (source, destination, window)
    assert set(view.options) == {int(layouts.TCP_OPTION.parse(layouts.TCP_OPTION.build(one)).kind)
                                 for one in chosen} - {1}
    agrees_tcp(view, layouts.TCP.parse(segment))


@given(st.one_of(tcp_segments(), damaged(tcp_segments())))
@settings(max_examples=200)
def test_tcp_parse(octets: bytes) -> None:
    try:
        seen = layouts.TCP.parse(octets)
    except ConstructError:
        with pytest.raises(MalformedPacket):
            TcpView(octets)
    else:
        agrees_tcp(TcpView(octets), seen)


@given(udp_datagrams())
def test_udp(datagram: bytes) -> None:
    seen = layouts.UDP.parse(datagram)
    names = ("source_port", "destination_port", "checksum", "data")
    assert layouts.UDP.build({name: seen[name] for name in names}) == datagram
    packet = analyse(layouts.IPV4.build({
        "header": {"protocol": "udp", "source_address": bytes(4), "destination_address": bytes(4)},
        "payload": datagram}))
    assert (packet.source_port, packet.destination_port) == (seen.source_port, seen.destination_port)


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
