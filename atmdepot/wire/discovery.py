"""Neighbour discovery (RFC 4861): solicitations and advertisements, as whole IPv6 packets.

::

    IPv6 header, hop limit 255 | type 135 or 136 | 0 | checksum 2 | flags 4 | target 16 | options: type, length / 8, ...
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from atmdepot.wire.ip import internet_checksum

SOLICITATION, ADVERTISEMENT = 135, 136
UNSPECIFIED = bytes(16)
ALL_NODES = bytes.fromhex("ff02") + bytes(13) + b"\x01"
_SOLICITED_NODES = bytes.fromhex("ff02") + bytes(9) + bytes.fromhex("01ff")
_ICMPV6 = 58
_IPV6 = Struct(">IHBB16s16s")
_HEADER_SIZE, _LEAST = 40, 24
_HOP_LIMIT = 255
_ROUTER, _SOLICITED, _OVERRIDE = 0x80, 0x40, 0x20
_SOURCE_LINK_ADDRESS, _TARGET_LINK_ADDRESS = 1, 2


class DiscoveryError(ValueError):
    """A message of neighbour discovery that a receiver must drop (RFC 4861 sections 7.1.1 and 7.1.2)."""


class Discovery(NamedTuple):
    """A neighbour solicitation or advertisement; addresses are packed, `mac` is None without that option."""

    kind: int
    source: bytes
    destination: bytes
    target: bytes
    mac: bytes | None
    solicited: bool = False
    override: bool = False

    def pack(self) -> bytes:
        """The IPv6 packet. An advertisement says that its sender is a router, which all nodes here are."""
        asks = self.kind == SOLICITATION
        flags = 0 if asks else _ROUTER | _SOLICITED * self.solicited | _OVERRIDE * self.override
        option = _SOURCE_LINK_ADDRESS if asks else _TARGET_LINK_ADDRESS
        options = b"" if self.mac is None else bytes((option, 1)) + self.mac
        message = bytes((self.kind, 0, 0, 0, flags, 0, 0, 0)) + self.target + options
        checksum = internet_checksum(_pseudo_header(self.source, self.destination, len(message)) + message)
        head = _IPV6.pack(6 << 28, len(message), _ICMPV6, _HOP_LIMIT, self.source, self.destination)
        return head + message[:2] + checksum.to_bytes(2, "big") + message[4:]


def is_discovery(packet: bytes) -> bool:
    """True for an IPv6 packet that is a neighbour solicitation or advertisement, valid or not."""
    return len(packet) > _HEADER_SIZE and packet[6] == _ICMPV6 and packet[_HEADER_SIZE] in (
        SOLICITATION, ADVERTISEMENT)


def parse_discovery(packet: bytes) -> Discovery:
    """Read a packet for which `is_discovery` holds; raise DiscoveryError."""
    _, length, _, hop_limit, source, destination = _IPV6.unpack_from(packet)
    message = packet[_HEADER_SIZE:_HEADER_SIZE + length]
    if hop_limit != _HOP_LIMIT or length < _LEAST or len(message) < length or message[1]:
        raise DiscoveryError("it was forwarded, is cut short, or has a code")
    if internet_checksum(_pseudo_header(source, destination, length) + message):
        raise DiscoveryError("its checksum is wrong")
    kind, flags, target = message[0], message[4], message[8:_LEAST]
    if target[0] == 0xFF:
        raise DiscoveryError("its target is a group")
    mac = _link_address(message[_LEAST:], _SOURCE_LINK_ADDRESS if kind == SOLICITATION else _TARGET_LINK_ADDRESS)
    solicited, override = bool(flags & _SOLICITED), bool(flags & _OVERRIDE)
    if kind == SOLICITATION:
        if source == UNSPECIFIED and (mac is not None or not destination.startswith(_SOLICITED_NODES)):
            raise DiscoveryError("duplicate address detection with a MAC address, or to a single node")
        return Discovery(kind, source, destination, target, mac)
    if solicited and destination[0] == 0xFF:
        raise DiscoveryError("an answer to a group says that it was solicited")
    return Discovery(kind, source, destination, target, mac, solicited, override)


def _link_address(options: bytes, wanted: int) -> bytes | None:
    """The MAC address of the first option of a type; raise DiscoveryError for an option of length 0 or cut short."""
    at, found = 0, None
    while at < len(options):
        size = 8 * options[at + 1] if at + 1 < len(options) else 0
        if not size or at + size > len(options):
            raise DiscoveryError("an option has no length, or is cut short")
        if options[at] == wanted and size == 8 and found is None:
            found = options[at + 2:at + 8]
        at += size
    if found is not None and found[0] & 1:
        raise DiscoveryError("the MAC address is that of a group")
    return found


def _pseudo_header(source: bytes, destination: bytes, length: int) -> bytes:
    return source + destination + length.to_bytes(4, "big") + _ICMPV6.to_bytes(4, "big")


def group_of(address: bytes) -> bytes:
    """The solicited-node multicast address of an IPv6 address (RFC 4291 section 2.7.1)."""
    return _SOLICITED_NODES + address[13:]


def mac_of_group(address: bytes) -> bytes:
    """The MAC address of an IPv6 multicast address (RFC 2464 section 7)."""
    return b"\x33\x33" + address[12:]


def link_local(mac: bytes) -> bytes:
    """The link-local address of a MAC address (RFC 4291 appendix A)."""
    return bytes.fromhex("fe80") + bytes(6) + bytes((mac[0] ^ 2,)) + mac[1:3] + b"\xff\xfe" + mac[3:]
