"""Scenarios in a few lines, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from atmdepot.scenario import reading

if TYPE_CHECKING:
    from atmdepot.scenario.model import Scenario

HEAD = 'name = "mine"\ntable = "direct"\n'


def scenario(steps: str, head: str = HEAD) -> Scenario:
    """A scenario of these steps."""
    return reading.parse(head + steps, Path("mine.toml"))
