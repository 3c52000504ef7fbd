"""Events lead to a check soon, an overflow too; whoever fights is given way for a while."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from atmdepot.net import netlink
from atmdepot.net.host_watch import MOST_A_MINUTE, HostWatch, Moderation
from atmdepot.net.netlink import Event, events_in, open_events

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterator

    from trio.testing import MockClock

LINK = bytes.fromhex("20000000100000000000000000000000000000000700000043100000ffffffff")
"""RTM_NEWLINK of interface 7, without attributes."""


class Setup:
    """Stands in for a host's set-up: it counts checks, and says what it is told to."""

    is_wanted = True

    def __init__(self) -> None:
        self.checks: list[tuple[set[str], bool]] = []
        self.times: list[float] = []
        self.lost = 0
        self.missing: dict[str, str] = {}
        self.heeds = True
        self.fails: OSError | None = None

    def concerns(self, event: Event) -> bool:
        return self.heeds

    def rivals(self, event: Event) -> set[str]:
        return {"ours"} if event.kind == netlink.NEW_ROUTE else set()

    def check(self, rivals: Collection[str] = (), *, unseen: bool = False) -> Iterator[str]:
        self.checks.append((set(rivals), unseen))
        self.times.append(trio.current_time())
        if self.fails is not None:
            raise self.fails
        yield ""
        if self.lost:
            self.lost -= 1
            yield "a route"
        self.missing = {}


class Overflowing:
    """A netlink socket that says once that it overflowed; the rest is a real socket's."""

    def __init__(self, real: socket.socket) -> None:
        self._real = real
        self.overflowed = False
        self.closed = False

    def fileno(self) -> int:
        return self._real.fileno()

    def recv(self, most: int) -> bytes:
        if self.overflowed:
            self.overflowed = False
            self._real.recv(most)
            raise OSError(errno.ENOBUFS, "No buffer space available")
        return self._real.recv(most)

    def close(self) -> None:
        self.closed = True
        self._real.close()


class Watched:
    """A watch that runs, and the other end of its socket."""

    def __init__(self) -> None:
        ours, self.kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, self.kernel):
            end.setblocking(False)
        self.socket = Overflowing(ours)
        self.setup = Setup()
        self.watch: Any = HostWatch(self.setup, lambda: self.socket)  # type: ignore[arg-type, return-value]


@pytest.fixture
async def it(nursery: trio.Nursery) -> AsyncIterator[Watched]:
    made = Watched()
    nursery.start_soon(made.watch.run)
    await trio.testing.wait_all_tasks_blocked()
    yield made
    made.kernel.close()


async def test_an_event_leads_to_one_check_with_all_that_follow(it: Watched, autojump_clock: MockClock) -> None:
    assert it.setup.checks == [(set(), False)]
    for _ in range(200):
        it.kernel.send(LINK)
    await trio.sleep(1)
    assert it.setup.checks == [(set(), False)] * 2
    assert it.setup.times[1] - it.setup.times[0] < 0.5


async def test_events_of_other_interfaces_lead_to_no_check(it: Watched, autojump_clock: MockClock) -> None:
    it.setup.heeds = False
    it.kernel.send(LINK)
    await trio.sleep(1)
    assert len(it.setup.checks) == 1


async def test_an_overflow_leads_to_a_check_of_everything(it: Watched, autojump_clock: MockClock) -> None:
    it.setup.heeds = False
    it.socket.overflowed = True
    it.kernel.send(LINK)
    await trio.sleep(1)
    assert it.setup.checks[1:] == [(set(), True)]


async def test_rivals_are_told(it: Watched, autojump_clock: MockClock) -> None:
    route = bytearray(LINK[:4] + bytes([netlink.NEW_ROUTE]) + LINK[5:])
    it.kernel.send(route)
    await trio.sleep(1)
    assert it.setup.checks[1:] == [({"ours"}, False)]


