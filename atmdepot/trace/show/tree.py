"""Trees of a trace's items (`-v`): every field of a cell, a PDU and the packet in it, by its standard's name.

The declared layouts (`wire/layouts.py`, `wire/ip_layouts.py`) give the fields. Protocols beyond the layouts, e.g. HTTP,
ICMP or DNS, are read by Scapy's layers if Scapy is installed (the extra `trace`). Both are slow; no other part of a
trace uses them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from construct import Container, EnumIntegerString, ListContainer
from construct.core import ConstructError

from atmdepot.config.units import count_text
from atmdepot.printable import printable
from atmdepot.trace.capture.pcap import VLAN_TAGS
from atmdepot.trace.items import Cell, HecVerdict, Pdu
from atmdepot.wire import ip_layouts, layouts
from atmdepot.wire.aal5 import TRAILER_SIZE, crc32, is_dynamips_crc
from atmdepot.wire.cell import HEADER_SIZE, PAYLOAD_SIZE, Interface, hec
from atmdepot.wire.ip import PROTOCOL_TCP, PROTOCOL_UDP, address_text, ip_view
from atmdepot.wire.llc import Encapsulation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.trace.items import Item
    from atmdepot.wire.packet import Packet

_INDENT = "    "
_LONGEST_BYTES = 24  # octets shown of a field
_CRC10_BITS = 10
_HEXADECIMAL = {"dsap": 2, "ssap": 2, "control": 2, "oui": 6, "ethertype": 4, "pid": 4, "header_checksum": 4,
                "checksum": 4, "defect_type": 2, "correlation_tag": 8, "security_parameters_index": 8}
"""Fields usually read in hexadecimal, and their digits."""
_ENCAPSULATIONS: dict[str, tuple[str, Any]] = {
    Encapsulation.LLC: ("LLC/SNAP", layouts.LLC_ROUTED),
    Encapsulation.LLC_BRIDGED: ("LLC/SNAP", layouts.LLC_BRIDGED),
    Encapsulation.VC_MUX_BRIDGED: ("bridged Ethernet", layouts.VC_BRIDGED)}
_INNER: dict[int, tuple[str, Any]] = {PROTOCOL_TCP: ("TCP", ip_layouts.TCP), PROTOCOL_UDP: ("UDP", ip_layouts.UDP)}


def tree_text(item: Item, *, cells: bool = False) -> str:
    """The tree of an item, each line indented; with `cells` also of every cell of a PDU. Empty without a tree."""
    return "\n".join(_INDENT + printable(line) for line in _lines(item, cells))


def _lines(item: Item, cells: bool) -> Iterator[str]:
    if isinstance(item, Cell):
        yield from _cell_lines(item)
    elif isinstance(item, Pdu):
        if cells:
            for cell in item.cells:
                yield from _cell_lines(cell)
        yield from _pdu_lines(item)


def _cell_lines(cell: Cell) -> Iterator[str]:
    octets = cell.octets
    # The layout gets the corrected header, so that its fields are right.
    header = cell.mended[:4]
    mended = header + bytes((hec(header),))
    yield f"cell {cell.position or ''}".rstrip() + f": {octets[:HEADER_SIZE].hex(' ')}"
    layout = layouts.NNI_CELL_HEADER if cell.interface is Interface.NNI else layouts.UNI_CELL_HEADER
    yield from _parsed(layout, mended, 1, {"hec": _hec_text(cell, mended)})
    if cell.is_oam:
        yield "OAM"
        yield from _oam_lines(int.from_bytes(cell.payload, "big"))


def _oam_lines(payload: int) -> Iterator[str]:
    """The 384 bits of an OAM payload; the last 10 are the CRC-10, which covers all bits before them."""
    covered, written = payload >> _CRC10_BITS, payload & (1 << _CRC10_BITS) - 1
    computed = layouts.crc10(covered.to_bytes(PAYLOAD_SIZE - 1, "big"))
    # The layout checks the CRC-10 itself: it gets the right CRC, and the text shows the written CRC.
    mended = (covered << _CRC10_BITS | computed).to_bytes(PAYLOAD_SIZE, "big")
    yield from _parsed(layouts.OAM, mended, 1, {"crc10": _check_text(written, computed, 3)})


def _hec_text(cell: Cell, mended: bytes) -> str:
    if cell.hec is HecVerdict.ABSENT:
        return "not captured"
    if cell.hec is HecVerdict.CORRECTED:
        # I.361 counts octets from 1, and an octet's bits from 8 down to 1.
        bit = (int.from_bytes(cell.octets[:HEADER_SIZE], "big") ^ int.from_bytes(mended, "big")).bit_length() - 1
        return f"{cell.octets[4]:02x} (corrected: bit {bit % 8 + 1} of octet {HEADER_SIZE - bit // 8} was wrong)"
    return _check_text(cell.octets[4], mended[4], 2)


def _check_text(written: int, computed: int, digits: int) -> str:
    told = f"{written:0{digits}x}"
    return f"{told} (good)" if written == computed else f"{told} (bad: {computed:0{digits}x} would be right)"


def _pdu_lines(pdu: Pdu) -> Iterator[str]:
    if pdu.length >= 0:
        yield f"CPCS-PDU: {count_text(pdu.count, 'cell')}, {len(pdu.octets)} octets"
        yield from _cpcs_lines(pdu)
    if not pdu.sdu:
        return
    carried = pdu.carried
    if carried.how in _ENCAPSULATIONS:
        name, layout = _ENCAPSULATIONS[carried.how]
        yield name
        yield from _parsed(layout, pdu.sdu, 1)
    if carried.frame:
        yield from _ethernet_lines(carried.frame)
    if carried.how == "statistics":
        yield "statistics of an edge node"
        yield from _parsed(layouts.STATISTICS, carried.octets, 1)
    if carried.how == "announcement":
        yield carried.problem
        yield from _parsed(layouts.ANNOUNCEMENT, carried.octets, 1)
    if carried.packet is not None:
        yield from _packet_lines(carried.octets, carried.packet)


def _ethernet_lines(frame: bytes) -> Iterator[str]:
    """Addresses, VLAN tags and EtherType of a bridged frame that holds an IP packet."""
    yield "Ethernet"
    yield f"{_INDENT}destination address: {frame[:6].hex(':')}"
    yield f"{_INDENT}source address: {frame[6:12].hex(':')}"
    at = 12
    while int.from_bytes(frame[at:at + 2], "big") in VLAN_TAGS:
        tag = int.from_bytes(frame[at + 2:at + 4], "big")
        yield f"{_INDENT}vlan: {tag & 0xFFF}, priority {tag >> 13}"
        at += 4
    yield f"{_INDENT}ethertype: {frame[at:at + 2].hex()}"


def _cpcs_lines(pdu: Pdu) -> Iterator[str]:
    octets = pdu.octets
    computed, written = crc32(octets[:-4]), int.from_bytes(octets[-4:], "big")
    check = _check_text(written, computed, 8)
    if written != computed and is_dynamips_crc(octets):
        check += ", as Dynamips writes it"
    if pdu.pad >= 0:
        yield from _parsed(layouts.CPCS_PDU, octets[:-4] + computed.to_bytes(4, "big"), 1, {"crc": check})
        return
    # With a Length that does not fit, SDU and pad cannot be told apart; the other fields are at their fixed places.
    fields = {"sdu and pad": _value("", octets[:-TRAILER_SIZE]), "cpcs uu": octets[-8], "cpi": octets[-7],
              "length": f"{pdu.length} (bad: it does not fit {len(octets)} octets)", "crc": check}
    for name, value in fields.items():
        yield f"{_INDENT}{name}: {value}"


def _packet_lines(octets: bytes, packet: Packet) -> Iterator[str]:
    layout = ip_layouts.IPV4 if packet.version == 4 else ip_layouts.IPV6
    yield f"IPv{packet.version}"
    yield from _parsed(layout, octets, 1)
    # A later fragment has no TCP or UDP header.
    if packet.protocol in _INNER and not packet.later:
        name, inner = _INNER[packet.protocol]
        yield name
        yield from _parsed(inner, ip_view(octets).payload, 1)
    yield from _scapy_lines(octets, packet.version)


def _parsed(layout: Any, octets: bytes, depth: int, instead: dict[str, str] | None = None) -> Iterator[str]:
    """A layout's fields, a line each; `instead` has the texts of some fields."""
    # A damaged packet is shown as far as it can be read.
    try:
        values = layout.parse(octets)
    except ConstructError as error:
        yield f"{_INDENT * depth}this cannot be read: {str(error).splitlines()[0]}"
        return
    yield from _container(values, depth, instead or {})


