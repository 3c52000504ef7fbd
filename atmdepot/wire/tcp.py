"""A checked view of the TCP header (RFC 9293), which reads fields in place and never past the end; RST, keep-alive."""

from __future__ import annotations

from struct import Struct

from atmdepot.wire.ip import PROTOCOL_TCP, MalformedPacket, internet_checksum, ip_packet, ip_view

_HEADER = Struct(">HHIIBBHHH")
FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << n for n in range(8))

# The letters of tcpdump.
_LETTERS = {SYN: "S", FIN: "F", RST: "R", PSH: "P", ACK: ".", URG: "U", ECE: "E", CWR: "W"}
_OPTION_END, _OPTION_NOP, _OPTION_MSS, _OPTION_WINDOW_SCALE = 0, 1, 2, 3


class TcpView:
    """A TCP segment. The constructor checks that the header, options included, is complete."""

    __slots__ = ("header_length", "octets")

    def __init__(self, octets: bytes) -> None:
        """Check the header; raise MalformedPacket when it is cut short or its offset is wrong."""
        if len(octets) < 20:
            raise MalformedPacket(f"a TCP header has at least 20 octets, here are {len(octets)}")
        self.octets = octets
        self.header_length = (octets[12] >> 4) * 4
        if not 20 <= self.header_length <= len(octets):
            raise MalformedPacket(f"a TCP data offset of {self.header_length} octets in {len(octets)}")

    @property
    def source_port(self) -> int:
        """The sender's port."""
        return int.from_bytes(self.octets[0:2], "big")

    @property
    def destination_port(self) -> int:
        """The receiver's port."""
        return int.from_bytes(self.octets[2:4], "big")

    @property
    def sequence(self) -> int:
        """The sequence number."""
        return int.from_bytes(self.octets[4:8], "big")

    @property
    def acknowledgment(self) -> int:
        """The acknowledgment number (meaningless without ACK)."""
        return int.from_bytes(self.octets[8:12], "big")

    @property
    def flags(self) -> int:
        """The eight flags, CWR to FIN."""
        return self.octets[13]

    @property
    def window(self) -> int:
        """The window field, not scaled."""
        return int.from_bytes(self.octets[14:16], "big")

    @property
    def payload(self) -> bytes:
        """The data."""
        return self.octets[self.header_length:]

    @property
    def options(self) -> dict[int, bytes]:
        """Kind and content of the options, up to the first option that is cut short."""
        found: dict[int, bytes] = {}
        area, at = self.octets[20:self.header_length], 0
        while at < len(area) and area[at] != _OPTION_END:
            if area[at] == _OPTION_NOP:
                at += 1
                continue
            # An option's length includes its kind and length octets; with a length of 0 the loop would never end.
            if at + 1 >= len(area) or area[at + 1] < 2 or at + area[at + 1] > len(area):
                break
            found[area[at]] = area[at + 2:at + area[at + 1]]
            at += area[at + 1]
        return found

    @property
    def mss(self) -> int | None:
        """The maximum segment size option."""
        value = self.options.get(_OPTION_MSS, b"")
        return int.from_bytes(value, "big") if len(value) == 2 else None

    @property
    def window_scale(self) -> int | None:
        """The window scale option (RFC 7323), at most 14."""
        value = self.options.get(_OPTION_WINDOW_SCALE, b"")
        return min(value[0], 14) if len(value) == 1 else None  # RFC 7323 section 2.3: more counts as 14


def reset_for(octets: bytes) -> bytes:
    """The RST that answers a TCP packet of no session, as its destination would send it (RFC 9293 section 3.10.7.1).

    Raises MalformedPacket when `octets` are no TCP packet.
    """
    ip = ip_view(octets)
    tcp = TcpView(ip.payload)
    if tcp.flags & ACK:
        sequence, acknowledgment, flags = tcp.acknowledgment, 0, RST
    else:
        # SYN and FIN take a sequence number each.
        length = len(tcp.payload) + bool(tcp.flags & SYN) + bool(tcp.flags & FIN)
        sequence, acknowledgment, flags = 0, (tcp.sequence + length) % (1 << 32), RST | ACK
    segment = _HEADER.pack(tcp.destination_port, tcp.source_port, sequence, acknowledgment, 5 << 4, flags, 0, 0, 0)
    return _packet(ip.destination, ip.source, segment)


def keep_alive_for(octets: bytes) -> bytes:
    """The keep-alive (RFC 9293 section 3.8.4) that the sender of a TCP packet could send in its place.

    It has the packet's header and options (a receiver that uses timestamps needs them, RFC 7323 section 3.2) and no
    data. Its sequence number is the packet's minus 1, which is below the receiver's next expected number, so the
    receiver acknowledges it. Raises MalformedPacket when `octets` are no TCP packet.
    """
    ip = ip_view(octets)
    tcp = TcpView(ip.payload)
    sequence = (tcp.sequence - 1) % (1 << 32)  # sequence numbers wrap at 2^32
    segment = _HEADER.pack(tcp.source_port, tcp.destination_port, sequence, tcp.acknowledgment, tcp.octets[12], ACK,
                           tcp.window, 0, 0)
    return _packet(ip.source, ip.destination, segment + tcp.octets[20:tcp.header_length])


def _packet(source: bytes, destination: bytes, segment: bytes) -> bytes:
    pseudo = source + destination + PROTOCOL_TCP.to_bytes(4, "big") + len(segment).to_bytes(4, "big")
    segment = segment[:16] + internet_checksum(pseudo + segment).to_bytes(2, "big") + segment[18:]
    return ip_packet(PROTOCOL_TCP, source, destination, segment)


def flags_text(flags: int) -> str:
    """The flags as letters: `S.` for SYN+ACK."""
    return "".join(letter for bit, letter in _LETTERS.items() if flags & bit) or "none"
