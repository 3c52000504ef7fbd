"""The common parts of the benchmarks' charts: an SVG file for light and dark themes, and bars with spreads."""

from __future__ import annotations

from html import escape
from textwrap import wrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

WIDTH, MARGIN, TOP = 1000, 20, 84
"""The width of a chart, the room at its edges, and where its panels begin."""

ROW, BAR = 20, 12
"""The heights of a row and of the bar in it."""

_LETTERS = 150
"""Of a line of notes; there is room for three lines."""

_STYLE = """
svg { background: #ffffff; font: 12px system-ui, sans-serif; }
text { fill: #1f2328; } .faint { fill: #59636e; } .head { font-weight: 600; }
.peer { fill: #8c959f; } .depot { fill: #0969da; } .limit { fill: #c69026; } .lost { fill: #cf222e; }
.spread { stroke: #1f2328; stroke-width: 1.2; fill: none; }
@media (prefers-color-scheme: dark) {
  svg { background: #0d1117; } text { fill: #e6edf3; } .faint { fill: #9198a1; }
  .peer { fill: #6e7681; } .depot { fill: #4493f8; } .limit { fill: #d29922; } .lost { fill: #ff7b72; }
  .spread { stroke: #e6edf3; }
}
"""


def document(title: str, notes: Iterable[str], description: str, body: Iterable[str], height: int) -> str:
    """The text of an SVG file: a heading with its notes, the body, and all figures in words for who cannot see it."""
    wrapped = (line for note in notes for line in wrap(note, _LETTERS))
    lines = (f'<text x="{MARGIN}" y="{50 + 16 * number}" class="faint">{escape(line)}</text>'
             for number, line in enumerate(wrapped))
    return "\n".join((
        (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
         'role="img" aria-labelledby="title description">'),
        f'<title id="title">{escape(title)}</title>', f'<desc id="description">{escape(description)}</desc>',
        f"<style>{_STYLE}</style>",
        f'<text x="{MARGIN}" y="30" class="head" font-size="17">{escape(title)}</text>', *lines, *body, "</svg>", ""))


def where(machine: Mapping[str, Any]) -> str:
    """The machine in a line, of its description."""
    return f"{machine['processors']} × {machine['processor']}, Linux {machine['kernel']}, {machine['python']}"


def bar(kind: str, name: str, words: str, text: str, left: float, top: float, ends: tuple[float, float, float]
        ) -> Iterator[str]:
    """A bar with its name before it, and its value behind: `ends` are the lengths of the bar, the least and the most.

    The colour is a class of CSS, `kind`, so that the picture follows the reader's colour scheme.
    """
    length, low, high = ends
    least, most, middle = left + low, left + high, top + ROW / 2
    yield f"<g><title>{escape(words)}</title>"
    yield f'<text x="{left - 8}" y="{middle + 4:.1f}" text-anchor="end">{escape(name)}</text>'
    yield f'<rect class="{kind}" x="{left}" y="{middle - BAR / 2:.1f}" width="{length:.1f}" height="{BAR}" rx="1"/>'
    yield (f'<path class="spread" d="M{least:.1f} {middle - 3:.1f}v6M{least:.1f} {middle:.1f}H{most:.1f}'
           f'M{most:.1f} {middle - 3:.1f}v6"/>')
    yield f'<text x="{most + 6:.1f}" y="{middle + 4:.1f}">{escape(text)}</text></g>'
