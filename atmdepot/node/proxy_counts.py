"""The work of a caching proxy, by its counters, which an edge node or the depot asks for once a second.

Its counters begin anew with each of its starts, and count the questions. Both are taken out: what is told grows only,
and has the clients' requests alone. The asker's own start is 0.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from atmdepot.wire.statistics import ProxyFigures

if TYPE_CHECKING:
    from atmdepot.wire.proxy_counters import Counters

_GREATEST, _GREATEST_WORD = 2**64 - 1, 2**32 - 1


class ProxyCounts:
    """The counts of one proxy."""

    def __init__(self) -> None:
        self.unread: Counter[str] = Counter()
        """Answers that were no counters or cannot be true, by reason."""
        self._seen: Counters | None = None
        self._sums = [0, 0, 0, 0]
        self._own = 0  # questions that the proxy has got since the last answer that was read, with that one's

    def asked(self) -> None:
        """Note that a question leaves; the proxy counts it when it has answered, if at all."""
        self._own += 1

    def answered(self, counters: Counters) -> None:
        """Take an answer; counters that cannot follow those before are of a proxy that was started anew."""
        own = self._own - 1  # the question of this answer is counted after it
        if self._seen is not None:
            rise = [new - old for new, old in zip(counters, self._seen, strict=True)]
            if min(rise) < 0 or rise[1] > rise[0]:
                rise, own = list(counters), own - 1  # the question of the last answer went with what it had counted
            rise[0] = max(rise[1], rise[0] - max(0, own))
            self._sums = [min(_GREATEST, have + more) for have, more in zip(self._sums, rise, strict=True)]
        self._seen, self._own = counters, 1

    def figures(self) -> ProxyFigures:
        """The counts so far, as they travel."""
        requests, hits, fetches, fetched = self._sums
        return ProxyFigures(requests, hits, fetches, fetched, min(_GREATEST_WORD, self.unread.total()))
