"""The edge node's statistics: each second, how the host and the server are, on the management VC."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

import trio

from atmdepot.wire.statistics import ServerState

if TYPE_CHECKING:
    from atmdepot.edge.node import EdgeNode
    from atmdepot.net.pump import Pump

_INTERVAL = 1.0
_PATIENCE = 0.8


class Reporter:
    """Reports for one edge node."""

    def __init__(self, node: EdgeNode, pump: Pump) -> None:
        self._node = node
        self._pump = pump
        self._target = _service_behind(node)

    async def run(self) -> None:
        """Report until cancelled; a reload may change how often, or switch it off and on."""
        while True:
            interval = self._node.network.probing.statistics / 1e9
            if not interval:
                await trio.sleep(_INTERVAL)
                continue
            state, connect_time = await self._try_server()
            now = self._pump.clock()
            self._node.send_statistics(state, os.getloadavg()[0], os.cpu_count() or 1, connect_time, now)
            self._pump.write_out(now)
            await trio.sleep(interval)

    async def _try_server(self) -> tuple[ServerState, int]:
        """Connect to the server from here; how it went, and the time in ns that it took, or that was waited in vain."""
        if self._target is None:
            return ServerState.UNKNOWN, 0
        start = time.monotonic_ns()
        with trio.move_on_after(_PATIENCE):
            try:
                family = socket.AF_INET6 if ":" in self._target[0] else socket.AF_INET
                with trio.socket.socket(family, socket.SOCK_STREAM) as connection:
                    await connection.connect(self._target)
            except ConnectionRefusedError:
                return ServerState.REFUSES, 0
            except OSError:
                return ServerState.SILENT, time.monotonic_ns() - start
            return ServerState.ACCEPTS, time.monotonic_ns() - start
        return ServerState.SILENT, time.monotonic_ns() - start


def _service_behind(node: EdgeNode) -> tuple[str, int] | None:
    """Where the server behind this node is asked: at a VIP that it answers for."""
    for name, server in node.network.servers.items():
        for service in node.network.services.values():
            if server.node == node.name and name in service.servers and "tcp" in service.offered:
                return str(service.vip[0]), (service.ports or [80])[0]
    return None
