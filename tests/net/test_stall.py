"""After the process stood still, what was received counts before what is due, and nobody was silent meanwhile."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from atmdepot.depot.forwarding import Depot
from atmdepot.edge.node import EdgeNode
from atmdepot.net.kinds import make_node
from atmdepot.net.ports import open_port
from atmdepot.net.pump import Pump
from atmdepot.net.tun import SocketTun
from atmdepot.wire.statistics import ServerState
from tests.net.ends import Plain, wait_readable
from tests.net.nodes import DEPOT, WEB1, WEB2, network

if TYPE_CHECKING:
    from collections.abc import Iterator

SECOND = 1_000_000_000
IDLE = bytes.fromhex("0000000152") + b"\x6a" * 48


class Site:
    """A depot's pump with a clock of the test's own; edge nodes report from plain sockets."""

    def __init__(self) -> None:
        table = network()
        self.now = time.monotonic_ns()
        node = make_node(table, DEPOT, self.now)
        assert isinstance(node, Depot)
        self.depot = node
        self._stack = ExitStack()
        links = {link: open_port(table, link, node) for link in node.links}
        self.pump = Pump(node, links, SocketTun(), clock=lambda: self.now)
        self.edges = {name: EdgeNode(table, name) for name in (WEB1, WEB2)}
        self.far = {}
        for name in self.edges:
            ends = table.links[f"to-{name}"].ends
            self.far[name] = Plain(ends[name], ends[DEPOT])
        for opened in (self.pump.tun, self.pump, *links.values(), *self.far.values()):
            self._stack.callback(opened.close)
        self.pump.start()

    def report(self, name: str, count: int = 1) -> None:
        """Send reports, and wait until the last of them can be read."""
        for _ in range(count):
            self.edges[name].send_statistics(ServerState.ACCEPTS, 0.0, 1, 0, self.now)
            self.far[name].send(self.edges[name].link.transmit(0))
        wait_readable(self.pump.links[f"to-{name}"].fileno())

    def run(self, nanoseconds: int) -> None:
        """Let time pass, in turns that are as near as a daemon's."""
        end = self.now + nanoseconds
        while self.now < end:
            self.now = min(self.now + SECOND // 20, end)
            self.pump.turn(0)

    @property
    def alive(self) -> list[bool]:
        return [server.alive and not server.condition.recovered for server in self.depot.management.servers.values()]

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    for name in (WEB1, WEB2):
        made.report(name)
    made.run(SECOND // 5)
    assert all(server.condition.reported_at is not None for server in made.depot.management.servers.values())
    yield made
    made.close()


@pytest.mark.parametrize("seconds", [2, 6, 3600])
@pytest.mark.parametrize("before", [0, 40, 500])
def test_queued_reports_count_before_their_absence_is_judged(site: Site, seconds: int, before: int) -> None:
    """Also behind other cells, more of them than a burst takes."""
    for name in (WEB1, WEB2):
        site.far[name].send(*[IDLE * 27] * before)
        site.report(name)
    site.now += seconds * SECOND
    site.pump.turn(0)
    assert site.alive == [True, True]
    site.run(2 * SECOND)
    assert site.alive == [True, True]


def test_a_report_behind_a_burst_counts_before_what_is_due(site: Site) -> None:
    """No stall, but a moment in which much has come."""
    site.run(SECOND * 14 // 5)
    for name in (WEB1, WEB2):
        site.far[name].send(*[IDLE * 27] * 100)
        site.report(name)
    site.now += SECOND * 2 // 5
    site.pump.turn(0)
    assert site.alive == [True, True]
    site.run(SECOND)
    assert site.alive == [True, True]


def test_nobody_was_silent_while_nobody_listened(site: Site) -> None:
    """Also when the queue had no room for a report, an edge node has the time that it had before to send one."""
    site.now += 6 * SECOND
    site.run(2 * SECOND)
    assert site.alive == [True, True]
    site.report(WEB1)
    site.run(3 * SECOND // 2)
    assert site.alive == [True, False]


def test_edge_nodes_that_fall_silent_are_noticed_as_ever(site: Site) -> None:
    site.run(SECOND * 5 // 2)
    assert site.alive == [True, True]
    site.run(SECOND)
    assert site.alive == [False, False]


def test_a_load_without_end_puts_time_off_but_not_for_ever(site: Site) -> None:
    """Each turn finds something on one link, while the other edge node is silent."""
    for _ in range(400):
        site.report(WEB1)
        site.now += SECOND // 100
        site.pump.turn(0)
    assert site.alive == [True, False]


def test_sessions_that_waited_when_it_stood_still_make_no_server_suspect(site: Site) -> None:
    (server, _) = site.depot.management.servers.values()
    for client in range(5):
        server.condition.asked(b"\6" + bytes((10, 9, 0, client)) + bytes(8), site.now)
    site.now += 6 * SECOND
    site.pump.turn(0)
    site.run(SECOND)
    assert not server.condition.suspect
    site.report(WEB1)
    site.run(5 * SECOND // 2)
    assert server.condition.suspect
