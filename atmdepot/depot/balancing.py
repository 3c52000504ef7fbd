"""Block 44: the choice of the server for the next session.

A balancer chooses among the servers of a pool that may take a session (on the alive-list, not draining, below their
bound). A criterion that reads the client's address is `keyed`: it cannot choose ahead, so its pool has no preloaded
server.

A new criterion takes a class here, with its row in `BALANCERS`, and its name in `config/pools.py`. The first paragraph
of its docstring goes into the documentation (`docs/make_criteria.py`). A class that the `.pxd` does not have works too,
only slower.

The data path waits for each choice, so a choice reads each server once at most. Tables are built when the pool changes.
"""

from __future__ import annotations

from math import log
from random import Random
from typing import TYPE_CHECKING

from atmdepot.depot.servers import Server, hash_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


MAGLEV_SIZE = 10_007
"""Places in the table: a prime over a hundred times the size of any pool, so shares are within 1 % of weights."""
MAGLEV_STEPS = 16
"""Places of the table read for a client. With half of the servers full, 1 client in 65,000 finds no server there."""

_SIZE = MAGLEV_SIZE  # C numbers, where this is compiled
# The constants of SplitMix64, which works on 64 bits.
_MASK = 2**64 - 1
_GAMMA, _MIX_1, _MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_TURN = 2**32  # virtual time of a turn at weight 1: large, so that integer division by a weight stays exact enough
_EVEN = 100  # the weight of every server where the criterion ignores weights


class Turns:
    """Turns of servers that tie by a criterion: the least recently chosen server is first, by weight.

    Start-time fair queuing (Goyal, Vin and Cheng, 1996): a turn of a server of weight w takes 1/w of virtual time. It
    begins when the server's last turn ended, but no earlier than the turn that was taken last. So a server that was
    away, or did not tie, has no turns to catch up on.
    """

    __slots__ = ("_begin", "_count", "_numbers", "_reached")

    def __init__(self) -> None:
        self._begin: dict[str, int] = {}
        self._numbers: dict[str, int] = {}
        self._reached = self._count = 0

    def keep(self, servers: Sequence[Server]) -> None:
        """Forget all servers except these."""
        names = {server.name for server in servers}
        self._begin = {name: begin for name, begin in self._begin.items() if name in names}
        self._numbers = {name: number for name, number in self._numbers.items() if name in names}

    def first(self, servers: list[Server]) -> Server:
        """The server among these whose turn is next; the turn is not taken yet."""
        chosen = servers[0]
        if len(servers) == 1:  # the common case: no tie
            return chosen
        earliest = self._reached
        latest = None
        for server in servers:
            begin = max(self._begin.get(server.name, 0), self._reached)
            number = self._numbers.get(server.name, 0)
            # Equal starts are common (all servers at first): the least recently chosen server breaks the tie.
            if latest is None or begin < earliest or (begin == earliest and number < latest):
                chosen, earliest, latest = server, begin, number
        return chosen

    def position(self) -> dict[str, tuple[int, int]]:
        """The distance of each server's next turn, and the number of its last turn."""
        return {name: (max(begin - self._reached, 0), self._numbers.get(name, 0))
                for name, begin in self._begin.items()}

    def resume(self, position: Mapping[str, tuple[int, int]]) -> None:
        """Go on at the position of another balancer."""
        self._reached = 0
        self._begin = {name: ahead for name, (ahead, _) in position.items()}
        self._numbers = {name: number for name, (_, number) in position.items()}
        self._count = max(self._numbers.values(), default=0)

    def take(self, server: Server, weight: int) -> None:
        """Take a server's turn, by its weight."""
        self._reached = max(self._begin.get(server.name, 0), self._reached)
        self._begin[server.name] = self._reached + _TURN // weight  # the end of this turn begins the next
        self._count += 1
        self._numbers[server.name] = self._count


