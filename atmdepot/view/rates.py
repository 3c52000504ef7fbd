"""Rates of counters, which are read now and then and begin anew when their daemon is restarted."""

from __future__ import annotations


class Meter:
    """A counter's rate per second, between its last two readings."""

    __slots__ = ("_at", "delta", "rate", "value")

    def __init__(self) -> None:
        self.value = 0
        self.rate = 0.0
        self.delta = 0
        self._at: int | None = None

    def read(self, value: int, now: int) -> int:
        """Take a reading at a time in ns; return what came since the reading before (0 for the first)."""
        before, self._at = self._at, now
        if before is None or now <= before:
            self.value = value
            return 0
        # A counter that is less than before has begun anew at 0.
        self.delta = value - self.value if value >= self.value else value
        self.value = value
        self.rate = self.delta * 1e9 / (now - before)
        return self.delta

    def rest(self) -> None:
        """Forget the rate: nobody can be asked for it now. The next reading is as a first one."""
        self.rate = 0.0
        self.delta = 0
        self._at = None
