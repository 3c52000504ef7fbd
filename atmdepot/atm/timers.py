"""A timer wheel for the items that expire: sessions, learnt flows, and later OAM states.

Each packet may move an item's deadline to a later time by a plain assignment. The wheel checks the deadline only when
the item's slot is due, and puts the item into a later slot when it has time left. So a packet costs no wheel operation,
and no table is ever scanned.
"""

from __future__ import annotations

import heapq
from typing import Any

_SECOND = 1_000_000_000
_HORIZON = 60
_NOWHERE = -1
FULL = 16_384
"""Items of a slot beyond which new ones go to earlier slots, so that no growth of a slot moves many at once."""
_ALL = 2**62
_FULL = FULL
_FACTOR, _ADDEND, _31_BITS = 1_103_515_245, 12_345, 2**31 - 1


class Expiring:
    """An item of the wheel: `deadline` in ns, and its `slot`, which only the wheel sets (-1: in no slot)."""

    __slots__ = ("deadline", "slot")

    def __init__(self, deadline: int = 0) -> None:
        self.stand_nowhere(deadline)

    def stand_nowhere(self, deadline: int) -> None:
        """Begin, in no slot. Derived classes call this, since `super().__init__` is slower in compiled code."""
        self.deadline = deadline
        self.slot = _NOWHERE


class TimerWheel:
    """Items in slots of `tick` ns; an item expires at most a tick after its deadline, never before.

    An item's slot is at most 60 ticks ahead, so a deadline that was moved to an earlier time is missed by at most that.
    A full slot leaves further items to earlier ones. The wheel keeps no reference to an item that was removed, so a
    flood of short-lived items holds no memory.
    """

    __slots__ = ("_due", "_looking", "_slots", "_spread", "most", "tick", "walks")

    def __init__(self, tick: int = _SECOND) -> None:
        self.tick = tick
        self.most = _ALL
        """The most items that a call of `expired` checks; `next_timer` is due at once when more are left."""
        self._looking: list[Expiring] = []  # items of the first slot still to be checked, in reverse order
        self._slots: dict[int, dict[Expiring, None]] = {}
        self._due: list[int] = []
        self._spread = 0  # the last random number
        self.walks: tuple[Walk, ...] = ()

    def add(self, item: Expiring, now: int) -> None:
        """Watch an item; to be called again when its deadline was moved to an earlier time."""
        # The slot after the deadline's, so that an item never expires early.
        this = now // self.tick
        slot = min(item.deadline // self.tick, this + _HORIZON) + 1
        if slot == item.slot:
            return
        bucket = self._slots.get(slot)
        if bucket is not None and len(bucket) >= _FULL and slot > this + 1:
            # By chance (an LCG of 31 bits), not in turn: slots that fill evenly would all grow in the same moment.
            self._spread = self._spread * _FACTOR + _ADDEND & _31_BITS
            slot = this + 1 + (self._spread >> 8) % (slot - this)  # looked at sooner there, so no later than it must
            bucket = self._slots.get(slot)
        if item.slot != _NOWHERE:
            for walk in self.walks:
                walk.moves(item, slot)
            self.remove(item)
        item.slot = slot
        # A heap holds each slot in use once, so the earliest is found without a scan of empty slots.
        if bucket is None:
            bucket = self._slots[slot] = {}
            heapq.heappush(self._due, slot)
        bucket[item] = None

    def remove(self, item: Expiring) -> None:
        """Stop watching an item."""
        if item.slot != _NOWHERE:
            del self._slots[item.slot][item]
            item.slot = _NOWHERE

    def expired(self, now: int) -> list[Any]:
        """Remove and return the items whose deadline has passed; items with time left go to a later slot."""
        gone: list[Any] = []
        left = self.most
        while self._due and self._due[0] * self.tick <= now:
            slot = self._due[0]
            bucket = self._slots[slot]
            # Else the last call stopped at its bound within this slot, and this call continues there.
            if not self._looking:
                self._looking = list(bucket)
                self._looking.reverse()
            while self._looking:
                if not left:
                    return gone
                left -= 1
                item = self._looking.pop()
                if item.slot != slot or item not in bucket:
                    continue  # it was removed, or moved to another slot, since the list was made
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

    def most_moved(self) -> int:
        """The most items that the wheel moves at once when a slot grows, or is listed."""
        return max(map(len, self._slots.values()), default=0)

    def next_timer(self) -> int | None:
        """The time (ns) of the next call of `expired`, or None."""
        return self._due[0] * self.tick if self._due else None


class Walk:
    """A walk over all items of a wheel, some at a time, while items come, go and move.

    It meets each item that is in the wheel from its begin to its end, perhaps twice; of those that come meanwhile it
    meets some. It goes by slots, so that it never makes a list of all items.
    """

    def __init__(self, wheel: TimerWheel) -> None:
        """Begin a walk, which `end` or its last item ends."""
        self._wheel = wheel
        self._slot = _NOWHERE
        self._left: list[Any] = []
        self.over = False
        wheel.walks += (self,)

    def take(self, most: int) -> list[Any]:
        """The next items, at most so many; fewer only at the end of the walk, which is over then."""
        taken: list[Any] = []
        while len(taken) < most and not self.over and (self._left or self._next_slot()):
            wanted = most - len(taken)
            taken += self._left[-wanted:]
            del self._left[-wanted:]
        return taken

    def _next_slot(self) -> bool:
        """Go to the next slot that is in use; False, and the end of the walk, when there is none."""
        slots = self._wheel._slots
        later = [slot for slot in slots if slot > self._slot]
        if not later:
            self.end()
            return False
        self._slot = min(later)
        self._left = list(slots[self._slot])
        return True

    def moves(self, item: Expiring, slot: int) -> None:
        """Note that an item moves to a slot; a move back to a slot already passed would else hide it."""
        if slot <= self._slot < item.slot:
            self._left.append(item)

    def end(self) -> None:
        """End the walk."""
        self.over = True
        self._wheel.walks = tuple(walk for walk in self._wheel.walks if walk is not self)
