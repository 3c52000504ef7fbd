"""Rewritten packets against packets made from scratch with the other ends."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from atmdepot.wire.offload import VirtioNetHeader, frame_of
from atmdepot.wire.rewriting import End, Rewriting
from tests.effort import examples
from tests.ip_packets import ACK, ICMP, ICMPV6, PSH, TCP, UDP, checksum, icmp_error, ip, packed, ping, tcp, udp

CLIENT = {4: "10.9.0.2", 6: "fd00:9::2"}
VIP = {4: "10.80.0.1", 6: "fd00:80::1"}
SERVER = {4: "192.0.2.77", 6: "2001:db8::77"}


class Flow(NamedTuple):
    """The ends of a flow before and after."""

    source: tuple[str, int]
    destination: tuple[str, int]


def rewriting(before: Flow, after: Flow) -> Rewriting:
    """The rewriting of the ends that differ."""
    ends = [None if old == new else End(packed(new[0]), new[1])
            for old, new in ((before.source, after.source), (before.destination, after.destination))]
    return Rewriting(*ends)


def address(version: int) -> st.SearchStrategy[str]:
    return st.ip_addresses(v=version).map(str)


PORTS = st.integers(1, 65535)


@st.composite
def flows(draw: st.DrawFn, version: int) -> tuple[Flow, Flow]:
    """A flow's ends, and others for one or both of them."""
    before = Flow((draw(address(version)), draw(PORTS)), (draw(address(version)), draw(PORTS)))
    after = Flow(draw(st.one_of(st.just(before.source), st.tuples(address(version), PORTS))),
                 draw(st.one_of(st.just(before.destination), st.tuples(address(version), PORTS))))
    return before, after


VERSIONED = st.sampled_from((4, 6)).flatmap(lambda version: st.tuples(st.just(version), flows(version)))


def as_sums(octets: bytes) -> bytes:
    """The octets with each word FFFF as 0, since in ones' complement both are the same checksum."""
    return b"".join(b"\0\0" if octets[at:at + 2] == b"\xff\xff" else octets[at:at + 2]
                    for at in range(0, len(octets), 2))


@given(VERSIONED, st.binary(max_size=40))
@examples(100)
def test_rewritten_segment_is_the_segment_made_with_the_other_ends(
        of: tuple[int, tuple[Flow, Flow]], data: bytes) -> None:
    _, (before, after) = of
    made = rewriting(before, after).packet(tcp(*before.source, *before.destination, ACK, data=data))
    assert as_sums(made) == as_sums(tcp(*after.source, *after.destination, ACK, data=data))


@given(VERSIONED, st.binary(max_size=40))
@examples(100)
def test_rewritten_datagram_is_the_datagram_made_with_the_other_ends(
        of: tuple[int, tuple[Flow, Flow]], data: bytes) -> None:
    _, (before, after) = of
    made = rewriting(before, after).packet(udp(*before.source, *before.destination, data))
    assert as_sums(made) == as_sums(udp(*after.source, *after.destination, data))


@given(VERSIONED, st.binary(max_size=40), st.integers(1, 0xFFFE))
@examples(100)
def test_wrong_checksum_is_as_wrong_after(of: tuple[int, tuple[Flow, Flow]], data: bytes, by: int) -> None:
    version, (before, after) = of
    at = (20 if version == 4 else 40) + 16
    packet = bytearray(tcp(*before.source, *before.destination, ACK, data=data))
    right = bytearray(tcp(*after.source, *after.destination, ACK, data=data))
    for octets in (packet, right):
        octets[at:at + 2] = ((int.from_bytes(octets[at:at + 2], "big") + by) % 0xFFFF).to_bytes(2, "big")
    assert as_sums(rewriting(before, after).packet(bytes(packet))) == as_sums(bytes(right))


def test_datagram_without_a_checksum_gets_none() -> None:
    packet = bytearray(udp(CLIENT[4], 5000, VIP[4], 53, b"question"))
    packet[26:28] = bytes(2)
    made = Rewriting(None, End(packed(SERVER[4]), 5353)).packet(bytes(packet))
    assert made[26:28] == bytes(2)
    assert made[16:20] == packed(SERVER[4])


def test_checksum_of_a_datagram_never_becomes_the_sign_of_none() -> None:
    packet = udp(CLIENT[4], 5000, VIP[4], 53, b"question")
    sum_at = 26
    # The port by which the sum grows to FFFF, whose complement is 0.
    wanted = (int.from_bytes(packet[sum_at:sum_at + 2], "big") + 53) % 0xFFFF
    made = Rewriting(None, End(packed(VIP[4]), wanted)).packet(packet)
    assert made[sum_at:sum_at + 2] == b"\xff\xff"
    assert checksum(packed(CLIENT[4]) + packed(VIP[4]) + bytes((0, UDP)) + made[24:26] + made[20:]) == 0


@pytest.mark.parametrize("version", [4, 6])
def test_error_from_a_router_is_about_the_flow_that_the_client_knows(version: int) -> None:
    """A server's packet was too big: inside, the ends of the server give way to the service's."""
    answer = tcp(SERVER[version], 8080, CLIENT[version], 5000, ACK | PSH, data=b"page" * 20)
    seen = tcp(VIP[version], 80, CLIENT[version], 5000, ACK | PSH, data=b"page" * 20)
    to_client = Rewriting(End(packed(VIP[version]), 80), None)
    from_client = Rewriting(None, End(packed(SERVER[version]), 8080))
    # The client's report about the packet that it saw goes to the server, as about the packet that it sent.
    told = from_client.packet(icmp_error(CLIENT[version], VIP[version], seen))
    assert as_sums(told) == as_sums(icmp_error(CLIENT[version], SERVER[version], answer))
    assert as_sums(to_client.packet(icmp_error(SERVER[version], CLIENT[version], seen_by_server(version)))) == as_sums(
        icmp_error(VIP[version], CLIENT[version], tcp(CLIENT[version], 5000, VIP[version], 80, ACK)))


