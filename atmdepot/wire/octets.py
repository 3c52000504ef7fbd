"""Bulk work on the octets of cells: the most expensive part of each packet, done by compiled code where it is built.

Each function has two forms: plain Python, named `..._plainly`, and its twin in `_octets.pyx`. The name without
`_plainly` is the form that runs. States, bounds and drop reasons have a single implementation, in `atm/sar.py`.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct

from fastcrc.crc32 import bzip2 as _crc32

from atmdepot.wire.aal5 import TRAILER_SIZE, cpcs_pdu, to_cells
from atmdepot.wire.cell import (
    CELL_SIZE,
    FIRST_USER_VCI,
    HEADER_SIZE,
    PAYLOAD_SIZE,
    PTI_LAST,
    PTI_OAM,
    CellHeader,
    header_with_hec,
    hec,
)

__all__ = ["good_word_at", "header_at", "headers_of", "payloads", "relabelled", "run_end", "sdu_of_cells", "sdu_of_pdu",
           "stretch_end", "train", "user_word", "user_word_at", "vc_headers"]

Headers = tuple[bytes, ...] | bytes
"""The headers of a train: a tuple of headers, or for the compiled twins the cells themselves."""

ALL, OF_VC, OF_VP = 0, 1, 2
"""The cells that `stretch_end` takes: all, or all but what may be OAM cells of a VC's or a VP's level."""

_GOOD_CRC = 0x38FB2284
"""crc32 over a whole good PDU: the residue C704DD7B of I.363.5, complemented."""
# A factor that repeats the 5 octets of a header four times.
_FOUR_TIMES = sum(1 << 8 * HEADER_SIZE * n for n in range(4))
_MARKS = int.from_bytes(b"".join(CellHeader(0, 0, pti, clp).pack() for clp in (0, 1) for pti in (0, PTI_LAST)), "big") \
    ^ _FOUR_TIMES * int.from_bytes(CellHeader(0, 0).pack(), "big")
"""The bits in which a VC's four headers differ from the first. The HEC is linear, so they are equal for all VCs."""


def vc_headers_plainly(vpi: int, vci: int) -> bytes:
    """The four headers that a VC sends, 20 octets: CLP 0, CLP 0 and last cell, CLP 1, CLP 1 and last cell.

    The caller checks that the numbers fit: a VPI has 8 bits at a UNI, 12 at an NNI, a VCI 16.
    """
    word = vpi << 20 | vci << 4
    return ((word << 8 | hec(word.to_bytes(4, "big"))) * _FOUR_TIMES ^ _MARKS).to_bytes(20, "big")


def train_plainly(sdu: bytes, headers: bytes, clp: int) -> bytes:
    """The cells of an SDU, with the right CRC.

    Args:
        sdu: 1 to 65535 octets; raises ValueError for another length.
        headers: the result of `vc_headers`.
        clp: the CLP bit of all cells.

    """
    # The headers of CLP 1 are behind those of CLP 0.
    at = 2 * HEADER_SIZE if clp else 0
    return to_cells(cpcs_pdu(sdu), headers[at:at + HEADER_SIZE], headers[at + HEADER_SIZE:at + 2 * HEADER_SIZE])


@lru_cache(maxsize=2048)
def _headers(count: int) -> Struct:
    return Struct(f"{HEADER_SIZE}s{PAYLOAD_SIZE}x" * count)


@lru_cache(maxsize=2048)
def _payloads(count: int) -> Struct:
    return Struct(f"{HEADER_SIZE}x{PAYLOAD_SIZE}s" * count)


