"""A cell, octet by octet, as the page shows it: header fields, parts of the PDU, and the packet's tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from atmdepot.trace.show.cells import cell_text, kind_text
from atmdepot.trace.show.clock import Stamp
from atmdepot.trace.show.text import LinePrinter
from atmdepot.wire.aal5 import TRAILER_SIZE
from atmdepot.wire.cell import CELL_SIZE, HEADER_SIZE, PAYLOAD_SIZE, Interface
from atmdepot.wire.ip import PROTOCOL_TCP, PROTOCOL_UDP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.trace.items import Cell, Pdu

_UDP_HEADER = 8


class Region(Struct, array_like=True):
    """Octets of a cell that belong together: `kind` gives the colour, `text` is their name."""

    kind: str
    begin: int
    end: int
    text: str


class ShownCell(Struct):
    """A cell: `octets` in hexadecimal, its header's fields, and the regions of its 53 octets."""

    id: str
    """Its time in ns, as text: numbers of JavaScript have 53 bits."""
    time: int
    node: str
    link: str
    direction: str
    vc: str
    kind: str
    line: str
    octets: str
    fields: dict[str, str]
    regions: list[Region]
    pdu: str
    """The line of its PDU; empty for a cell in no PDU, and until the last cell has come."""
    is_good: bool
    position: int
    cells: int


def shown(cell: Cell) -> ShownCell:
    """A cell as it is shown."""
    header, pdu = cell.header, cell.pdu
    fields = {"GFC": str(header.gfc)} if cell.interface is Interface.UNI else {}
    fields |= {"VPI": str(header.vpi), "VCI": str(header.vci), "PTI": f"{header.pti:03b} ({kind_text(header)})",
               "CLP": str(header.clp), "HEC": f"{cell.octets[4]:02x} ({cell.hec})"}
    return ShownCell(
        str(cell.time), cell.time, cell.node, cell.link, cell.direction, f"{header.vpi}/{header.vci}",
        kind_text(header), cell_text(cell), cell.octets.hex(), fields, list(_regions(cell)),
        "" if pdu is None else LinePrinter(Stamp.NONE).line(pdu), pdu is None or pdu.problem is None,
        cell.position, pdu.count if pdu is not None else cell.expected)


def tree_of(cell: Cell) -> str:
    """The tree of a cell's PDU, or of the cell itself where it is in none."""
    from atmdepot.trace.show.tree import tree_text  # here: it imports Construct, which takes long

    return tree_text(cell if cell.pdu is None else cell.pdu)


def _regions(cell: Cell) -> Iterator[Region]:
    yield Region("header", 0, HEADER_SIZE - 1, "cell header")
    yield Region("hec", HEADER_SIZE - 1, HEADER_SIZE, "HEC")
    pdu = cell.pdu
    if pdu is None or not cell.position:
        yield Region("oam" if cell.is_oam else "data", HEADER_SIZE, CELL_SIZE, "OAM" if cell.is_oam else "payload")
        return
    first = (cell.position - 1) * PAYLOAD_SIZE
    at = first
    for kind, upto, text in _parts(pdu):
        end = min(upto, first + PAYLOAD_SIZE)
        if end > at:
            yield Region(kind, at - first + HEADER_SIZE, end - first + HEADER_SIZE, text)
            at = end
    if at < first + PAYLOAD_SIZE:
        yield Region("data", at - first + HEADER_SIZE, CELL_SIZE, "payload")


def _parts(pdu: Pdu) -> Iterator[tuple[str, int, str]]:
    """The parts of a CPCS-PDU, each with its end."""
    whole = pdu.count * PAYLOAD_SIZE
    if not pdu.has_trailer or pdu.pad < 0:
        yield "data", whole, "payload"
        return
    packet = pdu.packet
    if packet is not None:
        at = len(pdu.sdu) - len(pdu.carried.octets) if not pdu.carried.frame else len(pdu.sdu) - packet.total_length
        if at > 0:
            yield "llc", at, "encapsulation (RFC 2684)"
        head = _ip_header(pdu.carried.octets)
        yield "ip", at + head, f"IPv{packet.version} header"
        above = _header_above(packet.protocol, pdu.carried.octets[head:])
        if above and not packet.later:
            yield "transport", at + head + above, "TCP header" if packet.protocol == PROTOCOL_TCP else "UDP header"
    yield "data", pdu.length, "data"
    yield "pad", whole - TRAILER_SIZE, "padding"
    for name, octets in (("CPCS-UU", 8), ("CPI", 7), ("Length", 6), ("CRC-32", 4)):
        yield "trailer", whole - octets + {"CPCS-UU": 1, "CPI": 1, "Length": 2, "CRC-32": 4}[name], f"AAL5 {name}"


def _ip_header(octets: bytes) -> int:
    return (octets[0] & 15) * 4 if octets[0] >> 4 == 4 else 40


def _header_above(protocol: int, octets: bytes) -> int:
    if protocol == PROTOCOL_TCP and len(octets) > 12:
        return (octets[12] >> 4) * 4
    return _UDP_HEADER if protocol == PROTOCOL_UDP else 0