def _container(values: Any, depth: int, instead: dict[str, str]) -> Iterator[str]:
    for name, value in values.items():
        if name.startswith("_") or value is None:
            continue
        label = f"{_INDENT * depth}{name.replace('_', ' ')}"
        if name in instead:
            yield f"{label}: {instead[name]}"
        elif isinstance(value, Container):
            yield label
            yield from _container(value, depth + 1, instead)
        elif isinstance(value, ListContainer):
            yield from _list(label, value, depth, instead)
        else:
            yield f"{label}: {_value(name, value)}"


def _list(label: str, values: Any, depth: int, instead: dict[str, str]) -> Iterator[str]:
    if not values:
        return
    yield label
    for value in values:
        yield f"{_INDENT * (depth + 1)}{value.get('kind', '-')}"
        yield from _container({name: field for name, field in value.items() if name != "kind"}, depth + 2, instead)


def _value(name: str, value: Any) -> str:
    if isinstance(value, bytes):
        if name.endswith("_address") and len(value) in (4, 16):
            return address_text(value)
        shown = value[:_LONGEST_BYTES].hex(" ")
        more = " ..." if len(value) > _LONGEST_BYTES else ""
        return count_text(len(value), "octet") + (f": {shown}{more}" if value else "")
    if isinstance(value, bool):
        return "yes" if value else "no"
    number = f"{int(value):0{_HEXADECIMAL[name]}x}" if name in _HEXADECIMAL else str(int(value))
    return f"{value} ({number})" if isinstance(value, EnumIntegerString) else number


