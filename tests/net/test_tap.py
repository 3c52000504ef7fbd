"""Taps by themselves: what they keep, what they miss, and who observes a node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.drops import DropReason
from atmdepot.errors import AtmdepotError
from atmdepot.net.events import Cells, Drop, Missed, SessionChange
from atmdepot.net.tap import MAX_DROP_OCTETS, MAX_TAPS, SessionNote, Tap, Taps
from atmdepot.node.node import Observer
from atmdepot.wire.cell import CELL_SIZE, CellHeader
from atmdepot.wire.flows import flow_key
from tests.ip_packets import SYN, tcp, udp
from tests.net.ends import cells_of
from tests.network_in_memory import CLIENT4, CLIENT6, VIP4, VIP6, InMemoryNetwork

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.depot.session import Session
    from atmdepot.net.events import Record
    from atmdepot.node.node import DataPath, Node

ALL = 1 << 30


def note(number: int, link: str = "to-web1") -> SessionNote:
    key = flow_key(6, b"\x0a\0\0\1", 5, b"\x0a\0\0\2", 80)
    return SessionNote(number, number, "opened", key, "web1", link, (1, 64), "UBR.1", "why")


def drop(number: int, link: str = "", count: int = 1) -> Drop:
    return Drop(number, link, "hec-error", count, bytes(number % 300))


# What is kept and what is missed.

STEPS = st.lists(st.one_of(
    st.tuples(st.just("cells"), st.integers(1, 60)), st.tuples(st.just("drop"), st.integers(1, 9)),
    st.tuples(st.just("session"), st.just(1)), st.tuples(st.just("take"), st.integers(0, 4000))), max_size=60)


@given(STEPS, st.integers(0, 6000))
def test_nothing_is_lost_that_is_not_told_and_the_order_is_kept(steps: list[tuple[str, int]], bound: int) -> None:
    """Between two records that were kept stands exactly what was missed between them."""
    tap = Tap(bound=bound)
    put: list[tuple[str, int]] = []
    got: list[Record] = []
    for time, (step, count) in enumerate(steps):
        if step == "take":
            got += tap.take(count)
            continue
        put.append((step, count))
        if step == "cells":
            tap.cells(time, "to-web1", "in", cells_of(count))
        elif step == "drop":
            tap.drop(drop(time, count=count))
        else:
            tap.session(note(time))
        assert tap.weight <= bound
    while tap.is_waiting:
        got += tap.take(100)
    assert tap.weight == 0
    assert [record.time for record in got] == sorted(record.time for record in got)
    for record in got:
        if isinstance(record, Missed):
            missed = {"cells": record.cells, "drop": record.drops, "session": record.sessions}
            while any(missed.values()):
                step, count = put.pop(0)
                missed[step] -= count
                assert missed[step] >= 0
        elif isinstance(record, Cells):
            assert put.pop(0) == ("cells", len(record.octets) // CELL_SIZE)
        elif isinstance(record, Drop):
            assert put.pop(0) == ("drop", record.count)
        else:
            assert put.pop(0) == ("session", 1)
    assert put == []


def test_with_room_all_is_there_as_it_was() -> None:
    tap = Tap()
    tap.cells(1, "to-web1", "out", cells_of(3))
    tap.drop(drop(2))
    tap.session(note(3))
    assert tap.take(ALL) == [
        Cells(1, "to-web1", "out", cells_of(3)), drop(2),
        SessionChange(3, 3, "opened", "TCP", "10.0.0.1:5", "10.0.0.2:80", "web1", "to-web1", (1, 64), "UBR.1", "why")]
    assert tap.take(ALL) == []


def test_a_gap_is_told_before_the_records_after_it() -> None:
    tap = Tap(bound=1100)
    for number in range(5):
        tap.session(note(number))
    assert tap.take(1) == [note(0).record()]
    tap.drop(drop(9))
    assert tap.take(ALL) == [note(1).record(), Missed(2, sessions=3), drop(9)]


def test_a_gap_is_told_when_no_record_follows() -> None:
    tap = Tap(bound=0)
    tap.cells(5, "to-web1", "in", cells_of(3))
    tap.drop(drop(6, count=4))
    assert tap.take(ALL) == [Missed(5, cells=3, drops=4)]
    assert not tap.is_waiting


@given(st.lists(st.tuples(st.sampled_from(["cells", "cells", "drop", "session"]), st.integers(1, 60)), max_size=80),
       st.integers(0, 40_000))
def test_cells_leave_an_eighth_to_drops_and_sessions(steps: list[tuple[str, int]], bound: int) -> None:
    """However many cells come: of drops and sessions as many are kept as fit into what cells may not have."""
    tap = Tap(bound=bound)
    room = bound // 8
    for time, (step, count) in enumerate(steps):
        before = tap.weight
        if step == "cells":
            tap.cells(time, "to-web1", "in", cells_of(count))
            assert tap.weight == before or tap.weight <= bound - bound // 8
            continue
        # At most 256 octets for what it is, 256 for itself, 256 for what was missed before it.
        if step == "drop":
            tap.drop(drop(time % 257))
        else:
            tap.session(note(time))
        if room >= 768:
            assert tap.weight > before
        room -= 768


def test_the_room_that_cells_leave_is_for_drops() -> None:
    tap = Tap(bound=80_000)
    for time in range(10_000):
        tap.cells(time, "to-web1", "in", cells_of(1))
    held = tap.weight
    assert 69_000 < held <= 70_000
    for time in range(10_000, 10_030):
        tap.drop(Drop(time, "", "hec-error", 1, b""))
    records = tap.take(ALL)
    assert [type(record) for record in records[-32:]] == [Cells, Missed, *[Drop] * 30]


def test_a_long_burst_is_kept_in_parts() -> None:
    tap = Tap()
    tap.cells(1, "to-web1", "in", cells_of(2500))
    parts = tap.take(ALL)
    assert [len(part.octets) // CELL_SIZE for part in parts] == [1000, 1000, 500]
    assert b"".join(part.octets for part in parts) == cells_of(2500)


def test_little_is_taken_at_a_time() -> None:
    tap = Tap()
    for number in range(10):
        tap.cells(number, "to-web1", "in", cells_of(10))
    assert [len(tap.take(1600)) for _ in range(6)] == [3, 3, 3, 1, 0, 0]
    assert tap.take(0) == []


@given(STEPS, st.integers(0, 6000))
def test_the_watermark_is_the_time_of_the_oldest_that_is_left(steps: list[tuple[str, int]], bound: int) -> None:
    """At any moment: as the next that is taken tells, or now when nothing is left."""
    tap = Tap(bound=bound)
    for time, (step, count) in enumerate(steps):
        if step == "take":
            tap.take(count)
        elif step == "cells":
            tap.cells(time, "to-web1", "in", cells_of(count))
        else:
            tap.drop(drop(time, count=count))
    while tap.is_waiting:
        told = tap.watermark(1000)
        assert [record.time for record in tap.take(1)][:1] == [told]
    assert tap.watermark(1000) == 1000


# What is looked at.


def test_only_the_links_that_are_wanted() -> None:
    tap = Tap(["to-web2"])
    for link in ("to-web1", "to-web2"):
        tap.cells(1, link, "in", cells_of(1))
        tap.drop(drop(2, link))
        tap.session(note(3, link))
    tap.drop(drop(4, ""))
    assert [(type(record), record.link) for record in tap.take(ALL)] == [
        (Cells, "to-web2"), (Drop, "to-web2"), (SessionChange, "to-web2"), (Drop, "")]


@pytest.mark.parametrize("wanted", ["cells", "drops", "sessions"])
def test_only_the_kinds_that_are_wanted(wanted: str) -> None:
    tap = Tap(bound=10_000, **{kind: kind == wanted for kind in ("cells", "drops", "sessions")})
    for _ in range(2):
        tap.cells(1, "to-web1", "in", cells_of(1))
        tap.drop(drop(2))
        tap.session(note(3))
    assert {type(record) for record in tap.take(ALL)} == {
        {"cells": Cells, "drops": Drop, "sessions": SessionChange}[wanted]}


# A node's taps.


def taps_of(node: Node, lead_through: Callable[[DataPath], object] = lambda _: None) -> Taps:
    return Taps(node, lambda: 0, lead_through)


def observed(node: Node) -> list[int]:
    """The number of observers of each place of a node."""
    places = [node.drops, *(link.drops for link in node.links.values())]
    return [len(place.observers) for place in places] + [
        len(tables.observers) for tables in [getattr(node, "sessions", None)] if tables]


def test_taps_observe_only_while_somebody_traces() -> None:
    net = InMemoryNetwork()
    for node, places in ((net.depot, 4), (net.edges["web1"], 2)):
        paths: list[DataPath] = []
        taps, one, two = taps_of(node, paths.append), Tap(), Tap()
        assert observed(node) == [0] * places
        taps.add(one)
        taps.add(two)
        taps.remove(one)
        assert observed(node) == [1] * places
        taps.remove(two)
        assert observed(node) == [0] * places
        assert taps.open == []
        tapped, own = paths
        assert tapped is not own
        assert own is node


class Listener(Observer):
    """Another observer, such as a replica."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def dropped(self, link: str, reason: DropReason, *_: object) -> None:
        self.heard.append(f"{link} {reason}")

    def session_changed(self, session: Session, event: str, why: str) -> None:
        self.heard.append(f"{session.number} {event}")


