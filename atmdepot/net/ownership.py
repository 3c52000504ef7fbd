"""The engine that decides which depot of a set is active, as a job of the daemon.

An engine hears the fitness of this depot (`Roles.fitness`) and calls `granted` and `revoked` of its roles. It also
moves the addresses to which the clients' routes lead, and watches that they are left behind nowhere (`net/guard.py`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import trio

from atmdepot.net.few_lines import FewLines, Line
from atmdepot.net.gateway import Gateway

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from atmdepot.config.pools import DepotSet
    from atmdepot.depot.roles import Roles
    from atmdepot.net.guarding import Guarding

REPEAT = 30.0
"""Seconds between two announcements of the addresses: a neighbour may have missed the first."""
AGAIN = 1.0
"""Seconds until what could not be done is tried again."""

log = logging.getLogger("atmdepot")


class Seat(NamedTuple):
    """A depot as its engine sees it."""

    network: str
    name: str
    """The set's name."""
    node: str
    settings: DepotSet
    roles: Roles
    clock: Callable[[], int]
    directory: Path
    """The directory for files of this network's daemons."""

    @property
    def hangs_after(self) -> float:
        """Seconds without a beat after which this depot hangs: before the others take its silence for its end."""
        return self.settings.silence * 2 / 3 / 1e9


class Follower:
    """A task that follows the role of a depot."""

    def __init__(self, seat: Seat) -> None:
        self.seat, self.roles = seat, seat.roles
        self._changed = trio.Event()
        self._token: trio.lowlevel.TrioToken | None = None
        seat.roles.subscribe(self._hear)

    async def changed(self) -> None:
        """Wait until the depot's role, phase or fitness has changed."""
        self._token = trio.lowlevel.current_trio_token()
        await self._changed.wait()
        self._changed = trio.Event()

    async def guarding(self, start: Callable[[], Guarding]) -> Guarding:
        """A guard that `start` starts, once this host can: for want of a descriptor or of memory no depot ends."""
        told = False
        while True:
            try:
                return start()
            except OSError as error:
                if not told:
                    log.error("%s: its guard cannot be started: %s", self.seat.node, error.strerror or error)
                told = True
            await trio.sleep(AGAIN)

    def _hear(self, roles: Roles, why: str, now: int) -> None:
        del roles, why, now
        if self._token is not None:  # the data path calls from outside trio's loop
            self._token.run_sync_soon(self._wake, idempotent=True)

    def _wake(self) -> None:
        self._changed.set()


class Engine(Follower):
    """Base of the engines."""

    def __init__(self, seat: Seat) -> None:
        super().__init__(seat)
        self.lines = FewLines()
        """The log's lines about its trouble; `Ownership` has those told that were held back."""

    async def run(self) -> None:
        """Decide until cancelled; take the addresses away at the end."""
        raise NotImplementedError

    def granted(self, term: int | None = None, why: str = "") -> None:
        """Tell the depot that it has the addresses."""
        self.roles.granted(self.seat.clock(), term, why)

    def revoked(self, why: str) -> None:
        """Tell the depot that it has not, or has no more, the addresses."""
        if self.roles.owns or self.roles.is_active:
            self.roles.revoked(self.seat.clock(), why)

    def trouble(self, what: str) -> None:
        """Tell, once, what keeps this engine from its work; empty when nothing does."""
        if what != self.roles.engine_trouble:
            self.lines.tell(Line(
                logging.ERROR if what else logging.WARNING,
                f"{self.seat.settings.ownership}: {what or 'works again'}", {}), self.seat.clock())
        self.roles.engine_trouble = what

    async def gateway(self) -> Gateway | None:
        """The addresses that this engine moves itself, once their interface is there; None where the table has none."""
        settings = self.seat.settings
        if not settings.gateway or settings.interface is None:
            return None
        made = Gateway(settings.interface, settings.gateway)
        while not made.has_interface():
            self.trouble(f"this host has no interface {settings.interface}")
            await trio.sleep(AGAIN)
        self.trouble("")
        return made
