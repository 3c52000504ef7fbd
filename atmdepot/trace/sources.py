"""Records of a trace's source: the records of a running node, and the records that only files have.

A source is an iterable of records in the order of events. At damage that it can pass, it never raises: it gives a
`Remark`, which the user sees as a line on stderr.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from atmdepot.net.events import Cells, Drop, FrameSeen, Missed, SessionChange

if TYPE_CHECKING:
    from atmdepot.wire.cell import Interface


class HecMark(StrEnum):
    """The HEC of a capture's cells."""

    RECORDED = "recorded"
    """The HEC is in the cell."""
    ABSENT = "absent"
    """The capture's format has no HEC; the cell's HEC was computed on reading."""
    BAD = "bad"
    """The format has no HEC, but the record says that it was wrong."""


class CapturedCells(Cells, tag="captured", gc=False):
    """Cells from a capture; `octets` are always whole cells of 53 octets."""

    hec: HecMark = HecMark.RECORDED
    interface: Interface | None = None
    """The header format, if the capture tells it."""


class PduSeen(NamedTuple):
    """A PDU that a capture holds as a whole.

    `header` is a cell header of 4 octets (no HEC) that tells its VC; `octets` is the CPCS-PDU with pad and trailer, or,
    when `trailer` is False, the SDU alone. `missing` octets of them are not in the capture, because it was cut to a
    snap length.
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
    """A PDU without its VC: the VC in its `header` has no meaning."""


class Remark(NamedTuple):
    """A line for the user on a place in a source that could not be read."""

    text: str


SourceRecord = Cells | CapturedCells | PduSeen | FrameSeen | Drop | SessionChange | Missed | Remark
