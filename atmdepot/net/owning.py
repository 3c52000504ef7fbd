"""The job of a depot that has its set's engine of ownership at work, and tells it whether this depot is fit."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from atmdepot.config.server_gateways import pools_that_move, server_gateways
from atmdepot.net.event_log import about
from atmdepot.net.few_lines import FewLines, Line
from atmdepot.net.gateway import Gateway
from atmdepot.net.ownership import Engine, Seat
from atmdepot.net.ownership_etcd import Etcd
from atmdepot.net.ownership_keepalived import Keepalived
from atmdepot.net.ownership_manual import Manual
from atmdepot.net.servers_side import ServersSide
from atmdepot.paths import control_socket

if TYPE_CHECKING:
    from atmdepot.depot.forwarding import Depot
    from atmdepot.depot.roles import Roles
    from atmdepot.net.pump import Pump

ENGINES: dict[str, type[Engine]] = {"keepalived": Keepalived, "etcd": Etcd, "manual": Manual}
"""By `ownership` in the VC table."""
_LOOK = 0.5
"""Seconds between two looks at the servers."""

class Ownership:
    """The engine of a depot's set at work."""

    def __init__(self, depot: Depot, pump: Pump) -> None:
        self._depot, self._pump = depot, pump
        network, roles = depot.network, depot.roles
        self.engine: Engine | None = None
        """None for a depot that is alone: there is nothing to decide."""
        self._servers_side: ServersSide | None = None
        if not roles.is_active:
            engine = ENGINES[roles.settings.ownership]
            seat = Seat(network.name, network.name_of_set_of(depot.name), depot.name, roles.settings, roles, pump.clock,
                        control_socket(network.name, depot.name).parent)
            self.engine = engine(seat)
            if moving := server_gateways(network, roles.settings):
                pools = pools_that_move(network, roles.settings)
                self._servers_side = ServersSide(
                    seat, [Gateway(port, own, pools.get(port, ())) for port, own in moving.items()])
            roles.subscribe(self._log)
        self._told = (roles.role, roles.term)
        self._trouble = ""
        self._of_role, self._of_fitness = FewLines(), FewLines()

    async def run(self) -> None:
        """Work until cancelled."""
        if self.engine is None:
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.engine.run)
            if self._servers_side is not None:
                nursery.start_soon(self._servers_side.run)
            while True:
                self._judge()
                for lines in (self._of_role, self._of_fitness, self.engine.lines):
                    lines.look(self._pump.clock())
                await trio.sleep(_LOOK)

    def _judge(self) -> None:
        """A depot that reaches no server is not fit, whichever way it would have to go."""
        servers = self._depot.management.servers.values()
        if servers and not any(server.alive for server in servers):
            self._depot.roles.unfit(self._pump.clock(), "no server is alive")
        else:
            self._depot.roles.fit(self._pump.clock())

    def _log(self, roles: Roles, why: str, now: int) -> None:
        if (roles.role, roles.term) != self._told:
            self._told = (roles.role, roles.term)
            self._of_role.tell(Line(
                logging.WARNING, f"{roles.node}: {roles.role} in term {roles.term}: {why}",
                about("role", roles.node, role=str(roles.role), term=roles.term, why=why)), now)
        if roles.trouble != self._trouble:
            self._trouble = roles.trouble
            self._of_fitness.tell(Line(
                logging.WARNING, f"{roles.node}: {f'unfit: {roles.trouble}' if roles.trouble else 'fit again'}",
                about("unfit" if roles.trouble else "fit", roles.node, why=roles.trouble)), now)
