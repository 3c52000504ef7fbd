"""A trace as it runs: records of a source become items; items are filtered, shown and written, and counted."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from atmdepot.net.events import Cells, Drop, FrameSeen, Missed, SessionChange
from atmdepot.trace.inside import packet_octets_of
from atmdepot.trace.items import Cell, CellRun, CrcVerdict, HecVerdict, Pdu
from atmdepot.trace.sources import HecMark, Remark
from atmdepot.wire.aal5 import crc32
from atmdepot.wire.cell import CELL_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from atmdepot.trace.capture.write import CaptureWriter
    from atmdepot.trace.filter.filter import Filter
    from atmdepot.trace.follow import Follower
    from atmdepot.trace.items import Item
    from atmdepot.trace.sources import SourceRecord
    from atmdepot.trace.views import Views

LEVELS = ("cell", "pdu", "session", "all")
_MARKS = {HecVerdict.GOOD: HecMark.RECORDED, HecVerdict.CORRECTED: HecMark.RECORDED, HecVerdict.BAD: HecMark.BAD,
          HecVerdict.ABSENT: HecMark.ABSENT}


class Shower(Protocol):
    """Shows items: as lines, as JSON, or as statistics at the end."""

    def show(self, item: Item) -> None:
        """Show an item, or note it."""

    def flush(self) -> None:
        """Flush held output: no record came for a while."""

    def close(self) -> None:
        """Show the output that comes at the end."""


@dataclass
class Totals:
    """Counts for the summary."""

    cells: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    shown: Counter[str] = field(default_factory=Counter)
    unfinished: int = 0
    not_written: Counter[str] = field(default_factory=Counter)
    seen_twice: Counter[str] = field(default_factory=Counter)


class Tracer:
    """A run of `atmdepot trace`.

    Args:
        source: the records; a None in it means that no record came for a while.
        follower: makes items; it must give cells if the level or the writer wants them.
        level: a level out of LEVELS.
        keep: selects the items to take; by default all.
        shower: shows the items taken, if there is output.
        writer: writes the cells and PDUs taken, if there is a file.
        count: stop after so many items (0: never).
        duration: stop after so many ns of the records' own time (0: never).
        end: ends the source when the duration is over by the clock; records of events before that still come. None for
            a source of past events, to which the clock does not apply.
        remark: takes lines for the user.
        tally: takes the cells that the follower only counts, if it counts.
        views: selects the items to write among the views of several nodes; by default all.
        drawn: the number of items that count where the shower does not show all that it takes.

    """

    def __init__(
        self, source: Iterable[SourceRecord | None], follower: Follower, *, level: str, keep: Filter | None,
        shower: Shower | None, writer: CaptureWriter | None, remark: Callable[[str], None], count: int = 0,
        duration: int = 0, end: Callable[[], None] | None = None, tally: Callable[[CellRun], None] | None = None,
        views: Views | None = None, drawn: Callable[[], int] | None = None,
    ) -> None:
        self._source = source
        self._follower = follower
        self._level = level
        self._keep = keep
        self._holds = keep is not None and keep.needs_pdu
        self._shower = shower
        self._writer = writer
        self._remark = remark
        self._count = count
        self._duration = duration
        self._end = end
        self._tally = tally
        self._views = views
        self._stopped = False
        self.totals = Totals()
        self._drawn = drawn or self.totals.shown.total

    def run(self) -> Totals:
        """Trace until the source ends, `stop` is called, or count or duration are reached."""
        until = time.monotonic_ns() + self._duration if self._duration else 0
        first: int | None = None
        for record in self._source:
            if isinstance(record, Remark):
                self._remark(record.text)
            elif record is None:
                self._flush()
            else:
                first = record.time if first is None else first
                if self._duration and record.time - first > self._duration:
                    break
                self._take(record)
            if self._stopped:
                break
            # An idle network gives no record that could end the trace.
            if until and self._end is not None and time.monotonic_ns() > until:
                self._end()
                until = 0
        self._meet_all(self._follower.finish())
        self._flush()
        return self.totals

    def stop(self) -> None:
        """Take no more records."""
        self._stopped = True

    def _take(self, record: SourceRecord) -> None:
        if isinstance(record, Cells):
            self.totals.cells += len(record.octets) // CELL_SIZE
            if self._tally is not None:
                self.totals.seen["cell"] += 0  # lists cells first in the summary, before the items made of them
        self._meet_all(self._follower.take(record))

    def _meet_all(self, items: list[Item | CellRun]) -> None:
        for item in items:
            if isinstance(item, CellRun):
                self._count_cells(item)
            else:
                self._meet(item)

    def _count_cells(self, run: CellRun) -> None:
        """Count cells for which there are no items: no filter tests them, and no file takes them."""
        self.totals.seen["cell"] += run.cells
        self.totals.shown["cell"] += run.cells
        if self._tally is not None:
            self._tally(run)

    def _meet(self, item: Item) -> None:
        """Take an item; with a filter that tests PDUs, a PDU's cells wait until the PDU is complete."""
        if self._holds and isinstance(item, Cell) and item.position:
            return
        # The cells stand before their PDU, as they came.
        if self._holds and isinstance(item, Pdu):
            for cell in item.cells:
                self._judge(cell)
        self._judge(item)

    def _judge(self, item: Item) -> None:
        if self._stopped:
            return
        kind = kind_of(item)
        self.totals.seen[kind] += 1
        self.totals.unfinished += isinstance(item, Pdu) and item.unfinished
        if self._keep is not None and not self._keep.matches(item):
            return
        if self._writer is not None:
            self._write(item, kind)
        if not is_shown(item, self._level):
            return
        self.totals.shown[kind] += 1
        if self._shower is not None:
            self._shower.show(item)
        # Only items that have a line count: `-c 4` gives four lines.
        if self._count and self._drawn() >= self._count:
            self._stopped = True

    def _write(self, item: Item, kind: str) -> None:
        writer = self._writer
        assert writer is not None
        place = item.time, item.node
        if self._views is not None and isinstance(item, Cell | Pdu | FrameSeen) and not self._views.is_senders(item):
            self.totals.seen_twice[kind] += 1
            return
        if writer.takes_packets:
            written = self._write_packet(item)
        elif isinstance(item, Cell):
            comment = "HEC corrected" if item.hec is HecVerdict.CORRECTED else ""
            written = writer.cells(*place, item.link, item.direction, item.mended, _MARKS[item.hec], comment)
        elif isinstance(item, Pdu):
            # An incomplete PDU is written as its cells alone; the summary counts it.
            header = item.header if item.vc else b""
            written = item.unfinished or item.headless or writer.pdu(
                *place, item.link, item.direction, header, _as_wireshark_wants(item), _comment(item),
                trailer=item.has_trailer, missing=item.missing)
        elif isinstance(item, FrameSeen):
            written = writer.frame(*place, item.link, item.direction, item.medium, item.octets)
        else:
            written = isinstance(item, Missed)
            if isinstance(item, Missed):
                writer.missed(item.node, item.cells)
        if not written:
            self.totals.not_written[kind] += 1

    def _write_packet(self, item: Item) -> bool:
        """Write the IP packet in a PDU or frame; cells are in their PDU's packet."""
        assert self._writer is not None
        if isinstance(item, Cell | Missed):
            return True
        if not isinstance(item, Pdu | FrameSeen) or (octets := packet_octets_of(item)) is None:
            return False
        return self._writer.packet(item.time, item.node, item.link, item.direction, octets)

    def _flush(self) -> None:
        if self._shower is not None:
            self._shower.flush()
        if self._writer is not None:
            self._writer.flush()


