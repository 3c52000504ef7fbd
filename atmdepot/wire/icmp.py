"""ICMP errors: make the errors that report the path's MTU to a sender, and read the flow that an error is about.

RFC 792, RFC 1191; RFC 4443, RFC 8201.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from atmdepot.wire.ip import (
    FIRST_FRAGMENT,
    PROTOCOL_ICMP,
    PROTOCOL_ICMPV6,
    PROTOCOL_TCP,
    PROTOCOL_UDP,
    Ipv4View,
    Ipv6View,
    MalformedPacket,
    header_chain,
    internet_checksum,
    ip_packet,
    ip_view,
)

if TYPE_CHECKING:
    from atmdepot.wire.flows import Flow

_UNREACHABLE, _NET_UNREACHABLE, _FRAGMENTATION_NEEDED = 3, 0, 4
_UNREACHABLE_ICMPV6, _PACKET_TOO_BIG = 1, 2
_IPV6_MIN_MTU = 1280
_FIRST_GROUP = 224
"""The first octet from which IPv4 addresses are multicast (224 to 239), reserved, or broadcast."""
_GROUPS_IPV6 = 0xFF
ICMPV4_ERRORS = {3, 4, 5, 11, 12}
"""The types of ICMP that quote a packet (RFC 792)."""
FIRST_INFORMATIONAL_ICMPV6 = 128
"""The types of ICMPv6 below it are errors (RFC 4443 section 2.1)."""
ICMP_QUERIES = {0, 8, 13, 14}
"""The types of ICMP that have an identifier in place of ports: echo and timestamp, queries and replies (RFC 792)."""
ICMPV6_QUERIES = {128, 129}
"""The same of ICMPv6: echo request and reply (RFC 4443 section 4)."""
_REDIRECT_ICMPV6 = 137
"""Not an error by its number, but RFC 4443 section 2.4 (e.2) forbids an ICMPv6 error in answer to it too."""
_REDIRECT = bytes((_REDIRECT_ICMPV6,))
_CS6 = 0xC0  # ICMP errors have precedence 6, internetwork control (RFC 1812 section 4.3.2.5)

_ERROR = Struct(">BBHI")
_IDENTIFIED = 6
"""Octets of an ICMP message up to the end of its identifier."""


def packet_too_big(octets: bytes, mtu: int, source: bytes) -> bytes | None:
    """The ICMP error that answers a packet greater than `mtu`, sent from `source` (4 or 16 octets).

    None where the rules forbid an answer (RFC 1812 section 4.3.2.7, RFC 4443 section 2.4): to an ICMP error, to a later
    fragment, to a packet with a multicast or unspecified source, and in IPv4 to a packet with a multicast destination.
    Raises MalformedPacket when `octets` are no packet.
    """
    ip = ip_view(octets)
    if ip.fragment_offset or not _may_answer(ip):
        return None
    if isinstance(ip, Ipv4View):
        return _ipv4_error(ip, _FRAGMENTATION_NEEDED, mtu, source)
    # A host discards a report of an MTU below 1280 (RFC 8201 section 4).
    return _ipv6_error(ip, _PACKET_TOO_BIG, max(mtu, _IPV6_MIN_MTU), source)


def no_route(octets: bytes, source: bytes) -> bytes | None:
    """The ICMP error that answers a packet without a route, sent from `source` (4 or 16 octets).

    RFC 1812 section 4.3.3.1: type 3, code 0; RFC 4443 section 3.1: type 1, code 0. None and MalformedPacket as for
    `packet_too_big`.
    """
    ip = ip_view(octets)
    # RFC 4443 section 2.4 (e.3): of all ICMPv6 errors only Packet Too Big may answer a packet for a group.
    if ip.fragment_offset or not _may_answer(ip) or ip.destination[0] == _GROUPS_IPV6:
        return None
    if isinstance(ip, Ipv4View):
        return _ipv4_error(ip, _NET_UNREACHABLE, 0, source)
    return _ipv6_error(ip, _UNREACHABLE_ICMPV6, 0, source)


class Quoted(NamedTuple):
    """The packet that an ICMP error quotes, as far as the error quotes it.

    `ports` are the TCP or UDP ports, source first; None where the quoted octets lack them, as for a later fragment
    (`later`). All fragments of a packet have the same `identification`.
    """

    version: int
    protocol: int
    source: bytes
    destination: bytes
    ports: tuple[int, int] | None
    identification: int
    later: bool

    def flow(self) -> Flow | None:
        """The flow as the sender of the quoted packet sees it; None without ports."""
        if self.ports is None:
            return None
        return self.protocol, self.source, self.ports[0], self.destination, self.ports[1]


def is_error(octets: bytes) -> bool:
    """True for an ICMP or ICMPv6 error or a redirect, unless it is a later fragment."""
    try:
        ip = ip_view(octets)
    except MalformedPacket:
        return False
    return not ip.fragment_offset and _is_error(ip)


def query_identifier(octets: bytes) -> int | None:
    """The identifier of an ICMP query or reply; None for any other packet."""
    try:
        ip = ip_view(octets)
    except MalformedPacket:
        return None
    kinds = {PROTOCOL_ICMP: ICMP_QUERIES, PROTOCOL_ICMPV6: ICMPV6_QUERIES}.get(ip.protocol, ())
    if ip.fragment_offset or len(ip.payload) < _IDENTIFIED or ip.payload[0] not in kinds:
        return None
    return int.from_bytes(ip.payload[4:6], "big")


def quoted_packet(octets: bytes) -> Quoted | None:
    """The packet that an ICMP error quotes; None for any other packet, and where the quoted headers are cut short.

    An error quotes at least 8 octets behind the IP header (RFC 792) and may cut the packet, so the length field of the
    quoted header is ignored. IPv6 extension headers are walked to the transport header (RFC 8200 section 4).
    """
    try:
        ip = ip_view(octets)
    except MalformedPacket:
        return None
    if ip.fragment_offset or not _is_error(ip):
        return None
    quoted = ip.payload[8:]
    if isinstance(ip, Ipv6View) and ip.payload[:1] == _REDIRECT:
        return None  # it quotes in an option (RFC 4861 section 4.6.3), and concerns the link's neighbours only
    return _quoted_ipv4(quoted) or _quoted_ipv6(quoted)


def says_unreachable(octets: bytes) -> bool:
    """True when an ICMP error reports a host or network as unreachable, as a router does for a dead host.

    RFC 792 and RFC 1812 section 5.2.7.1: type 3, codes 0, 1, 6 and 7; RFC 4443 section 3.1: type 1, codes 0 and 3.
    """
    ip = ip_view(octets)
    kind, code = ip.payload[:2]
    if ip.protocol == PROTOCOL_ICMP:
        return kind == _UNREACHABLE and code in (0, 1, 6, 7)
    return kind == _UNREACHABLE_ICMPV6 and code in (0, 3)


# The quoted packets are not read by the views of `ip`, which refuse a packet that is cut short.
def _quoted_ipv4(quoted: bytes) -> Quoted | None:
    if len(quoted) < 20 or not 0x45 <= quoted[0] <= 0x4F:
        return None
    later = bool(int.from_bytes(quoted[6:8], "big") & 0x1FFF)
    protocol, offset = quoted[9], (quoted[0] & 15) * 4
    return Quoted(4, protocol, quoted[12:16], quoted[16:20], _ports(protocol, quoted, offset, later),
                  int.from_bytes(quoted[4:6], "big"), later)


def _quoted_ipv6(quoted: bytes) -> Quoted | None:
    if len(quoted) < 40 or quoted[0] >> 4 != 6:
        return None
    chain = header_chain(quoted, len(quoted))
    if chain.fault:
        return None
    fragment = bytes(8) if chain.fragment is None else quoted[chain.fragment:chain.fragment + 8]
    later, identification = fragment[2:4] > FIRST_FRAGMENT, int.from_bytes(fragment[4:], "big")
    return Quoted(6, chain.protocol, quoted[8:24], quoted[24:40], _ports(chain.protocol, quoted, chain.offset, later),
                  identification, later)


def _ports(protocol: int, quoted: bytes, offset: int, later: bool) -> tuple[int, int] | None:
    octets = quoted[offset:offset + 4]
    if later or protocol not in (PROTOCOL_TCP, PROTOCOL_UDP) or len(octets) < 4:
        return None
    return int.from_bytes(octets[:2], "big"), int.from_bytes(octets[2:], "big")


def _may_answer(ip: Ipv4View | Ipv6View) -> bool:
    if _is_error(ip):
        return False
    if isinstance(ip, Ipv4View):
        return 0 < ip.source[0] < _FIRST_GROUP and ip.destination[0] < _FIRST_GROUP
    return ip.source[0] != 0xFF and any(ip.source)


def _is_error(ip: Ipv4View | Ipv6View) -> bool:
    kind = ip.payload[0] if ip.payload else 0
    if isinstance(ip, Ipv4View):
        return ip.protocol == PROTOCOL_ICMP and kind in ICMPV4_ERRORS
    return ip.protocol == PROTOCOL_ICMPV6 and (kind < FIRST_INFORMATIONAL_ICMPV6 or kind == _REDIRECT_ICMPV6)


def _ipv4_error(ip: Ipv4View, code: int, value: int, source: bytes) -> bytes:
    # RFC 1812 section 4.3.2.3: as much of the packet as fits 576 octets.
    quoted = ip.octets[:min(ip.total_length, 576 - 28)]
    body = _ERROR.pack(_UNREACHABLE, code, 0, value) + quoted
    body = body[:2] + internet_checksum(body).to_bytes(2, "big") + body[4:]
    return ip_packet(PROTOCOL_ICMP, source, ip.source, body, _CS6)


def _ipv6_error(ip: Ipv6View, kind: int, value: int, source: bytes) -> bytes:
    # RFC 4443 section 2.4 (c): as much of the packet as fits the minimum MTU behind 48 octets of headers.
    quoted = ip.octets[:min(ip.total_length, _IPV6_MIN_MTU - 48)]
    body = _ERROR.pack(kind, 0, 0, value) + quoted
    pseudo = source + ip.source + len(body).to_bytes(4, "big") + PROTOCOL_ICMPV6.to_bytes(4, "big")
    body = body[:2] + internet_checksum(pseudo + body).to_bytes(2, "big") + body[4:]
    return ip_packet(PROTOCOL_ICMPV6, source, ip.source, body)