class Balancer:
    """A balancing criterion. A base class and not a protocol, so that compiled code calls its methods in C."""

    keyed = False
    """True when the choice depends on the client's address."""

    def choose(self, servers: list[Server], client: bytes, now: int) -> Server:
        """Choose the next session's server among these; only keyed criteria read `client`, the client's address."""
        server = self.pick(servers, client, now)
        self.take(servers, server, now)
        return server

    def prepare(self, servers: list[Server]) -> None:
        """Take over the servers of the pool; later calls pass any subset of them."""

    def pick(self, servers: list[Server], client: bytes, now: int) -> Server:
        """The server that `choose` would return; takes no turn."""
        raise NotImplementedError

    def take(self, servers: list[Server], chosen: Server, now: int) -> None:
        """Note that a server was chosen among these."""

    def position(self, servers: list[Server]) -> dict[str, tuple[int, int]]:
        """The position in the turns of a pool's servers, two signed numbers of 64 bits for each; empty without one."""
        return {}

    def resume(self, servers: list[Server], position: Mapping[str, tuple[int, int]]) -> None:
        """Go on at a position that a balancer of the same criterion has told."""


class RoundRobin(Balancer):
    """Each server in turn, in the order of the VC table, whatever its weight."""

    def __init__(self) -> None:
        self._last = -1  # before the first position of the VC table

    def pick(self, servers: list[Server], client: bytes, now: int) -> Server:
        """The candidate after the last choice in table order, else the first; the last choice may be gone."""
        first = later = None
        for server in servers:
            position = server.position
            if first is None or position < first.position:
                first = server
            if position > self._last and (later is None or position < later.position):
                later = server
        chosen = later or first  # behind the last position, begin again
        assert chosen is not None
        return chosen

    def take(self, servers: list[Server], chosen: Server, now: int) -> None:
        """End the server's turn."""
        self._last = chosen.position

    def position(self, servers: list[Server]) -> dict[str, tuple[int, int]]:
        """The server chosen last."""
        return {server.name: (0, 0) for server in servers if server.position == self._last}

    def resume(self, servers: list[Server], position: Mapping[str, tuple[int, int]]) -> None:
        """Go on after that server."""
        for server in servers:
            if server.name in position:
                self._last = server.position


class WeightedRoundRobin(Balancer):
    """Turns in proportion to the weights, spread evenly: 1:2 gives b-a-b-b-a-b, never all turns of a server in a row.

    Every server earns its weight as credit each turn. The server with the most credit is chosen, and pays the sum that
    all servers earned.
    """

    def __init__(self) -> None:
        self._credit: dict[str, int] = {}

    def pick(self, servers: list[Server], client: bytes, now: int) -> Server:
        """The server with the most credit."""
        known = self._settled(servers, now)
        chosen, most = servers[0], 0
        for server in servers:
            credit = known[server.name] + max(1, server.effective_weight(now))  # a backup may have weight 0
            if server is servers[0] or credit > most:  # all credit may be below 0
                chosen, most = server, credit
        return chosen

    def take(self, servers: list[Server], chosen: Server, now: int) -> None:
        """Credit every server with its weight, and charge the chosen server for all of them."""
        known = self._credit = self._settled(servers, now)
        earned = 0
        for server in servers:
            weight = max(1, server.effective_weight(now))
            known[server.name] += weight
            earned += weight
        known[chosen.name] -= earned

    def position(self, servers: list[Server]) -> dict[str, tuple[int, int]]:
        """The credit of each server."""
        return {name: (credit, 0) for name, credit in self._credit.items()}

    def resume(self, servers: list[Server], position: Mapping[str, tuple[int, int]]) -> None:
        """Go on with these credits."""
        self._credit = {name: credit for name, (credit, _) in position.items()}

    def _settled(self, servers: list[Server], now: int) -> dict[str, int]:
        """The credit of each server, in sum 0 but for rounding: the balance of a server that has left is shared out.

        Without this, a server that leaves after its turn would leave the credit of the rest above 0, and wait longer
        for its next turn when it comes back.
        """
        known = self._credit
        if len(servers) == len(known):  # the common case builds no dict
            for server in servers:
                if server.name not in known:
                    break
            else:
                return known
        settled = {server.name: known.get(server.name, 0) for server in servers}
        weights = {server.name: max(1, server.effective_weight(now)) for server in servers}
        # The sum is above 0 by the debt of servers that have left, or below 0 by their credit.
        excess, total = sum(settled.values()), sum(weights.values())
        for name, weight in weights.items():
            settled[name] -= excess * weight // total
        return settled


class LeastConnections(Balancer):
    """The server with the fewest sessions in the primary table, whatever its weight."""

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


class ByScore(Balancer):
    """A criterion that scores each server: the least score is chosen, and equal servers take turns by weight."""

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


