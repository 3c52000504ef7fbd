"""A document of headings, paragraphs, tables and charts, as Markdown and as one HTML file that works offline."""

from __future__ import annotations

import base64
import re
from html import escape
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Heading(Struct, frozen=True):
    """A heading of a level: 1 for the title."""

    level: int
    text: str


class Paragraph(Struct, frozen=True):
    """Plain text; `marked` is what a reader must not miss."""

    text: str
    marked: bool = False


class Grid(Struct, frozen=True):
    """A table: the names of its columns, and its rows."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Chart(Struct, frozen=True):
    """A chart: the name of its file, its SVG, and its content in words."""

    name: str
    svg: str
    about: str


Block = Heading | Paragraph | Grid | Chart

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums;
  display: block; overflow-x: auto; }
th, td { border: 1px solid #8888; padding: .2rem .5rem; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
figure { display: inline-block; margin: .5rem; background: #fff; } figure img { display: block; max-width: 100%; }
.marked { border-left: .3rem solid #cf222e; padding-left: .7rem; }
"""


def as_markdown(blocks: Iterable[Block]) -> str:
    """The document in Markdown; charts are files beside it."""
    return "\n\n".join(map(_markdown, blocks)) + "\n"


def _markdown(block: Block) -> str:
    if isinstance(block, Heading):
        return f"{'#' * block.level} {block.text}"
    if isinstance(block, Paragraph):
        return f"**{block.text}**" if block.marked else block.text
    if isinstance(block, Chart):
        return f"![{block.about}]({block.name})"
    rows = (block.head, ("---",) * len(block.head), *block.rows)
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)


def as_html(title: str, blocks: Sequence[Block]) -> str:
    """The document as HTML, with the charts inside, and nothing from elsewhere."""
    body = "\n".join(map(_html, blocks))
    return (f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<style>{_STYLE}</style>\n<body>\n{body}\n</body>\n</html>\n")


def _html(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h{block.level}>{escape(block.text)}</h{block.level}>"
    if isinstance(block, Paragraph):
        text = re.sub("`([^`]+)`", r"<code>\1</code>", escape(block.text))
        return f"<p{' class=marked' if block.marked else ''}>{text}</p>"
    if isinstance(block, Chart):
        # As pictures, so that the styles of one chart do not reach another.
        octets = base64.b64encode(block.svg.encode()).decode()
        return f'<figure><img alt="{escape(block.about)}" src="data:image/svg+xml;base64,{octets}"></figure>'
    head = "".join(f"<th>{escape(cell)}</th>" for cell in block.head)
    rows = "\n".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in block.rows)
    return f"<table>\n<tr>{head}</tr>\n{rows}\n</table>"
