"""TCP segmentation offload: cut the GSO frames that the kernel hands over, merge packets into GSO frames for it.

A frame is a virtio_net_hdr (virtio 1.2, 5.1.6) and an IP packet, as a TUN device with IFF_VNET_HDR carries them. The
packet may hold the data of many segments (GSO), and its checksum may still have to be completed.

`cut` gives the packets that a sender without offload would have sent: octet for octet the packets of the kernel's own
segmentation (net/ipv4/tcp_offload.c, af_inet.c). `coalesce` is its inverse. It merges only packets that `cut` would
restore: segments that follow each other in the burst, so no packet overtakes another.

A `Frame` is two or more packets of a flow that the data path handles as a single item: it is cut only where each
packet is needed, and its cells are those of its packets. `frame_of` makes it of what the kernel gave, `gulp` of cells.

This module is plain Python. Where `_offload.pyx` is compiled, it does the work, and passes on to this module the frames
that are faulty, for the error message, or have IPv6 extension headers.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from atmdepot.wire.ip import PROTOCOL_TCP, Ipv4View, MalformedPacket, internet_checksum, ip_view
from atmdepot.wire.llc import ROUTED_LLC_SIZE, Encapsulation, encapsulate
from atmdepot.wire.octets import train
from atmdepot.wire.tcp import ACK, CWR, ECE, FIN, PSH, TcpView

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from atmdepot.wire.ip import Ipv6View

NEEDS_CSUM, DATA_VALID = 1, 2
GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_ECN = 0, 1, 4, 0x80

MAX_MERGED = 65535
"""Octets of the greatest IP packet that merging makes."""
MAX_SEGMENTS = 512
"""Segments of a merged packet at most: a system call takes at most 1024 parts."""
MIN_GSO_SIZE = 8
"""Least octets of data in a TCP segment of Linux (TCP_MIN_GSO_SIZE), except in the last segment of a frame."""

# In the machine's byte order, the default of a device; this project requests no other order.
_VIRTIO_NET_HDR = Struct("=BBHHHH")
_TCP_FLAGS, _TCP_CHECKSUM = 13, 16
_ENDS = FIN | PSH
_HOP_BY_HOP, _ROUTING, _DESTINATION_OPTIONS = 0, 43, 60

Write = tuple[bytes, int]
"""A single write to the device: its octets, virtio_net_hdr included, and the number of packets in it."""


class VirtioNetHeader(NamedTuple):
    """The header in front of every packet: it says which work on the packet is still to be done."""

    flags: int = 0
    gso_type: int = GSO_NONE
    hdr_len: int = 0
    gso_size: int = 0
    csum_start: int = 0
    csum_offset: int = 0

    def pack(self) -> bytes:
        """The 10 octets of the header."""
        return _VIRTIO_NET_HDR.pack(*self)


HEADER_LENGTH = _VIRTIO_NET_HDR.size


# From the kernel.

def cut_plainly(frame: bytes | bytearray | memoryview) -> list[bytes]:
    """The complete IP packets of a frame; raise MalformedPacket when its header and its packet contradict each other.

    There are at most 8192 packets, since a frame has at most 64 KB.
    """
    if len(frame) <= HEADER_LENGTH:
        raise MalformedPacket(f"no packet in a frame of {len(frame)} octets")
    header = VirtioNetHeader(*_VIRTIO_NET_HDR.unpack_from(frame))
    packet = bytes(frame[HEADER_LENGTH:])
    if header.flags & ~(NEEDS_CSUM | DATA_VALID):
        raise MalformedPacket(f"the flags {header.flags:#04x} of a virtio_net_hdr")
    if header.gso_type == GSO_NONE:
        return [_completed(packet, header) if header.flags & NEEDS_CSUM else packet]
    tcp_at, data_at = _check_gso(packet, header)
    return [_segment(packet, at, min(at + header.gso_size, len(packet)), number, tcp_at, data_at)
            for number, at in enumerate(range(data_at, len(packet), header.gso_size))]


def _completed(packet: bytes, header: VirtioNetHeader) -> bytes:
    """The packet with its checksum completed; the field holds the pseudo header's sum (skb_checksum_help: never 0)."""
    at = header.csum_start + header.csum_offset
    if at + 2 > len(packet):
        raise MalformedPacket(f"a checksum at {at} in {len(packet)} octets")
    # FFFF is the other form of 0, which UDP reserves for "no checksum" (RFC 768).
    checksum = internet_checksum(packet[header.csum_start:]) or 0xFFFF
    return packet[:at] + checksum.to_bytes(2, "big") + packet[at + 2:]


