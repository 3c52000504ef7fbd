"""What a source of a trace gives: the records of a running node, and those that only files have.

A source is an iterable of records in the order in which things happened. It never raises for a damaged place in what
it reads when it can go on after it: it gives a `Remark` there, which the user sees as a line on stderr.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from atmdepot.node.events import Cells, Drop, Missed, SessionChange

if TYPE_CHECKING:
    from atmdepot.wire.cell import Interface


class HecMark(StrEnum):
    """What a capture knows of the HEC of its cells."""

    RECORDED = "recorded"
    """It stands in the cell."""
    ABSENT = "absent"
    """The capture's format holds none; the one in the cell was made on reading."""
    BAD = "bad"
    """The format holds none, but the record says that it was wrong."""


class CapturedCells(Cells, tag="captured", gc=False):
    """Cells out of a capture; `octets` are whole cells of 53 in any case."""

    hec: HecMark = HecMark.RECORDED
    interface: Interface | None = None
    """The header format, where the capture tells it."""


class PduSeen(NamedTuple):
    """A PDU that a capture holds as a whole.

    `header` is a cell header of 4 octets (no HEC) that tells its VC; `octets` the CPCS-PDU with pad and trailer, or,
    when `trailer` is False, the SDU alone. `missing` octets of them are not in the capture, since it was cut to a snap
    length.
    """

    time: int
    link: str
    direction: str
    header: bytes
    octets: bytes
    trailer: bool = True
    missing: int = 0
    node: str = ""


class UnplacedPdu(PduSeen):
    """A PDU of which the capture does not tell the VC; its `header` says nothing of that."""


class Remark(NamedTuple):
    """A line for the user, on what in a source could not be read, and where."""

    text: str


SourceRecord = Cells | CapturedCells | PduSeen | Drop | SessionChange | Missed | Remark
