"""An SVG chart of `bench failover`: gaps as bars, and the sessions that go on, for light and dark themes."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from atmdepot.bench.drawing import MARGIN, ROW, TOP, WIDTH, bar, document, where
from atmdepot.bench.failover.cases import CONTENDERS, EVENTS
from atmdepot.bench.failover.report import gap_text, share_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.bench.failover.report import Report, Row

_HEAD, _GAP = 30, 22
_LABEL, _SHARE = 210, 190
"""Widths of the names left of the bars, and of the shares at the right edge."""

_VALUE = 90
_LONGEST = WIDTH - 2 * MARGIN - _LABEL - _SHARE - _VALUE
_MOST_MS = 2000.0
"""A longer gap ends at the edge: one without an end must not make all others invisible."""

_TITLE = "Failures: how long the service is away, and which sessions go on"
_NOTE = ("Bars: median gap for new sessions; lines reach to the worst. Blue: depots. Right: established sessions that "
         "go on, red where some are lost.")


def draw(report: Report) -> str:
    """The chart as the text of an SVG file."""
    rows = report.rows
    panels = [(event, found) for event in EVENTS if (found := [row for row in rows if row.event == event])]
    scale = _LONGEST / max([_worst(row) for row in rows] or [1.0])
    body: list[str] = []
    y = TOP
    for event, found in panels:
        body += _panel(EVENTS[event].title, found, y, scale)
        y += _HEAD + len(found) * ROW + _GAP
    notes = (f"{where(report.machine)}; {report.about}", _NOTE)
    return document(_TITLE, notes, " ".join(_in_words(row) for row in rows), body, y)


def _worst(row: Row) -> float:
    gap = row.gaps.get("new")
    return min(_MOST_MS, gap.worst) if gap is not None and gap.worst is not None else _MOST_MS


def _in_words(row: Row) -> str:
    return (f"{row.title}, {EVENTS[row.event].title}: gap {gap_text(row.gaps.get('new'))} ms, "
            f"{share_text(row.established)} sessions go on.")


def _panel(title: str, rows: list[Row], y: int, scale: float) -> Iterator[str]:
    yield f'<g><text x="{MARGIN}" y="{y + 14}" class="head">{escape(title)}</text>'
    for number, row in enumerate(rows):
        yield from _bar(row, y + _HEAD + number * ROW, scale)
    yield "</g>"


def _bar(row: Row, y: int, scale: float) -> Iterator[str]:
    left, middle = MARGIN + _LABEL, y + ROW / 2
    gap = row.gaps.get("new")
    median = min(_MOST_MS, gap.median) if gap is not None and gap.median is not None else _MOST_MS
    kind = "peer" if CONTENDERS[row.contender].standby == "peer" else "depot"
    yield "<g>"
    yield from bar(kind, row.title, _in_words(row), f"{gap_text(gap)} ms", left, y,
                   (median * scale, median * scale, _worst(row) * scale))
    lost = ' class="lost"' if row.established.went_on < row.established.of else ""
    yield (f'<text x="{WIDTH - MARGIN}" y="{middle + 4:.1f}" text-anchor="end"{lost}>'
           f"{escape(share_text(row.established))}</text></g>")
