"""The VCIs of a VP that sessions get, one each, and the order in which they get them again."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from atmdepot.config.units import NumberRange

_ALL_CLAIMED = 0xFF


class VciPool:
    """The free list of a VP's session VCIs: first the VCIs never used, then the VCI that has been free longest.

    So a late cell of a closed VC meets an unknown VC, not the VC of another session.
    """

    __slots__ = ("_claimed", "_first", "_free", "_last", "_next", "_out_of_turn")

    def __init__(self, vcis: NumberRange) -> None:
        self._first, self._last = vcis.first, vcis.last
        self._next = self._first
        self._free: deque[int] = deque()
        self._claimed = bytearray()  # a bit for each VCI, set for those claimed out of turn; empty until the first is
        self._out_of_turn: set[int] = set()  # claimed VCIs that still stand in `_free`

    def upcoming(self) -> int | None:
        """The VCI that `take` would return."""
        if self._next <= self._last:
            return self._next
        while self._out_of_turn and self._free and self._free[0] in self._out_of_turn:
            self._out_of_turn.remove(self._free.popleft())
        return self._free[0] if self._free else None

    def take(self) -> int | None:
        """Take a VCI; None when all are in use."""
        vci = self.upcoming()
        if vci == self._next:
            self._go_on(vci)
        elif vci is not None:
            self._free.popleft()
        return vci

    def is_unused(self, vci: int) -> bool:
        """True for a VCI of the range that was never taken."""
        return self._next <= vci <= self._last and not self._is_claimed(vci)

    def _is_claimed(self, vci: int) -> bool:
        at = vci - self._first
        return bool(self._claimed) and self._claimed[at >> 3] >> (at & 7) & 1 != 0

    def has(self, vci: int) -> bool:
        """True for a VCI of the range."""
        return self._first <= vci <= self._last

    def claim(self, vci: int) -> None:
        """Take a never used VCI out of turn; raise ValueError for any other VCI."""
        if not self.is_unused(vci):
            raise ValueError(f"VCI {vci} is in use, was used before, or lies outside the range")
        at = vci - self._first
        if not self._claimed:
            self._claimed = bytearray((self._last - self._first >> 3) + 1)
        self._claimed[at >> 3] |= 1 << (at & 7)
        if vci == self._next:
            self._go_on(vci)

    def claim_again(self, vci: int) -> None:
        """Take a VCI that no open VC has, used before or not; a VCI outside the range is let be."""
        if self.is_unused(vci):
            self.claim(vci)
        elif self.has(vci):
            self._out_of_turn.add(vci)

    def _go_on(self, vci: int) -> None:
        """Move `_next` to the first VCI after `vci` that was not claimed: each is passed once, eight in a step."""
        upcoming = vci + 1
        if self._claimed:
            while upcoming <= self._last and self._is_claimed(upcoming):
                at = upcoming - self._first
                upcoming += 8 if not at & 7 and self._claimed[at >> 3] == _ALL_CLAIMED else 1
        self._next = upcoming

    def give_back(self, vci: int) -> None:
        """Put a VCI at the end of the free list; its session has left the secondary table."""
        if vci in self._out_of_turn:
            self._out_of_turn.remove(vci)  # it never left the list
        elif self.has(vci):
            self._free.append(vci)
