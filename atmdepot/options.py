"""Kinds of options of commands, and values that several have."""

from __future__ import annotations

import math
from typing import Any

import click

MOST_ROWS = 100
"""Rows of a long table that are printed unless `--limit` says otherwise."""
EVENT_LEVELS = ("info", "warning", "error")
"""The levels of events, the least first."""
_DAY = 86400


class Seconds(click.FloatRange):
    """A time in seconds: a number above 0 or from `least` on, up to `most`. Python also reads `nan`, which is none."""

    def __init__(self, least: float | None = None, most: float = _DAY) -> None:
        super().__init__(min=least or 0, max=most, min_open=least is None)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read a number; one that is none, or too small or great, is a usage error."""
        seconds: float = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a valid float range.", param, ctx)
        return seconds
