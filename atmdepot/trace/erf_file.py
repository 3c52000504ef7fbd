"""ERF files: records back to back, as Endace cards write them, without a file header.

The records are those of `erf.py`; their length counts header, extension headers, body and padding. There is no magic: a
file is taken for ERF if its first records follow one another as ERF records do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.trace.capture.erf import ERF_HEADER_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.trace.capture.octets import OctetReader
    from atmdepot.trace.capture.pcapng import Decode, Frame
    from atmdepot.trace.notes import Notes

_TYPES = frozenset((*range(1, 33), 48))
"""The record types that are defined; 48 is padding between records."""
_LOOKED_AT = 5  # records
_TYPE_BITS = 0x7F  # bit 7 tells of extension headers


def _length(data: bytes, at: int) -> int:
    return int.from_bytes(data[at + 10:at + 12], "big")


def looks_like_erf(octets: OctetReader) -> bool:
    """True when the octets begin with ERF records; up to five are examined.

    At least one whole record must be there, and two before a damaged record.
    """
    at = 0
    for number in range(_LOOKED_AT):
        if not octets.want(at + ERF_HEADER_SIZE):
            # The end of the file, or a record that is cut: the records before it are still valid.
            return number > 0
        start = octets.at + at
        length = _length(octets.data, start)
        if octets.data[start + 8] & _TYPE_BITS not in _TYPES or length < ERF_HEADER_SIZE:
            return number > 1
        if not octets.want(at + length):
            return number > 0
        at += length
    return True


class ErfFileReader:
    """Gives the records of an ERF file, holding one block of it at a time.

    Reading ends at damage, with a remark. `decode` makes the source's records; each record has its own time.
    """

    def __init__(self, octets: OctetReader, notes: Notes, decode: Decode) -> None:
        self._octets = octets
        self._notes = notes
        self._decode = decode
        self._number = 0
        self.record_offset = 0

    def frames(self) -> Iterator[Frame]:
        """Give all records, to the end of the file."""
        source = self._octets
        while source.want(1):
            self._number += 1
            self.record_offset = source.offset
            length = ERF_HEADER_SIZE
            if source.want(ERF_HEADER_SIZE):
                length = _length(source.data, source.at)
                if length < ERF_HEADER_SIZE:
                    self._end("damaged places", f"it claims {length} octets, and an ERF record has at least "
                              f"{ERF_HEADER_SIZE}: what follows cannot be read")
                    return
            if not source.want(length):
                why = source.broken and f"it cannot be read further: {source.broken}"
                self._end("cuts", why or f"the file ends in it: {source.left} of {length} octets are there")
                return
            at = source.at
            source.at += length
            yield self._decode, 0, source.data[at:at + length], 0, ""
        if source.broken:
            self._end("cuts", f"it cannot be read further: {source.broken}")

    def _end(self, kind: str, why: str) -> None:
        self._notes.remark(kind, f"record {self._number:,}: {why}")
