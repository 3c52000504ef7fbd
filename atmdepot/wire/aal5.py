"""AAL type 5: the CPCS-PDU and its cells (ITU-T I.363.5).

::

    CPCS-PDU = SDU | pad 0..47 | CPCS-UU 1 | CPI 1 | Length 2 | CRC-32 4      a whole number of 48-octet payloads

The last cell of a PDU has bit 0 of its PTI set. No other mark separates PDUs, so the receiver has to detect a lost
last cell as an error (section 8.2.1).
"""

from __future__ import annotations

import zlib
from enum import StrEnum
from functools import lru_cache
from struct import Struct
from typing import NamedTuple

from fastcrc.crc32 import bzip2 as _crc32

from atmdepot.drops import DropReason
from atmdepot.wire.arguments import fitting, member, whole_number
from atmdepot.wire.cell import PAYLOAD_SIZE

TRAILER_SIZE = 8
MAX_SDU = 65535
_TRAILER = Struct(">BBH")
_GOOD_CRC = 0x38FB2284
"""crc32 over a whole good PDU: the residue C704DD7B of I.363.5, complemented."""


class CrcMode(StrEnum):
    """The CRCs that a VC writes and accepts.

    `strict` is the CRC-32 of I.363.5. `dynamips` writes the CRC of Dynamips' ATM bridge (the zlib CRC-32 of the PDU
    without its last 4 octets), and accepts that CRC, its complement (Dynamips' PA-A1) and the strict CRC. `ignore`
    writes the strict CRC and accepts any.
    """

    STRICT = "strict"
    DYNAMIPS = "dynamips"
    IGNORE = "ignore"


class Aal5Error(ValueError):
    """A faulty CPCS-PDU; `reason` is the drop reason."""

    def __init__(self, reason: DropReason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class CpcsPdu(NamedTuple):
    """The contents of a CPCS-PDU: the SDU, and CPCS-UU and CPI of the trailer."""

    sdu: bytes
    uu: int
    cpi: int


def crc32(octets: bytes) -> int:
    """AAL5's CRC-32: polynomial 04C11DB7, initial FFFFFFFF, not reflected, complemented."""
    return int(_crc32(octets))


def cells_needed(length: int) -> int:
    """The number of cells of an SDU of `length` octets (1 to 65535, else ValueError): ceil((length + 8) / 48)."""
    return cells_of(whole_number("length", length, 1, MAX_SDU))


def cells_of(length: int) -> int:
    """The same for any length, as a capture may have it."""
    return (length + TRAILER_SIZE + PAYLOAD_SIZE - 1) // PAYLOAD_SIZE


def cpcs_pdu(sdu: bytes, *, uu: int = 0, cpi: int = 0, crc: CrcMode | str = CrcMode.STRICT) -> bytes:
    """The CPCS-PDU of an SDU; raise ValueError for one of 0 octets or more than 65535, and any other wrong value."""
    if not isinstance(crc, CrcMode):
        crc = member(CrcMode, "crc", crc)
    length = len(sdu)
    if not 1 <= length <= MAX_SDU:
        raise ValueError(f"an AAL5 SDU has 1 to {MAX_SDU} octets, this one has {length}")
    # Pad, UU and CPI are usually 0, so a single big-endian number writes the whole tail up to the CRC.
    tail = length.to_bytes(-(length + TRAILER_SIZE) % PAYLOAD_SIZE + _TRAILER.size, "big")
    if uu or cpi:
        tail = tail[:-_TRAILER.size] + _TRAILER.pack(fitting("uu", uu, 8), fitting("cpi", cpi, 8), length)
    body = b"".join((sdu, tail))
    check = zlib.crc32(body) if crc is CrcMode.DYNAMIPS else _crc32(body)
    return body + check.to_bytes(4, "big")


def parse_cpcs_pdu(pdu: bytes, *, crc: CrcMode | str = CrcMode.STRICT, max_sdu: int = MAX_SDU) -> CpcsPdu:
    """Check a CPCS-PDU and return its SDU.

    Args:
        pdu: all its octets, trailer included; a number that is not a multiple of 48 is a length error.
        crc: which CRCs are accepted.
        max_sdu: the greatest SDU accepted, in octets.

    Raises:
        Aal5Error: with the reason CRC_ERROR, LENGTH_ERROR, ABORTED or OVERSIZE (I.363.5 section 9.2.1).
        ValueError: for an unknown CRC mode.

    """
    if not isinstance(crc, CrcMode):
        crc = member(CrcMode, "crc", crc)
    if len(pdu) < PAYLOAD_SIZE or len(pdu) % PAYLOAD_SIZE:
        raise Aal5Error(DropReason.LENGTH_ERROR, f"{len(pdu)} octets are no whole number of payloads")
    # The CRC first: the Length of a PDU with a wrong CRC means nothing.
    if crc is not CrcMode.IGNORE and _crc32(pdu) != _GOOD_CRC and not (
            crc is CrcMode.DYNAMIPS and is_dynamips_crc(pdu)):
        raise Aal5Error(DropReason.CRC_ERROR, "the CRC-32 is wrong")
    uu, cpi, length = _TRAILER.unpack_from(pdu, len(pdu) - TRAILER_SIZE)
    # Before the check of the pad, which the Length of an abort need not pass.
    if length == 0:
        raise Aal5Error(DropReason.ABORTED, "Length 0: the sender aborted the PDU")
    if not 0 <= len(pdu) - TRAILER_SIZE - length < PAYLOAD_SIZE:
        raise Aal5Error(DropReason.LENGTH_ERROR, f"Length {length} does not fit {len(pdu)} octets of PDU")
    if length > max_sdu:
        raise Aal5Error(DropReason.OVERSIZE, f"{length} octets are more than the VC's {max_sdu}")
    return CpcsPdu(bytes(pdu[:length]), uu, cpi)


def is_dynamips_crc(pdu: bytes) -> bool:
    """True when a PDU ends with a CRC of Dynamips: that of zlib, plain (ATM bridge) or complemented (PA-A1)."""
    written, computed = int.from_bytes(pdu[-4:], "big"), zlib.crc32(pdu[:-4])
    return written in (computed, computed ^ 0xFFFFFFFF)


# Room for every train: the greatest PDU has 1366 cells.
@lru_cache(maxsize=2048)
def _chunks(count: int) -> Struct:
    """A Struct that cuts `count` payloads; its empty first field makes `header.join` begin with a header."""
    return Struct("0s" + f"{PAYLOAD_SIZE}s" * count)


def to_cells(pdu: bytes, header: bytes, last_header: bytes) -> bytes:
    """Cut a CPCS-PDU into a train of cells: `header` before each payload, `last_header` before the last.

    `header.join` over the unpacked payloads takes a few calls for the whole train, instead of a call for each cell.
    """
    count = len(pdu) // PAYLOAD_SIZE - 1
    if count == 0:
        return last_header + pdu
    train = header.join(_chunks(count).unpack_from(pdu))
    return b"".join((train, last_header, pdu[count * PAYLOAD_SIZE:]))
