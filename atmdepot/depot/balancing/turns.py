"""Turns of servers that are equal by a criterion."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from atmdepot.depot.servers import Server

_TURN = 2**32  # virtual time of a turn at weight 1: large, so that integer division by a weight stays exact enough


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
