"""Rates of a server over the last seconds, from counts that are noted now and then. Times in ns."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

_SPAN = 5_000_000_000
"""Rates are of the last 5 s."""
_MOST = 64


class Counts(NamedTuple):
    """Counts up to a moment: sessions given to a server, octets from and to clients, units on its link."""

    sessions: int
    octets_in: int
    octets_out: int
    link_in: int
    link_out: int


class Rates:
    """Counts at some moments of the last seconds."""

    __slots__ = ("_noted",)

    def __init__(self) -> None:
        self._noted: deque[tuple[int, Counts]] = deque(maxlen=_MOST)

    def note(self, counts: Counts, now: int) -> None:
        """Note the counts of this moment; those of before the span are forgotten."""
        self._noted.append((now, counts))
        while len(self._noted) > 2 and self._noted[1][0] <= now - _SPAN:
            self._noted.popleft()

    def per_second(self) -> tuple[float, ...]:
        """The rates of all counts, 0 before there are two moments."""
        if len(self._noted) < 2:
            return (0.0,) * len(Counts._fields)
        (began, first), (ended, last) = self._noted[0], self._noted[-1]
        span = (ended - began) / 1e9
        return tuple(round((after - before) / span, 3) if span > 0 else 0.0
                     for before, after in zip(first, last, strict=True))
