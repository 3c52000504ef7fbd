"""Connections that ask after servers: this host's own failures, spare descriptors, and stalls of the process."""

from __future__ import annotations

import errno
import os
import resource
import socket
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import trio

from atmdepot.depot.servers import Outcome
from atmdepot.edge.node import EdgeNode
from atmdepot.net.asking import Reserve, give_up_after
from atmdepot.net.kinds import agent_of, make_node
from atmdepot.net.reporter import Reporter
from atmdepot.net.views import counters
from atmdepot.wire.statistics import ServerState
from tests.depot.servers import make_servers
from tests.net.test_prober import LONG, Rhythm, let_go, listening, prober_of
from tests.network_in_memory import make_network

if TYPE_CHECKING:
    from collections.abc import Iterator

OWN = [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EADDRINUSE, errno.EPERM,
       errno.EACCES, errno.EAFNOSUPPORT]
OF_THE_PATH = [errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT, errno.ECONNRESET, errno.EPROTO]


def fail_at(monkeypatch: pytest.MonkeyPatch, stage: str, number: int) -> None:
    """Let a step of making a connection fail."""
    def fails(*_: object) -> Any:
        raise OSError(number, os.strerror(number))

    if stage == "socket":
        monkeypatch.setattr(trio.socket, "socket", fails)
    else:
        async def fails_later(*_: object) -> None:
            fails()

        monkeypatch.setattr(trio._socket._SocketType, stage, fails_later)


@pytest.mark.parametrize("stage", ["socket", "bind", "connect"])
@pytest.mark.parametrize("number", OWN + OF_THE_PATH)
async def test_probe_that_this_host_could_not_make_is_no_result(
        monkeypatch: pytest.MonkeyPatch, stage: str, number: int) -> None:
    (server,) = make_servers({})
    prober, _ = prober_of([server], 80, timeout=LONG)
    fail_at(monkeypatch, stage, number)
    assert await prober._probe(server) is (None if number in OWN else Outcome.SILENT)


@pytest.mark.parametrize("number", OWN + OF_THE_PATH)
async def test_try_that_an_edge_node_could_not_make_leaves_the_state_unknown(
        monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    node = EdgeNode(make_network(), "web1")
    pump: Any = None
    reporter = Reporter(node, pump)
    fail_at(monkeypatch, "connect", number)
    state, _ = await reporter._try_server()
    assert state is (ServerState.UNKNOWN if number in OWN else ServerState.SILENT)
    assert node.tries_not_made == (number in OWN)


async def test_filter_on_the_path_of_ipv6_is_no_failure_of_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    (server,) = make_servers({})
    prober, _ = prober_of([server], 80, "::1", timeout=LONG)
    fail_at(monkeypatch, "connect", errno.EACCES)
    assert await prober._probe(server) is Outcome.SILENT


async def test_each_kind_of_failure_is_logged_once_until_a_probe_can_be_made(
        monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    (server,) = make_servers({})
    async with listening(let_go, "127.0.0.1") as port:
        prober, _ = prober_of([server], port, timeout=LONG)
        for _ in range(2):
            for number in (errno.EMFILE, errno.EPERM, errno.EMFILE):
                with monkeypatch.context() as patch:
                    fail_at(patch, "socket", number)
                    assert await prober._probe(server) is None
            assert await prober._probe(server) is Outcome.ANSWERED
    assert len(caplog.records) == 4


async def test_probes_that_cannot_be_made_change_nothing_are_counted_and_do_not_spin(
        autojump_clock: trio.testing.MockClock) -> None:
    (server,) = make_servers({})
    rhythm = Rhythm([server], interval=LONG)
    rhythm.outcome = None  # type: ignore[assignment]
    server.condition.refused()
    probed = await rhythm.during(4.5)
    assert probed == [("web1", float(second)) for second in range(5)]
    assert server.alive
    assert server.condition.suspect
    assert server.condition.not_made == 5


def test_probes_that_were_not_made_are_shown() -> None:
    network = make_network()
    depot, edge = make_node(network, "depot", 0), make_node(network, "web1", 0)
    for node in (depot, edge):
        assert agent_of(node).tries_not_made() == 0
    edge.tries_not_made = 3  # type: ignore[attr-defined]
    for server in depot.management.servers.values():  # type: ignore[attr-defined]
        server.condition.not_probed()
    assert [agent_of(node).tries_not_made() for node in (depot, edge)] == [2, 3]
    pump: Any = SimpleNamespace(node=depot, queue_drops=lambda: 0, tun_losses=0, host=None, links={})
    (row,) = [row for row in counters(pump, 1000) if row.place == "probes"]
    assert (row.counter, row.value, row.unit) == ("not-made", 2, "probes")


# Descriptors.


@contextmanager
def no_descriptors_left() -> Iterator[None]:
    """Open files until there is none left, under a lower limit."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    top = os.open(os.devnull, os.O_RDONLY)
    os.close(top)
    opened = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (top + 40, before[1]))
    try:
        while True:
            try:
                opened.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                break
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for descriptor in opened:
            os.close(descriptor)


@pytest.mark.parametrize("spare", [0, 1, 4])
async def test_spare_descriptors_are_for_probes(spare: int) -> None:
    (server,) = make_servers({})
    async with listening(let_go, "127.0.0.1") as port:
        prober, _ = prober_of([server], port, timeout=LONG)
        prober._reserve = Reserve(spare)
        with no_descriptors_left():
            for _ in range(10):
                assert await prober._probe(server) is (Outcome.ANSWERED if spare else None)
        prober._reserve.close()


def test_reserve_is_filled_again_and_closed() -> None:
    reserve = Reserve(2)
    with no_descriptors_left():
        for _ in range(3):
            with (reserve.room(socket.socket), reserve.room(socket.socket),
                  pytest.raises(OSError, match="Too many open files"), reserve.room(socket.socket)):
                pass
    assert len(reserve._spare) == 2
    spare = list(reserve._spare)
    reserve.close()
    for descriptor in spare:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


# Stalls.


async def test_patience_is_no_longer_than_it_says(autojump_clock: trio.testing.MockClock) -> None:
    start = trio.current_time()
    with trio.CancelScope() as scope:
        await give_up_after(2.5, scope)
    assert trio.current_time() - start == pytest.approx(2.5)
    assert scope.cancel_called


@pytest.mark.parametrize("stall", [6.0, 600.0])
async def test_patience_begins_anew_after_a_stall(mock_clock: trio.testing.MockClock, stall: float) -> None:
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(give_up_after, 1.0, scope)
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(stall)
            await trio.testing.wait_all_tasks_blocked()
            assert not scope.cancel_called
            mock_clock.jump(1.0)
            await trio.testing.wait_all_tasks_blocked()
            assert scope.cancel_called


async def test_answer_that_came_during_a_stall_is_an_answer(
        mock_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process stands still while it waits; trio then sees the time before the socket."""
    arrived = trio.Event()

    class Answered:
        async def connect(self, address: object) -> None:
            await arrived.wait()

    monkeypatch.setattr(trio.socket, "socket", lambda *_: nullcontext(Answered()))
    pump: Any = None
    reporter = Reporter(EdgeNode(make_network(), "web1"), pump)
    got = []

    async def ask() -> None:
        got.append(await reporter._try_server())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(6)
        await trio.testing.wait_all_tasks_blocked()
        arrived.set()
    ((state, taken),) = got
    assert state is ServerState.ACCEPTS
    assert taken <= 800_000_000, "the stall is none of the server's"
