"""Chores: a daemon's work beside the packets that has times of its own and moves octets, but is too frequent for trio.

The pump asks a chore after each turn when it is due, and attends to it between two bursts. A node without chores pays
nothing for them.
"""

from __future__ import annotations

NEVER = 1 << 62


class Chore:
    """Work that a pump attends to. Times in ns."""

    name = "a chore"
    """The watchdog's name for it."""

    def next_due(self, now: int) -> int:
        """The time at which it is due, `NEVER` while it has nothing to do; `now` is the time of the last burst."""
        del now
        return NEVER

    def attend(self, now: int) -> None:
        """Do what is due: a few milliseconds at most."""
