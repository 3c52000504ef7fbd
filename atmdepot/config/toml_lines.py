"""Find the line of a key in a TOML text, since `tomllib` tells lines only of syntax errors."""

from __future__ import annotations

import re

_HEADER = re.compile(r"\s*\[\s*([^\[\]#]+?)\s*\]\s*(?:#.*)?$")
_KEY = re.compile(r"\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'))*)\s*=")


def line_of(text: str, path: tuple[str, ...]) -> int | None:
    """The line (from 1) of the deepest part of `path` that the text spells out, or None."""
    best_line, best_depth = None, 0
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.split("\n"), 1):
        if header := _HEADER.match(line):
            here = table = _split(header[1])
        elif key := _KEY.match(line):
            here = table + _split(key[1])
        else:
            continue
        if len(here) > best_depth and here == path[: len(here)]:
            best_line, best_depth = number, len(here)
    return best_line


def _split(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in re.findall(r"\"[^\"]*\"|'[^']*'|[^.\s]+", dotted))
