"""Captures of ATM links as ERF records in a pcap file (link type 197), which stock Wireshark and tshark read.

::

    record   time 8 (little-endian, unit 2^-32 s) | type 1 | flags 1 | record length 2 | lost 2
             | wire length 2 | body
    type 3   body = cell header without HEC 4 | payload 48
    type 4   body = cell header without HEC 4 | CPCS-PDU of AAL5 with its trailer
    7 and 9  the same with 4 octets in front, which tell the channel of a card that captures many

Bit 7 of the type tells that extension headers of 8 octets stand before the body; bit 7 of each one's first octet that
another follows. The wire length counts neither them nor the channel's 4 octets.

tshark does not reassemble AAL5 from cells, so a capture holds both: every cell, and after the last cell of
each PDU the PDU itself. Look at one with `tshark -o erf.aal5_type:unspec -V -r FILE`. It reads every header
as a UNI's, so it shows only the lower 8 bits of an NNI's VPI.
"""

from __future__ import annotations

from collections import Counter
from enum import IntEnum
from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from atmdepot.drops import DropReason, Drops
from atmdepot.trace.pcap import CaptureError, LinkType, PcapReader, PcapWriter, link_type_text
from atmdepot.trace.sources import CapturedCells, HecMark, PduSeen
from atmdepot.wire.cell import (
    CELL_SIZE,
    HEADER_SIZE,
    PAYLOAD_SIZE,
    PTI_OAM,
    CellHeader,
    Interface,
    correct,
    hec,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.trace.notes import Notes
    from atmdepot.trace.sources import SourceRecord

MAX_PDU_CELLS = (0xFFFF - 16 - 4) // PAYLOAD_SIZE
"""1364. AAL5 allows 1366, but a record's length has 16 bits: PDUs of 1365 and 1366 cells do not fit one."""

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

_SIGNALLING_VCIS = {5, 16, 17, 18}
"""Below 32, the VCIs that carry AAL5: signalling, ILMI, LECS and PNNI."""


class Direction(IntEnum):
    """Which way a cell went, seen from the node that captured; the record's interface number.

    Wireshark shows interface 0 as "DTE -> DCE" and all others as "DCE -> DTE": right for an edge node.
    """

    SENT = 0
    RECEIVED = 1


class ErfCell(NamedTuple):
    """A cell: its time in ns, 53 octets, and a Direction (or 2 or 3, which other writers may use).

    A record holds no HEC: the one in `cell` was made on reading. `hec_error` tells that the link's was wrong.
    """

    time_ns: int
    cell: bytes
    direction: int
    hec_error: bool = False


class ErfPdu(NamedTuple):
    """A CPCS-PDU: its time in ns, a 4-octet cell header without HEC (its VC), its octets, a Direction.

    `missing` octets at its end are not in the capture, which was cut to a snap length.
    """

    time_ns: int
    header: bytes
    cpcs_pdu: bytes
    direction: int
    missing: int = 0


class ErfWriter:
    """Writes cells and PDUs; times are ns since 1970, below 2^32 s; a direction is 0 to 3."""

    def __init__(self, file: BinaryIO) -> None:
        """Write the pcap header to `file`."""
        self._pcap = PcapWriter(file, LinkType.ERF)

    def cell(self, time_ns: int, cell: bytes, direction: int) -> None:
        """Write a cell; where its HEC is wrong, the record's error flag tells it.

        Raises:
            ValueError: for other than 53 octets.

        """
        if len(cell) != CELL_SIZE:
            raise ValueError(f"a cell has {CELL_SIZE} octets, this one has {len(cell)}")
        error = 0 if hec(cell[:4]) == cell[4] else _RX_ERROR
        self._write(time_ns, _TYPE_ATM, direction, cell[:4] + cell[HEADER_SIZE:], error)

    def pdu(self, time_ns: int, header: bytes, cpcs_pdu: bytes, direction: int) -> None:
        """Write a CPCS-PDU with the 4 octets of a cell header that tell its VC.

        Raises:
            ValueError: for another header, or a PDU that is not 1 to MAX_PDU_CELLS times 48 octets.

        """
        cells, rest = divmod(len(cpcs_pdu), PAYLOAD_SIZE)
        if len(header) != 4 or rest or not 1 <= cells <= MAX_PDU_CELLS:
            raise ValueError(f"a record takes a header of 4 octets and a PDU of 1 to {MAX_PDU_CELLS} times "
                             f"{PAYLOAD_SIZE}, not of {len(header)} and {len(cpcs_pdu)}")
        self._write(time_ns, _TYPE_AAL5, direction, header + cpcs_pdu)

    def flush(self) -> None:
        """Hand what was written to the system, for whoever reads along."""
        self._pcap.flush()

    def _write(self, time_ns: int, kind: int, direction: int, body: bytes, error: int = 0) -> None:
        if not 0 <= direction <= _INTERFACE_BITS:
            raise ValueError(f"a direction is 0 to {_INTERFACE_BITS}, not {direction}")
        head = _HEADER.pack(_stamp(time_ns) & 0xFFFF_FFFF_FFFF_FFFF, kind, direction | _VARYING_LENGTH | error)
        self._pcap.write(time_ns, head + _LENGTHS.pack(ERF_HEADER_SIZE + len(body), 0, len(body)) + body)


def _stamp(time_ns: int) -> int:
    """A time as records have it, rounded to the nearest as readers do: then every ns comes back as it was."""
    seconds, ns = divmod(time_ns, _NS)
    return (seconds << 32) + ((ns << 32) + _NS // 2) // _NS


def cell_record_header(time_ns: int, direction: int, *, hec_error: bool = False) -> bytes:
    """The header of a cell's record (type 3), for a time from 1970 to 2106; its body has 52 octets."""
    flags = direction | _VARYING_LENGTH | (_RX_ERROR if hec_error else 0)
    return _HEADER.pack(_stamp(time_ns), _TYPE_ATM, flags) + _CELL_LENGTHS


def pdu_record_header(time_ns: int, direction: int, length: int, captured: int) -> bytes:
    """The header of a PDU's record (type 4): of a body of `length` octets, `captured` of them follow."""
    head = _HEADER.pack(_stamp(time_ns), _TYPE_AAL5, direction | _VARYING_LENGTH)
    return head + _LENGTHS.pack(ERF_HEADER_SIZE + captured, 0, length)


@lru_cache(maxsize=1 << 16)
def header_with_hec(octets: bytes) -> bytes:
    """The 5 octets of a cell header whose first 4 are these."""
    return octets + bytes((hec(octets),))


def parse_record(octets: bytes, missing: int = 0) -> ErfCell | ErfPdu:
    """The cell or PDU of an ERF record; octets after its wire length are padding.

    The octets of a PDU are taken as they stand, whatever their number: `parse_cpcs_pdu` judges them.

    Args:
        octets: the record, from its header on.
        missing: how many octets at its end the capture does not hold.

    Raises:
        CaptureError: for another type, or a record whose lengths do not fit its type or the octets there are.

    """
    if len(octets) < ERF_HEADER_SIZE:
        raise CaptureError(f"an ERF header has {ERF_HEADER_SIZE} octets, here are {len(octets)}")
    stamp, kind, flags = _HEADER.unpack_from(octets)
    length, _, wire_length = _LENGTHS.unpack_from(octets, _HEADER.size)
    body_at = _body_offset(octets, kind)
    kind &= ~_EXTENDED
    if kind not in _CELL_TYPES and kind not in _PDU_TYPES:
        raise CaptureError(f"an ERF record of type {kind} holds neither a cell (3, 7) nor an AAL5 PDU (4, 9)")
    if kind in _CHANNEL_TYPES and wire_length % PAYLOAD_SIZE == 4 + _CHANNEL_SIZE:
        wire_length -= _CHANNEL_SIZE  # some writers count the channel's header
    body = octets[body_at:min(body_at + wire_length, length)]
    cut = wire_length - len(body)
    # A record may be cut by the card, which then has a record length to match, or later: then a part is missing.
    if length > len(octets) + missing or (cut and (kind in _CELL_TYPES or len(body) < 4)):
        raise CaptureError(f"an ERF record of {len(octets)} octets with record length {length} and wire "
                           f"length {wire_length} is cut short or damaged")
    time_ns = (stamp * _NS + (1 << 31)) >> 32
    direction = flags & _INTERFACE_BITS
    if kind in _CELL_TYPES and wire_length == _CELL_BODY_SIZE:
        return ErfCell(time_ns, header_with_hec(body[:4]) + body[4:], direction, bool(flags & _RX_ERROR))
    if kind in _PDU_TYPES and wire_length >= 4:
        return ErfPdu(time_ns, body[:4], body[4:], direction, cut)
    raise CaptureError(f"an ERF record of type {kind} has a body of {wire_length} octets")


def _body_offset(octets: bytes, kind: int) -> int:
    """Where the body begins: after the extension headers and a channel's header."""
    at = ERF_HEADER_SIZE
    more = kind & _EXTENDED
    while more and at < len(octets):
        more = octets[at] & _EXTENDED
        at += _EXTENSION_SIZE
    return at + (_CHANNEL_SIZE if kind & ~_EXTENDED in _CHANNEL_TYPES else 0)


class ErfDecoder:
    """Makes source records of the ERF records of one interface of a capture."""

    def __init__(self, notes: Notes, node: str, link: str) -> None:
        """Cells are those of `link`; a capture of a card with more than two ports adds a port's number to it."""
        self._notes = notes
        self._node = node
        self._link = link
        self._said: dict[int, tuple[str, str, HecMark]] = {}

    def decode(self, _: int, octets: bytes, missing: int, direction: str) -> SourceRecord | None:
        """The cell or PDU of a record, at its own time; a `direction` that the capture tells goes before its own."""
        if len(octets) == _CELL_RECORD.size:
            stamp, kind, flags, lengths, header, payload = _CELL_RECORD.unpack(octets)
            if kind == _TYPE_ATM and lengths == _CELL_LENGTHS:
                flags &= _KNOWN_FLAGS
                link, way, mark = self._said.get(flags) or self._say(flags)
                return CapturedCells((stamp * _NS + 0x8000_0000) >> 32, link, direction or way,
                                     header_with_hec(header) + payload, self._node, mark)
        return self._decode(octets, missing, direction)

    def _decode(self, octets: bytes, missing: int, direction: str) -> SourceRecord | None:
        if len(octets) >= ERF_HEADER_SIZE:
            kind = octets[8] & ~_EXTENDED
            self._count_lost(_LENGTHS.unpack_from(octets, _HEADER.size)[1])
            if kind not in _CELL_TYPES and kind not in _PDU_TYPES:
                self._notes.once(f"ERF records of type {kind}",
                                 f"an ERF record of type {kind} holds no cells; all of this type are passed over")
                return None
        try:
            value = parse_record(octets, missing)
        except CaptureError as error:
            self._notes.remark("cut ERF records" if missing else "damaged ERF records", str(error))
            return None
        link, way, mark = self._say(octets[9] & _KNOWN_FLAGS)
        if isinstance(value, ErfPdu):
            return PduSeen(value.time_ns, link, direction or way, value.header, value.cpcs_pdu, True, value.missing,
                           self._node)
        return CapturedCells(value.time_ns, link, direction or way, value.cell, self._node, mark)

    def _say(self, flags: int) -> tuple[str, str, HecMark]:
        """What a record's flags say: link, direction, and the HEC of a cell."""
        port = flags & _INTERFACE_BITS
        link = self._link if port <= Direction.RECEIVED else f"{self._link}.{port}"
        said = link, "in" if port else "out", HecMark.BAD if flags & _RX_ERROR else HecMark.ABSENT
        self._said[flags] = said
        return said

    def _count_lost(self, lost: int) -> None:
        if lost:
            self._notes.once("records lost by the capturing card", "the capturing card lost records before this one",
                             lost)


class ErfReader:
    """An iterator over the cells and PDUs of an ERF capture; `skipped` counts the records of each other type.

    A file cut short ends early and says so in the `truncated` of the PcapReader.
    """

    def __init__(self, reader: PcapReader) -> None:
        """Take the records of `reader`; raise CaptureError when its link type is another."""
        if reader.link_type != LinkType.ERF:
            raise CaptureError(f"{reader.name}: the link type is {link_type_text(reader.link_type)}, "
                               f"not {link_type_text(LinkType.ERF)}")
        self._reader = reader
        self.skipped: Counter[int] = Counter()

    def __iter__(self) -> Iterator[ErfCell | ErfPdu]:
        """What the records hold that the reader has not given yet.

        Raises:
            CaptureError: for a damaged record; another loop goes on after it.

        """
        for record in self._reader:
            octets = record.octets
            if len(octets) >= ERF_HEADER_SIZE and octets[8] not in (_TYPE_ATM, _TYPE_AAL5):
                self.skipped[octets[8]] += 1
                continue
            try:
                value = parse_record(octets)
            except CaptureError as error:
                place = f"{self._reader.name}, octet {self._reader.record_offset}"
                raise CaptureError(f"{place}: {error}") from None
            yield value


class ErfCapture:
    """Writes what is seen on a link: every cell, and after its last cell each PDU, per VC and direction.

    PDUs are rebuilt, not judged: one with a wrong CRC is written as it came. A cell with more than one
    wrong bit in its header is in no PDU, as no receiver would take it. `drops` counts the PDUs not rebuilt:
    OVERSIZE those of more than MAX_PDU_CELLS cells; REASSEMBLY_OVERFLOW the oldest begun, given up when
    more than `max_waiting` cells waited for their last one. (What still comes of such a one is then written
    as a PDU of its own.)
    """

    def __init__(self, file: BinaryIO, interface: Interface = Interface.UNI, *,
                 max_waiting: int = 1 << 18) -> None:
        """Write the pcap header to `file`; `interface` is the header format of the link."""
        self._writer = ErfWriter(file)
        self._interface = interface
        self._max_waiting = max_waiting
        self._waiting = 0
        self._parts: dict[tuple[int, int, int], list[bytes]] = {}
        self.drops = Drops()

    def record(self, time_ns: int, cells: bytes, direction: int) -> None:
        """Write a train of cells, all seen at `time_ns`.

        Raises:
            ValueError: when it is no whole number of cells.

        """
        if len(cells) % CELL_SIZE:
            raise ValueError(f"{len(cells)} octets are no whole number of cells")
        for at in range(0, len(cells), CELL_SIZE):
            cell = cells[at:at + CELL_SIZE]
            self._writer.cell(time_ns, cell, direction)
            header = _aal5_header(cell[:HEADER_SIZE])
            if header is not None:
                self._rebuild(time_ns, header, cell[HEADER_SIZE:], direction)

    def flush(self) -> None:
        """Hand what was written to the system, for whoever reads along."""
        self._writer.flush()

    def _rebuild(self, time_ns: int, header: bytes, payload: bytes, direction: int) -> None:
        fields = CellHeader.unpack(header, self._interface)
        vc = direction, fields.vpi, fields.vci
        parts = self._parts.setdefault(vc, [])
        # A PDU that is too long keeps its place and grows no more, so that its end is known for what it is.
        if len(parts) <= MAX_PDU_CELLS:
            parts.append(payload)
            self._waiting += 1
        if fields.is_last:
            self._waiting -= len(self._parts.pop(vc))
            self._finish(time_ns, header, parts, direction)
        elif self._waiting > self._max_waiting:
            self._waiting -= len(self._parts.pop(next(iter(self._parts))))
            self.drops[DropReason.REASSEMBLY_OVERFLOW] += 1

    def _finish(self, time_ns: int, header: bytes, parts: list[bytes], direction: int) -> None:
        if len(parts) > MAX_PDU_CELLS:
            self.drops[DropReason.OVERSIZE] += 1
        else:
            self._writer.pdu(time_ns, header[:4], b"".join(parts), direction)


@lru_cache(maxsize=4096)
def _aal5_header(octets: bytes) -> bytes | None:
    """The header of a cell that can be part of a PDU, one wrong bit mended; None for all other cells."""
    mended = correct(octets)
    if mended is None:
        return None
    fields = CellHeader.unpack(mended)
    if fields.is_user_data or (fields.vci in _SIGNALLING_VCIS and not fields.pti & PTI_OAM):
        return mended
    return None
