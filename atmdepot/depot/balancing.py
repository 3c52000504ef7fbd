"""Block 44: which server the next session gets.

A balancer chooses among the servers of a pool that may take a session (on the alive-list, not draining, below their
bound). Those that look at the client are `keyed`: they cannot choose ahead, so nothing is preloaded for them.

A choice looks at each server once at most: it is made between two packets. Tables are made when the pool changes.
"""

from __future__ import annotations

from math import log
from random import Random
from typing import TYPE_CHECKING

from atmdepot.depot.servers import Server, hash_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


MAGLEV_SIZE = 10_007
"""Prime, and more than a hundred times any pool that one depot serves: shares within 1 % of their weights."""
MAGLEV_STEPS = 16
"""So many places of the table are looked at for a client: with half of the servers full, 1 in 65,000 finds none."""

_SIZE = MAGLEV_SIZE  # C numbers, where this is compiled
_MASK = 2**64 - 1
_GAMMA, _MIX_1, _MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_TURN = 2**32
_EVEN = 100


class Turns:
    """Turns of servers that are equal to a criterion: the least recently chosen is first, by weight.

    Start-time fair queuing (Goyal, Vin and Cheng, 1996): a turn of a server of weight w takes 1/w of virtual time, and
    begins when its last one ended, but no earlier than the turn that was taken last. So a server that was away, or was
    not among the equal, makes up for nothing.
    """

    __slots__ = ("_begin", "_count", "_numbers", "_reached")

    def __init__(self) -> None:
        self._begin: dict[str, int] = {}
        self._numbers: dict[str, int] = {}
        self._reached = self._count = 0

    def keep(self, servers: Sequence[Server]) -> None:
        """Forget all servers but these."""
        names = {server.name for server in servers}
        self._begin = {name: begin for name, begin in self._begin.items() if name in names}
        self._numbers = {name: number for name, number in self._numbers.items() if name in names}

    def first(self, servers: list[Server]) -> Server:
        """The server whose turn it is, among some; it does not take it yet."""
        chosen = servers[0]
        if len(servers) == 1:
            return chosen
        earliest = self._reached
        latest = None
        for server in servers:
            begin = max(self._begin.get(server.name, 0), self._reached)
            number = self._numbers.get(server.name, 0)
            if latest is None or begin < earliest or (begin == earliest and number < latest):
                chosen, earliest, latest = server, begin, number
        return chosen

    def take(self, server: Server, weight: int) -> None:
        """A server takes its turn."""
        self._reached = max(self._begin.get(server.name, 0), self._reached)
        self._begin[server.name] = self._reached + _TURN // weight
        self._count += 1
        self._numbers[server.name] = self._count


class Balancer:
    """A balancing criterion: a class to be derived from, so that compiled code calls it in C."""

    keyed = False
    """Whether it looks at the client."""

    def choose(self, servers: list[Server], client: bytes, now: int) -> Server:
        """The server for the next session, of some; `client` is its address, of meaning to keyed criteria only."""
        server = self.pick(servers, client, now)
        self.take(servers, server, now)
        return server

    def prepare(self, servers: list[Server]) -> None:
        """Take over the servers of the pool; they may be chosen later, in any selection."""

    def pick(self, servers: list[Server], client: bytes, now: int) -> Server:
        """The server that `choose` would give; no turn is used up."""
        raise NotImplementedError

    def take(self, servers: list[Server], chosen: Server, now: int) -> None:
        """Note that a server was chosen among some."""


class RoundRobin(Balancer):
    """Each server in turn, in the order of the VC table."""

    def __init__(self) -> None:
        self._last = -1

    def pick(self, servers: list[Server], client: bytes, now: int) -> Server:
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
        return chosen

    def take(self, servers: list[Server], chosen: Server, now: int) -> None:
        """Its turn is over."""
        self._last = chosen.position


