"""Cells on their way into a capture, as `atmdepot trace -w` takes them: followed, with each PDU after its last cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from atmdepot.net.events import Cells
from atmdepot.trace.capture.write import open_writer
from atmdepot.trace.follow import DEFAULT_MAX_CELLS, Follower
from atmdepot.trace.tracer import Tracer
from atmdepot.wire.cell import Interface

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from atmdepot.trace.capture.write import CaptureWriter
    from atmdepot.trace.tracer import Totals

Train = tuple[int, str, bytes]
"""The time it passed, its direction, and its cells."""


def traced(target: Path | BinaryIO, trains: Iterable[Train], *, interface: Interface = Interface.UNI,
           max_cells: int = DEFAULT_MAX_CELLS) -> tuple[CaptureWriter, Totals]:
    """Write what passed on a link; give the writer, which has ended the file, and what was counted."""
    remarks: list[str] = []
    with open_writer(target) as writer:
        totals = Tracer(
            (Cells(time, "link", direction, octets) for time, direction, octets in trains),
            Follower(cells=True, interface=interface, max_cells=max_cells),
            level="all", keep=None, shower=None, writer=writer, remark=remarks.append).run()
    assert not remarks
    return writer, totals