class Keyed(Balancer):
    """A criterion that depends on the client's address."""

    keyed = True

    def highest(self, servers: list[Server], hashed: int, now: int) -> Server:
        """The server with the highest draw for a client's hash: the largest of `weight` uniform draws per server.

        Computed by logarithms: u ** (1 / weight) is greatest where -ln(u) / weight is least. This keeps draws distinct
        where weights are great and all the powers are close to 1.
        """
        chosen, least = servers[0], 0.0
        for server in servers:
            # + 0.5 keeps the draw above 0, which has no logarithm.
            draw = -log((self.mixed(hashed, server) + 0.5) / 2.0**64) / max(1, server.effective_weight(now))
            if server is servers[0] or draw < least:
                chosen, least = server, draw
        return chosen

    def mixed(self, hashed: int, server: Server) -> int:
        """A 64-bit hash of a client's hash and a server (the finalizer of SplitMix64)."""
        mixed = (hashed ^ server.seed) + _GAMMA & _MASK
        mixed = (mixed ^ mixed >> 30) * _MIX_1 & _MASK
        mixed = (mixed ^ mixed >> 27) * _MIX_2 & _MASK
        return mixed ^ mixed >> 31


class SourceHash(Keyed):
    """The same server for all sessions of a client, by weight: when a server goes, only its own clients move.

    It is the server with the highest hash of client and server (rendezvous hashing).
    """

    def pick(self, servers: list[Server], client: bytes, now: int) -> Server:
        """The server with the highest draw for this client."""
        return self.highest(servers, hash_of(client, ""), now)


class Maglev(Keyed):
    """As `source-hash`, by a table of 10,007 places shared out by weight: when a server is full, only its clients move.

    Consistent hashing: each server walks the table in its own order and takes the next free place in its turn, as often
    as its weight says, until the table is full. The table has all regular servers of the pool, dead servers too. From
    the place of a server that may take no session, each client goes on in its own steps. So the table is not rebuilt
    when a server dies or is full.
    """

    def __init__(self) -> None:
        self._built_for: tuple[tuple[str, int], ...] = ()
        self._servers: list[Server] = []
        self._table: list[int] = []

    def prepare(self, servers: list[Server]) -> None:
        """Build the table, if names or weights have changed."""
        # A backup has no share of the table: `pick` finds it by the highest draw.
        self._servers = [server for server in servers if server.is_regular()]
        shape = tuple((server.name, server.weight) for server in self._servers)
        if shape != self._built_for:
            self._table = maglev_table(shape) if shape else []
            self._built_for = shape

    def pick(self, servers: list[Server], client: bytes, now: int) -> Server:
        """The server at the client's place, or the next server on its walk that takes sessions.

        When `MAGLEV_STEPS` places have no server that takes sessions, as with backup servers, the highest draw among
        the candidates decides.
        """
        hashed = hash_of(client, "")
        # A step from 1 to size - 1 shares no factor with the prime size, so a walk meets no place twice.
        place, step = hashed % _SIZE, hashed // _SIZE % (_SIZE - 1) + 1
        for _ in range(MAGLEV_STEPS if self._table else 0):
            server = self._servers[self._table[place]]
            if server.takes_sessions() and self._is_let_in(server, hashed, now):
                return server
            place = (place + step) % _SIZE
        return self.highest(servers, hashed, now)

    def _is_let_in(self, server: Server, hashed: int, now: int) -> bool:
        """True when a client stays with its server; a server in slow start keeps only a share of its clients."""
        weight = server.effective_weight(now)
        return weight >= server.weight or self.mixed(hashed, server) / 2.0**64 * server.weight < weight


def maglev_table(servers: Sequence[tuple[str, int]], size: int = MAGLEV_SIZE) -> list[int]:
    """The table for servers (name, weight), as indices; `size` is prime, so every walk visits all places."""
    table = [-1] * size
    at = [hash_of(b"offset", name) % size for name, _ in servers]
    skip = [hash_of(b"skip", name) % (size - 1) + 1 for name, _ in servers]
    greatest = max([weight for _, weight in servers])
    turns = [0] * len(servers)
    filled = 0
    while True:
        for index, (_, weight) in enumerate(servers):
            turns[index] += weight
            if turns[index] < greatest:  # a server of weight w takes w places while the heaviest takes `greatest`
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
"""The class of each criterion, by its name in a VC table."""
