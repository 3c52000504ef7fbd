"""UDP datagrams in IP packets, as far as a capture holds them."""

from __future__ import annotations

from struct import Struct

from atmdepot.trace.fragments import Fragment, Joined
from atmdepot.wire.ip import PROTOCOL_UDP, Ipv6View, MalformedPacket

_EXTENSIONS = (0, 43, 60)
"""Extension headers whose second octet is their length: hop-by-hop options, routing, destination options."""
_FRAGMENT = 44  # IPv6's fragment header
DAMAGED = "frames whose IP or UDP header is damaged or cut"

_PORTS = Struct(">HH")
_HEADER_SIZE = 8

Datagram = tuple[bytes, bytes, bytes, int]
"""Both addresses, both ports, the part of the payload that was captured, and the payload's length in octets."""


class NoCells(Exception):
    """Octets without cells; `kind` says what they are."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class IsFragment(Exception):
    """An IP packet that holds a part of a datagram."""

    def __init__(self, fragment: Fragment) -> None:
        super().__init__("an IP fragment")
        self.fragment = fragment


def datagram_of(octets: bytes, at: int) -> Datagram:
    """Return the datagram in the IP packet at `at`.

    Raises:
        IsFragment: when the packet may hold a part of a datagram.
        NoCells: when the packet holds no datagram, or the capture lacks its headers.

    """
    addresses, udp_at, end = _addresses_and_place(octets, at)
    return _datagram(addresses, octets, at + 20, udp_at, min(end, len(octets)))


def datagram_of_fragments(joined: Joined) -> Datagram:
    """Return the datagram in a reassembled packet; raise NoCells when it holds no datagram, or lacks its headers."""
    protocol, udp_at = joined.protocol, 0
    octets = joined.octets
    # `joined` begins behind the IP header: further extension headers are a part of its octets.
    while protocol in _EXTENSIONS and udp_at + 2 <= len(octets):
        protocol, udp_at = octets[udp_at], udp_at + (octets[udp_at + 1] + 1) * 8
    if protocol != PROTOCOL_UDP:
        raise NoCells("packets that are not UDP")
    addresses, ports, payload, length = _datagram(joined.addresses, octets, 0, udp_at, len(octets))
    # A UDP length beyond the packet would count octets of no fragment as missing.
    if length > joined.length - udp_at - _HEADER_SIZE:
        raise NoCells(DAMAGED)
    return addresses, ports, payload, length


def _datagram(addresses: bytes, octets: bytes, least: int, udp_at: int, end: int) -> Datagram:
    """The datagram whose header is at `udp_at` (valid from `least` on), in a packet that ends at `end`."""
    if not least <= udp_at <= end - _HEADER_SIZE:
        raise NoCells(DAMAGED)
    # A length of zero is left for the network device to fill in (segmentation offload).
    length = int.from_bytes(octets[udp_at + 4:udp_at + 6], "big") or end - udp_at
    if length < _HEADER_SIZE:
        raise NoCells(DAMAGED)
    payload = octets[udp_at + _HEADER_SIZE:min(end, udp_at + length)]
    return addresses, octets[udp_at:udp_at + 4], payload, length - _HEADER_SIZE


def unpack_ports(ports: bytes) -> tuple[int, int]:
    """Source and destination port."""
    source, destination = _PORTS.unpack(ports)
    return source, destination


def _addresses_and_place(octets: bytes, at: int) -> tuple[bytes, int, int]:
    """Addresses of the IP packet at `at`, the offset of its UDP header, and the offset of its end."""
    if len(octets) < at + 20:
        raise NoCells(DAMAGED)
    version = octets[at] >> 4
    if version == 4:
        udp_at = at + (octets[at] & 15) * 4
        protocol, addresses = octets[at + 9], octets[at + 12:at + 20]
        # A total length of zero is left for the network device to fill in (segmentation offload).
        end = at + (int.from_bytes(octets[at + 2:at + 4], "big") or len(octets))
        # More fragments to come, or an offset: the packet is not whole.
        if protocol == PROTOCOL_UDP and (octets[at + 6] & 0x3F or octets[at + 7]):
            word = int.from_bytes(octets[at + 6:at + 8], "big")
            raise IsFragment(_fragment(octets, addresses, octets[at + 4:at + 6], protocol, (word & 0x1FFF) * 8,
                                       bool(word & 0x2000), udp_at, end))
    elif version == 6 and len(octets) >= at + 40:
        addresses = octets[at + 8:at + 40]
        end = at + 40 + int.from_bytes(octets[at + 4:at + 6], "big")
        protocol, udp_at = _skip_extensions(octets, at, addresses, end)
    else:
        raise NoCells(DAMAGED)
    if protocol != PROTOCOL_UDP:
        raise NoCells("packets that are not UDP")
    return addresses, udp_at, end


def _fragment(octets: bytes, addresses: bytes, identification: bytes, protocol: int, offset: int, more: bool,
              start: int, end: int) -> Fragment:
    """Return the fragment that carries the octets of the packet from `start` to `end`, as far as they were captured."""
    if start >= end:
        raise NoCells(DAMAGED)
    return Fragment(addresses + identification, addresses, protocol, offset, more, octets[start:end], end - start)


def _skip_extensions(octets: bytes, at: int, addresses: bytes, end: int) -> tuple[int, int]:
    """Return the protocol in the IPv6 packet at `at` and the offset of its header; raise IsFragment for a fragment."""
    protocol, place = octets[at + 6], at + 40
    if protocol == PROTOCOL_UDP:
        return protocol, place
    while protocol in _EXTENSIONS and place + 2 <= len(octets):
        protocol, place = octets[place], place + (octets[place + 1] + 1) * 8
    if protocol == _FRAGMENT and place + 8 <= len(octets):
        word = int.from_bytes(octets[place + 2:place + 4], "big")
        if word & 0xFFF9:  # an atomic fragment (offset 0, no more to come) is a whole packet
            raise IsFragment(_fragment(octets, addresses, octets[place + 4:place + 8], octets[place], word & 0xFFF8,
                                       bool(word & 1), place + 8, end))
    # Header chains that the loop above cannot walk are left to the full parser.
    try:
        view = Ipv6View(octets[at:])
    except MalformedPacket:
        raise NoCells(DAMAGED) from None
    return view.protocol, at + view.payload_offset
