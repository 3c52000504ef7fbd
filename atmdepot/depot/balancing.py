"""Block 44: which server the next session gets. A balancer chooses among the servers of a pool that are alive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from atmdepot.depot.session_management import Server


class Balancer(Protocol):
    """A balancing criterion."""

    def choose(self, pool: Sequence[Server]) -> Server | None:
        """The server for the next session, or None when none is alive."""


class RoundRobin:
    """Each server in turn, in the order of the VC table; those on the dead-list are passed over."""

    def __init__(self) -> None:
        self._turn = 0

    def choose(self, pool: Sequence[Server]) -> Server | None:
        """The next in turn that is alive."""
        for step in range(len(pool)):
            server = pool[(self._turn + step) % len(pool)]
            if server.alive:
                self._turn = (self._turn + step + 1) % len(pool)
                return server
        return None


BALANCERS: dict[str, Callable[[], Balancer]] = {"round-robin": RoundRobin}
"""Every criterion by the name it has in a VC table."""
