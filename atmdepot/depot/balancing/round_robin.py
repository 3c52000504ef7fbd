"""The criteria `round-robin` and `weighted-round-robin`: servers by turns, whatever their load."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.depot.balancing.base import Balancer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from atmdepot.depot.servers import Server


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
