"""Records of several nodes: by their times, held for a while and no more."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from atmdepot.net.records import Cells, Missed
from atmdepot.trace.merge import HOLD, in_order
from atmdepot.trace.sources import Remark

if TYPE_CHECKING:
    from collections.abc import Iterator

MS = 1_000_000


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def arrivals(clock: Clock, plan: list[tuple[int, Missed | Remark | None]]) -> Iterator[Missed | Remark | None]:
    for after, record in plan:
        clock.now += after
        yield record


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 390)), max_size=60))
def test_what_is_less_late_than_the_hold_comes_in_the_order_of_its_times(plan: list[tuple[int, int]]) -> None:
    clock = Clock()
    now, records = 0, []
    for number, (after, late) in enumerate(plan):
        now += after
        records.append((after * MS, Missed(max(0, now - late) * MS, cells=number)))
    came = [record for record in in_order(arrivals(clock, list(records)), clock) if isinstance(record, Missed)]
    assert [record.time for record in came] == sorted(record.time for _, record in records)
    assert sorted(record.cells for record in came) == list(range(len(plan)))


@given(st.lists(st.integers(0, 5), max_size=30))
def test_equal_times_stay_in_the_order_in_which_they_came(times: list[int]) -> None:
    clock = Clock()
    came = list(in_order([Missed(time, cells=number) for number, time in enumerate(times)], clock))
    assert [(record.time, record.cells) for record in came if isinstance(record, Missed)] == \
        sorted((time, number) for number, time in enumerate(times))


def test_a_record_waits_for_the_hold_and_not_for_its_own_time() -> None:
    clock = Clock()
    future = Missed(10**18)
    merged = in_order(arrivals(clock, [(0, future), (HOLD - 1, None), (1, None), (0, Remark("x"))]), clock)
    assert list(merged) == [None, future, None, Remark("x")]


def test_remarks_wait_for_nothing() -> None:
    clock = Clock()
    assert next(in_order(arrivals(clock, [(0, Missed(1)), (0, Remark("x"))]), clock)) == Remark("x")


def test_memory_is_bounded_when_no_time_passes() -> None:
    clock = Clock()
    tracemalloc.start()
    for _ in in_order((Cells(number, "link", "in", bytes(53_000)) for number in range(3000)), clock):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 * 2**20
    passed = sum(1 for _ in in_order((Missed(number) for number in range(50_000)), clock))
    assert passed == 50_000
