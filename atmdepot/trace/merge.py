"""Records of several nodes in the order of their times: each node sends its own in turns, a little late."""

from __future__ import annotations

import heapq
import time
from itertools import count
from typing import TYPE_CHECKING

from atmdepot.net.records import Cells
from atmdepot.trace.sources import Remark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from atmdepot.trace.sources import SourceRecord

HOLD = 400_000_000
"""How long a record waits for older ones of other nodes, in ns: longer than a node's turn takes."""
_MAX_HELD = 20_000
_MAX_OCTETS = 16 * 2**20


def in_order(
    source: Iterable[SourceRecord | None], clock: Callable[[], int] = time.monotonic_ns, hold: int = HOLD,
) -> Iterator[SourceRecord | None]:
    """The records of a source by their times, each given no sooner than `hold` ns after it came.

    None passes on, and is needed: it lets what is held go when nothing comes. Of more than 20,000 records or 16 MiB
    held the oldest go at once, so that the order may suffer, but memory does not. Remarks wait for nothing.
    """
    held: list[tuple[int, int, int, SourceRecord]] = []
    arrived, octets = count(), 0
    for record in source:
        now = clock()
        if isinstance(record, Remark):
            yield record
        elif record is not None:
            heapq.heappush(held, (record.time, next(arrived), now, record))
            octets += _octets_of(record)
        while held and (held[0][2] <= now - hold or len(held) > _MAX_HELD or octets > _MAX_OCTETS):
            oldest = heapq.heappop(held)[3]
            octets -= _octets_of(oldest)
            yield oldest
        if record is None:
            yield None
    while held:
        yield heapq.heappop(held)[3]


def _octets_of(record: SourceRecord) -> int:
    return len(record.octets) if isinstance(record, Cells) else 0
