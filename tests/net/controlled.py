"""A network that runs in this process, and the control sockets of its daemons."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import trio

from atmdepot.net.control import ControlServer
from atmdepot.net.control_client import show
from tests.net.nodes import DEPOT, WEB1, Connection, Nodes, network

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Controlled:
    """A network that runs, and the depot's and web1's control sockets."""

    def __init__(self, nodes: Nodes, directory: Path) -> None:
        self.nodes = nodes
        self.servers = {name: ControlServer(directory / "loop" / f"{name}.sock", nodes.pumps[name])
                        for name in (DEPOT, WEB1)}
        self.path = self.servers[DEPOT].path

    async def show(self, subject: str, node: str = DEPOT, **options: int) -> list[dict[str, Any]]:
        return await trio.to_thread.run_sync(lambda: show(self.servers[node].path, subject, **options))

    async def raw(self, *sent: bytes, node: str = DEPOT) -> list[dict[str, Any]]:
        """Send octets and return the lines of the answer."""
        async with await trio.open_unix_socket(self.servers[node].path) as stream:
            for octets in sent:
                await stream.send_all(octets)
            return await lines(stream)


async def lines(stream: trio.SocketStream) -> list[dict[str, Any]]:
    text = b""
    try:
        async for part in stream:
            text += part
    except trio.BrokenResourceError:
        pass  # it closed with octets of ours unread
    return [json.loads(line) for line in text.splitlines()]


async def next_line(stream: trio.SocketStream) -> dict[str, Any]:
    text = b""
    with trio.fail_after(20):
        while not text.endswith(b"\n"):
            text += await stream.receive_some(1)
    return json.loads(text)


async def running(short_dir: Path, **settings: str) -> AsyncIterator[Controlled]:
    nodes = Nodes(network(**settings))
    it = Controlled(nodes, short_dir)
    async with trio.open_nursery() as nursery:
        nodes.start(nursery)
        for server in it.servers.values():
            nursery.start_soon(server.run)
        yield it
        nursery.cancel_scope.cancel()
    for server in it.servers.values():
        server.close()
    nodes.close()


async def handshake(it: Controlled, port: int = 40_000) -> Connection:
    """Open a session to web1."""
    talk = Connection(port)
    for here, there, packet in ((DEPOT, WEB1, talk.syn), (WEB1, DEPOT, talk.syn_ack), (DEPOT, WEB1, talk.ack)):
        it.nodes.put(here, packet)
        await it.nodes.get(there)
    return talk
