"""Cells as lines of text: one for each cell, and after a PDU's last cell one for the PDU and what it carries."""

from __future__ import annotations

import time
from typing import NamedTuple

from atmdepot.wire.aal5 import Aal5Error, CrcMode, crc32, parse_cpcs_pdu
from atmdepot.wire.cell import CELL_SIZE, HEADER_SIZE, CellHeader, Interface, correct, hec
from atmdepot.wire.ip import PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_UDP, MalformedPacket, address_text, ip_view
from atmdepot.wire.llc import Encapsulation, EncapsulationError, decapsulate
from atmdepot.wire.packet import Packet, analyse
from atmdepot.wire.tcp import TcpView, flags_text

_PROTOCOLS = {PROTOCOL_ICMP: "ICMP", PROTOCOL_ICMPV6: "ICMPv6", PROTOCOL_UDP: "UDP"}
_MAX_WAITING = 1 << 16


class CellLine(NamedTuple):
    """A line: its text, whether it tells of a whole PDU, and the link, direction, VPI and VCI that it is of."""

    text: str
    is_pdu: bool
    vc: tuple[str, str, int, int]


class CellPrinter:
    """Follows cells as they pass and tells of each; PDUs are kept apart by link, direction, VPI and VCI."""

    def __init__(
        self, interface: Interface = Interface.UNI, encapsulation: Encapsulation = Encapsulation.VC_MUX,
        crc: CrcMode = CrcMode.STRICT,
    ) -> None:
        self._interface = interface
        self._encapsulation = encapsulation
        self._crc = crc
        self._payloads: dict[tuple[str, str, int, int], list[bytes]] = {}

    def lines(self, time_ns: int, link: str, direction: str, cells: bytes) -> list[CellLine]:
        """The lines for a train of cells (a multiple of 53 octets) that passed at `time_ns` since 1970."""
        told = []
        for at in range(0, len(cells), CELL_SIZE):
            cell = cells[at:at + CELL_SIZE]
            told += self._cell(f"{_clock(time_ns)}  {link} {direction:<3}", link, direction, cell)
        return told

    def _cell(self, place: str, link: str, direction: str, cell: bytes) -> list[CellLine]:
        header = cell[:HEADER_SIZE]
        good = header if hec(header[:4]) == header[4] else correct(header)
        fields = CellHeader.unpack(good or header, self._interface)
        verdict = "" if good == header else "  HEC bad, corrected" if good else "  HEC bad"
        told = f"{place}  {fields.vpi}/{fields.vci:<5}  CLP {fields.clp}  {_pti(fields)}"
        vc = link, direction, fields.vpi, fields.vci
        if good is None or not fields.is_user_data:
            return [CellLine(told + verdict, False, vc)]
        payloads = self._payloads.setdefault(vc, [])
        payloads.append(cell[HEADER_SIZE:])
        lines = [CellLine(f"{told}  cell {len(payloads)}{verdict}", False, vc)]
        if fields.is_last or len(payloads) >= _MAX_WAITING:
            del self._payloads[vc]
            lines.append(CellLine(f"{place}  {fields.vpi}/{fields.vci:<5}  {self._pdu(payloads)}", True, vc))
        return lines

    def _pdu(self, payloads: list[bytes]) -> str:
        pdu = b"".join(payloads)
        count = f"{len(payloads)} cell{'s' if len(payloads) > 1 else ''}"
        try:
            sdu = parse_cpcs_pdu(pdu, crc=self._crc).sdu
        except Aal5Error as error:
            return f"AAL5 PDU of {count}: {error.reason}: {error}"
        padding = len(pdu) - len(sdu) - 8
        told = (f"AAL5 PDU of {count}, length {len(sdu)}, padding {padding}, CRC {pdu[-4:].hex()} "
                f"{'correct' if crc32(pdu[:-4]) == int.from_bytes(pdu[-4:], 'big') else f'accepted ({self._crc})'}")
        try:
            return f"{told}: {packet_text(decapsulate(sdu, self._encapsulation).octets)}"
        except EncapsulationError as error:
            return f"{told}: {error}"


def packet_text(octets: bytes) -> str:
    """One line for an IP packet: who to whom, and what TCP or its data say."""
    try:
        packet = analyse(octets)
    except MalformedPacket as error:
        return str(error)
    protocol = _PROTOCOLS.get(packet.protocol, f"protocol {packet.protocol}")
    ends = f"{_end(packet.source, packet.source_port)} > {_end(packet.destination, packet.destination_port)}"
    if packet.tcp is None:
        return f"IPv{packet.version} {ends} {protocol}, {packet.total_length} octets"
    return f"IPv{packet.version} {ends} TCP {flags_text(packet.tcp.flags)} {_tcp_text(packet, octets)}"


def _tcp_text(packet: Packet, octets: bytes) -> str:
    tcp = packet.tcp
    assert tcp is not None
    told = f"seq {tcp.sequence} ack {tcp.acknowledgment} length {tcp.length}"
    data = TcpView(ip_view(octets).payload).payload
    line = data.split(b"\r\n", 1)[0]
    if line and len(line) < 100 and line.isascii() and line.decode().isprintable():
        told += f"  \"{line.decode()}\""
    return told


def _end(address: bytes, port: int) -> str:
    text = address_text(address)
    return text if not port else f"[{text}]:{port}" if ":" in text else f"{text}:{port}"


def _pti(fields: CellHeader) -> str:
    if fields.pti & 0b100:
        return {4: "OAM F5 segment", 5: "OAM F5 end-to-end", 6: "RM", 7: "reserved"}[fields.pti]
    return ("last" if fields.is_last else "more") + (" EFCI" if fields.congested else "")


def _clock(time_ns: int) -> str:
    seconds, ns = divmod(time_ns, 1_000_000_000)
    return time.strftime("%H:%M:%S", time.localtime(seconds)) + f".{ns // 1000:06d}"
