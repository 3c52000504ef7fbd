"""The event log: what the logger says becomes numbered, bounded records."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pytest

from atmdepot.net.event_log import KEPT, KINDS, EventLog, about


def record(text: str = "text", level: int = logging.WARNING, **extra: Any) -> logging.LogRecord:
    return logging.getLogger("atmdepot").makeRecord("atmdepot", level, "file", 1, text, (), None, extra=extra)


def test_a_record_with_a_kind_is_that_event_and_any_other_is_a_note() -> None:
    log = EventLog("web1")
    assert log.last == 0
    assert log.filter(record(**about("server-dead", "web2", sessions=3)))
    assert log.filter(record("other", logging.INFO))
    dead, note = log.after(0)
    assert (dead.id, dead.node, dead.level, dead.kind, dead.subject, dead.text, dead.data) == (
        1, "web1", "warning", "server-dead", "web2", "text", {"sessions": 3})
    assert (note.id, note.level, note.kind, note.subject, note.data) == (2, "info", "note", "", {})
    assert dead.time.endswith("Z")
    assert [event.id for event in log.after(1)] == [2]


def test_only_the_last_events_are_kept_and_their_numbers_go_on() -> None:
    log = EventLog("web1")
    for _ in range(KEPT + 5):
        log.filter(record())
    assert [event.id for event in log.after(0)] == list(range(6, KEPT + 6))
    assert log.last == KEPT + 5


@pytest.mark.parametrize(("level", "name"), [
    (logging.INFO, "info"), (logging.ERROR, "error"), (logging.CRITICAL, "error")])
def test_levels(level: int, name: str) -> None:
    log = EventLog("web1")
    log.filter(record(level=level))
    assert next(log.after(0)).level == name


def test_debugging_is_no_event() -> None:
    log = EventLog("web1")
    assert log.filter(record(level=logging.DEBUG))
    assert log.last == 0


def test_a_long_text_and_a_long_traceback_are_cut() -> None:
    log, fault = EventLog("web1"), record("x" * 10_000)
    try:
        raise ValueError("y" * 10_000)
    except ValueError as error:
        fault.exc_info = (ValueError, error, error.__traceback__)
    log.filter(fault)
    [event] = log.after(0)
    assert len(event.text) == 2000
    assert len(str(event.data["traceback"])) == 2000


def test_the_kinds_are_those_of_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
    rows = page.partition("| kind | subject | data |")[2].partition("\n\n")[0].splitlines()[2:]
    assert [kind for row in rows for kind in re.findall(r"`([a-z-]+)`", row.split("|")[1])] == list(KINDS)
