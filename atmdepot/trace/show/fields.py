"""The fields of items, in a table: the keys of `-o json` and `-o ndjson`, and the names for `-e FIELD`.

Names are stable. A field has no value where it makes no sense for an item, or is not known.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from atmdepot.drops import DropReason
from atmdepot.errors import AtmdepotError
from atmdepot.net.events import Drop, FrameSeen, Missed, SessionChange
from atmdepot.printable import printable_in_place
from atmdepot.trace.filter.cell_tests import is_f5, is_segment, pti_of
from atmdepot.trace.filter.operands import nearest
from atmdepot.trace.filter.packet_tests import length_of
from atmdepot.trace.frames import place_of
from atmdepot.trace.inside import flow_of, header_of, oam_payload_of, packet_of, unit_of, vc_of
from atmdepot.trace.items import Cell, Pdu
from atmdepot.trace.show.cells import kind_text
from atmdepot.trace.show.oam import function_name, is_good
from atmdepot.wire.ip import PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP, address_text
from atmdepot.wire.tcp import flags_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from atmdepot.trace.items import Item
    from atmdepot.wire.cell import CellHeader
    from atmdepot.wire.flows import Flow
    from atmdepot.wire.packet import Packet, TcpFields

_NS = 1_000_000_000
_PROTOCOLS = {PROTOCOL_TCP: "TCP", PROTOCOL_UDP: "UDP", PROTOCOL_ICMP: "ICMP", PROTOCOL_ICMPV6: "ICMPv6"}
_TEXTS = {reason.value: reason.text for reason in DropReason}

KINDS: dict[type, str] = {
    Cell: "cell", Pdu: "pdu", FrameSeen: "frame", Drop: "drop", SessionChange: "session", Missed: "missed"}

Getter = Callable[[Any], object]


class Field(NamedTuple):
    """A field: its name, its meaning, and a getter for each kind of item that may have it.

    `octets` marks a long field in hexadecimal, which is only given on request.
    """

    name: str
    meaning: str
    getters: dict[type, Getter]
    octets: bool = False


class FieldError(AtmdepotError):
    """A name that no field has."""


# Getters.

def _of(getter: Getter, *kinds: type) -> dict[type, Getter]:
    return dict.fromkeys(kinds, getter)


def _attribute(name: str, *kinds: type) -> dict[type, Getter]:
    return _of(lambda item: getattr(item, name), *kinds)


def _in(find: Callable[[Item], Any], *kinds: type) -> Callable[[Getter], dict[type, Getter]]:
    """Make getters for the result of `find` in an item; no value without a result."""
    def getters(getter: Getter) -> dict[type, Getter]:
        def get(item: Item) -> object:
            found = find(item)
            return None if found is None else getter(found)

        return _of(get, *kinds)

    return getters


def _oam_of(item: Item) -> tuple[CellHeader, bytes] | None:
    header, payload = header_of(item), oam_payload_of(item)
    return None if header is None or payload is None else (header, payload)


def _tcp_of(item: Item) -> TcpFields | None:
    packet: Packet | None = packet_of(item)
    return None if packet is None else packet.tcp


_ALL = tuple(KINDS)
_vc = _in(vc_of, Cell, Pdu, Drop, SessionChange)
_header = _in(header_of, Cell, Drop)
_oam = _in(_oam_of, Cell, Drop)
_packet = _in(packet_of, Pdu, FrameSeen, Drop)
_tcp = _in(_tcp_of, Pdu, FrameSeen, Drop)
_flow = _in(flow_of, Pdu, FrameSeen, Drop, SessionChange)


def _with_port(at: int) -> dict[type, Getter]:
    def port(flow: Flow) -> int | None:
        return int(flow[at]) if flow[0] in (PROTOCOL_TCP, PROTOCOL_UDP) else None

    return _flow(port)


def _time(item: Item) -> str:
    seconds, ns = divmod(item.time, _NS)
    return f"{_second(seconds)}.{ns:09d}Z"


# Most items of a trace are of the same second as the item before.
@lru_cache(maxsize=8)
def _second(seconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
    except (ValueError, OverflowError, OSError):  # beyond the year 9999; a capture may hold any number
        return str(seconds)


def _session(item: Cell | Pdu) -> int | None:
    pdu = item.pdu if isinstance(item, Cell) else item
    return None if pdu is None or pdu.session is None else pdu.session.number


def _server(item: Cell | Pdu) -> str:
    # Before its PDU is known, a cell has the VC's server.
    pdu = item.pdu if isinstance(item, Cell) else item
    return item.name.server if pdu is None or pdu.session is None else pdu.session.server


def _has_trailer(pdu: Pdu) -> bool:
    return pdu.length >= 0 and len(pdu.octets) >= 8


def _trailer(first: int, last: int | None, *, hexadecimal: bool = False) -> dict[type, Getter]:
    def get(pdu: Pdu) -> object:
        if not _has_trailer(pdu):
            return None
        octets = pdu.octets[first:last]
        return octets.hex() if hexadecimal else int.from_bytes(octets, "big")

    return _of(get, Pdu)


FIELDS: tuple[Field, ...] = (
    Field("kind", "cell, pdu, frame, drop, session or missed", _of(lambda item: KINDS[type(item)], *_ALL)),
    Field("time", "when, in UTC with nanoseconds", _of(_time, *_ALL)),
    Field("epoch", "when, in seconds since 1970, rounded to microseconds",
          _of(lambda item: round(item.time / _NS, 6), *_ALL)),
    Field("node", "the node that saw it", _attribute("node", *_ALL)),
    Field("link", "the link", _attribute("link", Cell, Pdu, FrameSeen, Drop, SessionChange)),
    Field("dir", "in or out, as the node sees it", _attribute("direction", Cell, Pdu, FrameSeen)),
    Field("medium", "the kind of a frame: frame-relay, frames (of Ethernet), or of rewritten headers client-side or "
          "server-side", _attribute("medium", FrameSeen)),
    Field("channel", "a frame's channel in words, such as DLCI 100", _of(place_of, FrameSeen)),
    # Cells.
    Field("vpi", "VPI", _vc(lambda vc: vc[0])),
    Field("vci", "VCI", _vc(lambda vc: vc[1])),
    Field("vc", "VPI/VCI", _vc(lambda vc: f"{vc[0]}/{vc[1]}")),
    Field("vp", "the VP's name in the VC table", _of(lambda item: item.name.vp, Cell, Pdu)),
    Field("role", "what the VC is for: session, default, management, permanent, or a service category",
          _of(lambda item: item.name.role, Cell, Pdu)),
    Field("cell_type", "the kind of cell in words", _header(kind_text)),
    Field("gfc", "GFC", _header(lambda header: header.gfc)),
    Field("pti", "payload type; of a PDU, that of its last cell",
          _header(lambda header: header.pti) | _of(pti_of, Pdu)),
    Field("clp", "CLP; of a PDU, the OR over its cells",
          _header(lambda header: header.clp) | _attribute("clp", Pdu)),
    Field("efci", "congestion experienced; of a PDU, in its last cell",
          _header(lambda header: header.congested) | _attribute("congested", Pdu)),
    Field("hec", "the HEC's octet, in hexadecimal", _of(lambda cell: cell.octets[4:5].hex(), Cell)),
    Field("hec_verdict", "good, corrected, bad, or absent from the capture", _attribute("hec", Cell)),
    Field("hec_corrected", "how many of a PDU's cells had their HEC corrected", _attribute("hec_corrected", Pdu)),
    Field("position", "the cell's number in its PDU, from 1", _of(lambda cell: cell.position or None, Cell)),
    Field("expected", "how many cells its PDU will have, by the IP header",
          _of(lambda cell: cell.expected or None, Cell)),
    Field("oam_flow", "F4 or F5", _oam(lambda oam: "F5" if is_f5(*oam) else "F4")),
    Field("oam_reach", "segment or end-to-end", _oam(lambda oam: "segment" if is_segment(*oam) else "end-to-end")),
    Field("oam_type", "OAM cell type, a number", _oam(lambda oam: oam[1][0] >> 4)),
    Field("oam_function", "OAM function in words", _oam(lambda oam: function_name(oam[1][0] >> 4, oam[1][0] & 15))),
    Field("oam_crc", "what the CRC-10 says: good or bad", _oam(lambda oam: "good" if is_good(oam[1]) else "bad")),
    # PDUs.
    Field("begun", "when a PDU's first cell passed, in seconds since 1970",
          _of(lambda pdu: round(pdu.begun / _NS, 6), Pdu)),
    Field("cells", "the number of cells", _attribute("count", Pdu)),
    Field("length", "the length of the SDU in octets", _of(length_of, Pdu)),
    Field("pad", "octets of padding", _of(lambda pdu: pdu.pad if pdu.sdu and _has_trailer(pdu) else None, Pdu)),
    Field("uu", "CPCS-UU", _trailer(-8, -7)),
    Field("cpi", "CPI", _trailer(-7, -6)),
    Field("crc", "the CRC-32 in the trailer, in hexadecimal", _trailer(-4, None, hexadecimal=True)),
    Field("crc_verdict", "good, good (Dynamips), bad, or absent from the capture", _attribute("crc", Pdu)),
    Field("unfinished", "whether the last cell never came", _attribute("unfinished", Pdu)),
    Field("problem", "why a receiver would drop the PDU", _attribute("problem", Pdu)),
    Field("encapsulation", "vc-mux, llc, ... or statistics, announcement",
          _of(lambda pdu: pdu.sdu and pdu.carried.how, Pdu)),
    Field("no_packet", "why the SDU is no IP packet", _of(lambda pdu: pdu.sdu and pdu.carried.problem, Pdu)),
    # Packets.
    Field("ip_version", "4 or 6", _flow(lambda flow: 4 if len(flow[1]) == 4 else 6)),
    Field("src", "the sender's address", _flow(lambda flow: address_text(flow[1]))),
    Field("dst", "the receiver's address", _flow(lambda flow: address_text(flow[3]))),
    Field("protocol", "TCP, UDP, ICMP, ICMPv6 or a number", _flow(lambda flow: _PROTOCOLS.get(flow[0], str(flow[0])))),
    Field("sport", "the sender's TCP or UDP port", _with_port(2)),
    Field("dport", "the receiver's TCP or UDP port", _with_port(4)),
    Field("ip_len", "the IP packet's octets", _packet(lambda packet: packet.total_length)),
    Field("dscp", "DSCP, a number", _packet(lambda packet: packet.dscp)),
    Field("fragment", "whether it is a fragment", _packet(lambda packet: packet.fragment)),
    Field("tcp_flags", "TCP flags in tcpdump's letters", _tcp(lambda tcp: flags_text(tcp.flags))),
    Field("tcp_seq", "sequence number", _tcp(lambda tcp: tcp.sequence)),
    Field("tcp_ack", "acknowledgment number", _tcp(lambda tcp: tcp.acknowledgment)),
    Field("tcp_window", "window, not scaled", _tcp(lambda tcp: tcp.window)),
    Field("tcp_len", "octets of TCP data", _tcp(lambda tcp: tcp.length)),
    # Sessions and drops.
    Field("session", "the session's number", _of(_session, Cell, Pdu) | _attribute("number", SessionChange)),
    Field("server", "the session's server, or those at the VP's end",
          _of(_server, Cell, Pdu) | _attribute("server", SessionChange)),
    Field("event", "known, opened, adopted, inherited, established, closed, revived or gone",
          _attribute("event", SessionChange)),
    Field("why", "why it happened to the session", _attribute("why", SessionChange)),
    Field("category", "the service category of the session's VC", _attribute("category", SessionChange)),
    Field("client", "the client's address and port", _attribute("client", SessionChange)),
    Field("service", "the service's address and port", _attribute("service", SessionChange)),
    Field("reason", "why it was dropped", _attribute("reason", Drop)),
    Field("reason_text", "the same in a sentence", _of(lambda drop: _TEXTS.get(drop.reason), Drop)),
    Field("count", "how many were dropped", _attribute("count", Drop)),
    Field("unit", "cells, PDUs, packets or datagrams", _of(unit_of, Drop)),
    Field("missed_cells", "cells that the trace was too slow for", _attribute("cells", Missed)),
    Field("missed_drops", "drops that it was too slow for", _attribute("drops", Missed)),
    Field("missed_sessions", "changes of sessions that it was too slow for", _attribute("sessions", Missed)),
    # Octets.
    Field("octets", "a cell's 53 octets, a CPCS-PDU, a frame, or the beginning of what was dropped, in hexadecimal",
          _of(lambda item: item.octets.hex(), Cell, Pdu, FrameSeen, Drop), octets=True),
    Field("payload", "a cell's payload of 48 octets, or a PDU's SDU, in hexadecimal",
          _of(lambda cell: cell.payload.hex(), Cell) | _of(lambda pdu: pdu.sdu.hex(), Pdu), octets=True),
)

BY_NAME = {field.name: field for field in FIELDS}


def _rows_of(kind: type, *, octets: bool) -> list[tuple[str, Getter]]:
    return [(field.name, field.getters[kind]) for field in FIELDS if kind in field.getters
            and (octets or not field.octets)]


# Made once: a trace asks for an item's fields for each of its lines.
_GETTERS = {octets: {kind: _rows_of(kind, octets=octets) for kind in KINDS} for octets in (False, True)}


def check_names(texts: Iterable[str]) -> list[str]:
    """The names of fields in texts with commas between the names; raise FieldError for an unknown name."""
    names = [name.strip().lower() for text in texts for name in text.split(",")]
    for name in names:
        if name not in BY_NAME:
            near = nearest(name, BY_NAME)
            hint = f"did you mean \"{near}\"?" if near else f"there are {', '.join(BY_NAME)}"
            raise FieldError(f"no field \"{printable_in_place(name[:40])}\": {hint}")
    return names


def row(item: Item, names: Sequence[str] | None = None, *, hex: bool = False) -> dict[str, object]:  # noqa: A002
    """An item's fields that have a value, as JSON takes them: texts, numbers, booleans.

    Args:
        item: the item.
        names: only these fields, and `kind`; all but the octets by default.
        hex: the octets, too.

    """
    kind = type(item)
    if names is None:
        wanted = _GETTERS[hex][kind]
    else:
        wanted = [(name, BY_NAME[name].getters[kind]) for name in ("kind", *names) if kind in BY_NAME[name].getters]
    found = {}
    for name, get in wanted:
        value = get(item)
        if value is not None and value != "" and value != b"":
            # Enums become plain texts.
            found[name] = str(value) if isinstance(value, str) else value
    return found


def values(item: Item, names: Sequence[str]) -> list[str]:
    """The fields as texts, empty without a value; tabs and line ends are replaced to keep the columns."""
    kind = type(item)
    return [_text(BY_NAME[name].getters[kind](item)) if kind in BY_NAME[name].getters else "" for name in names]


def _text(value: object) -> str:
    if value is None or value == b"":
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    return printable_in_place(str(value))


def field_help() -> str:
    """A line for each field, for the terminal."""
    width = max(map(len, BY_NAME))
    return "\n".join(f"  {field.name:<{width}}  {field.meaning} "
                     f"[{', '.join(KINDS[kind] for kind in KINDS if kind in field.getters)}]" for field in FIELDS)
