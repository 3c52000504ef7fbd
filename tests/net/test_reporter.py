"""The reporter: a report each second, and what it says of the server."""

from __future__ import annotations

import socket
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from atmdepot.edge.node import EdgeNode
from atmdepot.net import reporter as module
from atmdepot.net.reporter import Reporter
from atmdepot.wire.statistics import ServerState
from tests.network_in_memory import InMemoryNetwork, make_network


def reporter_of(node: EdgeNode, write_out: Any = lambda now: None) -> Reporter:
    pump: Any = SimpleNamespace(clock=lambda: int(trio.current_time() * 1e9), write_out=write_out)
    return Reporter(node, pump)


def test_it_asks_at_the_vip_of_the_service_of_its_own_server() -> None:
    network = make_network(tables='[services.other]\nvip = ["10.80.0.9"]\nports = [8080]\nservers = ["web2"]')
    network.services["web"].servers = ["web1"]
    assert [reporter_of(EdgeNode(network, name))._target for name in ("web1", "web2")] == [
        ("10.80.0.1", 80), ("10.80.0.9", 8080)]
    network.services["other"].servers = ["web1"]
    assert reporter_of(EdgeNode(network, "web2"))._target is None


async def test_the_outcome_of_a_try_is_told() -> None:
    reporter = reporter_of(EdgeNode(make_network(), "web1"))
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        reporter._target = "127.0.0.1", server.getsockname()[1]
        assert await reporter._try_server() == (ServerState.REFUSES, 0)
        server.listen()
        state, taken = await reporter._try_server()
        assert state is ServerState.ACCEPTS
        assert 0 < taken < 10**9
    reporter._target = "255.255.255.255", 80
    assert (await reporter._try_server())[0] is ServerState.SILENT
    reporter._target = None
    assert await reporter._try_server() == (ServerState.UNKNOWN, 0)


async def test_server_that_does_not_answer_in_time_is_silent(
        autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        async def connect(self, address: object) -> None:
            await trio.sleep_forever()

    monkeypatch.setattr(module.trio.socket, "socket", lambda *kind: nullcontext(Silent()))
    monkeypatch.setattr(module.time, "monotonic_ns", lambda: int(trio.current_time() * 1e9))
    state, waited = await reporter_of(EdgeNode(make_network(), "web1"))._try_server()
    assert state is ServerState.SILENT
    assert waited / 1e9 == pytest.approx(0.8)


async def test_report_leaves_each_second_and_the_depot_understands_it(
        autojump_clock: trio.testing.MockClock) -> None:
    net = InMemoryNetwork()
    written = []
    start = trio.current_time()
    reporter = reporter_of(net.edges["web1"], lambda now: written.append(round(trio.current_time() - start)))
    reporter._target = None
    with trio.move_on_after(3.5):
        await reporter.run()
    assert written == [0, 1, 2, 3]
    net.settle()
    condition = net.depot.management.servers["web1"].condition
    assert condition.last_report is not None
    assert (condition.last_report.sequence, condition.last_report.server) == (4, ServerState.UNKNOWN)
    assert condition.last_report.cores >= 1


async def test_reload_may_change_where_it_asks(autojump_clock: trio.testing.MockClock) -> None:
    network = make_network()
    node = EdgeNode(network, "web1")
    asked = []

    class Noting(Reporter):
        async def _try_server(self) -> tuple[ServerState, int]:
            asked.append(self._target)
            return ServerState.UNKNOWN, 0

    pump: Any = SimpleNamespace(clock=lambda: 0, write_out=lambda now: None)
    with trio.move_on_after(2.5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Noting(node, pump).run)
            await trio.sleep(0.5)
            service = replace(network.services["web"], ports=[8080])
            node.reconfigure(replace(network, services={"web": service}), 0)
    assert asked == [("10.80.0.1", 80), ("10.80.0.1", 8080), ("10.80.0.1", 8080)]
