"""The event log of a node: what its daemon's log says, as records that `atmdepot events` follows.

All is told through the logger `atmdepot`. A record that is an event of its own kind has `about(...)` as its `extra`;
any other is of the kind `note`. The last events are kept, and each has a number, so that a client sees what it has
missed.
"""

from __future__ import annotations

import itertools
import logging
import time
import traceback
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Iterator

KEPT = 1000
"""The events that a daemon keeps."""
_LONGEST_TEXT = 2000
KINDS = ("started", "stopping", "server-dead", "server-alive", "draining", "drained", "undrained", "table-full",
         "vcis-full", "link-down", "link-up", "pvc-down", "pvc-up", "drops", "vp-down", "vp-up",
         "vp-moved", "role", "unfit", "fit", "reloaded", "reload-refused", "impaired",
         "note", "daemon-gone", "missed", "refused")
"""The kinds of events, in the order of docs/events.md."""
Value = str | int | float | bool | None


class Event(Struct, gc=False):
    """An event at a node.

    `id` counts the node's events from 1 at each start of its daemon. `time` is UTC, ISO 8601. `kind` is one of the
    words in docs/events.md, `level` is `info`, `warning` or `error`, `subject` the server, link, VP or place that it is
    about, `text` a sentence for people, and `data` has its figures, with units in the keys.
    """

    id: int
    time: str
    node: str
    level: str
    kind: str
    subject: str
    text: str
    data: dict[str, Value] = field(default_factory=dict)


def about(kind: str, subject: str, **data: Value) -> dict[str, Any]:
    """The `extra` of a log record that is an event of a kind."""
    return {"event_kind": kind, "event_subject": subject, "event_data": data}


def event_of(record: logging.LogRecord, number: int = 0, node: str = "") -> Event:
    """The event that a log record tells."""
    data = dict(getattr(record, "event_data", {}))
    text = record.getMessage()
    if record.exc_info and record.exc_info[1] is not None:
        data["traceback"] = "".join(traceback.format_exception(record.exc_info[1]))[-_LONGEST_TEXT:]
    return Event(number, _stamp(record.created), node, level_of(record), getattr(record, "event_kind", "note"),
                 getattr(record, "event_subject", ""), text[:_LONGEST_TEXT], data)


def level_of(record: logging.LogRecord) -> str:
    """The level's name; what is more than an error is one."""
    return logging.getLevelName(min(record.levelno, logging.ERROR)).lower()


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class EventLog(logging.Filter):
    """The last events of a node; as a filter of the logger it hears of every record, and stops none."""

    def __init__(self, node: str) -> None:
        super().__init__()
        self.node = node
        self.boot = time.time_ns()
        """The time (ns) at which the numbers began."""
        self._numbers = itertools.count(1)
        self._kept: deque[Event] = deque(maxlen=KEPT)

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep a record; debugging is for the log alone."""
        if record.levelno >= logging.INFO:
            event = event_of(record, next(self._numbers), self.node)
            self._kept.append(event)
            record.event = event
        return True

    @property
    def last(self) -> int:
        """The number of the newest event, 0 without any."""
        return self._kept[-1].id if self._kept else 0

    def after(self, number: int) -> Iterator[Event]:
        """The events that are kept and newer than a number."""
        return (event for event in list(self._kept) if event.id > number)
