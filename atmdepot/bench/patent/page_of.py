"""The report within a page of documentation: its blocks between two markers, its charts as files beside the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from atmdepot.bench.patent.document import Block, Chart, Heading, as_markdown
from atmdepot.errors import AtmdepotError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BEGIN, END = "<!-- bench patent -->", "<!-- end of bench patent -->"
"""The markers of a page that has the report."""


def put(page: Path, blocks: Sequence[Block]) -> None:
    """Put a report into a page; raise AtmdepotError where it lacks the markers, OSError where it cannot be written."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise AtmdepotError(f"{page} has no lines {BEGIN} and {END}, between which the report is to stand")
    ours = [_below(block, page.stem) for block in blocks if not (isinstance(block, Heading) and block.level == 1)]
    for block in ours:
        if isinstance(block, Chart):
            (page.parent / block.name).write_text(block.svg, encoding="utf-8")
    page.write_text(f"{before}{begin}\n\n{as_markdown(ours)}\n{end}{after}", encoding="utf-8")


def _below(block: Block, stem: str) -> Block:
    """A block as it stands within a page: charts have the page's name before theirs, headings are a level lower."""
    if isinstance(block, Chart):
        return msgspec.structs.replace(block, name=f"{stem}-{block.name}")
    return msgspec.structs.replace(block, level=block.level + 1) if isinstance(block, Heading) else block