def _check_gso(packet: bytes, header: VirtioNetHeader) -> tuple[int, int]:
    """The offsets of TCP header and data in a GSO frame; raise MalformedPacket when header and packet disagree."""
    ip = ip_view(packet)
    if header.gso_type & ~GSO_ECN != (GSO_TCPV4 if isinstance(ip, Ipv4View) else GSO_TCPV6):
        raise MalformedPacket(f"GSO type {header.gso_type:#04x} of an IPv{packet[0] >> 4} packet")
    if ip.total_length != len(packet) or header.hdr_len > len(packet):
        raise MalformedPacket(f"a packet of {ip.total_length} with {header.hdr_len} octets of headers in {len(packet)}")
    tcp_at = _tcp_at(packet, ip)
    if not header.flags & NEEDS_CSUM or (header.csum_start, header.csum_offset) != (tcp_at, _TCP_CHECKSUM):
        raise MalformedPacket(f"a TCP header at {tcp_at}, but its checksum is left at {header.csum_start} + "
                              f"{header.csum_offset}")
    data_at = tcp_at + TcpView(packet[tcp_at:]).header_length
    if data_at == len(packet) or header.gso_size < MIN_GSO_SIZE:
        raise MalformedPacket(f"{len(packet) - data_at} octets of data to be cut by {header.gso_size}")
    return tcp_at, data_at


def _tcp_at(packet: bytes, ip: Ipv4View | Ipv6View) -> int:
    """The offset of the TCP header; only IPv6 extension headers that every segment may carry can precede it."""
    if isinstance(ip, Ipv4View):
        protocol, at, fragment = ip.protocol, ip.header_length, bool(ip.more_fragments or ip.fragment_offset)
    else:
        protocol, at, fragment = packet[6], 40, False
        while protocol in (_HOP_BY_HOP, _ROUTING, _DESTINATION_OPTIONS):
            protocol, at = packet[at], at + (packet[at + 1] + 1) * 8
    if protocol != PROTOCOL_TCP or fragment:
        raise MalformedPacket("GSO of what is no TCP segment")
    return at


def _segment(packet: bytes, begin: int, end: int, number: int, tcp_at: int, data_at: int) -> bytes:
    """The `number`th segment of a frame, which carries its octets from `begin` to `end`."""
    head = bytearray(packet[:data_at])
    length = data_at + end - begin
    _set_length(head, length)
    if head[0] >> 4 == 4:
        # The kernel counts up the identifications of a frame's segments.
        _put16(head, 4, _get16(head, 4) + number)
        _put_ipv4_checksum(head, tcp_at)
    sequence = _get32(head, tcp_at + 4) + begin - data_at
    head[tcp_at + 4:tcp_at + 8] = (sequence & 0xFFFFFFFF).to_bytes(4, "big")
    # CWR belongs to the first segment only, FIN and PSH to the last.
    if number:
        head[tcp_at + _TCP_FLAGS] &= ~CWR
    if end < len(packet):
        head[tcp_at + _TCP_FLAGS] &= ~_ENDS
    # The field holds the pseudo header's sum with the frame's length; replace that by the segment's length.
    partial = _get16(head, tcp_at + _TCP_CHECKSUM) + 0xFFFF - (len(packet) - tcp_at) + length - tcp_at
    _put16(head, tcp_at + _TCP_CHECKSUM, partial % 0xFFFF)
    octets = bytes(head) + packet[begin:end]
    at = tcp_at + _TCP_CHECKSUM
    return octets[:at] + internet_checksum(octets[tcp_at:]).to_bytes(2, "big") + octets[at + 2:]


