"""The packet analyser: its fast way and its general way say the same, and what Scapy put in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from atmdepot.wire import packet as module
from atmdepot.wire.flows import flow_of_key
from atmdepot.wire.ip import MalformedPacket, NotIp
from atmdepot.wire.packet import Packet, analyse, analyse_by_views
from atmdepot.wire.tcp import ACK, FIN, SYN
from tests.effort import examples
from tests.ip_packets import tcp
from tests.packets import damaged, ip_packets, ipv4_packets, ipv6_packets, no_packets, port, word


def outcome(read: Any, octets: bytes) -> object:
    """The result, or the exception's type and text."""
    try:
        return read(octets)
    except MalformedPacket as error:
        return type(error), str(error)


@given(st.one_of(no_packets, ip_packets, damaged(ipv4_packets(plain=True))))
@example(b"")
@examples(400)
def test_both_ways_give_the_same(octets: bytes) -> None:
    assert outcome(analyse, octets) == outcome(analyse_by_views, octets)


@given(st.builds(lambda head, protocol, rest: b"\x45" + head + bytes((protocol,)) + rest,
                 st.builds(lambda tos, total, rest: bytes((tos, 0, total)) + rest, st.integers(0, 255),
                           st.integers(30, 80), st.sampled_from([bytes(5), b"\0\0\x40\0\x40"])),
                 st.just(6), st.binary(min_size=20, max_size=70)))
@examples(200)
def test_both_ways_agree_on_plain_tcp(octets: bytes) -> None:
    assert outcome(analyse, octets) == outcome(analyse_by_views, octets)


@pytest.mark.parametrize("size", [39, 40, 60, 84])
def test_both_ways_give_the_same_for_every_total_length_and_data_offset(size: int) -> None:
    for total in range(90):
        for offset in range(16):
            for flags in (ACK, SYN):
                tcp = bytes(12) + bytes((offset << 4, flags)) + bytes(50)
                octets = (bytes((0x45, 0, 0, total, 0, 0, 0, 0, 64, 6)) + bytes(10) + tcp)[:size]
                assert outcome(analyse, octets) == outcome(analyse_by_views, octets)


@given(ipv4_packets(plain=True))
def test_every_truncation(packet: bytes) -> None:
    for size in range(len(packet)):
        assert outcome(analyse, packet[:size]) == outcome(analyse_by_views, packet[:size])


