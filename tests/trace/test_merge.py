"""Records of several nodes: by their times, as soon as no node can tell of anything older, and never late for ever."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.net.events import Cells, Missed, SessionChange, Watermark
from atmdepot.trace.merge import LONGEST_LOOK, PATIENCE, Merger

if TYPE_CHECKING:
    from collections.abc import Iterable

    from atmdepot.net.events import Record, Told

NODES = "depot", "web1", "web2"
LOOKS = PATIENCE // LONGEST_LOOK


def record(node: str, time: int, number: int = 0) -> Missed:
    return Missed(time, cells=number, node=node)


def known(node: str, time: int) -> SessionChange:
    return SessionChange(time, 1, "known", "TCP", "", "", "web1", "to-web1", (1, 64), "UBR.1", node=node)


def hear(merger: Merger, *told: Told) -> list[Record]:
    """The records that go when nodes tell something, one after the other."""
    return [gone for one in told for gone in [*merger.hear(one), *merger.take()]]


class Reader:
    """Looks at what a merger holds, as long after the look before as counts in full."""

    def __init__(self, merger: Merger) -> None:
        self._merger = merger
        self._now = 0
        assert merger.look(0) == []

    def wait(self, looks: int = LOOKS) -> list[str]:
        """The remarks meanwhile."""
        remarks = []
        for _ in range(looks):
            self._now += LONGEST_LOOK
            remarks += [remark.text for remark in self._merger.look(self._now)]
        return remarks


@st.composite
def stories(draw: Any, least: int = 0) -> list[Told]:
    """Records of some nodes, each in the order of its times, in any interleaving; about half are watermarks."""
    streams = []
    for node in NODES:
        times = sorted(draw(st.lists(st.integers(0, 30), min_size=least, max_size=25)))
        streams.append([Watermark(time, node) if draw(st.booleans()) else record(node, time) for time in times])
    turns = draw(st.permutations([number for number, stream in enumerate(streams) for _ in stream]))
    heard = [streams[number].pop(0) for number in turns]
    for number, told in enumerate(heard):
        if isinstance(told, Missed):
            told.cells = number
    return heard


def by_time(heard: Iterable[Told]) -> list[Told]:
    """The records, as they must come: by their times, those of one time as they were heard."""
    return sorted((told for told in heard if isinstance(told, Missed)), key=lambda told: told.time)


# In order.


@given(stories())
def test_a_record_goes_once_no_node_can_send_an_older_record(heard: list[Told]) -> None:
    """However the nodes are interleaved: the order is that of the times, and nothing waits longer than it must."""
    merger, gone, far = Merger(NODES), [], dict.fromkeys(NODES, -1)
    for at, told in enumerate(heard, 1):
        gone += hear(merger, told)
        far[told.node] = told.time
        assert {one.cells for one in gone} == {
            one.cells for one in heard[:at] if isinstance(one, Missed) and one.time <= min(far.values())}
        assert merger.is_holding == (len(gone) < len(by_time(heard[:at])))
    gone += merger.rest()
    assert [one.time for one in gone] == [one.time for one in by_time(heard)]
    for node in NODES:
        assert [one for one in gone if one.node == node] == [
            one for one in heard if one.node == node and isinstance(one, Missed)]


@given(stories(), st.data())
def test_an_ended_node_holds_up_no_records(heard: list[Told], data: Any) -> None:
    """Nodes end after what they told last; when all have, nothing is held, and the order was kept."""
    merger, gone = Merger(NODES), []
    last = {node: max((at for at, told in enumerate(heard) if told.node == node), default=-1) for node in NODES}
    ends = {node: data.draw(st.integers(at + 1, len(heard) + 1)) for node, at in last.items()}
    for at in range(len(heard) + 2):
        for node in NODES:
            if ends[node] == at:
                merger.end(node)
        gone += merger.take()
        if at < len(heard):
            gone += hear(merger, heard[at])
    assert not merger.is_holding
    assert gone == sorted(gone, key=lambda one: one.time)
    assert sorted(one.cells for one in gone) == sorted(one.cells for one in by_time(heard))


def test_a_single_node_does_not_wait() -> None:
    merger = Merger(["depot"])
    assert hear(merger, one := record("depot", 5)) == [one]


def test_watermarks_of_an_idle_node_release_records() -> None:
    merger = Merger(["depot", "web1"])
    assert hear(merger, one := record("web1", 5), Watermark(4, "depot")) == []
    assert hear(merger, Watermark(5, "depot")) == [one]


def test_equal_times_of_a_node_stay_as_they_came() -> None:
    merger = Merger(NODES)
    told = [record("depot", 5, number) for number in range(20)]
    assert hear(merger, *told) == []
    assert hear(merger, Watermark(9, "web1"), Watermark(9, "web2")) == told


def test_sessions_that_were_there_come_before_all_else() -> None:
    """The depot's own time when its trace began says nothing of how far it is."""
    merger = Merger(["depot", "web1"])
    early, there = record("web1", 1), known("depot", 7)
    assert hear(merger, early, Watermark(100, "web1")) == []
    assert hear(merger, there, there) == [there, there]
    opened = record("depot", 3)
    assert hear(merger, opened) == [early, opened]


