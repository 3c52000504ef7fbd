"""Statistics: against sums made plainly, with cells one by one or not, and in bounded memory."""

from __future__ import annotations

import io
import json
import sys
import tracemalloc
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from atmdepot.drops import DropReason
from atmdepot.net.events import Cells, Drop, Missed, SessionChange
from atmdepot.trace import assembler
from atmdepot.trace.follow import Follower
from atmdepot.trace.items import Cell, CrcVerdict, HecVerdict, Item, Pdu
from atmdepot.trace.sessions import CaptureSessions
from atmdepot.trace.show.printers import LineShower, StatisticsShower
from atmdepot.trace.show.stats import Rate, Statistics, print_statistics
from atmdepot.trace.show.text import LinePrinter
from atmdepot.trace.tracer import Tracer
from atmdepot.wire.cell import CellHeader
from tests.effort import examples
from tests.trace import items as made
from tests.trace.captures import cells_of, flipped, train_of

SECOND = 10**9


def counted(items: list[Item], **bounds: int) -> dict[str, list[dict[str, Any]]]:
    statistics = Statistics(**bounds)
    for item in items:
        statistics.add(item)
    return statistics.tables()


def totals(rows: list[dict[str, Any]]) -> Counter[str]:
    """The sums of all numbers that can be added."""
    found: Counter[str] = Counter()
    for row in rows:
        found.update({key: value for key, value in row.items() if isinstance(value, int) and "_per_s" not in key})
    return found


# ── against plain sums ──

lists_of_items = st.lists(made.items, min_size=8, max_size=20)
few = examples(50)


@few
@given(lists_of_items)
def test_links_hold_all_cells_and_pdus(items: list[Item]) -> None:
    cells = [item for item in items if isinstance(item, Cell)]
    pdus = [item for item in items if isinstance(item, Pdu)]
    rows = counted(items)["links"]
    assert [(row["node"], row["link"], row["dir"]) for row in rows] == list(
        dict.fromkeys((row["node"], row["link"], row["dir"]) for row in rows))
    assert {(row["node"], row["link"], row["dir"]) for row in rows} == {
        (item.node, item.link, item.direction) for item in (*cells, *pdus)}
    assert +totals(rows) == +Counter({
        "cells": len(cells) + sum(pdu.count for pdu in pdus), "pdus": len(pdus),
        "octets": sum(len(pdu.sdu) for pdu in pdus), "bad_crc": sum(pdu.crc == "bad" for pdu in pdus),
        "problems": sum(pdu.problem not in (None, "crc-error") for pdu in pdus),
        "hec_corrected": sum(pdu.hec_corrected for pdu in pdus) + sum(
            cell.hec == "corrected" and cell.position == 0 for cell in cells),
        "efci_pdus": sum(pdu.congested for pdu in pdus), "clp1_pdus": sum(pdu.clp for pdu in pdus),
        "oam_cells": sum(cell.is_oam for cell in cells), "hec_bad": sum(cell.hec == "bad" for cell in cells)})


@few
@given(lists_of_items)
def test_each_vc_holds_its_own(items: list[Item]) -> None:
    rows = {(row["node"], row["link"], row["dir"], row["vc"]): row for row in counted(items)["vcs"]}
    expected: Counter[tuple[str, ...]] = Counter()
    pdus: Counter[tuple[str, ...]] = Counter()
    for item in items:
        if isinstance(item, Pdu):
            expected[item.node, item.link, item.direction, f"{item.vpi}/{item.vci}"] += item.count
            pdus[item.node, item.link, item.direction, f"{item.vpi}/{item.vci}"] += 1
        elif isinstance(item, Cell) and item.hec != "bad":
            expected[item.node, item.link, item.direction, f"{item.header.vpi}/{item.header.vci}"] += 1
    assert {key: row["cells"] for key, row in rows.items()} == expected
    assert {key: row["pdus"] for key, row in rows.items() if row["pdus"]} == pdus
    assert [row["cells"] for row in rows.values()] == sorted(expected.values(), reverse=True)


EVENTS = "known", "opened", "adopted", "inherited", "established", "closed", "revived", "gone"


@few
@given(lists_of_items)
def test_events_of_nodes_are_counted(items: list[Item]) -> None:
    tables = counted(items)
    drops, events, missed = Counter[Any](), Counter[Any](), Counter[str]()
    for item in items:
        if isinstance(item, Drop):
            drops[item.node, item.link, item.reason] += item.count
        elif isinstance(item, SessionChange):
            events[item.node, item.server, item.event] += 1
        elif isinstance(item, Missed):
            missed.update(cells=item.cells, drops=item.drops, sessions=item.sessions)
    assert {(row["node"], row["link"], row["reason"]): row["count"] for row in tables["drops"]} == drops
    assert {(row["node"], row["server"], event): row[event] for row in tables["sessions"]
            for event in EVENTS if row[event]} == events
    assert totals(tables["missed"]) == missed


