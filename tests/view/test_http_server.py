"""Connections to the page: hostile ones are answered or hung up on, and keep nobody out."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio

pytest.importorskip("hypercorn")

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from atmdepot.view import http_server
from atmdepot.view.http_server import MOST_CONNECTIONS, MOST_HEAD, PATIENCE, PageServer, _Impatient
from atmdepot.view.telling import Teller, TickStream
from atmdepot.view.ticks import Tick

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GET = b"GET / HTTP/1.1\r\nHost: a\r\n"


class Site:
    """A page on a port of loopback."""

    def __init__(self, bound: socket.socket) -> None:
        self.port = bound.getsockname()[1]
        self.teller = Teller(list)
        self.server = PageServer(Starlette(routes=[
            Route("/", lambda _: PlainTextResponse("here")), Route("/stream", lambda _: TickStream(self.teller, {}))]))

    async def connect(self, stack: AsyncExitStack) -> trio.SocketStream:
        return await stack.enter_async_context(await trio.open_tcp_stream("127.0.0.1", self.port))

    async def said(self, octets: bytes) -> bytes:
        """The beginning of the answer to octets; empty when it hangs up without one."""
        async with AsyncExitStack() as stack:
            stream = await self.connect(stack)
            await stream.send_all(octets)
            return bytes(await stream.receive_some())


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    bound = socket.create_server(("127.0.0.1", 0))
    made = Site(bound)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made.server.run, bound)
            yield made
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("octets", "status"), [
    (GET + b"\r\n", 200), (b"GET /" + b"a" * MOST_HEAD, 431),
    (GET + b"X: " + b"a" * MOST_HEAD, 431), (GET + b"X: a\r\n" * (MOST_HEAD // 6), 431), (b"\0" * 100, 400),
    (b"GET / HTTP/1.1\r\n\r\n", 400), (GET + b"Host: b\r\n\r\n", 400), (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400)])
async def test_hostile_heads_are_answered(site: Site, octets: bytes, status: int) -> None:
    assert (await site.said(octets)).startswith(f"HTTP/1.1 {status} ".encode())


async def test_a_fault_in_a_connection_ends_no_other_and_is_logged_once(
        site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise ValueError("such octets were not thought of")

    with monkeypatch.context() as patched:
        patched.setattr(http_server, "TCPServer", fail)
        assert [await site.said(b"") for _ in range(3)] == [b""] * 3
    assert len([record for record in caplog.records if record.name == "atmdepot.view"]) == 1
    assert b" 200 " in await site.said(GET + b"\r\n")


async def test_silent_connections_keep_nobody_out_and_streams_of_ticks_stay(site: Site) -> None:
    async with AsyncExitStack() as stack:
        stream = await site.connect(stack)
        await stream.send_all(GET.replace(b"/ ", b"/stream ") + b"\r\n")
        told = b""
        while b"event: history" not in told:
            told += await stream.receive_some()
        silent = [await site.connect(stack) for _ in range(MOST_CONNECTIONS + 8)]
        assert b" 200 " in await site.said(GET + b"\r\n")
        for one in silent[:8]:
            assert await one.receive_some() == b"", "the oldest are given up"
        await site.teller.end()
        while told and b"event: end" not in told:
            told = await stream.receive_some()
        assert told


async def test_a_tick_while_the_view_ends_is_told_to_nobody() -> None:
    teller, (reader, _) = Teller(list), trio.open_memory_channel[bytes](1)
    teller.readers.add(reader)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(teller.end)
        await trio.testing.wait_all_tasks_blocked()
        teller.tell(Tick(1, 0, {}, {}, {}, {}, [], 0, [], 0))
        teller.leave(reader)


async def test_a_browser_that_takes_nothing_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    class Stuck:
        socket = receive_some = send_eof = aclose = None

        async def send_all(self, _: bytes) -> None:
            await trio.sleep_forever()

    began = trio.current_time()
    with pytest.raises(trio.BrokenResourceError):
        await _Impatient(cast("Any", Stuck())).send_all(b"x")
    assert trio.current_time() - began == PATIENCE
