"""An output queue of a link: thresholds, early and partial packet discard, EFCI (ATM Forum TM 4.1 sections 5.7, 5.8).

The cells of a PDU meet these rules in this order:

- A PDU begins only below the threshold for its CLP (EPD): CLP 1 has a lower one, so such PDUs go first.
- A PDU that has begun is never refused by a threshold, only by a full queue. Then its rest is discarded (PPD), but for
  the last cell: without it the receiver would take this PDU and the next for one, and lose both.
- Some cells of room are kept for these last cells, so that a full queue still has a place for them.
- A VC without frame discard (CBR and rt-VBR, whose cells need not be AAL5) and a VP meet thresholds cell by cell. What
  is above the EPD threshold is for PDUs that have begun: a VP that filled it would let no other VC begin a PDU.
- A user cell that finds the queue at the EFCI threshold is marked.
"""

from __future__ import annotations

from collections import Counter, deque
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from atmdepot.atm.runs import Run, runs_of, with_efci, with_header
from atmdepot.drops import DropReason, Drops
from atmdepot.wire.cell import CELL_SIZE

if TYPE_CHECKING:
    from atmdepot.drops import OnChannel


class Thresholds(NamedTuple):
    """Numbers of cells in a queue: its room and the part of it for last cells, and the thresholds."""

    room: int
    last_cells: int
    clp: int
    epd: int
    efci: int

    @classmethod
    def of(cls, room: int, *, by_frames: bool = True) -> Thresholds:
        """The usual shares of a room: EPD at three quarters, CLP 1 and EFCI at the half; without frames no EPD."""
        half = max(1, room // 2)
        last = room // 16
        return cls(room, last, half, max(1, room * 3 // 4) if by_frames else room - last, half)

    def check(self) -> None:
        """Raise ValueError where a threshold could let a PDU begin that has no room for a cell."""
        if not (0 < self.clp <= self.epd <= self.room - self.last_cells and self.last_cells >= 0 <= self.efci):
            raise ValueError(f"{self}: 0 < clp <= epd <= room - last_cells is needed, and nothing below 0")


class _Pdu(Enum):
    """The PDU of a VC, as the queue sees it."""

    BETWEEN = "the next cell begins a PDU"
    WITHIN = "all of it was let in so far"
    CUT = "a cell was lost: the last is still wanted"
    REFUSED = "none of it was let in"


class QueuedVc:
    """A VC in a queue: its PDU's state, and counts of cells let in, dropped (by reason) and marked with EFCI."""

    __slots__ = ("by_frames", "dropped", "entered", "marked", "pdu", "refusal", "vc")

    def __init__(self, vc: OnChannel | None = None, *, by_frames: bool = True) -> None:
        """Begin between two PDUs; `by_frames` for frame discard, `vc` names it to the observers of drops."""
        self.vc = vc
        self.by_frames = by_frames
        self.pdu = _Pdu.BETWEEN
        self.refusal = DropReason.EPD
        self.entered = self.marked = 0
        self.dropped: Counter[DropReason] = Counter()


class Held:
    """A part of a link's output in which `held` cells, or VCs with cells, wait for their turn."""

    __slots__ = ("held",)

    held: int


class CellQueue(Held):
    """A bounded queue of cells of any number of VCs; `most` is the greatest number that it held."""

    __slots__ = ("_cells", "_taken", "dropped", "drops", "entered", "marked", "most", "thresholds")

    def __init__(self, thresholds: Thresholds, drops: Drops | None = None) -> None:
        """Make an empty queue; raise ValueError for thresholds that do not fit together."""
        thresholds.check()
        self.thresholds = thresholds
        self.drops = Drops() if drops is None else drops
        self.held = self.most = self.entered = self.marked = self.dropped = 0
        self._cells: deque[bytes] = deque()
        self._taken = 0  # octets of the first piece that have left

    def enter(self, vc: QueuedVc, cells: bytes) -> int:
        """Let in cells of a VC, in order, as far as the rules allow; return their number.

        Raises ValueError for no whole number of cells.
        """
        before = self.entered
        for run in runs_of(cells):
            if not vc.by_frames or not run.is_user:
                self._enter_cells(vc, run, cells)
            elif run.is_last:
                self._enter_last_cells(vc, run, cells)
            else:
                self._enter_frame(vc, run, cells)
        self.most = max(self.most, self.held)
        return self.entered - before

    def take(self, count: int) -> list[bytes]:
        """Remove the first `count` cells (fewer, if it holds fewer): return them in pieces of whole cells."""
        out: list[bytes] = []
        wanted = min(count, self.held) * CELL_SIZE
        self.held -= wanted // CELL_SIZE
        while wanted:
            first, at = self._cells[0], self._taken
            piece = first[at:at + wanted]
            out.append(piece)
            wanted -= len(piece)
            self._taken += len(piece)
            if self._taken == len(first):
                self._cells.popleft()
                self._taken = 0
        return out

    def _enter_cells(self, vc: QueuedVc, run: Run, cells: bytes) -> None:
        """Cell by cell: a run without frames, or of cells that carry no user data."""
        limits = self.thresholds
        by_clp = run.clp and run.is_user
        limit = limits.clp if by_clp else limits.epd if run.is_user else limits.room - limits.last_cells
        allowed = min(run.size, max(0, limit - self.held))
        self._let_in(vc, run, cells, allowed)
        self._drop(vc, run, cells, allowed, DropReason.CLP_THRESHOLD if by_clp else DropReason.QUEUE_FULL)

    def _enter_frame(self, vc: QueuedVc, run: Run, cells: bytes) -> None:
        """Cells of a PDU but for its last."""
        if vc.pdu is _Pdu.BETWEEN:
            vc.pdu = _Pdu.WITHIN if self._may_begin(vc, run) else _Pdu.REFUSED
        if vc.pdu is _Pdu.REFUSED:
            self._drop(vc, run, cells, 0, vc.refusal)
            return
        allowed = 0
        if vc.pdu is _Pdu.WITHIN:
            room = self.thresholds.room - self.thresholds.last_cells - self.held
            allowed = min(run.size, max(0, room))
            self._let_in(vc, run, cells, allowed)
            if allowed < run.size:
                vc.pdu = _Pdu.CUT
                lost = Run(run.header, run.first, run.first + allowed + 1)
                self._drop(vc, lost, cells, allowed, DropReason.QUEUE_FULL)
                allowed += 1
        self._drop(vc, run, cells, allowed, DropReason.PPD)

    def _enter_last_cells(self, vc: QueuedVc, run: Run, cells: bytes) -> None:
        """The last cell of a PDU, and PDUs of a cell that follow it."""
        if vc.pdu is not _Pdu.BETWEEN:
            first = Run(run.header, run.first, run.first + 1)
            allowed = int(vc.pdu is not _Pdu.REFUSED and self.held < self.thresholds.room)
            self._let_in(vc, first, cells, allowed)
            self._drop(vc, first, cells, allowed, vc.refusal if vc.pdu is _Pdu.REFUSED else DropReason.QUEUE_FULL)
            vc.pdu = _Pdu.BETWEEN
            run = Run(run.header, run.first + 1, run.end)
        allowed = min(run.size, max(0, self._threshold(run) - self.held))
        self._let_in(vc, run, cells, allowed)
        self._drop(vc, run, cells, allowed, _refusal(run))

    def _threshold(self, run: Run) -> int:
        return self.thresholds.clp if run.clp else self.thresholds.epd

    def _may_begin(self, vc: QueuedVc, run: Run) -> bool:
        vc.refusal = _refusal(run)
        return self.held < self._threshold(run)

    def _let_in(self, vc: QueuedVc, run: Run, cells: bytes, count: int) -> None:
        """Append the first cells of a run; those that find the queue at the EFCI threshold are marked."""
        if not count:
            return
        plain = min(count, max(0, self.thresholds.efci - self.held))
        marked_header = with_efci(run.header)
        if marked_header == run.header:  # marked by an earlier node, or no user cell
            plain = count
        at = run.first * CELL_SIZE
        if plain:
            self._cells.append(cells[at:at + plain * CELL_SIZE])
        if plain < count:
            self._cells.append(with_header(cells[at + plain * CELL_SIZE:at + count * CELL_SIZE], marked_header))
        self.held += count
        self.entered += count
        vc.entered += count
        self.marked += count - plain
        vc.marked += count - plain

    def _drop(self, vc: QueuedVc, run: Run, cells: bytes, allowed: int, reason: DropReason) -> None:
        """Count the cells of a run behind those that were let in."""
        if allowed < run.size:
            vc.dropped[reason] += run.size - allowed
            self.dropped += run.size - allowed
            octets = cells[(run.first + allowed) * CELL_SIZE:run.end * CELL_SIZE]
            self.drops.count(reason, run.size - allowed, octets, vc.vc)


def _refusal(run: Run) -> DropReason:
    return DropReason.CLP_THRESHOLD if run.clp else DropReason.EPD
