"""The subjects of `atmdepot show`, and where their rows are defined. Commands import it without any row."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from atmdepot.net.agents.rows import Row

SUBJECTS = {"sessions": "depot_rows", "vcs": "rows", "links": "rows", "queues": "rows", "servers": "depot_rows",
            "counters": "rows", "oam": "rows", "protection": "rows", "depots": "set_rows", "dlcis": "relay_rows",
            "lmi": "relay_rows", "neighbours": "depot_rows", "impairments": "impairment_rows"}
"""The module in `net/agents/` that has the subject's row in its `ROWS`."""
MOST_COUNTED = 10_000
"""Rows beyond a limit that a daemon counts at most: to count more would take its time."""


def row_of(subject: str) -> type[Row]:
    """The class of a subject's rows."""
    row: type[Row] = import_module(f"atmdepot.net.agents.{SUBJECTS[subject]}").ROWS[subject]
    return row
