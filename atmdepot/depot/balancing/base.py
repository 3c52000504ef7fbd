"""The interface of a balancer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from atmdepot.depot.servers import Server


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
