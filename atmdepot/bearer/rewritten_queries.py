"""Flows of ICMP queries whose ends are rewritten: they have no session, so the bearer itself remembers them.

There are two generations. An entry that is not used for the whole life of one goes with it, so no entry needs a timer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

LIFE = 30_000_000_000
"""Life (ns) of a generation: an entry is kept for one to two of them after its last use."""
MOST = 4096
"""Entries of a generation; more begin the next at once."""


class Remembered(Generic[T]):
    """Values by key; a value that is not used for a while is forgotten. Times in ns."""

    def __init__(self, forget: Callable[[T], None]) -> None:
        """Make it empty; `forget` is called with each value that goes."""
        self._forget = forget
        self._young: dict[bytes, T] = {}
        self._old: dict[bytes, T] = {}
        self._due = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def find(self, key: bytes) -> T | None:
        """The value of a key; this counts as a use."""
        found = self._young.get(key)
        if found is None and (found := self._old.pop(key, None)) is not None:
            self.keep(key, found)
        return found

    def keep(self, key: bytes, value: T) -> None:
        """Remember a value by a key, in place of the one before."""
        for generation in (self._young, self._old):
            if key in generation:
                self._forget(generation.pop(key))
        if len(self._young) >= MOST:
            self._turn()
        self._young[key] = value

    def next_timer(self) -> int | None:
        """The time at which `handle_timer` is next due, or None without a query under way."""
        return self._due if self else None

    def handle_timer(self, now: int) -> None:
        """Begin the next generation when it is due."""
        if self and now >= self._due:
            if self._due:
                self._turn()
            self._due = now + LIFE if self else 0

    def _turn(self) -> None:
        gone, self._old, self._young = self._old, self._young, {}
        for value in gone.values():
            self._forget(value)
