"""The edge node's statistics: each second, the state of the host and the server, on the management VC."""

from __future__ import annotations

import os
import socket
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from atmdepot.net.asking import Failures, Reserve, give_up_after
from atmdepot.net.proxy_asking import INTERVAL, ask_proxy
from atmdepot.node.proxy_counts import ProxyCounts
from atmdepot.wire.statistics import ServerState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from atmdepot.edge.node import EdgeNode
    from atmdepot.net.pump import Pump

_INTERVAL = 1.0  # s between looks at the settings while reports are off
_PATIENCE = 0.8
_SPARE = 1


class Reporter:
    """Reports for an edge node."""

    def __init__(self, node: EdgeNode, pump: Pump) -> None:
        self._node = node
        self._pump = pump
        self._network = node.network
        self._target = _service_behind(node)
        self._reserve = Reserve(0)
        self._failures = Failures("connections to the server")

    async def run(self) -> None:
        """Report until cancelled; a reload may change the interval, or switch reports off and on."""
        self._reserve = Reserve(_SPARE)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._ask_proxy)
                await self._report()
        finally:
            self._reserve.close()

    async def _ask_proxy(self) -> None:
        """Ask a caching proxy for its counters; a slow answer delays no report."""
        while True:
            target, node = _proxy_behind(self._node), self._node
            if target is None or not node.network.probing.statistics:
                node.proxy = None
            else:
                node.proxy = node.proxy or ProxyCounts()
                await ask_proxy(node.proxy, node.name, *target, self._connected(target))
            await trio.sleep(INTERVAL)

    @asynccontextmanager
    async def _connected(self, target: tuple[str, int]) -> AsyncIterator[trio.socket.SocketType]:
        family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        with self._reserve.room(lambda: trio.socket.socket(family, socket.SOCK_STREAM)) as connection:
            await connection.connect(target)
            yield connection

    async def _report(self) -> None:
        while True:
            interval = self._node.network.probing.statistics / 1e9
            if not interval:  # reports are off; a reload may switch them on
                await trio.sleep(_INTERVAL)
                continue
            self._follow_reloads()
            state, connect_time = await self._try_server()
            now = self._pump.clock()
            self._node.send_statistics(state, os.getloadavg()[0], os.cpu_count() or 1, connect_time, now)
            self._pump.write_out(now)
            await trio.sleep(interval)

    def _follow_reloads(self) -> None:
        if self._network is not self._node.network:
            self._network = self._node.network
            self._target = _service_behind(self._node)

    async def _try_server(self) -> tuple[ServerState, int]:
        """Connect to the server from here; return its state and the time (ns) of the connect or of the vain wait.

        A try that this host could not make leaves the state unknown.
        """
        if self._target is None:
            return ServerState.UNKNOWN, 0
        start = time.monotonic_ns()
        state = ServerState.SILENT  # stays when the scope is cancelled
        async with trio.open_nursery() as nursery:
            nursery.start_soon(give_up_after, _PATIENCE, nursery.cancel_scope)
            state = await self._connect(self._target)
            nursery.cancel_scope.cancel()
        if state in (ServerState.UNKNOWN, ServerState.REFUSES):
            return state, 0
        taken = time.monotonic_ns() - start
        # A time beyond the patience is a stall of this process, not of the server.
        return state, min(taken, int(_PATIENCE * 1e9)) if state is ServerState.ACCEPTS else taken

    async def _connect(self, target: tuple[str, int]) -> ServerState:
        try:
            async with self._connected(target):
                pass
        except ConnectionRefusedError:
            state = ServerState.REFUSES
        except OSError as error:
            if self._failures.is_own(error, target[0]):
                self._node.tries_not_made += 1
                return ServerState.UNKNOWN
            state = ServerState.SILENT
        else:
            state = ServerState.ACCEPTS
        self._failures.over()
        return state


def _service_behind(node: EdgeNode) -> tuple[str, int] | None:
    """The VIP and port to try the server behind this node at; None without a TCP service."""
    return next(_targets(node), None)


def _proxy_behind(node: EdgeNode) -> tuple[str, int] | None:
    """The VIP and port to ask the caching proxy behind this node at; None where its server is none."""
    return next(_targets(node, of_proxies=True), None)


def _targets(node: EdgeNode, *, of_proxies: bool = False) -> Iterator[tuple[str, int]]:
    for name, server in node.network.servers.items():
        for service in node.network.services.values():
            if (server.node == node.name and name in service.servers and "tcp" in service.offered
                    and service.proxies >= of_proxies):
                yield str(service.vip[0]), (service.ports or [80])[0]
