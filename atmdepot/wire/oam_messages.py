"""The function fields of OAM cells as values (ITU-T I.610 sections 10.2 to 10.4).

::

    AIS, RDI    defect type 1 | defect location 16 | unused 28
    loopback    indication 1 | tag 4 | location 16 | source 16 | unused 8      (older gear: location and source 12)
    forward     MCSN 1 | TUC(0+1) 2 | BEDC(0+1) 2 | TUC(0) 2 | time stamp 4 | unused 34
    backward    as forward, unused 27 | RMCSN 1 | SECBC 1 | TRCC(0) 2 | BLER(0+1) 1 | TRCC(0+1) 2
    activation  message 6 bits, direction 2 bits | tag 1 | block sizes 4 bits, 4 bits | unused 42

`read` makes a value of any 48 octets with a good CRC-10, and raises ValueError for others. Each value has `pack`.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct, error
from typing import NamedTuple

from atmdepot.wire.oam import (
    UNUSED,
    ActivationFunction,
    FaultFunction,
    OamPayload,
    OamType,
    PerformanceFunction,
)

LOCATION_SIZE, OLDER_LOCATION_SIZE = 16, 12
END_POINT = b"\xFF" * LOCATION_SIZE
"""The location of whichever end point the cell reaches."""
NO_LOCATION = bytes((UNUSED,)) * LOCATION_SIZE
"""The location and the source where none is told."""
NO_TIME = 0xFFFFFFFF
NO_BLOCK_ERRORS = 0x6A6A
"""The BEDC of a backward cell, which has no block of its own."""

_FAULT, _PERFORMANCE, _ACTIVATION = (
    OamType.FAULT_MANAGEMENT, OamType.PERFORMANCE_MANAGEMENT, OamType.ACTIVATION)
_DEFECT = Struct(">B16s")
_LOOPBACK = Struct(">BI16s16s")
_LOOPBACK_OLDER = Struct(">BI12s12s")
_FORWARD = Struct(">BHHHI")
_RESULT = Struct(">BBHBH")
_SWITCHED = Struct(">BBB")
_LOOPED = 1  # the lowest bit of the loopback indication
_UNUSED_BETWEEN = bytes((UNUSED,)) * 27


class Defect(NamedTuple):
    """An AIS or RDI cell: its function, the defect's type and place (16 octets)."""

    function: FaultFunction
    type: int = UNUSED
    location: bytes = NO_LOCATION

    def pack(self) -> bytes:
        """The 48 octets; raise ValueError when a value does not fit."""
        return _packed(_FAULT, self.function, _DEFECT, self.type, _location(self.location))


class ContinuityCheck(NamedTuple):
    """A continuity check cell, which says only that the connection is there."""

    def pack(self) -> bytes:
        """The 48 octets."""
        return OamPayload(_FAULT, FaultFunction.CONTINUITY_CHECK, b"").pack()


class Loopback(NamedTuple):
    """A loopback cell: to be looped or looped, its tag (32 bits), the place of the loop, and its sender.

    Locations have 16 octets, in the older layout 12.
    """

    to_be_looped: bool
    tag: int
    location: bytes = END_POINT
    source: bytes = NO_LOCATION
    older: bool = False

    def pack(self) -> bytes:
        """The 48 octets; raise ValueError when a value does not fit."""
        layout, size = (_LOOPBACK_OLDER, OLDER_LOCATION_SIZE) if self.older else (_LOOPBACK, LOCATION_SIZE)
        places = _location(self.location, size), _location(self.source, size)
        return _packed(_FAULT, FaultFunction.LOOPBACK, layout, int(self.to_be_looped), self.tag, *places)

    def is_for(self, location: bytes, *, end_point: bool) -> bool:
        """True when the node of this location (16 octets) loops the cell back; `end_point` if the flow ends there."""
        size = len(self.location)
        return self.location == location[:size] or (end_point and self.location == END_POINT[:size])


class Forward(NamedTuple):
    """Forward monitoring: the block's sequence number, running counts of user cells, and the block's BIP-16."""

    sequence: int
    cells: int
    block_errors: int
    cells_clp0: int
    time: int = NO_TIME

    def pack(self) -> bytes:
        """The 48 octets; raise ValueError when a number does not fit."""
        return _packed(_PERFORMANCE, PerformanceFunction.FORWARD, _FORWARD, *self)


class Backward(NamedTuple):
    """Backward reporting: a forward cell's counts, and what was received of its block.

    `bad_blocks` counts severely errored cell blocks, `errors` the block's wrong parity bits.
    """

    sequence: int
    cells: int
    cells_clp0: int
    reported: int
    bad_blocks: int
    received_clp0: int
    errors: int
    received: int
    block_errors: int = NO_BLOCK_ERRORS
    time: int = NO_TIME

    def pack(self) -> bytes:
        """The 48 octets; raise ValueError when a number does not fit."""
        head = _fitted(_FORWARD, self.sequence, self.cells, self.block_errors, self.cells_clp0, self.time)
        result = _fitted(_RESULT, self.reported, self.bad_blocks, self.received_clp0, self.errors, self.received)
        field = head + _UNUSED_BETWEEN + result
        return OamPayload(_PERFORMANCE, PerformanceFunction.BACKWARD, field).pack()


