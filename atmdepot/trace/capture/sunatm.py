"""Captures of PDUs, without cells: SunATM's (link type 123), RFC 1483 frames (100), and Classical IP over ATM (106).

::

    SunATM     flags 1 | VPI 1 | VCI 2 | SDU      flags: 0x80 sent, else received; the low 4 bits tell the traffic type
    RFC 1483   LLC/SNAP and its payload           without the VC
    CLIP       the same, or a bare IP packet      without the VC

The formats have no trailer, and so no CRC to judge. GNS3 writes the cells of its ATM links with link type 100, one raw
cell of 53 octets in a record, which no other tool reads.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from atmdepot.net.events import Cells
from atmdepot.trace.sources import PduSeen, UnplacedPdu
from atmdepot.wire.cell import CELL_SIZE, HEADER_SIZE, PTI_LAST, CellHeader, correct, hec
from atmdepot.wire.llc import LLC_SNAP

if TYPE_CHECKING:
    from atmdepot.trace.notes import Notes
    from atmdepot.trace.sources import SourceRecord

_HEADER = Struct(">BBH")
_SENT, _LLC, _ILMI, _SIGNALLING = 0x80, 0x02, 0x05, 0x06  # bit 7, and kinds of traffic in the low 4 bits
_VCI_SIGNALLING, _VCI_ILMI = 5, 16
_LLC_BEGINS = (LLC_SNAP, bytes.fromhex("FEFE03"), bytes.fromhex("424203"))
"""SNAP, ISO network protocols, and the spanning tree of bridges."""
_NO_VC = bytes((0, 0, 0, PTI_LAST << 1))  # VC 0/0, and the PTI of a last cell


def sunatm_record(header: bytes, sdu: bytes, *, sent: bool) -> bytes:
    """The record of an SDU; of the 4-octet cell header it keeps the VCI and the lower 8 bits of the VPI."""
    fields = CellHeader.unpack(header)
    kind = {_VCI_SIGNALLING: _SIGNALLING, _VCI_ILMI: _ILMI}.get(fields.vci)
    # Signalling and ILMI are known by their reserved VCIs, other SDUs by their first octets.
    if kind is None:
        kind = _LLC if sdu.startswith(_LLC_BEGINS) else 0
    return _HEADER.pack(_SENT * sent | kind, fields.vpi, fields.vci) + sdu


class SunAtmDecoder:
    """Makes source records from SunATM records, all on the same link."""

    def __init__(self, notes: Notes, node: str, link: str) -> None:
        self._notes = notes
        self._node = node
        self._link = link

    def decode(self, time: int, octets: bytes, missing: int, direction: str) -> SourceRecord | None:
        """Return the PDU; the capture's `direction` goes before the record's own."""
        if len(octets) < _HEADER.size:
            self._notes.remark("damaged SunATM records", f"a SunATM record has at least {_HEADER.size} octets, this "
                               f"one has {len(octets)}")
            return None
        flags, vpi, vci = _HEADER.unpack_from(octets)
        # The record has no PTI: a whole PDU gets a last cell's.
        header = CellHeader(vpi, vci, PTI_LAST).pack()[:4]
        way = direction or ("out" if flags & _SENT else "in")
        return PduSeen(time, self._link, way, header, octets[_HEADER.size:], False, missing, self._node)


class Rfc1483Decoder:
    """Makes source records from frames of link type 100, telling raw cells from LLC.

    A record holds cells if it is a whole number of cells whose HECs are all right; or if it is no LLC and each of its
    cell headers has at most one wrong bit. The direction is known only where the capture tells it, else it is empty.
    """

    def __init__(self, notes: Notes, node: str, link: str) -> None:
        self._notes = notes
        self._node = node
        self._link = link

    def decode(self, time: int, octets: bytes, missing: int, direction: str) -> SourceRecord | None:
        """Return the cells; or the PDU, without its VC."""
        llc = octets.startswith(_LLC_BEGINS)
        # An LLC frame of a multiple of 53 octets must not pass for cells by a correctable HEC.
        if not missing and _are_cells(octets, strict=llc):
            return Cells(time, self._link, direction, octets, self._node)
        if not llc:
            self._notes.remark("frames of link type 100 that are neither cells nor LLC")
            return None
        return UnplacedPdu(time, self._link, direction, _NO_VC, octets, False, missing, self._node)


class ClipDecoder:
    """Makes source records from the packets of Linux's Classical IP over ATM, with or without LLC in front."""

    def __init__(self, notes: Notes, node: str, link: str) -> None:
        self._notes = notes
        self._node = node
        self._link = link

    def decode(self, time: int, octets: bytes, missing: int, direction: str) -> SourceRecord | None:
        """Return the SDU, without its VC."""
        if not (octets.startswith(_LLC_BEGINS) or (octets[:1] and octets[0] >> 4 in (4, 6))):
            self._notes.remark("CLIP frames that are neither IP nor LLC")
            return None
        return UnplacedPdu(time, self._link, direction, _NO_VC, octets, False, missing, self._node)


def _are_cells(octets: bytes, *, strict: bool) -> bool:
    if not octets or len(octets) % CELL_SIZE:
        return False
    for at in range(0, len(octets), CELL_SIZE):
        header = octets[at:at + HEADER_SIZE]
        if hec(header[:4]) != header[4] and (strict or correct(header) is None):
            return False
    return True
