"""Frames of Frame Relay: vectors, the layouts, tshark, and frames that are cut short or lie."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.wire.frame_relay import (
    Address,
    FrameError,
    NlpidError,
    dlci_of,
    header_of,
    parse_address,
    payload_of,
    relabelled,
)
from atmdepot.wire.relay_layouts import ADDRESS, ROUTED, SNAP
from tests.ip_packets import SYN, tcp
from tests.network_in_memory import CLIENT4, CLIENT6, VIP4, VIP6
from tests.relay_capture import write_frames

if TYPE_CHECKING:
    from pathlib import Path

    from tests.wireshark import Wireshark

V4, V6 = tcp(CLIENT4, 4000, VIP4, 80, SYN), tcp(CLIENT6, 4000, VIP6, 80, SYN)
_addresses = st.builds(Address, st.integers(0, 1023), *[st.booleans()] * 4)


def test_a_frame_by_the_octet() -> None:
    assert header_of(Address(100), 4) == bytes.fromhex("1841 03cc")
    assert header_of(Address(991, fecn=True, becn=True, de=True, command=True), 6) == bytes.fromhex("f6ff 038e")


@given(_addresses)
def test_an_address_is_that_of_the_layout(address: Address) -> None:
    octets = ADDRESS.build({"dlci_high": address.dlci >> 4, "dlci_low": address.dlci & 15, "command": address.command,
                            "fecn": address.fecn, "becn": address.becn, "de": address.de})
    assert address.pack() == octets
    assert parse_address(octets) == address
    assert dlci_of(octets) == address.dlci


@given(_addresses, st.integers(0, 1023), st.binary(max_size=9))
def test_a_switch_changes_nothing_but_the_dlci(address: Address, dlci: int, rest: bytes) -> None:
    assert relabelled(address.pack() + rest, dlci) == address._replace(dlci=dlci).pack() + rest


@pytest.mark.parametrize("frame", [b"", b"\x18", b"\x19\x41", b"\x18\x40", b"\x19\x40"])
def test_octets_without_an_address_of_two_octets_are_refused(frame: bytes) -> None:
    with pytest.raises(FrameError):
        parse_address(frame)


@pytest.mark.parametrize(("version", "packet"), [(4, V4), (6, V6)])
def test_a_packet_comes_out_of_every_form(version: int, packet: bytes) -> None:
    address, name = {"dlci_high": 6, "dlci_low": 4}, f"ipv{version}"
    frame = header_of(Address(100), version) + packet
    assert frame == ROUTED.build({"address": address, "nlpid": name, "packet": packet})
    snap = SNAP.build({"address": address, "pid": name, "packet": packet})
    for form in (frame, snap, frame[:3] + b"\0" + frame[3:], snap[:3] + snap[4:]):
        assert payload_of(form) == packet


@pytest.mark.parametrize("rest", [
    "", "03", "03cc", "038e", "03 00", "03 00 cc", "13cc 45", "03b1 45", "0308 45", "03cc 60", "038e 45",
    "0300 80 000000 0806 45", "0300 80 0080c2 0007 45", "0300 80 000000 08", "0300 80 000000 0800 60"])
def test_frames_without_ip_are_refused(rest: str) -> None:
    with pytest.raises(NlpidError):
        payload_of(bytes.fromhex("1841" + rest))


@given(st.binary(max_size=40))
def test_no_octets_are_taken_for_a_packet_of_neither_version(octets: bytes) -> None:
    with suppress(FrameError, NlpidError):
        parse_address(octets)
        assert payload_of(octets)[0] >> 4 in (4, 6)


@pytest.mark.tshark
def test_tshark_reads_our_frames(tshark: Wireshark, tmp_path: Path) -> None:
    frames = [header_of(Address(100), 4) + V4, header_of(Address(991, True, True, True), 6) + V6,
              SNAP.build({"address": {"dlci_high": 1, "dlci_low": 0}, "pid": "ipv4", "packet": V4})]
    seen = tshark.fields(write_frames(tmp_path / "frames.pcap", frames),
                         "fr.dlci", "fr.fecn", "fr.becn", "fr.de", "ip.dst", "ipv6.dst", "tcp.dstport")
    assert seen == [["100", *"000", VIP4, "", "80"], ["991", *"111", "", VIP6, "80"], ["16", *"000", VIP4, "", "80"]]