def seen_by_server(version: int) -> bytes:
    return tcp(CLIENT[version], 5000, SERVER[version], 8080, ACK)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("left", [8, 12, 15, 18, 19, 20])
def test_quoted_packet_may_be_cut_short(version: int, left: int) -> None:
    headers = 20 if version == 4 else 40
    seen = tcp(VIP[version], 80, CLIENT[version], 5000, ACK, data=b"page")[:headers + left]
    made = Rewriting(None, End(packed(SERVER[version]), 8080)).packet(icmp_error(CLIENT[version], VIP[version], seen))
    quoted = made[headers + 8:]
    sent = tcp(SERVER[version], 8080, CLIENT[version], 5000, ACK, data=b"page")[:headers + left]
    assert as_sums(quoted) == as_sums(sent)
    assert as_sums(made) == as_sums(icmp_error(CLIENT[version], SERVER[version], quoted))


@pytest.mark.parametrize("version", [4, 6])
def test_ping_keeps_its_identifier(version: int) -> None:
    made = Rewriting(None, End(packed(SERVER[version]), 80)).packet(ping(CLIENT[version], VIP[version], b"abc"))
    assert as_sums(made) == as_sums(ping(CLIENT[version], SERVER[version], b"abc"))


def test_later_fragment_has_no_ports() -> None:
    payload = b"\0\x50" * 8
    packet = ip(CLIENT[4], VIP[4], TCP, payload, identification=7, fragment=185)
    made = Rewriting(None, End(packed(SERVER[4]), 8080)).packet(packet)
    assert made == ip(CLIENT[4], SERVER[4], TCP, payload, identification=7, fragment=185)


@given(st.binary(max_size=120), st.sampled_from((4, 6)), st.sampled_from((ICMP, ICMPV6, TCP, UDP, 44, 0)))
@example(b"\x03\x04\0\0\0\0\0\0" + b"\x45" + b"\0" * 8 + b"\x01" + b"\0" * 10 + b"\x03", 4, ICMP)
@examples(150)
def test_whatever_a_packet_holds_only_the_named_ends_and_sums_change(
        payload: bytes, version: int, protocol: int) -> None:
    packet = ip(CLIENT[version], VIP[version], protocol, payload)
    there = Rewriting(None, End(packed(SERVER[version]), 8080))
    made = there.packet(packet)
    assert len(made) == len(packet)
    assert made[:8] == packet[:8]


def test_errors_that_quote_errors_end() -> None:
    """A packet of errors within errors, down to the last octet, is rewritten once inside."""
    packet = b""
    for _ in range(2000):
        packet = icmp_error(CLIENT[4], VIP[4], packet)
    made = Rewriting(None, End(packed(SERVER[4]), 0)).packet(packet)
    assert made[16:20] == packed(SERVER[4])
    assert made[28 + 56:] == packet[28 + 56:]


@given(st.sampled_from((4, 6)), st.integers(2, 40), st.integers(1, 1400))
@examples(50)
def test_frame_is_cut_into_the_packets_rewritten(version: int, count: int, last: int) -> None:
    size = 1400
    data = bytes(range(256)) * 256
    data = data[:(count - 1) * size + last]
    whole = tcp(CLIENT[version], 5000, VIP[version], 80, ACK, data=data)
    tcp_at = 20 if version == 4 else 40
    pseudo = packed(CLIENT[version]) + packed(VIP[version]) + (TCP << 16 | len(whole) - tcp_at).to_bytes(4, "big")
    partial = (checksum(pseudo) ^ 0xFFFF).to_bytes(2, "big")
    whole = whole[:tcp_at + 16] + partial + whole[tcp_at + 18:]
    header = VirtioNetHeader(1, 1 if version == 4 else 4, tcp_at + 20, size, tcp_at, 16)
    frame = frame_of(header.pack() + whole)
    if frame is None:  # too long for the length field
        assert len(whole) > 65535
        return
    how = Rewriting(End(packed(VIP[version]), 7000), End(packed(SERVER[version]), 8080))
    before = frame.packets()  # the frame is given away
    made = how.frame(frame)
    assert made is not None
    assert made.packets() == [how.packet(packet) for packet in before]
    assert made.count == count


@given(VERSIONED, st.sampled_from((TCP, UDP)), st.binary(max_size=40), st.integers(0, 0xFFFF), st.data())
@examples(200)
def test_quick_rewriting_is_the_plain_one_whatever_the_octets(
        of: tuple[int, tuple[Flow, Flow]], protocol: int, data: bytes, wrong: int, draw: st.DataObject) -> None:
    version, (before, after) = of
    make = tcp if protocol == TCP else udp
    whole = tcp(*before.source, *before.destination, ACK, data=data) if make is tcp \
        else udp(*before.source, *before.destination, data)
    octets = bytearray(whole)
    at = (20 if version == 4 else 40) + (16 if protocol == TCP else 6)
    octets[at:at + 2] = wrong.to_bytes(2, "big")
    if draw.draw(st.booleans()):
        octets[draw.draw(st.integers(0, len(octets) - 1))] = draw.draw(st.integers(0, 255))
    packet = bytes(octets[:draw.draw(st.integers(28, len(octets)))])
    how = rewriting(before, after)
    if packet[0] >> 4 != version:
        return
    assert how.packet(packet) == how._rewritten(packet, keeps_source=False)
