"""The pages over HTTP, and clients that are slow, many, or speak something else."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.config.units import TcpAddress
from atmdepot.depot.role import Role
from atmdepot.errors import EnvironmentLacks
from atmdepot.net import status as module
from atmdepot.net.serving import BoundedServer
from atmdepot.net.status import StatusServer
from atmdepot.wire.statistics import ServerState
from tests.net.ends import fresh, pair_of
from tests.net.nodes import DEPOT, WEB1, Nodes, network

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from atmdepot.net.pump import Pump

GET = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    made = Nodes(network())
    yield made
    made.close()


@asynccontextmanager
async def serving(pump: Pump) -> AsyncIterator[TcpAddress]:
    address = TcpAddress(fresh())
    server = StatusServer(address, pump)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.run)
            yield address
            nursery.cancel_scope.cancel()
    finally:
        server.close()


async def ask(address: TcpAddress, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body; the connection has been closed after them."""
    with trio.fail_after(20):
        async with await trio.open_tcp_stream(*pair_of(address)) as stream:
            await stream.send_all(request)
            answer = b"".join([part async for part in stream])
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.lower().split(": ", 1) for line in lines), body


async def test_the_three_pages(nodes: Nodes) -> None:
    pump: Any = nodes.pumps[WEB1]
    async with serving(pump) as address:
        status, headers, body = await ask(address, GET % b"/metrics")
        assert status == 200
        assert headers["content-type"].startswith("text/plain; version=")
        assert b'atmdepot_link_cells_total{direction="rx",link="to-web1",network="loop",node="web1"} 0.0\n' in body
        assert b"process_resident_memory_bytes" in body
        assert (await ask(address, GET % b"/healthz"))[::2] == (200, b"alive\n")
        assert (await ask(address, GET % b"/readyz"))[::2] == (503, b"the server has not been tried yet\n")
        pump.node.send_statistics(ServerState.ACCEPTS, 0.0, 2, 0, pump.clock())
        assert (await ask(address, GET % b"/readyz?verbose"))[::2] == (200, b"ready\n")


async def test_readiness_in_a_role_is_for_depots(nodes: Nodes) -> None:
    depot: Any = nodes.pumps[DEPOT].node
    async with serving(nodes.pumps[DEPOT]) as address:
        plain = await ask(address, GET % b"/readyz")
        assert (await ask(address, GET % b"/readyz?role=active"))[::2] == plain[::2]  # a lone depot
        depot.roles.role = Role.STANDBY
        assert (await ask(address, GET % b"/readyz?role=active"))[::2] == (503, b"depot is standby, not active\n")
        assert (await ask(address, GET % b"/readyz"))[::2] == plain[::2]
        assert (await ask(address, GET % b"/readyz?role=king"))[::2] == (400, b"write role=active\n")
    async with serving(nodes.pumps[WEB1]) as address:
        assert (await ask(address, GET % b"/readyz?role=active"))[::2] == (
            503, b"web1 is no depot and never active\n")


@pytest.mark.parametrize(("request_", "status"), [
    (GET % b"/", 404), (GET % b"/metrics/", 404), (GET.replace(b"GET", b"POST") % b"/metrics", 405),
    (GET.replace(b"HTTP/1.1", b"HTTP/1.0") % b"/healthz", 200), (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400), (b"what is this?\r\n\r\n", 400),
    (b"GET /" + b"a" * 9000, 431), (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 2000, 431),
])
async def test_each_other_request_gets_its_status(nodes: Nodes, request_: bytes, status: int) -> None:
    async with serving(nodes.pumps[DEPOT]) as address:
        got, headers, body = await ask(address, request_)
        assert got == status
        assert int(headers["content-length"]) == len(body) > 0
        assert headers["connection"] == "close"


async def test_head_is_answered_without_a_body(nodes: Nodes) -> None:
    async with serving(nodes.pumps[DEPOT]) as address:
        status, headers, body = await ask(address, GET.replace(b"GET", b"HEAD") % b"/metrics")
        assert (status, body) == (200, b"")
        assert int(headers["content-length"]) > 1000


