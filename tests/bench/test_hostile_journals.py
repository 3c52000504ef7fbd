"""Journals of benchmarks that are damaged: read, or refused with file, line and a way out; no report of one fails."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from atmdepot.bench.failover import journal as failover
from atmdepot.bench.failover.chart import draw
from atmdepot.bench.failover.judging import Reading, SyncReading
from atmdepot.bench.failover.report import Report, as_json, as_markdown, tables
from atmdepot.bench.patent import report as patent_report
from atmdepot.bench.patent import samples as patent
from atmdepot.bench.patent import settings
from atmdepot.bench.patent.document import as_markdown as as_text
from atmdepot.bench.patent.plan import QUICK
from atmdepot.errors import AtmdepotError
from tests.bench.patent.made import MACHINE, quick, sample, small
from tests.effort import examples
from tests.hostile_octets import DEEP, damaged, encoded, json_lines, mistyped, refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEYS = [item.key for item in quick().items]
HEAD = encoded({"format": 1, "version": "1"})
ENTRIES: list[dict[str, Any]] = [msgspec.to_builtins(entry) for entry in (
    failover.Entry("stream sigkill", Reading(12.0, 1.0, None, 2.0, 3.0, [5.0], {"reset": [7.0]})),
    failover.Entry("haproxy sigkill", Reading()),
    failover.Entry(costs={"untold": {"keep-alive": 100.0}, "stream": {"keep-alive": 99.0}}),
    failover.Entry(sync=SyncReading(10, 1.0, 2.0, 3.0, 4, 5.0)))]
NO_COSTS = [{"costs": {mode: {"keep-alive": cost} for mode in ("untold", "lone", "stream")}} for cost in (0, -1, 1e308)]
SAMPLES: list[dict[str, Any]] = [msgspec.to_builtins(sample(key, 100.0)) for key in KEYS[:3]]
NO_TIME = [sample | {"seen": sample["seen"] | {"seconds": 0, "octets": -1}} for sample in SAMPLES]
PATENT_HEAD = encoded({"format": 1, "version": "1", "settings": msgspec.to_builtins(small()), "tests": KEYS})


def journals(head: bytes, entries: list[Any]) -> st.SearchStrategy[bytes]:
    """A head and lines, some of them wrong; or any octets."""
    lines = st.lists(st.sampled_from([encoded(entry) for entry in entries]) | json_lines(entries), max_size=3)
    whole = lines.map(lambda found: b"".join(line + b"\n" for line in [head, *found]))
    return st.one_of(whole, whole.flatmap(lambda text: damaged([text])), st.binary(max_size=80))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("j") / "journal.jsonl"


def is_told(told: str, path: Path) -> bool:
    """Whether an error names the file and a way out."""
    return told.startswith(str(path)) and ("name another" in told or "--anew" in told)


@example(octets=b"".join(line + b"\n" for line in (HEAD, *map(encoded, NO_COSTS))), only_read=True)
@given(octets=journals(HEAD, ENTRIES), only_read=st.booleans())
@examples(150, deadline=None)
def test_a_journal_of_failovers_is_read_or_refused_and_a_refused_one_stays(
        path: Path, octets: bytes, only_read: bool) -> None:
    path.write_bytes(octets)
    if told := refusal(lambda: failover.Journal(path, "1", only_read=True)):
        assert is_told(told, path)
        assert is_told(refusal(lambda: failover.Journal(path, "1")), path)
        assert path.read_bytes() == octets
        return
    noted = failover.Journal(path, "1", only_read=only_read)
    made = Report(noted.readings, {}, MACHINE, {}, noted.costs, noted.syncs)
    msgspec.json.encode(as_json(made))
    as_markdown(made)
    draw(made)
    tables(made)
    if not only_read:
        noted.add("stream sigkill", Reading())
        assert failover.Journal(path, "1").done("stream sigkill") == noted.done("stream sigkill")


@given(octets=journals(HEAD, ENTRIES))
@example(octets=b"\nmy notes\n")
@example(octets=b"")
@examples(60)
def test_what_is_no_journal_is_not_removed(path: Path, octets: bytes) -> None:
    path.write_bytes(octets)
    told = refusal(lambda: failover.remove(path))
    assert path.exists() is bool(told)
    if told:
        assert is_told(told, path)
        assert path.read_bytes() == octets


@example(octets=b"".join(line + b"\n" for line in (PATENT_HEAD, *map(encoded, NO_TIME))), only_read=True)
@given(octets=journals(PATENT_HEAD, SAMPLES), only_read=st.booleans())
@examples(150, deadline=None)
def test_a_journal_of_the_patents_experiment_is_read_or_refused(path: Path, octets: bytes, only_read: bool) -> None:
    path.write_bytes(octets)
    if told := refusal(lambda: patent.Journal(path, "1", small(), KEYS, only_read=True)):
        assert is_told(told, path)
        assert is_told(refusal(lambda: patent.Journal(path, "1", small(), KEYS)), path)
        assert path.read_bytes() == octets
        return
    noted = patent.Journal(path, "1", small(), KEYS, only_read=only_read)
    made = patent_report.Report(noted.samples, small(), MACHINE, QUICK.requests, 1, 0)
    msgspec.json.encode(patent_report.as_json(made))
    as_text(patent_report.blocks(made))


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_told_at_once(path: Path, make: Any) -> None:
    path.unlink(missing_ok=True)
    make(path)
    reads: list[Callable[[], object]] = [lambda: failover.Journal(path, "1"), lambda: failover.remove(path),
                                         lambda: settings.load(path)]
    if not path.is_char_device():
        reads.append(lambda: patent.Journal(path, "1", small(), KEYS))
    for read in reads:
        with pytest.raises(AtmdepotError, match=r"cannot be read: it is (a|greater)"):
            read()
    (path.rmdir if path.is_dir() else path.unlink)()


@given(text=damaged([settings.shipped().read_bytes()]) | mistyped([msgspec.to_builtins(small())]).map(encoded)
       | st.sampled_from([b"a = " + b"[" * 5000, b"a = " + b"9" * 5000, DEEP, b"\xff"]))
@examples(100, deadline=None)
def test_a_file_of_servers_is_read_or_refused_with_its_name(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    if told := refusal(lambda: settings.load(path)):
        assert told.startswith(str(path))
        assert "small-servers.toml" in told or "write more" in told
