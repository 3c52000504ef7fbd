"""The report within a page of documentation: its blocks between two markers, its charts as files beside the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from atmdepot.bench.page import put_into, require_markers
from atmdepot.bench.patent.document import Block, Chart, Heading, as_markdown
from atmdepot.paths import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BEGIN, END = "<!-- bench patent -->", "<!-- end of bench patent -->"
"""The markers of a page that has the report."""


def put(page: Path, blocks: Sequence[Block]) -> None:
    """Put a report into a page; raise AtmdepotError where it lacks the markers, OSError where it cannot be written."""
    require_markers(page, BEGIN, END)
    ours = [_below(block, page.stem) for block in blocks if not (isinstance(block, Heading) and block.level == 1)]
    for block in ours:
        if isinstance(block, Chart):
            write_whole(page.parent / block.name, block.svg)
    put_into(page, as_markdown(ours), BEGIN, END)


def _below(block: Block, stem: str) -> Block:
    """A block as it stands within a page: charts have the page's name before theirs, headings are a level lower."""
    if isinstance(block, Chart):
        return msgspec.structs.replace(block, name=f"{stem}-{block.name}")
    return msgspec.structs.replace(block, level=block.level + 1) if isinstance(block, Heading) else block