def test_the_fast_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the comparisons above would compare one way with itself."""
    data = bytes.fromhex("4500002900004000400600000a0000010a5000010400005000000001000000025010ffff0000000078")
    expected = analyse_by_views(data)
    monkeypatch.setattr(module, "analyse_by_views", lambda _: None)
    assert analyse(data) == expected


@pytest.fixture(scope="module")
def scapy() -> Any:
    import scapy.layers.inet
    import scapy.layers.inet6
    return scapy.layers


@given(data=st.data())
@examples(100)
def test_packets_of_scapy_are_read(scapy: Any, data: st.DataObject) -> None:
    version = data.draw(st.sampled_from([4, 6]))
    sport, dport, window = (data.draw(port) for _ in range(3))
    sequence, acknowledgment = data.draw(word), data.draw(word)
    flags, payload = data.draw(st.integers(0, 255)), data.draw(st.binary(max_size=40))
    dscp = data.draw(st.integers(0, 63))
    if version == 4:
        ip = scapy.inet.IP(src="192.0.2.1", dst="198.51.100.2", tos=dscp << 2 | 1,
                           flags=data.draw(st.sampled_from([0, 2])))
        ends = bytes((192, 0, 2, 1)), bytes((198, 51, 100, 2))
    else:
        ip = scapy.inet6.IPv6(src="::1", dst="::2", tc=dscp << 2 | 2)
        ends = bytes(15) + b"\1", bytes(15) + b"\2"
        if data.draw(st.booleans()):
            ip /= scapy.inet6.IPv6ExtHdrDestOpt()
    scale = data.draw(st.none() | st.integers(0, 14))
    options = [("MSS", 1460)] + [("WScale", scale)] * (scale is not None)
    built = bytes(ip / scapy.inet.TCP(sport=sport, dport=dport, seq=sequence, ack=acknowledgment, flags=flags,
                                      window=window, options=options) / payload)
    packet = analyse(built)
    assert (packet.version, packet.protocol, packet.dscp, packet.fragment) == (version, 6, dscp, False)
    assert packet.flow() == flow_of_key(packet.key) == (6, ends[0], sport, ends[1], dport)
    assert flow_of_key(packet.reverse_key()) == (6, ends[1], dport, ends[0], sport)
    assert packet.total_length == len(built)
    assert packet.tcp is not None
    tcp = packet.tcp
    assert (tcp.sequence, tcp.acknowledgment, tcp.flags, tcp.window, tcp.length) == (
        sequence, acknowledgment, flags, window, len(payload))
    assert packet.tcp.window_scale == (scale if flags & SYN else None)


@pytest.mark.parametrize("protocol", [1, 17, 47, 6])
def test_later_fragments_have_no_ports(protocol: int) -> None:
    octets = bytes((0x45, 0, 0, 24, 0, 0, 0x20, 1, 64, protocol)) + bytes(10) + b"\xFF" * 4
    packet = analyse(octets)
    assert (packet.fragment, packet.source_port, packet.destination_port, packet.tcp) == (True, 0, 0, None)


def test_a_first_fragment_has_ports() -> None:
    udp = bytes((0, 53, 1, 2, 0, 0, 0, 0))
    packet = analyse(bytes((0x45, 0, 0, 28, 0, 0, 0x20, 0, 64, 17)) + bytes(10) + udp)
    assert (packet.fragment, packet.source_port, packet.destination_port) == (True, 53, 258)


@pytest.mark.parametrize(("size", "good"), [(0, False), (4, False), (7, False), (8, True)])
def test_a_udp_header_has_8_octets(size: int, good: bool) -> None:
    octets = bytes((0x45, 0, 0, 20 + size, 0, 0, 0, 0, 64, 17)) + bytes(10) + bytes(size)
    if good:
        assert analyse(octets).protocol == 17
    else:
        with pytest.raises(MalformedPacket, match=f"a UDP header has 8 octets, here are {size}"):
            analyse(octets)


@pytest.mark.parametrize("protocol", [1, 2, 47, 58, 132])
def test_protocols_without_ports(protocol: int) -> None:
    packet = analyse(bytes((0x45, 0, 0, 40, 0, 0, 0, 0, 64, protocol)) + bytes(10) + b"\xFF" * 20)
    assert (packet.protocol, packet.source_port, packet.destination_port, packet.tcp) == (protocol, 0, 0, None)


def test_no_ip() -> None:
    with pytest.raises(NotIp):
        analyse(bytes(60))


@given(ipv6_packets())
def test_ipv6(packet: bytes) -> None:
    """Facts on which all agree: where the packet ends, who sent it, and that only a first fragment has ports."""
    try:
        seen = analyse(packet)
    except MalformedPacket:
        return
    assert (seen.version, seen.source, seen.destination) == (6, packet[8:24], packet[24:40])
    assert seen.total_length == 40 + int.from_bytes(packet[4:6], "big")
    assert seen.tcp is None or seen.tcp.flags & ~0xFF == 0


def test_a_syn_tells_its_window_scale() -> None:
    for flags, scale in ((SYN, 7), (SYN | ACK, 7), (ACK, None)):
        tcp = bytes(12) + bytes((0x60, flags)) + bytes(6) + bytes((3, 3, 7, 0))
        fields = analyse(bytes((0x45, 0, 0, 44, 0, 0, 0, 0, 64, 6)) + bytes(10) + tcp).tcp
        assert fields is not None
        assert fields.window_scale == scale


def test_packets_and_their_fields_are_their_holders() -> None:
    """A packet that nobody holds may be used again; a holder of it, or of its fields, keeps what they were."""
    def made(number: int, flags: int) -> Packet:
        return analyse(tcp("10.0.0.1", number, "10.0.0.2", 80, flags, seq=number))

    held = [made(number, ACK) for number in (1, 2, 3)]
    fields = [made(number, SYN).tcp for number in (4, 5)]
    for number in (6, 7, 8):
        made(number, FIN)
    assert [(one.source_port, one.tcp.sequence, one.tcp.flags) for one in held if one.tcp] == [
        (1, 1, ACK), (2, 2, ACK), (3, 3, ACK)]
    assert [(one.sequence, one.flags) for one in fields if one] == [(4, SYN), (5, SYN)]


def test_a_packet_keeps_no_field_of_the_packet_before() -> None:
    held = analyse(tcp("10.0.0.1", 1, "10.0.0.2", 80, SYN))
    held.total_length, held.identification, held.fragment, held.later = 9, 9, True, True
    assert held.tcp is not None
    held.tcp.length, held.tcp.window_scale = 9, 9
    expected = analyse_by_views(tcp("10.0.0.1", 2, "10.0.0.2", 80, ACK))
    del held
    assert analyse(tcp("10.0.0.1", 2, "10.0.0.2", 80, ACK)) == expected