def headers_of_plainly(cells: bytes) -> Headers:
    """The headers of a train (a whole number of cells), for the functions that take `Headers`."""
    return _headers(len(cells) // CELL_SIZE).unpack(cells)


def header_at_plainly(headers: Headers, at: int) -> bytes:
    """The 5 octets of the header of cell `at` (0, 1...); empty when there is no cell `at`."""
    return headers[at] if at < len(headers) else b""  # type: ignore[return-value]


def run_end_plainly(headers: Headers, at: int, stop: int) -> int:
    """The end of the run of cells with the header of cell `at`: the number of the first cell beyond the run.

    A run ends before cell `stop` at the latest. Raises IndexError when there is no cell `at`.
    """
    header = headers[at]
    end = at + 1
    while end < stop and headers[end] == header:
        end += 1
    return end


@lru_cache(maxsize=1 << 12)  # about a megabyte at most, however many wrong headers arrive
def user_word_plainly(header: bytes, is_nni: bool) -> int:
    """The first 32 bits of a good header (5 octets) of a user cell, without the GFC: VPI, VCI 16, PTI 3, CLP 1.

    -1 for any other header: with a wrong HEC, of an OAM or RM cell, or on a VCI that users may not have.
    """
    word = int.from_bytes(header[:4], "big")
    # The PTI is above the CLP bit, the VCI above the PTI.
    if hec(header[:4]) != header[4] or word & PTI_OAM << 1 or word >> 4 & 0xFFFF < FIRST_USER_VCI:
        return -1
    return word if is_nni else word & 0x0FFFFFFF  # at a UNI the first 4 bits are the GFC


def user_word_at_plainly(headers: Headers, at: int, is_nni: bool) -> int:
    """The `user_word` of the header of cell `at`; -1 also when there is no cell `at`."""
    return user_word_plainly(headers[at], is_nni) if at < len(headers) else -1


def good_word_at_plainly(cells: bytes, at: int) -> int:
    """The first 32 bits of the header of cell `at`; -1 when its HEC is wrong or there is no such cell."""
    header = cells[at * CELL_SIZE:at * CELL_SIZE + HEADER_SIZE] if 0 <= at < len(cells) // CELL_SIZE else b""
    return _good_word(header)


@lru_cache(maxsize=1 << 12)
def _good_word(header: bytes) -> int:
    return int.from_bytes(header[:4], "big") if len(header) == HEADER_SIZE and hec(header[:4]) == header[4] else -1


def stretch_end_plainly(cells: bytes, at: int, mask: int, value: int, level: int) -> int:
    """The end of the stretch of cells from cell `at` on that a connection takes: the number of the first beyond it.

    Their HECs are good, the bits of `mask` in their first 32 bits are `value`, and they are not empty cells. With level
    `OF_VC` they are user cells (PTI 0xx), with `OF_VP` of no VCI that has OAM cells (3, 4); any are taken with `ALL`.
    Raises IndexError for a negative number.
    """
    end, count = at, len(cells) // CELL_SIZE
    if at < 0:
        raise IndexError("no such cell")
    while end < count:
        word = good_word_at_plainly(cells, end)
        vci = word >> 4 & 0xFFFF
        if word < 0 or word & mask != value or not (value or vci):
            break
        if (level == OF_VC and word & PTI_OAM << 1) or (level == OF_VP and vci in (3, 4)):
            break
        end += 1
    return end


def relabelled_plainly(cells: bytes, first: int, end: int, kept: int, label: int) -> bytes:
    """Cells `first` to `end` (not included) under new headers: the bits `kept` of the first 32, `label`, and the HEC.

    Raises IndexError when the train does not have these cells.
    """
    if not 0 <= first <= end <= len(cells) // CELL_SIZE:
        raise IndexError("no such cells")
    out = []
    for at in range(first * CELL_SIZE, end * CELL_SIZE, CELL_SIZE):
        header = (int.from_bytes(cells[at:at + 4], "big") & kept | label).to_bytes(4, "big")
        out += [header_with_hec(header), cells[at + HEADER_SIZE:at + CELL_SIZE]]
    return b"".join(out)


def payloads_plainly(cells: bytes, first: int, count: int) -> bytes:
    """The payloads of `count` cells from cell `first` on, joined."""
    return b"".join(_payloads(count).unpack_from(cells, first * CELL_SIZE))


def sdu_of_cells_plainly(cells: bytes, first: int, count: int, max_sdu: int) -> bytes | None:
    """The SDU of a CPCS-PDU that fills `count` cells from cell `first` on; None as in `sdu_of_pdu`."""
    return sdu_of_pdu_plainly(payloads_plainly(cells, first, count), max_sdu)


def sdu_of_pdu_plainly(pdu: bytes, max_sdu: int) -> bytes | None:
    """The SDU of a CPCS-PDU; None if `parse_cpcs_pdu` with the strict CRC would raise an error."""
    size = len(pdu)
    if not size or size % PAYLOAD_SIZE:
        return None
    length = pdu[-6] << 8 | pdu[-5]  # Length is in front of the CRC-32
    if 0 < length <= max_sdu and 0 <= size - TRAILER_SIZE - length < PAYLOAD_SIZE and _crc32(pdu) == _GOOD_CRC:
        return pdu[:length]
    return None


try:
    from atmdepot.wire._octets import (
        good_word_at,
        header_at,
        headers_of,
        payloads,
        relabelled,
        run_end,
        sdu_of_cells,
        sdu_of_pdu,
        stretch_end,
        train,
        user_word,
        user_word_at,
        vc_headers,
    )
except ImportError:
    header_at, headers_of, run_end = header_at_plainly, headers_of_plainly, run_end_plainly
    payloads, sdu_of_cells, sdu_of_pdu = payloads_plainly, sdu_of_cells_plainly, sdu_of_pdu_plainly
    train, vc_headers = train_plainly, vc_headers_plainly
    good_word_at, stretch_end, relabelled = good_word_at_plainly, stretch_end_plainly, relabelled_plainly
    user_word, user_word_at = user_word_plainly, user_word_at_plainly
