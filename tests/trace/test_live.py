"""The live source against daemons that are real, and against fakes that lie, stall and die."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.errors import AtmdepotError
from atmdepot.net.events import Cells, Drop, Missed, SessionChange, Watermark
from atmdepot.trace import live, merge
from atmdepot.trace.live import MAX_FRAME, LiveSource, give_way
from atmdepot.trace.sources import Remark
from tests.net.controlled import Controlled, handshake, running
from tests.net.nodes import DEPOT, WEB1, Connection, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

NODE: dict[str, Any] = {"node": "depot", "kind": "depot", "network": "n", "table": "",
                        "links": {"to-web1": {"interface": "uni", "cells": 27, "peer": "web1"}}}
CELL = bytes(53)
SESSION = SessionChange(5, 1, "opened", "TCP", "10.0.0.1:5", "10.0.0.2:80", "web1", "to-web1", (1, 64), "UBR.1", "why")
RECORDS = [Cells(1, "to-web1", "in", CELL), Drop(2, "", "not-ip", 1, b"x"), Drop(3, "to-web1", "hec-error", 1, CELL),
           SESSION, Missed(4, 1, 2, 3)]


def frame(*records: Any) -> bytes:
    octets = msgspec.msgpack.encode(list(records))
    return len(octets).to_bytes(4, "big") + octets


def first_line(**changes: Any) -> bytes:
    return msgspec.json.encode({"tracing": NODE | changes}) + b"\n"


@pytest.fixture
def short_dir() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="atm-"))
    yield made
    shutil.rmtree(made)


class FakeDaemon:
    """Answers one client by a script of its own, in a thread."""

    def __init__(self, path: Path, script: Callable[[FakeDaemon], None]) -> None:
        self.path = path
        self.asked: dict[str, Any] = {}
        self.connection: socket.socket
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._script = script
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self.connection, _ = self._listener.accept()
        with self.connection:
            self.connection.settimeout(20)
            self.asked = msgspec.json.decode(self.connection.makefile("rb").readline())
            self._script(self)

    def send(self, *parts: bytes) -> None:
        try:
            for part in parts:
                self.connection.sendall(part)
        except OSError:
            pass  # the client has hung up

    def wait_for_end(self) -> None:
        """Until the client shuts its side down."""
        assert self.connection.recv(1) == b""

    def close(self) -> None:
        self._thread.join(20)
        self._listener.close()


@pytest.fixture
def fake(short_dir: Path) -> Iterator[Callable[..., Path]]:
    """Starts fake daemons: octets to send, or a script."""
    started: list[FakeDaemon] = []

    def start(script: bytes | Callable[[FakeDaemon], None], name: str = "depot") -> Path:
        path = short_dir / f"{name}.sock"
        started.append(FakeDaemon(path, script if callable(script) else lambda daemon: daemon.send(script)))
        return path

    start.started = started  # type: ignore[attr-defined]
    yield start
    for daemon in started:
        daemon.close()


def read(path: Path) -> tuple[list[Any], list[str]]:
    """All that a daemon says: the records, the remarks."""
    with LiveSource({path: ()}) as source:
        told = list(source)
    return [one for one in told if not isinstance(one, Remark)], [one.text for one in told if isinstance(one, Remark)]


# What comes.


def test_every_kind_of_record_with_its_node(fake: Callable[..., Path]) -> None:
    records, remarks = read(fake(first_line() + frame(*RECORDS)))
    assert records == [msgspec.structs.replace(record, node="depot") for record in RECORDS]
    assert remarks == ["depot: the daemon has ended"]


@given(st.lists(st.integers(0, 4), max_size=12), st.randoms(use_true_random=False))
def test_frames_in_any_pieces(kinds: list[int], draw: Any) -> None:
    """However the octets are cut, the same records come."""
    records = [RECORDS[kind] for kind in kinds]
    octets = first_line() + b"".join(frame(*records[at:at + 3]) for at in range(0, len(records), 3)) + frame()
    cuts = sorted(draw.sample(range(len(octets)), min(6, len(octets))))
    directory = Path(tempfile.mkdtemp(prefix="atm-"))
    pieces = [octets[one:two] for one, two in zip([0, *cuts], [*cuts, len(octets)], strict=True)]
    daemon = FakeDaemon(directory / "depot.sock", lambda daemon: daemon.send(*pieces))
    got, _ = read(daemon.path)
    daemon.close()
    shutil.rmtree(directory)
    assert [msgspec.structs.replace(record, node="") for record in got] == records


def test_the_request_to_a_daemon(fake: Callable[..., Path]) -> None:
    path = fake(first_line())
    with LiveSource({path: ["to-web1"]}, cells=False, known=7) as source:
        list(source)
    [daemon] = fake.started  # type: ignore[attr-defined]
    assert daemon.asked == {
        "trace": {"links": ["to-web1"], "cells": False, "drops": True, "sessions": True, "known": 7}}


def test_several_daemons_each_in_its_order(fake: Callable[..., Path]) -> None:
    def script(name: str) -> Callable[[FakeDaemon], None]:
        def run(daemon: FakeDaemon) -> None:
            daemon.send(first_line(node=name))
            for number in range(50):
                daemon.send(frame(Drop(number, "", "not-ip", 1)))
        return run

    names = ["depot", "web1", "web2"]
    with LiveSource({fake(script(name), name): () for name in names}) as source:
        assert list(source.nodes) == names
        assert source.nodes["depot"].links["to-web1"].peer == "web1"
        told = list(source)
    for name in names:
        assert [one.time for one in told if isinstance(one, Drop) and one.node == name] == list(range(50))
    ends = sorted(one.text for one in told if isinstance(one, Remark))
    assert ends == [f"{name}: the daemon has ended" for name in names]


def test_missed_items_are_added_up(fake: Callable[..., Path]) -> None:
    path = fake(first_line() + frame(Missed(1, cells=2)) + frame(Missed(2, 3, 4, 5)))
    with LiveSource({path: ()}) as source:
        list(source)
    assert source.missed == Missed(2, 5, 4, 5)


def test_an_idle_source_gives_none(fake: Callable[..., Path]) -> None:
    def script(daemon: FakeDaemon) -> None:
        daemon.send(first_line(), frame(RECORDS[0]))
        daemon.wait_for_end()

    with LiveSource({fake(script): ()}, idle=0.01) as source:
        told = iter(source)
        assert isinstance(next(told), Cells)
        assert [next(told), next(told), next(told)] == [None] * 3
        source.stop()
        assert [one for one in told if one is not None] == []


# Several nodes in the order of their times.


class Steered:
    """Fake daemons that send when the test says so."""

    def __init__(self, fake: Callable[..., Path], *names: str) -> None:
        self._go = {name: queue.SimpleQueue[bytes]() for name in names}
        self.paths: dict[Path, tuple[()]] = {fake(self._script(name), name): () for name in names}

    def _script(self, name: str) -> Callable[[FakeDaemon], None]:
        def run(daemon: FakeDaemon) -> None:
            daemon.send(first_line(node=name))
            while octets := self._go[name].get(timeout=20):
                daemon.send(octets)

        return run

    def send(self, name: str, *records: Any) -> None:
        self._go[name].put(frame(*records))

    def end(self, *names: str) -> None:
        for name in names or self._go:
            self._go[name].put(b"")


def dropped(node: str, time: int) -> Drop:
    return Drop(time, "", "not-ip", 1, node=node)


def sent(record: Drop) -> Drop:
    return msgspec.structs.replace(record, node="")


def test_a_node_that_is_heard_late_is_waited_for(fake: Callable[..., Path]) -> None:
    early, late = dropped("depot", 5), dropped("web1", 6)
    daemons = Steered(fake, "depot", "web1")
    with LiveSource(daemons.paths, idle=0.01) as source:
        told = iter(source)
        daemons.send("web1", sent(late), Watermark(9))
        assert [next(told) for _ in range(5)] == [None] * 5
        daemons.send("depot", sent(early), Watermark(7))
        assert [one for one in (next(told) for _ in range(2)) if one is not None] == [early, late]
        daemons.end()
        assert [one for one in told if not isinstance(one, Remark | None)] == []


def test_known_sessions_come_before_records_of_other_nodes(fake: Callable[..., Path]) -> None:
    there = msgspec.structs.replace(SESSION, event="known", time=100)
    late = dropped("web1", 6)
    daemons = Steered(fake, "depot", "web1")
    with LiveSource(daemons.paths) as source:
        daemons.send("web1", sent(late), Watermark(200))
        daemons.send("depot", there)
        told = iter(source)
        assert next(told) == msgspec.structs.replace(there, node="depot")
        daemons.send("depot", Watermark(6))
        assert next(told) == late
        daemons.end()
        assert {type(one) for one in told} == {Remark}


def test_watermarks_alone_count_as_idle(fake: Callable[..., Path]) -> None:
    """They keep the source awake, and whoever flushes when it is idle must hear of it all the same."""
    over = threading.Event()

    def script(daemon: FakeDaemon) -> None:
        daemon.send(first_line())
        number = 0
        while not over.is_set():
            daemon.send(frame(Watermark(number := number + 1)))
            over.wait(0.001)

    with LiveSource({fake(script): ()}, idle=0.02) as source:
        told = iter(source)
        assert [next(told) for _ in range(3)] == [None] * 3
        over.set()
        assert [one for one in told if one is not None] == [Remark("depot: the daemon has ended")]


def test_an_ended_daemon_holds_up_no_records(fake: Callable[..., Path]) -> None:
    late = dropped("web1", 6)
    daemons = Steered(fake, "depot", "web1")
    with LiveSource(daemons.paths) as source:
        daemons.send("web1", sent(late))
        daemons.end("depot")
        told = iter(source)
        assert [next(told), next(told)] == [Remark("depot: the daemon has ended"), late]
        daemons.end("web1")
        assert list(told) == [Remark("web1: the daemon has ended")]


@pytest.mark.parametrize("idle", [None, 0.01])
def test_a_stuck_daemon_is_not_waited_for_for_ever(
        fake: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, idle: float | None) -> None:
    monkeypatch.setattr(merge, "PATIENCE", 50_000_000)
    late = dropped("web1", 6)
    daemons = Steered(fake, "depot", "web1")
    with LiveSource(daemons.paths, idle=idle) as source:
        daemons.send("web1", sent(late))
        told = (one for one in source if one is not None)
        remark = next(told)
        assert isinstance(remark, Remark)
        assert remark.text.startswith("depot: the daemon says nothing; ")
        assert next(told) == late
        daemons.end()
        assert {type(one) for one in told} == {Remark}


def test_held_records_are_given_when_a_daemon_does_not_end(
        fake: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_GRACE", 0.05)
    monkeypatch.setattr(live, "_DRAIN", 0.05)
    late = dropped("web1", 6)
    daemons = Steered(fake, "depot", "web1")
    with LiveSource(daemons.paths, idle=0.01) as source:
        told = iter(source)
        daemons.send("web1", sent(late))
        while not source._order.is_holding:
            assert next(told) is None
        source.stop()
        given = [one for one in told if one is not None]
        assert (given[0], {type(one) for one in given[1:]}) == (late, {Remark})
        assert source.missed == Missed(0)
    daemons.end()


# Ends.


def test_stop_delivers_the_rest(fake: Callable[..., Path]) -> None:
    def script(daemon: FakeDaemon) -> None:
        daemon.send(first_line(), frame(RECORDS[0]))
        daemon.wait_for_end()
        daemon.send(frame(RECORDS[1]), frame(RECORDS[2]))

    with LiveSource({fake(script): ()}) as source:
        told = iter(source)
        assert isinstance(next(told), Cells)
        thread = threading.Thread(target=source.stop)
        thread.start()
        assert [type(one) for one in told] == [Drop, Drop]
        thread.join()


def test_stop_before_it_has_begun(fake: Callable[..., Path]) -> None:
    def script(daemon: FakeDaemon) -> None:
        daemon.send(first_line())
        daemon.wait_for_end()
        daemon.send(frame(RECORDS[0]))

    with LiveSource({fake(script): ()}) as source:
        source.stop()
        source.stop()
        assert [type(one) for one in source] == [Cells]


def test_a_daemon_that_does_not_end_is_given_up(fake: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_GRACE", 0.05)
    monkeypatch.setattr(live, "_DRAIN", 0.05)
    over = threading.Event()

    def script(daemon: FakeDaemon) -> None:
        daemon.send(first_line())
        assert over.wait(20)

    with LiveSource({fake(script): ()}) as source:
        waiting = threading.Timer(0.01, source.stop)
        waiting.start()
        assert list(source) == [Remark("depot: the daemon did not end in time; more was missed than is counted")]
        waiting.join()
    over.set()


def test_records_too_late_to_show_count_as_missed(
        fake: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_GRACE", 0.0)
    cells, drop = Cells(1, "to-web1", "in", bytes(53) * 7), Drop(1, "to-web1", "unknown-vc", 3)
    late = [cells, drop, Missed(2, cells=100, sessions=5), cells]

    def script(daemon: FakeDaemon) -> None:
        daemon.send(first_line())
        daemon.wait_for_end()
        daemon.send(frame(*late[:2]))
        daemon.send(frame(*late[2:]))

    with LiveSource({fake(script): ()}) as source:
        source.stop()
        assert [one for one in source if isinstance(one, Remark)] == []
        seen = source.missed
    assert (seen.cells, seen.drops, seen.sessions) == (114, 3, 5)


def test_waiting_after_stop_is_no_busy_loop(fake: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_GRACE", 0.2)
    over = threading.Event()
    times: list[float | None] = []
    real = LiveSource._timeout
    monkeypatch.setattr(LiveSource, "_timeout", lambda self: times.append(real(self)) or times[-1])

    def script(daemon: FakeDaemon) -> None:
        daemon.send(first_line())
        assert over.wait(20)

    with LiveSource({fake(script): ()}) as source:
        source.stop()
        list(source)
    over.set()
    assert len(times) <= 3


def test_a_signal_handler_may_stop_it(fake: Callable[..., Path]) -> None:
    ready = threading.Event()

    def script(daemon: FakeDaemon) -> None:
        daemon.send(first_line())
        assert ready.wait(20)
        os.kill(os.getpid(), signal.SIGUSR1)
        daemon.wait_for_end()
        daemon.send(frame(RECORDS[0]))

    with LiveSource({fake(script): ()}) as source:
        before = signal.signal(signal.SIGUSR1, lambda *_: source.stop())
        ready.set()
        assert [type(one) for one in source] == [Cells]
    signal.signal(signal.SIGUSR1, before)


# Daemons that cannot be reached, refuse or lie.


def test_an_unreachable_daemon_is_refused(short_dir: Path) -> None:
    path = short_dir / "depot.sock"
    with pytest.raises(AtmdepotError, match=f"^depot: the daemon does not answer on {path}: No such file or "):
        LiveSource({path: ()})
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(AtmdepotError, match=r": Connection refused$"):
        LiveSource({path: ()})


def test_a_refusal_is_told(fake: Callable[..., Path], short_dir: Path) -> None:
    good = fake(first_line(), "web1")
    with pytest.raises(AtmdepotError, match=r"^depot: no \?\[31m$"):
        LiveSource({good: (), fake(b'{"error": "no \\u001b[31m"}\n'): ()})


@pytest.mark.parametrize("line", [
    b"", b"{", b"\n", b"{}\n", b"[]\n", b"\xff\n", b'{"tracing": {}}\n', b'{"tracing": null}\n', b"x" * 2**21,
    first_line(node=""), first_line(node="a\nb"), first_line(links={"a\x1bb": NODE["links"]["to-web1"]}),
    first_line(links={"a": {"interface": "sdh", "cells": 1, "peer": ""}}), first_line(kind=""),
    first_line(links={"a": {"interface": "uni", "cells": 0, "peer": ""}}), first_line()[:-1], first_line(table=5),
    b"[" * 100_000 + b"\n",
])
def test_a_first_line_that_no_daemon_says(fake: Callable[..., Path], line: bytes) -> None:
    with pytest.raises(AtmdepotError, match=r"^depot: the daemon .*: that is not what a daemon says: ") as told:
        LiveSource({fake(line): ()})
    assert str(told.value).isprintable()


def test_a_silent_daemon(fake: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_ANSWER_TIME", 0.05)
    with pytest.raises(AtmdepotError, match=r"^depot: the daemon does not answer on .*timed out$"):
        LiveSource({fake(FakeDaemon.wait_for_end): ()})


@pytest.mark.parametrize("octets", [
    (MAX_FRAME + 1).to_bytes(4, "big"), b"\xff\xff\xff\xff", frame(17), frame(None), frame(["cells"]),
    frame(["cells", 1, "to-web1", "in", "text"]), frame(["cells", "late", "to-web1", "in", CELL]), frame(["what", 1]),
    frame(Cells(1, "to-web1", "in", b"")), frame(Cells(1, "to-web1", "in", CELL[1:])),
    frame(Cells(1, "to-web2", "in", CELL)), frame(Cells(1, "to-web1", "up", CELL)),
    frame(Drop(1, "to-web2", "not-ip", 1)), frame(Drop(1, "", "not\x1bip", 1)), frame(Drop(1, "", "not-ip", 0)),
    frame(Drop(1, "", "not-ip", -3)), frame(Missed(1, -1)), frame(["missed", 1, 0.5]),
    frame(msgspec.structs.replace(SESSION, link="to-web2")), frame(msgspec.structs.replace(SESSION, client="\x1b[2J")),
    b"\0\0\0\0", b"\0\0\0\1\xc1", b"\0\0\0\x02\x91\x91", b"\0\0\x80\0" + b"\x91" * 32768,
    b"\0\0\0\5\xdd\xff\xff\xff\xff", b"\0\0\0\6\x91\xc6\xff\xff\xff\xff",
])
def test_a_frame_that_no_daemon_sends_ends_its_trace(fake: Callable[..., Path], octets: bytes) -> None:
    records, remarks = read(fake(first_line() + frame(RECORDS[0]) + octets + frame(RECORDS[0])))
    assert len(records) <= 1
    [remark] = remarks
    assert remark.startswith("depot: that is not what a daemon says: ")
    assert remark.endswith("; its trace ends here")
    assert remark.isprintable()
    assert len(remark) < 400


def test_a_frame_that_is_too_long_is_not_waited_for(fake: Callable[..., Path]) -> None:
    def script(daemon: FakeDaemon) -> None:
        daemon.send(first_line(), (MAX_FRAME + 1).to_bytes(4, "big"))
        daemon.wait_for_end()

    _, remarks = read(fake(script))
    assert remarks == ["depot: that is not what a daemon says: a frame of 1048577 octets; its trace ends here"]


def test_a_stream_that_breaks_off(fake: Callable[..., Path]) -> None:
    records, remarks = read(fake(first_line() + frame(RECORDS[0]) + frame(RECORDS[1])[:-1]))
    assert len(records) == 1
    assert remarks == ["depot: that is not what a daemon says: it broke off within a frame; its trace ends here"]


def test_a_lying_daemon_does_not_end_the_trace(fake: Callable[..., Path]) -> None:
    def honest(daemon: FakeDaemon) -> None:
        daemon.send(first_line(node="web1"))
        daemon.wait_for_end()
        daemon.send(frame(RECORDS[0]))

    with LiveSource({fake(first_line() + b"\xff" * 10): (), fake(honest, "web1"): ()}) as source:
        told = iter(source)
        assert isinstance(next(told), Remark)
        source.stop()
        assert [(type(one), one.node) for one in told] == [(Cells, "web1")]


@given(st.binary(max_size=200))
def test_any_octets_give_records_and_remarks_only(octets: bytes) -> None:
    directory = Path(tempfile.mkdtemp(prefix="atm-"))
    daemon = FakeDaemon(directory / "depot.sock", lambda daemon: daemon.send(first_line() + octets))
    records, remarks = read(daemon.path)
    daemon.close()
    shutil.rmtree(directory)
    assert records == []
    assert len(remarks) == 1


# Real daemons.


@pytest.fixture
async def it(short_dir: Path) -> AsyncIterator[Controlled]:
    async for made in running(short_dir):
        yield made


async def collect(it: Controlled, source: LiveSource, act: Callable[[], Any]) -> list[Any]:
    """The items of a source while something is done, and until it is stopped."""
    told: list[Any] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, lambda: told.extend(source))
        await act()
        source.stop()
    return told


async def test_a_real_depot_and_edge(it: Controlled) -> None:
    source = await trio.to_thread.run_sync(lambda: LiveSource({it.servers[name].path: () for name in (DEPOT, WEB1)}))
    with source:
        assert {name: (told.kind, list(told.links)) for name, told in source.nodes.items()} == {
            "depot": ("depot", ["to-web1", "to-web2"]), "web1": ("edge", ["to-web1"])}

        async def act() -> None:
            await handshake(it)

        told = await collect(it, source, act)
    assert [one.direction for one in told if isinstance(one, Cells) and one.node == "depot"] == ["out", "in", "out"]
    assert [one.direction for one in told if isinstance(one, Cells) and one.node == "web1"] == ["in", "out", "in"]
    assert [one.event for one in told if isinstance(one, SessionChange)] == ["opened", "established"]
    assert [one.time for one in told] == sorted(one.time for one in told)
    assert [(one.node, one.direction) for one in told if isinstance(one, Cells)][:2] == [
        ("depot", "out"), ("web1", "in")]
    assert not [one for one in told if isinstance(one, Remark)]
    assert source.missed == Missed(0)


async def test_known_sessions_come_from_an_idle_network(it: Controlled) -> None:
    for port in (40_000, 40_001):
        it.nodes.put(DEPOT, Connection(port).syn)
    await until(lambda: it.nodes.pumps[DEPOT].node.sessions.opened == 2)
    source = await trio.to_thread.run_sync(lambda: LiveSource({it.path: ()}))
    with source:
        assert [(one.event, one.number) for one in await trio.to_thread.run_sync(
            lambda: [next(told) for told in [iter(source)] for _ in range(2)])] == [("known", 2), ("known", 1)]


# The reader's place.


def test_give_way_takes_the_lowest_priority() -> None:
    code = "import os; from atmdepot.trace.live import give_way; give_way(); give_way(); print(os.nice(0))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "19\n"
    assert callable(give_way)
