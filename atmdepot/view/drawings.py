"""A picture as text for other programs: Mermaid, the dot language of Graphviz, and SVG with its own layout."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING

from atmdepot.view.layout import BOX_HEIGHT, BOX_WIDTH, Point, lay_out, path_of, point_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from atmdepot.view.layout import Layout
    from atmdepot.view.picture import Box, Picture, Wire

_KINDS = {"client": "clients", "depot": "depot", "switch": "ATM switch", "edge": "edge node",
          "interworking": "interworking", "external": "external", "server": "server"}
_MOST_VPS = 3
"""VPs that are named on a wire; the drawing says how many more there are."""
_LINE = 15
_LETTER = 6.8  # pixels, about
_SHARES = (0.5, 0.4, 0.6, 0.32, 0.68, 0.25, 0.75, 0.18, 0.82)
"""Shares of a wire's way at which its text may stand, the best first."""
_ENTITIES = str.maketrans({"#": "#35;", "&": "#amp;", "<": "#lt;", ">": "#gt;", '"': "#quot;", "`": "#96;"})
_FOOT = 34  # room below the boxes for the services' first line

_STYLE = """
svg { background: #ffffff; font: 13px system-ui, sans-serif; }
text { fill: #1b2430; } .faint { fill: #566171; font-size: 11px; } .name { font-weight: 600; }
.box { fill: #f4f6f9; stroke: #8592a3; stroke-width: 1.5; }
.depot { fill: #dbeafe; stroke: #1d5fbf; } .switch { fill: #ece6fb; stroke: #6b46c1; }
.edge { fill: #d9f2e6; stroke: #16794c; } .server { fill: #fff3d6; stroke: #9a6700; }
.wire { fill: none; stroke: #4b5a6c; stroke-width: 3; } .ip { stroke-width: 1.5; stroke-dasharray: 5 4; }
.label { paint-order: stroke; stroke: #ffffff; stroke-width: 5px; stroke-linejoin: round; }
@media (prefers-color-scheme: dark) {
  svg { background: #10151d; } text { fill: #e8edf4; } .faint { fill: #a3afbf; }
  .box { fill: #1c2430; stroke: #6d7b8d; } .depot { fill: #14305c; stroke: #6ea8fe; }
  .switch { fill: #2f2452; stroke: #b39df3; } .edge { fill: #12382a; stroke: #4cc38a; }
  .server { fill: #3d2f0e; stroke: #e0b04c; } .wire { stroke: #93a1b3; } .label { stroke: #10151d; }
}
"""


def mermaid(picture: Picture) -> str:
    """A flowchart of Mermaid, as Markdown pages on GitHub and elsewhere show it."""
    ids = {key: f"n{number}" for number, key in enumerate(picture.boxes)}
    lines = ["---", f"title: {_yaml_text(_title(picture))}", "---", "flowchart LR"]
    for key, box in picture.boxes.items():
        lines.append(f'  {ids[key]}["{"<br>".join(map(_mermaid_text, _texts(box)))}"]:::{box.kind}')
    for wire in picture.wires:
        line = "-.-" if wire.kind == "ip" else "==="
        label = "<br>".join(map(_mermaid_text, _labels(wire)))
        line += f'|"{label}"|' if label else ""
        lines.append(f"  {ids[wire.ends[0]]} {line} {ids[wire.ends[1]]}")
    lines += [f"  {line}" for line in (
        "classDef depot fill:#dbeafe,stroke:#1d5fbf,color:#1b2430", ("classDef switch fill:#ece6fb,stroke:#6b46c1,"
        "color:#1b2430"), "classDef edge fill:#d9f2e6,stroke:#16794c,color:#1b2430",
        "classDef server fill:#fff3d6,stroke:#9a6700,color:#1b2430")]
    return "\n".join([*lines, ""])


def dot(picture: Picture) -> str:
    """A graph in the dot language: `dot -Tpdf`, `neato`, and other tools of Graphviz read it."""
    fills = {"depot": "#dbeafe", "switch": "#ece6fb", "edge": "#d9f2e6", "server": "#fff3d6"}
    lines = [f"graph {_quoted(picture.name)} {{", f"  label={_quoted(_title(picture))}; rankdir=LR;",
             '  node [shape=box, style="rounded,filled", fillcolor="#f4f6f9", fontname="sans-serif"];',
             '  edge [fontname="sans-serif", fontsize=10];']
    for key, box in picture.boxes.items():
        fill = f', fillcolor="{fills[box.kind]}"' if box.kind in fills else ""
        lines.append(f"  {_quoted(key)} [label={_quoted(*_texts(box))}{fill}];")
    for wire in picture.wires:
        look = "style=dashed" if wire.kind == "ip" else "penwidth=2"
        one, other = wire.ends
        lines.append(f"  {_quoted(one)} -- {_quoted(other)} [label={_quoted(*_labels(wire))}, {look}];")
    return "\n".join([*lines, "}", ""])


