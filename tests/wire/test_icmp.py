"""The ICMP errors about the path's MTU, as Scapy reads them, and the flow that an ICMP error is about."""

from __future__ import annotations

from struct import pack
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from atmdepot.wire.icmp import is_error, packet_too_big, quoted_packet
from atmdepot.wire.ip import Ipv4View, MalformedPacket, internet_checksum, ip_view
from tests.effort import examples
from tests.packets import damaged, ip_packets, ipv4_packets, ipv6_packets, no_packets

DEPOT4, DEPOT6 = bytes((10, 0, 0, 1)), bytes.fromhex("fd00000000000000000000000000000a")
CLIENT4, VIP4 = bytes((192, 0, 2, 7)), bytes((10, 80, 0, 1))
CLIENT6, VIP6 = bytes.fromhex("20010db8" + "0" * 23 + "7"), bytes.fromhex("fd000080" + "0" * 23 + "1")


@pytest.fixture(scope="module")
def scapy() -> Any:
    import scapy.layers.inet
    import scapy.layers.inet6
    return scapy.layers


def ipv4(payload: bytes, protocol: int = 6, source: bytes = CLIENT4, destination: bytes = VIP4,
         fragment: int = 0x4000) -> bytes:
    head = pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 0, fragment, 64, protocol, 0)
    return head + source + destination + payload


def ipv6(payload: bytes, protocol: int = 6, source: bytes = CLIENT6, destination: bytes = VIP6) -> bytes:
    return pack(">IHBB", 6 << 28, len(payload), protocol, 64) + source + destination + payload


TCP = bytes.fromhex("d4310050") + bytes(8) + bytes((0x50, 0x10)) + bytes(6)


# ── packet too big ──

@given(st.integers(20, 1500), st.integers(576, 65535))
@examples(40)
def test_fragmentation_needed(scapy: Any, size: int, mtu: int) -> None:
    packet = ipv4(bytes(size))
    error = packet_too_big(packet, mtu, DEPOT4)
    assert error is not None
    assert len(error) == min(576, 28 + len(packet))
    seen = scapy.inet.IP(error)
    icmp = seen[scapy.inet.ICMP]
    assert (seen.src, seen.dst, seen.proto, seen.len, seen.ihl) == ("10.0.0.1", "192.0.2.7", 1, len(error), 5)
    assert (icmp.type, icmp.code, icmp.nexthopmtu) == (3, 4, mtu)
    assert error[28:] == packet[:548]
    assert Ipv4View(error).checksum_ok
    assert internet_checksum(error[20:]) == 0
    written = seen.chksum, icmp.chksum
    del seen.chksum, icmp.chksum
    again = scapy.inet.IP(bytes(seen))
    assert (again.chksum, again[scapy.inet.ICMP].chksum) == written


@given(st.integers(20, 2000), st.integers(576, 65535))
@examples(40)
def test_icmpv6_packet_too_big(scapy: Any, size: int, mtu: int) -> None:
    packet = ipv6(bytes(size))
    error = packet_too_big(packet, mtu, DEPOT6)
    assert error is not None
    assert len(error) == min(1280, 48 + len(packet))
    seen = scapy.inet6.IPv6(error)
    icmp = seen[scapy.inet6.ICMPv6PacketTooBig]
    assert (seen.src, seen.dst, seen.nh, seen.plen) == ("fd00::a", "2001:db8::7", 58, len(error) - 40)
    assert (icmp.type, icmp.code, icmp.mtu) == (2, 0, max(mtu, 1280))
    assert error[48:] == packet[:1232]
    written = icmp.cksum
    del icmp.cksum
    assert scapy.inet6.IPv6(bytes(seen))[scapy.inet6.ICMPv6PacketTooBig].cksum == written


GROUP6 = b"\xFF\2" + bytes(14)
NO_ANSWER = {
    "to ICMP errors": [ipv4(bytes((kind,)) + bytes(30), protocol=1) for kind in (3, 4, 5, 11, 12)],
    "to ICMPv6 errors": [ipv6(bytes((kind,)) + bytes(30), protocol=58) for kind in (0, 1, 2, 3, 4, 127)],
    "to later fragments": [ipv4(bytes(30), fragment=fragment) for fragment in (1, 0x2001, 0x1FFF)]
                          + [ipv6(bytes((6, 0, 0, 8)) + bytes(30), protocol=44)],
    "to groups and nobody": [ipv4(bytes(30), source=bytes(source))
                             for source in ((224, 0, 0, 1), (239, 255, 0, 1), (255,) * 4, (0,) * 4,
                                            (0, 0, 0, 1))],
    "to IPv6 groups and nobody": [ipv6(bytes(30), source=source) for source in (GROUP6, bytes(16))],
    "about packets to IPv4 groups": [ipv4(bytes(30), destination=bytes(group))
                                     for group in ((224, 0, 0, 1), (239, 1, 2, 3), (255,) * 4)],
}
ANSWER = [
    *(ipv4(bytes((kind,)) + bytes(30), protocol=1) for kind in (0, 8, 13)),
    *(ipv6(bytes((kind,)) + bytes(30), protocol=58) for kind in (128, 129)),
    ipv4(bytes(30), fragment=0x2000), ipv4(b"\3" * 30, protocol=17),
    ipv4(bytes(30), source=bytes((223, 0, 0, 1))), ipv6(b"\1" * 30, protocol=17),
    ipv6(bytes((6, 0, 0, 1)) + bytes(30), protocol=44), ipv6(bytes(30), destination=GROUP6),
]