# To the kernel.

def coalesce_plainly(packets: Sequence[bytes]) -> list[Write]:
    """The frames in which packets are handed to the kernel, in order.

    Adjacent packets become a single frame when the kernel would cut that frame into the same packets: TCP segments of a
    flow with right checksums and no gap, and with equal headers except for IPv4 identifications that count up. All have
    the same size except the last, which may be shorter; only the last may have PSH or FIN. Other packets pass
    unchanged.
    """
    frames, at = [], 0
    while at < len(packets):
        count = _run(packets, at)
        frames.append((_merged(packets[at:at + count]), count))
        at += count
    return frames


class _First:
    """The first segment of a frame, with which the later segments are compared."""

    __slots__ = ("constant", "data_at", "identification", "mask", "sequence", "size", "tcp_at")

    def __init__(self, packet: bytes, tcp_at: int, data_at: int) -> None:
        self.tcp_at, self.data_at, self.size = tcp_at, data_at, len(packet) - data_at
        self.mask = _constant_bits(tcp_at, data_at)
        self.constant = int.from_bytes(packet[:data_at], "big") & self.mask
        self.sequence = _get32(packet, tcp_at + 4)
        self.identification = _get16(packet, 4)

    def is_like(self, packet: bytes, number: int) -> bool:
        """True when a packet can be the `number`th segment after this."""
        return (self.data_at < len(packet) <= self.data_at + self.size
                and int.from_bytes(packet[:self.data_at], "big") & self.mask == self.constant
                and _get32(packet, self.tcp_at + 4) == (self.sequence + number * self.size) & 0xFFFFFFFF
                and (self.tcp_at == 40 or _get16(packet, 4) == (self.identification + number) & 0xFFFF)
                and _has_right_sums(packet, self.tcp_at))  # last, since it costs most


def _run(packets: Sequence[bytes], at: int) -> int:
    """The number of packets, from packet `at` on, that make a single frame."""
    first = _first(packets[at])
    if first is None or at + 1 == len(packets):
        return 1
    count, octets = 1, len(packets[at])
    for packet in packets[at + 1:at + MAX_SEGMENTS]:
        octets += len(packet) - first.data_at
        if octets > MAX_MERGED or not first.is_like(packet, count):
            break
        # The sums of the first are checked only when a second packet fits, since most packets stay alone.
        if count == 1 and not _has_right_sums(packets[at], first.tcp_at):
            break
        count += 1
        # A shorter segment, PSH and FIN end a frame.
        if len(packet) < first.data_at + first.size or packet[first.tcp_at + _TCP_FLAGS] & _ENDS:
            break
    return count


def _first(packet: bytes) -> _First | None:
    """A packet as the first of a frame; None when it cannot begin a frame."""
    if len(packet) < 40 + MIN_GSO_SIZE:
        return None
    if packet[0] == 0x45 and packet[9] == PROTOCOL_TCP and packet[6:8] in (b"\0\0", b"\x40\0"):
        tcp_at = 20
    elif packet[0] >> 4 == 6 and packet[6] == PROTOCOL_TCP and len(packet) >= 60 + MIN_GSO_SIZE:
        tcp_at = 40
    else:
        return None
    data_at = tcp_at + (packet[tcp_at + 12] >> 4) * 4
    flags = packet[tcp_at + _TCP_FLAGS]
    # FIN and PSH end a frame, so they cannot begin a longer frame; SYN, RST, URG and CWR are never merged.
    if not tcp_at + 20 <= data_at <= len(packet) - MIN_GSO_SIZE or flags & ~ECE != ACK:
        return None
    return _First(packet, tcp_at, data_at)


