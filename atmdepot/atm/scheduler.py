"""The output of a link: a queue for each service category, and a scheduler that keeps the link's rate.

CBR goes first, then rt-VBR; the others share by weights what these leave. While others wait, after `most_strict` cells
of CBR and rt-VBR in a row another goes, so that no category starves. Cells leave in slots of 1/rate, counted exactly
as in `gcra.py`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, cast

from atmdepot.atm.gcra import INCREMENT
from atmdepot.atm.queueing import CellQueue, Held, QueuedVc, Thresholds
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
_NEVER = 1 << 62
_TURNS = 32
"""The cells of a round of the queues that share by weights, at least."""
_FIRST_SHARING = len(STRICT)
_FREE, _BY_STRICT, _BY_WEIGHT = range(3)


class ClassOrder:
    """Whose turn it is among the five parts of an output, one for each queue of `QueueClass`."""

    __slots__ = ("_credit", "_is_paid", "_most_strict", "_parts", "_strict_left", "_turn", "_weights", "most")

    def __init__(self, parts: Mapping[QueueClass, Held], weights: Mapping[QueueClass, int] = DEFAULT_WEIGHT,
                 most_strict: int = MOST_STRICT) -> None:
        """Order these parts; raise ValueError for a weight or a number of strict cells below 1.

        `most` is the number of cells that the part chosen last may send.
        """
        if min(most_strict, *(weights[name] for name in SHARING)) < 1:
            raise ValueError("weights, the burst and the strict cells in a row are at least 1")
        self.most = 0
        self._parts = [parts[name] for name in QueueClass]
        # Longer turns, in the same proportion: to change turns costs more than to send a cell.
        factor = max(1, _TURNS // sum(weights[name] for name in SHARING))
        self._weights = [weights[name] * factor for name in SHARING]
        self._most_strict = self._strict_left = most_strict
        self._turn = 0
        self._credit = self._weights[0]
        self._is_paid = 0

    def is_busy(self) -> bool:
        """True while a part holds cells."""
        one, two, three, four, five = self._parts
        return (one.held or two.held or three.held or four.held or five.held) != 0

    def choose(self, count: int) -> Held | None:
        """The part whose turn it is, of at most `count` cells; None while all are empty. Then call `charge`."""
        first, strict, three, four, five = self._parts
        self._is_paid, self.most = _FREE, count
        if first.held:
            strict = first
        sharing = (three.held > 0) + (four.held > 0) + (five.held > 0)
        if strict.held:
            if not sharing:
                return strict
            if self._strict_left:
                self._is_paid, self.most = _BY_STRICT, min(count, self._strict_left)
                return strict
            self.most = 1
        self._strict_left = self._most_strict
        return self._by_weight(sharing) if sharing else None

    def _by_weight(self, sharing: int) -> Held:
        at = self._turn
        part = self._parts[_FIRST_SHARING + at]
        # With nobody to share with, there is no need to go turn by turn.
        while not (part.held and (self._credit or sharing == 1)):
            at = (at + 1) % len(self._weights)
            self._credit = self._weights[at]
            part = self._parts[_FIRST_SHARING + at]
        self._turn = at
        if sharing > 1:
            self._is_paid, self.most = _BY_WEIGHT, min(self.most, self._credit)
        return part

    def charge(self, count: int) -> None:
        """Count the cells, `most` at most, that the part chosen last has sent."""
        if self._is_paid == _BY_STRICT:
            self._strict_left -= count
        elif self._is_paid == _BY_WEIGHT:
            self._credit -= count


class Slots:
    """The slots of a link, each 1/rate long, in whole ticks of 1/rate ns (see `gcra.py`); times in ns.

    `late` counts cells that a late wake-up kept from leaving in their slots; the link goes on from there.
    """

    __slots__ = ("_free", "_grain", "burst", "late", "rate")

    def __init__(self, rate: int, grain: int, burst: int) -> None:
        """Slots of `rate` cells/s (0: no slots); cells of `grain` ns leave together, and at most `burst` when late.

        Raises ValueError for a burst below 1.
        """
        if burst < 1:
            raise ValueError("weights, the burst and the strict cells in a row are at least 1")
        self.rate = rate
        self.burst = burst
        self.late = 0
        self._grain = max(1, grain * rate // INCREMENT)  # in cells
        self._free = 0  # the start of the next free slot, in ticks

    def begin(self, time: int) -> None:
        """Note that a cell came at `time` to an idle link: the slots before are lost."""
        self._free = max(self._free, time * self.rate)

    def open(self, now: int) -> int:
        """The number of free slots that have begun."""
        return max(0, (now * self.rate - self._free) // INCREMENT + 1) if self.rate else _NEVER

    def use(self, count: int) -> None:
        """Fill the next slots."""
        self._free += count * INCREMENT

    def skip(self, now: int, count: int) -> None:
        """Give up the open slots, in which `count` cells should have left."""
        self.late += count
        self._free = now * self.rate + INCREMENT

    def next(self, held: int) -> int:
        """The time at which the last of the cells that leave together has its slot; `held` cells wait."""
        if not self.rate:
            return 0
        slot = self._free + (min(held, self._grain, self.burst) - 1) * INCREMENT
        return -(-slot // self.rate)


class LinkScheduler:
    """The output side of a link; times in ns, which do not go back.

    Call `leave` for the present before `enter`, as with a line: cells that came later do not overtake in the past.
    """

    def __init__(self, rate: int = 0, *, room: Mapping[QueueClass, int] = DEFAULT_ROOM,
                 weights: Mapping[QueueClass, int] = DEFAULT_WEIGHT, grain: int = GRAIN, burst: int = BURST,
                 most_strict: int = MOST_STRICT, drops: Drops | None = None) -> None:
        """Make the queues of a link of `rate` cells/s (0: cells leave as soon as they are asked for).

        Raises ValueError for a weight, a burst or a number of strict cells below 1, and for a queue without room.
        """
        self.drops = Drops() if drops is None else drops
        self.queues = {name: CellQueue(Thresholds.of(room[name], by_frames=name in SHARING), self.drops)
                       for name in QueueClass}
        self._order = ClassOrder(self.queues, weights, most_strict)
        self._slots = Slots(rate, grain, burst)

    @property
    def rate(self) -> int:
        """The link's rate in cells/s; 0 for as fast as asked."""
        return self._slots.rate

    @property
    def late(self) -> int:
        """The cells that a late wake-up kept from leaving in their slots."""
        return self._slots.late

    def vc(self, category: ServiceCategory, vc: OnChannel | None = None) -> QueuedVc:
        """A VC of this output; CBR and rt-VBR have no frame discard. Raises ValueError for ABR."""
        return QueuedVc(vc, by_frames=QueueClass.of(category) in SHARING)

    def enter(self, name: QueueClass, vc: QueuedVc, cells: bytes, now: int) -> int:
        """Let cells of a VC into a queue; return how many were let in."""
        if not self.held:
            self._slots.begin(now)
        return self.queues[name].enter(vc, cells)

    def leave(self, now: int) -> bytes:
        """The cells whose slots have begun, in the order of the scheduler."""
        slots = self._slots
        due = min(self.held, slots.open(now))
        count = min(due, slots.burst) if slots.rate else due
        slots.use(count)
        if due > count:
            slots.skip(now, due - count)
        return self._take(count)

    def next_timer(self) -> int | None:
        """The time of the next call of `leave`; None while no cell waits, 0 for at once."""
        held = self.held
        return self._slots.next(held) if held else None

    @property
    def held(self) -> int:
        """The cells in all queues."""
        return sum(queue.held for queue in self.queues.values())

    def _take(self, count: int) -> bytes:
        """The next `count` cells of all queues, which hold as many."""
        out: list[bytes] = []
        while count:
            queue = cast("CellQueue", self._order.choose(count))
            taken = min(self._order.most, queue.held)
            out += queue.take(taken)
            self._order.charge(taken)
            count -= taken
        return b"".join(out)
