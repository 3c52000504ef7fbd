"""Cells of a pseudowire: RFC 4717, N-to-one cell mode, over MPLS-in-UDP (RFC 7510).

::

    label stack entry 4, once or more | control word 4 | cell without HEC 52, once or more

The last entry of the stack has the pseudowire's label (label 20 bits, TC 3, S 1, TTL 8). The control word may be
missing (it is optional in this mode): the length tells whether it is there. A cell's header is that of an NNI: VPI 12,
VCI 16, PTI 3 and CLP 1 bits.
"""

from __future__ import annotations

from atmdepot.drops import DropReason
from atmdepot.wire.cell import CELL_SIZE, PAYLOAD_SIZE, header_with_hec
from atmdepot.wire.link_format import LinkFormat, Refused

MPLS_PORT = 6635
"""The UDP port of MPLS-in-UDP (RFC 7510 section 3)."""
BARE_CELL = CELL_SIZE - 1
"""Octets of a cell without HEC."""
_WORD = 4  # octets of a label stack entry, and of the control word
_HEAD = 2 * _WORD
_BOTTOM_OF_STACK = 0x100
_TTL = 255
_MAX_LABELS = 8  # deeper stacks are not searched
_LENGTH_BELOW = 64  # a shorter payload with its control word has its length there (section 5.1.1)
_SEQUENCES = 1 << 16


class NotPseudowire(Refused):
    """A datagram without a label stack, or without whole cells behind it."""

    reason = DropReason.NOT_WHOLE_CELLS


class WrongLabel(Refused):
    """A datagram of another pseudowire."""

    reason = DropReason.WRONG_LABEL


def label_of(payload: bytes, length: int) -> tuple[int, int]:
    """The label at the bottom of the stack, and the offset of the first cell in a datagram of `length` octets.

    `payload` may be the captured part of it. Raises NotPseudowire.
    """
    for at in range(0, min(len(payload) - 3, _WORD * _MAX_LABELS), _WORD):
        entry = int.from_bytes(payload[at:at + _WORD], "big")
        if entry & _BOTTOM_OF_STACK:
            return entry >> 12, _first_cell(payload, at + _WORD, length)
    raise NotPseudowire("no label stack")


def _first_cell(payload: bytes, at: int, length: int) -> int:
    """The offset of the first cell behind a label stack that ends at `at`: there, or after a control word."""
    beyond = length - at
    if beyond >= BARE_CELL and beyond % BARE_CELL == 0 and not _is_ip(payload[at:at + 6], beyond):
        return at
    # The control word begins with four zero bits, where an IP packet has its version.
    is_word = len(payload) >= at + _WORD and not payload[at] >> 4
    if is_word and beyond - _WORD >= BARE_CELL and (beyond - _WORD) % BARE_CELL == 0:
        return at + _WORD
    raise NotPseudowire("no whole cells behind the label stack")


def _is_ip(beginning: bytes, length: int) -> bool:
    """True for the beginning of an IP packet of this length; TCP ACKs of 52 octets are as long as cells without HEC."""
    total, rest = int.from_bytes(beginning[2:4], "big"), int.from_bytes(beginning[4:6], "big") + 40
    version = beginning[0] >> 4 if beginning else 0
    return (version == 4 and total == length) or (version == 6 and rest == length)


def cells_at(payload: bytes, at: int, count: int) -> bytes:
    """`count` cells from offset `at` on, each with its HEC, as 53 octets."""
    return b"".join([header_with_hec(payload[cell:cell + 4]) + payload[cell + 4:cell + BARE_CELL]
                     for cell in range(at, at + count * BARE_CELL, BARE_CELL)])


class Pseudowire(LinkFormat):
    """An end of a link whose datagrams are those of a pseudowire, with a label in both directions.

    The HEC stays behind here and is made anew at the far end, so an error in it cannot pass a pseudowire.
    """

    __slots__ = ("_entry", "_label", "_sequence")

    def __init__(self, label: int) -> None:
        """Use a label of 20 bits, alone in the stack."""
        self._label = label
        self._entry = (label << 12 | _BOTTOM_OF_STACK | _TTL).to_bytes(_WORD, "big")
        self._sequence = 0

    @staticmethod
    def size(cells: int) -> int:
        """Octets of a datagram with so many cells."""
        return _HEAD + BARE_CELL * cells

    @staticmethod
    def cells(octets: int) -> int:
        """Cells in a datagram of so many octets."""
        return (octets - _HEAD) // BARE_CELL

    def carried(self, datagram: bytes) -> bytes:
        """The cells of a datagram that `seal` made."""
        return cells_at(datagram, _HEAD, self.cells(len(datagram)))

    def seal(self, cells: bytes) -> bytes:
        """The datagram that carries the cells."""
        self._sequence = self._sequence % (_SEQUENCES - 1) + 1  # 1 to 65,535: 0 is for a sender that does not count
        bare = [cells[at:at + 4] + cells[at + CELL_SIZE - PAYLOAD_SIZE:at + CELL_SIZE]
                for at in range(0, len(cells), CELL_SIZE)]
        length = _WORD + BARE_CELL * len(bare)
        word = (length if length < _LENGTH_BELOW else 0) << 16 | self._sequence
        return b"".join((self._entry, word.to_bytes(_WORD, "big"), *bare))

    def open(self, datagram: bytes) -> bytes:
        """The cells of a datagram; raise WrongLabel or NotPseudowire."""
        label, at = label_of(datagram, len(datagram))
        if label != self._label:
            raise WrongLabel
        return cells_at(datagram, at, (len(datagram) - at) // BARE_CELL)
