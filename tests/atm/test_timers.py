"""The timer wheel against a plain list of deadlines."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from atmdepot.atm.timers import FULL, Expiring, TimerWheel, Walk
from tests.effort import examples

TICK = 10
HORIZON = 60 * TICK
gaps = st.one_of(st.integers(0, 5 * TICK), st.integers(0, 3 * HORIZON))


class Item(Expiring):
    pass


class WheelMachine(RuleBasedStateMachine):
    """Items come, move their deadlines, leave and come back; the caller is as late as it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.wheel = TimerWheel(TICK)
        self.watched: dict[Item, int] = {}
        """Each item and the latest time at which it must be out."""
        self.known: list[Item] = []
        self.now = 0

    def _latest(self, item: Item) -> int:
        return item.deadline + TICK

    @rule(gap=gaps, behind=st.integers(0, 30))
    def add(self, gap: int, behind: int) -> None:
        item = Item(max(0, self.now + gap - behind))
        self.known.append(item)
        self._watch(item)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def add_again(self, data: st.DataObject) -> None:
        self._watch(data.draw(st.sampled_from(self.known)))

    def _watch(self, item: Item) -> None:
        self.wheel.add(item, self.now)
        self.watched[item] = self._latest(item)

    @precondition(lambda self: self.watched)
    @rule(data=st.data(), gap=gaps)
    def deadline_moves_on(self, data: st.DataObject, gap: int) -> None:
        """To a later time, with no word to the wheel: that is what a packet does."""
        item = data.draw(st.sampled_from(list(self.watched)))
        item.deadline += gap
        self.watched[item] = self._latest(item)

    @precondition(lambda self: self.watched)
    @rule(data=st.data(), gap=gaps)
    def deadline_moves_back(self, data: st.DataObject, gap: int) -> None:
        """To an earlier time, told by adding the item again."""
        item = data.draw(st.sampled_from(list(self.watched)))
        item.deadline = max(0, item.deadline - gap)
        self._watch(item)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(self.known))
        self.wheel.remove(item)
        self.watched.pop(item, None)

    @rule(gap=gaps)
    def time_passes(self, gap: int) -> None:
        self.now += gap
        gone = self.wheel.expired(self.now)
        assert len(gone) == len(set(gone)), "an item came twice"
        for item in gone:
            assert self.watched.pop(item) >= 0
            assert item.deadline <= self.now, "too early"
            assert item.slot == -1
        assert all(latest > self.now for latest in self.watched.values()), "too late"
        assert self.wheel.expired(self.now) == []

    @invariant()
    def next_timer_is_early_enough_and_not_past(self) -> None:
        due = self.wheel.next_timer()
        if self.watched:
            assert due is not None
            # An item far ahead is looked at on the way, so that the horizon bounds what a moved deadline costs.
            assert due <= max(min(self.watched.values()), self.now + TICK)
            assert due <= self.now + HORIZON + TICK

    @invariant()
    def nothing_is_held_that_is_not_watched(self) -> None:
        held = [item for bucket in self.wheel._slots.values() for item in bucket]
        assert len(held) == len(self.watched)
        assert set(held) == set(self.watched)
        assert len(self.wheel._due) == len(self.wheel._slots) <= 62


WheelMachine.TestCase.settings = examples(120, stateful_step_count=40, deadline=None)
TestWheelMachine = WheelMachine.TestCase


def test_an_item_is_out_up_to_a_tick_after_its_deadline_never_before() -> None:
    wheel = TimerWheel(TICK)
    item = Item(25)
    wheel.add(item, 0)
    assert [wheel.expired(now) for now in (24, 25, 29)] == [[], [], []]
    assert wheel.next_timer() == 30
    assert wheel.expired(30) == [item]
    assert wheel.next_timer() is None


