"""Work on long tables in slices, between which the data path goes on.

A task that reads a table (`show`, a scrape) makes a row at a time. When its slice is over it rests for as long as it
worked. So a packet waits for half a millisecond at most, whatever the length of the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

SLICE = 500_000
"""Time (ns) that a reading task may keep the loop for itself."""
_PIECE = 64 * 1024


class Pace:
    """The time that a task has taken since its last rest, by a clock in ns."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._began = clock()

    def is_over(self) -> bool:
        """True when the slice is over."""
        return self._clock() - self._began >= SLICE

    async def rest(self) -> None:
        """Leave the loop to other tasks for as long as the slice took."""
        await trio.sleep((self._clock() - self._began) / 1e9)
        self._began = self._clock()  # the rest itself does not count


class Counted:
    """The first rows of a table, to be read once. Each further one is None, and counts as `more`."""

    def __init__(self, rows: Iterable[Any], most: int) -> None:
        self._rows, self._left = rows, most
        self.more = 0

    def __iter__(self) -> Iterator[Any]:
        """The rows, and None for each that is none and for each that is only counted."""
        for row in self._rows:
            if row is not None and not self._left:
                self.more += 1
                yield None
                continue
            self._left -= row is not None
            yield row


def encoded(head: bytes, rows: Iterable[Any], tail: bytes, pace: Pace) -> Iterator[bytes]:
    """Encode rows as JSON, with commas between them, in pieces of a slice each; the caller rests after each piece.

    A piece is at most 64 KiB and a row long. None is no row, but takes time as well.
    """
    encoder = msgspec.json.Encoder()
    piece = bytearray(head)
    comma = b""
    for row in rows:
        if row is not None:
            piece += comma
            piece += encoder.encode(row)
            comma = b","
        if len(piece) >= _PIECE or pace.is_over():
            yield bytes(piece)
            piece.clear()
    yield bytes(piece + tail)


def up_to(most: int, rows: Iterable[Any]) -> Iterator[Any]:
    """Rows until there are so many; None is no row."""
    for row in rows if most else ():
        yield row
        most -= row is not None
        if not most:
            return