# Protocols beyond the layouts.

# Scapy takes half a second to load, so only the first tree of a packet loads it.
@lru_cache(maxsize=1)
def _scapy() -> Any:
    """Scapy's IP layers, with HTTP loaded beside them; None if Scapy is not installed."""
    try:
        import scapy.layers.dns
        import scapy.layers.http  # noqa: F401
        from scapy.layers import inet, inet6
    except ImportError:
        return None
    return inet.IP, inet6.IPv6


def _scapy_lines(octets: bytes, version: int) -> Iterator[str]:
    found = _scapy()
    if found is None:
        return
    try:
        layer = found[0 if version == 4 else 1](octets)
        shown = [(layer.name, _scapy_fields(layer)) for layer in _layers_above(layer)]
    except Exception as error:  # Scapy's layers raise what they like on hostile octets
        yield f"Scapy cannot read on: {type(error).__name__}"
        return
    for name, fields in shown:
        yield name
        yield from fields


def _layers_above(packet: Any) -> Iterator[Any]:
    """The layers that the declared layouts lack; raw octets are left out."""
    layer = packet
    while layer:
        if type(layer).__name__ not in ("IP", "IPv6", "TCP", "UDP", "Raw", "Padding", "HTTP"):
            yield layer
        layer = layer.payload


def _scapy_fields(layer: Any) -> list[str]:
    lines = []
    for field in layer.fields_desc:
        value = layer.fields.get(field.name)
        if value not in (None, b"", []):  # a field that is None was not in the packet
            lines.append(f"{_INDENT}{field.name}: {field.i2repr(layer, value)}")
    return lines
