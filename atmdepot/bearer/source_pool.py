"""Source ends that stand for clients towards a server: the addresses of a pool, each with its ports.

An end that was given back is taken again last (first in, first out), since late packets may still be on their way to
it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from atmdepot.wire.rewriting import End

if TYPE_CHECKING:
    from collections.abc import Sequence

FIRST, LAST = 1024, 65535
"""The ports of a pool; lower ones belong to servers (RFC 6335 section 6)."""


class SourcePool:
    """The ends of a pool towards one server, of one protocol."""

    __slots__ = ("_addresses", "_free", "_next")

    def __init__(self, addresses: Sequence[bytes]) -> None:
        self._addresses = addresses
        self._next = 0  # ends from here on were never taken
        self._free: deque[End] = deque()

    def __len__(self) -> int:
        """The number of its free ends."""
        return len(self._addresses) * (LAST - FIRST + 1) - self._next + len(self._free)

    def take(self) -> End | None:
        """Take an end; None when all are in use."""
        port, at = divmod(self._next, max(1, len(self._addresses)))
        if self._addresses and FIRST + port <= LAST:
            self._next += 1
            return End(self._addresses[at], FIRST + port)
        return self._free.popleft() if self._free else None

    def give_back(self, end: End) -> None:
        """Put an end that was taken at the end of the queue."""
        self._free.append(end)
