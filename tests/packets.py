"""Hypothesis strategies for cells, SDUs, IP packets, and octets that are no packet.

`struct` alone puts the packets together, so that they do not depend on the code under test.
"""

from __future__ import annotations

from struct import pack

from hypothesis import strategies as st

from atmdepot.wire.cell import CellHeader, Interface

ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION_OPTIONS = 0, 43, 44, 51, 60

octet = st.integers(0, 0xFF)
port = st.integers(0, 0xFFFF)
word = st.integers(0, 0xFFFFFFFF)
address4 = st.binary(min_size=4, max_size=4)
address6 = st.binary(min_size=16, max_size=16)
sdus = st.binary(min_size=1, max_size=600)


def cell_headers(interface: Interface = Interface.UNI) -> st.SearchStrategy[CellHeader]:
    """Headers that fit the interface."""
    uni = interface is Interface.UNI
    return st.builds(CellHeader, vpi=st.integers(0, 255 if uni else 4095), vci=st.integers(0, 0xFFFF),
                     pti=st.integers(0, 7), clp=st.integers(0, 1), gfc=st.integers(0, 15 if uni else 0))


def user_headers() -> st.SearchStrategy[CellHeader]:
    """Headers of user cells on VCs that users may have, at a UNI."""
    return st.builds(CellHeader, vpi=st.integers(0, 255), vci=st.integers(32, 0xFFFF), pti=st.integers(0, 3),
                     clp=st.integers(0, 1), gfc=st.just(0))


cells = st.builds(lambda header, payload: header.pack() + payload, user_headers(),
                  st.binary(min_size=48, max_size=48))
"""Whole cells of 53 octets with a good HEC."""


@st.composite
def tcp_options(draw: st.DrawFn, well_formed: bool = True) -> bytes:
    """Octets of TCP options: a multiple of 4, at most 40."""
    if not well_formed:
        return draw(st.integers(0, 10).flatmap(lambda n: st.binary(min_size=4 * n, max_size=4 * n)))
    option = st.one_of(
        st.just(b"\1"),
        st.builds(lambda mss: pack(">BBH", 2, 4, mss), port),
        st.builds(lambda shift: bytes((3, 3, shift)), octet),
        st.just(bytes((4, 2))),
        st.builds(lambda value, echo: pack(">BBII", 8, 10, value, echo), word, word),
        st.builds(lambda kind, value: bytes((kind, 2 + len(value))) + value, st.integers(2, 255),
                  st.binary(max_size=12)),
    )
    area = b""
    for one in draw(st.lists(option, max_size=6)):
        if len(area) + len(one) <= 40:
            area += one
    return area + bytes(-len(area) % 4)


@st.composite
def tcp_segments(draw: st.DrawFn) -> bytes:
    """TCP headers with options (mostly well formed) and some data; the checksum is random."""
    options = draw(tcp_options(draw(st.integers(0, 3)) > 0))
    head = pack(">HHIIBBHHH", draw(port), draw(port), draw(word), draw(word),
                (5 + len(options) // 4) << 4 | draw(st.integers(0, 15)), draw(octet), draw(port), draw(port),
                draw(port))
    return head + options + draw(st.binary(max_size=40))


@st.composite
def udp_datagrams(draw: st.DrawFn) -> bytes:
    """UDP headers and some data."""
    data = draw(st.binary(max_size=40))
    return pack(">HHHH", draw(port), draw(port), 8 + len(data), draw(port)) + data


@st.composite
def upper_layers(draw: st.DrawFn) -> tuple[int, bytes]:
    """A protocol that is no IPv6 extension, and its payload."""
    return draw(st.one_of(
        st.tuples(st.just(TCP), tcp_segments()),
        st.tuples(st.just(UDP), udp_datagrams()),
        st.tuples(st.sampled_from([ICMP, ICMPV6, 47, 89, 132]), st.binary(max_size=40)),
    ))


@st.composite
def ipv4_packets(draw: st.DrawFn, plain: bool | None = None) -> bytes:
    """IPv4 packets; `plain` packets have neither options nor fragments. The header's checksum is random."""
    protocol, payload = draw(upper_layers())
    options, fragment = b"", draw(st.sampled_from([0, 0x4000]))
    if plain is False or (plain is None and draw(st.booleans())):
        words = draw(st.integers(0, 10))
        options = draw(st.binary(min_size=4 * words, max_size=4 * words))
        fragment = draw(st.one_of(st.just(0), st.integers(0, 0xFFFF)))
    total = 20 + len(options) + len(payload)
    head = pack(">BBHHHBBH4s4s", 0x45 + len(options) // 4, draw(octet), total, draw(port), fragment,
                draw(octet), protocol, draw(port), draw(address4), draw(address4))
    # Link layers pad short frames, so octets may follow the packet.
    return head + options + payload + draw(st.binary(max_size=3))


@st.composite
def ipv6_extension(draw: st.DrawFn, kind: int, following: int) -> bytes:
    """An extension header of a kind, in front of a following header."""
    if kind == FRAGMENT:
        offset = draw(st.one_of(st.just(0), st.integers(0, 0x1FFF)))
        return pack(">BBHI", following, draw(octet), offset << 3 | draw(st.integers(0, 7)), draw(word))
    if kind == AUTHENTICATION:
        units = draw(st.integers(0, 5))
        return pack(">BBHI", following, units, 0, draw(word)) + draw(
            st.binary(min_size=4 * units, max_size=4 * units))
    units = draw(st.integers(0, 2))
    return bytes((following, units)) + draw(st.binary(min_size=6 + 8 * units, max_size=6 + 8 * units))


@st.composite
def ipv6_packets(draw: st.DrawFn, plain: bool | None = None) -> bytes:
    """IPv6 packets; `plain` packets have no extension headers."""
    protocol, payload = draw(upper_layers())
    if plain is False or (plain is None and draw(st.booleans())):
        kinds = st.sampled_from([HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION_OPTIONS])
        for kind in draw(st.lists(kinds, max_size=5)):
            payload = draw(ipv6_extension(kind, protocol)) + payload
            protocol = kind
    head = pack(">IHBB16s16s", 6 << 28 | draw(st.integers(0, 0x0FFFFFFF)), len(payload), protocol,
                draw(octet), draw(address6), draw(address6))
    return head + payload + draw(st.binary(max_size=3))


ip_packets = st.one_of(ipv4_packets(), ipv6_packets())


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Octets of `whole`, cut short or with some of the first 60 octets changed."""
    octets = bytearray(draw(whole))
    for _ in range(draw(st.integers(0, 3))):
        if octets:
            octets[draw(st.integers(0, min(len(octets), 60) - 1))] = draw(octet)
    return bytes(octets[:draw(st.integers(0, len(octets)))] if draw(st.booleans()) else octets)


no_packets = st.one_of(st.binary(max_size=100), damaged(ip_packets))
"""Octets that may or may not be an IP packet."""
