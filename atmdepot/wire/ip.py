"""Checked views of IPv4 and IPv6 headers (RFC 791, RFC 8200): they read fields in place, never past the end."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from struct import Struct
from typing import NamedTuple

PROTOCOL_ICMP = 1
PROTOCOL_TCP = 6
PROTOCOL_UDP = 17
PROTOCOL_ICMPV6 = 58

_TTL = 64
_IPV4 = Struct(">BBHHHBBH4s4s")
_IPV6 = Struct(">IHBB16s16s")
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION_OPTIONS = 0, 43, 44, 51, 60
EXTENSIONS = {_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION_OPTIONS}
"""The IPv6 extension headers that `header_chain` walks (RFC 8200 section 4)."""
_MAX_EXTENSIONS = 16  # a bound on the walk, whatever a sender chains
FIRST_FRAGMENT = b"\0\7"
"""The greatest value of offset, reserved bits and M flag (RFC 8200 section 4.5) in a first fragment."""


class MalformedPacket(ValueError):
    """A packet that is not IP, or whose headers are cut short or contradict its length."""


class NotIp(MalformedPacket):
    """A packet whose version is neither 4 nor 6."""


class HeaderChain(NamedTuple):
    """The end of a chain of IPv6 extension headers (RFC 8200 section 4).

    `protocol` is the protocol behind the last header, at `offset`; for a later fragment, the protocol that its Fragment
    header names. `fragment` is the offset of the Fragment header, or None. `fault` says why the chain could not be read
    to its end; it is empty when it could.
    """

    protocol: int
    offset: int
    fragment: int | None
    fault: str = ""


def header_chain(octets: bytes, end: int) -> HeaderChain:
    """Walk the extension headers of an IPv6 packet, of which `end` octets are present (at least 40)."""
    protocol, offset, fragment, later = octets[6], 40, None, False
    for _ in range(_MAX_EXTENSIONS):
        # Behind a later fragment's header comes the middle of the packet, which holds no header.
        if protocol not in EXTENSIONS or later:
            return HeaderChain(protocol, offset, fragment)
        if offset + 8 > end:
            return HeaderChain(protocol, offset, fragment, "an extension header is cut short")
        if protocol == _FRAGMENT:
            fragment, length = offset, 8
            # Offset, reserved bits and M flag compare as a big-endian number.
            later = octets[offset + 2:offset + 4] > FIRST_FRAGMENT
        elif protocol == _AUTHENTICATION:
            length = (octets[offset + 1] + 2) * 4  # Payload Len counts 4-octet words, minus 2 (RFC 4302 section 2.2)
        else:
            length = (octets[offset + 1] + 1) * 8  # Hdr Ext Len leaves out the first 8 octets (RFC 8200 section 4.3)
        protocol, offset = octets[offset], offset + length
        if offset > end:
            return HeaderChain(protocol, offset, fragment, "an extension header points past the end")
    return HeaderChain(protocol, offset, fragment, f"there are more than {_MAX_EXTENSIONS} extension headers")


class Ipv4View:
    """An IPv4 packet. The constructor checks version, header length and total length."""

    __slots__ = ("header_length", "octets", "total_length")

    def __init__(self, octets: bytes) -> None:
        """Check the header; raise MalformedPacket when a field points past the end."""
        if len(octets) < 20:
            raise MalformedPacket(f"an IPv4 header has at least 20 octets, here are {len(octets)}")
        if octets[0] >> 4 != 4:
            raise NotIp(f"version {octets[0] >> 4} is not 4")
        self.octets = octets
        self.header_length = (octets[0] & 15) * 4
        self.total_length = int.from_bytes(octets[2:4], "big")
        # Octets behind the total length are allowed; no property reads them.
        if not 20 <= self.header_length <= self.total_length <= len(octets):
            raise MalformedPacket(f"header {self.header_length}, total {self.total_length} and {len(octets)} octets "
                                  "contradict one another")

    @property
    def dscp(self) -> int:
        """The differentiated services codepoint (RFC 2474)."""
        return self.octets[1] >> 2

    @property
    def ecn(self) -> int:
        """The ECN field (RFC 3168)."""
        return self.octets[1] & 3

    @property
    def identification(self) -> int:
        """The identification, the same in all fragments of a packet."""
        return int.from_bytes(self.octets[4:6], "big")

    @property
    def dont_fragment(self) -> bool:
        """The DF bit."""
        return bool(self.octets[6] & 0x40)

    @property
    def more_fragments(self) -> bool:
        """The MF bit."""
        return bool(self.octets[6] & 0x20)

    @property
    def fragment_offset(self) -> int:
        """In octets."""
        return (int.from_bytes(self.octets[6:8], "big") & 0x1FFF) * 8  # the field counts units of 8 octets

    @property
    def ttl(self) -> int:
        """Time to live."""
        return self.octets[8]

    @property
    def protocol(self) -> int:
        """The protocol of the payload."""
        return self.octets[9]

    @property
    def source(self) -> bytes:
        """4 octets."""
        return self.octets[12:16]

    @property
    def destination(self) -> bytes:
        """4 octets."""
        return self.octets[16:20]

    @property
    def payload_offset(self) -> int:
        """The offset of the payload in octets."""
        return self.header_length

    @property
    def payload(self) -> bytes:
        """The octets after the header, up to the total length."""
        return self.octets[self.header_length:self.total_length]

    @property
    def checksum_ok(self) -> bool:
        """True when the header's checksum is right."""
        return internet_checksum(self.octets[:self.header_length]) == 0


