"""The function fields of OAM cells: against the layouts of `layouts.py`, published cells, and hostile octets."""

from __future__ import annotations

from functools import reduce
from operator import xor
from struct import pack
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.wire import layouts
from atmdepot.wire.cell import CellHeader, Interface
from atmdepot.wire.oam import ActivationFunction, FaultFunction, OamFlow, OamPayload
from atmdepot.wire.oam_messages import (
    END_POINT,
    NO_LOCATION,
    Activation,
    Backward,
    ContinuityCheck,
    Defect,
    Direction,
    Forward,
    Loopback,
    Request,
    bip16,
    looped,
    read,
)
from tests.effort import examples
from tests.packets import cell_headers, octet, port, word

if TYPE_CHECKING:
    from pathlib import Path

    from tests.wireshark import Wireshark

ALARMS = (FaultFunction.AIS, FaultFunction.RDI)
NAMES = {ActivationFunction.FORWARD_AND_BACKWARD: "performance_monitoring",
         ActivationFunction.CONTINUITY_CHECK: "continuity_check", ActivationFunction.FORWARD: "forward_monitoring"}
PUBLISHED = {
    "10" + "6a" * 45 + "03b9": Defect(FaultFunction.AIS),
    "11" + "6a" * 45 + "00af": Defect(FaultFunction.RDI),
    "14" + "6a" * 45 + "0387": ContinuityCheck(),
    "1801" + "00000001" + "ff" * 16 + "6a" * 24 + "0309": Loopback(True, 1),
    "1800" + "00000001" + "ff" * 16 + "6a" * 24 + "01f0": Loopback(False, 1),
}

places = st.one_of(st.binary(min_size=16, max_size=16), st.sampled_from([END_POINT, NO_LOCATION]))
older_places = st.one_of(st.binary(min_size=12, max_size=12), st.just(END_POINT[:12]))
older_sources = st.binary(min_size=12, max_size=12).filter(lambda source: source[4:] != NO_LOCATION[:8])
nibble = st.integers(0, 15)
messages = st.one_of(
    st.builds(Defect, st.sampled_from(ALARMS), octet, places),
    st.just(ContinuityCheck()),
    st.builds(Forward, octet, port, port, port, word),
    st.builds(Backward, octet, port, port, octet, octet, port, octet, port, port, word),
    st.builds(Activation, st.sampled_from(ActivationFunction), st.integers(0, 63), st.integers(0, 3), octet, nibble,
              nibble))


def specific(seen: Any) -> Any:
    return seen.function_specific


def field_of(message: Any) -> dict[str, Any]:
    """The fields of a message by the names of the layouts."""
    if isinstance(message, Defect):
        return {"defect_type": message.type, "defect_location": message.location}
    if isinstance(message, Forward):
        return {"monitoring_sequence_number": message.sequence, "total_user_cells_clp_0_1": message.cells,
                "block_error_detection_clp_0_1": message.block_errors, "total_user_cells_clp_0": message.cells_clp0,
                "time_stamp": message.time}
    if isinstance(message, Backward):
        return {"monitoring_sequence_number": message.sequence, "total_user_cells_clp_0_1": message.cells,
                "block_error_detection_clp_0_1": message.block_errors, "total_user_cells_clp_0": message.cells_clp0,
                "time_stamp": message.time, "reported_sequence_number": message.reported,
                "severely_errored_cell_blocks": message.bad_blocks,
                "total_received_cells_clp_0": message.received_clp0, "block_error_result_clp_0_1": message.errors,
                "total_received_cells_clp_0_1": message.received}
    return {"message": {"message_id": message.message, "directions": message.direction},
            "correlation_tag": message.tag, "block_sizes": {"a_b": message.block_a_b, "b_a": message.block_b_a}}


def kind_of(message: Any) -> tuple[str, str]:
    """Type and function by the names of the layouts, which build from names."""
    if isinstance(message, Defect):
        return "fault_management", message.function.name.lower()
    if isinstance(message, Forward | Backward):
        return "performance_management", \
            "forward_monitoring" if isinstance(message, Forward) else "backward_reporting"
    return "activation_deactivation", NAMES[message.function]


# ── against the layouts, both ways ──

@given(messages.filter(lambda message: not isinstance(message, ContinuityCheck)))
@examples(300)
def test_codec_and_layout_write_the_same_cells(message: Any) -> None:
    kind, function = kind_of(message)
    built = layouts.OAM.build({"oam_type": kind, "function_type": function, "function_specific": field_of(message)})
    assert message.pack() == built
    assert read(built) == message


