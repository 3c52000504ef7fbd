"""UDP datagrams in IP packets, as far as a capture holds them."""

from __future__ import annotations

from struct import Struct

from atmdepot.wire.ip import PROTOCOL_UDP, Ipv6View, MalformedPacket

DAMAGED = "frames whose IP or UDP header is damaged or cut"

_PORTS = Struct(">HH")
_HEADER_SIZE = 8

Datagram = tuple[bytes, bytes, bytes, int]
"""Both addresses, both ports, the payload or what there is of it, and the payload's length."""


class NoCells(Exception):
    """Octets without cells: their kind, and what the user is told of the first of it, if anything."""

    def __init__(self, kind: str, remark: str = "") -> None:
        super().__init__(kind)
        self.kind = kind
        self.remark = remark


def datagram_of(octets: bytes, at: int) -> Datagram:
    """The datagram in the IP packet at `at`; raise NoCells when it holds none, or not its headers."""
    addresses, udp_at, end = _addresses_and_place(octets, at)
    end = min(end, len(octets))
    if not at + 20 <= udp_at <= end - _HEADER_SIZE:
        raise NoCells(DAMAGED)
    # A length of zero is left for the network device to fill in.
    length = int.from_bytes(octets[udp_at + 4:udp_at + 6], "big") or end - udp_at
    if length < _HEADER_SIZE:
        raise NoCells(DAMAGED)
    payload = octets[udp_at + _HEADER_SIZE:min(end, udp_at + length)]
    return addresses, octets[udp_at:udp_at + 4], payload, length - _HEADER_SIZE


def unpack_ports(ports: bytes) -> tuple[int, int]:
    """Source and destination."""
    source, destination = _PORTS.unpack(ports)
    return source, destination


def _addresses_and_place(octets: bytes, at: int) -> tuple[bytes, int, int]:
    """Of the IP packet at `at`: both addresses, where its UDP header begins, and where it ends or the capture does."""
    if len(octets) < at + 20:
        raise NoCells(DAMAGED)
    version = octets[at] >> 4
    if version == 4:
        udp_at = at + (octets[at] & 15) * 4
        protocol, addresses = octets[at + 9], octets[at + 12:at + 20]
        is_fragment = bool(octets[at + 6] & 0x3F or octets[at + 7])
        # A total length of zero is left for the network device to fill in.
        end = at + (int.from_bytes(octets[at + 2:at + 4], "big") or len(octets))
    elif version == 6 and len(octets) >= at + 40:
        protocol, udp_at, is_fragment = _skip_extensions(octets, at)
        addresses = octets[at + 8:at + 40]
        end = at + 40 + int.from_bytes(octets[at + 4:at + 6], "big")
    else:
        raise NoCells(DAMAGED)
    if protocol != PROTOCOL_UDP:
        raise NoCells("packets that are not UDP")
    if is_fragment:
        raise NoCells("IP fragments", "an IP fragment of a UDP datagram: cells in datagrams that were cut to "
                          "fragments cannot be seen")
    return addresses, udp_at, end


def _skip_extensions(octets: bytes, at: int) -> tuple[int, int, bool]:
    """The protocol in the IPv6 packet at `at`, where its header begins, and whether the packet is a fragment."""
    if octets[at + 6] == PROTOCOL_UDP:
        return PROTOCOL_UDP, at + 40, False
    try:
        view = Ipv6View(octets[at:])
    except MalformedPacket:
        raise NoCells(DAMAGED) from None
    return view.protocol, at + view.payload_offset, view.more_fragments or view.fragment_offset > 0
