"""The trace on the control socket: what the first line says, frames, and clients that do not behave."""

from __future__ import annotations

import json
import socket
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.drops import DropReason
from atmdepot.net import stream as stream_module
from atmdepot.net.administration import Administration
from atmdepot.net.control import ControlServer
from atmdepot.net.events import Cells, Drop, Missed, Record, SessionChange, Told, Watermark
from atmdepot.net.tap import MAX_TAPS, Tap
from atmdepot.wire.cell import CELL_SIZE
from tests.net.controlled import Controlled, handshake, lines, next_line, running
from tests.net.nodes import CLIENT, DEPOT, VIP, WEB1, Connection, ping, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

DECODER = msgspec.msgpack.Decoder(list[Told])
Begin = "Callable[..., Awaitable[Client]]"
LINKS = {"to-web1": {"interface": "uni", "cells": 27, "peer": "web1", "medium": "cells"},
         "to-web2": {"interface": "uni", "cells": 27, "peer": "web2", "medium": "cells"}}


class Client:
    """A client that reads frames by the book."""

    def __init__(self, stream: trio.SocketStream, told: dict[str, Any]) -> None:
        self.stream = stream
        self.told = told
        self._octets = b""

    @classmethod
    async def begin(cls, path: Path, **request: Any) -> Self:
        stream = await trio.open_unix_socket(path)
        await stream.send_all(json.dumps({"trace": request}).encode() + b"\n")
        return cls(stream, await next_line(stream))

    async def _exactly(self, count: int) -> bytes:
        with trio.fail_after(20):
            while len(self._octets) < count:
                received = await self.stream.receive_some(65_536)
                if not received:
                    assert self._octets == b"", "it broke off within a frame"
                    raise EOFError
                self._octets += received
        taken, self._octets = self._octets[:count], self._octets[count:]
        return taken

    async def frame(self) -> list[Told]:
        length = int.from_bytes(await self._exactly(4), "big")
        assert length < 2 * 65_536
        return DECODER.decode(await self._exactly(length))

    async def records(self, count: int) -> list[Record]:
        got: list[Record] = []
        while len(got) < count:
            got += records_of(await self.frame())
        return got

    async def rest(self) -> list[Record]:
        """The messages until the daemon closes."""
        got: list[Record] = []
        try:
            while True:
                got += records_of(await self.frame())
        except EOFError:
            return got

    async def end(self) -> list[Record]:
        await self.stream.send_eof()
        return await self.rest()


def records_of(frame: list[Told]) -> list[Record]:
    return [told for told in frame if not isinstance(told, Watermark)]


@pytest.fixture
async def begin() -> AsyncIterator[Callable[..., Awaitable[Client]]]:
    """Begins traces, and hangs up at the end."""
    begun: list[Client] = []

    async def begin_one(it: Controlled, node: str = DEPOT, **request: Any) -> Client:
        begun.append(await Client.begin(it.servers[node].path, **request))
        return begun[-1]

    yield begin_one
    for client in begun:
        await client.stream.aclose()


@pytest.fixture
async def it(short_dir: Path) -> AsyncIterator[Controlled]:
    async for made in running(short_dir):
        yield made


def taps(it: Controlled, node: str = DEPOT) -> list[Any]:
    return it.nodes.pumps[node].taps.open


# What is told.


async def test_the_first_line_tells_of_the_node(it: Controlled, begin: Begin) -> None:
    client = await begin(it)
    assert client.told == {"tracing": {
        "node": "depot", "kind": "depot", "network": "loop", "table": "", "links": LINKS}}
    edge = await begin(it, WEB1)
    assert edge.told == {"tracing": {"node": "web1", "kind": "edge", "network": "loop", "table": "", "links": {
        "to-web1": {"interface": "uni", "cells": 27, "peer": "depot", "medium": "cells"}}}}
    assert (await client.end(), await edge.end()) == ([], [])


