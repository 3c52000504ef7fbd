"""The model of what is shown: rates, servers, trains, events; that it is bounded, and survives restarts."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.config.reading import load
from atmdepot.net.event_log import Event
from atmdepot.net.events import Cells, Drop, SessionChange
from atmdepot.view import memory, trains
from atmdepot.view.model import HISTORY, TICK, Model
from atmdepot.view.rates import Meter
from tests.effort import examples
from tests.trace.captures import http_packet, train_of
from tests.trace.items import cells as any_cells

SECOND = 1_000_000_000
NOW = 1_700_000_000 * SECOND


@pytest.fixture
def it() -> Model:
    made = Model(load("direct"))
    for node in ("depot", "web1", "web2"):
        made.node_is(node, "up", NOW)
    made.tick(NOW)
    return made


def link(name: str, tx: int, rx: int, **more: Any) -> dict[str, Any]:
    return {"link": name, "tx_cells": tx, "rx_cells": rx, "drops": 0, "trouble": "", "impaired": False, **more}


def server(name: str, sessions: int, total: int, **more: Any) -> dict[str, Any]:
    return {"server": name, "node": name, "sessions": sessions, "sessions_total": total, "list": "alive", "why": "",
            "draining": False, **more}


def change(event: str, number: int = 7, why: str = "", vc: tuple[int, ...] = (1, 65)) -> SessionChange:
    return SessionChange(NOW, number, event, "TCP", "10.9.0.2:40000", "10.80.0.1:80", "web1", "to-web1", vc, "CBR",
                         why, "depot")


def train(direction: str = "out", vci: int = 65, node: str = "depot", time: int = NOW) -> Cells:
    return Cells(time, "to-web1", direction, train_of(http_packet(4), 1, vci), node)


def test_rates_are_the_senders_in_each_direction(it: Model) -> None:
    for at, count in ((NOW, 100), (NOW + SECOND, 350)):
        it.take_links("depot", [link("to-web1", count, 7)], at)
        it.take_links("web1", [link("to-web1", 3 * count, 5)], at)
    shown = it.tick(NOW + SECOND).links["to-web1"]
    assert (shown.there, shown.back) == (250, 750)


def test_of_a_node_that_tells_nothing_the_far_end_knows(it: Model) -> None:
    it.node_is("web1", "silent", NOW)
    for at, count in ((NOW, 0), (NOW + SECOND, 40)):
        it.take_links("depot", [link("to-web1", 0, count)], at)
    assert it.tick(NOW + SECOND).links["to-web1"].back == 40


@given(st.lists(st.integers(0, 1000), min_size=2))
@examples(50)
def test_a_counter_that_begins_anew_never_gives_a_negative_rate(values: list[int]) -> None:
    meter, told = Meter(), 0
    for second, value in enumerate(values):
        told += meter.read(value, second * SECOND)
        assert meter.rate >= 0
    grown = sum(new - old if new >= old else new for old, new in itertools.pairwise(values))
    assert told == grown
    meter.rest()
    assert meter.rate == 0
    assert meter.read(5, 10**15) == 0


def test_sessions_are_counted_as_they_open_and_close(it: Model) -> None:
    it.take_servers([server("web1", 3, 10)])
    it.tick(NOW + TICK)
    it.take_servers([server("web1", 4, 16)])
    shown = it.tick(NOW + SECOND).servers["web1"]
    assert (shown.sessions, shown.opened, shown.closed) == (4, 6, 5)
    assert it.tick(NOW + 2 * SECOND).servers["web1"].opened == 0


@pytest.mark.parametrize(("kind", "subject", "level", "about", "bad"), [
    ("server-dead", "web1", "error", ("server", "web1"), True), ("server-alive", "web1", "warning", ("server", "web1"),
                                                                 False),
    ("draining", "web2", "info", ("server", "web2"), False), ("unfit", "depot", "warning", ("node", "depot"), True),
    ("link-down", "to-web1", "error", ("link", "to-web1"), True),
    ("pvc-down", "to-web1 100", "error", ("node", "depot"), True),
    ("pvc-up", "to-web1 100", "warning", ("node", "depot"), False),
    ("reloaded", "depot", "info", ("node", "depot"), False), ("vp-down", "web1", "warning", ("node", "depot"), True),
    ("impaired", "to-web1", "info", ("link", "to-web1"), False)])
def test_what_daemons_tell_is_on_the_time_line(
    it: Model, kind: str, subject: str, level: str, about: tuple[str, str], bad: bool,
) -> None:
    it.take_event(Event(1, "2023-11-14T22:13:20.500000Z", "depot", level, kind, subject, "a sentence"))
    [told] = it.tick(NOW + SECOND).events
    assert (told.kind, told.subject, told.bad, told.time) == (about[0], about, bad, NOW + SECOND // 2)


def test_drops_are_told_once_whichever_way_they_are_heard_of(it: Model) -> None:
    event = Event(1, "2023-11-14T22:13:20Z", "depot", "warning", "drops", "to-web1", "3 cells dropped",
                  {"reason": "unknown-vc", "count": 3})
    it.take_event(event)
    assert it.tick(NOW).events == []
    it.mode_is("depot", "counted", NOW)
    it.take_event(event)
    shown = it.tick(NOW)
    assert [one.subject for one in shown.events][1:] == [("link", "to-web1")]
    assert shown.drops == {"depot unknown-vc": 3}
    it.take_event(Event(1, "no time", "depot", "warning", "drops", "to-web1", "", {"count": "many"}))
    assert it.tick(NOW).drops == {"depot unknown-vc": 3, "depot ": 0}
    it.take_event(Event(2, "2023-11-14T22:13:20Z", "stranger", "error", "server-dead", "web1", ""))
    it.take_event(Event(0, "2023-11-14T22:13:20Z", "depot", "error", "daemon-gone", "depot", ""))
    assert it.tick(NOW).events == []


def test_a_restarted_daemon_is_told_and_counts_anew(it: Model) -> None:
    it.take_links("depot", [link("to-web1", 1000, 0)], NOW)
    it.node_is("depot", "silent", NOW)
    it.node_is("depot", "up", NOW + SECOND)
    it.take_links("depot", [link("to-web1", 10, 0)], NOW + SECOND)
    shown = it.tick(NOW + SECOND)
    assert shown.links["to-web1"].there == 0
    assert [event.bad for event in shown.events if event.kind == "node"] == [True, False]


def test_trains_have_the_session_of_their_vc_even_if_it_is_told_later(it: Model) -> None:
    it.take_cells(train())
    it.take_item(change("opened"))
    found = it.tick(NOW + SECOND).trains
    assert [(one.there, one.cells, one.server, one.category, one.kind, one.session) for one in found] == [
        (True, len(train().octets) // 53, "web1", "CBR", "session", 7)]


def test_probes_and_reports_are_told_apart_from_sessions(it: Model) -> None:
    it.take_item(change("opened", why="probe", vc=(1, 32)))
    it.take_cells(train(vci=32))
    it.take_cells(train("out", 33, "web1"))
    it.take_cells(Cells(NOW, "to-web1", "out", train_of(bytes(40), 1, 4)[:53], "web1"))
    shown = it.tick(NOW + SECOND)
    assert [(one.kind, one.there) for one in shown.trains] == [("probe", True), ("management", False), ("oam", False)]
    assert shown.events == []


def test_a_session_that_has_the_number_of_a_probe_of_an_earlier_run_is_no_probe(it: Model) -> None:
    it.take_item(change("opened", why="probe", vc=(1, 32)))
    it.take_item(change("opened", why="least-sessions"))
    assert not it.sorter.is_probe(7)
    assert [event.kind for event in it.tick(NOW + SECOND).events] == ["session-opened"]


def test_probes_are_remembered_for_a_while_only(it: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trains, "_MOST_PROBES", 10)
    for number in range(100):
        it.take_item(change("opened", number, "probe", (1, 32)))
        it.take_item(change("gone", number, "FIN", (1, 32)))
    assert [number for number in range(100) if it.sorter.is_probe(number)] == list(range(90, 100))


def test_shares_follow_what_was_seen_and_fade(it: Model) -> None:
    it.take_item(change("opened"))
    it.take_cells(train(), is_sample=True)
    shown = it.tick(NOW + SECOND)
    assert shown.trains == []
    assert shown.links["to-web1"].categories == {"CBR": 1.0}
    for second in range(60):
        shown = it.tick(NOW + second * SECOND)
    assert shown.links["to-web1"].categories == {}


def test_only_one_end_of_a_link_is_heard(it: Model) -> None:
    assert it.is_senders_view("depot", "to-web1", "out")
    assert not it.is_senders_view("web1", "to-web1", "in")
    it.node_is("depot", "silent", NOW)
    assert it.is_senders_view("web1", "to-web1", "in")


def test_a_flood_is_bounded_and_counted(it: Model) -> None:
    for number in range(10_000):
        it.take_cells(train())
        it.take_item(change("opened", number))
        it.take_item(Drop(NOW, "to-web1", "unknown-vc", 2, b"", None, "depot"))
    shown = it.tick(NOW + SECOND)
    assert len(shown.trains) <= 500
    assert shown.trains_left_out + len(shown.trains) == 10_000
    assert len(shown.events) + shown.events_left_out == 20_000
    assert shown.drops == {"depot unknown-vc": 20_000}
    for second in range(3 * HISTORY):
        it.tick(NOW + second * SECOND)
    assert len(it.ticks) == HISTORY


@given(st.lists(any_cells(), max_size=40), st.integers(0, 20))
@examples(40)
def test_the_last_cells_are_the_last_and_in_order(found: list[Any], most: int) -> None:
    kept = memory.CellMemory()
    for cell in sorted(found, key=lambda cell: cell.time):
        kept.add(cell)
    until = max((cell.time for cell in found), default=0)
    last = kept.last(lambda _: True, until=until, most=most)
    assert [cell.time for cell in last] == sorted(cell.time for cell in last)
    assert len(last) <= most
    assert all(cell.time <= until for cell in last)
    before = kept.last(lambda _: True, until=until - memory.AGE - 1, most=most)
    assert before == []
