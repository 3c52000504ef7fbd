"""Packets, cell trains and capture files made without the code of `atmdepot.trace`."""

from __future__ import annotations

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
