"""Tables for people: the rows that daemons give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from atmdepot.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDE = 1000
_GAP = 3
"""Columns of a terminal between two columns of a table."""
_UNITS = {"_per_s": "/s", "_ms": " (ms)", "_s": " (s)", "_cps": " (cells/s)"}


def console() -> Console:
    """The console for data, stdout; it is wide when stdout is no terminal, so that a pipe gets unfolded rows."""
    made = Console()
    return made if made.is_terminal else Console(width=_WIDE)


def titled(title: str, shown: int, more: int, *, is_over: bool = False) -> str:
    """A table's title with the number of its rows, of which `more` are not shown, or over so many."""
    return f"{title} ({shown:,} of {'over ' * is_over}{shown + more:,})" if more else f"{title} ({shown})"


def make_table(title: str, columns: Sequence[str], rows: list[dict[str, Any]]) -> Table:
    """A table of rows; columns of numbers are right-aligned."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        numeric = any(isinstance(row.get(column), int | float) for row in rows)  # a node may lack the value
        heading = heading_of(column)
        # Folded rather than cut off, so that no value is lost.
        table.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        # As Text, since rich would read brackets in a plain string as markup.
        table.add_row(*(Text(_cell(row.get(column, ""))) for column in columns))
    return table


def heading_of(column: str) -> str:
    """A column's heading: its key in words, with the unit behind it."""
    for suffix, unit in _UNITS.items():
        if column.endswith(suffix):
            return column.removesuffix(suffix).replace("_", " ") + unit
    return column.replace("_", " ")


def _width_of(column: str, rows: list[dict[str, Any]]) -> int:
    return max(len(heading_of(column)), *(len(_cell(row.get(column, ""))) for row in rows), 0)


def fitting(narrow: Sequence[str], wide: Sequence[str], rows: list[dict[str, Any]], width: int) -> list[str]:
    """The narrow columns, and as many of the wide ones, in their order, as a terminal has room for."""
    columns = list(narrow)
    room = width - sum(_width_of(column, rows) + _GAP for column in columns)
    for column in wide:
        room -= _width_of(column, rows) + _GAP
        if room < 0:
            break
        columns.append(column)
    return columns


def _cell(value: object) -> str:
    if isinstance(value, bool):  # before int, of which bool is a subclass
        return "yes" if value else "no"
    if value is None:
        return ""
    if isinstance(value, list):
        text = ", ".join(map(str, value))
    else:
        text = f"{value:,}" if isinstance(value, int) else str(value)
    return printable(text, keep="\n")


def print_rows(
    title: str, columns: Sequence[str], rows: list[dict[str, Any]], wide: Sequence[str] = (), more: int = 0,
    *, is_over: bool = False,
) -> None:
    """Print rows; at a terminal with as many of the wide columns as it has room for, into a pipe with all.

    `more` rows there are beside these, or over so many; the title says so.
    """
    out = console()
    columns = fitting(columns, wide, rows, out.width) if out.is_terminal else [*columns, *wide]
    out.print(make_table(titled(title, len(rows), more, is_over=is_over), columns, rows))
