"""`--stats`: the traffic of a trace, by VC, by link, by drop reason, by server, and the cell counts of its PDUs.

Memory does not grow with the trace: beyond a number of VCs, links and so on, all further keys share the line "others".
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from atmdepot.drops import DropReason
from atmdepot.net.events import Drop, FrameSeen, Missed, SessionChange
from atmdepot.printable import printable_in_place
from atmdepot.trace.inside import unit_of
from atmdepot.trace.items import Cell, CrcVerdict, HecVerdict, Pdu

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from atmdepot.trace.items import CellRun, Item

Row = dict[str, Any]
OTHERS = "others"
MAX_VCS = 10_000
MAX_LINKS = 1_000
_NS = 1_000_000_000
_MOST_PRINTED = 50  # rows of a table
_EVENTS = "known", "opened", "adopted", "inherited", "established", "closed", "revived", "gone"
_TITLES = {"vcs": "VCs", "links": "links", "pdu_cells": "PDUs by cells", "drops": "drops", "sessions": "sessions",
           "missed": "missed by this trace"}


class VcKey(NamedTuple):
    """A VC in a direction of a link, as a node sees it."""

    node: str
    link: str
    direction: str
    vpi: int
    vci: int


class LinkKey(NamedTuple):
    """A direction of a link, as a node sees it."""

    node: str
    link: str
    direction: str


class DropKey(NamedTuple):
    """A place and a reason."""

    node: str
    link: str
    reason: str


class ServerKey(NamedTuple):
    """A server, as a depot names it."""

    node: str
    server: str


class Rate:
    """Cells and their times: the mean rate, and the greatest number in a second of the clock.

    Where a PDU's cells do not come singly, they all count when it ends.
    """

    __slots__ = ("_count", "_next", "cells", "first", "last", "peak")

    def __init__(self) -> None:
        self.cells = self.peak = self._count = self._next = self.first = self.last = 0

    def add(self, time: int, cells: int) -> None:
        """Count cells that passed at a time (ns)."""
        if not self.cells:
            self.first = self.last = time
            self._next = time // _NS * _NS + _NS
        self.cells += cells
        if time > self.last:
            self.last = time
        elif time < self.first:
            self.first = time
        # Nodes' records are merged as they come. A time may lie a little behind: it counts for the present second.
        if time >= self._next:
            self._next, self._count = time // _NS * _NS + _NS, 0
        self._count += cells
        if self._count > self.peak:
            self.peak = self._count

    def add_run(self, first: int, last: int, cells: int) -> None:
        """Count cells that passed between two times of the same second."""
        self.add(first, cells)
        self.last = max(self.last, last)

    @property
    def mean(self) -> float:
        """Cells a second between the first and the last; an interval below a second counts as a second."""
        return round(self.cells * _NS / max(self.last - self.first, _NS), 1)


class Traffic:
    """Counts of a VC, or of a link."""

    __slots__ = ("bad_crc", "clp1_pdus", "efci_pdus", "hec_bad", "hec_corrected", "name", "oam", "octets", "pdus",
                 "problems", "rate")

    def __init__(self) -> None:
        self.name = ""
        self.rate = Rate()
        self.pdus = self.octets = self.bad_crc = self.problems = self.efci_pdus = self.clp1_pdus = 0
        self.hec_corrected = self.hec_bad = self.oam = 0

    def cell(self, cell: Cell) -> None:
        """Count a cell."""
        self.rate.add(cell.time, 1)
        self.oam += cell.is_oam
        self.hec_bad += cell.hec is HecVerdict.BAD
        # A PDU counts the corrected HECs of its cells, which may not come singly.
        self.hec_corrected += cell.hec is HecVerdict.CORRECTED and not cell.position

    def frame(self, frame: FrameSeen) -> None:
        """Count a frame of another bearer than ATM as a PDU."""
        self.pdus += 1
        self.octets += len(frame.octets)

    def pdu(self, pdu: Pdu) -> None:
        """Count a PDU, and its cells, if they did not come singly."""
        if not (pdu.cells or pdu.counted):
            self.rate.add(pdu.time, pdu.count)
        self.pdus += 1
        self.octets += len(pdu.sdu)
        self.bad_crc += pdu.crc is CrcVerdict.BAD
        # A bad CRC has a column of its own.
        self.problems += pdu.problem is not None and pdu.problem != DropReason.CRC_ERROR
        self.efci_pdus += pdu.congested
        self.clp1_pdus += pdu.clp
        self.hec_corrected += pdu.hec_corrected

    def row(self) -> Row:
        """The counts that VCs and links share."""
        return {
            "cells": self.rate.cells, "pdus": self.pdus, "octets": self.octets, "bad_crc": self.bad_crc,
            "problems": self.problems, "hec_corrected": self.hec_corrected, "efci_pdus": self.efci_pdus,
            "clp1_pdus": self.clp1_pdus, "oam_cells": self.oam, "cells_per_s": self.rate.mean,
            "peak_cells_per_s": self.rate.peak,
        }


_K = TypeVar("_K")
_V = TypeVar("_V")


class Bounded(dict[_K, _V], Generic[_K, _V]):
    """A dict with a value for each key, made at first use; keys beyond the bound share the value of `others`."""

    def __init__(self, make: Callable[[], _V], others: _K, most: int) -> None:
        super().__init__()
        self._make, self._others, self._most = make, others, most

    def __missing__(self, key: _K) -> _V:
        if len(self) >= self._most:
            if self._others not in self:
                self[self._others] = self._make()
            return self[self._others]
        made = self[key] = self._make()
        return made


class Statistics:
    """Counts items; takes all items in order, both cells and the PDUs made of them.

    A cell with a bad HEC has no reliable VC, and counts for its link only.
    """

    def __init__(self, max_vcs: int = MAX_VCS, max_links: int = MAX_LINKS) -> None:
        self._vcs = Bounded[tuple[str, str, str, int, int], Traffic](Traffic, VcKey(OTHERS, "", "", -1, -1), max_vcs)
        self._links = Bounded[tuple[str, str, str], Traffic](Traffic, LinkKey(OTHERS, "", ""), max_links)
        self._drops = Bounded[DropKey, Counter[str]](Counter, DropKey(OTHERS, "", ""), max_links)
        self._sessions = Bounded[ServerKey, Counter[str]](Counter, ServerKey(OTHERS, ""), max_links)
        self._missed = Bounded[str, Counter[str]](Counter, OTHERS, max_links)
        self._pdu_cells: Counter[int] = Counter()

    def tally(self, run: CellRun) -> None:
        """Count cells of a run, for which only number, VC and times are known."""
        self._vc(run, run.vpi, run.vci).rate.add_run(run.first, run.last, run.cells)
        self._links[run.node, run.link, run.direction].rate.add_run(run.first, run.last, run.cells)

    def add(self, item: Item) -> None:
        """Count an item."""
        if isinstance(item, Pdu):
            self._vc(item, item.vpi, item.vci).pdu(item)
            self._links[item.node, item.link, item.direction].pdu(item)
            # An unfinished PDU would count with too few cells.
            if not item.unfinished:
                self._pdu_cells[_bucket(item.count)] += 1
        elif isinstance(item, Cell):
            if item.hec is not HecVerdict.BAD:
                self._vc(item, item.header.vpi, item.header.vci).cell(item)
            self._links[item.node, item.link, item.direction].cell(item)
        elif isinstance(item, FrameSeen):
            self._links[item.node, item.link, item.direction].frame(item)
        elif isinstance(item, Drop):
            self._drops[DropKey(item.node, item.link, item.reason)][unit_of(item)] += item.count
        elif isinstance(item, SessionChange):
            # An event of a newer daemon counts without a name.
            self._sessions[ServerKey(item.node, item.server)][item.event if item.event in _EVENTS else ""] += 1
        else:
            self._miss(item)

    def _vc(self, item: Cell | CellRun | Pdu, vpi: int, vci: int) -> Traffic:
        # Plain tuples are equal to VcKeys, and made in a fifth of the time.
        traffic = self._vcs[item.node, item.link, item.direction, vpi, vci]
        traffic.name = item.name.vp
        return traffic

    def _miss(self, missed: Missed) -> None:
        counts = self._missed[missed.node]
        counts["cells"] += missed.cells
        counts["drops"] += missed.drops
        counts["sessions"] += missed.sessions

    def tables(self) -> dict[str, list[Row]]:
        """The rows of each table: vcs, links, pdu_cells, drops, sessions, missed; busiest first. Keys are stable."""
        vcs = [(VcKey(*key), traffic) for key, traffic in _by_cells(self._vcs)]
        links = [(LinkKey(*key), traffic) for key, traffic in _by_cells(self._links)]
        return {
            "vcs": [{"node": key.node, "link": key.link, "dir": key.direction,
                     "vc": f"{key.vpi}/{key.vci}" if key.vpi >= 0 else "", "vp": "" if key.vpi < 0 else traffic.name,
                     **traffic.row()} for key, traffic in vcs],
            "links": [{"node": key.node, "link": key.link, "dir": key.direction, **traffic.row(),
                       "hec_bad": traffic.hec_bad} for key, traffic in links],
            "pdu_cells": self._histogram(),
            "drops": [{"node": key.node, "link": key.link, "reason": key.reason, "count": counts.total(),
                       "unit": ", ".join(filter(None, counts))} for key, counts in sorted(
                           self._drops.items(), key=lambda entry: -entry[1].total())],
            "sessions": [{"node": key.node, "server": key.server, **{event: counts[event] for event in _EVENTS}}
                         for key, counts in sorted(self._sessions.items())],
            "missed": [{"node": node, **counts} for node, counts in sorted(self._missed.items())],
        }

    def _histogram(self) -> list[Row]:
        total = self._pdu_cells.total()
        return [{"cells": _bucket_text(bucket), "pdus": count, "percent": round(100 * count / total, 1)}
                for bucket, count in sorted(self._pdu_cells.items())]


def _by_cells(table: Bounded[_K, Traffic]) -> list[tuple[_K, Traffic]]:
    return sorted(table.items(), key=lambda entry: -entry[1].rate.cells)


def _bucket(cells: int) -> int:
    """The bucket of a PDU's cells, named by its greatest number: 1, 2, 3, 4, then 5 to 8, 9 to 16, and so on."""
    return cells if cells <= 4 else 1 << (cells - 1).bit_length()


def _bucket_text(bucket: int) -> str:
    return str(bucket) if bucket <= 4 else f"{bucket // 2 + 1}-{bucket}"


def print_statistics(statistics: Statistics, console: Console) -> None:
    """Print the tables that have rows, without empty columns."""
    from atmdepot.tables import make_table

    for name, rows in statistics.tables().items():
        if not rows:
            continue
        columns = [column for column in rows[0] if any(row[column] not in ("", 0) for row in rows)]
        title = f"{_TITLES[name]} ({len(rows)}{f', the first {_MOST_PRINTED}' if len(rows) > _MOST_PRINTED else ''})"
        console.print(make_table(title, columns, [
            {column: printable_in_place(cell) if isinstance(cell := row[column], str) else cell for column in columns}
            for row in rows[:_MOST_PRINTED]]))