def svg(picture: Picture) -> str:
    """A drawing that browsers show, for light and dark themes."""
    layout = lay_out(picture)
    height = layout.height + _FOOT + len(picture.services) * _LINE
    drawn = list(zip(picture.wires, layout.wires, strict=True))
    body = [f'<path class="{"wire ip" if wire.kind == "ip" else "wire"}" d="{path_of(points)}"/>'
            for wire, points in drawn]
    labels = _Labels(layout)
    for wire, points in drawn:
        body += labels.svg(wire, points)
    for key, box in picture.boxes.items():
        body += _svg_box(box, layout.boxes[key])
    services = [f'<text class="faint" x="24" y="{layout.height + _FOOT + number * _LINE:g}">{escape(text)}</text>'
                for number, text in enumerate(picture.services.values())]
    return "\n".join((
        (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {layout.width:g} {height:g}" width="{layout.width:g}" '
        f'height="{height:g}" role="img" aria-labelledby="title description">'),
        f'<title id="title">{escape(_title(picture))}</title>',
        f'<desc id="description">{escape(in_words(picture))}</desc>', f"<style>{_STYLE}</style>",
        *body, f'<text class="name" x="24" y="{layout.height + 14:g}">{escape(_title(picture))}</text>', *services,
        "</svg>", ""))


FORMS: dict[str, Callable[[Picture], str]] = {"mermaid": mermaid, "dot": dot, "svg": svg}
"""The forms of `atmdepot graph`."""


def in_words(picture: Picture) -> str:
    """The picture for readers who cannot see it: each wire and what is on it."""
    told = []
    for wire in picture.wires:
        one, other = (picture.boxes[end] for end in wire.ends)
        on = f": {', '.join(map(str, wire.vps))}" if wire.vps else ""
        told.append(f"{_KINDS[one.kind]} {one.name} to {_KINDS[other.kind]} {other.name}{on}")
    return "; ".join(told) + "."


def _title(picture: Picture) -> str:
    return f"{picture.name}: {picture.description}" if picture.description else picture.name


def _texts(box: Box) -> list[str]:
    """The lines in a box: its name, its kind, and what else the table says."""
    kind = [] if box.kind == "client" else [_KINDS[box.kind]]
    return [box.name, *kind, *box.lines]


def _labels(wire: Wire) -> list[str]:
    """The lines on a wire: its name with rate and delay, then its VPs."""
    if wire.kind == "ip":
        return []
    shown, rest = wire.vps[:_MOST_VPS], len(wire.vps) - _MOST_VPS
    vps = [str(vp).removeprefix(f"{wire.name} ") for vp in shown]
    return [wire.name, *([wire.text] if wire.text else []), *vps,
            *([f"and {rest} more"] if rest > 0 else [])]


def _mermaid_text(text: str) -> str:
    """Text without what Mermaid would take for its own; it has the names of HTML's entities behind a number sign."""
    return text.translate(_ENTITIES)


def _yaml_text(text: str) -> str:
    """Text as YAML reads it in any case: a string of JSON."""
    return json.dumps(text, ensure_ascii=False).replace("<", "\\u003c")


def _quoted(*lines: str) -> str:
    """Lines as a string of the dot language."""
    return '"' + "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in lines) + '"'


class _Labels:
    """Places for the texts on wires: each where it covers no other text and no box, if there is such a place."""

    def __init__(self, layout: Layout) -> None:
        self._taken = [(of.x - BOX_WIDTH / 2, of.y - BOX_HEIGHT / 2, of.x + BOX_WIDTH / 2, of.y + BOX_HEIGHT / 2)
                       for of in layout.boxes.values()]

    def svg(self, wire: Wire, points: tuple[Point, ...]) -> Iterator[str]:
        """The name above the wire, and the other lines below it."""
        lines = _labels(wire)
        if not lines:
            return
        x, y = self._place(points, lines)
        for number, text in enumerate(lines):
            look = "label" if number == 0 else "label faint"
            at = y - 6 if number == 0 else y + 2 + number * 13
            yield f'<text class="{look}" x="{x:.1f}" y="{at:.1f}" text-anchor="middle">{escape(text)}</text>'

    def _place(self, points: tuple[Point, ...], lines: list[str]) -> Point:
        half = max(map(len, lines)) * _LETTER / 2
        found: list[tuple[float, int, Point, _Area]] = []
        for share in _SHARES:
            x, y = point_on(points, share)
            area = x - half, y - 18, x + half, y + len(lines) * 13 - 6
            hidden = sum(_common(area, other) for other in self._taken)
            found.append((hidden, len(found), Point(x, y), area))
        _, _, place, area = min(found)
        self._taken.append(area)
        return place


_Area = tuple[float, float, float, float]


def _common(one: _Area, other: _Area) -> float:
    """The pixels that two areas have in common."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return width * height if width > 0 and height > 0 else 0


def _svg_box(box: Box, middle: Point) -> Iterator[str]:
    left, top = middle.x - BOX_WIDTH / 2, middle.y - BOX_HEIGHT / 2
    yield (f'<rect class="box {box.kind}" x="{left:g}" y="{top:g}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" '
           'rx="8"/>')
    texts = _texts(box)[:3]
    for number, text in enumerate(texts):
        y = middle.y + 5 + (number - (len(texts) - 1) / 2) * 16
        look = "name" if number == 0 else "faint"
        yield f'<text class="{look}" x="{middle.x:g}" y="{y:g}" text-anchor="middle">{escape(text)}</text>'
