"""Frames and the segments that a sender without offload would have sent, made side by side from the same parts."""

from __future__ import annotations

from struct import pack
from typing import NamedTuple

from hypothesis import strategies as st

from atmdepot.wire.offload import GSO_TCPV4, GSO_TCPV6, NEEDS_CSUM, VirtioNetHeader
from tests.ip_packets import ACK, CWR, ECE, FIN, PSH, TCP, checksum, packed

TIMESTAMPS = bytes((1, 1, 8, 10)) + bytes(range(8))


class Stream(NamedTuple):
    """A sender's data, and the way to send it."""

    data: bytes = bytes(range(250)) * 20
    size: int = 1448
    source: bytes = packed("10.1.0.2")
    destination: bytes = packed("10.2.0.2")
    ports: tuple[int, int] = (40_000, 80)
    sequence: int = 1_000_000
    acknowledgment: int = 7
    flags: int = ACK
    last_flags: int = 0
    window: int = 501
    urgent: int = 0
    tcp_options: bytes = TIMESTAMPS
    traffic_class: int = 0
    ttl: int = 64
    identification: int = 0xFFFE
    fragment: int = 0x4000
    ip_options: bytes = b""
    flow_label: int = 0x12345
    extensions: tuple[int, bytes] = (TCP, b"")

    @property
    def version(self) -> int:
        """4 or 6."""
        return 4 if len(self.source) == 4 else 6

    @property
    def tcp_at(self) -> int:
        """The offset of the TCP header."""
        return 20 + len(self.ip_options) if self.version == 4 else 40 + len(self.extensions[1])

    @property
    def data_at(self) -> int:
        """The offset of the data."""
        return self.tcp_at + 20 + len(self.tcp_options)

    def ip(self, segment: bytes, number: int) -> bytes:
        """The IP packet of the `number`th segment."""
        length = self.tcp_at + len(segment)
        if self.version == 6:
            first, octets = self.extensions
            head = pack(">IHBB", 6 << 28 | self.traffic_class << 20 | self.flow_label, length - 40, first, self.ttl)
            return head + self.source + self.destination + octets + segment
        head = pack(">BBHHHBBH", 0x40 + self.tcp_at // 4, self.traffic_class, length,
                    (self.identification + number) & 0xFFFF, self.fragment, self.ttl, TCP, 0)
        head += self.source + self.destination + self.ip_options
        return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + segment

    def tcp(self, data: bytes, number: int, flags: int, sum_: int = 0) -> bytes:
        """The TCP header of the `number`th segment, with a checksum or its beginning, and data."""
        sequence = (self.sequence + number * self.size) & 0xFFFFFFFF
        return pack(">HHIIBBHHH", *self.ports, sequence, self.acknowledgment, (5 + len(self.tcp_options) // 4) << 4,
                    flags, self.window, sum_, self.urgent) + self.tcp_options + data

    def pseudo_header(self, length: int) -> bytes:
        """The octets beside it that the checksum of a TCP segment of a length covers."""
        return self.source + self.destination + pack(">IxxxB", length, TCP)

    def segment(self, number: int, data: bytes, is_last: bool) -> bytes:
        """The `number`th packet."""
        flags = self.flags | self.last_flags if is_last else self.flags
        if number:
            flags &= ~CWR
        segment = self.tcp(data, number, flags)
        sum_ = checksum(self.pseudo_header(len(segment)) + segment)
        return self.ip(self.tcp(data, number, flags, sum_), number)

    @property
    def packets(self) -> list[bytes]:
        """The packets of a sender without offload."""
        parts = [self.data[at:at + self.size] for at in range(0, len(self.data), self.size)]
        return [self.segment(number, part, number == len(parts) - 1) for number, part in enumerate(parts)]

    @property
    def header(self) -> VirtioNetHeader:
        """The header in front of the frame."""
        return VirtioNetHeader(NEEDS_CSUM, GSO_TCPV4 if self.version == 4 else GSO_TCPV6, self.data_at, self.size,
                               self.tcp_at, 16)

    @property
    def whole(self) -> bytes:
        """All of it as one IP packet, with the beginning of a checksum."""
        length = 20 + len(self.tcp_options) + len(self.data)
        sum_ = checksum(self.pseudo_header(length)) ^ 0xFFFF
        return self.ip(self.tcp(self.data, 0, self.flags | self.last_flags, sum_), 0)

    @property
    def frame(self) -> bytes:
        """The frames that a sender with offload gives the device."""
        return self.header.pack() + self.whole

    def over_ipv6(self) -> Stream:
        """The same over IPv6."""
        return self._replace(source=packed("fd00:1::2"), destination=packed("fd00:2::2"))


@st.composite
def streams(draw: st.DrawFn, plain: bool = False) -> Stream:
    """Streams of one to some segments; `plain` ones make packets that can be merged."""
    size = draw(st.integers(8, 1460))
    ipv6 = draw(st.booleans())
    ends = st.sampled_from([0, PSH, FIN, PSH | FIN])
    options = st.integers(0, 10).flatmap(lambda words: st.binary(min_size=4 * words, max_size=4 * words))
    address = st.binary(min_size=16, max_size=16) if ipv6 else st.binary(min_size=4, max_size=4)
    word = st.integers(0, 0xFFFF)
    stream = Stream(
        data=draw(st.randoms(use_true_random=False)).randbytes(draw(st.integers(1, 6 * size))),
        size=size, source=draw(address), destination=draw(address), ports=(draw(word), draw(word)),
        sequence=draw(st.one_of(st.integers(0, 0xFFFFFFFF), st.integers(0xFFFFE000, 0xFFFFFFFF))),
        acknowledgment=draw(st.integers(0, 0xFFFFFFFF)),
        flags=draw(st.sampled_from([ACK, ACK | ECE] if plain else [ACK, ACK | ECE, ACK | CWR, ACK | ECE | CWR, 0x36])),
        last_flags=draw(ends), window=draw(word), urgent=draw(word), tcp_options=draw(options),
        traffic_class=draw(st.integers(0, 255)), ttl=draw(st.integers(0, 255)), identification=draw(word),
        fragment=draw(st.sampled_from([0, 0x4000] if plain else [0, 0x4000, 0x8000])),
        flow_label=draw(st.integers(0, 0xFFFFF)))
    if plain or draw(st.booleans()):
        return stream
    if not ipv6:
        return stream._replace(ip_options=draw(options))
    return stream._replace(extensions=draw(extensions()))


@st.composite
def extensions(draw: st.DrawFn) -> tuple[int, bytes]:
    """IPv6 extension headers that every segment of a frame may have: the first's kind, and their octets."""
    protocol, octets = TCP, b""
    for kind in draw(st.lists(st.sampled_from([0, 43, 60]), min_size=1, max_size=3)):
        units = draw(st.integers(0, 2))
        octets = bytes((protocol, units)) + draw(st.binary(min_size=6 + 8 * units, max_size=6 + 8 * units)) + octets
        protocol = kind
    return protocol, octets
