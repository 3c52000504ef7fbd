"""Signs of other processes at work: tasks that wait for a processor while the benchmark rests (PSI)."""

from __future__ import annotations

import time
from pathlib import Path

from atmdepot.bench.accounting import NotRead, waited

_PRESSURE = Path("/proc/pressure/cpu")
_LOOK = 0.2
"""Seconds of a look. The labs are quiet then, so that only tasks of other processes can wait."""

_US = 1_000_000
ALLOWED = 0.02
"""The share of the time that tasks may wait in a round without a mark: the system itself takes some."""


class Others:
    """The looks of each round."""

    def __init__(self) -> None:
        self._waited: dict[int, list[float]] = {}

    def look(self, round_number: int) -> None:
        """Rest for a moment, and keep the share of it in which a task waited for a processor, if the kernel has PSI."""
        if (found := share(_LOOK)) is not None:
            self.add(round_number, found)

    def add(self, round_number: int, share: float) -> None:
        """Keep the share of a look's time in which a task waited."""
        self._waited.setdefault(round_number, []).append(share)

    @property
    def shares(self) -> dict[int, float]:
        """The mean share of each round; empty where the kernel has no PSI."""
        return {number: sum(found) / len(found) for number, found in self._waited.items()}

    @property
    def rounds(self) -> list[int]:
        """The rounds in which other processes took more than the allowed share."""
        return [number for number, share in self.shares.items() if share > ALLOWED]


def share(seconds: float) -> float | None:
    """Rest for some seconds; return the share of them in which a task waited for a processor, if the kernel has PSI."""
    before, began = _read(), time.monotonic()
    time.sleep(seconds)
    after, took = _read(), time.monotonic() - began
    return None if before is None or after is None else (after - before) / _US / took


def _read() -> int | None:
    try:
        return waited(_PRESSURE.read_text())
    except (OSError, NotRead):
        return None