def test_others_hear_on_when_a_trace_ends() -> None:
    net = InMemoryNetwork()
    one, two = Listener(), Listener()
    for listener in (one, two):
        net.depot.subscribe(listener)
    taps, tap = taps_of(net.depot), Tap()
    taps.add(tap)
    net.to_service(bytes(300))
    taps.remove(tap)
    net.depot.unsubscribe(one)
    net.to_service(tcp(CLIENT4, 4000, VIP4, 80, SYN))
    net.depot.links["to-web2"].drops.count(DropReason.CRC_ERROR)
    assert one.heard == [" not-ip"]
    assert two.heard == [" not-ip", "1 opened", "to-web2 crc-error"]
    assert len(tap.take(ALL)) == 1


def test_the_ninth_is_refused() -> None:
    taps = taps_of(InMemoryNetwork().depot)
    for _ in range(MAX_TAPS):
        taps.add(Tap())
    with pytest.raises(AtmdepotError, match=r"^depot: 8 traces are running already; end one of them$"):
        taps.add(Tap())
    taps.remove(taps.open[3])
    taps.add(Tap())


def test_each_tap_gets_all() -> None:
    net = InMemoryNetwork()
    taps, one, two = taps_of(net.depot), Tap(), Tap(drops=False)
    taps.add(one)
    taps.add(two)
    taps.begin_burst()
    net.to_service(bytes(300))
    taps.cells("to-web1", "in", cells_of(1))
    dropped, cells = one.take(ALL)
    assert two.take(ALL) == [cells]
    assert dropped == Drop(cells.time, "", "not-ip", 1, bytes(MAX_DROP_OCTETS))


