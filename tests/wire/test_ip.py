"""The views of IPv4, IPv6 and TCP headers: right on what Scapy builds, and never past the end."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from atmdepot.wire.ip import (
    PROTOCOL_TCP,
    Ipv4View,
    Ipv6View,
    MalformedPacket,
    NotIp,
    address_text,
    endpoint,
    internet_checksum,
    ip_view,
)
from atmdepot.wire.tcp import TcpView, flags_text
from tests.effort import examples
from tests.packets import (
    ip_packets,
    ipv4_packets,
    ipv6_packets,
    no_packets,
    port,
    tcp_options,
    tcp_segments,
    word,
)

FIELDS = ("dscp", "ecn", "identification", "more_fragments", "fragment_offset", "protocol", "source",
          "destination", "payload", "payload_offset", "total_length")
TCP_FIELDS = ("source_port", "destination_port", "sequence", "acknowledgment", "flags", "window", "payload",
              "options", "mss", "window_scale")


def read_everything(octets: bytes) -> None:
    """All that the views can tell of some octets, the TCP header in them included."""
    view = ip_view(octets)
    extra = ("ttl", "dont_fragment", "checksum_ok") if isinstance(view, Ipv4View) else ("flow_label",)
    for name in (*FIELDS, *extra):
        getattr(view, name)
    assert view.payload_offset <= view.total_length <= len(octets)
    assert len(view.payload) == view.total_length - view.payload_offset
    read_tcp(view.payload)


def read_tcp(octets: bytes) -> None:
    view = TcpView(octets)
    for name in TCP_FIELDS:
        getattr(view, name)
    assert 20 <= view.header_length <= len(octets)


# ── whatever comes ──

@given(no_packets)
@examples(400)
def test_only_malformed_packet_escapes(octets: bytes) -> None:
    try:
        read_everything(octets)
    except MalformedPacket:
        return


@given(st.builds(lambda first, rest: bytes((first,)) + rest, st.sampled_from([0x45, 0x46, 0x4F, 0x60]),
                 st.binary(max_size=120)))
@examples(300)
def test_only_malformed_packet_escapes_from_octets_that_begin_well(octets: bytes) -> None:
    try:
        read_everything(octets)
    except MalformedPacket:
        return


@given(ip_packets)
@examples(60)
def test_every_truncation_is_malformed(packet: bytes) -> None:
    total = ip_view(packet).total_length
    for size in range(total):
        with pytest.raises(MalformedPacket):
            ip_view(packet[:size])
    ip_view(packet[:total])


@given(ipv6_packets(plain=False))
@examples(60)
def test_every_truncation_of_extension_headers_is_malformed(packet: bytes) -> None:
    """Also where the payload length tells of the cut."""
    whole = Ipv6View(packet)
    for size in range(40, whole.total_length + 1):
        cut = packet[:4] + (size - 40).to_bytes(2, "big") + packet[6:size]
        if size < whole.payload_offset:
            with pytest.raises(MalformedPacket, match="an extension header"):
                Ipv6View(cut)
        else:
            assert Ipv6View(cut).payload == packet[whole.payload_offset:size]


@given(tcp_segments())
@examples(60)
def test_every_truncation_of_a_tcp_header_is_malformed(segment: bytes) -> None:
    header = (segment[12] >> 4) * 4
    for size in range(header):
        with pytest.raises(MalformedPacket):
            TcpView(segment[:size])
    for size in range(header, len(segment) + 1):
        read_tcp(segment[:size])


@given(st.binary(max_size=80))
def test_only_malformed_packet_escapes_from_tcp(octets: bytes) -> None:
    try:
        read_tcp(octets)
    except MalformedPacket:
        return


@pytest.mark.parametrize("first", [0x00, 0x15, 0x35, 0x55, 0x70, 0xF5])
def test_other_versions_are_no_ip(first: int) -> None:
    octets = bytes((first,)) + bytes(59)
    for view in (ip_view, Ipv4View, Ipv6View):
        with pytest.raises(NotIp):
            view(octets)


def test_empty_octets_are_no_ip() -> None:
    with pytest.raises(NotIp, match="version 0 is neither 4 nor 6"):
        ip_view(b"")


@given(ipv4_packets(), st.integers(0, 4))
def test_an_ipv4_header_of_less_than_20_octets(packet: bytes, words: int) -> None:
    with pytest.raises(MalformedPacket, match="contradict one another"):
        Ipv4View(bytes((0x40 | words,)) + packet[1:])


@pytest.mark.parametrize("offset", range(5))
def test_a_tcp_header_of_less_than_20_octets(offset: int) -> None:
    with pytest.raises(MalformedPacket, match="data offset"):
        TcpView(bytes(12) + bytes((offset << 4,)) + bytes(27))


@pytest.mark.parametrize(("count", "good"), [(15, True), (16, False)])
def test_extension_headers_are_followed_so_far_and_no_further(count: int, good: bool) -> None:
    chain = (bytes((60, 0)) + bytes(6)) * (count - 1) + bytes((59, 0)) + bytes(6)
    packet = bytes((0x60, 0, 0, 0)) + len(chain).to_bytes(2, "big") + bytes((60, 64)) + bytes(32) + chain
    if good:
        assert (Ipv6View(packet).protocol, Ipv6View(packet).payload_offset) == (59, 40 + 8 * count)
    else:
        with pytest.raises(MalformedPacket, match="more than 16 extension headers"):
            Ipv6View(packet)


# ── against Scapy ──

@pytest.fixture(scope="module")
def scapy() -> Any:
    import scapy.layers.inet
    import scapy.layers.inet6
    return scapy.layers


@given(data=st.data())
@examples(60)
def test_ipv4_as_scapy_builds_it(scapy: Any, data: st.DataObject) -> None:
    options = data.draw(st.integers(0, 10).map(lambda n: b"\1" * 4 * n))
    tos, ident, ttl, fragment = (data.draw(st.integers(0, top)) for top in (255, 65535, 255, 0x1FFF))
    flags, payload = data.draw(st.integers(0, 7)), data.draw(st.binary(max_size=50))
    packet = scapy.inet.IP(src="192.0.2.1", dst="198.51.100.2", tos=tos, id=ident, ttl=ttl, proto=99,
                           flags=flags, frag=fragment,
                           options=[scapy.inet.IPOption_NOP() for _ in options]) / payload
    view = Ipv4View(bytes(packet) + b"padding")
    assert view.checksum_ok
    assert (view.dscp, view.ecn, view.identification, view.ttl, view.protocol) == (
        tos >> 2, tos & 3, ident, ttl, 99)
    assert (view.dont_fragment, view.more_fragments, view.fragment_offset) == (
        bool(flags & 2), bool(flags & 1), fragment * 8)
    assert (view.header_length, view.payload_offset) == (20 + len(options), 20 + len(options))
    assert (view.payload, view.total_length) == (payload, len(packet))
    assert (address_text(view.source), address_text(view.destination)) == ("192.0.2.1", "198.51.100.2")


@given(data=st.data())
@examples(60)
def test_ipv6_as_scapy_builds_it(scapy: Any, data: st.DataObject) -> None:
    inet6 = scapy.inet6
    extensions = {
        "hop": lambda: inet6.IPv6ExtHdrHopByHop(
            options=[inet6.PadN(optdata=bytes(data.draw(st.integers(0, 20))))]),
        "destination": lambda: inet6.IPv6ExtHdrDestOpt(options=[inet6.RouterAlert()]),
        "routing": lambda: inet6.IPv6ExtHdrRouting(addresses=["2001:db8::9"] * data.draw(st.integers(0, 3))),
    }
    traffic_class, label = data.draw(st.integers(0, 255)), data.draw(st.integers(0, 0xFFFFF))
    payload = data.draw(st.binary(max_size=50))
    packet = inet6.IPv6(src="2001:db8::1", dst="2001:db8::2", tc=traffic_class, fl=label)
    chosen = data.draw(st.lists(st.sampled_from(sorted(extensions)), max_size=3))
    for name in chosen:
        packet /= extensions[name]()
    fragment = data.draw(st.none() | st.integers(0, 0x1FFF))
    if fragment is not None:
        packet /= inet6.IPv6ExtHdrFragment(offset=fragment, m=1, id=0x12345678)
    last = packet.lastlayer()
    last.nh = 99
    view = Ipv6View(bytes(packet / payload) + b"padding")
    assert (view.dscp, view.ecn, view.flow_label) == (traffic_class >> 2, traffic_class & 3, label)
    assert (view.protocol, view.payload, view.total_length) == (99, payload, len(packet) + len(payload))
    assert (view.more_fragments, view.fragment_offset, view.identification) == (
        (fragment is not None), (fragment or 0) * 8, 0 if fragment is None else 0x12345678)
    assert (address_text(view.source), address_text(view.destination)) == ("2001:db8::1", "2001:db8::2")


@pytest.mark.parametrize(("address", "port", "text"), [
    ("192.0.2.1", 80, "192.0.2.1:80"), ("192.0.2.1", 0, "192.0.2.1:0"), ("192.0.2.1", None, "192.0.2.1"),
    ("2001:db8::1", 65535, "[2001:db8::1]:65535"), ("::", None, "::")])
def test_an_address_and_a_port_as_text(address: str, port: int | None, text: str) -> None:
    assert endpoint(ipaddress.ip_address(address).packed, port) == text


def test_behind_a_later_fragment_no_header_is_looked_for() -> None:
    header = bytes((60, 0, 0, 8)) + bytes(4)
    view = Ipv6View(bytes((0x60, 0, 0, 0, 0, 10, 44, 64)) + bytes(32) + header + b"\xFF\xFF")
    assert (view.protocol, view.payload_offset) == (60, 48)
    assert (view.fragment_offset, view.more_fragments) == (8, False)


@given(data=st.data())
@examples(60)
def test_tcp_as_scapy_builds_it(scapy: Any, data: st.DataObject) -> None:
    ports, numbers = (data.draw(st.tuples(kind, kind)) for kind in (port, word))
    flags, window = data.draw(st.integers(0, 255)), data.draw(port)
    payload = data.draw(st.binary(max_size=50))
    mss, scale = data.draw(st.none() | port), data.draw(st.none() | st.integers(0, 255))
    options: list[tuple[str, object]] = [("NOP", None), ("SAckOK", b""), ("Timestamp", (1, 2))]
    options += [("MSS", mss)] * (mss is not None) + [("WScale", scale)] * (scale is not None)
    segment = scapy.inet.TCP(sport=ports[0], dport=ports[1], seq=numbers[0], ack=numbers[1], flags=flags,
                             window=window, options=data.draw(st.permutations(options)))
    view = TcpView(bytes(segment / payload))
    assert (view.source_port, view.destination_port) == ports
    assert (view.sequence, view.acknowledgment) == numbers
    assert (view.flags, view.window, view.payload) == (flags, window, payload)
    assert (view.mss, view.window_scale) == (mss, None if scale is None else min(scale, 14))
    assert set(view.options) == {4, 8, *[2] * (mss is not None), *[3] * (scale is not None)}
    assert view.options[8] == bytes((0, 0, 0, 1, 0, 0, 0, 2))


# ── options, flags, checksums ──

@given(tcp_options(well_formed=False), st.binary(max_size=20))
def test_tcp_options_end_at_the_first_that_is_cut_short(options: bytes, payload: bytes) -> None:
    view = TcpView(bytes(12) + bytes(((5 + len(options) // 4) << 4,)) + bytes(7) + options + payload)
    assert view.payload == payload
    assert sum(2 + len(value) for value in view.options.values()) <= len(options)
    assert all(value in options for value in view.options.values())


@pytest.mark.parametrize(("options", "found"), [
    ("", {}), ("020405b4", {2: b"\x05\xb4"}), ("01010204", {}), ("010101fe", {}),
    ("02040000 00030307", {2: b"\0\0"}),
    ("0201", {}), ("0200", {}), ("fe00", {}), ("040202", {4: b""}), ("0305050505", {3: b"\5\5\5"}),
    ("01010305", {})])
def test_tcp_options(options: str, found: dict[int, bytes]) -> None:
    octets = bytes.fromhex(options)
    octets += bytes(-len(octets) % 4)
    view = TcpView(bytes(12) + bytes(((5 + len(octets) // 4) << 4,)) + bytes(7) + octets)
    assert view.options == found
    assert view.window_scale is None


@pytest.mark.parametrize(("flags", "text"), [
    (0x00, "none"), (0x02, "S"), (0x12, "S."), (0x10, "."), (0x11, "F."), (0x04, "R"), (0x18, "P."),
    (0xFF, "SFRP.UEW")])
def test_flags_text(flags: int, text: str) -> None:
    assert flags_text(flags) == text


def words_summed(octets: bytes) -> int:
    """RFC 1071 to the letter."""
    total = sum(int.from_bytes(octets[at:at + 2].ljust(2, b"\0"), "big") for at in range(0, len(octets), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


@given(st.one_of(st.binary(max_size=100), st.integers(0, 20).map(bytes),
                 st.integers(0, 20).map(lambda n: b"\xFF" * n)))
def test_internet_checksum(octets: bytes) -> None:
    assert internet_checksum(octets) == words_summed(octets)
    if len(octets) % 2 == 0:
        assert internet_checksum(octets + internet_checksum(octets).to_bytes(2, "big")) == 0


@given(ipv4_packets(), st.data())
def test_a_wrong_ipv4_checksum_is_seen(packet: bytes, data: st.DataObject) -> None:
    header = packet[:(packet[0] & 15) * 4]
    right = internet_checksum(header[:10] + bytes(2) + header[12:])
    written = data.draw(st.one_of(st.just(right), port))
    assume({written, right} != {0, 0xFFFF})  # the same number in ones' complement
    view = Ipv4View(packet[:10] + written.to_bytes(2, "big") + packet[12:])
    assert view.checksum_ok == (written == right)


@given(ipv6_packets(plain=True))
def test_a_packet_without_extension_headers(packet: bytes) -> None:
    view = Ipv6View(packet)
    assert (view.protocol, view.payload_offset) == (packet[6], 40)
    assert (view.more_fragments, view.fragment_offset, view.identification) == (False, 0, 0)
    if view.protocol == PROTOCOL_TCP:
        read_tcp(view.payload)
