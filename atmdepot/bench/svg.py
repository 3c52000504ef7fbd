"""An SVG chart of the results of `bench peers`: bars with spreads, a panel per measure, for light and dark themes."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from atmdepot.bench.contenders import EVERY
from atmdepot.bench.drawing import MARGIN, ROW, TOP, WIDTH, bar, document, where
from atmdepot.bench.report import number, range_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.bench.figures import Figure
    from atmdepot.bench.report import Report
    from atmdepot.bench.samples import Samples, Spread

_GAP = 28
_PANEL = (WIDTH - 2 * MARGIN - _GAP) // 2
_HEAD = 26
_LABEL, _VALUE = 186, 74  # widths of the names left of the bars and the figures right of them
_LONGEST = _PANEL - _LABEL - _VALUE
_NOTE = ("Bars are medians, lines reach from the least to the greatest. Blue: the depot. Yellow: kernel forwarding, "
         "the limit.")


def draw(report: Report) -> str:
    """The chart as the text of an SVG file."""
    panels = list(_panels(report))
    heights = [_height(len(rows)) for _, rows in panels]
    y = TOP
    body: list[str] = []
    for index in range(0, len(panels), 2):
        for column, (figure, rows) in enumerate(panels[index:index + 2]):
            body += _panel(figure, rows, MARGIN + column * (_PANEL + _GAP), y)
        y += max(heights[index:index + 2])  # the two panels of a row are beside each other
    return document(_title(report), (where(report.machine), _NOTE), _description(panels), body, y)


def _title(report: Report) -> str:
    rounds = report.samples.rounds
    return f"The depot beside its peers: medians of {rounds} round{'s' * (rounds > 1)}"


def _panels(report: Report) -> Iterator[tuple[Figure, list[tuple[str, Spread]]]]:
    """Each measure with the contenders that have a figure for it."""
    for figure in report.figures:
        yield figure, _rows(report.samples, figure.name, report.contenders)


def _rows(samples: Samples, figure: str, names: list[str]) -> list[tuple[str, Spread]]:
    return [(name, spread) for name in names if (spread := samples.spread(figure, name))]


def _height(rows: int) -> int:
    return _HEAD + rows * ROW + _GAP


def _description(panels: list[tuple[Figure, list[tuple[str, Spread]]]]) -> str:
    """All figures in words, for readers who cannot see the bars."""
    return " ".join(f"{figure.title}: {'; '.join(_in_words(name, spread, figure) for name, spread in rows)}."
                    for figure, rows in panels)


def _in_words(name: str, spread: Spread, figure: Figure) -> str:
    return f"{EVERY[name].title} {number(spread.median)} {figure.unit} ({range_of(spread)})"


def _panel(figure: Figure, rows: list[tuple[str, Spread]], x: int, y: int) -> Iterator[str]:
    better = "" if figure.higher_is_better else ", less is better"
    scale = _LONGEST / (max(spread.most for _, spread in rows) or 1)  # all figures may be 0
    yield f'<g><text x="{x}" y="{y + 12}" class="head">{escape(figure.title)}</text>'
    yield f'<text x="{x + _LABEL}" y="{y + 12 + 13}" class="faint" font-size="10">{figure.unit}{better}</text>'
    for number_of_row, (name, spread) in enumerate(rows):
        yield from _bar(figure, name, spread, x, y + _HEAD + number_of_row * ROW, scale)
    yield "</g>"


def _bar(figure: Figure, name: str, spread: Spread, x: int, y: int, scale: float) -> Iterator[str]:
    kind = "depot" if EVERY[name].daemons else "limit" if name == "kernel" else "peer"
    return bar(kind, EVERY[name].title, _in_words(name, spread, figure), number(spread.median), x + _LABEL, y,
               (spread.median * scale, spread.least * scale, spread.most * scale))
