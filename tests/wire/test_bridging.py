"""Ethernet frames, their FCS, ARP, neighbour discovery, and frames in SDUs: against scapy and published octets."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether

from atmdepot.wire import layouts
from atmdepot.wire.arp import REPLY, REQUEST, Arp, ArpError, parse_arp
from atmdepot.wire.bridging import Fcs, FcsError, bridged_sdu, frame_in, greatest_sdu, sdu_size
from atmdepot.wire.discovery import (
    ADVERTISEMENT,
    ALL_NODES,
    SOLICITATION,
    UNSPECIFIED,
    Discovery,
    DiscoveryError,
    group_of,
    is_discovery,
    link_local,
    mac_of_group,
    parse_discovery,
)
from atmdepot.wire.ethernet import (
    BROADCAST,
    LEAST_FRAME,
    Frame,
    FrameError,
    fcs_holds,
    is_group,
    mac_of,
    mac_text,
    parse_frame,
    with_fcs,
)
from atmdepot.wire.ip import address_text
from atmdepot.wire.llc import Encapsulation, EncapsulationError

BRIDGED = (Encapsulation.VC_MUX_BRIDGED, Encapsulation.LLC_BRIDGED)
macs = st.binary(min_size=6, max_size=6)
stations = macs.map(lambda mac: bytes((mac[0] & 0xFE,)) + mac[1:])
ipv4s = st.binary(min_size=4, max_size=4)
ipv6s = st.binary(min_size=16, max_size=16)
nodes = ipv6s.map(lambda address: b"\xfd" + address[1:])
payloads = st.binary(max_size=80)


# Frames.


@given(macs, macs, st.integers(0, 65535), payloads)
def test_frames_are_those_of_scapy(destination: bytes, source: bytes, ethertype: int, payload: bytes) -> None:
    octets = bytes(Ether(dst=mac_text(destination), src=mac_text(source), type=ethertype) / payload)
    frame = Frame(destination, source, ethertype, payload)
    assert frame.pack() == octets
    assert parse_frame(octets) == frame


@given(st.binary(max_size=13))
def test_less_than_a_header_is_no_frame(octets: bytes) -> None:
    with pytest.raises(FrameError):
        parse_frame(octets)


@given(st.binary(min_size=14, max_size=100), st.integers(0, 64 * 8 - 1))
def test_the_fcs_is_right_until_a_bit_changes(frame: bytes, bit: int) -> None:
    sent = with_fcs(frame)
    assert sent[:-4] == frame + bytes(max(0, LEAST_FRAME - len(frame)))
    assert fcs_holds(sent)
    damaged = bytearray(sent)
    damaged[bit // 8] ^= 0x80 >> bit % 8
    assert not fcs_holds(bytes(damaged))


def test_the_fcs_of_the_check_string() -> None:
    """CRC-32/ISO-HDLC over "123456789" is CBF43926, sent with its least significant octet first (IEEE 802.3)."""
    assert fcs_holds(b"123456789" + bytes.fromhex("2639f4cb"))


def test_mac_addresses_are_local_and_of_a_single_station() -> None:
    made = {mac_of("net", node, vp) for node in ("a", "b") for vp in ("x", "y")}
    assert len(made) == 4
    assert all(mac[0] & 3 == 2 and not is_group(mac) for mac in made)
    assert is_group(BROADCAST)
    assert mac_of("net", "a", "x") == mac_of("net", "a", "x")


# ARP.


@given(st.sampled_from([REQUEST, REPLY]), stations, ipv4s, macs, ipv4s, st.integers(0, 18))
def test_arp_is_that_of_scapy(
    operation: int, sender_mac: bytes, sender: bytes, target_mac: bytes, target: bytes, padding: int,
) -> None:
    octets = bytes(ARP(op=operation, hwsrc=mac_text(sender_mac), psrc=address_text(sender), hwdst=mac_text(target_mac),
                       pdst=address_text(target), hwlen=6, plen=4))
    message = Arp(operation, sender_mac, sender, target_mac, target)
    assert message.pack() == octets
    assert parse_arp(octets + bytes(padding)) == message


@given(st.binary(max_size=40))
def test_any_octets_are_arp_or_an_error(octets: bytes) -> None:
    try:
        message = parse_arp(octets)
    except ArpError:
        return
    assert message.pack() == octets[:28]


@pytest.mark.parametrize("change", [(0, b"\0\6"), (2, b"\x86\xdd"), (4, b"\5"), (5, b"\x10"), (6, b"\0\3"), (8, b"\1")])
def test_other_arp_is_refused(change: tuple[int, bytes]) -> None:
    octets = Arp(REQUEST, bytes(6), bytes(4), bytes(6), bytes(4)).pack()
    at, other = change
    with pytest.raises(ArpError):
        parse_arp(octets[:at] + other + octets[at + len(other):])


# Neighbour discovery.


@given(nodes, nodes, stations)
def test_solicitations_are_those_of_scapy(source: bytes, target: bytes, mac: bytes) -> None:
    group = group_of(target)
    octets = bytes(IPv6(src=address_text(source), dst=address_text(group), hlim=255) / ICMPv6ND_NS(
        tgt=address_text(target)) / ICMPv6NDOptSrcLLAddr(lladdr=mac_text(mac)))
    message = Discovery(SOLICITATION, source, group, target, mac)
    assert message.pack() == octets
    assert is_discovery(octets)
    assert parse_discovery(octets) == message


@given(nodes, nodes, nodes, stations, st.booleans(), st.booleans())
def test_advertisements_are_those_of_scapy(
    source: bytes, destination: bytes, target: bytes, mac: bytes, solicited: bool, override: bool,
) -> None:
    octets = bytes(IPv6(src=address_text(source), dst=address_text(destination), hlim=255) / ICMPv6ND_NA(
        tgt=address_text(target), R=1, S=solicited, O=override) / ICMPv6NDOptDstLLAddr(lladdr=mac_text(mac)))
    message = Discovery(ADVERTISEMENT, source, destination, target, mac, solicited, override)
    assert message.pack() == octets
    assert parse_discovery(octets) == message


@given(nodes, nodes, stations, st.integers(0, 71), st.integers(1, 255))
def test_a_changed_octet_is_an_error(source: bytes, target: bytes, mac: bytes, at: int, change: int) -> None:
    octets = bytearray(Discovery(SOLICITATION, source, group_of(target), target, mac).pack())
    octets[at] ^= change
    changed = bytes(octets)
    if at < 4 or not is_discovery(changed):  # the traffic class and flow label are not read
        return
    with pytest.raises(DiscoveryError):
        parse_discovery(changed)


@given(st.binary(max_size=60), st.sampled_from([SOLICITATION, ADVERTISEMENT]))
def test_any_octets_are_discovery_or_an_error(rest: bytes, kind: int) -> None:
    packet = bytes.fromhex("60000000") + len(rest).to_bytes(2, "big") + b"\x3a\xff" + bytes(32) + bytes((kind,)) + rest
    assert is_discovery(packet)
    with pytest.raises(DiscoveryError):
        parse_discovery(packet)


def test_messages_that_receivers_must_drop() -> None:
    mac, node, target = bytes(6), b"\xfd" + bytes(15), b"\xfd" + bytes(14) + b"\1"
    for message in (
        Discovery(SOLICITATION, node, target, ALL_NODES, mac),  # a group as target
        Discovery(SOLICITATION, UNSPECIFIED, group_of(target), target, mac),  # no address yet, but a MAC address
        Discovery(SOLICITATION, UNSPECIFIED, target, target, None),
        Discovery(ADVERTISEMENT, node, ALL_NODES, target, mac, True),
        Discovery(ADVERTISEMENT, node, target, target, BROADCAST, True),
    ):
        with pytest.raises(DiscoveryError):
            parse_discovery(message.pack())


def test_addresses_made_of_others() -> None:
    """The examples of RFC 4291 (section 2.7.1 and appendix A) and RFC 2464 (section 7)."""
    address = bytes.fromhex("4037" + "00" * 9 + "01" + "800e8c6c")
    assert group_of(address) == bytes.fromhex("ff02" + "00" * 9 + "01ff0e8c6c")
    assert mac_of_group(ALL_NODES) == bytes.fromhex("333300000001")
    assert link_local(bytes.fromhex("3456789abcde")) == bytes.fromhex("fe80000000000000365678fffe9abcde")


# Frames in SDUs.


@pytest.mark.parametrize("encapsulation", BRIDGED)
@pytest.mark.parametrize("fcs", Fcs)
@given(frame=st.binary(min_size=14, max_size=100))
def test_frames_come_back_and_layouts_agree(encapsulation: Encapsulation, fcs: Fcs, frame: bytes) -> None:
    sdu = bridged_sdu(frame, encapsulation, fcs)
    padded = frame.ljust(LEAST_FRAME, b"\0") if fcs is Fcs.YES else frame
    assert frame_in(sdu, encapsulation, fcs) == padded
    assert len(sdu) == sdu_size(len(frame) - 14, encapsulation, fcs) <= greatest_sdu(len(frame) - 14, encapsulation)
    layout = layouts.LLC_BRIDGED if encapsulation is Encapsulation.LLC_BRIDGED else layouts.VC_BRIDGED
    parsed = layout.parse(sdu)
    assert parsed.frame + (getattr(parsed, "lan_fcs", None) or b"") == sdu[encapsulation.overhead:]


@pytest.mark.parametrize("encapsulation", BRIDGED)
@given(frame=st.binary(min_size=14, max_size=100))
def test_auto_takes_frames_with_fcs_and_without(encapsulation: Encapsulation, frame: bytes) -> None:
    padded = frame.ljust(LEAST_FRAME, b"\0")
    assert frame_in(bridged_sdu(frame, encapsulation, Fcs.YES), encapsulation, Fcs.AUTO) == padded
    assert frame_in(bridged_sdu(frame, encapsulation, Fcs.NO), encapsulation, Fcs.AUTO) == frame


@given(st.binary(min_size=14, max_size=100))
def test_a_missing_or_wrong_fcs(frame: bytes) -> None:
    without = bridged_sdu(frame, Encapsulation.VC_MUX_BRIDGED, Fcs.NO)
    if not fcs_holds(frame):
        with pytest.raises(FcsError):
            frame_in(without, Encapsulation.VC_MUX_BRIDGED, Fcs.YES)
    wrong = bytearray(bridged_sdu(frame, Encapsulation.LLC_BRIDGED, Fcs.YES))
    wrong[-1] ^= 1
    for fcs in Fcs:  # the PID says that it is there, so it is checked
        with pytest.raises(FcsError):
            frame_in(bytes(wrong), Encapsulation.LLC_BRIDGED, fcs)


@given(st.binary(max_size=80), st.sampled_from(BRIDGED), st.sampled_from(Fcs))
def test_any_octets_are_a_frame_or_an_error(sdu: bytes, encapsulation: Encapsulation, fcs: Fcs) -> None:
    with suppress(EncapsulationError, FcsError):
        assert frame_in(sdu, encapsulation, fcs) in sdu