@few
@given(lists_of_items)
def test_rows_are_json_with_the_same_keys_in_each(items: list[Item]) -> None:
    tables = counted(items)
    assert json.loads(msgspec.json.encode(tables)) == tables
    assert list(tables) == ["vcs", "links", "pdu_cells", "drops", "sessions", "missed"]
    for rows in tables.values():
        assert len({tuple(row) for row in rows}) <= 1


def test_the_rows_of_a_vc_to_the_letter() -> None:
    pdu = made.pdu_of(b"x" * 100, 1, 64, place=made.Place("depot", "to-web1", "out"), time=3 * SECOND)
    pdu.name, pdu.clp, pdu.congested = made.VcName("web1", "web1"), 1, True
    second = made.pdu_of(b"y", 1, 64, place=made.Place("depot", "to-web1", "out"), time=5 * SECOND)
    second.name = pdu.name
    tables = counted([pdu, second])
    common = {"cells": 4, "pdus": 2, "octets": 101, "bad_crc": 0, "problems": 0, "hec_corrected": 0, "efci_pdus": 1,
              "clp1_pdus": 1, "oam_cells": 0, "cells_per_s": 2.0, "peak_cells_per_s": 3}
    at = {"node": "depot", "link": "to-web1", "dir": "out"}
    assert tables["vcs"] == [at | {"vc": "1/64", "vp": "web1"} | common]
    assert tables["links"] == [at | common | {"hec_bad": 0}]


def test_a_bad_crc_is_counted_apart_from_other_problems() -> None:
    pdus = [made.pdu_of(b"x") for _ in range(3)]
    pdus[0].crc, pdus[0].problem = CrcVerdict.BAD, DropReason.CRC_ERROR
    pdus[1].problem = DropReason.LENGTH_ERROR
    [row] = counted([*pdus, made.unfinished_pdu(bytes(96))])["vcs"]
    assert (row["pdus"], row["cells"], row["bad_crc"], row["problems"]) == (4, 5, 1, 2)


def test_pdus_by_their_cells() -> None:
    pdus: list[Item] = []
    for count, times in ((1, 5), (2, 1), (3, 1), (4, 2), (5, 1), (8, 1), (9, 3), (16, 1), (17, 1), (1366, 1)):
        for _ in range(times):
            pdu = made.pdu_of(b"x")
            pdu.count = count
            pdus.append(pdu)
    pdus.append(made.unfinished_pdu(bytes(48)))
    assert [(row["cells"], row["pdus"], row["percent"]) for row in counted(pdus)["pdu_cells"]] == [
        ("1", 5, 29.4), ("2", 1, 5.9), ("3", 1, 5.9), ("4", 2, 11.8), ("5-8", 2, 11.8), ("9-16", 4, 23.5),
        ("17-32", 1, 5.9), ("1025-2048", 1, 5.9)]


# ── rates ──