async def test_without_events_all_is_checked_now_and_then(it: Watched, autojump_clock: MockClock) -> None:
    await trio.sleep(3600)
    assert 60 <= len(it.setup.checks) <= 3600


async def test_whoever_fights_is_given_way(
    it: Watched, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture,
) -> None:
    it.setup.lost = 10**9
    for _ in range(600):
        it.kernel.send(LINK)
        await trio.sleep(0.5)
    times = it.setup.times[1:]
    spans = zip(times, times[MOST_A_MINUTE:], strict=False)
    assert all(later - earlier >= 60 for earlier, later in spans)
    assert len(it.setup.checks) > 2 * MOST_A_MINUTE
    assert [record.levelname for record in caplog.records].count("ERROR") <= 10
    assert caplog.records


async def test_a_fight_shows_as_a_problem(it: Watched, autojump_clock: MockClock) -> None:
    it.setup.lost = MOST_A_MINUTE
    for _ in range(MOST_A_MINUTE + 5):
        it.kernel.send(LINK)
        await trio.sleep(0.3)
    assert it.setup.missing
    await trio.sleep(60)
    assert it.setup.missing == {}


async def test_nothing_runs_where_nothing_is_set_up() -> None:
    watched = Watched()
    watched.setup.is_wanted = False
    await watched.watch.run()
    assert watched.setup.checks == []
    watched.socket.close()
    watched.kernel.close()


async def test_where_no_events_can_be_had_all_is_checked_by_time(
    nursery: trio.Nursery, autojump_clock: MockClock,
) -> None:
    def refuse() -> socket.socket:
        raise OSError(errno.EPERM, "Operation not permitted")

    setup: Any = Setup()
    nursery.start_soon(HostWatch(setup, refuse).run)
    await trio.sleep(100)
    assert len(setup.checks) >= 3


def test_moderation_lets_so_many_through_a_minute() -> None:
    moderation = Moderation(3)
    for now in (10.0, 20.0, 30.0):
        assert moderation.pause(now) == 0
        moderation.note(now)
    assert Moderation(3).pause(31.0) == 0
    assert moderation.pause(31.0) == 60.0
    assert moderation.pause(91.0) == 0
    for now in (100.0, 120.0, 140.0):
        moderation.note(now)
    assert moderation.pause(160.0) == 0


# Messages.


def test_a_route_is_read() -> None:
    attributes = bytes.fromhex("08000f00b4140000080001000a500001080004000900000008000600"
                               "00040000")
    body = bytes([2, 32, 0, 0, 252, 3, 0, 1]) + bytes(4) + attributes
    message = (16 + len(body)).to_bytes(4, "little") + bytes([netlink.DEL_ROUTE, 0]) + bytes(10) + body
    assert list(events_in(message * 2)) == [
        Event(netlink.DEL_ROUTE, 9, 5300, bytes([10, 80, 0, 1]), 32, 1024)] * 2


@pytest.mark.parametrize("length", range(len(LINK)))
def test_a_message_cut_short_is_no_event(length: int) -> None:
    assert list(events_in(LINK[:length])) == []


def test_no_length_leads_astray() -> None:
    for length in (0, 1, 15, 17, 31, 33, 2**32 - 1):
        assert len(list(events_in(length.to_bytes(4, "little") + LINK[4:] + LINK))) <= 1


def test_the_kernels_events_can_be_heard() -> None:
    with open_events() as events, pytest.raises(BlockingIOError):
        events.recv(1)


async def test_a_host_without_descriptors_ends_no_daemon_and_is_looked_at_again(
        it: Watched, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    it.setup.fails = OSError(errno.EMFILE, "Too many open files")
    await trio.sleep(60)
    told = [record.message for record in caplog.records]
    assert told == ["what is set up on this host cannot be looked at: Too many open files"]
    assert it.setup.missing == {"a look at the set-up": "Too many open files"}
    checks = len(it.setup.checks)
    it.setup.fails = None
    await trio.sleep(3)
    assert it.setup.checks[checks:] == [(set(), True)], "soon, and all of it"
