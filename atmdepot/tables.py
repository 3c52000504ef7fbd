"""Tables for people: the rows that daemons give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDE = 1000
_HEADINGS = {"for": "for (s)", "age": "age (s)", "idle": "idle (s)"}


def console() -> Console:
    """The console for data, stdout; it is wide when stdout is no terminal, so that a pipe gets unfolded rows."""
    made = Console()
    return made if made.is_terminal else Console(width=_WIDE)


def make_table(title: str, columns: Sequence[str], rows: list[dict[str, Any]]) -> Table:
    """A table of rows; columns of numbers are right-aligned."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        numeric = any(isinstance(row.get(column), int | float) for row in rows)  # a node may lack the value
        heading = _HEADINGS.get(column, column.replace("_", " "))
        # Folded rather than cut off, so that no value is lost.
        table.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        # As Text, since rich would read brackets in a plain string as markup.
        table.add_row(*(Text(_cell(row.get(column, ""))) for column in columns))
    return table


def _cell(value: object) -> str:
    if isinstance(value, bool):  # before int, of which bool is a subclass
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def print_rows(title: str, columns: Sequence[str], rows: list[dict[str, Any]]) -> None:
    """Print the rows that `show` received."""
    console().print(make_table(f"{title} ({len(rows)})", columns, rows))
