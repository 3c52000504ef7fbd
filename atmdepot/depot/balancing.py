"""Block 44: which server the next session gets.

A balancer chooses among the servers of a pool that may take a session (on the alive-list, not draining, below their
bound). Those that look at the client are `keyed`: they cannot choose ahead, so nothing is preloaded for them.
"""

from __future__ import annotations

from hashlib import blake2b
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from atmdepot.depot.session_management import Server

MAGLEV_SIZE = 10_007
"""Prime, and more than a hundred times any pool that one depot serves: shares within 1 % of their weights."""


class Member:
    """What a balancer chooses among, as far as every criterion knows it: it has a position in the VC table."""

    __slots__ = ("position",)


class Balancer:
    """A balancing criterion: a class to be derived from, so that compiled code calls it in C."""

    keyed = False
    """Whether it looks at the client."""

    def choose(self, servers: list[Server], client: bytes, now: int) -> Server:
        """The server for the next session, of some; `client` is its address, of meaning to keyed criteria only."""
        raise NotImplementedError


class RoundRobin(Balancer):
    """Each server in turn, in the order of the VC table."""

    def __init__(self) -> None:
        self._last = -1

    def choose(self, servers: list[Server], client: bytes, now: int) -> Server:
        """The next after the one that was last, wherever the servers between have gone."""
        first = later = None
        for server in servers:
            position = server.position
            if first is None or position < first.position:
                first = server
            if position > self._last and (later is None or position < later.position):
                later = server
        chosen = later or first
        assert chosen is not None
        self._last = chosen.position
        return chosen


class WeightedRoundRobin(Balancer):
    """Turns in proportion to the weights, spread evenly: 1:2 gives b-a-b-b-a-b, never all of one first.

    Every server earns its weight each turn; the richest is chosen and pays what all together earned.
    """

    def __init__(self) -> None:
        self._credit: dict[str, int] = {}

    def choose(self, servers: list[Server], client: bytes, now: int) -> Server:
        """The server with the most credit."""
        earned = {server.name: server.effective_weight(now) for server in servers}
        self._credit = {name: self._credit.get(name, 0) + earned[name] for name in earned}
        server = max(servers, key=lambda s: self._credit[s.name])
        self._credit[server.name] -= sum(earned.values())
        return server


class LeastConnections(Balancer):
    """The server with the fewest sessions in the primary table."""

    def choose(self, servers: list[Server], client: bytes, now: int) -> Server:
        """The least loaded; among equals the one that has served the fewest so far."""
        return min(servers, key=lambda s: (s.primary_sessions, s.total_sessions))


class WeightedLeastConnections(Balancer):
    """The server with the fewest sessions for its weight."""

    def choose(self, servers: list[Server], client: bytes, now: int) -> Server:
        """The least of (sessions + 1) / weight, so that an idle pool fills by weight too."""
        def share(server: Server) -> tuple[float, float]:
            weight = max(1, server.effective_weight(now))
            return (server.primary_sessions + 1) / weight, (server.total_sessions + 1) / weight

        return min(servers, key=share)


class LeastLoad(Balancer):
    """The server whose own statistics and whose VC are best: load, time to connect, and congestion on the way.

    Servers that have reported nothing count as the mean of those that have.
    """

    def choose(self, servers: list[Server], client: bytes, now: int) -> Server:
        """The least load, counting the sessions given since its last report."""
        known = [server.load for server in servers if server.load is not None]
        mean = sum(known) / len(known) if known else 0.0

        def score(server: Server) -> tuple[float, int]:
            load = mean if server.load is None else server.load
            per_session = 1 / max(1, server.effective_weight(now))
            return load + server.sessions_since_report * per_session, server.total_sessions

        return min(servers, key=score)


class RandomOfTwo(Balancer):
    """Two servers at random, and of them the one with fewer sessions for its weight."""

    def __init__(self, seed: int = 0) -> None:
        self._random = Random(seed)
        self._inner = WeightedLeastConnections()

    def choose(self, servers: list[Server], client: bytes, now: int) -> Server:
        """The better of two."""
        return self._inner.choose(self._random.sample(servers, min(2, len(servers))), client, now)


class SourceHash(Balancer):
    """A client's sessions all go to one server: the highest of a hash of client and server, by weight.

    When a server goes, only its own clients move (rendezvous hashing).
    """

    keyed = True

    def choose(self, servers: list[Server], client: bytes, now: int) -> Server:
        """The server with the highest draw for this client."""
        def draw(server: Server) -> float:
            # The largest of `weight` uniform draws: u ** (1 / weight).
            uniform = (_hash(client, server.name) + 1) / 2**64
            return float(uniform ** (1 / max(1, server.effective_weight(now))))

        return max(servers, key=draw)


class Maglev(Balancer):
    """Consistent hashing by a table: one look-up, shares by weight, and little moves when a server goes.

    Each server walks the table in an order of its own and takes the next free place in its turn, as often as its
    weight says, until the table is full.
    """

    keyed = True

    def __init__(self) -> None:
        self._built_for: tuple[tuple[str, int], ...] = ()
        self._table: list[int] = []

    def choose(self, servers: list[Server], client: bytes, now: int) -> Server:
        """The server that has the client's place."""
        shape = tuple((server.name, max(1, server.effective_weight(now))) for server in servers)
        if shape != self._built_for:
            self._table = maglev_table(shape)
            self._built_for = shape
        return servers[self._table[_hash(client, "") % MAGLEV_SIZE]]


def maglev_table(servers: Sequence[tuple[str, int]], size: int = MAGLEV_SIZE) -> list[int]:
    """The table of servers (name, weight), as indices; `size` is prime, so every walk visits all places."""
    table = [-1] * size
    at = [_hash(b"offset", name) % size for name, _ in servers]
    skip = [_hash(b"skip", name) % (size - 1) + 1 for name, _ in servers]
    greatest = max(weight for _, weight in servers)
    turns = [0] * len(servers)
    filled = 0
    while True:
        for index, (_, weight) in enumerate(servers):
            turns[index] += weight
            if turns[index] < greatest:
                continue
            turns[index] -= greatest
            while table[at[index]] >= 0:
                at[index] = (at[index] + skip[index]) % size
            table[at[index]] = index
            filled += 1
            if filled == size:
                return table


def _hash(octets: bytes, name: str) -> int:
    return int.from_bytes(blake2b(octets, digest_size=8, key=name.encode()[:64]).digest(), "big")


BALANCERS: dict[str, Callable[[], Balancer]] = {
    "round-robin": RoundRobin,
    "weighted-round-robin": WeightedRoundRobin,
    "least-connections": LeastConnections,
    "weighted-least-connections": WeightedLeastConnections,
    "least-load": LeastLoad,
    "random-of-two": RandomOfTwo,
    "source-hash": SourceHash,
    "maglev": Maglev,
}
"""Every criterion by the name it has in a VC table."""
