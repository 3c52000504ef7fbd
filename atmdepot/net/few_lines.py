"""Lines of the log about one thing, few enough whoever makes it change: some at once, and then one each few seconds."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

AT_ONCE = 20
EACH = 5_000_000_000
"""The time (ns) that gives one line more."""

log = logging.getLogger("atmdepot")


class Line(NamedTuple):
    """A line: its level, text and `extra`."""

    level: int
    text: str
    extra: dict[str, Any]


class FewLines:
    """The lines that are left, and the last one for which there was no room: what holds now is always told."""

    def __init__(self) -> None:
        self._full_at = 0  # the time at which all lines are there again
        self._held: Line | None = None
        self._more = 0

    def _takes(self, now: int) -> bool:
        if self._full_at - now > (AT_ONCE - 1) * EACH:
            return False
        self._full_at = max(self._full_at, now) + EACH
        return True

    def tell(self, line: Line, now: int) -> None:
        """Log a line, or hold it back until `look`."""
        if self._held is None and self._takes(now):
            log.log(line.level, "%s", line.text, extra=line.extra)
        else:
            self._more += self._held is not None
            self._held = line

    def look(self, now: int) -> None:
        """Log the line that was held back, once there is room for it, and how many before it were not logged."""
        line = self._held
        if line is not None and self._takes(now):
            more = f"; {self._more:,} changes before it were not logged" if self._more else ""
            log.log(line.level, "%s%s", line.text, more, extra=line.extra)
            self._held, self._more = None, 0
