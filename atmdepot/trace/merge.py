"""Records of several nodes in the order of their times, at any delay of a node.

Each node's records come in the order of their times: each record tells how far its node is, and watermarks tell it when
there are no records (see `net/events.py`). A record goes as soon as no node can send an older record.
"""

from __future__ import annotations

import heapq
import math
from itertools import count
from typing import TYPE_CHECKING

from atmdepot.net.events import Cells, FrameSeen, SessionChange, Watermark
from atmdepot.trace.sources import Remark

if TYPE_CHECKING:
    from collections.abc import Iterable

    from atmdepot.net.events import Record, Told

PATIENCE = 5_000_000_000
"""Longest time for which a silent node holds up the records of other nodes, in ns."""
LONGEST_LOOK = 200_000_000
"""Longest interval between two calls of `look` that is counted, in ns."""
_MAX_HELD = 20_000  # records
_MAX_OCTETS = 16 * 2**20  # of the cells in held records


class Merger:
    """Holds the records of nodes until it is their turn.

    Beyond 20,000 records or 16 MiB the oldest go at once: the order may suffer, but memory is bounded. The records of a
    node always stay in its order.
    """

    def __init__(self, nodes: Iterable[str]) -> None:
        """Wait for all of these nodes from the beginning."""
        self._upto: dict[str, int | None] = dict.fromkeys(nodes)  # watermark of each node that runs
        self._heard = dict.fromkeys(self._upto, 0)  # by this process's own time
        self._silent: set[str] = set()
        self._remarked: set[str] = set()
        self._now = 0
        self._looked: int | None = None
        self._held: list[tuple[int, int, Record]] = []
        self._octets = 0
        self._arrived = count()

    @property
    def is_holding(self) -> bool:
        """True when a record waits for its turn."""
        return bool(self._held)

    def hear(self, told: Told) -> list[Record]:
        """Take a node's record; return the records that cannot wait for their turn.

        Sessions that were open when the trace began go at once: they are sent first, and until then no other record
        goes. A time before the node's latest time means that the wall clock was set back. Times before and after cannot
        be compared, and waiting until the clock is back would take too long: all held records go.
        """
        self._heard[told.node] = self._now
        # A node that speaks again is waited for again.
        self._silent.discard(told.node)
        if isinstance(told, SessionChange) and told.event == "known":
            return [told]
        before = self._upto.get(told.node)
        gone = self.rest() if before is not None and told.time < before else []
        self._upto[told.node] = told.time
        if not isinstance(told, Watermark):
            # The number of arrival orders records of equal times, and the heap never compares records.
            heapq.heappush(self._held, (told.time, next(self._arrived), told))
            self._octets += _octets_of(told)
        while len(self._held) > _MAX_HELD or self._octets > _MAX_OCTETS:
            gone.append(self._pop())
        return gone

    def end(self, node: str) -> None:
        """Stop waiting for a node that has ended."""
        self._upto.pop(node, None)

    def take(self) -> list[Record]:
        """Return the records whose turn it is."""
        waited_for = [upto for node, upto in self._upto.items() if node not in self._silent]
        told = [upto for upto in waited_for if upto is not None]
        # A node without a record yet may still send the oldest.
        return self._until(min(told, default=math.inf)) if len(told) == len(waited_for) else []

    def rest(self) -> list[Record]:
        """Return all held records."""
        return self._until(math.inf)

    def look(self, clock: int) -> list[Remark]:
        """Stop waiting, until they speak again, for nodes that hold up records and were silent for long.

        Call it with a clock's time (ns) whenever all records that had come were heard. If it was not called for a
        while, because this process or the machine stood still, that is not the nodes' fault.
        """
        if self._looked is not None:
            # A long interval is this process's own silence, and counts at most LONGEST_LOOK against the nodes.
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
    return len(record.octets) if isinstance(record, Cells | FrameSeen) else 0
