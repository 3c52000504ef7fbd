"""The criteria `source-hash` and `maglev`: consistent hashing, so that a client stays with its server."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

from atmdepot.depot.balancing.base import Balancer
from atmdepot.depot.servers import hash_of
from atmdepot.depot.splitmix64 import GAMMA, mix64

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atmdepot.depot.servers import Server

MAGLEV_SIZE = 10_007
"""Places in the table: a prime over a hundred times the size of any pool, so shares are within 1 % of weights."""
MAGLEV_STEPS = 16
"""Places of the table read for a client. With half of the servers full, 1 client in 65,000 finds no server there."""

_SIZE, _GAMMA = MAGLEV_SIZE, GAMMA  # C numbers, where this is compiled


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
            draw = -log((_mixed(hashed, server) + 0.5) / 2.0**64) / max(1, server.effective_weight(now))
            if server is servers[0] or draw < least:
                chosen, least = server, draw
        return chosen


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
        return weight >= server.weight or _mixed(hashed, server) / 2.0**64 * server.weight < weight


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


def _mixed(hashed: int, server: Server) -> int:
    """A 64-bit hash of a client's hash and a server."""
    return mix64((hashed ^ server.seed) + _GAMMA)
