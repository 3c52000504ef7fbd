"""Captures of ATM links as ERF records in a pcap file (link type 197), which stock Wireshark and tshark read.

::

    record   time 8 (little-endian, unit 2^-32 s) | type 1 | flags 1 | record length 2 | lost 2
             | wire length 2 | body
    type 3   body = cell header without HEC 4 | payload 48
    type 4   body = cell header without HEC 4 | CPCS-PDU of AAL5 with its trailer
    7 and 9  the same with 4 octets in front: the channel of a card that captures many channels

Bit 7 of the type announces extension headers of 8 octets before the body; bit 7 of the first octet of each extension
header announces another. The wire length counts neither the extension headers nor the channel's 4 octets.

tshark does not reassemble AAL5 from cells. A capture therefore holds both: every cell, and after the last cell of each
PDU the PDU itself. Read a capture with `tshark -o erf.aal5_type:unspec -V -r FILE`. tshark reads every header as a UNI
header, and so shows only the lower 8 bits of the VPI of an NNI.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import TYPE_CHECKING

from atmdepot.trace.capture.pcap import CaptureError
from atmdepot.trace.sources import CapturedCells, HecMark, PduSeen
from atmdepot.wire.cell import CELL_SIZE, PAYLOAD_SIZE, header_with_hec

if TYPE_CHECKING:
    from atmdepot.trace.notes import Notes
    from atmdepot.trace.sources import SourceRecord

MAX_PDU_CELLS = (0xFFFF - 16 - 4) // PAYLOAD_SIZE
"""1364 cells. AAL5 allows 1366, but a record's length has 16 bits: PDUs of 1365 and 1366 cells do not fit a record."""

ERF_HEADER_SIZE = 16
_HEADER = Struct("<QBB")
_LENGTHS = Struct(">HHH")
_CELL_RECORD = Struct("<QBB6s4s48s")
_CELL_LENGTHS = _LENGTHS.pack(_CELL_RECORD.size, 0, CELL_SIZE - 1)
_TYPE_ATM, _TYPE_AAL5 = 3, 4
_CELL_TYPES, _PDU_TYPES, _CHANNEL_TYPES = {3, 7}, {4, 9}, {7, 9}
_EXTENDED = 0x80
_EXTENSION_SIZE, _CHANNEL_SIZE = 8, 4
_CELL_BODY_SIZE = CELL_SIZE - 1
_INTERFACE_BITS, _VARYING_LENGTH, _RX_ERROR = 0b11, 0b100, 0b10000
_KNOWN_FLAGS = _INTERFACE_BITS | _RX_ERROR
_NS = 1_000_000_000
_HALF = 1 << 31  # half of 2^32, the units in a second: times are rounded


class Direction(IntEnum):
    """The direction of a cell, seen from the capturing node; the record's interface number.

    Wireshark shows interface 0 as "DTE -> DCE" and all other interfaces as "DCE -> DTE": right for an edge node.
    """

    SENT = 0
    RECEIVED = 1


