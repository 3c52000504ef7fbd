#!/usr/bin/env python3
"""Write the table of criteria in docs/balancing.md from their docstrings: `python docs/make_criteria.py`."""

from __future__ import annotations

import re
from pathlib import Path

from atmdepot.depot.balancing.registry import BALANCERS

PAGE = Path(__file__).parent / "balancing.md"
_TABLE = re.compile(r"^\| `balancing` \|.*?\n\n", re.MULTILINE | re.DOTALL)


def page() -> str:
    """The page, with the table as the code has it now."""
    return _TABLE.sub(lambda _: "\n".join([*_rows(), "", ""]), PAGE.read_text(), count=1)


def _rows() -> list[str]:
    rows = [f"| `{name}` | {_first_paragraph(criterion.__doc__)} |" for name, criterion in BALANCERS.items()]
    return ["| `balancing` | chooses |", "|---|---|", *rows]


def _first_paragraph(docstring: str | None) -> str:
    paragraph = " ".join((docstring or "").partition("\n\n")[0].split())
    return paragraph[:1].lower() + paragraph[1:].removesuffix(".")


if __name__ == "__main__":
    PAGE.write_text(page())