@lru_cache(maxsize=32)
def _constant_bits(tcp_at: int, data_at: int) -> int:
    """The mask of the header bits that all segments of a frame have in common."""
    mask = bytearray(b"\xFF" * data_at)
    for begin, end in ((2, 6), (10, 12)) if tcp_at == 20 else ((4, 6),):
        mask[begin:end] = bytes(end - begin)
    mask[tcp_at + 4:tcp_at + 8] = bytes(4)
    mask[tcp_at + _TCP_FLAGS] = ~_ENDS & 0xFF
    mask[tcp_at + _TCP_CHECKSUM:tcp_at + _TCP_CHECKSUM + 2] = bytes(2)
    return int.from_bytes(mask, "big")


def _has_right_sums(packet: bytes, tcp_at: int) -> bool:
    """True when length and checksums are as `cut` makes them; `cut` never makes FFFF, the other form of 0."""
    if tcp_at == 20:
        if _get16(packet, 2) != len(packet) or _get16(packet, 10) == 0xFFFF or internet_checksum(packet[:20]):
            return False
    elif _get16(packet, 4) != len(packet) - 40:
        return False
    return (_get16(packet, tcp_at + _TCP_CHECKSUM) != 0xFFFF
            and not internet_checksum(_pseudo_header(packet, tcp_at, len(packet)) + packet[tcp_at:]))


def _pseudo_header(head: bytes | bytearray, tcp_at: int, length: int) -> bytes:
    """The pseudo header, which the TCP checksum covers beside the segment (RFC 9293 section 3.1)."""
    addresses = head[12:20] if tcp_at == 20 else head[8:40]
    return bytes(addresses) + (PROTOCOL_TCP << 16 | length - tcp_at).to_bytes(4, "big")


def _merged(packets: Sequence[bytes]) -> bytes:
    """The frame of a run of packets."""
    if len(packets) == 1:
        return bytes(HEADER_LENGTH) + packets[0]  # a virtio_net_hdr of zeros: no work is left
    first, last = packets[0], packets[-1]
    tcp_at = 20 if first[0] >> 4 == 4 else 40
    data_at = tcp_at + (first[tcp_at + 12] >> 4) * 4
    head = bytearray(first[:data_at])
    length = sum(map(len, packets)) - (len(packets) - 1) * data_at
    _set_length(head, length)
    if tcp_at == 20:
        _put_ipv4_checksum(head, tcp_at)
    head[tcp_at + _TCP_FLAGS] = last[tcp_at + _TCP_FLAGS]  # with the last segment's PSH and FIN
    # With NEEDS_CSUM the field holds the pseudo header's sum, and the kernel completes the checksum.
    _put16(head, tcp_at + _TCP_CHECKSUM, internet_checksum(_pseudo_header(head, tcp_at, length)) ^ 0xFFFF)
    header = VirtioNetHeader(NEEDS_CSUM, GSO_TCPV4 if tcp_at == 20 else GSO_TCPV6, data_at, len(first) - data_at,
                             tcp_at, _TCP_CHECKSUM)
    return b"".join([header.pack(), head, *(packet[data_at:] for packet in packets)])


# Frames that stay whole.

