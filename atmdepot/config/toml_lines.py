"""Find the line of a key in a TOML text, since `tomllib` reports lines only for syntax errors."""

from __future__ import annotations

import re

_KEY = re.compile(r"\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'))*)\s*=")


class Lines:
    """The line of each key that a text spells out; the text is read once, for any number of queries."""

    def __init__(self, text: str) -> None:
        self._first: dict[tuple[str, ...], int] = {}
        table: tuple[str, ...] = ()
        for number, line in enumerate(text.split("\n"), 1):
            if header := _header(line):
                here = table = _split(header)
            elif key := _KEY.match(line):
                here = table + _split(key[1])
            else:
                continue
            self._first.setdefault(here, number)

    def of(self, path: tuple[str, ...]) -> int | None:
        """The line (from 1) of the deepest part of `path` that the text spells out, if there is a line."""
        return next((self._first[path[:depth]] for depth in range(len(path), 0, -1) if path[:depth] in self._first),
                    None)


def _header(line: str) -> str:
    """The dotted key of `[a.b]  # a table`; empty for other lines. Without a regex, which could take cubic time."""
    inside, closed, rest = line.strip().removeprefix("[").partition("]")
    is_header = line.lstrip().startswith("[") and closed and rest.lstrip()[:1] in ("", "#")
    return "" if not is_header or set(inside) & set("[#") else inside.strip()


def _split(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in re.findall(r"\"[^\"]*\"|'[^']*'|[^.\s]+", dotted))
