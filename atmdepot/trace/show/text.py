"""Lines of text for a trace: a line for a cell, a PDU, a drop, a session's change.

::

    time  link direction  VPI/VCI  item

Captures and nodes may send any text; characters that cannot be printed are escaped.
"""

from __future__ import annotations

import time
from enum import IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from atmdepot.config.units import count_text
from atmdepot.drops import DropReason
from atmdepot.net.events import Drop, FrameSeen, SessionChange
from atmdepot.trace.frames import header_text, packet_in, packet_octets, place_of
from atmdepot.trace.inside import header_of, packet_from_beginning
from atmdepot.trace.items import Carried, Cell, CrcVerdict, HecVerdict, Pdu, encapsulation_of
from atmdepot.trace.messages import message_text, statistics_text
from atmdepot.trace.show.oam import oam_text
from atmdepot.trace.show.printable import printable
from atmdepot.wire.announcement import is_message
from atmdepot.wire.ip import PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP, endpoint, ip_view
from atmdepot.wire.llc import ETHERTYPE_ARP
from atmdepot.wire.statistics import MAGIC
from atmdepot.wire.tcp import ACK, TcpView, flags_text

if TYPE_CHECKING:
    from atmdepot.net.events import Missed
    from atmdepot.trace.items import Item
    from atmdepot.wire.cell import CellHeader
    from atmdepot.wire.packet import Packet

_PROTOCOLS = {PROTOCOL_ICMP: "ICMP", PROTOCOL_ICMPV6: "ICMPv6", PROTOCOL_UDP: "UDP", PROTOCOL_TCP: "TCP"}
_PTI_WORDS = ("user", "user last", "user EFCI", "user last EFCI",
              "OAM F5 segment", "OAM F5 end-to-end", "RM", "reserved")
_F4_WORDS = {3: "OAM F4 segment", 4: "OAM F4 end-to-end"}
_RESERVED_VCIS = {1: "meta-signalling", 2: "broadcast signalling", 5: "signalling", 6: "VP RM", 16: "ILMI", 17: "LECS",
                  18: "PNNI"}
_ON_MANAGEMENT = (DropReason.BAD_STATISTICS, DropReason.BAD_ANNOUNCEMENT, DropReason.OTHER_BUILD)
_LONGEST_QUOTE = 100  # octets; a longer line is not quoted
_MAC_SIZE = 6
_ETHERNET_HEADER_SIZE = 14
_NS = 1_000_000_000


class Stamp(IntEnum):
    """The format of a line's time: the number of `-t`s, as tcpdump counts them."""

    CLOCK = 0
    NONE = 1
    EPOCH = 2
    DELTA = 3
    DATE = 4
    SINCE_FIRST = 5


class Clock:
    """Formats the times of successive lines."""

    def __init__(self, stamp: Stamp = Stamp.CLOCK) -> None:
        self._stamp = stamp
        self._first: int | None = None
        self._before = 0

    def text(self, time_ns: int) -> str:
        """A line's time and two spaces; empty with Stamp.NONE."""
        stamp = self._stamp
        if stamp is Stamp.CLOCK:
            return f"{_local(time_ns // _NS, '%H:%M:%S')}.{time_ns % _NS // 1000:06d}  "
        if stamp is Stamp.NONE:
            return ""
        if self._first is None:
            self._first = self._before = time_ns
        if stamp is Stamp.EPOCH:
            return f"{_decimal(time_ns)}  "
        if stamp is Stamp.DATE:
            return f"{_local(time_ns // _NS, '%Y-%m-%d %H:%M:%S')}.{time_ns % _NS // 1000:06d}  "
        since = self._before if stamp is Stamp.DELTA else self._first
        self._before = time_ns
        return f"{_decimal(time_ns - since)}  "


def _decimal(ns: int) -> str:
    sign = "-" if ns < 0 else ""
    seconds, rest = divmod(abs(ns), _NS)
    return f"{sign}{seconds}.{rest // 1000:06d}"


@lru_cache(maxsize=8)
def _local(seconds: int, form: str) -> str:
    """A time in the local time zone; seconds since 1970 for a time beyond the calendar, as a capture may claim it."""
    try:
        return time.strftime(form, time.localtime(seconds))
    except (OverflowError, OSError):
        return str(seconds)