class WeightedRoundRobin(Balancer):
    """Turns in proportion to the weights, spread evenly: 1:2 gives b-a-b-b-a-b, never all of one first.

    Every server earns its weight each turn; the richest is chosen and pays what all together earned.
    """

    def __init__(self) -> None:
        self._credit: dict[str, int] = {}

    def pick(self, servers: list[Server], client: bytes, now: int) -> Server:
        """The server with the most credit."""
        known = self._settled(servers, now)
        chosen, most = servers[0], 0
        for server in servers:
            credit = known[server.name] + max(1, server.effective_weight(now))
            if server is servers[0] or credit > most:
                chosen, most = server, credit
        return chosen

    def take(self, servers: list[Server], chosen: Server, now: int) -> None:
        """It pays."""
        known = self._credit = self._settled(servers, now)
        earned = 0
        for server in servers:
            weight = max(1, server.effective_weight(now))
            known[server.name] += weight
            earned += weight
        known[chosen.name] -= earned

    def _settled(self, servers: list[Server], now: int) -> dict[str, int]:
        """The credit of each, together 0: what a server that is gone owed or was owed is shared out.

        Without that, each server that goes after its turn would leave the others richer, and wait longer for its next.
        """
        known = self._credit
        if len(servers) == len(known):
            for server in servers:
                if server.name not in known:
                    break
            else:
                return known
        settled = {server.name: known.get(server.name, 0) for server in servers}
        weights = {server.name: max(1, server.effective_weight(now)) for server in servers}
        excess, total = sum(settled.values()), sum(weights.values())
        for name, weight in weights.items():
            settled[name] -= excess * weight // total
        return settled


class LeastConnections(Balancer):
    """The server with the fewest sessions in the primary table."""

    def __init__(self) -> None:
        self._turns = Turns()

    def prepare(self, servers: list[Server]) -> None:
        """Forget the turns of servers that are gone."""
        self._turns.keep(servers)

    def pick(self, servers: list[Server], client: bytes, now: int) -> Server:
        """The least loaded; among equals the one that was chosen least recently."""
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
        """Its turn is over."""
        self._turns.take(chosen, _EVEN)


class ByScore(Balancer):
    """A criterion that gives each server a number: the least is chosen, and equals take turns by weight."""

    def __init__(self) -> None:
        self._turns = Turns()

    def prepare(self, servers: list[Server]) -> None:
        """Forget the turns of servers that are gone."""
        self._turns.keep(servers)

    def basis(self, servers: list[Server], now: int) -> float:
        """A number of all candidates together, which the score of each may need."""
        return 0.0

    def score(self, server: Server, basis: float, now: int) -> float:
        """The number of a server."""
        raise NotImplementedError

    def pick(self, servers: list[Server], client: bytes, now: int) -> Server:
        """The least score; among equals the one whose turn it is."""
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
        """Its turn is over."""
        self._turns.take(chosen, max(1, chosen.effective_weight(now)))


class WeightedLeastConnections(ByScore):
    """The server with the fewest sessions for its weight."""

    def score(self, server: Server, basis: float, now: int) -> float:
        """(sessions + 1) / weight, and 0 without sessions: idle servers are equal, so they share by weight in turns."""
        sessions = server.primary_sessions
        return (sessions + 1) / max(1, server.effective_weight(now)) if sessions else 0.0


class LeastLoad(ByScore):
    """The server whose own statistics and whose VC are best: load, time to connect, and congestion on the way.

    Servers that have reported nothing count as the mean of those that have.
    """

    def basis(self, servers: list[Server], now: int) -> float:
        """The mean of those that have reported."""
        known, total = 0, 0.0
        for server in servers:
            if server.load is not None:
                known += 1
                total += self.score(server, 0.0, now)
        return total / known if known else 0.0

    def score(self, server: Server, basis: float, now: int) -> float:
        """Its load with what it was given since it reported it.

        What a server was given that never reports is no measure of what it carries now, and would only grow.
        """
        if server.load is None:
            return basis
        return float(server.load) + server.sessions_since_report / max(1, server.effective_weight(now))


class RandomOfTwo(Balancer):
    """Two servers at random, and of them the one with fewer sessions for its weight."""

    def __init__(self, seed: int = 0) -> None:
        self._random = Random(seed)
        self._inner = WeightedLeastConnections()

    def choose(self, servers: list[Server], client: bytes, now: int) -> Server:
        """The better of two."""
        two = self._random.sample(servers, min(2, len(servers)))
        return self._inner.choose(two, client, now)

    def prepare(self, servers: list[Server]) -> None:
        """Forget the turns of servers that are gone."""
        self._inner.prepare(servers)

    def pick(self, servers: list[Server], client: bytes, now: int) -> Server:
        """The better of the two that will be drawn next."""
        state = self._random.getstate()
        two = self._random.sample(servers, min(2, len(servers)))
        self._random.setstate(state)
        return self._inner.pick(two, client, now)


