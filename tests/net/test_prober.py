"""Probes against real sockets of this machine, and the prober's rhythm on a clock that jumps."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import trio

from atmdepot.config.pools import Probing
from atmdepot.config.units import Duration
from atmdepot.depot.servers import Fault, Outcome
from atmdepot.net.prober import Prober
from atmdepot.wire.flows import flow_of_key
from atmdepot.wire.statistics import ServerState, Statistics
from tests.depot.servers import make_servers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from atmdepot.depot.servers import Server

SECOND = 10**9
LONG = Duration(20 * SECOND)


def prober_of(servers: list[Server], port: int, vip: str = "127.0.0.1", **settings: Any) -> tuple[Prober, Any]:
    """A prober whose depot has these servers behind one service, and that depot."""
    depot = SimpleNamespace(
        network=SimpleNamespace(
            services={"web": SimpleNamespace(vip=[vip], ports=[port], servers=[server.name for server in servers],
                                             offered=("tcp",), proxies=False)},
            vips=[vip]),
        management=SimpleNamespace(servers={server.name: server for server in servers}),
        probing=SimpleNamespace(settings=Probing(**settings)), probes={})
    pump: Any = SimpleNamespace(clock=lambda: int(trio.current_time() * 1e9))
    return Prober(depot, pump), depot


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of the loopback that is taken and refuses."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@asynccontextmanager
async def listening(answer: Callable[[trio.SocketStream], Awaitable[None]], host: str) -> AsyncIterator[int]:
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host=host)
        nursery.start_soon(trio.serve_listeners, answer, [listener])
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


class Watched(dict[Any, Any]):
    """The depot's probes, with a note of each that there was."""

    def __init__(self) -> None:
        self.noted: list[Any] = []

    def __setitem__(self, key: Any, value: Any) -> None:
        self.noted.append((key, value))
        super().__setitem__(key, value)


async def let_go(stream: trio.SocketStream) -> None:
    await stream.aclose()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_connect_is_an_answer_and_its_flow_is_the_depots_while_it_lasts(host: str) -> None:
    async with listening(let_go, host) as port:
        (server,) = make_servers({})
        prober, depot = prober_of([server], port, host, timeout=LONG)
        depot.probes = Watched()
        assert await prober._probe(server) is Outcome.ANSWERED
        packed = socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
        (key, given), = depot.probes.noted
        protocol, source, own_port, destination, asked = flow_of_key(key)
        assert (protocol, source, destination, asked, given) == (6, packed, packed, port, server)
        assert own_port
        assert depot.probes == {}


async def test_port_that_refuses_is_told_from_silence_and_the_flow_is_free_again(closed_port: int) -> None:
    (server,) = make_servers({})
    prober, depot = prober_of([server], closed_port, timeout=LONG)
    depot.probes = Watched()
    assert await prober._probe(server) is Outcome.REFUSED
    assert len(depot.probes.noted) == 1
    assert depot.probes == {}


@pytest.mark.parametrize(("answer", "outcome"), [
    (b"HTTP/1.1 200 OK\r\n", Outcome.ANSWERED), (b"HTTP/1.0 200\r\n\r\n", Outcome.ANSWERED),
    (b"HTTP/1.1 503 No\r\n", Outcome.WRONG), (b"HTTP/1.1 2000 OK\r\n", Outcome.WRONG), (b"", Outcome.WRONG),
    (b"SSH-2.0-x\r\n", Outcome.WRONG), (b"x" * 5000, Outcome.WRONG)])
async def test_page_is_asked_for_and_its_status_decides(answer: bytes, outcome: Outcome) -> None:
    requests = []

    async def serve(stream: trio.SocketStream) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += await stream.receive_some()
        requests.append(request)
        try:
            for at in range(0, len(answer), 1000):
                await stream.send_all(answer[at:at + 1000])
            await stream.aclose()
        except trio.BrokenResourceError:
            pass  # the prober has read enough

    async with listening(serve, "127.0.0.1") as port:
        (server,) = make_servers({})
        prober, _ = prober_of([server], port, timeout=LONG, probe="http", path="/health")
        assert await prober._probe(server) is outcome
        assert requests[0].startswith(b"GET /health HTTP/1.0\r\nHost: 127.0.0.1\r\n")


