"""A daemon's rows, asked for with little patience."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from atmdepot.errors import AtmdepotError
from atmdepot.net.control_client import show

if TYPE_CHECKING:
    from pathlib import Path

_ANSWER = 0.3
"""Seconds that a daemon has to answer: one that hangs must not keep the others from being looked at."""


def rows_of(socket: Path, subject: str) -> list[dict[str, Any]]:
    """The rows of a subject; none while the daemon does not answer."""
    with suppress(AtmdepotError):
        return show(socket, subject, 100_000, timeout=_ANSWER)
    return []
