"""The criteria that choose the server with the least to do, by its sessions or by its load.

They are `least-connections`, `weighted-least-connections`, `least-load`, and `random-of-two`, which compares only two.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from atmdepot.depot.balancing.base import Balancer
from atmdepot.depot.balancing.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from atmdepot.depot.servers import Server

_EVEN = 100  # the weight of every server where the criterion ignores weights


class TurnsOfEquals(Balancer):
    """A criterion by which servers can be equal: equal servers take turns."""

    def __init__(self) -> None:
        self._turns = Turns()

    def prepare(self, servers: list[Server]) -> None:
        """Forget the turns of servers that have left the pool."""
        self._turns.keep(servers)

    def position(self, servers: list[Server]) -> dict[str, tuple[int, int]]:
        """The turns of the servers."""
        return self._turns.position()

    def resume(self, servers: list[Server], position: Mapping[str, tuple[int, int]]) -> None:
        """Go on with these turns."""
        self._turns.resume(position)


class LeastConnections(TurnsOfEquals):
    """The server with the fewest sessions in the primary table, whatever its weight."""

    def pick(self, servers: list[Server], client: bytes, now: int) -> Server:
        """The server with the fewest sessions; among equals the least recently chosen server."""
        equal: list[Server] = []
        least = 0
        for server in servers:
            sessions = server.primary_sessions
            if not equal or sessions < least:
                least, equal = sessions, [server]
            elif sessions == least:
                equal.append(server)
        return self._turns.first(equal)

    def take(self, servers: list[Server], chosen: Server, now: int) -> None:
        """End the server's turn."""
        self._turns.take(chosen, _EVEN)


class ByScore(TurnsOfEquals):
    """A criterion that scores each server: the least score is chosen, and equal servers take turns by weight."""

    def basis(self, servers: list[Server], now: int) -> float:
        """A number computed from all candidates, passed to the score of each."""
        return 0.0

    def score(self, server: Server, basis: float, now: int) -> float:
        """The score of a server; less is better."""
        raise NotImplementedError

    def pick(self, servers: list[Server], client: bytes, now: int) -> Server:
        """The server with the least score; among equals the server whose turn is next."""
        equal: list[Server] = []
        least, basis = 0.0, self.basis(servers, now)
        for server in servers:
            score = self.score(server, basis, now)
            if not equal or score < least:
                least, equal = score, [server]
            elif score == least:
                equal.append(server)
        return self._turns.first(equal)

    def take(self, servers: list[Server], chosen: Server, now: int) -> None:
        """End the server's turn."""
        self._turns.take(chosen, max(1, chosen.effective_weight(now)))


class WeightedLeastConnections(ByScore):
    """A server without sessions, else the server with the least of (sessions + 1) / weight."""

    def score(self, server: Server, basis: float, now: int) -> float:
        """(sessions + 1) / weight, but 0 without sessions: idle servers tie, so they share by weight in turns."""
        sessions = server.primary_sessions
        return (sessions + 1) / max(1, server.effective_weight(now)) if sessions else 0.0


class LeastLoad(ByScore):
    """The server with the least load: as its edge node reported, plus the sessions given to it since, by weight.

    A server that has not reported counts as the mean of the servers that have.
    """

    def basis(self, servers: list[Server], now: int) -> float:
        """The mean score of the servers that have reported; 0 while no server has."""
        known, total = 0, 0.0
        for server in servers:
            if server.load is not None:
                known += 1
                total += self.score(server, 0.0, now)
        return total / known if known else 0.0

    def score(self, server: Server, basis: float, now: int) -> float:
        """The reported load plus the sessions given since the report, by weight; `basis` without a report.

        Sessions given to a server that never reports are left out: their count would only grow, and does not measure
        its present load.
        """
        if server.load is None:
            return basis
        return float(server.load) + server.sessions_since_report / max(1, server.effective_weight(now))


class RandomOfTwo(Balancer):
    """Two servers at random, and of the two the better server by `weighted-least-connections`."""

    def __init__(self, seed: int = 0) -> None:
        self._random = Random(seed)  # seeded, so that a run can be repeated
        self._inner = WeightedLeastConnections()

    def choose(self, servers: list[Server], client: bytes, now: int) -> Server:
        """The better of two servers drawn at random."""
        two = self._random.sample(servers, min(2, len(servers)))
        return self._inner.choose(two, client, now)

    def prepare(self, servers: list[Server]) -> None:
        """Forget the turns of servers that have left the pool."""
        self._inner.prepare(servers)

    def position(self, servers: list[Server]) -> dict[str, tuple[int, int]]:
        """The turns of the servers; the next two are drawn anew."""
        return self._inner.position(servers)

    def resume(self, servers: list[Server], position: Mapping[str, tuple[int, int]]) -> None:
        """Go on with these turns."""
        self._inner.resume(servers, position)

    def pick(self, servers: list[Server], client: bytes, now: int) -> Server:
        """The better of the two servers that will be drawn next."""
        state = self._random.getstate()  # put back below, so that `choose` and `take` draw the same two
        two = self._random.sample(servers, min(2, len(servers)))
        self._random.setstate(state)
        return self._inner.pick(two, client, now)

    def take(self, servers: list[Server], chosen: Server, now: int) -> None:
        """Draw the two of which `pick` chose, and take the turn of its choice."""
        two = self._random.sample(servers, min(2, len(servers)))
        self._inner.take(two, chosen, now)
