"""Active probing and polling: real TCP connections of the depot's own host, through the ATM path, to each server.

The host's TCP makes the packets; the depot only needs to know the flow beforehand and give it the server in question. A
server on the dead-list is polled in the same way until it answers, even if probing is off. A probe that this host could
not make is no evidence about the server.

Answers that servers with rewritten headers send to a set of depots go to the active one. So each depot of a set asks
such a server from an address of its own, at the server's own end.
"""

from __future__ import annotations

import socket
import struct
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from atmdepot.depot.servers import Outcome
from atmdepot.net.asking import Failures, Reserve, give_up_after
from atmdepot.net.proxy_asking import INTERVAL, ask_proxy
from atmdepot.node.proxy_counts import ProxyCounts
from atmdepot.wire.flows import flow_key
from atmdepot.wire.ip import PROTOCOL_TCP

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from atmdepot.depot.forwarding import Depot
    from atmdepot.depot.servers import Server
    from atmdepot.net.pump import Pump

_MAX_ANSWER = 4096
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, for 0 s
_DEFAULT_PORT = 80  # for a service on every port
_SPARE = 4
_SOON = 1.0
"""Seconds until a probe that could not be made is tried again, unless the interval is shorter."""


class Prober:
    """Probes the servers of a depot."""

    def __init__(self, depot: Depot, pump: Pump) -> None:
        self._depot = depot
        self._pump = pump
        self._reserve = Reserve(0)
        self._failures = Failures("probes")

    async def run(self) -> None:
        """Probe until cancelled, each server in a task of its own; a reload may add and remove servers."""
        self._reserve = Reserve(_SPARE)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._ask_proxies)
                watched: set[str] = set()
                while True:
                    for name in self._depot.management.servers.keys() - watched:
                        watched.add(name)
                        nursery.start_soon(self._watch, name, watched)
                    await trio.sleep(1)
        finally:
            self._reserve.close()

    async def _watch(self, name: str, watched: set[str]) -> None:
        while (server := self._depot.management.servers.get(name)) is not None:
            settings = self._depot.probing.settings
            if not self._answers_tcp(server):
                server.condition.forget_probes(self._pump.clock())
                await trio.sleep(settings.interval / 1e9)
                continue
            if settings.probe != "none" or not server.alive or server.condition.suspect:
                began = self._pump.clock()
                outcome = await self._probe(server)
                if outcome is None:
                    server.condition.not_probed()
                    await trio.sleep(min(_SOON, settings.interval / 1e9))
                    continue
                server.condition.probed(outcome, settings, self._pump.clock(), began)
            await _pause(server, settings.interval / 1e9)
        watched.discard(name)  # a reload may add the server again

    async def _ask_proxies(self) -> None:
        """Ask the caching proxies without an edge node, which would ask them, for their counters."""
        while True:
            async with trio.open_nursery() as nursery:
                for service in self._depot.network.services.values():
                    for name in service.servers if service.proxies else ():
                        server = self._depot.management.servers.get(name)
                        if server is not None and server.settings.stands_alone and server.alive:
                            nursery.start_soon(self._ask_proxy, server, str(service.vip[0]), service.ports[0])
            await trio.sleep(INTERVAL)

    async def _ask_proxy(self, server: Server, vip: str, port: int) -> None:
        counts = server.asked = server.asked or ProxyCounts()
        await ask_proxy(counts, server.name, vip, port, self._connected(server, vip, port))
        server.proxy = counts.figures()

    async def _probe(self, server: Server) -> Outcome | None:
        """Probe a server with a connection, as the settings say; None when this host could not make it."""
        vip, port = self._service_of(server)
        outcome: Outcome | None = Outcome.SILENT  # stays when the scope is cancelled
        async with trio.open_nursery() as nursery:
            nursery.start_soon(give_up_after, self._depot.probing.settings.timeout / 1e9, nursery.cancel_scope)
            outcome = await self._try(server, vip, port)
            nursery.cancel_scope.cancel()
        if outcome is not None:
            self._failures.over()
        return outcome

    async def _try(self, server: Server, vip: str, port: int) -> Outcome | None:
        try:
            return await self._ask(server, vip, port)
        except ConnectionRefusedError:
            return Outcome.REFUSED
        except OSError as error:
            return None if self._failures.is_own(error, vip) else Outcome.SILENT

    async def _ask(self, server: Server, vip: str, port: int) -> Outcome:
        async with self._connected(server, vip, port) as connection:
            if self._depot.probing.settings.probe != "http":
                return Outcome.ANSWERED
            return await self._ask_for_page(connection, vip)

    @asynccontextmanager
    async def _connected(self, server: Server, vip: str, port: int) -> AsyncIterator[trio.socket.SocketType]:
        """A connection to a server, whose flow the depot knows while it lasts. Raises OSError."""
        family = socket.AF_INET6 if ":" in vip else socket.AF_INET
        if (end := self._own_end(server, family, port)) is not None:
            with self._reserve.room(lambda: trio.socket.socket(family, socket.SOCK_STREAM)) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                await self._connect(server, connection, end)
                yield connection
            return
        source = self._on_servers_lan(server, family) or self._source_towards(family, vip, port)
        with self._reserve.room(lambda: trio.socket.socket(family, socket.SOCK_STREAM)) as connection:
            # Close by RST: it leaves no state (TIME-WAIT) on either host, however frequent the probes.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            await connection.bind((source, 0))  # fixes the port, so that the flow is known before its SYN leaves
            key = flow_key(PROTOCOL_TCP, socket.inet_pton(family, source), connection.getsockname()[1],
                           socket.inet_pton(family, vip), port)
            self._depot.probes[key] = server
            try:
                await self._connect(server, connection, (vip, port))
                yield connection
            finally:
                del self._depot.probes[key]

    async def _connect(self, server: Server, connection: trio.socket.SocketType, end: tuple[str, int]) -> None:
        began = self._pump.clock()
        await connection.connect(end)
        server.condition.connect_times.append(self._pump.clock() - began)

    def _own_end(self, server: Server, family: int, port: int) -> tuple[str, int] | None:
        """The end of a server with rewritten headers whose answers go to the active depot of a set; None for others."""
        settings = server.settings
        if settings.bearer != "rewrite" or not self._depot.roles.settings.server_gateway:
            return None
        version = 6 if family == socket.AF_INET6 else 4
        own = next(address for address in settings.address if address.version == version)
        return str(own), settings.listen_port or port

    def _on_servers_lan(self, server: Server, family: int) -> str | None:
        """The depot's own address on the LAN of a server whose answers to others go to the active depot."""
        name = server.settings.port
        if name is None or not self._depot.roles.settings.server_gateway:
            return None
        port: Any = self._depot.links[name]
        own = port.own_address(4 if family == socket.AF_INET else 16)
        return None if own is None else socket.inet_ntop(family, own)

    def _source_towards(self, family: int, vip: str, port: int) -> str:
        """The address that the host uses towards the VIP; learning it sends no packet."""
        with self._reserve.room(lambda: socket.socket(family, socket.SOCK_DGRAM)) as probe:
            # For a broadcast VIP, the error is to come from the TCP connect, not from here.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            probe.connect((vip, port))
            return str(probe.getsockname()[0])

    async def _ask_for_page(self, connection: trio.socket.SocketType, vip: str) -> Outcome:
        settings = self._depot.probing.settings
        host = f"[{vip}]" if ":" in vip else vip
        await connection.send(f"GET {settings.path} HTTP/1.0\r\nHost: {host}\r\nUser-Agent: atmdepot\r\n\r\n".encode())
        answer = b""
        while b"\r\n" not in answer and len(answer) < _MAX_ANSWER:
            received = await connection.recv(_MAX_ANSWER)
            if not received:
                break
            answer += received
        return Outcome.ANSWERED if answer.split()[1:2] == [str(settings.status).encode()] else Outcome.WRONG

    def _answers_tcp(self, server: Server) -> bool:
        """False for a server of services for UDP alone: an unanswered connection would say nothing of it."""
        offered = [service.offered for service in self._depot.network.services.values()
                   if server.name in service.servers]
        return not offered or any("tcp" in protocols for protocols in offered)

    def _service_of(self, server: Server) -> tuple[str, int]:
        """The VIP and port to probe: of the first service with TCP that the server is in."""
        for service in self._depot.network.services.values():
            if server.name in service.servers and "tcp" in service.offered:
                return str(service.vip[0]), (service.ports or [_DEFAULT_PORT])[0]
        return str(self._depot.network.vips[0]), _DEFAULT_PORT


async def _pause(server: Server, seconds: float) -> None:
    """Wait for the next probe; a server that refused a session is probed again at once."""
    condition, token = server.condition, trio.lowlevel.current_trio_token()
    try:
        with trio.move_on_after(seconds):
            while not (condition.suspect and condition.alive):
                refused = trio.Event()
                # The data path calls from outside trio's loop.
                condition.on_suspicion = partial(token.run_sync_soon, refused.set)
                await refused.wait()
    finally:
        condition.on_suspicion = None