# Nodes that say nothing.


def test_a_stuck_node_is_waited_for_so_long_and_no_longer() -> None:
    merger = Merger(["depot", "web1"])
    reader = Reader(merger)
    assert reader.wait() == []  # nothing is held: nobody is held up
    told = [record("web1", time) for time in (1, 2, 3)]
    assert hear(merger, Watermark(1, "depot"), *told) == told[:1]
    assert reader.wait(LOOKS - 1) == []
    assert merger.take() == []
    [remark] = reader.wait(1)
    assert remark.startswith("depot: the daemon says nothing; ")
    assert merger.take() == told[1:]
    assert hear(merger, later := record("web1", 9)) == [later]


def test_one_that_speaks_again_is_waited_for_again_and_not_remarked_on_twice() -> None:
    merger = Merger(["depot", "web1"])
    reader = Reader(merger)
    hear(merger, record("web1", 5))
    assert len(reader.wait()) == 1
    merger.take()
    assert hear(merger, late := record("depot", 3)) == [late]
    assert hear(merger, held := record("web1", 6)) == []
    assert reader.wait(LOOKS - 1) == []
    assert merger.take() == []
    assert reader.wait(1) == []
    assert merger.take() == [held]


def test_a_node_silent_from_the_start_is_given_up() -> None:
    merger = Merger(NODES)
    one, two = record("depot", 1), record("web1", 2)
    assert hear(merger, one, two) == []
    hear(merger, Watermark(2, "depot"))
    assert [text.partition(":")[0] for text in Reader(merger).wait()] == ["web2"]
    assert merger.take() == [one, two]


def test_one_that_is_far_behind_but_speaks_is_waited_for() -> None:
    merger = Merger(["depot", "web1"])
    reader = Reader(merger)
    hear(merger, record("web1", 1000))
    for turn in range(100):
        assert hear(merger, Watermark(turn, "depot")) == []
        assert reader.wait(LOOKS - 1) == []


def test_a_stall_of_the_trace_is_not_blamed_on_nodes() -> None:
    """A long time between two looks is time in which we did not listen."""
    merger = Merger(["depot", "web1"])
    hear(merger, record("web1", 5))
    assert [remark for hour in range(LOOKS) for remark in merger.look(hour * 3_600 * 10**9)] == []
    assert len(merger.look(LOOKS * 3_600 * 10**9)) == 1


# Clocks that are set.


def test_held_records_go_when_the_clock_is_set_back() -> None:
    merger = Merger(["depot", "web1"])
    before, after = record("web1", 1000), record("web1", 400)
    assert hear(merger, Watermark(990, "depot"), before) == []
    assert hear(merger, Watermark(395, "depot")) == [before]
    assert hear(merger, after) == []
    assert hear(merger, Watermark(400, "depot")) == [after]


@given(stories(least=1), st.integers(0, 80), st.integers(1, 1000))
def test_a_clock_set_back_stalls_no_records(heard: list[Told], at: int, step: int) -> None:
    """All tell times of before and, from some moment on, of after; then all time up to a later one is over."""
    merger, gone = Merger(NODES), []
    for number, told in enumerate(heard):
        if number >= at:
            told.time -= step
        gone += hear(merger, told)
    gone += hear(merger, *[Watermark(31 - step if at < len(heard) else 31, node) for node in NODES])
    assert not merger.is_holding
    assert sorted(one.cells for one in gone) == sorted(one.cells for one in by_time(heard))
    for node in NODES:
        assert [one for one in gone if one.node == node] == [
            one for one in heard if one.node == node and isinstance(one, Missed)]


# What it holds.


@pytest.mark.parametrize("octets", [53_000, 53])
def test_memory_is_bounded_when_a_node_is_not_heard(octets: int) -> None:
    merger, gone = Merger(["depot", "web1"]), 0
    tracemalloc.start()
    for number in range(150_000_000 // 53_000 if octets > 53 else 60_000):
        gone += len(hear(merger, Cells(number, "link", "in", bytes(octets), "web1")))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 24 * 2**20
    held = merger.rest()
    assert len(held) == (20_000 if octets == 53 else 16 * 2**20 // octets)
    assert gone + len(held) == number + 1


def test_records_beyond_the_bound_go_oldest_first() -> None:
    merger = Merger(["depot", "web1"])
    assert hear(merger, *[record("web1", number) for number in range(20_003)]) == [
        record("web1", number) for number in range(3)]
