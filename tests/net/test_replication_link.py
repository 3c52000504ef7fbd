"""Replication links over real TCP: who is taken, with which key, what a peer that is wrong costs."""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import time
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio
from msgspec import structs

from atmdepot.depot.forwarding import Depot
from atmdepot.depot.role import Role
from atmdepot.net import replication_link, sync_connection
from atmdepot.net.pump import Pump
from atmdepot.net.replication_link import ReplicationLink
from atmdepot.net.tun import SocketTun
from atmdepot.wire import sync_link
from atmdepot.wire.replication import FORMAT, FrameReader
from atmdepot.wire.replication_control import Heartbeat, Hello
from atmdepot.wire.sync_link import RecordReader, RecordWriter
from tests.net.nodes import until
from tests.net.standing_by import KEY, StandIn, free_port, table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock


class Pair:
    """Two depots, each with its link in a pump of its own."""

    def __init__(self, nursery: trio.Nursery, stack: contextlib.ExitStack) -> None:
        self._nursery, self._stack = nursery, stack
        self.ports = free_port("127.0.0.1"), free_port("127.0.0.2")
        self.links: dict[str, ReplicationLink] = {}
        self.depots: dict[str, StandIn] = {}
        self._scopes: dict[str, trio.CancelScope] = {}

    def start(self, name: str, run: int = 1, more: str = "", ports: int = 80) -> ReplicationLink:
        network = table(*self.ports, more, ports)
        depot = self.depots[name] = StandIn(network, name, time.monotonic_ns(), run)
        pump = Pump(Depot(network, time.monotonic_ns(), name), {}, SocketTun())
        self._stack.callback(pump.close)
        self._stack.callback(pump.tun.close)
        link = self.links[name] = ReplicationLink(cast("Depot", depot), pump)
        scope = self._scopes[name] = trio.CancelScope()

        async def run_all() -> None:
            with scope:
                async with trio.open_nursery() as both:
                    both.start_soon(pump.run)
                    both.start_soon(link.run)

        self._nursery.start_soon(run_all)
        return self.links[name]

    def stop(self, name: str) -> None:
        self._scopes[name].cancel()

    async def in_sync(self) -> None:
        await until(lambda: self.depots["depot2"].roles.role is Role.STANDBY)

    async def connect(self, host: str = "127.0.0.2", to: str = "127.0.0.1") -> trio.SocketStream:
        stream = await trio.open_tcp_stream(to, self.ports[0], local_address=host)
        self._stack.callback(stream.socket.close)
        return stream


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    with contextlib.ExitStack() as stack:
        async with trio.open_nursery() as nursery:
            yield Pair(nursery, stack)
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("key", ["", f'key = "{KEY}"'])
async def test_a_depot_that_joins_gets_all_and_then_each_change(pair: Pair, key: str) -> None:
    pair.start("depot1", 7, key)
    log = pair.depots["depot1"].replication
    log.octets = bytes(200_000)
    pair.depots["depot1"].roles.granted(time.monotonic_ns())
    pair.start("depot2", 8, key)
    await pair.in_sync()
    log.octets += b"change"
    copy = pair.depots["depot2"].replica
    await until(lambda: copy.octets == log.octets)
    assert copy.applied == (7, 200_006)