def test_nothing_is_older_than_the_time_that_was_asked_for() -> None:
    net = InMemoryNetwork()
    taps, tap = taps_of(net.depot), Tap()
    taps.add(tap)
    now = taps.now()
    net.depot.drops.count(DropReason.NOT_IP, 1, b"x")
    [told] = tap.take(ALL)
    assert 0 < now <= told.time


def test_a_drop_of_a_link_has_its_name_and_vc() -> None:
    net = InMemoryNetwork()
    taps, tap = taps_of(net.depot), Tap()
    taps.add(tap)
    cell = CellHeader(2, 77).pack() + bytes(48)
    net.depot.octets_from_port("to-web2", cell, net.now)
    [told] = tap.take(ALL)
    assert told == Drop(0, "to-web2", DropReason.UNKNOWN_VC, 1, cell, (2, 77))


def test_a_pdu_given_up_is_told_with_its_beginning() -> None:
    net = InMemoryNetwork()
    taps, tap = taps_of(net.depot), Tap()
    taps.add(tap)
    payloads = bytes(range(48)), bytes(range(48, 96))
    net.depot.octets_from_port("to-web1", b"".join(CellHeader(1, 32).pack() + one for one in payloads), net.now)
    net.depot.links["to-web1"].reassembler.expire(net.now + 10**10)
    [told] = tap.take(ALL)
    assert told == Drop(0, "to-web1", DropReason.REASSEMBLY_TIMEOUT, 1, b"".join(payloads), (1, 32))


@pytest.mark.parametrize(("octets", "told", "vc"), [
    (tcp(CLIENT4, 4000, VIP4, 80, SYN), ("TCP", "10.9.0.2:4000", "10.80.0.1:80"), (1, 64)),
    (tcp(CLIENT6, 4000, VIP6, 80, SYN), ("TCP", "[fd00:9::2]:4000", "[fd00:80::1]:80"), (1, 64)),
    (udp(CLIENT4, 4000, VIP4, 80, b"x"), ("UDP", "10.9.0.2:4000", "10.80.0.1:80"), (1, 32)),
])
def test_a_session_is_told_in_words(octets: bytes, told: tuple[str, ...], vc: tuple[int, int]) -> None:
    net = InMemoryNetwork()
    taps, tap = taps_of(net.depot), Tap()
    taps.add(tap)
    taps.begin_burst()
    net.to_service(octets)
    [change] = tap.take(ALL)
    assert (change.protocol, change.client, change.service) == told
    assert (change.number, change.event, change.server, change.link, change.vc, change.category, change.why) == (
        1, "opened", "web1", "to-web1", vc, "UBR.1", "round-robin")


async def test_kept_records_are_forgotten_in_slices() -> None:
    """Others run in between: there may be tens of thousands of records."""
    tap = Tap(cells=True)
    for number in range(20_000):
        tap.cells(number, "to-web1", "in", bytes(53))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while tap.weight:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        nursery.start_soon(tap.forget)
    assert turns >= 10
    assert not tap.is_waiting
    assert tap.weight == 0