def test_mean_and_peak() -> None:
    rate = Rate()
    for time, cells in ((10 * SECOND, 3), (10 * SECOND + SECOND // 2, 4), (11 * SECOND, 5), (14 * SECOND, 1)):
        rate.add(time, cells)
    assert (rate.cells, rate.mean, rate.peak) == (13, 3.2, 7)


def test_the_mean_of_less_than_a_second_is_that_of_one() -> None:
    rate = Rate()
    assert (rate.mean, rate.peak) == (0.0, 0)
    rate.add(SECOND, 9)
    assert (rate.mean, rate.peak) == (9.0, 9)


@given(st.lists(st.tuples(st.integers(0, 5 * SECOND), st.integers(1, 50)), min_size=1))
def test_a_peak_is_that_of_the_busiest_second(passed: list[tuple[int, int]]) -> None:
    rate = Rate()
    seconds: Counter[int] = Counter()
    for time, cells in sorted(passed):
        rate.add(time, cells)
        seconds[time // SECOND] += cells
    assert rate.peak == max(seconds.values())
    shuffled = Rate()
    for time, cells in passed:
        shuffled.add(time, cells)
    assert (shuffled.cells, shuffled.mean, shuffled.first, shuffled.last) == (
        rate.cells, rate.mean, rate.first, rate.last)
    assert rate.cells >= shuffled.peak >= max(cells for _, cells in passed)


# ── with cells one by one or not ──

@examples(50)
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(40, 42), st.integers(1, 400), st.booleans()), max_size=8))
def test_cells_count_once_whether_they_come_one_by_one_or_with_their_pdus(
    sdus: list[tuple[int, int, int, bool]],
) -> None:
    trains = [train_of(bytes(size), vpi, vci) for vpi, vci, size, _ in sdus]
    damaged = [flipped(train, 7) if wrong else train for train, (*_, wrong) in zip(trains, sdus, strict=True)]
    tables = []
    for one_by_one in (True, False):
        follower = Follower(cells=one_by_one)
        items = [item for n, train in enumerate(damaged)
                 for cell in cells_of(train) for item in follower.take(Cells(n * SECOND, "l", "in", cell))]
        tables.append(counted([*items, *follower.finish()]))
    first, second = (totals(one["links"]) for one in tables)
    assert first == second
    assert tables[0]["pdu_cells"] == tables[1]["pdu_cells"]
    first_vcs, second_vcs = ({row["vc"]: totals([row]) for row in one["vcs"]} for one in tables)
    assert first_vcs == second_vcs
    assert first["cells"] == sum(len(train) // 53 for train in trains)
    # After a header that was corrected, a receiver corrects no other before it saw a good one.
    assert first["hec_corrected"] + first["hec_bad"] == sum(wrong for *_, wrong in sdus)


# ── bounded ──

def test_keys_beyond_the_bound_share_a_line() -> None:
    items: list[Item] = [made.pdu_of(b"x" * 80, n % 256, n // 256, place=made.Place("", f"link{n}", "in"))
                         for n in range(3000)]
    items += [Drop(0, f"link{n}", f"reason{n}", 2) for n in range(500)]
    items += [SessionChange(0, n, f"event{n}", "TCP", "", "", f"server{n}", "", (1, 1), "") for n in range(500)]
    items += [Missed(0, 1, 1, 1, f"node{n}") for n in range(500)]
    tables = counted(items, max_vcs=100, max_links=10)
    assert (len(tables["vcs"]), len(tables["links"]), len(tables["drops"])) == (101, 11, 11)
    assert (len(tables["sessions"]), len(tables["missed"])) == (11, 11)
    assert tables["vcs"][0] | {"cells": 5800, "pdus": 2900} == tables["vcs"][0]
    assert (tables["vcs"][0]["node"], tables["vcs"][0]["vc"], tables["vcs"][0]["vp"]) == ("others", "", "")
    assert totals(tables["vcs"])["cells"] == totals(tables["links"])["cells"] == 6000
    assert (totals(tables["drops"])["count"], totals(tables["missed"])["cells"]) == (1000, 500)


def test_a_key_that_is_known_keeps_its_line_when_the_table_is_full() -> None:
    items: list[Item] = [made.pdu_of(b"x", 1, vci) for vci in (40, 41, 42, 40, 42, 41)]
    assert {row["vc"]: row["cells"] for row in counted(items, max_vcs=2)["vcs"]} == {"1/40": 2, "1/41": 2, "": 2}


def test_memory_does_not_grow_with_the_trace() -> None:
    statistics = Statistics(max_vcs=100)

    def add(numbers: range) -> int:
        for n in numbers:
            statistics.add(made.cell_of(CellHeader(n % 256, n // 256 % 65536), bytes(48), time=n * 1000))
            statistics.add(Drop(n, "l", "unknown-vc", 1, b"x" * 53, (1, n)))
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = add(range(5000))
        assert add(range(5000, 20000)) - before < 20_000
    finally:
        tracemalloc.stop()


def test_damaged_headers_make_no_vcs() -> None:
    bad = [made.cell_of(CellHeader(n, 40), bytes(48), hec=HecVerdict.BAD) for n in range(200)]
    tables = counted(list(bad))
    assert tables["vcs"] == []
    assert tables["links"][0]["hec_bad"] == tables["links"][0]["cells"] == 200


# ── printed ──

def text_of(items: list[Item]) -> str:
    statistics, out = Statistics(), io.StringIO()
    for item in items:
        statistics.add(item)
    print_statistics(statistics, Console(file=out, width=200))
    return out.getvalue()


def test_printed_tables_leave_out_empty_columns() -> None:
    text = text_of(made.gallery())
    for title in ("VCs (", "links (", "PDUs by cells (", "drops (", "sessions (1)", "missed by this trace (1)"):
        assert title in text
    drops = text[text.index("drops ("):text.index("sessions (1)")]
    assert "unknown-vc" in drops
    assert "established" not in text
    assert text_of([]) == ""
    [line] = [line for line in text_of([made.pdu_of(b"x", 1, 64)]).splitlines() if "1/64" in line]
    assert line.split() == ["in", "1/64", "1", "1", "1", "1.0", "1"]


def test_long_tables_are_cut_and_say_so() -> None:
    text = text_of([made.pdu_of(b"x", 1, vci) for vci in range(40, 140)])
    assert "VCs (100, the first 50)" in text
    assert text.count("1/") == 50


@pytest.mark.parametrize("name", ["\x1b[31mred", "[bold]b", "a\nb"])
def test_control_characters_in_names_are_escaped(name: str) -> None:
    text = text_of([made.pdu_of(b"x", place=made.Place("", name, "in")), Drop(0, name, name, 1)])
    assert "\x1b" not in text
    assert text.count(name.replace("\x1b", "?").replace("\n", " ")) == 4


# ── cells that are only counted ──

@st.composite
def records(draw: st.DrawFn) -> list[Cells]:
    """Trains of a few VCs both ways, with cells lost, doubled and damaged, and others among them."""
    found = []
    time = made.TIME
    for _ in range(draw(st.integers(1, 8))):
        cells: list[bytes] = []
        for _ in range(draw(st.integers(1, 3))):
            cells += cells_of(train_of(bytes(draw(st.integers(1, 400))), 1, draw(st.sampled_from([5, 40, 41]))))
            if draw(st.booleans()):
                cells.append(CellHeader(*draw(st.sampled_from([(1, 4, 0), (0, 0, 0)]))).pack() + bytes(48))
        for _ in range(draw(st.integers(0, 2))):
            at = draw(st.integers(0, len(cells) - 1))
            change = draw(st.sampled_from(["lost", "one bit", "two bits", "twice"]))
            if change == "lost":
                cells[at] = b""
            else:
                cells[at] = {"one bit": flipped(cells[at], 11), "two bits": flipped(cells[at], 11, 30),
                             "twice": cells[at] * 2}[change] if cells[at] else b""
        time += draw(st.sampled_from([0, SECOND // 3, 3 * SECOND, -SECOND // 2]))
        found.append(Cells(time, draw(st.sampled_from(["l", "m"])), draw(st.sampled_from(["in", "out"])),
                           b"".join(cells)))
    return found


def statistics_of(records: list[Cells], **followed: Any) -> tuple[dict[str, list[dict[str, Any]]], Counter[str]]:
    """The tables of a trace of records, and what it showed."""
    shower = StatisticsShower("json")
    tracer = Tracer(records, Follower(**followed), level="all", keep=None, shower=shower, writer=None,
                    remark=lambda _: None, tally=shower.tally)
    tracer.run()
    tables = shower.tables()
    for rows in tables.values():
        rows.sort(key=str)  # those with as many cells have no order
    return tables, tracer.totals.shown


@examples(200)
@given(records(), st.sampled_from([4, 1 << 20]))
def test_counted_cells_give_the_same_statistics_as_shown_cells(records: list[Cells], max_cells: int) -> None:
    assert statistics_of(records, count=True, max_cells=max_cells) == \
        statistics_of(records, cells=True, max_cells=max_cells)


def test_a_vc_that_gives_up_pdus_counts_all_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembler, "_MAX_CELLS_OF_A_PDU", 5)
    records = [Cells(made.TIME, "l", "in", train_of(bytes(48 * cells - 8))) for cells in (3, 5, 6, 12, 1)]
    tables, shown = statistics_of(records, count=True)
    assert (tables, shown) == statistics_of(records, cells=True)
    assert tables["vcs"][0]["cells"] == 27


def test_statistics_cost_no_more_than_lines_do() -> None:
    """In calls, which no other work on the machine changes; the aim is 1.3 times."""
    train = train_of(made.ip_packets.tcp("10.9.0.2", 4000, "10.80.0.1", 80, 0x18, seq=1, ack=1, data=bytes(1400)))
    records = [Cells(made.TIME + n * 1000, "l", "in", train) for n in range(200)]

    def calls(shower: Any, tally: Any = None, **followed: Any) -> int:
        count = 0

        def see(_: object, event: str, __: object) -> None:
            nonlocal count
            count += event == "call"

        tracer = Tracer(records, Follower(sessions=CaptureSessions(), **followed), level="all", keep=None,
                        shower=shower, writer=None, remark=lambda _: None, tally=tally)
        sys.setprofile(see)
        try:
            tracer.run()
        finally:
            sys.setprofile(None)
        return count

    lines = LineShower(LinePrinter(quick=True), out=io.StringIO())
    statistics = StatisticsShower("json")
    assert calls(statistics, statistics.tally, count=True) <= 1.3 * calls(lines)
