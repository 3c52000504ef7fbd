"""Cells in words: the header, and the place in the PDU or the contents of an OAM cell."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from atmdepot.trace.items import HecVerdict
from atmdepot.trace.show.oam import oam_text

if TYPE_CHECKING:
    from atmdepot.trace.items import Cell
    from atmdepot.wire.cell import CellHeader

_PTI_WORDS = ("user", "user last", "user EFCI", "user last EFCI",
              "OAM F5 segment", "OAM F5 end-to-end", "RM", "reserved")
_F4_WORDS = {3: "OAM F4 segment", 4: "OAM F4 end-to-end"}
_RESERVED_VCIS = {1: "meta-signalling", 2: "broadcast signalling", 5: "signalling", 6: "VP RM", 16: "ILMI", 17: "LECS",
                  18: "PNNI"}


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
