"""The report: tables, Markdown, JSON and chart have the same figures."""

from __future__ import annotations

import io
from xml.etree import ElementTree as ET

import msgspec
import pytest
from rich.console import Console

from atmdepot.bench.failover import costs
from atmdepot.bench.failover.chart import draw
from atmdepot.bench.failover.judging import Reading, Share, Summary, SyncReading
from atmdepot.bench.failover.report import (
    Report,
    as_json,
    as_markdown,
    gap_text,
    share_text,
    tables,
)

MACHINE = {"processor": "P <1>", "kernel": "6", "python": "3.11", "processors": 2}


def report() -> Report:
    ages = [step * 10.0 for step in range(200)]
    lost = Reading(20.0, 15.0, None, 30.0, 6.0, ages[51:], {"reset": ages[:50]})
    return Report({
        "haproxy sigkill": [Reading(new=90.0, lost={"closed": [5.0, 50.0, -1.0]})] * 2,
        "stream sigkill": [Reading(120.0, 110.0, 130.0, 125.0, 6.0, [5.0, 50.0, 5000.0])] * 2,
        "stream planned": [Reading(12.0, 11.0, 13.0, 12.0, 6.0, [5.0])],
        "warm-1-told sigkill": [lost]}, {"kills": 2}, MACHINE,
        costs=[{"untold": {"keep-alive": 100.0}, "stream": {"keep-alive": 100.0 - lost}} for lost in (1.0, 2.0, 6.0)],
        syncs=[SyncReading(10_000, 0.25, 9000.0, 8500.0, 0, 0.0), SyncReading(1000, 0.1, 9000.0, 8500.0, 2, 7.5)])


def test_markdown_has_a_row_for_each_case() -> None:
    text = as_markdown(report())
    assert "| HAProxy | SIGKILL | 2 | ∞ / ∞ | 90 / 90 | ∞ / ∞ | ∞ / ∞ | 0.00 % of 4 |" in text
    assert "| stream | SIGKILL | 2 | 120 / 120 | 110 / 110 | 130 / 130 | 125 / 125 | 100 % of 6 |" in text
    assert "| stream | planned takeover | 1 | 12 / 12 |" in text
    assert "fewer than the 20" in text


def test_the_losses_of_the_warm_standby_stand_beside_the_formula() -> None:
    text = as_markdown(report())
    row = next(line for line in text.splitlines() if line.startswith("| 1 s on average, P = 1 s"))
    assert "36.79 %" in row
    measured = float(row.split("|")[3].split()[0])
    assert measured == pytest.approx(100 * (1 - 2.718281828 ** -0.5), abs=1)


def test_json_has_the_figures() -> None:
    told = msgspec.json.decode(msgspec.json.encode(as_json(report())))
    row = next(row for row in told["rows"] if row["contender"] == "haproxy")
    assert row["percent"] == 0
    assert row["gaps"]["new"] == {"median": 90.0, "worst": 90.0}
    assert row["gaps"]["kept"] == {"median": None, "worst": None}
    assert row["reasons"] == {"closed": 6}
    assert told["machine"] == MACHINE


def test_the_chart_is_a_picture_and_says_all_in_words() -> None:
    root = ET.fromstring(draw(report()))
    words = root.findtext("{http://www.w3.org/2000/svg}desc") or ""
    assert "HAProxy, SIGKILL: gap 90 / 90 ms, 0.00 % of 4 sessions go on." in words
    assert len(root.findall(".//{http://www.w3.org/2000/svg}rect")) == 4


def test_an_empty_report_is_told() -> None:
    empty = Report({}, {}, MACHINE)
    assert "At least 0 failures" in as_markdown(empty)
    ET.fromstring(draw(empty))
    out = Console(file=io.StringIO(), width=200)
    for table in tables(report()):
        out.print(table)


def test_a_share_is_never_rounded_up_to_all() -> None:
    assert share_text(Share(99_999, 100_000)) == "99.99 % of 100,000"
    assert share_text(Share(7, 7)) == "100 % of 7"
    assert share_text(Share(0, 0)) == "–"
    assert gap_text(Summary(1.4, None)) == "1 / ∞"
    assert gap_text(None) == "–"


def test_costs_are_ratios_to_a_set_without_standby_within_a_round() -> None:
    (row,) = costs.rows(report().costs)
    assert (row.mode, row.figure) == ("stream", "keep-alive")
    assert row.ratio == pytest.approx(0.98)
    assert "| keep-alive requests/s | ×0.980 (0.960–0.985) |" in as_markdown(report())


def test_full_syncs_are_told_from_small_to_large() -> None:
    lines = as_markdown(report()).splitlines()[-2:]
    assert lines[0] == "| 1,000 sessions | 0.1 s | 9,000 | 8,500 | 2 (7.5 ms) |"
    assert lines[1] == "| 10,000 sessions | 0.2 s | 9,000 | 8,500 | none |"
