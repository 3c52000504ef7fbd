"""A watchdog over the loop: it finds turns that take too much processor time, and names their work.

Reading the thread's processor time is a system call, so the hot path does not read it. It compares wall-clock times,
which it has anyway, and only a turn that was long by the wall clock is examined. The time between the last reading (at
most a millisecond before, or an idle wait) and the turn is deducted as if the thread had used the processor all the
time. So the reported time is a lower bound: a thread that had to wait for its processor is never blamed.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 5_000_000
"""Processor time (ns) of the thread that a turn may take."""
FROM_TUN, TIMERS, GUEST = "a burst from the TUN device", "timers", "trio"
_BASELINE = 1_000_000
_LONGEST_SPIN = 250_000  # ns; more than the pump spins
_MINUTE = 60_000_000_000

log = logging.getLogger("atmdepot")


class Watchdog:
    """Watches the turns of a loop. Times are ns of the loop's clock, or of the thread's processor time."""

    __slots__ = (
        "_baseline_at", "_baseline_used", "_began", "_collection", "_collection_began", "_collection_ended", "_doing",
        "_ended", "_limit", "_logged", "_longest_doing", "_longest_part", "_part_began", "_used", "count", "last",
        "longest", "task_of",
    )

    def __init__(self, used: Callable[[], int] = time.thread_time_ns, limit: int = LIMIT) -> None:
        """Watch the thread whose processor time `used` returns."""
        self._used = used
        self._limit = limit
        self._doing: str | None = None  # within a turn
        self._began = self._part_began = self._ended = self._longest_part = 0
        self._longest_doing: str | None = None
        self._baseline_at = self._baseline_used = -1
        self._collection = self._collection_began = self._collection_ended = 0
        self._logged: dict[str, tuple[int, int]] = {}
        self.count = self.longest = 0
        """Count of turns that took too long; processor time (ns) of the longest of them."""
        self.last = ""
        """The work of the last of them."""
        self.task_of: Callable[[], str] = str
        """Returns the name of the trio task that took most of the last call."""

    def begins(self, doing: str, now: int) -> None:
        """Begin a part of a turn; the part before it ends."""
        if self._doing is None:
            self._began = now
            self._longest_part = -1
        elif now - self._part_began > self._longest_part:
            self._longest_part = now - self._part_began
            self._longest_doing = self._doing
        self._doing = doing
        self._part_began = now

    def ends(self, now: int) -> None:
        """End a turn."""
        if self._doing is not None and now - self._began > self._limit:
            self._look(now)
        elif now - self._baseline_at > _BASELINE or self._baseline_at < 0:  # seldom: it is a system call
            self._baseline_at, self._baseline_used = now, self._used()
        self._doing = None
        self._ended = now

    def _look(self, now: int) -> None:
        """Find the processor time of a turn."""
        used = self._used()
        # All the time before the turn counts as used, except that an idle wait sleeps after the spin.
        before = self._ended - self._baseline_at + min(self._began - self._ended, _LONGEST_SPIN)
        spent = used - self._baseline_used - before
        known = self._baseline_at >= 0
        self._baseline_at, self._baseline_used = now, used
        if known and spent > self._limit:
            if now - self._part_began > self._longest_part:
                self._longest_doing = self._doing
            self._tell(spent, now)

    def _tell(self, spent: int, now: int) -> None:
        """Count a turn, and log it: at most once a minute for each kind of work."""
        doing = str(self._longest_doing)
        if doing == GUEST:
            doing = f"{GUEST}: {self.task_of()}"
        self.count += 1
        self.longest = max(self.longest, spent)
        self.last = doing
        at, times = self._logged.get(doing, (-_MINUTE, 0))
        if now - at < _MINUTE:
            self._logged[doing] = at, times + 1
            return
        self._logged[doing] = now, 0
        log.warning("a turn of the loop took %.1f ms of the processor, most of it for %s%s%s", spent / 1e6, doing,
                    self._collector(), f"; {times} more since it was logged last" if times else "")

    def _collector(self) -> str:
        if self._collection < _BASELINE or self._collection_ended < self._began:
            return ""
        return f" (garbage collection: {self._collection / 1e6:.1f} ms)"

    def collected(self, phase: str, _: dict[str, Any]) -> None:
        """Note a start or end of the garbage collector (`gc.callbacks`)."""
        now = time.monotonic_ns()
        if phase == "start":
            self._collection_began = now
        else:
            self._collection_ended, self._collection = now, now - self._collection_began