def _comment(pdu: Pdu) -> str:
    """Text for which a capture's own fields have no place."""
    session = "" if pdu.session is None else f"session {pdu.session.number} {pdu.session.server}".rstrip()
    return ", ".join(filter(None, (session, pdu.problem)))


def _as_wireshark_wants(pdu: Pdu) -> bytes:
    """The CPCS-PDU; a CRC right by Dynamips' rule is replaced by I.363.5's, the only rule that Wireshark knows.

    The cells beside it stay as they were.
    """
    if pdu.crc is not CrcVerdict.DYNAMIPS:
        return pdu.octets
    return pdu.octets[:-4] + crc32(pdu.octets[:-4]).to_bytes(4, "big")


_KINDS: dict[type, str] = {
    Cell: "cell", Pdu: "PDU", FrameSeen: "frame", Drop: "drop", SessionChange: "session change", Missed: "gap"}


def kind_of(item: Item) -> str:
    """The kind of an item in a word."""
    return _KINDS[type(item)]


def is_shown(item: Item, level: str) -> bool:
    """True when an item has a line at a level; drops and gaps have a line at every level."""
    if isinstance(item, Cell):
        return level in ("cell", "all") or (level == "pdu" and not item.position and not item.header.is_idle)
    if isinstance(item, Pdu | FrameSeen):
        return level in ("pdu", "all")
    return not isinstance(item, SessionChange) or level in ("session", "all")
