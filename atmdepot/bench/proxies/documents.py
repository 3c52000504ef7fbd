"""The documents that clients ask for, by Zipf's law: those of all, and each client's own.

What a user asks for again is what a cache near one proxy can save; what all ask for, each proxy fetches once.
"""

from __future__ import annotations

import random
from bisect import bisect
from itertools import accumulate
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LEAST, _STEP, _STEPS = 1024, 512, 29
"""Octets of the smallest document, and the steps by which others are larger."""


class Asking(Struct, frozen=True):
    """The requests of all clients: `own` is the share for a client's own documents, `exponent` that of Zipf's law."""

    requests: int = 3000
    clients: int = 24
    shared_documents: int = 1500
    own_documents: int = 60
    own: float = 0.5
    exponent: float = 0.9

    def draw(self, seed: int) -> Iterator[tuple[int, str]]:
        """The requests in their order, each a client and a path; the same for the same seed."""
        chance = random.Random(seed)
        shared, mine = _zipf(self.shared_documents, self.exponent), _zipf(self.own_documents, self.exponent)
        for _ in range(self.requests):
            client = chance.randrange(self.clients)
            is_own = chance.random() < self.own
            weights = mine if is_own else shared
            number = bisect(weights, chance.random() * weights[-1])
            yield client, f"/{'client' + str(client) if is_own else 'all'}/{number}"


def octets_of(path: str) -> int:
    """The size of a document, by its number; raise ValueError for a path that is none."""
    return _LEAST + int(path.rpartition("/")[2]) % _STEPS * _STEP


def _zipf(count: int, exponent: float) -> Sequence[float]:
    """The sums of the weights of the first documents: that of the n-th is 1 / n ** exponent."""
    return list(accumulate(1 / rank ** exponent for rank in range(1, count + 1)))
