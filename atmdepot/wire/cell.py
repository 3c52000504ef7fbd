"""The ATM cell: header and HEC (ITU-T I.361, I.432.1).

A cell has 53 octets: a header of 5 octets, the last of which is the HEC, and a payload of 48::

    UNI   GFC 4 | VPI 8  | VCI 16 | PTI 3 | CLP 1 | HEC 8
    NNI   VPI 12         | VCI 16 | PTI 3 | CLP 1 | HEC 8
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

import crcmod

from atmdepot.signatures import OfInit
from atmdepot.wire.arguments import fitting, member

CELL_SIZE = 53
HEADER_SIZE = 5
PAYLOAD_SIZE = 48
FIRST_USER_VCI = 32

PTI_LAST = 0b001
"""ATM-user-to-ATM-user indication: the last cell of an AAL5 PDU (in user cells, PTI 0xx)."""
PTI_EFCI = 0b010
"""Explicit forward congestion indication (in user cells)."""
PTI_OAM = 0b100
"""Set in cells without user data: 100, 101 OAM F5; 110 RM; 111 reserved."""

IDLE_CELL = bytes.fromhex("0000000152") + b"\x6a" * PAYLOAD_SIZE
"""The idle cell, which every receiver drops (I.361 table 1, I.432.1 section 4.4)."""

# crcmod applies xorOut to the initial value as well, so an initial register of 0 is written 0 ^ 0x55.
_crc8 = crcmod.mkCrcFun(0x107, initCrc=0x55, rev=False, xorOut=0x55)


class Interface(StrEnum):
    """The header format of a link (I.361 section 2.2)."""

    UNI = "uni"
    NNI = "nni"


class CellHeader(NamedTuple):
    """The fields of a cell header; `gfc` is 0 at an NNI."""

    vpi: int
    vci: int
    pti: int = 0
    clp: int = 0
    gfc: int = 0

    @property
    def channel(self) -> tuple[int, int]:
        """VPI and VCI."""
        return self.vpi, self.vci

    def pack(self, interface: Interface | str = Interface.UNI) -> bytes:
        """The 5 octets, HEC included; raise ValueError when a field does not fit."""
        if not isinstance(interface, Interface):
            interface = member(Interface, "interface", interface)
        vpi_bits = 8 if interface is Interface.UNI else 12
        # At an NNI the 4 bits of the GFC belong to the VPI.
        limits = {"vpi": vpi_bits, "vci": 16, "pti": 3, "clp": 1, "gfc": 4 if interface is Interface.UNI else 0}
        for name, bits in limits.items():
            fitting(name, getattr(self, name), bits, f" at {interface.upper()}")
        word = self.gfc << 28 | self.vpi << 20 | self.vci << 4 | self.pti << 1 | self.clp
        octets = word.to_bytes(4, "big")
        return octets + bytes((hec(octets),))

    @classmethod
    def unpack(cls, octets: bytes, interface: Interface | str = Interface.UNI) -> CellHeader:
        """Read the first 4 octets of a header (the HEC is ignored); raise ValueError for fewer octets."""
        if len(octets) < 4:
            raise ValueError(f"a cell header has 5 octets, here are {len(octets)}")
        if not isinstance(interface, Interface):
            interface = member(Interface, "interface", interface)
        word = int.from_bytes(octets[:4], "big")
        gfc, vpi = (word >> 28, word >> 20 & 0xFF) if interface is Interface.UNI else (0, word >> 20)
        return cls(vpi, word >> 4 & 0xFFFF, word >> 1 & 7, word & 1, gfc)

    @property
    def is_user_data(self) -> bool:
        """True for a user cell (PTI 0xx) on a VCI that users may have (32 and up)."""
        return not self.pti & PTI_OAM and self.vci >= FIRST_USER_VCI

    @property
    def is_oam(self) -> bool:
        """True for an OAM cell: F5 by its PTI, F4 by its VCI (I.361 sections 2.2.3 and 2.2.4)."""
        return self.pti in (4, 5) or (self.vci in (3, 4) and not self.pti & PTI_OAM)

    @property
    def is_last(self) -> bool:
        """True for the last cell of an AAL5 PDU."""
        return self.pti & 0b101 == 0b001

    @property
    def congested(self) -> bool:
        """True for a user cell with EFCI."""
        return self.pti & 0b110 == 0b010

    @property
    def is_idle(self) -> bool:
        """True for an idle or unassigned cell: VPI 0, VCI 0 (I.361 table 1)."""
        return self.vpi == 0 and self.vci == 0


def hec(octets: bytes) -> int:
    """The HEC of the first 4 octets of a header: CRC-8 x^8+x^2+x+1, XOR 0x55 (I.432.1 section 4.3.2).

    Raises ValueError for fewer octets.
    """
    if len(octets) != 4:
        if len(octets) < 4:
            raise ValueError(f"the HEC is that of 4 octets, here are {len(octets)}")
        octets = octets[:4]
    return int(_crc8(octets))


def _bits(position: int) -> bytes:
    """Five octets in which only bit `position` (0 is the first on the wire) is set."""
    return (1 << 39 - position).to_bytes(5, "big")


# The HEC adds 0x55 (I.432.1 section 4.3.2). A syndrome must not contain it, so it is added a second time.
_COSET = hec(bytes(4))
# Each of the 40 single-bit errors has a syndrome of its own, so the syndrome tells which bit to flip.
_ERROR_OF_SYNDROME = {hec(_bits(n)[:4]) ^ _COSET ^ _bits(n)[4]: int.from_bytes(_bits(n), "big") for n in range(40)}


def correct(header: bytes) -> bytes | None:
    """The header with a single-bit error corrected; None when the syndrome is that of no single-bit error.

    A header without an error is returned unchanged.
    """
    syndrome = hec(header[:4]) ^ header[4]
    if syndrome == 0:
        return header
    error = _ERROR_OF_SYNDROME.get(syndrome)
    return None if error is None else (int.from_bytes(header, "big") ^ error).to_bytes(5, "big")


class HecMode(StrEnum):
    """The two modes of a receiver (I.432.1 figure 3)."""

    CORRECTION = "correction"
    DETECTION = "detection"


class HecReceiver:
    """The mode machine of a receiving interface.

    In correction mode a single-bit error is corrected, and any error leads to detection mode. In detection mode every
    cell with an error is discarded, and a good header leads back to correction mode. So a burst of errors is not
    "corrected" into the headers of other VCs.
    """

    __slots__ = ("corrected", "discarded", "mode")
    __signature__ = OfInit()

    def __init__(self) -> None:
        """Begin in correction mode."""
        self.mode = HecMode.CORRECTION
        self.corrected = 0
        self.discarded = 0

    def receive(self, header: bytes) -> bytes | None:
        """The header as sent or corrected; None when the receiver discards the cell.

        Raises ValueError for a header of another size than 5 octets.
        """
        if len(header) != HEADER_SIZE:
            raise ValueError(f"a cell header has {HEADER_SIZE} octets, here are {len(header)}")
        if hec(header[:4]) == header[4]:
            self.mode = HecMode.CORRECTION
            return header
        mended = correct(header) if self.mode is HecMode.CORRECTION else None
        # Any error, corrected or not, leads to detection mode (I.432.1 figure 3).
        self.mode = HecMode.DETECTION
        if mended is None:
            self.discarded += 1
        else:
            self.corrected += 1
        return mended


@lru_cache(maxsize=1 << 16)
def header_with_hec(octets: bytes) -> bytes:
    """The 5 octets of the cell header that begins with these 4 octets."""
    return octets + bytes((hec(octets),))
