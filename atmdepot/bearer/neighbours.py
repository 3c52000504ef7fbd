"""The neighbours of a bridged VP: MAC addresses by IP address, and the packets that wait for an answer.

A neighbour that is not known is asked for three times, a second apart, as hosts do (RFC 4861 section 10, RFC 1122
section 2.3.2). A known neighbour is asked again after a minute, and used meanwhile; without an answer it is forgotten.
Both the table and the packets that wait are bounded. Times in ns.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, NamedTuple, TypeVar

MOST_NEIGHBOURS = 64
MOST_WAITING = 16
"""Packets that wait for a neighbour's answer; a further packet takes the place of the oldest."""
PAUSE = 1_000_000_000
TRIES = 3
FRESH = 60_000_000_000
"""So long after an answer, the neighbour is not asked again."""
_NEVER = 1 << 62

Item = TypeVar("Item")


class Question(NamedTuple):
    """A solicitation that is due: for an IP address, to the MAC address known so far or to all (None)."""

    address: bytes
    mac: bytes | None


class Neighbour(Generic[Item]):
    """A neighbour; `mac` is None until its first answer."""

    __slots__ = ("due", "fresh_until", "mac", "tries", "waiting")

    def __init__(self, now: int) -> None:
        self.mac: bytes | None = None
        self.fresh_until = now
        self.tries = 0
        self.due = now  # time of the next question
        self.waiting: deque[Item] = deque()


class Neighbours(Generic[Item]):
    """The table; `Item` is what waits for a MAC address."""

    def __init__(self, fresh: int = FRESH) -> None:
        """Know no neighbour; one is asked again so long (ns) after its answer."""
        self._fresh = fresh
        self._by_address: dict[bytes, Neighbour[Item]] = {}
        self.failed: list[Item] = []
        """Items whose neighbour has not answered, or for which there was no room; the caller empties it."""

    def __len__(self) -> int:
        return len(self._by_address)

    def __contains__(self, address: bytes) -> bool:
        return address in self._by_address

    def mac_of(self, address: bytes) -> bytes | None:
        """The known MAC address of a neighbour."""
        found = self._by_address.get(address)
        return None if found is None else found.mac

    def waiting(self) -> int:
        """The number of items that wait."""
        return sum(len(neighbour.waiting) for neighbour in self._by_address.values())

    def resolve(self, address: bytes, item: Item, now: int) -> bytes | None:
        """The MAC address to send an item to; None when the item waits for it from now on."""
        neighbour = self._by_address.get(address)
        if neighbour is None:
            if len(self._by_address) >= MOST_NEIGHBOURS:
                self._forget(next(iter(self._by_address)))  # the dict is in order of insertion: the oldest
            neighbour = self._by_address[address] = Neighbour(now)
        if neighbour.mac is not None:
            # Only a neighbour in use is asked again.
            if now >= neighbour.fresh_until and neighbour.due == _NEVER:
                neighbour.due, neighbour.tries = now, 0
            return neighbour.mac
        if len(neighbour.waiting) >= MOST_WAITING:
            self.failed.append(neighbour.waiting.popleft())
        neighbour.waiting.append(item)
        return None

    def want(self, address: bytes, now: int, *, again: bool = False) -> None:
        """Have a neighbour asked for, though nothing waits for it: one that is known when it is due, or at once."""
        neighbour = self._by_address.get(address)
        if neighbour is None:
            neighbour = self._by_address[address] = Neighbour(now)
        elif neighbour.mac is not None and neighbour.due == _NEVER and (again or now >= neighbour.fresh_until):
            neighbour.due, neighbour.tries = now, 0

    def is_asking(self, address: bytes) -> bool:
        """True while a neighbour is asked and has not answered."""
        neighbour = self._by_address.get(address)
        return neighbour is not None and neighbour.tries > 0

    def learn(self, address: bytes, mac: bytes, now: int) -> list[Item]:
        """Note the MAC address of a neighbour that is in the table; return the items that waited for it."""
        neighbour = self._by_address.get(address)
        if neighbour is None:  # of no use here: only the neighbours that are sent to are kept
            return []
        neighbour.mac, neighbour.fresh_until, neighbour.due, neighbour.tries = mac, now + self._fresh, _NEVER, 0
        items = list(neighbour.waiting)
        neighbour.waiting.clear()
        return items

    def questions(self, now: int) -> list[Question]:
        """The solicitations that are due; neighbours that have not answered in time are forgotten."""
        asked = []
        for address, neighbour in list(self._by_address.items()):
            if neighbour.due > now:
                continue
            if neighbour.tries == TRIES:
                self._forget(address)
                continue
            neighbour.tries += 1
            neighbour.due = now + PAUSE
            asked.append(Question(address, neighbour.mac))
        return asked

    def next_timer(self) -> int | None:
        """The time at which `questions` is next due, or None."""
        due = min((neighbour.due for neighbour in self._by_address.values()), default=_NEVER)
        return None if due == _NEVER else due

    def _forget(self, address: bytes) -> None:
        self.failed += self._by_address.pop(address).waiting
