"""Chores of a pump: asked when they are due after each turn, and attended to between bursts."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from atmdepot.net.chores import NEVER, Chore
from tests.net.nodes import DEPOT, WEB1, Nodes, network

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio.testing import MockClock

    from atmdepot.net.pump import Pump


class Alarm(Chore):
    """A chore that is due at a time, and notes when it was attended to."""

    name = "an alarm"

    def __init__(self, due: int) -> None:
        self.due = due
        self.attended: list[int] = []

    def next_due(self, now: int) -> int:
        return self.due

    def attend(self, now: int) -> None:
        self.attended.append(now)
        self.due = NEVER


class Counting(Alarm):
    """A chore that counts how often it is asked."""

    asked = 0

    def next_due(self, now: int) -> int:
        self.asked += 1
        return self.due


@pytest.fixture
def time() -> list[int]:
    return [0]


@pytest.fixture
def pump(time: list[int]) -> Iterator[Pump]:
    nodes = Nodes(network(), lambda: time[0])
    nodes.pumps[DEPOT].start()
    yield nodes.pumps[DEPOT]
    nodes.close()


def test_a_turn_waits_no_longer_than_until_a_chore_is_due(pump: Pump, time: list[int]) -> None:
    pump.turn(0)  # what the node has due at its start
    alarm = Alarm(2_000_000)
    pump.take_on(alarm)
    assert pump.turn(0) == pytest.approx(0.002)
    assert alarm.attended == []
    time[0] = 2_000_000
    assert pump.turn(0) > 0.01
    assert alarm.attended == [2_000_000]


def test_a_descriptor_that_was_let_go_is_handled_no_more(pump: Pump) -> None:
    one, other = socket.socketpair()
    with one, other:
        seen: list[int] = []
        pump.watch(one.fileno(), seen.append)
        other.send(b"1")
        pump.turn(0)
        assert len(seen) == 1
        pump.let_go(one.fileno())
        pump.turn(0)
        assert len(seen) == 1


def test_chores_are_asked_once_in_a_millisecond_of_traffic(pump: Pump, time: list[int]) -> None:
    """To ask is Python's work, and a turn handles few packets: under load it would cost more than they do."""
    pump.turn(0)
    alarm = Counting(1 << 40)
    pump.take_on(alarm)
    one, other = socket.socketpair()
    with one, other:
        pump.watch(one.fileno(), lambda _: None)  # always ready: it is never read
        other.send(b"1")
        for now in range(0, 5_000_001, 10_000):
            time[0] = now
            pump.turn(0)
        assert 5 <= alarm.asked <= 7
        one.recv(1)
    time[0] += 1_000_000
    assert pump.turn(0) > 0.01  # asked once more; without traffic its answer stays good
    asked = alarm.asked
    pump.turn(0)
    assert alarm.asked == asked


async def test_the_first_chore_that_a_task_gives_a_waiting_pump_is_attended_to(autojump_clock: MockClock) -> None:
    """The pump of an edge node waits an hour, since it has no timer yet, and nothing comes that could wake it."""
    nodes = Nodes(network(), lambda: int(trio.current_time() * 1e9))
    pump = nodes.pumps[WEB1]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump.run)
        await trio.testing.wait_all_tasks_blocked()
        alarm = Alarm(pump.clock())
        pump.take_on(alarm)
        with trio.move_on_after(60):
            while not alarm.attended:  # noqa: ASYNC110 - what is waited for is in another task
                await trio.sleep(0.1)
        nursery.cancel_scope.cancel()
    nodes.close()
    assert alarm.attended
