"""OAM cells (ITU-T I.610): type, function, 45 octets, and a CRC-10 that covers all but itself.

::

    type 4 | function 4 | function field 45 octets | 0 6 bits | CRC-10 10 bits
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import crcmod

from atmdepot.wire.cell import PAYLOAD_SIZE

UNUSED = 0x6A
"""The value of unused octets."""
FUNCTION_FIELD_SIZE = 45

# crcmod takes no width of 10: the polynomial 0x633 shifted to the top of 16 bits gives the CRC-10 there.
_crc16 = crcmod.mkCrcFun(0x10000 | (0x633 << 6) & 0xFFFF, initCrc=0, rev=False, xorOut=0)


class OamType(IntEnum):
    """OAM types, the first 4 bits of the payload."""

    FAULT_MANAGEMENT = 0b0001
    PERFORMANCE_MANAGEMENT = 0b0010
    ACTIVATION = 0b1000
    SYSTEM_MANAGEMENT = 0b1111


class FaultFunction(IntEnum):
    """The functions of fault management."""

    AIS = 0b0000
    RDI = 0b0001
    CONTINUITY_CHECK = 0b0100
    LOOPBACK = 0b1000


class OamPayload(NamedTuple):
    """The payload of an OAM cell."""

    type: int
    function: int
    field: bytes

    def pack(self) -> bytes:
        """The 48 octets, a short field filled up with 6A; raise ValueError when a number or the field is too long."""
        if len(self.field) > FUNCTION_FIELD_SIZE or not (0 <= self.type < 16 and 0 <= self.function < 16):
            raise ValueError("an OAM payload has two 4-bit numbers and a field of at most 45 octets")
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
