"""IP packets with chosen fields and right checksums, for tests in which the fields of a packet matter."""

from __future__ import annotations

import ipaddress
from struct import pack

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << n for n in range(8))
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58


def packed(address: str | bytes) -> bytes:
    """An address as its 4 or 16 octets."""
    return address if isinstance(address, bytes) else ipaddress.ip_address(address).packed


def checksum(octets: bytes) -> int:
    """The Internet checksum, as RFC 1071 defines it."""
    octets += bytes(len(octets) % 2)
    total = sum(octets[at] << 8 | octets[at + 1] for at in range(0, len(octets), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def ip(source: str | bytes, destination: str | bytes, protocol: int, payload: bytes, *, dscp: int = 0,
       identification: int = 0, fragment: int = 0, ttl: int = 64) -> bytes:
    """An IPv4 or IPv6 packet, by its addresses; `fragment` is IPv4's field of flags and offset."""
    source, destination = packed(source), packed(destination)
    if len(source) == 16:
        head = pack(">IHBB", 6 << 28 | dscp << 22, len(payload), protocol, ttl) + source + destination
        return head + payload
    head = pack(">BBHHHBBH", 0x45, dscp << 2, 20 + len(payload), identification, fragment, ttl, protocol, 0)
    head += source + destination
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + payload


def with_checksum(source: bytes, destination: bytes, protocol: int, body: bytes, at: int) -> bytes:
    """The body with its checksum, which covers the pseudo header, written at an offset."""
    pseudo = source + destination + pack(">IxxxB", len(body), protocol)
    return body[:at] + checksum(pseudo + body).to_bytes(2, "big") + body[at + 2:]


def tcp(source: str | bytes, sport: int, destination: str | bytes, dport: int, flags: int, *, seq: int = 0,
        ack: int = 0, window: int = 65535, data: bytes = b"", options: bytes = b"", dscp: int = 0) -> bytes:
    """A TCP packet; `options` have a multiple of 4 octets."""
    source, destination = packed(source), packed(destination)
    body = pack(">HHIIBBHHH", sport, dport, seq % (1 << 32), ack % (1 << 32), (5 + len(options) // 4) << 4, flags,
                window, 0, 0)
    body += options + data
    return ip(source, destination, TCP, with_checksum(source, destination, TCP, body, 16), dscp=dscp)


def udp(source: str | bytes, sport: int, destination: str | bytes, dport: int, data: bytes = b"") -> bytes:
    """A UDP packet."""
    source, destination = packed(source), packed(destination)
    body = pack(">HHHH", sport, dport, 8 + len(data), 0) + data
    return ip(source, destination, UDP, with_checksum(source, destination, UDP, body, 6))


def ping(source: str | bytes, destination: str | bytes, data: bytes = b"", *, reply: bool = False) -> bytes:
    """An echo request or reply."""
    source, destination = packed(source), packed(destination)
    if len(source) == 16:
        body = pack(">BBHI", 129 if reply else 128, 0, 0, 1) + data
        return ip(source, destination, ICMPV6, with_checksum(source, destination, ICMPV6, body, 2))
    body = pack(">BBHI", 0 if reply else 8, 0, 0, 1) + data
    return ip(source, destination, ICMP, body[:2] + checksum(body).to_bytes(2, "big") + body[4:])


def icmp_error(source: str | bytes, destination: str | bytes, quoted: bytes) -> bytes:
    """"Fragmentation needed" or "packet too big" about `quoted`, as any router may send it."""
    source, destination = packed(source), packed(destination)
    if len(source) == 16:
        body = pack(">BBHI", 2, 0, 0, 1400) + quoted
        return ip(source, destination, ICMPV6, with_checksum(source, destination, ICMPV6, body, 2))
    body = pack(">BBHI", 3, 4, 0, 1400) + quoted
    return ip(source, destination, ICMP, body[:2] + checksum(body).to_bytes(2, "big") + body[4:])
