"""Looking goes in slices: what is shown is whole though it changes meanwhile, and the data path goes on."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
import trio
from prometheus_client import CollectorRegistry, generate_latest

from atmdepot.net import control, slices, views
from atmdepot.net.metrics import Metrics
from atmdepot.net.slices import SLICE, Pace, encoded
from tests.net.controlled import Controlled, handshake, running
from tests.net.nodes import CLIENT, DEPOT, SYN, VIP, WEB1, Nodes, network, tcp, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from trio.testing import MockClock

    from atmdepot.net.pump import Pump


@pytest.fixture
async def it(short_dir: Path) -> AsyncIterator[Controlled]:
    async for made in running(short_dir):
        yield made


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    made = Nodes(network())
    yield made
    made.close()


class Clock:
    """A clock that goes on by so much with each look at it."""

    def __init__(self, step: int) -> None:
        self.now, self.step = 0, step

    def __call__(self) -> int:
        self.now += self.step
        return self.now


@pytest.mark.parametrize("count", [0, 1, 2, 1000])
@pytest.mark.parametrize("step", [0, SLICE // 10, 2 * SLICE])
def test_pieces_are_one_answer(count: int, step: int) -> None:
    rows = [{"number": number, "text": 'a "row"'} for number in range(count)]
    pieces = list(encoded(b'{"rows":[', rows, b"]}\n", Pace(Clock(step))))
    assert json.loads(b"".join(pieces)) == {"rows": rows}
    assert b"".join(pieces).endswith(b"]}\n")


def test_a_piece_ends_with_its_slice() -> None:
    """By a clock of which each row takes a tenth of a slice."""
    made = 0

    def rows() -> Iterator[int]:
        nonlocal made
        for number in range(1000):
            made += 1
            yield number

    pieces = encoded(b"[", rows(), b"]", Pace(Clock(SLICE // 10)))
    next(pieces)
    assert made <= 10


def test_a_piece_is_bounded_also_where_time_stands_still() -> None:
    row = "x" * 1000
    pieces = list(encoded(b"[", itertools.repeat(row, 1000), b"]", Pace(lambda: 0)))
    assert len(pieces) > 10
    assert max(map(len, pieces)) <= 64 * 1024 + 2000


async def test_rest_is_as_long_as_the_work(autojump_clock: MockClock) -> None:
    pace = Pace(lambda: round(trio.current_time() * 1e9))
    assert not pace.is_over()
    await trio.sleep(0.25)
    assert pace.is_over()
    await pace.rest()
    assert trio.current_time() == pytest.approx(0.5)
    assert not pace.is_over()


# Tables that change.


def open_sessions(pump: Pump, numbers: range) -> None:
    for number in numbers:
        pump.node.packet_from_tun(tcp(CLIENT, 10_000 + number, VIP, 80, SYN), pump.clock())
    pump.node.take_packets()
    for link in pump.node.links.values():
        link.transmit(0)


@pytest.mark.parametrize("change", ["none", "more", "fewer", "closed", "reused"])
def test_sessions_that_stay_are_shown_once(nodes: Nodes, change: str) -> None:
    pump = nodes.pumps[DEPOT]
    node: Any = pump.node
    tables = node.sessions
    open_sessions(pump, range(300))
    there = {session.number for session in tables.primary.values()}
    rows = iter(views.SUBJECTS["sessions"](pump, 10**6))
    shown = [next(rows).number for _ in range(100)]
    sessions = list(tables.primary.values())
    stay = set(there)
    if change == "more":
        open_sessions(pump, range(300, 3000))
    elif change == "fewer":
        for session in [*sessions[50:80], *sessions[200:280]]:
            tables.remove(session, "a test")
        stay -= {session.number for session in sessions[200:280]}
    elif change == "closed":
        for session in sessions[::3]:
            tables.to_secondary(session, "a test", pump.clock())
    elif change == "reused":
        tables.remove(sessions[250], "a test")
        open_sessions(pump, range(250, 251))
        stay.discard(sessions[250].number)
        stay.add(tables.last_number)
    shown += [row.number for row in rows]
    assert len(shown) == len(set(shown))
    assert set(shown) == stay


def test_vcs_may_come_and_go_while_they_are_shown(nodes: Nodes) -> None:
    pump = nodes.pumps[DEPOT]
    node: Any = pump.node
    open_sessions(pump, range(300))
    names = {f"{vc.vpi}/{vc.vci}" for link in node.links.values() for vc in link.table}
    rows = views.vcs(pump, 10**6)
    shown = [next(rows).vc for _ in range(50)]
    for session in list(node.sessions.primary.values())[::2]:
        node.sessions.remove(session, "a test")
    shown += [row.vc for row in rows]
    assert len(shown) == len(set(shown))
    assert {name for name in names if name not in shown} <= names - {
        f"{vc.vpi}/{vc.vci}" for link in node.links.values() for vc in link.table}


@pytest.mark.parametrize("subject", list(views.SUBJECTS))
@pytest.mark.parametrize("limit", [0, 1, 3])
def test_a_limit_is_one_from_the_beginning(nodes: Nodes, subject: str, limit: int) -> None:
    pump = nodes.pumps[DEPOT]
    open_sessions(pump, range(10))
    there = {"links": 2, "servers": 2, "queues": 0, "protection": 0, "depots": 1, "dlcis": 0, "lmi": 0,
             "neighbours": 0, "impairments": 2}.get(subject, 10)
    assert len(list(views.SUBJECTS[subject](pump, limit))) == min(limit, there)


# Over the socket.


@pytest.mark.parametrize("counting", [b"", b', "count": true'])
async def test_an_answer_does_not_end_with_a_slice_without_a_wanted_row(
    it: Controlled, monkeypatch: pytest.MonkeyPatch, counting: bytes,
) -> None:
    monkeypatch.setattr(Pace, "is_over", lambda _: True)
    monkeypatch.setitem(control.SUBJECTS, "sessions", lambda *_: iter([{"number": 1}, None, None, {"number": 2}, None]))
    [answer] = await it.raw(b'{"show": "sessions", "limit": 2' + counting + b"}\n")
    assert answer == {"rows": [{"number": 1}, {"number": 2}]} | ({"more": 0} if counting else {})


async def test_a_client_that_does_not_read_costs_no_memory(it: Controlled, monkeypatch: pytest.MonkeyPatch) -> None:
    made, ended = 0, []

    def endless(*_: object) -> Iterator[dict[str, Any]]:
        nonlocal made
        try:
            while True:
                made += 1
                yield {"number": made, "text": "x" * 1000}
        finally:
            ended.append(True)

    monkeypatch.setitem(control.SUBJECTS, "sessions", endless)
    async with await trio.open_unix_socket(it.path) as stream:
        await stream.send_all(b'{"show": "sessions"}\n')
        before = -1
        while before != made:
            before = made
            await trio.sleep(0.3)
        assert 0 < made < 10_000
        # The data path goes on, and so does everybody else's look.
        await handshake(it)
        assert len(await it.show("links")) == 2
        while made <= before:
            await stream.receive_some(64 * 1024)
    await until(lambda: ended)


async def test_a_client_that_never_reads_is_hung_up_on(
    it: Controlled, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(control, "_PATIENCE", 0.2)
    ended = []

    def endless(*_: object) -> Iterator[dict[str, Any]]:
        try:
            yield from itertools.repeat({"text": "x" * 1000})
        finally:
            ended.append(True)

    monkeypatch.setitem(control.SUBJECTS, "vcs", endless)
    async with await trio.open_unix_socket(it.path) as stream:
        await stream.send_all(b'{"show": "vcs"}\n')
        await until(lambda: ended)


async def test_packets_pass_between_the_slices(it: Controlled, monkeypatch: pytest.MonkeyPatch) -> None:
    """While an endless answer is read, sessions open."""
    monkeypatch.setattr(slices, "SLICE", 100_000)
    monkeypatch.setitem(control.SUBJECTS, "sessions", lambda *_: itertools.repeat({"text": "x" * 100}))
    async with trio.open_nursery() as nursery:

        async def read() -> None:
            async with await trio.open_unix_socket(it.path) as stream:
                await stream.send_all(b'{"show": "sessions"}\n')
                async for _ in stream:
                    pass

        nursery.start_soon(read)
        for port in range(40_000, 40_020, 2):  # every other session goes to web1
            await handshake(it, port)
            it.nodes.put(DEPOT, tcp(CLIENT, port + 1, VIP, 80, SYN))
            await it.nodes.get("web2")
        nursery.cancel_scope.cancel()
    assert len(it.nodes.pumps[WEB1].node.links["to-web1"].table) > 10


async def test_a_fault_after_the_first_piece_hangs_up(
    it: Controlled, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:
    def faulty(*_: object) -> Iterator[dict[str, Any]]:
        yield from itertools.repeat({"text": "x" * 1000}, 200)
        raise KeyError("vanished")

    monkeypatch.setitem(control.SUBJECTS, "sessions", faulty)
    async with await trio.open_unix_socket(it.path) as stream:
        await stream.send_all(b'{"show": "sessions"}\n')
        octets = b""
        async for part in stream:
            octets += part
    assert not octets.endswith(b"\n")
    assert "KeyError" in caplog.text
    assert len(await it.show("links")) == 2


# The metrics page.


def test_the_page_in_pieces_is_the_page(nodes: Nodes) -> None:
    pump = nodes.pumps[DEPOT]
    open_sessions(pump, range(20))
    metrics = Metrics(pump)
    registry = CollectorRegistry()
    registry.register(metrics)
    pieces = list(metrics.text())
    assert b"".join(pieces) == generate_latest(registry)
    assert max(piece.count(b"\n") for piece in pieces) <= 32 + 2
    assert len(pieces) >= 100
