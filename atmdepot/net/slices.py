"""Work on long tables in slices, between which the data path goes on.

Whoever looks (`show`, a scrape) makes a row at a time, and rests when a slice of time is over for as long as it worked.
So a packet waits for half a millisecond at most, however long the table is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

SLICE = 500_000
"""So long (ns) whoever looks may keep the loop for itself."""
_PIECE = 64 * 1024


class Pace:
    """The time that a task has taken since its last rest, by a clock in ns."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._began = clock()

    def is_over(self) -> bool:
        """Whether the slice is over."""
        return self._clock() - self._began >= SLICE

    async def rest(self) -> None:
        """Leave the loop to others for as long as the slice took."""
        await trio.sleep((self._clock() - self._began) / 1e9)
        self._began = self._clock()


def encoded(head: bytes, rows: Iterable[Any], tail: bytes, pace: Pace) -> Iterator[bytes]:
    """Rows as JSON, with commas between them, in pieces that are made within a slice each; after each the caller rests.

    No piece is longer than 64 KiB and a row.
    """
    encoder = msgspec.json.Encoder()
    piece = bytearray(head)
    comma = b""
    for row in rows:
        piece += comma
        piece += encoder.encode(row)
        comma = b","
        if len(piece) >= _PIECE or pace.is_over():
            yield bytes(piece)
            piece.clear()
    yield bytes(piece + tail)
