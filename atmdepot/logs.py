"""The form of the log on standard error: lines for people, with `<N>` for systemd's journal, or JSON."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

LOGGER = "atmdepot"
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3}
"""Of sd-daemon(3)."""


class Plain(logging.Formatter):
    """The log of a command at a terminal."""

    def __init__(self) -> None:
        super().__init__("atmdepot: %(message)s")


class Text(logging.Formatter):
    """The log of a daemon: time (UTC), level and text."""

    def format(self, record: logging.LogRecord) -> str:
        """A line; a traceback follows on lines of its own."""
        from atmdepot.net.event_log import event_of

        event = getattr(record, "event", None) or event_of(record)
        return f"{event.time} {event.level:<7} {_node(event.node)}{super().format(record)}"


class Journal(logging.Formatter):
    """The log of a daemon under systemd, which has times of its own: each line begins with its priority."""

    def format(self, record: logging.LogRecord) -> str:
        """Lines with `<N>`."""
        from atmdepot.net.event_log import level_of

        priority = _PRIORITIES[level_of(record)]
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


class Json(logging.Formatter):
    """The log as JSON, an object on each line, with the keys of `atmdepot events`."""

    def __init__(self, *, of_daemon: bool) -> None:
        super().__init__()
        self.of_daemon = of_daemon

    def format(self, record: logging.LogRecord) -> str:
        """A line."""
        import msgspec

        from atmdepot.net.event_log import event_of

        return msgspec.json.encode(getattr(record, "event", None) or event_of(record)).decode()


def _node(name: str) -> str:
    return f"{name}: " if name else ""


def is_journal(stream: TextIO) -> bool:
    """True when a stream leads to systemd's journal (`JOURNAL_STREAM`, systemd.exec(5))."""
    try:
        there = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{there.st_dev}:{there.st_ino}"


def failure(text: str) -> str:
    """The lines by which a command's failure is told: a daemon's are in the form of its log.

    So `journalctl -p err` has them, and a log of JSON objects has nothing else in it.
    """
    plain = text if "\n" in text else f"atmdepot: {text}"
    handler = next(iter(logging.getLogger(LOGGER).handlers), None)
    form = handler.formatter if handler is not None else None
    if not (isinstance(form, Journal) or (isinstance(form, Json) and form.of_daemon)):
        return plain
    lines = text.splitlines() if isinstance(form, Json) else plain.splitlines()
    return "\n".join(form.format(logging.LogRecord(LOGGER, logging.ERROR, "", 0, line, (), None)) for line in lines)


def set_up(level: str, form: str, *, is_daemon: bool) -> None:
    """Have the log written to standard error; other packages' own logs are not written."""
    if form == "json":
        formatter: logging.Formatter = Json(of_daemon=is_daemon)
    elif not is_daemon:
        formatter = Plain()
    else:
        formatter = Journal() if is_journal(sys.stderr) else Text()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    handler.setLevel(level.upper())
    logger = logging.getLogger(LOGGER)
    logger.handlers[:] = [handler]
    logger.setLevel(min(logging.INFO, handler.level))  # `atmdepot events` has more than the log may want
    logger.propagate = False
    logging.getLogger().addHandler(logging.NullHandler())
