"""The journal: what was measured is kept, a run goes on, and nothing is mixed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.bench.patent.samples import Journal, Sample, Samples, spread
from atmdepot.errors import AtmdepotError
from tests.bench.patent.made import quick, sample, small

KEYS = [item.key for item in quick().items]


def journal(path: Path, **changed: object) -> Journal:
    told = {"version": "1", "settings": small(), "tests": KEYS} | changed
    return Journal(path, **told)  # type: ignore[arg-type]


def test_a_run_goes_on_with_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    taken = [sample(KEYS[0], 100.0), Sample(KEYS[1], 1, why="no lab")]
    first = journal(path)
    for each in taken:
        first.add(each)
    again = journal(path)
    assert again.samples.all == taken
    assert again.samples.done == {KEYS[0]: 1, KEYS[1]: 1}


def test_a_line_that_was_cut_off_is_taken_again(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    first = journal(path)
    first.add(sample(KEYS[0], 100.0))
    first.add(sample(KEYS[1], 100.0))
    path.write_bytes(path.read_bytes()[:-9])
    again = journal(path)
    assert list(again.samples.by_key) == [KEYS[0]]
    again.add(sample(KEYS[1], 200.0))
    assert [each.key for each in journal(path).samples.all] == KEYS[:2]


@pytest.mark.parametrize("changed", [
    {"version": "2"}, {"tests": KEYS[1:]},
    {"settings": msgspec.structs.replace(small(), client=msgspec.structs.replace(small().client, syn_retries=3))},
])
def test_runs_that_differ_are_not_mixed(changed: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    journal(path)
    with pytest.raises(AtmdepotError, match=next(iter(changed)).replace("settings", "servers")):
        journal(path, **changed)


@pytest.mark.parametrize(("line", "number"), [(b"words\n", 1), (b"", 2)])
def test_what_is_no_journal_is_told_with_its_line(line: bytes, number: int, tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    journal(path)
    path.write_bytes((line or path.read_bytes()) + b"{}\n")
    with pytest.raises(AtmdepotError, match=f"line {number}:"):
        journal(path)


def test_a_file_that_is_no_journal_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_text("my own")
    with pytest.raises(AtmdepotError, match="no journal of such a run"):
        journal(path)
    assert path.read_text() == "my own"


def test_a_journal_that_is_only_read_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    journal(path).add(sample(KEYS[0], 100.0))
    with path.open("ab") as file:
        file.write(b'{"key":"')  # another run writes it now
    before = path.read_bytes()
    assert journal(path, only_read=True).samples.done == {KEYS[0]: 1}
    assert path.read_bytes() == before


def test_a_full_disk_is_told_with_the_next_step() -> None:
    with pytest.raises(AtmdepotError, match=r"No space left on device.*--resume"):
        journal(Path("/dev/full"))


@given(st.lists(st.floats(0.1, 1e6), min_size=1, max_size=20))
def test_a_spread_lies_within_its_values(values: list[float]) -> None:
    found = spread(values)
    assert found is not None
    assert min(values) <= found.lower <= found.median <= found.upper <= max(values)


def test_ratios_are_of_one_pass_and_of_completed_tests() -> None:
    found = Samples([sample("a", 100, 1), sample("a", 300, 2), sample("b", 50, 1), sample("b", 100, 2, failed=1)])
    ratio = found.ratio("a", "b", lambda each: each.rate)
    assert ratio is not None
    assert (ratio.median, ratio.lower, ratio.upper) == pytest.approx((2.0, 2.0, 2.0))
    assert found.ratio("a", "c", lambda each: each.rate) is None
