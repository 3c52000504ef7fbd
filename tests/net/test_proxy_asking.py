"""Questions to a proxy that answers, lies, talks without end, is slow or silent: each is counted, none is trusted."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import trio
from msgspec.structs import replace

from atmdepot.edge.node import EdgeNode
from atmdepot.net.prober import Prober
from atmdepot.net.proxy_asking import ask_proxy
from atmdepot.net.reporter import Reporter
from atmdepot.node.proxy_counts import ProxyCounts
from tests.depot.servers import make_servers
from tests.network_in_memory import InMemoryNetwork, make_network

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


def page(requests: int, hits: int) -> bytes:
    return HEAD + (f"client_http.requests = {requests}\nclient_http.hits = {hits}\nserver.all.requests = 0\n"
                   "server.all.kbytes_in = 0\n").encode()


@asynccontextmanager
async def answering(*parts: bytes, pause: float = 0.0) -> AsyncIterator[Any]:
    left = list(parts)

    async def recv(_: int) -> bytes:
        await trio.sleep(pause)
        return left.pop(0) if left else b""

    async def send(_: bytes) -> int:
        await trio.lowlevel.checkpoint()
        return len(_)

    yield SimpleNamespace(send=send, recv=recv)


@asynccontextmanager
async def refusing() -> AsyncIterator[Any]:
    raise ConnectionRefusedError
    yield


async def ask(counts: ProxyCounts, *connections: Any) -> None:
    for connected in connections:
        await ask_proxy(counts, "proxy1", "10.80.0.1", 3128, connected)


async def test_answers_are_counted_in_whatever_parts_they_come() -> None:
    counts = ProxyCounts()
    await ask(counts, answering(page(3, 1)), answering(*(bytes((octet,)) for octet in page(9, 2))))
    assert counts.figures() == (5, 1, 0, 0, 0)


@pytest.mark.parametrize(("parts", "reason"), [
    ((b"HTTP/1.1 403 Forbidden\r\n\r\n",), "refused"), ((page(1, 2),), "untrue"), ((HEAD,), "malformed"),
    ([page(1, 0)] + [bytes(10_000)] * 1000, "too-long"), ((b"",), "refused")])
async def test_bad_answers_are_counted_and_told_once(
        parts: Iterable[bytes], reason: str, caplog: pytest.LogCaptureFixture) -> None:
    counts = ProxyCounts()
    with caplog.at_level(logging.WARNING, "atmdepot"):
        await ask(counts, answering(*parts), answering(*parts))
    assert counts.unread == {reason: 2}
    assert len(caplog.records) == 1
    assert counts.figures() == (0, 0, 0, 0, 2)


async def test_an_answer_that_takes_its_time_is_late(autojump_clock: trio.testing.MockClock) -> None:
    counts = ProxyCounts()
    await ask(counts, answering(*(b"x",) * 100, pause=0.1))
    assert counts.unread == {"late": 1}


async def test_a_proxy_that_cannot_be_reached_is_no_bad_answer_and_no_question() -> None:
    counts = ProxyCounts()
    await ask(counts, answering(page(5, 0)), refusing(), refusing(), answering(page(8, 0)))
    assert counts.figures() == (2, 0, 0, 0, 0)


async def test_an_edge_node_asks_its_proxy_and_reports_what_it_told(autojump_clock: trio.testing.MockClock) -> None:
    network = make_network()
    network.services["web"] = replace(network.services["web"], proxies=True)
    net = InMemoryNetwork(network)
    pump: Any = SimpleNamespace(clock=lambda: int(trio.current_time() * 1e9), write_out=lambda now: None)
    answers = [page(3, 1), page(9, 2), page(9, 10)]

    class Asking(Reporter):
        def _connected(self, target: tuple[str, int]) -> Any:
            assert target == ("10.80.0.1", 80)
            return answering(answers.pop(0)) if answers else refusing()

    reporter = Asking(net.edges["web1"], pump)
    reporter._target = None
    with trio.move_on_after(4.5):
        await reporter.run()
    net.settle()
    server = net.depot.management.servers["web1"]
    assert server.proxy == (5, 1, 0, 0, 1)
    assert net.edges["web1"].proxy is not None
    assert net.edges["web1"].proxy.unread == {"untrue": 1}
    assert net.depot.management.servers["web2"].proxy is None, "it has sent no report"


async def test_a_web_server_is_not_asked(autojump_clock: trio.testing.MockClock) -> None:
    node = EdgeNode(make_network(), "web1")
    pump: Any = SimpleNamespace(clock=lambda: 0, write_out=lambda now: None)
    reporter = Reporter(node, pump)
    reporter._connected = lambda target: refusing()  # type: ignore[method-assign]
    with trio.move_on_after(2.5):
        await reporter.run()
    assert node.proxy is None


async def test_the_depot_asks_a_proxy_that_stands_alone_while_it_is_alive(
        autojump_clock: trio.testing.MockClock) -> None:
    alone, dead, behind = make_servers({"bearer": "ethernet"}, {"bearer": "ethernet"}, {})
    dead.condition.path_changed("gone", 0)
    asked = []
    depot: Any = SimpleNamespace(
        network=SimpleNamespace(services={"proxy": SimpleNamespace(
            proxies=True, vip=["10.80.0.1"], ports=[3128], servers=[server.name for server in (alone, dead, behind)])}),
        management=SimpleNamespace(servers={server.name: server for server in (alone, dead, behind)}))

    class Asking(Prober):
        def _connected(self, server: Any, vip: str, port: int) -> Any:
            asked.append((server.name, vip, port))
            return answering(page(10 * len(asked), 5))

    prober = Asking(depot, SimpleNamespace())  # type: ignore[arg-type]
    with trio.move_on_after(2.5):
        await prober._ask_proxies()
    assert asked == [(alone.name, "10.80.0.1", 3128)] * 3
    assert alone.proxy == (18, 0, 0, 0, 0)
    assert dead.proxy is behind.proxy is None
