"""The files that a benchmark's command writes at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

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
            self.json.write_bytes(msgspec.json.format(msgspec.json.encode(figures())) + b"\n")
        if self.svg is not None:
            self.svg.write_text(draw(), encoding="utf-8")
        if self.markdown is not None:
            self.markdown.write_text(tables(), encoding="utf-8")