def _stamp(time_ns: int) -> int:
    """A time in the records' unit (2^-32 s), rounded to the nearest as readers do: every ns survives."""
    seconds, ns = divmod(time_ns, _NS)
    return (seconds << 32) + ((ns << 32) + _NS // 2) // _NS


def cell_record_header(time_ns: int, direction: int, *, hec_error: bool = False) -> bytes:
    """The header of a cell's record (type 3), for a time from 1970 to 2106; its body has 52 octets."""
    flags = direction | _VARYING_LENGTH | (_RX_ERROR if hec_error else 0)
    return _HEADER.pack(_stamp(time_ns), _TYPE_ATM, flags) + _CELL_LENGTHS


def pdu_record_header(time_ns: int, direction: int, length: int, captured: int) -> bytes:
    """The header of a PDU's record (type 4) with a body of `length` octets, of which `captured` follow."""
    head = _HEADER.pack(_stamp(time_ns), _TYPE_AAL5, direction | _VARYING_LENGTH)
    return head + _LENGTHS.pack(ERF_HEADER_SIZE + captured, 0, length)


class ErfDecoder:
    """Makes source records from the ERF records of an interface of a capture."""

    def __init__(self, notes: Notes, node: str, link: str) -> None:
        """Name the cells' link `link`; ports above 1 of a card add their number to the name."""
        self._notes = notes
        self._node = node
        self._link = link
        self._said: dict[int, tuple[str, str, HecMark]] = {}

    def decode(self, _: int, octets: bytes, missing: int, direction: str) -> SourceRecord | None:
        """Return the cell or PDU of a record, at the record's time; the capture's `direction` goes before its own."""
        # Fast path: a plain cell record without extension headers.
        if len(octets) == _CELL_RECORD.size:
            stamp, kind, flags, lengths, header, payload = _CELL_RECORD.unpack(octets)
            if kind == _TYPE_ATM and lengths == _CELL_LENGTHS:
                # Flags without meaning here are cleared: the cache then has few entries.
                flags &= _KNOWN_FLAGS
                link, way, mark = self._said.get(flags) or self._say(flags)
                return CapturedCells((stamp * _NS + _HALF) >> 32, link, direction or way,
                                     header_with_hec(header) + payload, self._node, mark)
        return self._decode(octets, missing, direction)

    def _decode(self, octets: bytes, missing: int, direction: str) -> SourceRecord | None:
        if len(octets) >= ERF_HEADER_SIZE:
            kind = octets[8] & ~_EXTENDED
            # Lost records count even if this record's type is not read.
            self._count_lost(_LENGTHS.unpack_from(octets, _HEADER.size)[1])
            if kind not in _CELL_TYPES and kind not in _PDU_TYPES:
                self._notes.once(f"ERF records of type {kind}",
                                 f"an ERF record of type {kind} holds no cells; all of this type are passed over")
                return None
        try:
            body, cut = _body(octets, missing)
        except CaptureError as error:
            self._notes.remark("cut ERF records" if missing else "damaged ERF records", str(error))
            return None
        stamp, kind, flags = _HEADER.unpack_from(octets)
        time = (stamp * _NS + _HALF) >> 32
        link, way, mark = self._say(flags & _KNOWN_FLAGS)
        if kind & ~_EXTENDED in _PDU_TYPES:
            return PduSeen(time, link, direction or way, body[:4], body[4:], True, cut, self._node)
        return CapturedCells(time, link, direction or way, header_with_hec(body[:4]) + body[4:], self._node, mark)

    def _say(self, flags: int) -> tuple[str, str, HecMark]:
        """Decode a record's flags: link, direction, and HEC mark of a cell."""
        port = flags & _INTERFACE_BITS
        link = self._link if port <= Direction.RECEIVED else f"{self._link}.{port}"
        said = link, "in" if port else "out", HecMark.BAD if flags & _RX_ERROR else HecMark.ABSENT
        self._said[flags] = said
        return said

    def _count_lost(self, lost: int) -> None:
        if lost:
            self._notes.once("records lost by the capturing card", "the capturing card lost records before this one",
                             lost)


def _body(octets: bytes, missing: int) -> tuple[bytes, int]:
    """The body of a record of a cell or a PDU, and the number of its octets that are missing; padding is cut off.

    The octets of a PDU are taken as they are, at any length: the follower judges PDUs. The card may have cut a record,
    and set the record length to match; or a later program cut it, and `missing` octets are gone.

    Raises:
        CaptureError: when the lengths do not fit the record's type or the octets at hand.

    """
    if len(octets) < ERF_HEADER_SIZE:
        raise CaptureError(f"an ERF header has {ERF_HEADER_SIZE} octets, here are {len(octets)}")
    length, _, wire_length = _LENGTHS.unpack_from(octets, _HEADER.size)
    kind = octets[8] & ~_EXTENDED
    if kind in _CHANNEL_TYPES and wire_length % PAYLOAD_SIZE == 4 + _CHANNEL_SIZE:
        wire_length -= _CHANNEL_SIZE  # some writers count the channel's header in the wire length
    at = _body_offset(octets)
    body = octets[at:min(at + wire_length, length)]
    cut = wire_length - len(body)
    is_cell = kind in _CELL_TYPES
    if length > len(octets) + missing or (cut and (is_cell or len(body) < 4)):
        raise CaptureError(f"an ERF record of {len(octets)} octets with record length {length} and wire "
                           f"length {wire_length} is cut short or damaged")
    if wire_length != _CELL_BODY_SIZE if is_cell else wire_length < 4:
        raise CaptureError(f"an ERF record of type {kind} has a body of {wire_length} octets")
    return body, cut


def _body_offset(octets: bytes) -> int:
    """The offset of the body: after the extension headers and a channel's header."""
    at = ERF_HEADER_SIZE
    kind = more = octets[8]
    while more & _EXTENDED and at < len(octets):
        more = octets[at]
        at += _EXTENSION_SIZE
    return at + (_CHANNEL_SIZE if kind & ~_EXTENDED in _CHANNEL_TYPES else 0)