async def test_server_that_accepts_and_says_nothing_is_silent() -> None:
    async def hold(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with listening(hold, "127.0.0.1") as port:
        (server,) = make_servers({})
        prober, depot = prober_of([server], port, timeout=Duration(50_000_000), probe="http")
        assert await prober._probe(server) is Outcome.SILENT
        assert depot.probes == {}


async def test_probe_that_began_before_the_server_came_back_is_no_failure() -> None:
    (server,) = make_servers({})
    prober, _ = prober_of([server], 80, fall=1)
    clock = prober._pump.clock

    async def comes_back_meanwhile(_: Server) -> Outcome:
        server.condition.probed(Outcome.REFUSED, Probing(fall=1), clock())
        server.condition.probed(Outcome.ANSWERED, Probing(rise=1), clock())
        nursery.cancel_scope.cancel()
        return Outcome.SILENT

    prober._probe = comes_back_meanwhile  # type: ignore[method-assign]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(prober.run)
    assert server.condition.recovered
    assert server.alive


async def test_service_without_a_route_is_silence(closed_port: int) -> None:
    (server,) = make_servers({})
    prober, _ = prober_of([server], closed_port, "255.255.255.255")
    assert await prober._probe(server) is Outcome.SILENT


# The rhythm.


class Rhythm(Prober):
    """A prober whose probes end as told, and that notes when it began each."""

    def __init__(self, servers: list[Server], **settings: Any) -> None:
        made, self.depot = prober_of(servers, 80, **settings)
        super().__init__(made._depot, made._pump)
        self.probed: list[tuple[str, float]] = []
        self.outcome = Outcome.ANSWERED
        self.start = trio.current_time()

    async def _probe(self, server: Server) -> Outcome:
        self.probed.append((server.name, round(trio.current_time() - self.start, 1)))
        return self.outcome

    async def during(self, seconds: float) -> list[tuple[str, float]]:
        """The probes of that time."""
        self.probed.clear()
        self.start = trio.current_time()
        with trio.move_on_after(seconds):
            await self.run()
        return self.probed


async def test_each_server_is_probed_each_interval(autojump_clock: trio.testing.MockClock) -> None:
    rhythm = Rhythm(make_servers({}, {}), interval=Duration(2 * SECOND))
    assert sorted(await rhythm.during(5)) == [(name, at) for name in ("web1", "web2") for at in (0, 2, 4)]


async def test_without_probing_only_the_dead_and_the_suspect_are_asked(
        autojump_clock: trio.testing.MockClock) -> None:
    servers = make_servers({}, {})
    rhythm = Rhythm(servers, probe="none", rise=2)
    assert await rhythm.during(5) == []
    servers[0].condition.probed(Outcome.REFUSED, Probing(fall=1), 0)
    assert await rhythm.during(9.5) == [("web1", 0), ("web1", 1)], "it is polled until it answers, and no longer"
    assert servers[0].alive


async def test_suspect_is_asked_at_once_until_there_is_a_verdict(autojump_clock: trio.testing.MockClock) -> None:
    servers = make_servers({})
    rhythm = Rhythm(servers, interval=LONG, fall=3)
    rhythm.outcome = Outcome.REFUSED

    async def refuse() -> None:
        await trio.sleep(5)
        servers[0].condition.refused()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(refuse)
        assert await rhythm.during(10) == [("web1", 0), ("web1", 5.0), ("web1", 5.0)]
    assert not servers[0].alive


async def test_servers_of_a_changed_table_are_taken_up_and_left(autojump_clock: trio.testing.MockClock) -> None:
    one, two = make_servers({}, {})
    rhythm = Rhythm([one])

    async def change() -> None:
        await trio.sleep(2.5)
        rhythm.depot.management.servers = {"web2": two}

    async with trio.open_nursery() as nursery:
        nursery.start_soon(change)
        assert await rhythm.during(5.5) == [
            ("web1", 0), ("web1", 1), ("web1", 2), ("web2", 3), ("web2", 4), ("web2", 5)]


async def test_server_of_udp_alone_is_not_asked_by_tcp(autojump_clock: trio.testing.MockClock) -> None:
    """Else a silence of its link would take it down for good: no connection to it is ever answered."""
    servers = make_servers({})
    rhythm = Rhythm(servers, probe="none", fall=1)
    rhythm.outcome = Outcome.SILENT
    condition = servers[0].condition
    condition.reported_at = 0
    condition.check_statistics(Probing(), 3 * SECOND)
    assert await rhythm.during(5) == [("web1", at) for at in range(5)], "of TCP, it is polled"
    assert set(condition.faults) == {Fault.STATISTICS, Fault.PROBE}
    rhythm.depot.network.services["web"].offered = ("udp",)
    condition.suspect = True
    assert await rhythm.during(5) == []
    assert set(condition.faults) == {Fault.STATISTICS}
    assert not condition.suspect
    condition.report(Statistics(ServerState.UNKNOWN, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0), 9 * SECOND)
    assert condition.alive