@pytest.mark.parametrize("rule", NO_ANSWER)
def test_no_answer(rule: str) -> None:
    for packet in NO_ANSWER[rule]:
        assert packet_too_big(packet, 576, DEPOT4 if packet[0] >> 4 == 4 else DEPOT6) is None


@pytest.mark.parametrize("packet", ANSWER)
def test_an_answer(packet: bytes) -> None:
    assert packet_too_big(packet, 576, DEPOT4 if packet[0] >> 4 == 4 else DEPOT6) is not None


@given(no_packets)
def test_only_malformed_packet_escapes(octets: bytes) -> None:
    try:
        error = packet_too_big(octets, 1000, DEPOT4 if octets[:1] < b"\x50" else DEPOT6)
    except MalformedPacket:
        return
    if error is not None:
        assert ip_view(error).destination == ip_view(octets).source
        assert packet_too_big(error, 1000, DEPOT4 if octets[0] >> 4 == 4 else DEPOT6) is None


# ── the flow that an error is about ──

def error4(quoted: bytes, kind: int = 3, **fields: Any) -> bytes:
    return ipv4(bytes((kind,)) + bytes(7) + quoted, protocol=1, **fields)


def error6(quoted: bytes, kind: int = 2) -> bytes:
    return ipv6(bytes((kind,)) + bytes(7) + quoted, protocol=58)


FLOW4 = (6, CLIENT4, 0xD431, VIP4, 80)
FLOW6 = (6, CLIENT6, 0xD431, VIP6, 80)


def quoted_flow(octets: bytes) -> Any:
    quoted = quoted_packet(octets)
    return None if quoted is None else quoted.flow()


@pytest.mark.parametrize("kind", [3, 4, 5, 11, 12])
def test_the_flow_of_an_icmp_error(kind: int) -> None:
    assert quoted_flow(error4(ipv4(TCP), kind)) == FLOW4
    assert quoted_flow(error4(ipv4(TCP)[:28], kind)) == FLOW4
    options = b"\x47" + ipv4(TCP)[1:20] + bytes(8) + TCP[:8]
    assert quoted_flow(error4(options, kind)) == FLOW4


@pytest.mark.parametrize("kind", [1, 2, 3, 4])
def test_the_flow_of_an_icmpv6_error(kind: int) -> None:
    assert quoted_flow(error6(ipv6(TCP), kind)) == FLOW6
    assert quoted_flow(error6(ipv6(TCP)[:48], kind)) == FLOW6


def test_the_errors_that_we_make_quote_their_flow() -> None:
    for packet, source, flow in ((ipv4(TCP), DEPOT4, FLOW4), (ipv6(TCP), DEPOT6, FLOW6)):
        error = packet_too_big(packet, 576, source)
        assert error is not None
        assert quoted_flow(error) == flow


@pytest.mark.parametrize("octets", [
    b"", TCP, ipv4(TCP), ipv6(TCP), error4(ipv4(TCP), kind=8), error6(ipv6(TCP), kind=128),
    error4(ipv4(TCP, protocol=132)), error6(ipv6(TCP, protocol=132)), error4(ipv4(TCP)[:23]),
    error6(ipv6(TCP)[:43]), error6(ipv6(TCP)[:39]), error4(b""), error4(b"\x55" + ipv4(TCP)[1:]),
    error4(b"\x44" + ipv4(TCP)[1:]), error4(b"\x40" + ipv4(TCP)[1:]),
    error4(ipv4(TCP, fragment=0x2001)), error4(ipv4(TCP), fragment=1)],
    ids=["nothing", "no IP", "no ICMP", "no ICMPv6", "an echo", "an ICMPv6 echo", "SCTP", "SCTP over IPv6",
         "no ports", "no ports over IPv6", "half an IPv6 header", "nothing quoted", "no version",
         "a header of 16 octets", "a header of 0 octets", "a later fragment quoted",
         "a later fragment of an error"])
def test_no_flow(octets: bytes) -> None:
    assert quoted_flow(octets) is None


@given(st.one_of(no_packets, damaged(ip_packets).map(error4), damaged(ip_packets).map(error6),
                 damaged(ip_packets.map(error4))))
@examples(300)
def test_no_error_escapes(octets: bytes) -> None:
    flow = quoted_flow(octets)
    assert flow is None or flow[0] in (6, 17)
    assert is_error(octets) or quoted_packet(octets) is None


@given(no_packets | ip_packets | damaged(ip_packets.map(error4)) | damaged(ip_packets.map(error6)))
def test_no_octets_raise(octets: bytes) -> None:
    assert is_error(octets) or quoted_packet(octets) is None
    assert quoted_packet(ipv6(octets[:1], protocol=58)) is None
    assert quoted_packet(ipv6(b"", protocol=58)) is None


@given(st.one_of(ipv4_packets(plain=True), ipv6_packets(plain=True)))
def test_any_packet_with_ports_quoted_gives_its_flow(packet: bytes) -> None:
    view = ip_view(packet)
    assume(view.protocol in (6, 17))
    expected = (view.protocol, view.source, int.from_bytes(view.payload[:2], "big"), view.destination,
                int.from_bytes(view.payload[2:4], "big"))
    assert quoted_flow(error4(packet)) == quoted_flow(error6(packet)) == expected
