"""The shares of several sources in a common bound, and the source with the greatest share.

They tell a flooding source from the rest in constant time. Shares are ranked by powers of two; the first source of the
highest rank counts as the heaviest, which is exact to a factor of two.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

S = TypeVar("S", bound=Hashable)
K = TypeVar("K", bound=Hashable)

_RANKS = 64


class _Share(Generic[K]):
    __slots__ = ("parts", "total")

    def __init__(self) -> None:
        self.total = 0
        self.parts: dict[K, int] = {}  # the oldest first


class Shares(Generic[S, K]):
    """The parts of each source, by their keys; an amount is any number above 0."""

    def __init__(self) -> None:
        self._shares: dict[S, _Share[K]] = {}
        self._ranks: list[dict[S, _Share[K]]] = [{} for _ in range(_RANKS)]

    def add(self, source: S, key: K, amount: int) -> None:
        """Add to a part of a source; both may be new."""
        share = self._shares.get(source)
        if share is None:
            share = self._shares[source] = _Share()
        share.parts[key] = share.parts.get(key, 0) + amount
        self._weigh(source, share, amount)

    def remove(self, source: S, key: K) -> int:
        """Remove a part; return its amount, 0 for an unknown part."""
        share = self._shares.get(source)
        amount = 0 if share is None else share.parts.pop(key, 0)
        if share is not None and amount:
            self._weigh(source, share, -amount)
        return amount

    def is_heaviest(self, source: S, more: int) -> bool:
        """True when no share has a higher rank than this source's share would have with `more` added."""
        share = self._shares.get(source)
        rank = ((0 if share is None else share.total) + more).bit_length()
        return not any(self._ranks[rank + 1:])

    def heaviest(self) -> S:
        """The source with the greatest share, by its rank; raise ValueError when no source has a share."""
        for rank in reversed(self._ranks):
            if rank:
                return next(iter(rank))
        raise ValueError("no source has a share")

    def oldest(self, source: S) -> K:
        """The oldest part of a source's share; raise KeyError for a source without a share."""
        return next(iter(self._shares[source].parts))

    def _weigh(self, source: S, share: _Share[K], change: int) -> None:
        before = share.total.bit_length()
        share.total += change
        after = share.total.bit_length()
        # The rank is the bit length of the total, so most changes leave it as it is.
        if before != after:
            self._ranks[before].pop(source, None)
            if after:
                self._ranks[after][source] = share
            else:
                del self._shares[source]
