"""Source ends that stand for clients towards a server: the addresses of a pool, each with its ports.

An end that was given back is taken again last (first in, first out), since late packets may still be on their way to
it. Each depot of a set takes ends of its own part of the ports, and claims those of sessions that another has opened.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from atmdepot.wire.rewriting import End

if TYPE_CHECKING:
    from collections.abc import Sequence

FIRST, LAST = 1024, 65535
"""The ports of a pool; lower ones belong to servers (RFC 6335 section 6)."""


def part_of_ports(number: int, count: int) -> tuple[int, int]:
    """The first and the last port of a part (from 0) of as many equal parts; the last has what is over."""
    size = (LAST - FIRST + 1) // count
    first = FIRST + number * size
    return first, LAST if number == count - 1 else first + size - 1


class SourcePool:
    """The ends of a pool towards one server, of one protocol."""

    __slots__ = ("_addresses", "_claimed", "_first", "_free", "_last", "_next", "_place")

    def __init__(self, addresses: Sequence[bytes], number: int = 0, count: int = 1) -> None:
        """Make a pool of addresses, with the part `number` of `count` parts of their ports."""
        self._addresses = addresses
        self._place = {address: at for at, address in enumerate(addresses)}
        self._first, self._last = part_of_ports(number, count)
        self._next = 0  # ends from here on were never taken
        self._free: deque[End] = deque()
        self._claimed: set[End] = set()  # ends of sessions that another depot has opened, not met by `take` yet

    def __len__(self) -> int:
        """The number of its free ends."""
        count = len(self._addresses) * (self._last - self._first + 1)
        return count - self._next + len(self._free) - len(self._claimed)

    def take(self) -> End | None:
        """Take an end; None when all are in use."""
        while (end := self._upcoming()) is not None and end in self._claimed:
            self._claimed.remove(end)  # its session gives it back
        return end

    def _upcoming(self) -> End | None:
        end = self._end_at(self._next)
        if end is None:
            return self._free.popleft() if self._free else None
        self._next += 1
        return end

    def _end_at(self, number: int) -> End | None:
        """The end with this number in the order of first use; None beyond the last."""
        port, at = divmod(number, max(1, len(self._addresses)))
        if not self._addresses or self._first + port > self._last:
            return None
        return End(self._addresses[at], self._first + port)

    def claim(self, end: End) -> None:
        """Reserve an end until it is given back; an end of another depot's part is ignored."""
        number = self._number_of(end)
        if number is None:
            return
        self._claimed.add(end)
        # Passed here and not by `take`, which is to find no long run of claimed ends.
        while number == self._next and (upcoming := self._end_at(number)) in self._claimed:
            self._claimed.remove(upcoming)
            number = self._next = number + 1

    def give_back(self, end: End) -> None:
        """Put an end at the end of the queue; one that was never taken, or of another depot's part, is let be."""
        number = self._number_of(end)
        if end in self._claimed:
            self._claimed.remove(end)
        elif number is not None and number < self._next:
            self._free.append(end)

    def _number_of(self, end: End) -> int | None:
        """The number of an end in the order of first use; None for an end of another part."""
        at = self._place.get(end.address)
        if at is None or not self._first <= end.port <= self._last:
            return None
        return (end.port - self._first) * len(self._addresses) + at
