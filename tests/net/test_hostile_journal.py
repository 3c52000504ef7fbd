"""The journal of a host's set-up that is damaged: a daemon starts all the same, and says what it cannot know."""

from __future__ import annotations

import logging
import os
from typing import Any
from unittest.mock import MagicMock

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from atmdepot.net import journal as journals
from atmdepot.net.host import _remove
from atmdepot.net.journal import Entry, Journal
from tests.effort import examples
from tests.hostile_octets import DEEP, json_lines, values, words

ENTRIES = [Entry("route", {"dst": "10.80.0.1/32", "oif": 7}), Entry("rule", {"table": 1000})]
PAGES: dict[str, Any] = {"place": "here", "entries": [
    {"what": entry.what, "arguments": entry.arguments} for entry in ENTRIES]}


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Journal:
    return Journal(tmp_path_factory.mktemp("h") / "depot.host")


@given(octets=json_lines([PAGES]))
@examples(150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_journal_of_any_content_is_read_or_told(
        journal: Journal, octets: bytes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "_place", lambda: "here")
    caplog.clear()
    journal.path.write_bytes(octets)
    found = journal.read()
    assert all(isinstance(entry, Entry) for entry in found)
    if caplog.records:
        assert found == []
        assert str(journal.path) in caplog.text
    journal.write(ENTRIES)
    assert journal.read() == ENTRIES


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero"),
                                  lambda path: path.write_bytes(DEEP)])
def test_what_is_no_journal_is_told(journal: Journal, make: Any, caplog: pytest.LogCaptureFixture) -> None:
    journal.path.unlink(missing_ok=True)
    make(journal.path)
    assert journal.read() == []
    assert str(journal.path) in caplog.text
    (journal.path.rmdir if journal.path.is_dir() else journal.path.unlink)()


@given(what=words | st.sampled_from(["route", "rule", "addr", "close", "__class__", "nftables", "proxy"]),
       arguments=st.dictionaries(words, values, max_size=3))
@examples(100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_entry_of_any_kind_is_removed_or_told(
        what: str, arguments: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    caplog.clear()
    caplog.set_level(logging.WARNING)
    kernel = MagicMock(spec=["addr", "route", "rule", "close"])
    kernel.route.side_effect = TypeError("no such argument")
    _remove(kernel, Entry(what, arguments))
    assert not kernel.close.called
    assert bool(caplog.records) is (what not in ("rule", "addr"))
