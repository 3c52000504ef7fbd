"""The ways to servers whose headers are rewritten: the host's route to each, and whether its answers come back here.

A probe has the service's address as its source, so its answer comes only if the server's route back leads by this host.
If a probe has no answer, the server is asked from the host's own address as well. If it answers that, its route back is
wrong. Depots of a set ask from their own addresses alone, so of their servers' way back nothing is told.
"""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Any

import trio

from atmdepot.depot.servers import Outcome
from atmdepot.wire.ip import address_text, endpoint

if TYPE_CHECKING:
    from atmdepot.depot.forwarding import Depot
    from atmdepot.net.pump import Pump

_PAUSE = 2.0
_PATIENCE = 1.0
_DEFAULT_PORT = 80
_IPV4_SIZE, _DISCARD = 4, 9
_IP_MTU, _IPV6_MTU = 14, 24  # ip(7), ipv6(7)

log = logging.getLogger("atmdepot")


class Ways:
    """The watch over the ways to a depot's servers; it does nothing for other bearers."""

    def __init__(self, depot: Depot, pump: Pump) -> None:
        self._depot = depot
        self._pump = pump
        self._bearer: Any = depot.bearer.part("rewrite")

    async def run(self) -> None:
        """Look every two seconds until cancelled."""
        while self._bearer is not None:
            for server in list(self._depot.management.servers.values()):
                if self._bearer.leads_to(server.node):
                    await self._look(server.node, server.condition.last_outcome)
            await trio.sleep(_PAUSE)

    async def _look(self, node: str, outcome: Outcome | None) -> None:
        ends = self._bearer.default(node).ends
        trouble, found = "", {address: mtu_towards(address) for address in ends.address.values()}
        for address, its_mtu in found.items():
            if its_mtu is None:
                trouble = f"this host has no route to {address_text(address)}"
        # A packet that fits here must fit the route of its IP version, too: beyond it nobody would tell the client.
        mtu = min((its_mtu for its_mtu in found.values() if its_mtu), default=ends.mtu)
        asks_by_a_vip = not self._depot.roles.settings.server_gateway
        if not trouble and asks_by_a_vip and not ends.has_pool and outcome is Outcome.SILENT:
            trouble = await self._trouble_of_the_way_back(ends)
        if trouble and trouble != self._bearer.troubles.get(node, ""):
            log.warning("%s: %s", node, trouble)
        self._bearer.set_way(node, mtu, trouble, self._pump.clock())

    async def _trouble_of_the_way_back(self, ends: Any) -> str:
        """Trouble in words if the server answers the host itself: its route back leads elsewhere. Else empty."""
        address = next(iter(ends.address.values()))
        port = ends.listen_port or next((port for service in self._depot.network.services.values()
                                         for port in service.ports), _DEFAULT_PORT)
        if not await _answers(address, port):
            return ""
        return (f"{endpoint(address, port)} answers this host itself, but no probe from a service's address: its route "
                "back to clients does not lead by this host (or write source = \"depot\")")


async def _answers(address: bytes, port: int) -> bool:
    family = socket.AF_INET if len(address) == _IPV4_SIZE else socket.AF_INET6
    try:
        with trio.socket.socket(family, socket.SOCK_STREAM) as connection, trio.move_on_after(_PATIENCE):
            await connection.connect((address_text(address), port))
            return True
    except ConnectionRefusedError:
        return True
    except OSError:  # of the socket, too, where the process has no descriptor left
        return False
    return False


def mtu_towards(address: bytes) -> int | None:
    """The MTU in octets of this host's route to an address; None without a route. It sends no packet."""
    is_ipv4 = len(address) == _IPV4_SIZE
    level, option = (socket.IPPROTO_IP, _IP_MTU) if is_ipv4 else (socket.IPPROTO_IPV6, _IPV6_MTU)
    try:
        with socket.socket(socket.AF_INET if is_ipv4 else socket.AF_INET6, socket.SOCK_DGRAM) as asking:
            asking.connect((address_text(address), _DISCARD))
            return asking.getsockopt(level, option)
    except OSError:
        return None
