"""Records of several nodes in the order of their times, however soon or late each node is heard.

Each node's records come in the order of their times, so that each one tells how far its node is; watermarks tell it
where there are no records (see `node/events.py`). A record goes as soon as no node can tell of anything older.
"""

from __future__ import annotations

import heapq
import math
from itertools import count
from typing import TYPE_CHECKING

from atmdepot.node.events import Cells, SessionChange, Watermark
from atmdepot.trace.sources import Remark

if TYPE_CHECKING:
    from collections.abc import Iterable

    from atmdepot.node.events import Record, Told

PATIENCE = 5_000_000_000
"""How long a node that says nothing may hold up the records of others, in ns."""
LONGEST_LOOK = 200_000_000
"""What lies between two looks counts as no more than this (ns)."""
_MAX_HELD = 20_000
_MAX_OCTETS = 16 * 2**20


class Merger:
    """Holds the records of some nodes until it is their turn.

    Of more than 20,000 records or 16 MiB the oldest go at once, so that the order may suffer, but memory does not.
    Those of one node stay in its order in any case.
    """

    def __init__(self, nodes: Iterable[str]) -> None:
        """Wait for all of these nodes from the beginning."""
        self._upto: dict[str, int | None] = dict.fromkeys(nodes)  # of those that run
        self._heard = dict.fromkeys(self._upto, 0)  # by our own time
        self._silent: set[str] = set()
        self._remarked: set[str] = set()
        self._now = 0
        self._looked: int | None = None
        self._held: list[tuple[int, int, Record]] = []
        self._octets = 0
        self._arrived = count()

    @property
    def is_holding(self) -> bool:
        """Whether a record waits for its turn."""
        return bool(self._held)

    def hear(self, told: Told) -> list[Record]:
        """Take what a node tells; give what cannot wait for its turn.

        Sessions that were there when the trace began go at once: they are told first, and until then nothing else goes.
        A time before the one that the node told last means that the wall clock was set back. Times of before and after
        cannot be compared, and nobody may wait until the clock is where it was: all that is held goes.
        """
        self._heard[told.node] = self._now
        self._silent.discard(told.node)
        if isinstance(told, SessionChange) and told.event == "known":
            return [told]
        before = self._upto.get(told.node)
        gone = self.rest() if before is not None and told.time < before else []
        self._upto[told.node] = told.time
        if not isinstance(told, Watermark):
            heapq.heappush(self._held, (told.time, next(self._arrived), told))
            self._octets += _octets_of(told)
        while len(self._held) > _MAX_HELD or self._octets > _MAX_OCTETS:
            gone.append(self._pop())
        return gone

    def end(self, node: str) -> None:
        """Wait no more for a node that has ended."""
        self._upto.pop(node, None)

    def take(self) -> list[Record]:
        """The records whose turn it is."""
        waited_for = [upto for node, upto in self._upto.items() if node not in self._silent]
        told = [upto for upto in waited_for if upto is not None]
        return self._until(min(told, default=math.inf)) if len(told) == len(waited_for) else []

    def rest(self) -> list[Record]:
        """All records that are held."""
        return self._until(math.inf)

    def look(self, clock: int) -> list[Remark]:
        """Wait no more, until they speak again, for nodes that hold up records and have said nothing for long.

        It is to be called with the time of a clock (ns) whenever all that had come was heard. If that was not done for
        a while, because this process or the machine stood still, that is no fault of the nodes'.
        """
        if self._looked is not None:
            self._now += min(clock - self._looked, LONGEST_LOOK)
        self._looked = clock
        lost = [node for node, upto in self._upto.items() if self._holds_up(upto) and node not in self._silent
                and self._now - self._heard[node] >= PATIENCE]
        new = [node for node in lost if node not in self._remarked]
        self._silent.update(lost)
        self._remarked.update(lost)
        return [Remark(f"{node}: the daemon says nothing; the trace goes on without waiting for it, and what it tells "
                       "later may stand too late") for node in new]

    def _holds_up(self, upto: int | None) -> bool:
        return bool(self._held) and (upto is None or upto < self._held[0][0])

    def _until(self, time: float) -> list[Record]:
        gone = []
        while self._held and self._held[0][0] <= time:
            gone.append(self._pop())
        return gone

    def _pop(self) -> Record:
        record = heapq.heappop(self._held)[2]
        self._octets -= _octets_of(record)
        return record


def _octets_of(record: Record) -> int:
    return len(record.octets) if isinstance(record, Cells) else 0
