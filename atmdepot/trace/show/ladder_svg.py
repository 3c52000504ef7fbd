"""Ladder diagrams as SVG: each cell is drawn with its header, what it carries, its padding and AAL5's trailer."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from atmdepot.config.units import count_text
from atmdepot.trace.show.ladder import shortened, size_text
from atmdepot.wire.aal5 import TRAILER_SIZE
from atmdepot.wire.cell import CELL_SIZE, HEADER_SIZE, PAYLOAD_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from atmdepot.trace.show.ladder import Ladder, Step

_WIDTH, _LEFT, _RIGHT = 980, 110, 950
_TOP, _STEP = 78, 58
_CELL, _HEIGHT, _BETWEEN = CELL_SIZE, 11, 4
"""A pixel of a cell's width is an octet."""
_MOST_CELLS = 12
_LONGEST = 100

_STYLE = """
svg { background: #ffffff; font: 13px system-ui, sans-serif; }
text { fill: #1b2430; } .faint { fill: #566171; font-size: 11px; } .name { font-weight: 600; }
.lane { stroke: #8592a3; stroke-width: 1.5; } .arrow { stroke: #1d5fbf; stroke-width: 2; fill: none; }
.back { stroke: #16794c; } .tip { fill: #1d5fbf; } .tip.back { fill: #16794c; }
.header { fill: #1d5fbf; } .sdu { fill: #a9c7f5; } .pad { fill: #e3e7ed; } .trailer { fill: #9a6700; }
@media (prefers-color-scheme: dark) {
  svg { background: #10151d; } text { fill: #e8edf4; } .faint { fill: #a3afbf; } .lane { stroke: #6d7b8d; }
  .arrow { stroke: #6ea8fe; } .back { stroke: #4cc38a; } .tip { fill: #6ea8fe; } .tip.back { fill: #4cc38a; }
  .header { fill: #6ea8fe; } .sdu { fill: #234a83; } .pad { fill: #303a48; } .trailer { fill: #e0b04c; }
}
"""


def ladders_svg(ladders: Sequence[Ladder]) -> str:
    """The sessions, one below the other."""
    body: list[str] = []
    y = 0
    for ladder in ladders:
        body += _ladder(ladder, y)
        y += _height(ladder)
    y += 30
    title = "; ".join(ladder.title for ladder in ladders) or "no session"
    return "\n".join((
        (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" width="{_WIDTH}" height="{y}" role="img" '
         'aria-labelledby="title description">'),
        f'<title id="title">{escape(title)}</title>', f'<desc id="description">{escape(_in_words(ladders))}</desc>',
        f"<style>{_STYLE}</style>", *body, *_legend(y - 12), "</svg>", ""))


def _height(ladder: Ladder) -> int:
    return _TOP + len(ladder.steps) * _STEP + 20 * bool(ladder.left_out) + 16


def _in_words(ladders: Sequence[Ladder]) -> str:
    return " ".join(f"{'Client' if step.from_client else 'Server'}: {step.text}, {size_text(step)}."
                    for ladder in ladders for step in ladder.steps)


def _ladder(ladder: Ladder, top: int) -> Iterator[str]:
    yield f'<text class="name" x="16" y="{top + 24}">{escape(ladder.title)}</text>'
    bottom = top + _height(ladder) - 16
    for x, anchor, text in ((_LEFT, "start", ladder.client), (_RIGHT, "end", ladder.server)):
        yield f'<text x="{x}" y="{top + 50}" text-anchor="{anchor}">{escape(text)}</text>'
        yield f'<path class="lane" d="M{x} {top + 58}V{bottom}"/>'
    first = ladder.steps[0].time if ladder.steps else 0
    for number, step in enumerate(ladder.steps):
        yield from _step(step, top + _TOP + number * _STEP + 16, (step.time - first) / 1e9)
    if ladder.left_out:
        yield (f'<text class="faint" x="{_LEFT + 12}" y="{bottom - 4}">{count_text(ladder.left_out, "packet")} '
               "more</text>")


def _step(step: Step, y: int, since: float) -> Iterator[str]:
    back = "" if step.from_client else " back"
    one, other = (_LEFT, _RIGHT) if step.from_client else (_RIGHT, _LEFT)
    away = -1 if step.from_client else 1
    middle = (_LEFT + _RIGHT) / 2
    yield f'<text class="faint" x="16" y="{y + 4}">{since:.6f} s</text>'
    yield f'<path class="arrow{back}" d="M{one} {y}H{other + 9 * away}"/>'
    yield f'<path class="tip{back}" d="M{other} {y}l{10 * away} -5v10z"/>'
    yield f'<text x="{middle}" y="{y - 6}" text-anchor="middle">{escape(shortened(step.text, _LONGEST))}</text>'
    shown = min(step.cells, _MOST_CELLS)
    left = middle - (shown * (_CELL + _BETWEEN) + 150) / 2
    for number in range(shown):
        # Where some are left out, the last one drawn is the last of the PDU.
        index = step.cells - 1 if number == shown - 1 else number
        yield from _cell(step, index, left + number * (_CELL + _BETWEEN), y + 6)
    told = f"{size_text(step)} on {step.vc}{f', {step.problem}' if step.problem else ''}"
    told = told if shown == step.cells else f"{told}, {step.cells - shown} of them not drawn"
    yield f'<text class="faint" x="{left + shown * (_CELL + _BETWEEN) + 4}" y="{y + 16}">{escape(told)}</text>'


def _cell(step: Step, index: int, x: float, y: int) -> Iterator[str]:
    """A cell: its header, then the part of the PDU that it carries."""
    yield f'<rect class="header" x="{x}" y="{y}" width="{HEADER_SIZE}" height="{_HEIGHT}"/>'
    begin, whole = index * PAYLOAD_SIZE, step.cells * PAYLOAD_SIZE
    length = step.length if step.length >= 0 else whole
    ends = {"sdu": length, "pad": max(length, whole - TRAILER_SIZE), "trailer": whole}
    at = begin
    for kind, end in ends.items():
        upto = min(max(end, at), begin + PAYLOAD_SIZE)
        if upto > at:
            yield (f'<rect class="{kind}" x="{x + HEADER_SIZE + at - begin}" y="{y}" width="{upto - at}" '
                   f'height="{_HEIGHT}"/>')
        at = upto


def _legend(y: int) -> Iterator[str]:
    x = _LEFT
    for kind, text in (("header", "cell header, 5 octets"), ("sdu", "IP packet (with LLC, where there is)"),
                       ("pad", "padding"), ("trailer", "AAL5 trailer, 8 octets")):
        yield f'<rect class="{kind}" x="{x}" y="{y - 9}" width="12" height="10"/>'
        yield f'<text class="faint" x="{x + 18}" y="{y}">{text}</text>'
        x += 40 + len(text) * 6
