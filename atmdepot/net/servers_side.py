"""The addresses to which the routes of servers without edge nodes lead: they are where the active depot is.

They follow the depot's role and not the engine. keepalived may have the clients' address at two depots when the LAN of
the clients is cut, and only one of the two serves; the servers' LAN is whole then, and must know a single way back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from atmdepot.net.guarding import Guarding
from atmdepot.net.ownership import REPEAT, Follower

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atmdepot.net.gateway import Gateway
    from atmdepot.net.ownership import Seat

_SOON, _OFTEN = 1.0, 3
"""After an activation the addresses are told this often, so many seconds apart; then each `REPEAT`."""


class ServersSide(Follower):
    """The addresses of a set on its servers' LANs."""

    def __init__(self, seat: Seat, gateways: Sequence[Gateway]) -> None:
        """Have the addresses of `gateways`, one for each port, follow the role of a depot."""
        super().__init__(seat)
        self.gateways = gateways
        self._hung = False
        self._times_told = 0

    async def run(self) -> None:
        """Follow until cancelled. A guard takes the addresses away when the depot hangs or dies."""
        limit = 0.0 if self.seat.settings.ownership == "manual" else self.seat.hangs_after  # then nobody takes over
        while True:
            guard = await self.guarding(lambda: Guarding(
                limit, addresses=[one for gateway in self.gateways for one in gateway.plan()]))
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(guard.beat)
                    nursery.start_soon(self._follow)
                    while await guard.told() is not None:
                        self._hung = True
                        self._wake()
                    nursery.cancel_scope.cancel()
            finally:
                await guard.end()

    async def _follow(self) -> None:
        while True:
            if self._hung:  # what this depot thinks of its role is old: others tell it otherwise, or nobody does
                self._hung = False
                self.place(here=False)
                await trio.sleep(_SOON)
            self.place(self.roles.is_active)
            # An address that stays has two owners.
            stays = not self.roles.is_active and self.roles.servers_side_trouble != ""
            with trio.move_on_after(_SOON if stays or 0 < self._times_told < _OFTEN else REPEAT):
                await self.changed()

    def place(self, here: bool) -> None:
        """Have the addresses here, and tell the servers; or have them away."""
        self._times_told = self._times_told + 1 if here else 0
        for gateway in self.gateways:
            gateway.set(here)  # which logs its own trouble
        self.roles.servers_side_trouble = "; ".join(gateway.trouble for gateway in self.gateways if gateway.trouble)