class Ipv6View:
    """An IPv6 packet. The constructor checks it and walks its extension headers, once."""

    __slots__ = ("_fragment", "octets", "payload_offset", "protocol", "total_length")

    def __init__(self, octets: bytes) -> None:
        """Check the headers; raise MalformedPacket when a field points past the end."""
        if len(octets) < 40:
            raise MalformedPacket(f"an IPv6 header has 40 octets, here are {len(octets)}")
        if octets[0] >> 4 != 6:
            raise NotIp(f"version {octets[0] >> 4} is not 6")
        self.octets = octets
        self.total_length = 40 + int.from_bytes(octets[4:6], "big")
        if self.total_length > len(octets):
            raise MalformedPacket(f"total {self.total_length} and {len(octets)} octets contradict one another")
        chain = header_chain(octets, self.total_length)
        if chain.fault:
            raise MalformedPacket(chain.fault)
        self.protocol, self.payload_offset, self._fragment = chain.protocol, chain.offset, chain.fragment

    @property
    def traffic_class(self) -> int:
        """DSCP and ECN."""
        return (self.octets[0] & 15) << 4 | self.octets[1] >> 4

    @property
    def dscp(self) -> int:
        """The differentiated services codepoint (RFC 2474)."""
        return self.traffic_class >> 2

    @property
    def ecn(self) -> int:
        """The ECN field (RFC 3168)."""
        return self.traffic_class & 3

    @property
    def flow_label(self) -> int:
        """20 bits."""
        return int.from_bytes(self.octets[1:4], "big") & 0xFFFFF

    @property
    def ttl(self) -> int:
        """The hop limit."""
        return self.octets[7]

    @property
    def identification(self) -> int:
        """The identification of the Fragment header; 0 without it."""
        at = self._fragment
        return 0 if at is None else int.from_bytes(self.octets[at + 4:at + 8], "big")

    @property
    def more_fragments(self) -> bool:
        """The M flag of the Fragment header."""
        return self._fragment is not None and bool(self.octets[self._fragment + 3] & 1)

    @property
    def fragment_offset(self) -> int:
        """In octets."""
        if self._fragment is None:
            return 0
        # The units of 8 octets are in place: the lower 3 bits are reserved bits and the M flag.
        return int.from_bytes(self.octets[self._fragment + 2:self._fragment + 4], "big") & 0xFFF8

    @property
    def source(self) -> bytes:
        """16 octets."""
        return self.octets[8:24]

    @property
    def destination(self) -> bytes:
        """16 octets."""
        return self.octets[24:40]

    @property
    def payload(self) -> bytes:
        """The octets after the last extension header."""
        return self.octets[self.payload_offset:self.total_length]


def ip_view(octets: bytes) -> Ipv4View | Ipv6View:
    """The view of a packet by its version; raise NotIp or MalformedPacket."""
    version = octets[0] >> 4 if octets else 0
    if version == 4:
        return Ipv4View(octets)
    if version == 6:
        return Ipv6View(octets)
    raise NotIp(f"version {version} is neither 4 nor 6")


def source_in(beginning: bytes) -> tuple[int, bytes] | None:
    """The protocol, and the source address and port, joined, from the beginning of a TCP or UDP packet; else None.

    None as well for a later fragment and for an IPv6 packet with extension headers. The address alone when the octets
    end before the port.
    """
    version = beginning[0] >> 4 if len(beginning) >= 24 else 0  # 24 octets hold the source address of IPv4 and IPv6
    if version == 4 and beginning[9] in (PROTOCOL_TCP, PROTOCOL_UDP) and not int.from_bytes(beginning[6:8]) & 0x1FFF:
        protocol, address, port = beginning[9], beginning[12:16], (beginning[0] & 15) * 4
    elif version == 6 and beginning[6] in (PROTOCOL_TCP, PROTOCOL_UDP):
        protocol, address, port = beginning[6], beginning[8:24], 40
    else:
        return None
    return protocol, address + beginning[port:port + 2] if len(beginning) >= port + 2 else address


def ip_packet(protocol: int, source: bytes, destination: bytes, payload: bytes, traffic_class: int = 0) -> bytes:
    """Make a packet, IPv4 or IPv6 by the length of its addresses, with a TTL of 64."""
    if len(source) == 16:
        head = _IPV6.pack(6 << 28 | traffic_class << 20, len(payload), protocol, _TTL, source, destination)
        return head + payload
    # The checksum is computed over the header with a checksum of 0.
    head = _IPV4.pack(0x45, traffic_class, 20 + len(payload), 0, 0, _TTL, protocol, 0, source, destination)
    return head[:10] + internet_checksum(head).to_bytes(2, "big") + head[12:] + payload


def internet_checksum(octets: bytes) -> int:
    """The Internet checksum (RFC 1071); 0 over octets that hold a correct checksum."""
    if len(octets) % 2:
        octets = octets + b"\0"
    # 2^16 is 1 modulo 2^16 - 1, so the ones' complement sum is the remainder of the whole number.
    # 0 and FFFF are equal there; the sum is 0 only for all-zero octets, else FFFF.
    number = int.from_bytes(octets, "big")
    folded = number % 0xFFFF or (0xFFFF if number else 0)
    return folded ^ 0xFFFF


def address_text(packed: bytes) -> str:
    """An address of 4 or 16 octets as text."""
    return str(ipaddress.ip_address(packed))


@lru_cache(maxsize=4096)
def endpoint(address: bytes, port: int | None) -> str:
    """An address as text, with the port unless it is None: `10.0.0.1:80`, `[::1]:80`, `::1`."""
    text = address_text(address)
    return text if port is None else f"[{text}]:{port}" if ":" in text else f"{text}:{port}"
