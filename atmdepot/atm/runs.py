"""Runs of cells with equal headers: how a train falls into them, and how a run gets another header.

Policing, queueing and switching work on runs, so that the number of cells in a run costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from atmdepot.wire.cell import CELL_SIZE, HEADER_SIZE, PTI_EFCI, PTI_LAST, PTI_OAM, header_with_hec
from atmdepot.wire.octets import header_at, headers_of, run_end

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLP = 1  # of a header's fourth octet, in which the PTI is above it
_LAST, _EFCI, _OAM = PTI_LAST << 1, PTI_EFCI << 1, PTI_OAM << 1


class Run(NamedTuple):
    """Cells `first` to `end` (not included) of a train, which all have this header of 5 octets."""

    header: bytes
    first: int
    end: int

    @property
    def size(self) -> int:
        """The number of cells."""
        return self.end - self.first

    @property
    def clp(self) -> int:
        """The CLP bit."""
        return self.header[3] & _CLP

    @property
    def is_user(self) -> bool:
        """True for user cells: PTI 0xx."""
        return not self.header[3] & _OAM

    @property
    def is_last(self) -> bool:
        """True for last cells of AAL5 PDUs."""
        return self.header[3] & (_OAM | _LAST) == _LAST

    def cells_of(self, train: bytes) -> bytes:
        """The cells themselves; the train, not a copy, when the run is all of it."""
        return train[self.first * CELL_SIZE:self.end * CELL_SIZE]


def runs_of(cells: bytes) -> Iterator[Run]:
    """The runs of a train, in order; raise ValueError for octets that are no whole number of cells."""
    count, odd = divmod(len(cells), CELL_SIZE)
    if odd:
        raise ValueError(f"{len(cells)} octets are no whole number of {CELL_SIZE}-octet cells")
    headers, at = headers_of(cells), 0
    while at < count:
        end = run_end(headers, at, count)
        yield Run(header_at(headers, at), at, end)
        at = end


def with_header(cells: bytes, header: bytes) -> bytes:
    """The cells under another header (5 octets), all of them under the same."""
    changed = bytearray(cells)
    _set_header(changed, 0, len(cells), header)
    return bytes(changed)


def _set_header(cells: bytearray, start: int, stop: int, header: bytes) -> None:
    """Write a header in front of the cells between two octets."""
    count = (stop - start) // CELL_SIZE
    # An octet of all headers at a time: as many steps for a thousand cells as for one.
    for at in range(HEADER_SIZE):
        cells[start + at:stop:CELL_SIZE] = header[at:at + 1] * count


def tagged(header: bytes) -> bytes:
    """The header with CLP 1 and its HEC."""
    return _marked(header, _CLP)


def with_efci(header: bytes) -> bytes:
    """The header with EFCI and its HEC; that of a cell without user data as it is (I.361 section 2.2.4)."""
    return header if header[3] & _OAM else _marked(header, _EFCI)


def _marked(header: bytes, bit: int) -> bytes:
    return header_with_hec(header[:3] + bytes((header[3] | bit,)))
