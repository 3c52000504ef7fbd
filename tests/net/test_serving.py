"""Connections to a daemon's own sockets are bounded, whoever holds them and whatever the kernel refuses."""

from __future__ import annotations

import os
import socket
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
import trio

from atmdepot.net.serving import MAX_CONNECTIONS, BoundedServer
from tests.net.controlled import Controlled, running
from tests.net.nodes import DEPOT
from tests.net.test_asking import no_descriptors_left

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def it(short_dir: Path) -> AsyncIterator[Controlled]:
    async for made in running(short_dir):
        yield made


async def idle_ones(it: Controlled, stack: AsyncExitStack, count: int) -> list[trio.SocketStream]:
    """Connections that say nothing."""
    made = []
    for _ in range(count):
        made.append(await stack.enter_async_context(await trio.open_unix_socket(it.path)))
        await trio.testing.wait_all_tasks_blocked(0.001)
    return made


async def test_idle_connections_keep_nobody_out_and_the_oldest_are_given_up(it: Controlled) -> None:
    async with AsyncExitStack() as stack:
        idle = await idle_ones(it, stack, 67)
        assert await it.show("servers")
        assert len(it.servers[DEPOT]._open) <= MAX_CONNECTIONS
        with trio.fail_after(5):
            for stream in idle[:67 - MAX_CONNECTIONS]:
                assert await stream.receive_some() == b"", "it was disconnected"


async def test_traces_are_not_given_up_for_idle_connections(it: Controlled) -> None:
    async with AsyncExitStack() as stack:
        trace = await stack.enter_async_context(await trio.open_unix_socket(it.path))
        await trace.send_all(b'{"trace": {}}\n')
        assert b"tracing" in await trace.receive_some()
        await idle_ones(it, stack, 3 * MAX_CONNECTIONS)
        with trio.fail_after(5):
            assert await trace.receive_some(), "its watermarks go on"


async def test_without_descriptors_it_goes_on_and_logs_it_once(
        it: Controlled, caplog: pytest.LogCaptureFixture) -> None:
    async with AsyncExitStack() as stack:
        await idle_ones(it, stack, 3)
        waiting = await trio.open_unix_socket(it.path)
        await trio.testing.wait_all_tasks_blocked(0.001)
        with no_descriptors_left():
            await waiting.aclose()
            one = os.open(os.devnull, os.O_RDONLY)
            os.close(one)
            waiting = await trio.open_unix_socket(it.path)  # the last descriptor there was
            await stack.enter_async_context(waiting)
            await trio.sleep(0.35)
        assert len([record for record in caplog.records if "cannot be taken" in record.message]) == 1
        await waiting.send_all(b'{"show": "servers"}\n')
        with trio.fail_after(5):
            assert b"rows" in await waiting.receive_some(100_000)
        assert await it.show("servers")


async def test_a_fault_on_a_connection_ends_that_connection_alone_and_is_logged_once(
        caplog: pytest.LogCaptureFixture) -> None:
    async def answer(stream: trio.SocketStream) -> None:
        if await stream.receive_some(1) == b"!":
            raise RuntimeError("a fault of ours")
        await stream.send_all(b"well")
        await stream.aclose()

    server = BoundedServer()
    with socket.create_server(("127.0.0.1", 0)) as bound:
        bound.setblocking(False)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.serve, bound, answer)
            for said, told in ((b"!", b""), (b"!", b""), (b"?", b"well")):
                async with await trio.open_tcp_stream("127.0.0.1", bound.getsockname()[1]) as stream:
                    await stream.send_all(said)
                    assert await stream.receive_some(9) == told
            nursery.cancel_scope.cancel()
    assert [record.message for record in caplog.records] == ["a connection was hung up on"]
