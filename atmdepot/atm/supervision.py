"""Supervision of a link, as a real line has it: a link is never silent, so silence means that it is cut.

An end that has sent nothing for an interval sends an idle cell (I.432.1 section 4.4). An end that has received nothing
for three intervals finds loss of signal, from which AIS follows at once. Supervision is for links whose two ends both
do it; towards other gear it stays off. Times are in ns.
"""

from __future__ import annotations

from collections.abc import Callable

from atmdepot.wire.cell import IDLE_CELL

MISSED = 3
"""The intervals of silence that make a loss of signal."""

Observer = Callable[[bool, int], None]
"""A function called when the signal is lost (True) or back, with the time."""


class LinkSupervision:
    """The supervision of an end of a link.

    `heard` and `sent` are plain assignments for the owner, which sets them to the present with each datagram: a burst
    costs no call. Silence is looked at when `next_timer` is due.
    """

    __slots__ = ("heard", "interval", "is_lost", "losses", "observers", "sent")

    def __init__(self, interval: int, now: int) -> None:
        """Begin with a signal, at `now`; raise ValueError for an interval below 1 ns."""
        if interval < 1:
            raise ValueError("the interval of supervision is at least 1 ns")
        self.interval = interval
        self.heard = now
        self.sent = now - interval  # so the first idle cell goes at once, and the far end knows
        self.is_lost = False
        self.losses = 0
        self.observers: tuple[Observer, ...] = ()

    def subscribe(self, observer: Observer) -> None:
        """Tell an observer of each loss and return of the signal from now on."""
        self.observers += (observer,)

    def next_timer(self) -> int:
        """The time of the next call of `handle_timer`."""
        due = self.sent + self.interval
        if not self.is_lost:
            return min(due, self.heard + MISSED * self.interval)
        # While it is lost, the next look is at the next idle cell; `receive` is sooner.
        return due

    def receive(self, now: int) -> None:
        """Hear that a datagram came; needed while the signal is lost, else `heard` may be set instead."""
        self.heard = now
        if self.is_lost:
            self._change(False, now)

    def handle_timer(self, now: int) -> bytes:
        """Find the signal lost if it is; return the idle cell that is due, or nothing."""
        if not self.is_lost and self.heard + MISSED * self.interval <= now:
            self.losses += 1
            self._change(True, now)
        if self.sent + self.interval > now:
            return b""
        self.sent = now
        return IDLE_CELL

    def _change(self, is_lost: bool, now: int) -> None:
        self.is_lost = is_lost
        for observer in self.observers:
            observer(is_lost, now)
