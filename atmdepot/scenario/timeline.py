"""The timeline of a scenario as SVG, for light and dark themes: bands of conditions, lines of figures. Pure."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from msgspec import Struct

from atmdepot.scenario.asking import BUCKET
from atmdepot.scenario.xml import without_controls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.scenario.record import Sample
    from atmdepot.scenario.result import Result

_WIDTH, _LEFT, _RIGHT, _TOP = 1000, 150, 20, 64
_PLOT = _WIDTH - _LEFT - _RIGHT
_STEP_ROW, _BAND, _LINES, _GAP = 14, 16, 90, 26
_COLOURS = 8
_GOOD = {"alive": "good", "active": "good", "alone": "good", "dead": "bad", "": "bad", "standby": "rest",
         "joining": "faint", "draining": "rest"}

_STYLE = """
svg { background: #ffffff; font: 11px system-ui, sans-serif; }
text { fill: #1f2328; } .faint { fill: #59636e; } .head { font-weight: 600; }
line.step { stroke: #8c959f; stroke-dasharray: 2 3; } line.wrong { stroke: #cf222e; } text.wrong { fill: #cf222e; }
rect.good { fill: #2da44e; } rect.bad { fill: #cf222e; } rect.rest { fill: #54aeff; } rect.faint { fill: #afb8c1; }
path { fill: none; stroke-width: 1.4; } .axis { stroke: #8c959f; stroke-width: 0.8; }
.c0 { stroke: #0969da; } .c1 { stroke: #bf8700; } .c2 { stroke: #1a7f37; } .c3 { stroke: #cf222e; }
.c4 { stroke: #8250df; } .c5 { stroke: #0550ae; } .c6 { stroke: #9a6700; } .c7 { stroke: #57606a; }
@media (prefers-color-scheme: dark) {
  svg { background: #0d1117; } text { fill: #e6edf3; } .faint { fill: #9198a1; } text.wrong { fill: #ff7b72; }
  .c0 { stroke: #4493f8; } .c1 { stroke: #d29922; } .c2 { stroke: #3fb950; } .c3 { stroke: #ff7b72; }
  .c4 { stroke: #a371f7; } .c5 { stroke: #79c0ff; } .c6 { stroke: #e3b341; } .c7 { stroke: #9198a1; }
}
"""

Points = list[tuple[float, float]]


class Panel(Struct):
    """Lines over one axis: a title, and points (seconds, value) by name."""

    title: str
    lines: dict[str, Points]


def draw(result: Result) -> str:
    """The timeline as the text of an SVG file."""
    end = max([result.took, 0.1])
    body, y = list(_steps(result, end)), _TOP + _STEP_ROW * len(result.steps) + _GAP
    for name, parts in _bands(result.samples, end).items():
        body += _band(name, parts, y, end)
        y += _BAND + 4
    y += _GAP
    for panel in _panels(result):
        body += _panel(panel, y, end)
        y += _LINES + _GAP
    marks = _marks(result, y - _GAP, end)
    title = f"{escape(result.scenario)}: {'not as expected' if result.failed else 'as expected'}"
    return without_controls("\n".join((
        (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" width="{_WIDTH}" height="{y}" '
         'role="img" aria-labelledby="title description">'),
        f'<title id="title">{title}</title>',
        f'<desc id="description">{escape(_in_words(result))}</desc>', f"<style>{_STYLE}</style>",
        f'<text x="20" y="26" class="head" font-size="16">{title}</text>',
        f'<text x="20" y="44" class="faint">{escape(result.description)}</text>',
        *marks, *body, *_axis(y - 12, end), "</svg>", "")))


def _in_words(result: Result) -> str:
    return " ".join(f"{step.at:.1f} s: {step.told}, {step.outcome}." for step in result.steps)


def _x(seconds: float, end: float) -> float:
    return _LEFT + _PLOT * min(seconds, end) / end


def _steps(result: Result, end: float) -> Iterator[str]:
    for number, step in enumerate(result.steps):
        y = _TOP + _STEP_ROW * number
        x = _x(step.at, end)
        # Right of its line, or left of it where there is more room.
        anchor, place = ("start", x + 4) if x < _WIDTH / 2 else ("end", x - 4)
        wrong = "" if step.outcome == "passed" else ' class="wrong"'
        yield f'<text x="{place:.1f}" y="{y + 10}" text-anchor="{anchor}"{wrong}>{escape(step.told[:90])}</text>'


def _marks(result: Result, bottom: float, end: float) -> Iterator[str]:
    for number, step in enumerate(result.steps):
        if step.outcome != "skipped":
            x, wrong = _x(step.at, end), "" if step.outcome == "passed" else " wrong"
            yield (f'<line class="step{wrong}" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP + _STEP_ROW * number + 2}" '
                   f'y2="{bottom:.1f}"/>')


def _bands(samples: list[Sample], end: float) -> dict[str, list[tuple[float, float, str]]]:
    """The conditions of servers and, where there are several, the roles of depots: spans of time, with a word."""
    bands: dict[str, list[tuple[float, float, str]]] = {}
    for place, sample in enumerate(samples):
        until = samples[place + 1].at if place + 1 < len(samples) else end
        words = {f"server {name}": "draining" if sample.draining.get(name) and word == "alive" else word
                 for name, word in sample.condition.items()}
        if len(sample.roles) > 1:
            words |= {f"depot {name}": word for name, word in sample.roles.items()}
        for name, word in words.items():
            spans = bands.setdefault(name, [])
            if spans and spans[-1][2] == word and spans[-1][1] == sample.at:
                spans[-1] = (spans[-1][0], until, word)
            else:
                spans.append((sample.at, until, word))
    return bands


def _band(name: str, spans: list[tuple[float, float, str]], y: float, end: float) -> Iterator[str]:
    yield f'<text x="{_LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(name)}</text>'
    for begin, until, word in spans:
        x, width = _x(begin, end), _x(until, end) - _x(begin, end)
        told = word or "does not answer"
        yield (f'<g><title>{escape(f"{name}: {told}, {begin:.1f} to {until:.1f} s")}</title>'
               f'<rect class="{_GOOD.get(word, "faint")}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_BAND}"/>')
        if width > 7 * len(told):
            yield f'<text x="{x + 4:.1f}" y="{y + 12}" style="fill:#ffffff">{escape(told)}</text>'
        yield "</g>"


def _panels(result: Result) -> Iterator[Panel]:
    if result.loads:
        lines: dict[str, Points] = {}
        for name, answers in result.loads.items():
            begin = result.begins[name]
            for what, counts in (("", answers.answered), (" failed", answers.failed)):
                if any(counts):
                    lines[f"{name}{what}"] = [(begin + place * BUCKET, count / BUCKET)
                                                for place, count in enumerate([*counts, 0])]
        yield Panel("answers/s", lines)
    samples = result.samples
    yield Panel("open sessions", _levels({name: [(sample.at, float(sample.sessions.get(name, 0))) for sample in samples]
                                          for name in _names([sample.sessions for sample in samples])}))
    yield Panel("cells/s, frames/s", _rates(samples, [sample.links for sample in samples]))
    drops = _rates(samples, [{name: count for name, count in sample.drops.items() if name != "all"}
                             for sample in samples])
    yield Panel("drops/s", {name: points for name, points in drops.items() if any(value for _, value in points)})


def _levels(lines: dict[str, Points]) -> dict[str, Points]:
    return {name: points for name, points in lines.items() if points}


def _names(counts: list[dict[str, int]]) -> list[str]:
    return list(dict.fromkeys(name for each in counts for name in each))


def _rates(samples: list[Sample], counts: list[dict[str, int]]) -> dict[str, Points]:
    """Counts as rates, from each sample to the next."""
    lines: dict[str, Points] = {name: [] for name in _names(counts)}
    for place in range(1, len(samples)):
        seconds = max(1e-3, samples[place].at - samples[place - 1].at)
        for name, points in lines.items():
            grown = counts[place].get(name, 0) - counts[place - 1].get(name, 0)
            points.append((samples[place].at, max(0, grown) / seconds))
    return {name: points for name, points in lines.items() if points}


def _panel(panel: Panel, y: float, end: float) -> Iterator[str]:
    most = max((value for points in panel.lines.values() for _, value in points), default=0.0) or 1.0
    yield f'<text x="20" y="{y + 12}" class="head">{escape(panel.title)}</text>'
    yield f'<text x="{_LEFT + 4}" y="{y + 10}" class="faint">{most:,.0f}</text>'
    yield f'<path class="axis" d="M{_LEFT} {y}v{_LINES}h{_PLOT}"/>'
    for number, (name, points) in enumerate(panel.lines.items()):
        colour = f"c{number % _COLOURS}"
        steps = "L".join(f"{_x(at, end):.1f} {y + _LINES * (1 - value / most):.1f}" for at, value in points)
        yield f'<g><title>{escape(name)}</title><path class="{colour}" d="M{steps}"/></g>'
        if 28 + 13 * number < _LINES:
            yield (f'<path class="{colour}" d="M20 {y + 24 + 13 * number}h12"/>'
                   f'<text x="36" y="{y + 28 + 13 * number}" class="faint">{escape(name[:20])}</text>')
    if not panel.lines:
        yield f'<text x="{_LEFT + 8}" y="{y + _LINES - 8}" class="faint">none</text>'


def _axis(y: float, end: float) -> Iterator[str]:
    every = next(size for size in (0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600, 3600, 1e9) if end / size <= 12)
    for number in range(int(end / every) + 1):
        at = number * every
        yield f'<text x="{_x(at, end):.1f}" y="{y}" text-anchor="middle" class="faint">{at:g} s</text>'
