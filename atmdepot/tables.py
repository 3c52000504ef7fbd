"""Tables for people: the rows that daemons give."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDE = 200
_COLUMNS = {
    "sessions": ["number", "client", "server", "vc", "table", "client_state", "server_state", "idle"],
    "vcs": ["node", "vc", "category", "carries", "tx_pdus", "tx_cells", "rx_pdus", "rx_cells"],
    "links": ["node", "link", "tx_cells", "rx_cells", "tx_pdus", "rx_pdus", "drops", "trouble", "last_error"],
    "servers": ["server", "node", "list", "for", "why", "draining", "sessions", "flows", "sessions_total"],
    "counters": ["node", "place", "counter", "value", "unit", "meaning"],
}
"""The columns that fit a terminal; `wide` shows all columns."""

_HEADINGS = {"for": "for (s)", "age": "age (s)", "idle": "idle (s)"}


def console() -> Console:
    """The console for data, stdout; it is wide when stdout is no terminal, so that a pipe gets unfolded rows."""
    made = Console()
    return made if made.is_terminal else Console(width=_WIDE)


def make_table(title: str, columns: list[str], rows: list[dict[str, Any]]) -> Table:
    """A table of rows; columns of numbers are right-aligned."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        numeric = bool(rows) and isinstance(rows[0].get(column), int | float)
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


def print_rows(subject: str, rows: list[dict[str, Any]], *, wide: bool = False) -> None:
    """Print the rows that `show` received."""
    columns = list(rows[0]) if wide and rows else _COLUMNS[subject]
    console().print(make_table(f"{subject} ({len(rows)})", columns, rows))
