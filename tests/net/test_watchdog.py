"""The watchdog over the loop, by clocks of the test's own: wall clock and the thread's processor time."""

from __future__ import annotations

import gc
import os
import time
from typing import TYPE_CHECKING

import pytest
import trio

from atmdepot.net import daemon
from atmdepot.net.hosting import HostLoop, Steps
from atmdepot.net.watchdog import FROM_TUN, GUEST, LIMIT, TIMERS, Watchdog
from tests.net.nodes import DEPOT, WEB1, Nodes, network

if TYPE_CHECKING:
    from collections.abc import Iterator

MS = 1_000_000


class Thread:
    """A thread: it works, it waits for something, or for its processor."""

    def __init__(self) -> None:
        self.now, self.used, self.asked = 10**12, 5 * 10**9, 0
        self.watchdog = Watchdog(self.processor_time)

    def processor_time(self) -> int:
        self.asked += 1
        return self.used

    def clock(self) -> int:
        return self.now

    def works(self, ms: float) -> None:
        self.now += round(ms * MS)
        self.used += round(ms * MS)

    def waits(self, ms: float) -> None:
        self.now += round(ms * MS)

    def turn(self, *parts: tuple[str, float], preempted: float = 0) -> None:
        for doing, ms in parts:
            self.watchdog.begins(doing, self.now)
            self.works(ms)
        self.waits(preempted)
        self.watchdog.ends(self.now)


@pytest.fixture
def thread() -> Thread:
    made = Thread()
    made.turn((TIMERS, 0.1))
    return made


@pytest.mark.parametrize("idle", [0, 0.1, 50, 5000])
def test_a_long_turn_is_told_with_its_longest_part(
    thread: Thread, caplog: pytest.LogCaptureFixture, idle: float,
) -> None:
    thread.waits(idle)
    thread.turn((FROM_TUN, 1), ("to-web1", 9), (TIMERS, 0.2))
    assert thread.watchdog.count == 1
    assert thread.watchdog.last == "to-web1"
    assert 9 * MS <= thread.watchdog.longest <= 10.2 * MS
    [record] = caplog.records
    assert "to-web1" in record.message


@pytest.mark.parametrize("ms", [0, 0.001, 1, 4.9])
def test_a_short_turn_is_not(thread: Thread, ms: float) -> None:
    for _ in range(50):
        thread.turn((FROM_TUN, ms))
        thread.waits(0.3)
    assert thread.watchdog.count == 0


@pytest.mark.parametrize("idle", [0, 0.2, 3, 1000])
def test_who_waited_for_the_processor_is_not_blamed(thread: Thread, idle: float) -> None:
    for _ in range(20):
        thread.turn((FROM_TUN, 1), preempted=40)
        thread.waits(idle)
    assert thread.watchdog.count == 0


def test_a_long_turn_is_found_amid_short_ones(thread: Thread) -> None:
    for _ in range(1000):
        thread.turn((FROM_TUN, 0.05), ("to-web1", 0.05))
        thread.waits(0.02)
    thread.turn((FROM_TUN, 8))
    assert (thread.watchdog.count, thread.watchdog.last) == (1, FROM_TUN)


def test_the_processor_time_is_asked_for_rarely(thread: Thread) -> None:
    """It is a system call: two for each turn would cost more than the turn's own."""
    before, began = thread.asked, thread.now
    for _ in range(10_000):
        thread.turn((FROM_TUN, 0.02))
    assert thread.asked - before <= (thread.now - began) / MS


def test_each_kind_is_logged_once_a_minute_and_all_are_counted(
    thread: Thread, caplog: pytest.LogCaptureFixture,
) -> None:
    for _ in range(100):
        for doing in (FROM_TUN, "to-web1"):
            thread.turn((doing, 6))
        thread.waits(500)
    assert thread.watchdog.count == 200
    assert len(caplog.records) == 2
    thread.waits(60_000)
    thread.turn((FROM_TUN, 6))
    assert len(caplog.records) == 3
    assert "99 more" in caplog.records[-1].message


def test_a_task_of_trios_is_named(thread: Thread) -> None:
    thread.watchdog.task_of = lambda: "show sessions"
    thread.turn((GUEST, 7))
    assert thread.watchdog.last == "trio: show sessions"


def test_a_pump_tells_the_watchdog_what_it_does() -> None:
    thread = Thread()
    nodes = Nodes(network(), clock=thread.clock)
    ready = os.eventfd(1)
    pump = nodes.pumps[DEPOT]
    try:
        pump.watchdog = thread.watchdog
        pump.start()
        pump.turn(0)

        def handle(_: int) -> None:
            os.eventfd_read(ready)
            thread.works(LIMIT / MS + 1)

        pump.watch(ready, handle)
        pump.turn(0)
        assert (thread.watchdog.count, thread.watchdog.last.split(":")[0]) == (1, GUEST)
        os.eventfd_write(ready, 1)
        pump.watch(ready, lambda _: (os.eventfd_read(ready), thread.waits(100)))
        pump.turn(0)
        assert thread.watchdog.count == 1
    finally:
        nodes.close()
        os.close(ready)


def test_the_step_that_took_longest_names_the_task(caplog: pytest.LogCaptureFixture) -> None:
    nodes = Nodes(network())
    pump = nodes.pumps[WEB1]
    pump.watchdog = Watchdog(limit=-1)  # all turns
    host = HostLoop(pump)

    async def slow() -> None:
        trio.lowlevel.current_task().name = "slow"
        end = time.thread_time_ns() + 20 * MS
        while time.thread_time_ns() < end:
            pass
        await trio.sleep_forever()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(host.data_path)
            nursery.start_soon(slow)
            await trio.sleep(0.01)
            nursery.cancel_scope.cancel()

    host.run(main)
    assert any("trio: slow" in record.message for record in caplog.records)
    nodes.close()


def test_steps_are_of_one_call() -> None:
    steps = Steps()

    class Task:
        name = "a task"

    steps.begin()
    steps.before_task_step(Task)  # type: ignore[arg-type]
    while steps.longest() != "a task":
        steps.after_task_step(Task)  # type: ignore[arg-type]
    steps.begin()
    assert steps.longest() != "a task"


# The garbage collector.


@pytest.fixture
def calm() -> Iterator[list[int]]:
    """The generations that are collected after a daemon has calmed the collector."""
    before = gc.get_threshold()
    generations: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            generations.append(info["generation"])

    daemon._calm_the_garbage_collector()
    gc.callbacks.append(note)
    yield generations
    gc.callbacks.remove(note)
    gc.set_threshold(*before)
    gc.unfreeze()


def test_old_objects_are_not_walked_while_there_are_many(calm: list[int]) -> None:
    kept = [[number] for number in range(1_500_000)]
    assert len(kept) == 1_500_000
    assert calm
    assert 2 not in calm


def test_a_young_collection_walks_few_objects(calm: list[int]) -> None:
    young, middle, _ = gc.get_threshold()
    assert young * (middle + 1) <= 20_000


async def test_all_is_collected_now_and_then_while_there_are_few(
    calm: list[int], autojump_clock: trio.testing.MockClock, nursery: trio.Nursery,
) -> None:
    nodes = Nodes(network())
    nursery.start_soon(daemon._collect_all, nodes.pumps[DEPOT].node)
    await trio.sleep(200)
    assert calm.count(2) >= 2
    nodes.close()
