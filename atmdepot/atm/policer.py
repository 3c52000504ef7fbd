"""Policing (UPC at a UNI, NPC at an NNI): cells beyond their contract are tagged or discarded (I.371 section 7.2).

A policer belongs to a connection and stands where its cells come in. It never delays a cell. A train that conforms
passes as it is, without a copy.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from atmdepot.atm.conformance import Split, conformance_of
from atmdepot.atm.runs import Run, runs_of, tagged, with_header
from atmdepot.drops import DropReason, Drops
from atmdepot.wire.cell import CELL_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.config.contract import Contract
    from atmdepot.drops import OnChannel


class Policer:
    """The policer of a connection, with its counts in cells: `passed` untagged, `tagged`, `discarded` by reason."""

    __slots__ = ("_conformance", "contract", "discarded", "drops", "passed", "tagged", "vc")

    def __init__(self, contract: Contract, *, vc: OnChannel | None = None, drops: Drops | None = None,
                 more_cdvt: int = 0) -> None:
        """Hold cells to a contract; `vc` names their connection to the observers of `drops`.

        `more_cdvt` (ns) is that of `conformance_of`: links and switches on the way bring cells closer together, so a
        policer behind them has to allow for more delay variation than the source has. Raises ValueError for a contract
        that `conformance_of` refuses.
        """
        self.contract = contract
        self.vc = vc
        self.drops = Drops() if drops is None else drops
        self.passed = self.tagged = 0
        self.discarded: Counter[DropReason] = Counter()
        self._conformance = conformance_of(contract, more_cdvt=more_cdvt)

    def police(self, cells: bytes, now: int) -> bytes:
        """The cells that pass, the tagged ones with CLP 1, of cells of the connection that arrive together at `now`.

        The headers are good: HECs were checked before. Raises ValueError for no whole number of cells.
        """
        out: list[bytes] = []
        for run in self._runs(cells):
            split = self._judge(run, now)
            if split.passed == run.size == len(cells) // CELL_SIZE:
                return cells
            out += self._taken(run.cells_of(cells), run.header, split)
        return b"".join(out)

    def _runs(self, cells: bytes) -> Iterator[Run]:
        """The runs to judge: where frames matter, each last cell alone, since it ends a frame of its own."""
        for run in runs_of(cells):
            if run.is_last and self._conformance.by_frames:
                yield from (Run(run.header, at, at + 1) for at in range(run.first, run.end))
            else:
                yield run

    def _judge(self, run: Run, now: int) -> Split:
        """Judge a run, and count what passes."""
        if run.is_user:
            split = self._conformance.judge(run.clp, run.size, now, last=run.is_last)
        else:
            split = self._conformance.judge_other(run.size, now)
        self.passed += split.passed
        self.tagged += split.tagged
        return split

    def _taken(self, cells: bytes, header: bytes, split: Split) -> list[bytes]:
        """The cells that pass, of a run; the rest is counted."""
        passed, kept = split.passed * CELL_SIZE, (split.passed + split.tagged) * CELL_SIZE
        if split.discarded and split.reason is not None:
            self.discarded[split.reason] += split.discarded
            self.drops.count(split.reason, split.discarded, cells[kept:], self.vc)
        out = [cells[:passed]]
        if split.tagged:
            out.append(with_header(cells[passed:kept], tagged(header)))
        return out