@given(st.sampled_from([(1, 0), (1, 1), (2, 0), (2, 1), (8, 0), (8, 1), (8, 2)]),
       st.binary(min_size=45, max_size=45))
@examples(300)
def test_codec_and_layout_read_any_field_alike(kind: tuple[int, int], field: bytes) -> None:
    """Also fields with unused octets that are not 6A."""
    payload = OamPayload(*kind, field).pack()
    seen, message = specific(layouts.OAM.parse(payload)), read(payload)
    for name, value in field_of(message).items():
        read_there = {key: int(part) for key, part in seen[name].items() if key[0] != "_"} \
            if isinstance(value, dict) else seen[name]
        assert read_there == value, name


@given(st.booleans(), word, places, places)
def test_loopbacks_as_the_layout_has_them(asks: bool, tag: int, location: bytes, source: bytes) -> None:
    payload = layouts.OAM.build({
        "oam_type": "fault_management", "function_type": "loopback", "function_specific": {
            "loopback_indication": {"to_be_looped": asks}, "correlation_tag": tag,
            "loopback_location_id": location, "source_id": source}})
    assert Loopback(asks, tag, location, source).pack() == payload
    message = read(payload)
    assert isinstance(message, Loopback)
    assert message[:2] == (asks, tag)
    if not message.older:
        assert message[2:4] == (location, source)


# ── published and older cells ──

@pytest.mark.parametrize("octets", PUBLISHED)
def test_published_cells(octets: str) -> None:
    assert PUBLISHED[octets].pack().hex() == octets
    assert read(bytes.fromhex(octets)) == PUBLISHED[octets]


def test_the_published_answer_to_the_published_loopback() -> None:
    asked, answer = [octets for octets in PUBLISHED if octets.startswith("18")]
    assert looped(bytes.fromhex(asked)).hex() == answer


@given(st.booleans(), word, older_places, older_sources)
def test_the_older_loopback_layout(asks: bool, tag: int, location: bytes, source: bytes) -> None:
    message = Loopback(asks, tag, location, source, older=True)
    payload = message.pack()
    assert payload[6:30] == location + source
    assert payload[30:46] == b"\x6A" * 16
    assert read(payload) == message or location + source[:4] == END_POINT
    assert read(looped(payload)) == read(payload)._replace(to_be_looped=False)  # type: ignore[union-attr,call-arg]


@pytest.mark.parametrize("location", [END_POINT[:12], b"exchange-401"])
def test_an_older_loopback_that_does_not_tell_its_source(location: bytes) -> None:
    message = Loopback(True, 9, location, NO_LOCATION[:12], older=True)
    assert read(message.pack()) == message


@given(places, places, st.booleans())
def test_whose_loopback_it_is(own: bytes, asked: bytes, end_point: bool) -> None:
    expected = own == asked or (end_point and asked == END_POINT)
    assert Loopback(True, 1, asked).is_for(own, end_point=end_point) is expected
    older = Loopback(True, 1, asked[:12], NO_LOCATION[:12], older=True)
    expected = own[:12] == asked[:12] or (end_point and asked[:12] == END_POINT[:12])
    assert older.is_for(own, end_point=end_point) is expected


# ── bad input ──

@given(st.binary(max_size=100))
def test_random_octets_make_a_value_error_or_a_value(octets: bytes) -> None:
    for function in (read, looped):
        try:
            function(octets)
        except ValueError:
            continue


@given(nibble, nibble, st.binary(min_size=45, max_size=45))
def test_any_cell_with_a_good_crc_is_read(kind: int, function: int, field: bytes) -> None:
    payload = OamPayload(kind, function, field).pack()
    message = read(payload)
    if isinstance(message, OamPayload):
        assert message.pack() == payload
    else:
        assert read(message.pack()) == message
    assert int.from_bytes(looped(payload)[:46], "big") | 1 << 352 == int.from_bytes(payload[:46], "big") | 1 << 352


@pytest.mark.parametrize("message", [
    Defect(FaultFunction.AIS, 256), Defect(FaultFunction.RDI, 1, b"short"), Loopback(True, 1 << 32),
    Loopback(True, -1), Loopback(True, 1, b""), Loopback(True, 1, END_POINT, END_POINT[:12]),
    Loopback(True, 1, END_POINT, END_POINT, older=True), Forward(256, 0, 0, 0), Forward(0, 1 << 16, 0, 0),
    Backward(0, 0, 0, 0, 0, 0, 256, 0), Backward(0, 0, 0, 0, 0, 0, 0, 0, -1),
    Activation(ActivationFunction.FORWARD, 64, 1, 0), Activation(ActivationFunction.FORWARD, 1, 4, 0),
    Activation(ActivationFunction.FORWARD, 1, 1, 256), Activation(ActivationFunction.FORWARD, 1, 1, 0, 16),
    Activation(ActivationFunction.FORWARD, 1, 1, 0, 0, -1)])
