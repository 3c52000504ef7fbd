"""Shaping of a VC: its cells leave as its contract allows, so that no policer finds a cell to tag or discard.

The shaper keeps the contract by the same tests as a policer (I.371 section 7.2.7). A train enters whole, in order,
and leaves in bursts: whatever conforms at a time (CDVT, and MBS at the peak rate) leaves together. A contract with a
CDVT of some cell times thus needs few wake-ups; with a CDVT of 0 each cell leaves alone.
"""

from __future__ import annotations

from collections import deque
from itertools import groupby
from typing import TYPE_CHECKING

from atmdepot.atm.conformance import conformance_of
from atmdepot.atm.runs import runs_of
from atmdepot.drops import DropReason, Drops
from atmdepot.wire.cell import CELL_SIZE

if TYPE_CHECKING:
    from atmdepot.config.contract import Contract
    from atmdepot.drops import OnChannel

DEFAULT_ROOM = 4096
"""Cells that may wait for their time: three packets of the greatest size."""


class _Waiting:
    """Cells that wait for their time and are judged alike: user cells of a CLP, or cells without user data.

    A PDU's last cell waits with the cells before it, so most trains are one piece.
    """

    __slots__ = ("cells", "clp", "count", "gone", "user")

    def __init__(self, cells: bytes, clp: int, user: bool) -> None:
        self.cells = cells
        self.count = len(cells) // CELL_SIZE
        self.gone = 0
        self.clp = clp
        self.user = user


class Shaper:
    """The shaper of a VC; times in ns, which do not go back."""

    __slots__ = ("_conformance", "_waiting", "contract", "drops", "held", "left", "room", "vc")

    def __init__(self, contract: Contract, *, room: int = DEFAULT_ROOM, vc: OnChannel | None = None,
                 drops: Drops | None = None) -> None:
        """Keep a contract, with room for that number of cells; `vc` names the VC to the observers of `drops`.

        Raises ValueError for a contract that `conformance_of` refuses. Counts: `held` cells wait, `left` have gone.
        """
        self.contract = contract
        self.room = room
        self.vc = vc
        self.drops = Drops() if drops is None else drops
        self.held = self.left = 0
        self._conformance = conformance_of(contract)
        self._waiting: deque[_Waiting] = deque()

    def enter(self, cells: bytes) -> bool:
        """Take a train of the VC; False, and its cells are counted as dropped, when it does not fit the room.

        A train is taken whole or not at all, so no PDU is cut. Raises ValueError for no whole number of cells.
        """
        pieces = [_Waiting(b"".join(run.cells_of(cells) for run in runs), *kind)
                  for kind, runs in groupby(runs_of(cells), lambda run: (run.clp, run.is_user))]
        count = len(cells) // CELL_SIZE
        if self.held + count > self.room:
            self.drops.count(DropReason.SHAPER_FULL, count, cells, self.vc)
            return False
        self.held += count
        self._waiting += pieces
        return True

    def leave(self, now: int) -> bytes:
        """The cells that may go at `now`, in order; empty before `next_timer`."""
        out = []
        while self._waiting:
            first = self._waiting[0]
            count = self._conformance.send(first.clp, first.count - first.gone, now, user=first.user)
            out.append(first.cells[first.gone * CELL_SIZE:(first.gone + count) * CELL_SIZE])
            first.gone += count
            self.held -= count
            self.left += count
            if first.gone < first.count:
                break
            self._waiting.popleft()
        return b"".join(out)

    def next_timer(self) -> int | None:
        """The time at which the next cell may go; None while the queue is empty."""
        if not self._waiting:
            return None
        first = self._waiting[0]
        return self._conformance.due(first.clp, user=first.user)

    def clear(self) -> int:
        """Forget the cells that wait, as when the VC is closed; return their number."""
        count, self.held = self.held, 0
        self._waiting.clear()
        return count