class LinePrinter:
    """Makes the line of an item.

    `nodes` puts the node before the link; `names` puts the server and session after a PDU (from VC table and depot);
    `quick` leaves out the details.
    """

    def __init__(
        self, stamp: Stamp = Stamp.CLOCK, *, nodes: bool = False, names: bool = True, quick: bool = False,
    ) -> None:
        self._clock = Clock(stamp)
        self._nodes = nodes
        self._names = names
        self._quick = quick
        self._width = 0

    def line(self, item: Item) -> str:
        """The line, without its end."""
        told = self._clock.text(item.time) + self._what(item)
        return printable(told)

    def _what(self, item: Item) -> str:
        node = item.node if self._nodes else ""
        if isinstance(item, Pdu):
            return self._place(node, item, item.vpi, item.vci) + self._pdu(item)
        if isinstance(item, Cell):
            return self._place(node, item, item.header.vpi, item.header.vci) + cell_text(item)
        if isinstance(item, FrameSeen):
            return self._frame(node, item)
        told = drop_text(item, quick=self._quick) if isinstance(item, Drop) else \
            session_text(item) if isinstance(item, SessionChange) else missed_text(item)
        return f"{node} {told}" if node else told

    def _frame(self, node: str, frame: FrameSeen) -> str:
        packet = packet_in(frame)
        told = header_text(frame)
        if packet is not None:
            told += f"  {packet_text(packet, b'' if self._quick else packet_octets(frame))}"
        place = _place_text(node, frame.link)
        self._width = max(self._width, len(place))
        return f"{place:<{self._width}}{frame.direction:<3}  {place_of(frame):<8} {told}"

    def _place(self, node: str, item: Cell | Pdu, vpi: int, vci: int) -> str:
        """Node, link, direction and VC, aligned with the lines before by the greatest width up to now."""
        place = _place_text(node, item.link)
        self._width = max(self._width, len(place))
        return f"{place:<{self._width}}{_vc_text(item.direction, vpi, vci)}"

    def _pdu(self, pdu: Pdu) -> str:
        carried = _carried_text(pdu, quick=self._quick)
        if self._quick:
            return f"{count_text(pdu.count, 'cell')}{'' if _is_good(pdu) else f', {_verdict_text(pdu)}'}{carried}"
        return f"AAL5 {count_text(pdu.count, 'cell')}, {_verdict_text(pdu)}{carried}{self._names_of(pdu)}"

    def _names_of(self, pdu: Pdu) -> str:
        if not self._names:
            return ""
        session, server = pdu.session, pdu.name.server
        if session is None:
            return f"  ({server})" if server else ""
        return f"  (session {session.number}{', ' if session.server else ''}{session.server})"


@lru_cache(maxsize=4096)
def _place_text(node: str, link: str) -> str:
    return f"{node}{' ' if node else ''}{link}{' ' if link else ''}"


@lru_cache(maxsize=4096)
def _vc_text(direction: str, vpi: int, vci: int) -> str:
    return f"{direction:<3}  {'no VC' if vpi < 0 else f'{vpi}/{vci}':<8} "


# Cells.

def cell_text(cell: Cell) -> str:
    """A cell's header and its place in its PDU, or an OAM cell's contents."""
    return f"{_header_text(cell.header, cell.octets[4], cell.hec)}  {_position_text(cell)}".rstrip()


@lru_cache(maxsize=4096)
def _header_text(header: CellHeader, hec: int, verdict: HecVerdict) -> str:
    told = "HEC not captured" if verdict is HecVerdict.ABSENT else f"HEC {hec:02x} {verdict}"
    return f"{kind_text(header):<17}  CLP {header.clp}  {told:<16}"


def kind_text(header: CellHeader) -> str:
    """The kind of cell in words, by its header: its PTI, and the VCIs with a meaning of their own (I.361)."""
    if header.is_idle:
        return "idle" if header.clp else "unassigned"
    if not header.pti & 4:
        if header.vci in _F4_WORDS:
            return _F4_WORDS[header.vci]
        # VCIs below 16 are reserved in every VPI, 16 and above only in VPI 0.
        if header.vci in _RESERVED_VCIS and (header.vci < 16 or header.vpi == 0):
            return f"{_RESERVED_VCIS[header.vci]}{' last' if header.pti & 1 else ''}"
    return _PTI_WORDS[header.pti]


