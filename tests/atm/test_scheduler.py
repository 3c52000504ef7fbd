"""The output of a link: its rate to the cell, its order, its shares, and every cell accounted for."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.atm.queueing import QueuedVc
from atmdepot.atm.scheduler import DEFAULT_WEIGHT, SHARING, LinkScheduler, QueueClass
from atmdepot.config.contract import ServiceCategory
from atmdepot.wire.cell import CELL_SIZE, CellHeader
from tests.atm.trains import seen, train
from tests.effort import examples

NS = 1_000_000_000
OC3 = 353_207
VCI = {name: 40 + at for at, name in enumerate(QueueClass)}
ROOMY = dict.fromkeys(QueueClass, 100_000)

arrivals = st.lists(st.tuples(st.one_of(st.just(0), st.integers(0, 10**6), st.integers(0, 10**9)),
                              st.sampled_from(QueueClass), st.integers(1, 60)), max_size=20)


def cells(name: QueueClass, count: int) -> bytes:
    return train([CellHeader(1, VCI[name])]) * count


def classes(octets: bytes) -> list[QueueClass]:
    return [list(QueueClass)[cell.header.vci - 40] for cell in seen(octets)]


def plain_vc() -> QueuedVc:
    return QueuedVc(by_frames=False)


def fill(link: LinkScheduler, now: int = 0, count: int = 1000, names: tuple[QueueClass, ...] = SHARING) -> None:
    for name in names:
        link.enter(name, plain_vc(), cells(name, count), now)


def departures(link: LinkScheduler, until: int | None = None) -> list[tuple[int, bytes]]:
    out = []
    while (due := link.next_timer()) is not None and (until is None or due <= until):
        out.append((due, link.leave(due)))
        assert out[-1][1]
    return out


@given(st.sampled_from([1, 1000, 96_000, OC3, 5_651_320]), st.sampled_from([0, 50_000]), arrivals)
@examples(200)
def test_no_window_has_more_than_the_rate(
        rate: int, grain: int, bursts: list[tuple[int, QueueClass, int]]) -> None:
    link, now = LinkScheduler(rate, room=ROOMY, grain=grain), 0
    left: list[tuple[int, int]] = []
    entered = 0
    for gap, name, count in bursts:
        now += gap
        left += [(time, len(octets) // CELL_SIZE) for time, octets in departures(link, now)]
        left.append((now, len(link.leave(now)) // CELL_SIZE))
        link.enter(name, plain_vc(), cells(name, count), now)
        entered += count
    left += [(time, len(octets) // CELL_SIZE) for time, octets in departures(link)]
    assert sum(count for _, count in left) == entered
    # From any time on, no more has left than a row of slots without a gap would have let out.
    together = max(1, grain * rate // NS)
    for first in range(len(left)):
        total = 0
        for time, count in left[first:]:
            total += count
            assert (total - 1) * NS <= (time - left[first][0]) * rate + together * NS


def test_a_busy_link_keeps_its_rate_to_the_cell() -> None:
    link = LinkScheduler(OC3, room=ROOMY, grain=0)
    fill(link, count=40_000, names=(QueueClass.UBR,))
    number = 0
    for time, octets in departures(link, NS // 10):
        for _ in range(len(octets) // CELL_SIZE):
            assert 0 <= time * OC3 - number * NS < OC3  # less than a nanosecond after its slot began
            number += 1
    assert number == 35_321


def test_cells_that_leave_together_are_a_grain() -> None:
    link = LinkScheduler(OC3, room=ROOMY, grain=50_000)
    fill(link, count=100, names=(QueueClass.UBR,))
    assert [len(octets) // CELL_SIZE for _, octets in departures(link)] == [17] * 5 + [15]


def test_a_link_that_was_idle_has_no_credit() -> None:
    link = LinkScheduler(1000, grain=0)
    fill(link, NS, 3, (QueueClass.UBR,))
    assert [time for time, _ in departures(link)] == [NS, NS + 10**6, NS + 2 * 10**6]
    fill(link, NS + 2 * 10**6, 1, (QueueClass.UBR,))
    assert link.next_timer() == NS + 3 * 10**6


def test_a_late_wake_up_gives_a_burst_and_goes_on_from_there() -> None:
    link = LinkScheduler(1000, grain=0, burst=4)
    fill(link, 0, 10, (QueueClass.UBR,))
    assert len(link.leave(7 * 10**6)) == 4 * CELL_SIZE
    assert link.late == 4
    assert link.next_timer() == 8 * 10**6
    assert len(link.leave(NS)) == 4 * CELL_SIZE


# ── order ──

def test_cbr_goes_first_and_then_rt_vbr() -> None:
    link = LinkScheduler(most_strict=99)
    fill(link, 0, 3, tuple(reversed(QueueClass)))
    out = classes(link.leave(0))
    assert out[:6] == [QueueClass.CBR] * 3 + [QueueClass.RT_VBR] * 3
    assert Counter(out) == dict.fromkeys(QueueClass, 3)


def test_a_cell_that_comes_is_before_all_that_wait_of_a_lower_class() -> None:
    link = LinkScheduler(1000, grain=0)
    fill(link, 0, 10)
    link.leave(2 * 10**6)
    fill(link, 2 * 10**6, 1, (QueueClass.CBR,))
    assert classes(link.leave(3 * 10**6)) == [QueueClass.CBR]


@given(st.tuples(*[st.integers(1, 20)] * 3), st.sampled_from([3000, 10_000]), st.integers(1, 50))
def test_shares_are_those_of_the_weights(weights: tuple[int, int, int], total: int, chunk: int) -> None:
    link = LinkScheduler(1000, room=ROOMY, weights=dict(zip(SHARING, weights, strict=True)), grain=0)
    fill(link, count=total)
    seen_of: Counter[QueueClass] = Counter()
    now = 0
    while sum(seen_of.values()) < total:
        seen_of.update(classes(link.leave(now)))
        now += chunk * 10**6
    for name, weight in zip(SHARING, weights, strict=True):
        share = weight / sum(weights)
        assert abs(seen_of[name] / sum(seen_of.values()) - share) <= 0.02


@given(st.sets(st.sampled_from(SHARING), min_size=1), st.integers(1, 30))
def test_a_share_that_is_not_used_goes_to_the_others(names: set[QueueClass], most: int) -> None:
    link = LinkScheduler(most_strict=most)
    fill(link, count=100, names=tuple(sorted(names)))
    assert Counter(classes(link.leave(0))) == dict.fromkeys(names, 100)


def test_a_flood_of_cbr_starves_nobody() -> None:
    link = LinkScheduler(1000, room=ROOMY, grain=0, burst=10_000)
    fill(link, count=5000, names=tuple(QueueClass))
    got = Counter(classes(link.leave(3 * NS - 10**6)))
    assert sum(got.values()) == 3000
    assert got[QueueClass.CBR] == 2970
    assert got[QueueClass.RT_VBR] == 0
    assert min(got[name] for name in SHARING) >= 2


# ── the rest ──

@given(arrivals)
def test_without_a_rate_all_leaves_at_once(bursts: list[tuple[int, QueueClass, int]]) -> None:
    link = LinkScheduler(room=ROOMY)
    for _, name, count in bursts:
        assert link.enter(name, plain_vc(), cells(name, count), 5) == count
    assert link.next_timer() == (0 if bursts else None)
    assert Counter(classes(link.leave(5))) == sum(
        (Counter({name: count}) for _, name, count in bursts), Counter())
    assert (link.held, link.next_timer(), link.leave(6)) == (0, None, b"")


@pytest.mark.parametrize("category", ServiceCategory)
def test_the_queue_of_a_category(category: ServiceCategory) -> None:
    if category is ServiceCategory.ABR:
        with pytest.raises(ValueError, match="write nrt-vbr"):
            QueueClass.of(category)
        return
    assert str(category).startswith(QueueClass.of(category))
    assert LinkScheduler().vc(category).by_frames is (QueueClass.of(category) in SHARING)


@pytest.mark.parametrize("bad", [
    {"burst": 0}, {"most_strict": 0}, {"weights": {**DEFAULT_WEIGHT, QueueClass.UBR: 0}}])
def test_numbers_below_one(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        LinkScheduler(**bad)  # type: ignore[arg-type]