async def test_the_first_line_has_the_tables_path(it: Controlled, begin: Begin, short_dir: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(short_dir)
    pump = it.nodes.pumps[DEPOT]
    server = ControlServer(short_dir / "x.sock", pump, Administration(pump, type(short_dir)("mine.toml")))
    it.servers["x"] = server
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        client = await begin(it, "x")
        assert client.told["tracing"]["table"] == str(short_dir / "mine.toml")
        nursery.cancel_scope.cancel()


async def test_a_connection_as_it_goes(it: Controlled, begin: Begin) -> None:
    client = await begin(it)
    talk = await handshake(it)
    it.nodes.put(DEPOT, talk.up(4, 1001))
    await it.nodes.get(WEB1)
    records = await client.end()
    told = [(record.event, record.why) if isinstance(record, SessionChange)
            else (record.direction, talk.syn in record.octets) for record in records]
    assert told == [
        ("opened", "round-robin"), ("out", True), ("in", False), ("established", ""), ("out", False), ("closed", "RST"),
        ("out", False)]
    opened = records[0]
    assert (opened.number, opened.protocol, opened.client, opened.service, opened.server, opened.link, opened.vc) == (
        1, "TCP", f"{CLIENT}:40000", f"{VIP}:80", "web1", "to-web1", (1, 64))
    assert [record.time for record in records] == sorted(record.time for record in records)
    assert all(record.node == "" for record in records)


async def test_the_edges_side_of_it(it: Controlled, begin: Begin) -> None:
    client = await begin(it, WEB1)
    await handshake(it)
    assert [(type(record), record.direction) for record in await client.end()] == [
        (Cells, "in"), (Cells, "out"), (Cells, "in")]


async def test_a_drop_is_told_with_its_reason_and_octets(it: Controlled, begin: Begin) -> None:
    client = await begin(it, cells=False)
    stray = Connection(40_000).ack
    it.nodes.put(DEPOT, stray)
    [told] = await client.records(1)
    assert told == Drop(told.time, "", "no-session", 1, stray)
    assert await client.end() == []


async def test_only_what_is_asked_for(it: Controlled, begin: Begin) -> None:
    client = await begin(it, links=["to-web2"], sessions=False)
    await handshake(it, 40_000)  # to web1
    it.nodes.put(DEPOT, Connection(40_001).syn)
    assert [(type(record), record.link) for record in await client.records(1)] == [(Cells, "to-web2")]
    assert await client.end() == []


# The sessions that were there before.


async def test_known_sessions_come_first_the_newest_before_all(it: Controlled, begin: Begin) -> None:
    first = await handshake(it, 40_000)
    it.nodes.put(DEPOT, first.up(4, 1001))  # it goes to the secondary table
    await it.nodes.get(WEB1)
    for port in range(40_001, 40_300):
        it.nodes.put(DEPOT, Connection(port).syn)
        if port % 50 == 0:
            await trio.lowlevel.checkpoint()
    await until(lambda: it.nodes.pumps[DEPOT].node.sessions.opened == 300)
    clients = [await begin(it, known=known) for known in (1000, 3, 0, -5, 10**15)]
    it.nodes.put(DEPOT, Connection(50_000).syn)
    for client, numbers in zip(clients, ([*range(300, 1, -1), 1], [300, 299, 298], [], [], [*range(300, 1, -1), 1]),
                               strict=True):
        records = await client.records(len(numbers) + 1)
        known = [record for record in records if isinstance(record, SessionChange) and record.event == "known"]
        assert [record.number for record in known] == numbers
        assert records[:len(known)] == known
        assert (records[len(known)].event, records[len(known)].number) == ("opened", 301)
        await client.end()


async def test_known_sessions_of_the_wanted_links_only(it: Controlled, begin: Begin) -> None:
    for port in range(40_000, 40_004):
        it.nodes.put(DEPOT, Connection(port).syn)
    await until(lambda: it.nodes.pumps[DEPOT].node.sessions.opened == 4)
    client = await begin(it, links=["to-web2"])
    assert [(record.number, record.server) for record in await client.records(2)] == [(4, "web2"), (2, "web2")]
    await client.end()
    client = await begin(it, sessions=False)
    assert await client.end() == []


async def test_a_session_on_a_vc_that_the_table_names(it: Controlled, begin: Begin) -> None:
    """VCIs out of a VC table are of a type of their own, which MessagePack does not have."""
    depot = it.nodes.pumps[DEPOT].node
    probe = Connection(40_000)
    depot.probes[depot.analyse(probe.syn).key] = depot.management.servers["web2"]
    client = await begin(it, cells=False)
    it.nodes.put(DEPOT, probe.syn)
    [opened] = await client.records(1)
    assert (opened.event, opened.server, opened.vc, opened.why) == ("opened", "web2", (2, 32), "probe")
    later = await begin(it, cells=False)
    assert [(record.event, record.vc) for record in await later.records(1)] == [("known", (2, 32))]
    assert (await client.end(), await later.end()) == ([], [])


# How far the node is.


async def test_each_frame_tells_how_far_the_node_is(it: Controlled, begin: Begin) -> None:
    """Nothing comes after a watermark that is older; where all was taken, it is the time at which that was so."""
    client = await begin(it)
    before = time.time_ns()
    await handshake(it)
    it.nodes.put(DEPOT, Connection(40_001).ack)
    await until(lambda: it.nodes.pumps[DEPOT].node.drops)
    after = time.time_ns()
    told: list[Told] = []
    while not told or told[-1].time <= after:
        frame = await client.frame()
        assert [type(one) for one in frame].index(Watermark) == len(frame) - 1
        told += frame
    assert len(records_of(told)) == 6
    assert [one.time for one in told] == sorted(one.time for one in told)
    assert all(before <= one.time <= after for one in records_of(told))
    assert await client.end() == []


async def test_an_idle_node_tells_the_time(it: Controlled, begin: Begin) -> None:
    before = time.time_ns()
    client = await begin(it, WEB1)
    times = [watermark.time for _ in range(3) for [watermark] in [await client.frame()]]
    assert times == sorted(set(times))
    assert before <= times[0]
    assert times[-1] <= time.time_ns()


async def test_a_record_of_no_burst_is_no_older_than_the_records_before_it(it: Controlled, begin: Begin) -> None:
    client = await begin(it)
    [watermark] = await client.frame()
    it.nodes.pumps[DEPOT].node.drops.count(DropReason.NOT_IP, 1, b"x")
    [dropped] = await client.records(1)
    assert dropped.time >= watermark.time


async def test_no_watermark_before_all_known_sessions_are_told(it: Controlled, begin: Begin) -> None:
    """Events that happen while records are told are no older than the records."""
    for port in range(40_000, 40_300):
        it.nodes.put(DEPOT, Connection(port).syn)
        if port % 50 == 0:
            await trio.lowlevel.checkpoint()
    await until(lambda: it.nodes.pumps[DEPOT].node.sessions.opened == 300)
    client = await begin(it)
    it.nodes.put(DEPOT, Connection(50_000).syn)
    told: list[Told] = []
    while len(records_of(told)) < 302:
        told += await client.frame()
    assert [getattr(one, "event", "") for one in told[:300]] == ["known"] * 300
    assert {one.time for one in told[:300]} == {told[0].time}
    assert all(one.time >= told[0].time for one in told[300:])


def taps_at(clock: Callable[[], int]) -> Any:
    """The taps of a node without a TUN device's queue, by another clock."""
    return SimpleNamespace(now=clock, look_at_the_queue=lambda: None)


class SlowFrames:
    """A sender whose socket takes all, and the frames that it has sent, one a turn."""

    def __init__(self, tap: Tap, clock: Callable[[], int]) -> None:
        self._far, self._near = socket.socketpair()
        self._sender = stream_module._Sender(self._near.fileno(), [], tap, taps_at(clock))

    def next(self) -> list[Told]:
        assert self._sender._send()
        octets = self._far.recv(1 << 20)
        return DECODER.decode(octets[4:])

    def close(self) -> None:
        self._far.close()
        self._near.close()


@given(st.lists(st.tuples(st.sampled_from(["send", "cells", "cells", "drop", "time"]), st.integers(1, 400)),
                max_size=60), st.sampled_from([0, 5000, 400_000]))
def test_a_watermark_is_as_far_as_the_tap_allows(steps: list[tuple[str, int]], bound: int) -> None:
    """Of all that comes later nothing is older, and the next is exactly that old if it had happened by then."""
    now, tap = 0, Tap(bound=bound)
    frames = SlowFrames(tap, lambda: now)
    sent: list[list[Told]] = []
    happened: list[int] = []
    try:
        for step, count in [*steps, *[("send", 0)] * 12]:
            if step == "send":
                sent.append(frames.next())
                happened.append(now)
            elif step == "cells":
                tap.cells(now, "to-web1", "in", bytes(CELL_SIZE) * count)
            elif step == "drop":
                tap.drop(Drop(now, "", "not-ip", count))
            else:
                now += count
    finally:
        frames.close()
    assert not tap.is_waiting
    for number, frame in enumerate(sent):
        later = [one.time for other in sent[number + 1:] for one in records_of(other)]
        assert all(one.time <= frame[-1].time for one in frame)
        assert frame[-1].time == min([happened[number], *later])


# What is refused.


async def test_an_unknown_link(it: Controlled, begin: Begin) -> None:
    client = await begin(it, links=["to-web1", "to-mars"])
    assert client.told == {"error": 'depot has no link "to-mars": it has to-web1, to-web2'}
    assert taps(it) == []


async def test_the_ninth_client(it: Controlled, begin: Begin) -> None:
    clients = [await begin(it) for _ in range(MAX_TAPS)]
    ninth = await begin(it)
    assert ninth.told == {"error": "depot: 8 traces are running already; end one of them"}
    it.nodes.put(DEPOT, ping())
    for client in clients:
        assert len((await client.records(1))[0].octets) == 2 * CELL_SIZE
    await clients[0].end()
    tenth = await begin(it)
    assert "tracing" in tenth.told


# Clients and their ends.


async def test_a_client_that_ends_gets_what_there_is(it: Controlled, begin: Begin) -> None:
    client = await begin(it)
    for _ in range(30):
        it.nodes.put(DEPOT, ping(size=1000))
    await until(lambda: it.nodes.pumps[DEPOT].node.rx_packets == 30)
    records = await client.end()
    assert sum(len(one.octets) for one in records) == 30 * 22 * CELL_SIZE
    assert taps(it) == []


async def test_a_sample_ends_by_itself_when_it_has_its_cells(it: Controlled, begin: Begin) -> None:
    sample = await begin(it, most=3)
    endless = await begin(it)
    await handshake(it, 40_000)
    with trio.fail_after(20):
        got = await sample.rest()
    seen = sum(len(record.octets) // CELL_SIZE for record in got if isinstance(record, Cells))
    assert seen >= 3
    assert len(it.nodes.pumps[DEPOT].taps.open) == 1
    assert await endless.records(1)


async def test_a_client_that_goes_away_is_noticed_when_nothing_happens(it: Controlled, begin: Begin) -> None:
    client = await begin(it)
    await client.stream.aclose()
    await until(lambda: not taps(it))


async def test_a_client_that_goes_away_in_the_midst_of_it(it: Controlled, begin: Begin) -> None:
    client = await begin(it)
    for number in range(60):
        if number == 30:
            await client.stream.aclose()
        it.nodes.put(DEPOT, *[ping(size=1400)] * 10)
        await trio.sleep(0.001)
    await until(lambda: not taps(it))
    await handshake(it)


async def test_garbage_behind_the_request_changes_nothing(it: Controlled, begin: Begin) -> None:
    client = await begin(it)
    await client.stream.send_all(b"\xff\n{}\n" * 1000)
    it.nodes.put(DEPOT, ping())
    assert len(await client.records(1)) == 1
    await client.stream.send_eof()
    await until(lambda: not taps(it))


async def test_a_reader_of_single_octets(it: Controlled, begin: Begin) -> None:
    client = await begin(it, cells=False)
    it.nodes.put(DEPOT, Connection(40_000).ack)
    told: list[Record] = []
    with trio.fail_after(20):
        while not told:
            octets = b""
            while len(octets) < 4 or len(octets) < 4 + int.from_bytes(octets[:4], "big"):
                octets += await client.stream.receive_some(1)
            told += records_of(DECODER.decode(octets[4:]))
    assert [record.reason for record in told] == ["no-session"]


async def flood(it: Controlled, packets: int) -> None:
    """So many packets of 30 cells through the depot."""
    depot = it.nodes.pumps[DEPOT].node
    for number in range(0, packets, 100):
        it.nodes.put(DEPOT, *[ping(size=1400)] * 100)
        await until(lambda number=number: depot.rx_packets == number + 100)


async def test_a_client_that_does_not_read_holds_nothing_up(it: Controlled, begin: Begin) -> None:
    """Cells go on; what the client was too slow for is counted, and all together is what crossed the links."""
    client = await begin(it, sessions=False, drops=False)
    depot = it.nodes.pumps[DEPOT].node
    await flood(it, 10_000)
    assert taps(it)[0].weight <= 8 * 2**20
    await client.stream.send_eof()
    records = await client.rest()
    seen = sum(len(record.octets) for record in records if isinstance(record, Cells)) // CELL_SIZE
    missed = sum(record.cells for record in records if isinstance(record, Missed))
    assert missed > 0
    assert seen + missed == sum(link.tx_cells for link in depot.links.values()) == 10_000 * 30
    assert seen * CELL_SIZE < 12 * 2**20


async def test_a_client_that_ends_and_does_not_read_is_hung_up_on(
    it: Controlled, begin: Begin, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_module, "_GRACE", 0.05)
    client = await begin(it)
    await flood(it, 2000)
    await client.stream.send_eof()
    await until(lambda: stream_module.is_shut_down(client.stream))
    assert taps(it) == []


async def test_other_requests_are_answered_meanwhile(it: Controlled, begin: Begin) -> None:
    client = await begin(it)
    assert len(await it.show("links")) == 2
    [answer] = await it.raw(b'{"show": "sessions"}\n')
    assert answer == {"rows": []}
    assert await client.end() == []


async def test_a_request_that_is_none(it: Controlled) -> None:
    async with await trio.open_unix_socket(it.path) as stream:
        await stream.send_all(b'{"trace": {"links": 5}}\n')
        [answer] = await lines(stream)
    assert answer["error"].startswith("no request: ")


# The daemon's time.


@pytest.mark.parametrize("senders", [1, 3])
async def test_a_turn_leaves_the_daemon_twenty_times_what_it_took(
    senders: int, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a clock of processor time on which each look takes 3 ms, and a sleep that only tells how long."""
    looks = iter(range(0, 10**12, 3_000_000))
    rests: list[float] = []
    tap = Tap()

    async def rest(seconds: float) -> None:
        rests.append(seconds)
        await trio.lowlevel.checkpoint()

    monkeypatch.setattr(stream_module.time, "thread_time_ns", lambda: next(looks))
    monkeypatch.setattr(stream_module.trio, "sleep", rest)
    far, near = trio.socket.socketpair()
    sender = stream_module._Sender(near.fileno(), [], tap, taps_at(lambda: 1))
    tap.cells(1, "to-web1", "in", bytes(CELL_SIZE))
    await sender.turn(senders)
    assert rests.pop() == pytest.approx(0.06 * senders)
    assert len(await far.recv(1000)) > CELL_SIZE
    far.close()
    near.close()
