"""LLC/SNAP and VC multiplexing (RFC 2684)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.wire.aal5 import cells_needed
from atmdepot.wire.llc import (
    ETHERTYPE_ARP,
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    Encapsulation,
    EncapsulationError,
    Payload,
    decapsulate,
    encapsulate,
)
from tests.packets import ip_packets, ipv4_packets, ipv6_packets

BRIDGED = (Encapsulation.VC_MUX_BRIDGED, Encapsulation.LLC_BRIDGED)
BRIDGED_WITH_FCS = bytes.fromhex("aaaa030080c200010000")
frames = st.binary(min_size=14, max_size=100)
headers = st.sampled_from([bytes.fromhex(header) for header in (
    "", "aa", "aaaa03", "aaaa03000000", "aaaa030000000800", "aaaa0300000086dd", "aaaa030080c200070000",
    "aaaa030080c200010000", "aaaa030080c200080000", "fefe0381", "0000", "45", "60")])


@pytest.mark.parametrize(("encapsulation", "header"), [
    (Encapsulation.VC_MUX, ""), (Encapsulation.LLC, "aaaa030000000800")])
@given(packet=ipv4_packets())
def test_ipv4(encapsulation: Encapsulation, header: str, packet: bytes) -> None:
    assert encapsulate(packet, encapsulation) == bytes.fromhex(header) + packet
    assert decapsulate(bytes.fromhex(header) + packet, encapsulation) == Payload(ETHERTYPE_IPV4, packet)


@pytest.mark.parametrize(("encapsulation", "header"), [
    (Encapsulation.VC_MUX, ""), (Encapsulation.LLC, "aaaa0300000086dd")])
@given(packet=ipv6_packets())
def test_ipv6(encapsulation: Encapsulation, header: str, packet: bytes) -> None:
    assert encapsulate(packet, encapsulation) == bytes.fromhex(header) + packet
    assert decapsulate(bytes.fromhex(header) + packet, encapsulation) == Payload(ETHERTYPE_IPV6, packet)


@pytest.mark.parametrize(("encapsulation", "header"), [
    (Encapsulation.VC_MUX_BRIDGED, "0000"), (Encapsulation.LLC_BRIDGED, "aaaa030080c200070000")])
@given(frame=frames)
def test_bridged(encapsulation: Encapsulation, header: str, frame: bytes) -> None:
    assert encapsulate(frame, encapsulation) == bytes.fromhex(header) + frame
    assert decapsulate(bytes.fromhex(header) + frame, encapsulation) == Payload(None, frame)


@given(frames)
def test_the_fcs_of_a_bridged_frame_is_taken_off(frame: bytes) -> None:
    assert decapsulate(BRIDGED_WITH_FCS + frame + b"FCS!", Encapsulation.LLC_BRIDGED) == Payload(None, frame)


@given(st.binary(max_size=3))
def test_a_frame_shorter_than_its_fcs(octets: bytes) -> None:
    with pytest.raises(EncapsulationError, match="shorter than its FCS"):
        decapsulate(BRIDGED_WITH_FCS + octets, Encapsulation.LLC_BRIDGED)


def test_llc_names_other_protocols_too() -> None:
    arp = bytes.fromhex("aaaa030000000806") + b"who has"
    assert decapsulate(arp, Encapsulation.LLC) == Payload(ETHERTYPE_ARP, b"who has")


@pytest.mark.parametrize("encapsulation", Encapsulation)
@given(packet=ip_packets)
def test_the_overhead_is_the_octets_added(encapsulation: Encapsulation, packet: bytes) -> None:
    assert len(encapsulate(packet, encapsulation)) == len(packet) + encapsulation.overhead


@pytest.mark.parametrize(("encapsulation", "cells"), [(Encapsulation.VC_MUX, 1), (Encapsulation.LLC, 2)])
def test_the_cells_of_an_ack(encapsulation: Encapsulation, cells: int) -> None:
    ack = b"\x45" + bytes(39)
    assert cells_needed(len(encapsulate(ack, encapsulation))) == cells


@pytest.mark.parametrize("packet", [b"", b"\x35" + bytes(39), b"\x55" + bytes(39), bytes(40)])
def test_other_octets_get_no_llc_header(packet: bytes) -> None:
    with pytest.raises(EncapsulationError, match="is neither IPv4 nor IPv6"):
        encapsulate(packet, Encapsulation.LLC)
    with pytest.raises(EncapsulationError, match="is neither IPv4 nor IPv6"):
        decapsulate(packet, Encapsulation.VC_MUX)


@pytest.mark.parametrize(("encapsulation", "sdu"), [
    (Encapsulation.LLC, "aaaa0300000008"), (Encapsulation.LLC, "aaaa03000000"),
    (Encapsulation.LLC, "aaaa0300"), (Encapsulation.LLC, "aaab03000000080045"),
    (Encapsulation.LLC, "aaaa030080c2000700004500"), (Encapsulation.LLC_BRIDGED, "aaaa0300000008004500"),
    (Encapsulation.LLC_BRIDGED, "aaaa030080c200080000ff"), (Encapsulation.LLC_BRIDGED, "aaaa030080c2000700"),
    (Encapsulation.VC_MUX_BRIDGED, "00"), (Encapsulation.VC_MUX_BRIDGED, "0100ffff")])
def test_headers_of_another_kind_or_cut_short(encapsulation: Encapsulation, sdu: str) -> None:
    with pytest.raises(EncapsulationError):
        decapsulate(bytes.fromhex(sdu), encapsulation)


@given(st.builds(bytes.__add__, headers, st.binary(max_size=40)), st.sampled_from(Encapsulation))
def test_any_octets_are_a_payload_or_an_encapsulation_error(sdu: bytes, encapsulation: Encapsulation) -> None:
    try:
        ethertype, octets = decapsulate(sdu, encapsulation)
    except EncapsulationError:
        return
    assert octets in sdu
    assert (ethertype is None) == (encapsulation in BRIDGED)
    if (ethertype, octets[:1]) in ((ETHERTYPE_IPV4, b"\x45"), (ETHERTYPE_IPV6, b"\x60")):
        assert encapsulate(octets, encapsulation) == sdu


@given(ipv4_packets(), st.sampled_from(Encapsulation))
def test_an_encapsulation_may_be_given_by_its_value(packet: bytes, encapsulation: Encapsulation) -> None:
    sdu = encapsulate(packet, encapsulation.value)
    assert sdu == encapsulate(packet, encapsulation)
    assert decapsulate(sdu, encapsulation.value) == decapsulate(sdu, encapsulation)


@pytest.mark.parametrize("wrong", ["foo", "VC-MUX", None])
@pytest.mark.parametrize("call", [encapsulate, decapsulate])
def test_another_encapsulation_is_refused_with_those_there_are(call: Any, wrong: str) -> None:
    with pytest.raises(ValueError, match=r"^encapsulation .*: write one of vc-mux, llc, ") as caught:
        call(b"\x45", wrong)
    assert not isinstance(caught.value, EncapsulationError)
