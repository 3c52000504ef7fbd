"""Ownership by command: `atmdepot takeover` and `release`, for a person or for a cluster manager that calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from atmdepot.depot.role import Phase, Role
from atmdepot.net.guarding import Guarding
from atmdepot.net.ownership import AGAIN, REPEAT, Engine

if TYPE_CHECKING:
    from atmdepot.net.gateway import Gateway


class Manual(Engine):
    """Obeys the commands."""

    async def run(self) -> None:
        """Obey until cancelled. A guard that has ended took the addresses away: it is started again."""
        gateway = await self.gateway()
        if gateway is None:
            await self._obey(None)
        while gateway is not None:
            guard = await self.guarding(lambda: Guarding(addresses=gateway.plan()))
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._obey, gateway)
                    while await guard.told() is not None:
                        pass
                    nursery.cancel_scope.cancel()
            finally:
                await guard.end()

    async def _obey(self, gateway: Gateway | None) -> None:
        while True:
            self.step(gateway)
            with trio.move_on_after(AGAIN if gateway is not None and gateway.trouble else REPEAT):
                await self.changed()

    def step(self, gateway: Gateway | None) -> None:
        """Take what is to be taken, give up what is handed over, and have the addresses where the active depot is."""
        if self.roles.role is Role.HANDING_OVER and self.roles.has_flushed:
            self.revoked("it was handed over")
        if self.roles.phase is Phase.TAKING:
            self.granted(why=self.roles.pursues)
        if gateway is not None and (self.roles.is_active or gateway.is_to_be_set(False)):
            gateway.set(self.roles.is_active)
            self.trouble(gateway.trouble)