class Request(IntEnum):
    """The messages of activation and deactivation."""

    ACTIVATE = 0b000001
    ACTIVATION_CONFIRMED = 0b000010
    ACTIVATION_DENIED = 0b000011
    DEACTIVATE = 0b000101
    DEACTIVATION_CONFIRMED = 0b000110
    DEACTIVATION_DENIED = 0b000111


class Direction(IntEnum):
    """The directions of action, seen from A, which sends the request."""

    B_TO_A = 0b01
    A_TO_B = 0b10
    BOTH = 0b11


class Activation(NamedTuple):
    """A request or answer of activation, with a tag (8 bits) and the codes of the block sizes (4 bits).

    `message` is a `Request`, `direction` a `Direction`, or any other number of 6 and of 2 bits.
    """

    function: ActivationFunction
    message: int
    direction: int
    tag: int
    block_a_b: int = 0
    block_b_a: int = 0

    def pack(self) -> bytes:
        """The 48 octets; raise ValueError when a number does not fit."""
        for value, bits in ((self.message, 6), (self.direction, 2), (self.block_a_b, 4), (self.block_b_a, 4)):
            if not 0 <= value < 1 << bits:
                raise ValueError(f"{value} does not fit the {bits} bits that it has in an activation cell")
        return _packed(_ACTIVATION, self.function, _SWITCHED, self.message << 2 | self.direction, self.tag,
                       self.block_a_b << 4 | self.block_b_a)


Message = Defect | ContinuityCheck | Loopback | Forward | Backward | Activation | OamPayload
"""The value of an OAM cell; an `OamPayload` where type or function is not known here."""


def read(payload: bytes) -> Message:
    """The value of 48 octets; raise ValueError when they are not 48 or their CRC-10 is wrong (I.610 section 10.1)."""
    cell = OamPayload.unpack(payload)
    field = cell.field
    if cell.type == _FAULT:
        return _fault(cell)
    if cell.type == _PERFORMANCE and cell.function == PerformanceFunction.FORWARD:
        return Forward(*_FORWARD.unpack_from(field))
    if cell.type == _PERFORMANCE and cell.function == PerformanceFunction.BACKWARD:
        sequence, cells, block_errors, cells_clp0, time = _FORWARD.unpack_from(field)
        reported, bad_blocks, received_clp0, errors, received = _RESULT.unpack_from(field, len(field) - _RESULT.size)
        return Backward(sequence, cells, cells_clp0, reported, bad_blocks, received_clp0, errors, received,
                        block_errors, time)
    if cell.type == _ACTIVATION and cell.function in _ACTIVATION_FUNCTIONS:
        message, tag, blocks = _SWITCHED.unpack_from(field)
        return Activation(ActivationFunction(cell.function), message >> 2, message & 3, tag, blocks >> 4, blocks & 15)
    return cell


_ACTIVATION_FUNCTIONS = set(ActivationFunction)


def looped(payload: bytes) -> bytes:
    """The answer to a loopback cell: the same 48 octets with the indication cleared (I.610 section 10.2.3).

    Raises ValueError when the octets are no OAM cell with a good CRC-10.
    """
    cell = OamPayload.unpack(payload)
    field = bytes((cell.field[0] & ~_LOOPED,)) + cell.field[1:]
    return OamPayload(cell.type, cell.function, field).pack()


def bip16(payloads: bytes, parity: int = 0) -> int:
    """The even bit-interleaved parity of whole payloads, continued from `parity` (I.610 section 10.3.1).

    Raises ValueError for an odd number of octets.
    """
    if len(payloads) % 2:
        raise ValueError(f"BIP-16 covers pairs of octets, here are {len(payloads)}")
    for pair, in _PAIR.iter_unpack(payloads):
        parity ^= pair
    return parity


_PAIR = Struct(">H")


def _fault(cell: OamPayload) -> Message:
    if cell.function in (FaultFunction.AIS, FaultFunction.RDI):
        return Defect(FaultFunction(cell.function), *_DEFECT.unpack_from(cell.field))
    if cell.function == FaultFunction.CONTINUITY_CHECK:
        return ContinuityCheck()
    if cell.function != FaultFunction.LOOPBACK:
        return cell
    older = _is_older(cell.field)
    indication, tag, location, source = (_LOOPBACK_OLDER if older else _LOOPBACK).unpack_from(cell.field)
    return Loopback(bool(indication & _LOOPED), tag, location, source, older)


def _is_older(field: bytes) -> bool:
    """True for a loopback field in the layout 12/12/16, as far as its unused octets tell.

    In both layouts the last octets are 6A, in the older layout 8 more of them. A source of only 6A (none told) has
    these, too; then the 4 octets decide that belong to the location in the newer layout only.
    """
    unused = NO_LOCATION
    source_told = field[21:29] != unused[:8]
    return field[29:] == unused and field[5:21] != END_POINT and (source_told or field[17:21] == unused[:4])


def _location(octets: bytes, size: int = LOCATION_SIZE) -> bytes:
    """The octets; raise ValueError for another size, which a Struct would cut or fill up in silence."""
    if len(octets) != size:
        raise ValueError(f"a location has {size} octets here, not {len(octets)}")
    return octets


def _fitted(layout: Struct, *values: int | bytes) -> bytes:
    try:
        return layout.pack(*values)
    except error as wrong:
        raise ValueError(f"a value does not fit the octets that it has in an OAM cell: {wrong}") from None


def _packed(kind: int, function: int, layout: Struct, *values: int | bytes) -> bytes:
    return OamPayload(kind, function, _fitted(layout, *values)).pack()
