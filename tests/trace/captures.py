"""Packets, cell trains and capture files made without the code of `atmdepot.trace`."""

from __future__ import annotations

import ipaddress
import struct

from atmdepot.wire.aal5 import cpcs_pdu, to_cells
from atmdepot.wire.cell import CellHeader, Interface
from atmdepot.wire.ip import internet_checksum

REQUEST = b"GET /index.html HTTP/1.1\r\nHost: vip.example\r\nUser-Agent: tests\r\nAccept: */*\r\n\r\n"

V4_ADDRESSES = bytes((192, 0, 2, 1)), bytes((198, 51, 100, 80))
V6_ADDRESSES = bytes.fromhex("20010db8" + "0" * 23 + "1"), bytes.fromhex("20010db800000001" + "0" * 14 + "80")


def http_packet(version: int, data: bytes = REQUEST) -> bytes:
    """An IP packet with one TCP segment to port 80, all checksums right."""
    source, destination = V4_ADDRESSES if version == 4 else V6_ADDRESSES
    segment = struct.pack(">HHIIBBHHH", 40000, 80, 1000, 2000, 0x50, 0x18, 65535, 0, 0) + data
    pseudo = source + destination + struct.pack(">II", len(segment), 6)
    segment = segment[:16] + struct.pack(">H", internet_checksum(pseudo + segment)) + segment[18:]
    if version == 6:
        return struct.pack(">IHBB", 6 << 28, len(segment), 6, 64) + source + destination + segment
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(segment), 1, 0x4000, 64, 6, 0) + source + destination
    return head[:10] + struct.pack(">H", internet_checksum(head)) + head[12:] + segment


def train_of(sdu: bytes, vpi: int = 5, vci: int = 40, *, gfc: int = 0,
             interface: Interface = Interface.UNI) -> bytes:
    """The cells of an SDU."""
    header, last = (CellHeader(vpi, vci, pti, gfc=gfc).pack(interface) for pti in (0, 1))
    return to_cells(cpcs_pdu(sdu), header, last)


def cells_of(train: bytes) -> list[bytes]:
    return [train[at:at + 53] for at in range(0, len(train), 53)]


def flipped(octets: bytes, *bits: int) -> bytes:
    """The octets with some bits wrong; bit 0 is the first on the wire."""
    damaged = bytearray(octets)
    for bit in bits:
        damaged[bit // 8] ^= 0x80 >> bit % 8
    return bytes(damaged)


def pcap_file(records: list[tuple[int, int, bytes]], *, link_type: int = 1, magic: int = 0xA1B23C4D,
              order: str = "<", snap_length: int = 65535) -> bytes:
    """A pcap file of (seconds, fraction, octets)."""
    parts = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snap_length, link_type)]
    for seconds, fraction, octets in records:
        parts.append(struct.pack(order + "IIII", seconds, fraction, len(octets), len(octets) + 1) + octets)
    return b"".join(parts)


# pcapng, block by block.

def block(kind: int, body: bytes, order: str = "<", *, total: int | None = None, trailing: int | None = None) -> bytes:
    """A block; its lengths are the right ones unless they are given."""
    body += bytes(-len(body) % 4)
    total = len(body) + 12 if total is None else total
    trailing = total if trailing is None else trailing
    return struct.pack(order + "II", kind, total) + body + struct.pack(order + "I", trailing)


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(order: str = "<", *, version: int = 1, options: bytes = b"") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, version, 0, -1) + options, order)


def interface(link_type: int, order: str = "<", *, name: str = "", snap: int = 0, resolution: int | None = None,
              offset: int | None = None) -> bytes:
    options = option(2, name.encode(), order) if name else b""
    if resolution is not None:
        options += option(9, bytes((resolution,)), order)
    if offset is not None:
        options += option(14, struct.pack(order + "q", offset), order)
    return block(1, struct.pack(order + "HHI", link_type, 0, snap) + options + option(0, b"", order), order)


def packet(octets: bytes, order: str = "<", *, number: int = 0, ticks: int = 0, captured: int | None = None,
           original: int | None = None, options: bytes = b"") -> bytes:
    """An enhanced packet block."""
    captured = len(octets) if captured is None else captured
    head = struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, captured,
                       len(octets) if original is None else original)
    return block(6, head + octets + bytes(-len(octets) % 4) + options, order)


# Frames.

def erf_cell(cell: bytes, *, flags: int = 4, seconds: int = 3, lost: int = 0) -> bytes:
    """An ERF record of a cell of 53 octets, at `seconds` and a half."""
    body = cell[:4] + cell[5:]
    return struct.pack("<QBB", seconds << 32 | 1 << 31, 3, flags) + struct.pack(">HHH", 68, lost, 52) + body


def erf_pdu(header: bytes, pdu: bytes, *, flags: int = 4, kind: int = 4, extra: bytes = b"") -> bytes:
    """An ERF record of a PDU; `extra` stands between its header and its body."""
    lengths = struct.pack(">HHH", 20 + len(extra) + len(pdu), 0, 4 + len(pdu))
    return struct.pack("<QBB", 3 << 32 | 1 << 31, kind, flags) + lengths + extra + header[:4] + pdu


def udp_packet(payload: bytes, source: tuple[str, int] = ("10.0.0.1", 5501),
               destination: tuple[str, int] = ("10.0.0.2", 5502)) -> bytes:
    """An IP packet, of the version of its addresses, with a UDP datagram (without a checksum)."""
    ends = [ipaddress.ip_address(address).packed for address, _ in (source, destination)]
    datagram = struct.pack(">HHHH", source[1], destination[1], 8 + len(payload), 0) + payload
    if len(ends[0]) == 16:
        return struct.pack(">IHBB", 6 << 28, len(datagram), 17, 64) + b"".join(ends) + datagram
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(datagram), 1, 0, 64, 17, 0) + b"".join(ends)
    return head[:10] + struct.pack(">H", internet_checksum(head)) + head[12:] + datagram


def ethernet(packet: bytes, tags: bytes = b"") -> bytes:
    return bytes(12) + tags + (b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd") + packet
