"""An SVG chart of the results of `bench peers`: bars with spreads, a panel per measure, for light and dark themes."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from atmdepot.bench.contenders import EVERY
from atmdepot.bench.report import number, range_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.bench.figures import Figure
    from atmdepot.bench.report import Report
    from atmdepot.bench.samples import Samples, Spread

_WIDTH, _MARGIN, _GAP = 1000, 20, 28
_PANEL = (_WIDTH - 2 * _MARGIN - _GAP) // 2
_TOP = 84
_ROW, _BAR, _HEAD = 20, 12, 26
_LABEL, _VALUE = 186, 74  # widths of the names left of the bars and the figures right of them
_LONGEST = _PANEL - _LABEL - _VALUE

_STYLE = """
svg { background: #ffffff; font: 12px system-ui, sans-serif; }
text { fill: #1f2328; } .faint { fill: #59636e; } .head { font-weight: 600; }
.bar { fill: #8c959f; } .depot { fill: #0969da; } .limit { fill: #c69026; }
.spread { stroke: #1f2328; stroke-width: 1.2; fill: none; }
@media (prefers-color-scheme: dark) {
  svg { background: #0d1117; } text { fill: #e6edf3; } .faint { fill: #9198a1; }
  .bar { fill: #6e7681; } .depot { fill: #4493f8; } .limit { fill: #d29922; }
  .spread { stroke: #e6edf3; }
}
"""


def draw(report: Report) -> str:
    """The chart as the text of an SVG file."""
    panels = list(_panels(report))
    heights = [_height(len(rows)) for _, rows in panels]
    y = _TOP
    body: list[str] = []
    for index in range(0, len(panels), 2):
        for column, (figure, rows) in enumerate(panels[index:index + 2]):
            body += _panel(figure, rows, _MARGIN + column * (_PANEL + _GAP), y)
        y += max(heights[index:index + 2])  # the two panels of a row are beside each other
    return "\n".join((
        (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" width="{_WIDTH}" height="{y}" '
         'role="img" aria-labelledby="title description">'),
        f'<title id="title">{_title(report)}</title>', f'<desc id="description">{_description(panels)}</desc>',
        f"<style>{_STYLE}</style>", *_heading(report), *body, "</svg>", ""))


def _title(report: Report) -> str:
    rounds = report.samples.rounds
    return f"The depot beside its peers: medians of {rounds} round{'s' * (rounds > 1)}"


def _heading(report: Report) -> Iterator[str]:
    machine = report.machine
    where = f"{machine['processors']} × {machine['processor']}, Linux {machine['kernel']}, {machine['python']}"
    yield f'<text x="{_MARGIN}" y="30" class="head" font-size="17">{_title(report)}</text>'
    yield f'<text x="{_MARGIN}" y="50" class="faint">{escape(where)}</text>'
    yield (f'<text x="{_MARGIN}" y="66" class="faint">Bars are medians, lines reach from the least to the greatest. '
           'Blue: the depot. Yellow: kernel forwarding, the limit.</text>')


def _panels(report: Report) -> Iterator[tuple[Figure, list[tuple[str, Spread]]]]:
    """Each measure with the contenders that have a figure for it."""
    for figure in report.figures:
        yield figure, _rows(report.samples, figure.name, report.contenders)


def _rows(samples: Samples, figure: str, names: list[str]) -> list[tuple[str, Spread]]:
    return [(name, spread) for name in names if (spread := samples.spread(figure, name))]


def _height(rows: int) -> int:
    return _HEAD + rows * _ROW + _GAP


def _description(panels: list[tuple[Figure, list[tuple[str, Spread]]]]) -> str:
    """All figures in words, for readers who cannot see the bars."""
    return escape(" ".join(f"{figure.title}: {'; '.join(_in_words(name, spread, figure) for name, spread in rows)}."
                           for figure, rows in panels))


def _in_words(name: str, spread: Spread, figure: Figure) -> str:
    return f"{EVERY[name].title} {number(spread.median)} {figure.unit} ({range_of(spread)})"


def _panel(figure: Figure, rows: list[tuple[str, Spread]], x: int, y: int) -> Iterator[str]:
    better = "" if figure.higher_is_better else ", less is better"
    scale = _LONGEST / (max(spread.most for _, spread in rows) or 1)  # all figures may be 0
    yield f'<g><text x="{x}" y="{y + 12}" class="head">{escape(figure.title)}</text>'
    yield f'<text x="{x + _LABEL}" y="{y + 12 + 13}" class="faint" font-size="10">{figure.unit}{better}</text>'
    for number_of_row, (name, spread) in enumerate(rows):
        yield from _bar(figure, name, spread, x, y + _HEAD + number_of_row * _ROW, scale)
    yield "</g>"


def _bar(figure: Figure, name: str, spread: Spread, x: int, y: int, scale: float) -> Iterator[str]:
    left, middle = x + _LABEL, y + _ROW / 2
    # Colour by CSS class, so that the picture follows the reader's colour scheme.
    kind = "depot" if EVERY[name].daemons else "limit" if name == "kernel" else "bar"
    least, most = left + spread.least * scale, left + spread.most * scale
    yield f"<g><title>{escape(_in_words(name, spread, figure))}</title>"
    yield (f'<text x="{left - 8}" y="{middle + 4:.1f}" text-anchor="end">'
           f"{escape(EVERY[name].title)}</text>")
    yield (f'<rect class="{kind}" x="{left}" y="{middle - _BAR / 2:.1f}" width="{spread.median * scale:.1f}" '
           f'height="{_BAR}" rx="1"/>')
    yield (f'<path class="spread" d="M{least:.1f} {middle - 3:.1f}v6M{least:.1f} {middle:.1f}H{most:.1f}'
           f'M{most:.1f} {middle - 3:.1f}v6"/>')
    yield f'<text x="{most + 6:.1f}" y="{middle + 4:.1f}">{number(spread.median)}</text></g>'