class PlainFrame:
    """Two or more packets of a flow that travel as one, as `cut` would make them.

    `count` is their number, `size` the octets of data in each but the last, `length` the octets of all of them as an IP
    packet, `cells` the number of cells that `gulp` has read.
    """

    __slots__ = ("_octets", "_packets", "cells", "count", "length", "size")

    def __init__(self, octets: bytes, packets: list[bytes]) -> None:
        """Take the octets of a write to the device, and the packets that they are cut into."""
        self._octets, self._packets = octets, packets
        self.count, self.length, self.cells = len(packets), len(octets) - HEADER_LENGTH, 0
        self.size = VirtioNetHeader(*_VIRTIO_NET_HDR.unpack_from(octets)).gso_size

    def packets(self) -> list[bytes]:
        """The packets."""
        return list(self._packets)

    def whole(self) -> bytes:
        """All of them as one IP packet, whose TCP checksum is not complete."""
        return self._octets[HEADER_LENGTH:]

    def octets(self) -> bytes:
        """A write to the device: virtio_net_hdr and the IP packet."""
        return self._octets

    def greatest(self) -> int:
        """Octets of the greatest packet."""
        return len(self._packets[0])

    def total(self) -> int:
        """Octets of all packets together."""
        return sum(map(len, self._packets))

    def trains(self, headers: bytes, clp: int, llc: bool, most: int) -> list[bytes]:
        """The cells of all packets in order, in pieces of whole PDUs and at most `most` octets, if a PDU fits at all.

        Args:
            headers: the result of `vc_headers`.
            clp: the CLP bit of all cells.
            llc: put the LLC/SNAP header of RFC 2684 in front of each packet.
            most: the greatest number of octets in a piece.

        """
        head = encapsulate(self._packets[0], Encapsulation.LLC)[:ROUTED_LLC_SIZE] if llc else b""
        trains = [train(head + packet, headers, clp) for packet in self._packets]
        pdus = max(1, most // len(trains[0]))
        return [b"".join(trains[at:at + pdus]) for at in range(0, len(trains), pdus)]


def frame_of_plainly(octets: bytes | bytearray | memoryview) -> PlainFrame | None:
    """The frame in octets that a TUN device gave.

    None where `cut` has to do it: for a single packet, IPv6 extension headers and octets that contradict each other.
    """
    try:
        packets = cut_plainly(octets)
    except MalformedPacket:
        return None
    frame = bytes(octets)
    if len(packets) < 2 or (frame[HEADER_LENGTH] >> 4 == 6 and frame[HEADER_LENGTH + 6] != PROTOCOL_TCP):
        return None
    return PlainFrame(frame, packets)


def gulp_plainly(  # its arguments are the compiled twin's
    cells: bytes, at: int, end: int, max_sdu: int, llc: bool,  # noqa: ARG001
) -> PlainFrame | None:
    """The frame of a PDU, which fills the cells from `at` to `end`, and the PDUs behind it; None when there is none.

    The PDUs carry packets that `coalesce` would join, and have the headers of the first: the same VC, CLP and EFCI.
    None leaves all cells to the caller. In plain Python it is always None, since reading them would take as long.

    Args:
        cells: a whole number of cells.
        at: the number of the PDU's first cell.
        end: the number of the cell behind its last.
        max_sdu: octets of the greatest SDU that is accepted.
        llc: an LLC/SNAP header (RFC 2684) is in front of each packet.

    """
    return None


def packets_of(burst: Iterable[bytes | Frame]) -> list[bytes]:
    """The packets of a burst, its frames cut."""
    packets: list[bytes] = []
    for item in burst:
        packets += [item] if isinstance(item, bytes) else item.packets()
    return packets


# Fields.

def _get16(octets: bytes | bytearray, at: int) -> int:
    return octets[at] << 8 | octets[at + 1]


def _get32(octets: bytes | bytearray, at: int) -> int:
    return int.from_bytes(octets[at:at + 4], "big")


def _put16(octets: bytearray, at: int, value: int) -> None:
    octets[at:at + 2] = (value & 0xFFFF).to_bytes(2, "big")


def _set_length(head: bytearray, length: int) -> None:
    """Set the length field of a packet's headers."""
    if head[0] >> 4 == 4:
        _put16(head, 2, length)
    else:
        _put16(head, 4, length - 40)


def _put_ipv4_checksum(head: bytearray, header_length: int) -> None:
    _put16(head, 10, 0)
    _put16(head, 10, internet_checksum(bytes(head[:header_length])))


if TYPE_CHECKING:
    Frame = PlainFrame
    coalesce, cut, frame_of, gulp = coalesce_plainly, cut_plainly, frame_of_plainly, gulp_plainly
else:
    try:
        from atmdepot.wire._offload import Frame, coalesce, cut, frame_of, gulp
    except ImportError:
        Frame = PlainFrame
        coalesce, cut, frame_of, gulp = coalesce_plainly, cut_plainly, frame_of_plainly, gulp_plainly
