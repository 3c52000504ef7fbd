"""One wheel for everything that expires: sessions, learnt flows, and later OAM states.

An item's deadline may be moved on as often as packets come, by one assignment; the wheel looks at it only when the
slot comes round that it was put in, and puts it back when it has more time. So a packet costs no wheel operation
and no table is ever scanned.
"""

from __future__ import annotations

import heapq
from typing import Any

_SECOND = 1_000_000_000
_HORIZON = 60
_NOWHERE = -1
_ALL = 2**62


class Expiring:
    """What the wheel holds: `deadline` in ns, and the `slot` it stands in (the wheel's own; -1 at first)."""

    __slots__ = ("deadline", "slot")

    def __init__(self, deadline: int = 0) -> None:
        self.stand_nowhere(deadline)

    def stand_nowhere(self, deadline: int) -> None:
        """Begin, in no slot. Derived classes call this: `super().__init__` is a detour where it is compiled."""
        self.deadline = deadline
        self.slot = _NOWHERE


class TimerWheel:
    """Items in slots of `tick` ns; an item expires up to one tick after its deadline, never before.

    No item stands more than 60 ticks away, so that a deadline moved to an earlier time is never missed by more. An
    item that is taken out is not held any longer: a flood of short-lived ones leaves nothing behind.
    """

    __slots__ = ("_due", "_looking", "_slots", "most", "tick")

    def __init__(self, tick: int = _SECOND) -> None:
        self.tick = tick
        self.most = _ALL
        """So many items at most are looked at in a call of `expired`; `next_timer` tells when there are more."""
        self._looking: list[Expiring] = []  # those of the first slot that have yet to be looked at, the last first
        self._slots: dict[int, dict[Expiring, None]] = {}
        self._due: list[int] = []

    def add(self, item: Expiring, now: int) -> None:
        """Watch an item; again when its deadline was moved to an earlier time."""
        slot = min(item.deadline // self.tick, now // self.tick + _HORIZON) + 1
        if slot == item.slot:
            return
        self.remove(item)
        item.slot = slot
        bucket = self._slots.get(slot)
        if bucket is None:
            bucket = self._slots[slot] = {}
            heapq.heappush(self._due, slot)
        bucket[item] = None

    def remove(self, item: Expiring) -> None:
        """Watch an item no more."""
        if item.slot != _NOWHERE:
            del self._slots[item.slot][item]
            item.slot = _NOWHERE

    def expired(self, now: int) -> list[Any]:
        """Take out the items whose deadline has passed; those with more time go to a later slot."""
        gone: list[Any] = []
        left = self.most
        while self._due and self._due[0] * self.tick <= now:
            slot = self._due[0]
            bucket = self._slots[slot]
            if not self._looking:
                self._looking = list(bucket)
                self._looking.reverse()
            while self._looking:
                if not left:
                    return gone
                left -= 1
                item = self._looking.pop()
                if item.slot != slot or item not in bucket:
                    continue  # it was taken out since
                del bucket[item]
                item.slot = _NOWHERE
                if item.deadline <= now:
                    gone.append(item)
                else:
                    self.add(item, now)
            if not bucket:
                heapq.heappop(self._due)
                del self._slots[slot]
        return gone

    def next_timer(self) -> int | None:
        """When `expired` should be called next (ns), or None."""
        return self._due[0] * self.tick if self._due else None
