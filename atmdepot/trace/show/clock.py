"""The times of a trace's lines, in the formats of tcpdump."""

from __future__ import annotations

import time
from enum import IntEnum
from functools import lru_cache

_NS = 1_000_000_000


class Stamp(IntEnum):
    """The format of a line's time: the number of `-t`s, as tcpdump counts them."""

    CLOCK = 0
    NONE = 1
    EPOCH = 2
    DELTA = 3
    DATE = 4
    SINCE_FIRST = 5


class Clock:
    """Formats the times of successive lines."""

    def __init__(self, stamp: Stamp = Stamp.CLOCK) -> None:
        self._stamp = stamp
        self._first: int | None = None
        self._before = 0

    def text(self, time_ns: int) -> str:
        """A line's time and two spaces; empty with Stamp.NONE."""
        stamp = self._stamp
        if stamp is Stamp.CLOCK:
            return f"{_local(time_ns // _NS, '%H:%M:%S')}.{time_ns % _NS // 1000:06d}  "
        if stamp is Stamp.NONE:
            return ""
        if self._first is None:
            self._first = self._before = time_ns
        if stamp is Stamp.EPOCH:
            return f"{_decimal(time_ns)}  "
        if stamp is Stamp.DATE:
            return f"{_local(time_ns // _NS, '%Y-%m-%d %H:%M:%S')}.{time_ns % _NS // 1000:06d}  "
        since = self._before if stamp is Stamp.DELTA else self._first
        self._before = time_ns
        return f"{_decimal(time_ns - since)}  "


def _decimal(ns: int) -> str:
    sign = "-" if ns < 0 else ""
    seconds, rest = divmod(abs(ns), _NS)
    return f"{sign}{seconds}.{rest // 1000:06d}"


@lru_cache(maxsize=8)
def _local(seconds: int, form: str) -> str:
    """A time in the local time zone; seconds since 1970 for a time beyond the calendar, as a capture may claim it."""
    try:
        return time.strftime(form, time.localtime(seconds))
    except (OverflowError, OSError):
        return str(seconds)
