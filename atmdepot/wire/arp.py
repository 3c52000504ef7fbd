"""ARP (RFC 826) for IPv4 over Ethernet.

::

    hardware 1 (2) | protocol 0800 (2) | 6 (1) | 4 (1) | operation (2) | sender MAC, IP | target MAC, IP
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

REQUEST, REPLY = 1, 2
_ARP = Struct(">HHBBH6s4s6s4s")
_ETHERNET, _IPV4 = 1, 0x0800


class ArpError(ValueError):
    """Octets that are no ARP message for IPv4 over Ethernet."""


class Arp(NamedTuple):
    """An ARP message; addresses are packed."""

    operation: int
    sender_mac: bytes
    sender: bytes
    target_mac: bytes
    target: bytes

    def pack(self) -> bytes:
        """Its 28 octets."""
        return _ARP.pack(_ETHERNET, _IPV4, 6, 4, *self)


def parse_arp(octets: bytes) -> Arp:
    """Read an ARP message, behind which padding may stand; raise ArpError."""
    if len(octets) < _ARP.size:
        raise ArpError(f"an ARP message of {len(octets)} octets is cut short")
    hardware, protocol, mac_size, ip_size, *fields = _ARP.unpack_from(octets)
    if (hardware, protocol, mac_size, ip_size) != (_ETHERNET, _IPV4, 6, 4):
        raise ArpError("an ARP message that is not for IPv4 over Ethernet")
    message = Arp(*fields)
    if message.operation not in (REQUEST, REPLY) or message.sender_mac[0] & 1:
        raise ArpError("an ARP message that is neither request nor reply, or is sent by a group")
    return message
