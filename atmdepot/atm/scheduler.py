"""The output of a link: a queue for each service category, and a scheduler that keeps the link's rate.

CBR goes first, then rt-VBR; the others share by weights what these leave. While others wait, after `most_strict` cells
of CBR and rt-VBR in a row another goes, so that no category starves. Cells leave in slots of 1/rate, counted exactly
as in `gcra.py`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from atmdepot.atm.gcra import INCREMENT
from atmdepot.atm.queueing import CellQueue, QueuedVc, Thresholds
from atmdepot.drops import Drops

if TYPE_CHECKING:
    from collections.abc import Mapping

    from atmdepot.config.contract import ServiceCategory
    from atmdepot.drops import OnChannel

GRAIN = 50_000
"""Cells that leave within this span (ns) leave together: a loop cannot wake up for each cell of an OC-3."""
BURST = 1024
"""The most cells that leave at once after a late wake-up."""
MOST_STRICT = 99


class QueueClass(StrEnum):
    """The queues of a link, in the order of their priority."""

    CBR = "CBR"
    RT_VBR = "rt-VBR"
    NRT_VBR = "nrt-VBR"
    GFR = "GFR"
    UBR = "UBR"

    @classmethod
    def of(cls, category: ServiceCategory) -> QueueClass:
        """The queue of a service category; raise ValueError for ABR, which has none."""
        name = category.partition(".")[0]
        if name not in cls.__members__.values():
            raise ValueError(f"{category} has no queue: write nrt-vbr or ubr")
        return cls(name)


STRICT = (QueueClass.CBR, QueueClass.RT_VBR)
SHARING = (QueueClass.NRT_VBR, QueueClass.GFR, QueueClass.UBR)
DEFAULT_ROOM = {QueueClass.CBR: 200, QueueClass.RT_VBR: 800, QueueClass.NRT_VBR: 2000, QueueClass.GFR: 2000,
                QueueClass.UBR: 4000}
DEFAULT_WEIGHT = {QueueClass.NRT_VBR: 4, QueueClass.GFR: 2, QueueClass.UBR: 1}


class LinkScheduler:
    """The output side of a link; times in ns, which do not go back.

    Call `leave` for the present before `enter`, as with a line: cells that came later do not overtake in the past.
    `late` counts cells that a late wake-up kept from leaving in their slots; the link goes on from there.
    """

    def __init__(self, rate: int = 0, *, room: Mapping[QueueClass, int] = DEFAULT_ROOM,
                 weights: Mapping[QueueClass, int] = DEFAULT_WEIGHT, grain: int = GRAIN, burst: int = BURST,
                 most_strict: int = MOST_STRICT, drops: Drops | None = None) -> None:
        """Make the queues of a link of `rate` cells/s (0: cells leave as soon as they are asked for).

        Raises ValueError for a weight, a burst or a number of strict cells below 1, and for a queue without room.
        """
        if min(burst, most_strict, *(weights[sharing] for sharing in SHARING)) < 1:
            raise ValueError("weights, the burst and the strict cells in a row are at least 1")
        self.rate = rate
        self.burst = burst
        self.drops = Drops() if drops is None else drops
        self.queues = {name: CellQueue(Thresholds.of(room[name]), self.drops) for name in QueueClass}
        self.late = 0
        self._weights = weights
        self._grain = max(1, grain * rate // INCREMENT)  # in cells
        self._most_strict = self._strict_left = most_strict
        self._turn = 0
        self._credit = weights[SHARING[0]]
        self._free = 0  # the start of the next free slot, in ticks of 1/rate ns

    def vc(self, category: ServiceCategory, vc: OnChannel | None = None) -> QueuedVc:
        """A VC of this output; CBR and rt-VBR have no frame discard. Raises ValueError for ABR."""
        return QueuedVc(vc, by_frames=QueueClass.of(category) in SHARING)

    def enter(self, name: QueueClass, vc: QueuedVc, cells: bytes, now: int) -> int:
        """Let cells of a VC into a queue; return how many were let in."""
        if not self.held:
            self._free = max(self._free, now * self.rate)
        return self.queues[name].enter(vc, cells)

    def leave(self, now: int) -> bytes:
        """The cells whose slots have begun, in the order of the scheduler."""
        held = self.held
        if not self.rate:
            return self._take(held)
        due = min(held, max(0, (now * self.rate - self._free) // INCREMENT + 1))
        count = min(due, self.burst)
        self._free += count * INCREMENT
        if due > count:
            self.late += due - count
            self._free = now * self.rate + INCREMENT
        return self._take(count)

    def next_timer(self) -> int | None:
        """The time of the next call of `leave`; None while no cell waits, 0 for at once."""
        held = self.held
        if not held:
            return None
        if not self.rate:
            return 0
        # The last of the cells that leave together decides.
        slot = self._free + (min(held, self._grain, self.burst) - 1) * INCREMENT
        return -(-slot // self.rate)

    @property
    def held(self) -> int:
        """The cells in all queues."""
        return sum(queue.held for queue in self.queues.values())

    def _take(self, count: int) -> bytes:
        """The next `count` cells of all queues, which hold as many."""
        out: list[bytes] = []
        while count:
            queue, most = self._next(count)
            pieces = queue.take(most)
            out += pieces
            count -= most
        return b"".join(out)

    def _next(self, count: int) -> tuple[CellQueue, int]:
        """The queue whose turn it is, and how many of `count` cells it may send."""
        strict = next((self.queues[name] for name in STRICT if self.queues[name].held), None)
        sharing = any(self.queues[name].held for name in SHARING)
        if strict is None:
            self._strict_left = self._most_strict
            return self._sharing(count)
        if not sharing:
            return strict, min(count, strict.held)
        if not self._strict_left:
            self._strict_left = self._most_strict
            return self._sharing(1)
        most = min(count, strict.held, self._strict_left)
        self._strict_left -= most
        return strict, most

    def _sharing(self, count: int) -> tuple[CellQueue, int]:
        """The queue whose turn it is by weight; at least one holds a cell."""
        holding = [self.queues[name] for name in SHARING if self.queues[name].held]
        if len(holding) == 1:  # nobody to share with: no need to go cell by cell
            return holding[0], min(count, holding[0].held)
        queue = self.queues[SHARING[self._turn]]
        while not (queue.held and self._credit):
            self._turn = (self._turn + 1) % len(SHARING)
            queue, self._credit = self.queues[SHARING[self._turn]], self._weights[SHARING[self._turn]]
        most = min(count, queue.held, self._credit)
        self._credit -= most
        return queue, most
