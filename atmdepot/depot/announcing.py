"""The announcements of a set's active depot to the edge nodes, and what they say in their statistics.

The active announces itself on the way to each far node, each `announce`, and at once when its role or its term changes.
A depot that stops being active says so once, so that nobody waits for its silence. A depot that the VC table has in no
set announces nothing. Times are in ns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.depot.role import Role
from atmdepot.wire.announcement import MOST_PERIOD, Announcement, Claim

if TYPE_CHECKING:
    from atmdepot.depot.roles import Roles
    from atmdepot.depot.state import DepotState
    from atmdepot.wire.statistics import Statistics

_MS = 1_000_000
_GREATEST = 2**62
"""No greater term is believed, so that the terms after it fit announcements, whatever an edge node says."""


class Announcing:
    """The announcements of a depot."""

    def __init__(self, depot: DepotState, now: int) -> None:
        network = depot.network
        self._depot = depot
        self._of = network.name_of_set_of(depot.name)
        self._is_on = self._of in network.own_sets
        self._told: Announcement | None = None
        self._due: int | None = None
        self.sent = 0
        """Announcements sent, one to each far node."""
        self.follows: dict[str, tuple[str, int, int]] = {}
        """The depot that each edge node follows (empty: none), the highest term that it knows, and when it said so."""
        if self._is_on:
            depot.roles.subscribe(self._role_changed)
            self._due = now if depot.roles.is_active else None

    def heard(self, edge: str, statistics: Statistics, now: int) -> None:
        """Hear from an edge node which depot it follows, and the highest term that it knows.

        A depot that is none of the set's counts as none.
        """
        if self._is_on:
            term, roles = min(statistics.term, _GREATEST), self._depot.roles
            follows = statistics.follows if statistics.follows in roles.settings.nodes else ""
            self.follows[edge] = follows, term, now
            roles.edge_heard(follows, term, now, edge)

    def next_timer(self) -> int | None:
        """The time (ns) at which `handle_timer` is next due, or None."""
        return self._due

    def handle_timer(self, now: int) -> None:
        """Announce this depot when it is due."""
        if self._due is not None and self._due <= now:
            self._announce(now)

    def _role_changed(self, roles: Roles, _why: str, now: int) -> None:
        told = self._told
        was_active = told is not None and bool(told.claim & Claim.ACTIVE)
        if (roles.is_active or was_active) and told != self._announcement():
            self._announce(now)

    def _announcement(self) -> Announcement:
        roles, settings = self._depot.roles, self._depot.network.set_of(self._depot.name)
        claim = Claim.ACTIVE if roles.is_active else Claim.NOTHING
        if roles.role is Role.HANDING_OVER:
            claim |= Claim.HANDING_OVER
        period = min(max(1, int(settings.announce) // _MS), MOST_PERIOD)
        return Announcement(self._of, self._depot.name, max(1, roles.term), period, claim)

    def _announce(self, now: int) -> None:
        depot, told = self._depot, self._announcement()
        self._told, octets = told, told.pack()
        for node in {server.node: None for server in depot.management.servers.values()}:
            path = depot.bearer.management(node)
            if path is not None:
                path.send(octets, 0)
                self.sent += 1
        self._due = now + told.period * _MS if told.claim & Claim.ACTIVE else None
