"""The form of the log: for people, for systemd's journal, as JSON; never another package's."""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import TYPE_CHECKING

import pytest

from atmdepot import logs
from atmdepot.net.event_log import EventLog, about
from tests.lab.labs import atmdepot

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger("atmdepot")


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before, root = (log.handlers[:], log.level, log.propagate), logging.getLogger()
    roots = root.handlers[:]
    yield
    log.handlers[:], log.level, log.propagate = before
    root.handlers[:] = roots


def test_a_command_says_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("warning", "text", is_daemon=False)
    log.info("not told")
    log.warning("told")
    assert capsys.readouterr().err == "atmdepot: told\n"


def test_a_daemon_says_time_and_level_and_its_node_where_it_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info", "text", is_daemon=True)
    events = EventLog("web1")
    log.info("early")
    log.addFilter(events)
    try:
        log.error("late")
    finally:
        log.removeFilter(events)
    early, late = (line.split() for line in capsys.readouterr().err.splitlines())
    assert early[0].endswith("Z")
    assert (early[1:], late[1:]) == (["info", "early"], ["error", "web1:", "late"])


def test_json_has_the_keys_of_events(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info", "json", is_daemon=True)
    log.warning("dead", extra=about("server-dead", "web2", sessions=1))
    line = json.loads(capsys.readouterr().err)
    assert list(line) == ["id", "time", "node", "level", "kind", "subject", "text", "data"]
    assert (line["kind"], line["subject"], line["data"]) == ("server-dead", "web2", {"sessions": 1})


def test_lines_for_the_journal_begin_with_their_priority(
        capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "is_journal", lambda stream: stream is sys.stderr)
    logs.set_up("debug", "text", is_daemon=True)
    log.debug("a")
    log.info("b")
    log.warning("c\nd")
    log.error("e")
    assert capsys.readouterr().err.splitlines() == ["<7>a", "<6>b", "<4>c", "<4>d", "<3>e"]


def test_a_daemons_failure_is_told_in_the_form_of_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    logs.set_up("info", "text", is_daemon=True)
    assert logs.failure("no device 100%") == "atmdepot: no device 100%"
    assert logs.failure("t: one\nt: two") == "t: one\nt: two"
    logs.set_up("info", "json", is_daemon=False)
    assert logs.failure("no device") == "atmdepot: no device"
    logs.set_up("info", "json", is_daemon=True)
    lines = [json.loads(line) for line in logs.failure("t: one\nt: 100%").splitlines()]
    assert [(line["level"], line["kind"], line["text"]) for line in lines] == [("error", "note", "t: one"),
                                                                              ("error", "note", "t: 100%")]
    monkeypatch.setattr(logs, "is_journal", lambda stream: stream is sys.stderr)
    logs.set_up("info", "text", is_daemon=True)
    assert logs.failure("no device") == "<3>atmdepot: no device"
    assert logs.failure("t: one\nt: two") == "<3>t: one\n<3>t: two"


@pytest.mark.parametrize("words", [["depot", "no-such"], ["container", "no-such", "--node", "depot"]])
def test_a_daemon_that_does_not_start_says_why_in_json(words: list[str]) -> None:
    done = atmdepot("--log-format", "json", *words)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "there is no such file" in json.loads(line)["text"]


def test_a_stream_is_the_journals_when_systemd_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as stream:
        there = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{there.st_dev}:{there.st_ino}")
        assert logs.is_journal(stream)
        monkeypatch.setenv("JOURNAL_STREAM", f"{there.st_dev}:{there.st_ino + 1}")
        assert not logs.is_journal(stream)
        monkeypatch.delenv("JOURNAL_STREAM")
        assert not logs.is_journal(stream)


def test_the_logs_of_other_packages_are_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("debug", "text", is_daemon=True)
    logging.getLogger("pyroute2.netlink").error("internals")
    assert capsys.readouterr().err == ""


def test_events_have_what_the_log_does_not_want(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("error", "text", is_daemon=True)
    events = EventLog("web1")
    log.addFilter(events)
    try:
        log.info("quiet")
    finally:
        log.removeFilter(events)
    assert events.last == 1
    assert capsys.readouterr().err == ""