def _position_text(cell: Cell) -> str:
    if cell.hec is HecVerdict.BAD:
        return "a receiver discards it"
    if cell.is_oam:
        return oam_text(cell.payload)
    position, expected = cell.position, cell.expected
    if not position:
        return ""
    of = f" of {expected}" if expected else ""
    if not cell.header.is_last:
        return f"first{of}" if position == 1 else f"middle {position}{of}"
    if position < expected:
        return f"last, {position}{of}: {expected - position} missing"
    return f"last, {position}{of}{': a last cell is missing' if 0 < expected < position else ''}"


# PDUs.

def _is_good(pdu: Pdu) -> bool:
    return pdu.problem is None and pdu.crc is not CrcVerdict.BAD and not pdu.headless


def _verdict_text(pdu: Pdu) -> str:
    """Length, pad and CRC; or the reason for which a receiver drops it."""
    if pdu.unfinished:
        return f"no last cell: {pdu.problem or 'the trace ended before'}"
    if pdu.headless:
        return "the cells before were missed"
    if pdu.crc is CrcVerdict.ABSENT:
        return f"the first {count_text(len(pdu.octets), 'octet')} captured" if pdu.missing else \
            f"length {len(pdu.octets)}, CRC not captured"
    told = f"{_length_text(pdu)}, CRC {pdu.crc}"
    if pdu.hec_corrected:
        told += f", {count_text(pdu.hec_corrected, 'HEC')} corrected"
    if pdu.congested:
        told += ", EFCI"
    if pdu.clp:
        told += ", CLP 1"
    if pdu.problem not in (None, DropReason.CRC_ERROR):
        told += f": {pdu.problem}"
    if pdu.problem is not None and pdu.first and not _begins_well(pdu):
        told += " (its beginning may lie before the trace)"
    return told


def _begins_well(pdu: Pdu) -> bool:
    """True when the first octets begin an SDU of the VC's encapsulation, or of any if the VC's is not known."""
    found = encapsulation_of(pdu.octets)
    return found is not None and pdu.name.encapsulation in (None, found)


def _length_text(pdu: Pdu) -> str:
    if pdu.length < 0:
        return f"only {count_text(len(pdu.octets), 'octet')}"
    return f"length {pdu.length}" + (f", pad {pdu.pad}" if pdu.pad >= 0 else " does not fit" if pdu.length else "")


def _carried_text(pdu: Pdu, *, quick: bool) -> str:
    if not pdu.sdu:
        return ""
    carried = pdu.carried
    if carried.how == "statistics":
        return f": {statistics_text(carried.octets)}"
    if carried.how == "announcement":
        return f": {message_text(carried.octets)}"
    how = "" if quick or carried.how in ("vc-mux", "") else f"{carried.how.upper()} "
    if carried.frame and not quick:
        how += f"{_ethernet_text(carried.frame)} "
    if carried.packet is not None:
        return f": {how}{packet_text(carried.packet, b'' if quick else carried.octets)}"
    if pdu.missing and (packet := packet_from_beginning(carried.octets)) is not None:
        return f": {how}{packet_text(packet)}"
    return f": {how}{_other_text(carried, quick=quick)}"


def _other_text(carried: Carried, *, quick: bool) -> str:
    """Text of an SDU that carries no IP packet."""
    octets = carried.octets
    if carried.ethertype == ETHERTYPE_ARP:
        return f"ARP, {count_text(len(octets), 'octet')}"
    if carried.frame:
        ethernet = f"EtherType {carried.frame[12:14].hex()}, {count_text(len(carried.frame), 'octet')}"
        return f"{_ethernet_text(carried.frame)} {ethernet}" if quick else ethernet
    if carried.how.endswith("bridged") and len(octets) >= _ETHERNET_HEADER_SIZE:
        return f"{_ethernet_text(octets)} EtherType {octets[12:14].hex()}, {count_text(len(octets), 'octet')}"
    return carried.problem


def _ethernet_text(frame: bytes) -> str:
    return f"Ethernet {frame[_MAC_SIZE:2 * _MAC_SIZE].hex(':')} > {frame[:_MAC_SIZE].hex(':')}"