async def test_a_depot_that_ends_in_order_says_so_and_the_link_comes_back(
    pair: Pair, caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    link = pair.start("depot1", 7)
    pair.depots["depot1"].roles.granted(time.monotonic_ns())
    pair.start("depot2", 8)
    await pair.in_sync()
    pair.stop("depot2")
    await until(lambda: not link.connections)
    assert "replication link to depot2: closed: it ends in order" in caplog.messages
    pair.start("depot2", 9)
    await pair.in_sync()
    assert list(link.connections) == ["depot2"]


async def test_the_later_depot_finds_the_earlier_when_it_starts(pair: Pair) -> None:
    pair.start("depot2", 8)
    await trio.sleep(0.05)
    pair.start("depot1", 7)
    pair.depots["depot1"].roles.granted(time.monotonic_ns())
    await pair.in_sync()


async def test_a_depot_that_stands_still_is_tried_again_as_soon_as_one_that_cannot_be_reached(
    pair: Pair, autojump_clock: MockClock,
) -> None:
    """Its kernel takes connections, and it says nothing: it has refused nobody, and is back at any moment."""
    with socket.create_server(("127.0.0.1", pair.ports[0])) as silent:
        silent.setblocking(False)
        pair.start("depot2", 8)
        await trio.sleep(60.5)
        pair.stop("depot2")
        taken = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                silent.accept()[0].close()
                taken += 1
    assert taken >= 10, "each 6 s: 5 s without an answer, and a pause of a second"


@pytest.mark.parametrize(("one", "two", "why"), [
    (f'key = "{KEY}"', "", "it has no key"),
    (f'key = "{KEY}"', f'key = "{KEY[::-1]}"', "it has another key"),
    ("", f'key = "{KEY}"', "it has a key, and this depot none"),
    ('key_file = "/nowhere"', f'key = "{KEY}"', "the key in /nowhere cannot be read: No such file")])
async def test_a_depot_without_the_same_key_is_refused(
    pair: Pair, one: str, two: str, why: str, caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    pair.start("depot1", 7, one)
    pair.start("depot2", 8, two)
    await until(lambda: why in caplog.text)
    assert not pair.links["depot1"].connections


async def test_a_depot_with_another_table_is_refused_and_told_where(
    pair: Pair, caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    pair.start("depot1", 7)
    pair.start("depot2", 8, ports=8080)
    for name in ("depot1", "depot2"):  # each of the two names the other, whichever of them has connected
        told = f"{name}: refused: its VC table differs: it has another services.web"
        await until(lambda told=told: told in caplog.text)
        await until(lambda name=name: pair.depots[name].peers.refused >= 1)


async def test_a_depot_of_a_later_version_is_taken_and_its_version_told(
    pair: Pair, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.WARNING)
    link = pair.start("depot1", 7)
    hello = link._hello
    monkeypatch.setattr(link, "_hello", lambda keyed: structs.replace(hello(keyed), version="99", format=FORMAT + 1))
    pair.depots["depot1"].roles.granted(time.monotonic_ns())
    pair.start("depot2", 8)
    await pair.in_sync()
    (told,) = [line for line in caplog.messages if line.startswith("replication link to depot1: open")]
    assert "version 99" in told


async def test_only_addresses_of_the_set_are_heard(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    link = pair.start("depot1", 7)
    await trio.lowlevel.checkpoint()
    for _ in range(3):
        stream = await pair.connect("127.0.0.9")
        assert await stream.receive_some(100) == b""
    assert link._depot.peers.refused == 3
    assert [line for line in caplog.messages if "127.0.0.9" in line] == [
        "replication link to 127.0.0.9: refused: it is no sync address of the set"]


@pytest.mark.parametrize(("sync", "far", "is_heard"), [
    ("127.0.0.2", "127.0.0.2", True), ("127.0.0.2", "::ffff:127.0.0.2", True), ("127.0.0.2", "::ffff:7f00:2", True),
    ("::192.0.2.1", "::c000:201", True), ("fd00::1", "FD00:0:0::1", True), ("fd00::1", "fd00::1%lo", False),
    ("127.0.0.2", "127.0.0.3", False), ("127.0.0.2", "::127.0.0.2", False), ("::2", "0.0.0.2", False)])
def test_how_an_address_is_spelled_lets_no_stranger_in_and_keeps_no_depot_out(
    sync: str, far: str, is_heard: bool,
) -> None:
    assert (replication_link._octets(sync) == replication_link._octets(far)) is is_heard


@pytest.mark.parametrize(("octets", "why"), [
    (b"GET / HTTP/1.0\r\n\r\n", "a record whose length is"),
    (b"\x00\x00\x00\x02\x03x", "a record on channel 3 came in place of one on channel 0"),
    (b"\x00\x00\x00\x02\x00x", "0 frames in place of a HELLO"), (b"", "it hung up")])
async def test_octets_that_are_no_hello_end_the_connection(
    pair: Pair, octets: bytes, why: str, caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    pair.start("depot1", 7)
    await trio.lowlevel.checkpoint()
    stream = await pair.connect()
    await stream.send_all(octets)
    await stream.send_eof()
    await until(lambda: why in caplog.text)


async def test_a_recorded_link_cannot_be_played_again(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    key = bytes.fromhex(KEY)
    pair.start("depot1", 7, f'key = "{KEY}"')
    await trio.lowlevel.checkpoint()
    recorded = b""
    for _ in range(2):
        stream, reader, writer = await pair.connect(), RecordReader(), RecordWriter()
        if not recorded:
            network = table(*pair.ports, f'key = "{KEY}"')
            maker: Any = ReplicationLink(cast("Any", StandIn(network, "depot2", 0, 8)), cast("Any", None))
            own = maker._hello(True).pack()
            theirs = await record(stream, reader)
            recorded = writer.record(sync_link.HELLO, own) + writer.record(
                sync_link.PROOF, sync_link.proof_of(key, "depot2", own, theirs))
            await stream.send_all(recorded)
            await until(lambda: "replication link to depot2: open" in caplog.text)
            await stream.aclose()
        else:
            await stream.send_all(recorded)
            await until(lambda: "depot2: refused: it has another key" in caplog.text)


async def record(stream: trio.SocketStream, reader: RecordReader) -> bytes:
    while (found := reader.next()) is None:
        reader.feed(await stream.receive_some(4096))
    return found[1]


async def test_a_peer_that_turns_bad_is_dropped_and_told_once(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    link = pair.start("depot1", 7)
    await trio.lowlevel.checkpoint()
    network = table(*pair.ports)
    maker: Any = ReplicationLink(cast("Any", StandIn(network, "depot2", 0, 8)), cast("Any", None))
    stream, writer = await pair.connect(), RecordWriter()
    await stream.send_all(writer.record(sync_link.HELLO, maker._hello(False).pack()) + writer.record(9, b"?"))
    await until(lambda: "closed: it sent a record on channel 9" in caplog.text)
    assert not link.connections
    assert link._depot.peers.refused == 1


async def test_the_hello_tells_state_and_table(pair: Pair) -> None:
    pair.start("depot1", 7)
    await trio.lowlevel.checkpoint()
    stream = await pair.connect()
    [frame] = FrameReader().feed(await record(stream, RecordReader()))
    hello = Hello.unpack(frame)
    assert (hello.network, hello.set, hello.node, hello.run, hello.role) == ("pair", "main", "depot1", 7, "joining")
    assert "services.web" in hello.table
    assert not hello.keyed


async def test_many_strangers_fill_no_log_and_hide_no_word_about_the_set(
    pair: Pair, caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    link = pair.start("depot1", 7)
    await trio.lowlevel.checkpoint()
    for number in range(80):
        stream = await pair.connect(f"127.0.1.{number + 1}")
        assert await stream.receive_some(100) == b""
    assert link._depot.peers.refused == 80
    assert sum("it is no sync address" in line for line in caplog.messages) == 64
    stream = await pair.connect()
    await stream.send_all(b"GET / HTTP/1.0\r\n\r\n")
    await until(lambda: "replication link to depot2: refused: a record whose length is" in caplog.text)


@pytest.mark.parametrize("told", [{"term": 2**63}, {"term": -1}, {"node": "depot2\n<3>forged"}])
async def test_a_hello_that_no_depot_says_is_refused(
    pair: Pair, told: dict[str, Any], caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    link = pair.start("depot1", 7)
    await trio.lowlevel.checkpoint()
    maker: Any = ReplicationLink(cast("Any", StandIn(table(*pair.ports), "depot2", 0, 8)), cast("Any", None))
    stream, writer = await pair.connect(), RecordWriter()
    hello = structs.replace(maker._hello(False), **told)
    await stream.send_all(writer.record(sync_link.HELLO, hello.pack()))
    await until(lambda: "replication link to depot2: refused: HELLO: " in caplog.text)
    assert not link.connections
    assert not any("\n" in line for line in caplog.messages)


async def test_a_scan_of_ports_ends_no_depot(pair: Pair) -> None:
    """A scanner resets a connection as soon as it is there: then it has no far end any more."""
    pair.start("depot1", 7)
    await trio.lowlevel.checkpoint()
    await pair.connect()  # it listens
    for host in ("127.0.0.2", "127.0.0.9"):
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", pair.ports[0]), source_address=(host, 0)) as scan:
                scan.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await trio.sleep(0.001)
    pair.depots["depot1"].roles.granted(time.monotonic_ns())
    pair.start("depot2", 8)
    await pair.in_sync()


async def test_a_depot_that_has_the_key_and_reads_nothing_is_dropped_counted_and_told(
    pair: Pair, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It says that it lives all the time, so its silence does not end the link."""
    monkeypatch.setattr(sync_connection, "SILENCE", 1_000_000_000)
    caplog.set_level(logging.WARNING)
    link = pair.start("depot1", 7, f'key = "{KEY}"')
    pair.depots["depot1"].replication.octets = bytes(16_000_000)
    pair.depots["depot1"].roles.granted(time.monotonic_ns())
    await trio.lowlevel.checkpoint()
    stream, writer = await opened(pair)
    await until(lambda: "depot2" in link.connections)
    for _ in range(200):
        if not link.connections:
            break
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.send_all(writer.record(sync_link.CONTROL, Heartbeat(0, 0, 0, 0, 0, 1, 0).pack()))
        await trio.sleep(0.05)
    assert "replication link to depot2: closed: it took no octet for 1 s" in caplog.messages
    assert (link._depot.peers.unread, link._depot.peers.refused) == (1, 0)


async def opened(pair: Pair) -> tuple[trio.SocketStream, RecordWriter]:
    """A link of depot2 to depot1, on which the proof of the key was accepted, from a program of the test."""
    stream, reader, writer = await pair.connect(), RecordReader(), RecordWriter()
    network = table(*pair.ports, f'key = "{KEY}"')
    maker: Any = ReplicationLink(cast("Any", StandIn(network, "depot2", 0, 8)), cast("Any", None))
    # It goes on where it was: the stand-in takes long for a snapshot.
    own, key = structs.replace(maker._hello(True), applied=(7, 0)).pack(), bytes.fromhex(KEY)
    theirs = await record(stream, reader)
    await stream.send_all(writer.record(sync_link.HELLO, own) + writer.record(
        sync_link.PROOF, sync_link.proof_of(key, "depot2", own, theirs)))
    writer.key = sync_link.key_of_direction(key, "depot2", own, theirs)
    return stream, writer