class Keyed(Balancer):
    """A criterion that looks at the client."""

    keyed = True

    def highest(self, servers: list[Server], hashed: int, now: int) -> Server:
        """The server with the highest draw for a client (by its hash): the largest of `weight` uniform draws.

        By logarithms: u ** (1 / weight) is greatest where -ln(u) / weight is least, which tells draws apart also
        where weights are great and all the powers come close to 1.
        """
        chosen, least = servers[0], 0.0
        for server in servers:
            draw = -log((self.mixed(hashed, server) + 0.5) / 2.0**64) / max(1, server.effective_weight(now))
            if server is servers[0] or draw < least:
                chosen, least = server, draw
        return chosen

    def mixed(self, hashed: int, server: Server) -> int:
        """A hash (64 bits) of a client, by its hash, and a server: SplitMix64's finalizer."""
        mixed = (hashed ^ server.seed) + _GAMMA & _MASK
        mixed = (mixed ^ mixed >> 30) * _MIX_1 & _MASK
        mixed = (mixed ^ mixed >> 27) * _MIX_2 & _MASK
        return mixed ^ mixed >> 31


class SourceHash(Keyed):
    """A client's sessions all go to one server: the highest of a hash of client and server, by weight.

    When a server goes, only its own clients move (rendezvous hashing).
    """

    def pick(self, servers: list[Server], client: bytes, now: int) -> Server:
        """The server with the highest draw for this client."""
        return self.highest(servers, hash_of(client, ""), now)


class Maglev(Keyed):
    """Consistent hashing by a table: one look-up, shares by weight, and only the clients of a server that goes move.

    Each server walks the table in an order of its own and takes the next free place in its turn, as often as its
    weight says, until the table is full. The table has all servers of the pool, dead ones too. From the place of
    a server that may take no session, each client goes on in steps of its own; so no table is made anew when a server
    dies or is full.
    """

    def __init__(self) -> None:
        self._built_for: tuple[tuple[str, int], ...] = ()
        self._servers: list[Server] = []
        self._table: list[int] = []

    def prepare(self, servers: list[Server]) -> None:
        """Make the table, if names or weights have changed."""
        self._servers = [server for server in servers if server.is_regular()]
        shape = tuple((server.name, server.weight) for server in self._servers)
        if shape != self._built_for:
            self._table = maglev_table(shape) if shape else []
            self._built_for = shape

    def pick(self, servers: list[Server], client: bytes, now: int) -> Server:
        """The server that has the client's place, or the next one that takes sessions.

        Where so few take any that some steps find none, as with backup servers, the highest draw among them decides.
        """
        hashed = hash_of(client, "")
        place, step = hashed % _SIZE, hashed // _SIZE % (_SIZE - 1) + 1
        for _ in range(MAGLEV_STEPS if self._table else 0):
            server = self._servers[self._table[place]]
            if server.takes_sessions() and self._is_let_in(server, hashed, now):
                return server
            place = (place + step) % _SIZE
        return self.highest(servers, hashed, now)

    def _is_let_in(self, server: Server, hashed: int, now: int) -> bool:
        """Whether a client stays with a server in its slow start, which has a part of its clients only."""
        weight = server.effective_weight(now)
        return weight >= server.weight or self.mixed(hashed, server) / 2.0**64 * server.weight < weight


def maglev_table(servers: Sequence[tuple[str, int]], size: int = MAGLEV_SIZE) -> list[int]:
    """The table of servers (name, weight), as indices; `size` is prime, so every walk visits all places."""
    table = [-1] * size
    at = [hash_of(b"offset", name) % size for name, _ in servers]
    skip = [hash_of(b"skip", name) % (size - 1) + 1 for name, _ in servers]
    greatest = max([weight for _, weight in servers])
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