@pytest.mark.parametrize("moved", [31, 35, 39, 40, 600])
def test_a_deadline_that_moved_on_is_kept_though_its_slot_has_come(moved: int) -> None:
    """It was looked at where it stood before, and goes to a later slot."""
    wheel = TimerWheel(TICK)
    item = Item(25)
    wheel.add(item, 0)
    item.deadline = moved
    assert wheel.expired(30) == []
    assert wheel.next_timer() == (moved // TICK + 1) * TICK
    assert wheel.expired(moved - 1) == []
    assert wheel.expired(moved + TICK) == [item]


@pytest.mark.parametrize("deadline", [0, 599, 600, 601, 10_000])
def test_a_caller_who_follows_next_timer_gets_every_item_within_a_tick(deadline: int) -> None:
    wheel = TimerWheel(TICK)
    item = Item(deadline)
    wheel.add(item, 0)
    calls = []
    while (now := wheel.next_timer()) is not None:
        calls.append((now, wheel.expired(now)))
    assert [gone for _, gone in calls] == [[]] * (len(calls) - 1) + [[item]]
    assert deadline <= calls[-1][0] <= deadline + TICK
    assert len(calls) <= deadline // HORIZON + 1


def test_a_flood_of_items_taken_out_leaves_nothing() -> None:
    wheel = TimerWheel(TICK)
    for _ in range(10_000):
        item = Item(HORIZON * 2)
        wheel.add(item, 0)
        wheel.remove(item)
    assert sum(map(len, wheel._slots.values())) == 0


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 100])
def test_a_bound_on_what_is_looked_at_leaves_the_rest_for_the_next_call(count: int) -> None:
    """In the same order as without, items that leave meanwhile left out, and until then a timer is due."""
    wheel = TimerWheel(TICK)
    wheel.most = 10
    items = [Expiring(5 * TICK + number) for number in range(count)]
    later = Expiring(50 * TICK)
    for item in (*items, later):
        wheel.add(item, 0)
    now = 60 * TICK
    gone: list[Expiring] = []
    while (due := wheel.next_timer()) is not None and due <= now:
        some = wheel.expired(now)
        assert len(some) <= 10
        gone += some
        if len(gone) == 10 and count == 100:
            wheel.remove(items[12])
    assert gone == [item for item in (*items, later) if not (count == 100 and item is items[12])]
    assert wheel._slots == {}


def test_an_earlier_slot_between_two_calls_is_not_lost() -> None:
    wheel = TimerWheel(TICK)
    wheel.most = 2
    items = [Expiring(5 * TICK) for _ in range(5)]
    for item in items:
        wheel.add(item, 0)
    gone = wheel.expired(10 * TICK)
    earlier = Expiring(2 * TICK)
    wheel.add(earlier, 0)
    while wheel.next_timer() is not None:
        gone += wheel.expired(10 * TICK)
    assert len(gone) == 6
    assert set(gone) == {*items, earlier}


@given(st.lists(st.integers(0, 200), min_size=1, max_size=40), st.lists(st.tuples(st.sampled_from(
    ("take", "add", "remove", "move", "expire")), st.integers(0, 39), st.integers(0, 200)), max_size=60))
@examples(150)
def test_walk_meets_all_items_that_are_there_from_its_begin_to_its_end(
    deadlines: list[int], steps: list[tuple[str, int, int]],
) -> None:
    wheel, now = TimerWheel(), 0
    items = [Expiring(deadline * 1_000_000_000) for deadline in deadlines]
    for item in items:
        wheel.add(item, now)
    stayed, walk = set(map(id, items)), Walk(wheel)
    met: set[int] = set()
    for what, number, value in steps:
        item = items[number % len(items)]
        if what == "take":
            met |= set(map(id, walk.take(1 + value % 3)))
        elif what == "add":
            items.append(Expiring(value * 1_000_000_000))
            wheel.add(items[-1], now)
        elif what == "remove":
            wheel.remove(item)
            stayed.discard(id(item))
        elif what == "move" and item.slot >= 0:
            item.deadline = value * 1_000_000_000
            wheel.add(item, now)
        elif what == "expire":
            now += value * 1_000_000_000 // 10
            stayed -= set(map(id, wheel.expired(now)))
    while taken := walk.take(5):
        met |= set(map(id, taken))
    assert walk.over
    assert wheel.walks == ()
    assert stayed <= met


def test_many_items_of_one_deadline_stand_in_many_slots_and_expire_in_time() -> None:
    wheel, count = TimerWheel(TICK), 5 * FULL
    deadline = 300 * TICK
    for _ in range(count):
        wheel.add(Expiring(deadline), 0)
    assert FULL <= wheel.most_moved() < FULL + count / 60 + 1
    now, gone = 0, 0
    while (due := wheel.next_timer()) is not None:
        now = due
        gone += len(wheel.expired(now))
        assert not gone or now >= deadline
    assert gone == count
    assert now <= deadline + TICK


def test_slots_that_fill_together_grow_at_different_times() -> None:
    wheel, deadline = TimerWheel(TICK), 300 * TICK
    for _ in range(FULL):
        wheel.add(Expiring(deadline), 0)
    most = 0
    for _ in range(100):
        before = {slot: sys.getsizeof(items) for slot, items in wheel._slots.items()}
        for _ in range(1000):
            wheel.add(Expiring(deadline), 0)
        most = max(most, sum(sys.getsizeof(items) > before.get(slot, 0) for slot, items in wheel._slots.items()
                             if len(items) > 1000))
    assert 0 < most < 40