def packet_text(packet: Packet, octets: bytes = b"") -> str:
    """An IP packet: its ends, its TCP fields, and, with its `octets`, the beginning of its data."""
    source = endpoint(packet.source, packet.source_port or None)
    ends = f"{source} > {endpoint(packet.destination, packet.destination_port or None)}"
    protocol = _PROTOCOLS.get(packet.protocol, f"protocol {packet.protocol}")
    if packet.fragment:
        protocol += f" {'later' if packet.later else 'first'} fragment of {packet.identification:04x}"
    tcp = packet.tcp
    if tcp is None:
        return f"IPv{packet.version} {ends} {protocol}, {count_text(packet.total_length, 'octet')}"
    told = f"IPv{packet.version} {ends} {protocol} [{flags_text(tcp.flags)}]"
    if not octets:
        return f"{told} length {tcp.length}"
    ack = f" ack {tcp.acknowledgment}" if tcp.flags & ACK else ""
    return f"{told} seq {tcp.sequence}{ack} win {tcp.window} length {tcp.length}{_quote(octets)}"


def _quote(octets: bytes) -> str:
    """The first line of a TCP packet's data, if it is text."""
    data = TcpView(ip_view(octets).payload).payload
    line = data[:_LONGEST_QUOTE].split(b"\r\n", 1)[0]
    # A line that fills the quote may be cut, so it is left out.
    if not line or len(line) == _LONGEST_QUOTE or not line.isascii() or not line.decode().isprintable():
        return ""
    return f"  \"{line.decode()}\""


# Events of a node.

def channel_text(channel: tuple[int, ...], of_atm: str = "") -> str:
    """A channel by its numbers: VPI/VCI, or the DLCI that a single number is."""
    return f"{of_atm}{channel[0]}/{channel[1]}" if len(channel) == 2 else f"DLCI {'/'.join(map(str, channel))}"


def drop_text(drop: Drop, *, quick: bool = False) -> str:
    """Number, unit, reason and beginning of a drop, and the meaning of the reason."""
    place = f"{drop.link} " if drop.link else ""
    vc = f"{channel_text(drop.vc)} " if drop.vc else ""
    reason = next((known for known in DropReason if known == drop.reason), None)
    if reason is None:  # a newer daemon's
        return f"{place}{vc}DROP {drop.count:,}: {drop.reason}{_beginning_text(drop.octets)}"
    counted = reason.unit if drop.count != 1 else reason.unit.removesuffix("s")
    meaning = "" if quick else f"  ({reason.text})"
    return f"{place}{vc}DROP {drop.count:,} {counted}: {reason}{_dropped_text(drop, reason)}{meaning}"


def _dropped_text(drop: Drop, reason: DropReason) -> str:
    header = header_of(drop)
    if header is not None:
        return f": {drop.octets[:5].hex(' ')} {kind_text(header)}"
    if reason in _ON_MANAGEMENT and is_message(drop.octets):
        return f": {message_text(drop.octets)}"
    if reason is DropReason.BAD_STATISTICS and drop.octets.startswith(MAGIC):
        return f": {statistics_text(drop.octets)}"
    if reason.unit == "packets" and (packet := packet_from_beginning(drop.octets)) is not None:
        return f": {packet_text(packet)}"
    return _beginning_text(drop.octets)


def _beginning_text(octets: bytes) -> str:
    return f": {octets[:16].hex(' ')}{' ...' if len(octets) > 16 else ''}" if octets else ""


def session_text(change: SessionChange) -> str:
    """A change of a session."""
    why = f" ({change.why})" if change.why else ""
    server = f" at {change.server}" if change.server else ""
    ends = f"{change.protocol} {change.client} > {change.service}{server}"
    where = channel_text(change.vc, "VC ") if change.vc and change.vc[0] >= 0 else "no VC" if change.vc else ""
    place = " ".join(filter(None, (change.link, where, change.category)))
    return f"session {change.number} {change.event}{why}: {ends}, {place}"


def missed_text(missed: Missed) -> str:
    """The counts of the items that the trace was too slow for."""
    parts = [count_text(count, unit) for count, unit in (
        (missed.cells, "cell"), (missed.drops, "drop"), (missed.sessions, "session change")) if count]
    return f"MISSED {', '.join(parts) or 'nothing'}: this trace was slower than the node"


# Hex.

def hex_lines(octets: bytes, *, text: bool) -> str:
    """Octets in hexadecimal, 16 a line with their offsets; with `text` also as characters, as tcpdump prints them."""
    lines = []
    for at in range(0, len(octets), 16):
        row = octets[at:at + 16]
        told = f"\t0x{at:04x}:  {row.hex(' ', -2):<39}"
        if text:
            told += "  " + "".join(chr(octet) if 32 <= octet < 127 else "." for octet in row)
        lines.append(told.rstrip())
    return "\n".join(lines)
