"""OAM cells (ITU-T I.610): type, function, 45 octets, and a CRC-10 that covers all but itself.

::

    type 4 | function 4 | function field 45 octets | 0 6 bits | CRC-10 10 bits

`oam_messages.py` has the function fields.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import NamedTuple

import crcmod

from atmdepot.wire.arguments import fitting
from atmdepot.wire.cell import PAYLOAD_SIZE, PTI_OAM, CellHeader, Interface

UNUSED = 0x6A
"""The value of unused octets."""
FUNCTION_FIELD_SIZE = 45

# crcmod takes no width of 10: the polynomial 0x633 shifted to the top of 16 bits gives the CRC-10 there.
_crc16 = crcmod.mkCrcFun(0x10000 | (0x633 << 6) & 0xFFFF, initCrc=0, rev=False, xorOut=0)


class OamType(IntEnum):
    """OAM types, the first 4 bits of the payload."""

    FAULT_MANAGEMENT = 0b0001
    PERFORMANCE_MANAGEMENT = 0b0010
    PROTECTION_SWITCHING = 0b0101
    ACTIVATION = 0b1000
    SYSTEM_MANAGEMENT = 0b1111


class FaultFunction(IntEnum):
    """The functions of fault management."""

    AIS = 0b0000
    RDI = 0b0001
    CONTINUITY_CHECK = 0b0100
    LOOPBACK = 0b1000


class PerformanceFunction(IntEnum):
    """The functions of performance management."""

    FORWARD = 0b0000
    BACKWARD = 0b0001


class ActivationFunction(IntEnum):
    """The functions that activation cells switch on and off."""

    FORWARD_AND_BACKWARD = 0b0000
    CONTINUITY_CHECK = 0b0001
    FORWARD = 0b0010


class OamFlow(StrEnum):
    """The four OAM flows of the ATM layer (I.610 section 7.2): F4 of a VP, F5 of a VC."""

    F4_SEGMENT = "F4 segment"
    F4_END_TO_END = "F4 end-to-end"
    F5_SEGMENT = "F5 segment"
    F5_END_TO_END = "F5 end-to-end"

    @property
    def is_segment(self) -> bool:
        """True for a flow that ends where the segment ends."""
        return self in (OamFlow.F4_SEGMENT, OamFlow.F5_SEGMENT)

    @property
    def is_of_vp(self) -> bool:
        """True for F4."""
        return self in (OamFlow.F4_SEGMENT, OamFlow.F4_END_TO_END)

    @classmethod
    def of(cls, header: CellHeader) -> OamFlow | None:
        """The flow of a cell; None for a cell that is no OAM cell (I.361 sections 2.2.3 and 2.2.4)."""
        if header.pti in _F5_OF_PTI:
            return _F5_OF_PTI[header.pti]
        # PTI 110 and 111 are RM and reserved cells, on these VCIs as well.
        return None if header.pti & PTI_OAM else _F4_OF_VCI.get(header.vci)

    def header(self, vpi: int, vci: int = 0, interface: Interface = Interface.UNI) -> bytes:
        """The 5 header octets of a cell of this flow; F4 ignores `vci`.

        Raises ValueError when a number does not fit.
        """
        if self.is_of_vp:
            return CellHeader(vpi, 3 if self.is_segment else 4).pack(interface)
        return CellHeader(vpi, vci, 4 if self.is_segment else 5).pack(interface)


_F5_OF_PTI = {4: OamFlow.F5_SEGMENT, 5: OamFlow.F5_END_TO_END}
_F4_OF_VCI = {3: OamFlow.F4_SEGMENT, 4: OamFlow.F4_END_TO_END}


class OamPayload(NamedTuple):
    """The payload of an OAM cell."""

    type: int
    function: int
    field: bytes

    def pack(self) -> bytes:
        """The 48 octets, a short field filled up with 6A; raise ValueError when a number or the field is too long."""
        fitting("type", self.type, 4)
        fitting("function", self.function, 4)
        if not isinstance(self.field, (bytes, bytearray)):
            raise TypeError(f"field {self.field!r} is no octets: write them as in b\"...\"")
        if len(self.field) > FUNCTION_FIELD_SIZE:
            raise ValueError(f"field has {len(self.field)} octets: write at most {FUNCTION_FIELD_SIZE}")
        filled = self.field.ljust(FUNCTION_FIELD_SIZE, bytes((UNUSED,)))
        head = bytes((self.type << 4 | self.function,)) + filled
        return head + crc10(head).to_bytes(2, "big")

    @classmethod
    def unpack(cls, payload: bytes) -> OamPayload:
        """The fields of 48 octets; raise ValueError when they are not 48 or the CRC-10 is wrong."""
        if len(payload) != PAYLOAD_SIZE:
            raise ValueError(f"an OAM payload has {PAYLOAD_SIZE} octets, here are {len(payload)}")
        if _crc16(payload):  # over all 384 bits the remainder is 0
            raise ValueError("the CRC-10 is wrong")
        return cls(payload[0] >> 4, payload[0] & 15, payload[1:46])


def crc10(octets: bytes) -> int:
    """CRC-10 (x^10+x^9+x^5+x^4+x+1) of 46 octets and the 6 zero bits that follow them (374 bits)."""
    # 46 octets and 6 bits are 374 bits. A whole octet of zeros would be 2 bits too many for the CRC function, so the
    # loop shifts the register by 6 zero bits.
    register = int(_crc16(octets)) >> 6
    for _ in range(6):
        register = (register << 1) ^ (0x633 if register & 0x200 else 0)
    return register & 0x3FF
