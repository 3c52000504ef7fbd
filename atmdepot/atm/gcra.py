"""The generic cell rate algorithm in exact integers (ITU-T I.371 annex A, ATM Forum TM 4.1 section 4.4.2).

Its increment T is 1/rate, which is rarely a whole number of nanoseconds (2831.2 ns at OC-3). So all spans are counted
in ticks of 1/rate nanoseconds: T is 10^9 ticks at any rate, a nanosecond is `rate` ticks, and nothing is ever rounded.

Of the standard's two forms this is virtual scheduling, which keeps one number. Times are never negative.
"""

from __future__ import annotations

INCREMENT = 1_000_000_000
"""The increment T of every rate, in ticks."""


class Gcra:
    """Virtual scheduling: the theoretical arrival time of the next cell."""

    __slots__ = ("_arrival", "limit", "rate")

    def __init__(self, rate: int, limit: int) -> None:
        """Test for a rate in cells/s with a limit tau in ticks.

        Raises ValueError for a rate below 1 cell/s or a limit below 0.
        """
        _check(rate, limit)
        self.rate = rate
        self.limit = limit
        self._arrival = 0

    @classmethod
    def peak(cls, pcr: int, cdvt: int) -> Gcra:
        """The test of a peak cell rate (cells/s) with its CDVT (ns)."""
        return cls(pcr, cdvt * pcr)

    @classmethod
    def sustained(cls, scr: int, mbs: int, pcr: int, cdvt: int) -> Gcra:
        """The test of a sustainable (or minimum) cell rate with bursts of `mbs` cells at the peak cell rate."""
        return cls(scr, burst_tolerance(scr, mbs, pcr) + cdvt * scr)

    def fit(self, now: int, count: int) -> int:
        """The number of cells that conform, of `count` cells that arrive at `now` (ns) together; O(1)."""
        early = max(self._arrival - now * self.rate, 0)
        # Each cell that conforms puts the next an increment further from its own time.
        return 0 if early > self.limit else min(count, (self.limit - early) // INCREMENT + 1)

    def take(self, now: int, count: int) -> None:
        """Count cells that arrived at `now` (ns), whether they fit or not."""
        self._arrival = max(self._arrival, now * self.rate) + count * INCREMENT

    def due(self, count: int = 1) -> int:
        """The earliest time (ns) at which `count` cells together conform; at most 0 for at once.

        So many must conform from rest.
        """
        return -((self.limit - (count - 1) * INCREMENT - self._arrival) // self.rate)


def burst_tolerance(scr: int, mbs: int, pcr: int) -> int:
    """The burst tolerance (MBS - 1)(1/SCR - 1/PCR), in ticks of 1/SCR ns (TM 4.1 section 4.4.3).

    It is rounded up to a tick, which stays below the next burst size. Raises ValueError when MBS is below 1, or SCR
    above PCR.
    """
    if mbs < 1 or not 1 <= scr <= pcr:
        raise ValueError(f"MBS {mbs}, SCR {scr} and PCR {pcr}: MBS is at least 1, and SCR from 1 to PCR")
    return -((1 - mbs) * INCREMENT * (pcr - scr) // pcr)


def _check(rate: int, limit: int) -> None:
    if rate < 1 or limit < 0:
        raise ValueError(f"a rate of {rate} cells/s with a limit of {limit} ticks: at least 1 and 0 are possible")
