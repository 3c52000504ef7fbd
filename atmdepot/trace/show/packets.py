"""IP packets in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.config.units import count_text
from atmdepot.wire.ip import PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP, endpoint, ip_view
from atmdepot.wire.tcp import ACK, TcpView, flags_text

if TYPE_CHECKING:
    from atmdepot.wire.packet import Packet

_PROTOCOLS = {PROTOCOL_ICMP: "ICMP", PROTOCOL_ICMPV6: "ICMPv6", PROTOCOL_UDP: "UDP", PROTOCOL_TCP: "TCP"}
_LONGEST_QUOTE = 100  # octets; a longer line is not quoted


def packet_text(packet: Packet, octets: bytes = b"") -> str:
    """An IP packet: its ends, its TCP fields, and, with its `octets`, the beginning of its data."""
    source = endpoint(packet.source, packet.source_port or None)
    ends = f"{source} > {endpoint(packet.destination, packet.destination_port or None)}"
    protocol = _PROTOCOLS.get(packet.protocol, f"protocol {packet.protocol}")
    if packet.fragment:
        protocol += f" {'later' if packet.later else 'first'} fragment of {packet.identification:04x}"
    tcp = packet.tcp
    if tcp is None:
        return f"IPv{packet.version} {ends} {protocol}, {count_text(packet.total_length, 'octet')}"
    told = f"IPv{packet.version} {ends} {protocol} [{flags_text(tcp.flags)}]"
    if not octets:
        return f"{told} length {tcp.length}"
    ack = f" ack {tcp.acknowledgment}" if tcp.flags & ACK else ""
    return f"{told} seq {tcp.sequence}{ack} win {tcp.window} length {tcp.length}{_quote(octets)}"


def _quote(octets: bytes) -> str:
    """The first line of a TCP packet's data, if it is text."""
    data = TcpView(ip_view(octets).payload).payload
    line = data[:_LONGEST_QUOTE].split(b"\r\n", 1)[0]
    # A line that fills the quote may be cut, so it is left out.
    if not line or len(line) == _LONGEST_QUOTE or not line.isascii() or not line.decode().isprintable():
        return ""
    return f"  \"{line.decode()}\""
