"""Depots of a set whose servers have rewritten headers, in any order of events: all rewrite a session alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from hypothesis.stateful import invariant

from atmdepot.bearer.source_pool import FIRST
from atmdepot.config.reading import parse
from tests.depot.test_replication_machine import Machine
from tests.effort import examples
from tests.network_in_memory import VIP4, VIP6

if TYPE_CHECKING:
    from atmdepot.config.model import Network
    from atmdepot.depot.forwarding import Depot

TABLE = """
name = "set"
nodes = {{ depot1.kind = "depot", depot2.kind = "depot", depot3.kind = "depot" }}
[depots.main]
nodes = ["depot1", "depot2", "depot3"]
ownership = "manual"
sync = {{ depot1 = "127.0.0.1:7501", depot2 = "127.0.0.1:7502", depot3 = "127.0.0.1:7503" }}
server_gateway = ["10.63.0.1/24", "fd00:63::1/64"]
{of_set}
[servers.web1]
bearer = "rewrite"
port = "eth1"
address = ["10.70.0.11", "fd00:70::11"]
[servers.web2]
bearer = "rewrite"
port = "eth1"
address = ["10.70.0.12", "fd00:70::12"]
listen_port = 8080
source = "depot"
pool = ["10.71.0.1", "fd00:71::1"]
[services.web]
vip = ["{vip4}", "{vip6}"]
ports = [80]
protocols = ["tcp", "udp"]
servers = ["web1", "web2"]
{balancing}
{tables}
"""
PORTS = 6
"""The ports of the pool: two for each depot, fewer than the sessions that may be open."""


class RewriteMachine(Machine):
    """A set of three depots before a server that sees its clients, and one that sees the ends of a pool."""

    def __init__(self) -> None:
        self._few = patch("atmdepot.bearer.source_pool.LAST", FIRST + PORTS - 1)
        self._few.start()
        super().__init__()

    def teardown(self) -> None:
        """Have all ports again."""
        self._few.stop()

    def _network(self, of_set: str, balancing: str, tables: str) -> Network:
        return parse(TABLE.format(of_set=of_set, balancing=balancing, tables=tables, vip4=VIP4, vip6=VIP6))

    def _without_way(self) -> list[bytes]:
        return [key for key, entry in self.active.sessions.primary.items() if not entry.path.answers()]

    def _parts_are_kept(self, depot: Depot) -> None:
        number, bearer = self.depots.index(depot), self._bearer(depot)
        for pool in bearer.default("web2").ends._pools.values():
            assert (pool._first, pool._last) == (FIRST + 2 * number, FIRST + 2 * number + 1)

    @staticmethod
    def _bearer(depot: Depot) -> Any:
        return depot.bearer

    @invariant()
    def open_paths_are_those_of_sessions(self) -> None:
        for depot in getattr(self, "depots", ()):
            owned = {session.path.answers(): session.path
                     for table in (depot.sessions.primary, depot.sessions.secondary)
                     for session in table.values() if session.path.answers()}
            assert self._bearer(depot).paths == owned

    @invariant()
    def no_free_end_is_a_sessions(self) -> None:
        for depot in getattr(self, "depots", ()):
            bearer = self._bearer(depot)
            for (protocol, size), pool in bearer.default("web2").ends._pools.items():
                held = {path.taken for key, path in bearer.paths.items()
                        if path.taken is not None and (key[0], len(path.taken.address)) == (protocol, size)}
                free = [end for end in pool._free if end not in pool._claimed]
                assert len(set(free)) == len(free)
                assert not held & set(free)
                assert not [end for end in held - pool._claimed
                            if (at := pool._number_of(end)) is not None and at >= pool._next]


TestRewriteMachine = RewriteMachine.TestCase
TestRewriteMachine.settings = examples(150, stateful_step_count=40)
