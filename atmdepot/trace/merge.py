"""Records of several nodes in the order of their times: each node sends its own in turns, a little late."""

from __future__ import annotations

import heapq
import time
from itertools import count
from typing import TYPE_CHECKING

from atmdepot.trace.sources import Remark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from atmdepot.trace.sources import SourceRecord

HOLD = 400_000_000
"""How long a record waits for older ones of other nodes, in ns: longer than a node's turn takes."""
_MAX_HELD = 20_000


def in_order(
    source: Iterable[SourceRecord | None], clock: Callable[[], int] = time.time_ns, hold: int = HOLD,
) -> Iterator[SourceRecord | None]:
    """The records of a source by their times, each given when it is `hold` ns old.

    None passes on, and is needed: it lets what is held go when nothing comes. Of more than 20,000 records held the
    oldest go at once, so that the order may suffer, but memory does not. Remarks wait for nothing.
    """
    held: list[tuple[int, int, SourceRecord]] = []
    arrived = count()
    for record in source:
        if isinstance(record, Remark):
            yield record
        elif record is not None:
            heapq.heappush(held, (record.time, next(arrived), record))
        now = clock()
        while held and (held[0][0] <= now - hold or len(held) > _MAX_HELD):
            yield heapq.heappop(held)[2]
        if record is None:
            yield None
    while held:
        yield heapq.heappop(held)[2]