async def test_one_request_is_answered_on_a_connection(nodes: Nodes) -> None:
    async with serving(nodes.pumps[DEPOT]) as address:
        assert (await ask(address, GET % b"/healthz" * 2))[2] == b"alive\n"


async def test_a_page_of_metrics_serves_all_who_ask_meanwhile(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    pump = nodes.pumps[DEPOT]
    now = 10**12
    monkeypatch.setattr(pump, "_other_clock", lambda: now)
    async with serving(pump) as address:
        async def packets() -> bytes:
            _, _, body = await ask(address, GET % b"/metrics")
            return next(line for line in body.splitlines() if line.startswith(b'atmdepot_tun_packets_total{'))

        first = await packets()
        pump.node.rx_packets += 7
        assert await packets() == first
        now += 250_000_000
        assert (await packets()).endswith(b" 7.0")


async def test_a_slow_client_is_given_up(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    async with serving(nodes.pumps[DEPOT]) as address:
        with trio.fail_after(20):
            async with await trio.open_tcp_stream(*pair_of(address)) as stream:
                await stream.send_all(b"GET /metrics HTTP/1.1\r\nHo")
                assert await stream.receive_some() == b""


async def test_many_who_say_nothing_do_not_keep_out_the_next(nodes: Nodes) -> None:
    async with serving(nodes.pumps[DEPOT]) as address:
        idle = [await trio.open_tcp_stream(*pair_of(address)) for _ in range(3 * 16)]
        assert (await ask(address, GET % b"/healthz"))[0] == 200
        with trio.fail_after(20):
            for stream in idle[:2 * 16]:
                assert await stream.receive_some() == b""  # given up for those after it
        for stream in idle:
            await stream.aclose()


class WithoutNode(StatusServer):
    """A server whose page of metrics is never made anew, since it has no node to ask."""

    async def _freshen(self) -> None:
        pass


@given(octets=st.one_of(st.binary(max_size=200), st.builds(
    lambda method, target, version, rest: b" ".join((method, target, version)) + b"\r\n" + rest + b"\r\n\r\n",
    st.sampled_from([b"GET", b"HEAD", b"POST", b"CONNECT", b"\xff"]), st.binary(max_size=20),
    st.sampled_from([b"HTTP/1.0", b"HTTP/1.1", b"HTTP/2"]),
    st.sampled_from([b"Host: x", b"Expect: 100-continue\r\nHost: x", b"Upgrade: h2c\r\nHost: x",
                     b"Content-Length: 10\r\nHost: x", b"Content-Length: x",
                     b"Transfer-Encoding: chunked\r\nHost: x"]))))
def test_nothing_that_is_sent_ends_the_server(octets: bytes) -> None:
    async def main() -> None:
        server = object.__new__(WithoutNode)
        BoundedServer.__init__(server)
        server._pages = {b"/x": lambda: (200, "text/plain", b"y")}
        ours, theirs = trio.testing.memory_stream_pair()
        await theirs.send_all(octets)
        await theirs.send_eof()
        await server._serve(ours)  # type: ignore[arg-type]
        assert server._open == []
        answer = await theirs.receive_some()
        assert answer == b"" or answer.startswith(b"HTTP/1.1 ")

    trio.run(main)


def test_an_address_that_cannot_be_had(nodes: Nodes) -> None:
    address = TcpAddress(fresh())
    StatusServer(address, nodes.pumps[DEPOT]).close()
    first = StatusServer(address, nodes.pumps[DEPOT])
    with pytest.raises(EnvironmentLacks, match=f"cannot be had at {address}: Address already in use"):
        StatusServer(address, nodes.pumps[DEPOT])
    first.close()
    for wrong in ("192.0.2.1:9464", "no.such.host.invalid:9464"):
        with pytest.raises(EnvironmentLacks, match="give another address with --metrics"):
            StatusServer(TcpAddress(wrong), nodes.pumps[DEPOT])
