"""The files that a benchmark's command writes at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from atmdepot.paths import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class ReportFiles(NamedTuple):
    """The files that were asked for: figures, a drawing, and tables in Markdown."""

    json: Path | None
    svg: Path | None
    markdown: Path | None

    def write(self, figures: Callable[[], Any], draw: Callable[[], str], tables: Callable[[], str]) -> None:
        """Write them; what nobody asked for is not made."""
        if self.json is not None:
            write_whole(self.json, msgspec.json.format(msgspec.json.encode(figures())).decode() + "\n")
        if self.svg is not None:
            write_whole(self.svg, draw())
        if self.markdown is not None:
            write_whole(self.markdown, tables())
