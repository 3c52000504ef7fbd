"""An SVG chart of `bench failover`: gaps as bars, and the sessions that go on, for light and dark themes."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from atmdepot.bench.failover.cases import CONTENDERS, EVENTS
from atmdepot.bench.failover.report import gap_text, share_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.bench.failover.report import Report, Row

_WIDTH, _MARGIN, _TOP = 1000, 20, 84
_ROW, _BAR, _HEAD, _GAP = 20, 12, 30, 22
_LABEL, _SHARE = 210, 190
"""Widths of the names left of the bars, and of the shares at the right edge."""

_VALUE = 90
_LONGEST = _WIDTH - 2 * _MARGIN - _LABEL - _SHARE - _VALUE
_MOST_MS = 2000.0
"""A longer gap ends at the edge: one without an end must not make all others invisible."""

_STYLE = """
svg { background: #ffffff; font: 12px system-ui, sans-serif; }
text { fill: #1f2328; } .faint { fill: #59636e; } .head { font-weight: 600; }
.peer { fill: #8c959f; } .depot { fill: #0969da; } .lost { fill: #cf222e; }
.spread { stroke: #1f2328; stroke-width: 1.2; fill: none; }
@media (prefers-color-scheme: dark) {
  svg { background: #0d1117; } text { fill: #e6edf3; } .faint { fill: #9198a1; }
  .peer { fill: #6e7681; } .depot { fill: #4493f8; } .lost { fill: #ff7b72; }
  .spread { stroke: #e6edf3; }
}
"""
_TITLE = "Failures: how long the service is away, and which sessions go on"


def draw(report: Report) -> str:
    """The chart as the text of an SVG file."""
    rows = report.rows
    panels = [(event, found) for event in EVENTS if (found := [row for row in rows if row.event == event])]
    scale = _LONGEST / max([_worst(row) for row in rows] or [1.0])
    body: list[str] = []
    y = _TOP
    for event, found in panels:
        body += _panel(EVENTS[event].title, found, y, scale)
        y += _HEAD + len(found) * _ROW + _GAP
    return "\n".join((
        (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" width="{_WIDTH}" height="{y}" '
         'role="img" aria-labelledby="title description">'),
        f'<title id="title">{_TITLE}</title>',
        f'<desc id="description">{escape(" ".join(_in_words(row) for row in rows))}</desc>',
        f"<style>{_STYLE}</style>", *_heading(report), *body, "</svg>", ""))


def _worst(row: Row) -> float:
    gap = row.gaps.get("new")
    return min(_MOST_MS, gap.worst) if gap is not None and gap.worst is not None else _MOST_MS


def _in_words(row: Row) -> str:
    return (f"{row.title}, {EVENTS[row.event].title}: gap {gap_text(row.gaps.get('new'))} ms, "
            f"{share_text(row.established)} sessions go on.")


def _heading(report: Report) -> Iterator[str]:
    machine = report.machine
    where = f"{machine['processors']} × {machine['processor']}, Linux {machine['kernel']}, {machine['python']}"
    yield f'<text x="{_MARGIN}" y="30" class="head" font-size="17">{_TITLE}</text>'
    yield f'<text x="{_MARGIN}" y="50" class="faint">{escape(where)}; {escape(report.about)}</text>'
    yield (f'<text x="{_MARGIN}" y="66" class="faint">Bars: median gap for new sessions; lines reach to the worst. '
           'Blue: depots. Right: established sessions that go on, red where some are lost.</text>')


def _panel(title: str, rows: list[Row], y: int, scale: float) -> Iterator[str]:
    yield f'<g><text x="{_MARGIN}" y="{y + 14}" class="head">{escape(title)}</text>'
    for number, row in enumerate(rows):
        yield from _bar(row, y + _HEAD + number * _ROW, scale)
    yield "</g>"


def _bar(row: Row, y: int, scale: float) -> Iterator[str]:
    left, middle = _MARGIN + _LABEL, y + _ROW / 2
    gap = row.gaps.get("new")
    median = min(_MOST_MS, gap.median) if gap is not None and gap.median is not None else _MOST_MS
    kind = "peer" if CONTENDERS[row.contender].standby == "peer" else "depot"
    worst = left + _worst(row) * scale
    yield f"<g><title>{escape(_in_words(row))}</title>"
    yield f'<text x="{left - 8}" y="{middle + 4:.1f}" text-anchor="end">{escape(row.title)}</text>'
    yield (f'<rect class="{kind}" x="{left}" y="{middle - _BAR / 2:.1f}" width="{median * scale:.1f}" '
           f'height="{_BAR}" rx="1"/>')
    yield (f'<path class="spread" d="M{left + median * scale:.1f} {middle:.1f}H{worst:.1f}M{worst:.1f} '
           f'{middle - 3:.1f}v6"/>')
    yield f'<text x="{worst + 6:.1f}" y="{middle + 4:.1f}">{escape(gap_text(gap))} ms</text>'
    lost = ' class="lost"' if row.established.went_on < row.established.of else ""
    yield (f'<text x="{_WIDTH - _MARGIN}" y="{middle + 4:.1f}" text-anchor="end"{lost}>'
           f"{escape(share_text(row.established))}</text></g>")