def test_values_that_do_not_fit(message: Any) -> None:
    with pytest.raises(ValueError, match=r"fit|a location has"):
        message.pack()


# ── activation, parity, flows ──

def test_a_request_to_monitor_both_directions() -> None:
    message = Activation(ActivationFunction.FORWARD_AND_BACKWARD, Request.ACTIVATE, Direction.BOTH, 0x55, 3, 4)
    assert message.pack()[:4].hex() == "80075534"
    seen = layouts.OAM.parse(message.pack())
    assert str(seen.function_type) == NAMES[message.function]
    assert str(specific(seen).message.message_id) == "activate"
    assert str(specific(seen).message.directions) == "both"


@given(st.lists(st.binary(min_size=48, max_size=48), max_size=9))
def test_bip_16_is_the_parity_of_each_bit(payloads: list[bytes]) -> None:
    octets = b"".join(payloads)
    expected = bytes((reduce(xor, octets[0::2], 0), reduce(xor, octets[1::2], 0)))
    assert bip16(octets) == int.from_bytes(expected, "big")
    parity = 0
    for payload in payloads:
        parity = bip16(payload, parity)
    assert parity == bip16(octets)


def test_bip_16_of_half_a_pair() -> None:
    with pytest.raises(ValueError, match="pairs of octets"):
        bip16(bytes(3))


@given(st.sampled_from(OamFlow), st.sampled_from(Interface), st.integers(0, 255), st.integers(32, 65535))
def test_the_flow_of_a_header_that_a_flow_made(flow: OamFlow, interface: Interface, vpi: int, vci: int) -> None:
    header = CellHeader.unpack(flow.header(vpi, vci, interface), interface)
    assert OamFlow.of(header) is flow
    assert header.vpi == vpi
    assert header.vci == (vci if not flow.is_of_vp else 3 if flow.is_segment else 4)


@given(cell_headers(), st.integers(0, 5))
def test_flows_are_those_of_oam_cells(header: CellHeader, vci: int) -> None:
    for each in (header, header._replace(vci=vci)):
        assert (OamFlow.of(each) is not None) is each.is_oam


def test_a_vpi_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="vpi 256"):
        OamFlow.F4_SEGMENT.header(256)


# ── an independent decoder ──

def erf_capture(cells: list[bytes]) -> bytes:
    """A capture of link type 197: an ERF record of type 3 for each cell, which has no HEC there."""
    out = pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 197)
    for cell in cells:
        record = pack("<Q", 0) + pack(">BBHHH", 3, 4, 16 + 52, 0, 52) + cell[:4] + cell[5:]
        out += pack("<IIII", 0, 0, len(record), len(record)) + record
    return out


@pytest.mark.tshark
def test_tshark_finds_every_crc_10_correct(tshark: Wireshark, tmp_path: Path) -> None:
    told: list[tuple[OamFlow, Any]] = [
        (OamFlow.F4_SEGMENT, Defect(FaultFunction.AIS, 1, b"\1" + b"s" * 15)),
        (OamFlow.F4_END_TO_END, Defect(FaultFunction.RDI)), (OamFlow.F5_SEGMENT, ContinuityCheck()),
        (OamFlow.F5_END_TO_END, Loopback(True, 0xABCDEF01)), (OamFlow.F5_END_TO_END, Forward(1, 2, 3, 4)),
        (OamFlow.F5_END_TO_END, Backward(1, 2, 3, 4, 5, 6, 7, 8)),
        (OamFlow.F5_SEGMENT, Activation(ActivationFunction.CONTINUITY_CHECK, Request.ACTIVATE, Direction.BOTH, 9))]
    file = tmp_path / "oam.pcap"
    file.write_bytes(erf_capture([flow.header(1, 40) + message.pack() for flow, message in told]))
    frames = tshark.frames(file)
    assert len(frames) == len(told)
    for frame, (_, message) in zip(frames, told, strict=True):
        assert "OAM Type: " in frame
        assert "CRC-10: " in frame
        assert "(correct)" in frame, (message, frame)
