"""The plan of a run: all modes meet SIGKILL, and all is over within 45 minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from atmdepot.bench.failover import costs, syncing
from atmdepot.bench.failover.cases import CONTENDERS, EVENTS, KILLS, QUICK_KILLS, plan
from atmdepot.bench.failover.journal import Journal, remove
from atmdepot.bench.failover.judging import Reading, SyncReading
from atmdepot.errors import AtmdepotError

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 45 * 60


def test_every_contender_is_killed() -> None:
    assert {case.contender.name for case in plan(1).cases if case.event.name == "sigkill"} == set(CONTENDERS)
    assert {case.event.name for case in plan(1).cases} == set(EVENTS)
    assert KILLS >= 20


def test_a_whole_run_is_expected_to_be_over_in_45_minutes() -> None:
    assert plan(KILLS).expected() + costs.expected(costs.ROUNDS) + syncing.expected(syncing.SIZES) < LIMIT
    assert plan(QUICK_KILLS).expected() < LIMIT / 3


def test_what_is_done_takes_no_time() -> None:
    whole = plan(4, ["stream"], ["sigkill"])
    assert [case.key for case in whole.cases] == ["stream sigkill"]
    assert whole.expected({"stream sigkill": 1}) < whole.expected()
    assert whole.expected({"stream sigkill": 4}) == 0
    assert plan(4, ["haproxy"], ["planned"]).cases == ()


def test_a_journal_goes_on_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal = Journal(path, "1")
    journal.add("stream sigkill", Reading(kept=100.0, went_on=[1.0], lost={"reset": [2.0]}))
    with path.open("ab") as file:
        file.write(b'{"case":"stream sig')  # the run was killed
    again = Journal(path, "1")
    assert again.counts == {"stream sigkill": 1}
    again.add("stream sigkill", Reading(kept=None))
    again.add_costs({"lone": {"keep-alive": 1.0}})
    again.add_sync(SyncReading(10, 1.0, 2.0, 3.0, 0, 0.0))
    assert Journal(path, "1").costs == again.costs
    assert Journal(path, "1").syncs == again.syncs
    found = Journal(path, "1").readings["stream sigkill"]
    assert [reading.kept for reading in found] == [100.0, None]
    assert found[0].all_lost == [2.0]


def test_a_journal_of_another_version_or_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "j"
    Journal(path, "1")
    with pytest.raises(AtmdepotError, match="version 1"):
        Journal(path, "2")
    path.write_text("hello\n")
    with pytest.raises(AtmdepotError, match="line 1"):
        Journal(path, "1")
    with pytest.raises(AtmdepotError, match="cannot be"):
        Journal(tmp_path / "none" / "j", "1")


@pytest.mark.parametrize("text", ["name = 3", '{"format":2'])
def test_a_file_that_is_no_journal_stays_as_it_is(text: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(AtmdepotError, match="no journal; name another file"):
        Journal(path, "1")
    assert path.read_text() == text


@pytest.mark.parametrize("text", ["# atmdepot\n\nText.\n", '{"some": "file"}\n', "1\n", "\0" * 10_000])
def test_to_begin_anew_removes_no_other_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(text)
    with pytest.raises(AtmdepotError, match="no journal, so it stays"):
        remove(path)
    assert path.read_text() == text


def test_to_begin_anew_removes_a_journal_of_any_version(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    remove(path)  # there is none yet
    Journal(path, "0").add_costs({"untold": {"keep-alive": 1.0}})
    remove(path)
    assert not path.exists()


def test_a_journal_that_was_cut_off_in_its_first_line_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.write_text('{"form')
    Journal(path, "1").add("stream sigkill", Reading(kept=100.0))
    assert Journal(path, "1").counts == {"stream sigkill": 1}


def test_a_journal_that_is_only_read_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "j"
    Journal(path, "1").add("stream sigkill", Reading(kept=100.0))
    with path.open("ab") as file:
        file.write(b'{"case":"stream sig')  # another run writes it now
    before = path.read_bytes()
    assert Journal(path, "1", only_read=True).counts == {"stream sigkill": 1}
    assert path.read_bytes() == before
