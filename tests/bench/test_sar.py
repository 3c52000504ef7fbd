"""`atmdepot bench sar`: what it tells; how fast it is, is not for tests to say."""

from __future__ import annotations

import gc
import json
from io import StringIO

import pytest
from rich.console import Console

from atmdepot import build
from atmdepot.bench.samples import Spread
from atmdepot.bench.sar import SIZES, Report, Row, measure, table
from tests.commands.test_cli import run, run_process


def row(name: str, octets: int, cells_per_second: float, packets: float = 1000) -> Row:
    return Row(name, octets, Spread(packets, packets / 2, packets * 2), cells_per_second, 1.5)


def shown(report: Report, plain: Report | None = None) -> list[list[str]]:
    """The words of each line of the table."""
    out = StringIO()
    Console(file=out, width=200).print(table(report, plain))
    return [line.split() for line in out.getvalue().splitlines()]


@pytest.mark.parametrize(("name", "rate", "verdict"), [
    ("segmentation", 19e6, ["missed"]), ("segmentation", 20e6, ["met"]), ("segmentation", 60e6, ["aim", "reached"]),
    ("reassembly", 14e6, ["missed"]), ("reassembly", 15e6, ["met"]), ("reassembly", 40e6, ["aim", "reached"])])
def test_targets_are_those_of_1500_octets(name: str, rate: float, verdict: list[str]) -> None:
    lines = shown(Report("compiled", "3", [row(name, 1500, rate), row(name, 576, rate)]))
    (of_1500,) = [line for line in lines if line[:2] == [name, "1500"]]
    (of_576,) = [line for line in lines if line[:2] == [name, "576"]]
    assert of_1500[-len(verdict):] == verdict
    assert of_576[-1] == "1.50"


def test_plain_figures_stand_beside_those_of_the_same_work() -> None:
    plain = Report("plain", "3", [row("reassembly", 40, 1e6, 400), row("reassembly", 576, 1e6, 250)])
    lines = shown(Report("compiled", "3", [row("reassembly", 576, 9e6), row("other", 576, 9e6)]), plain)
    (compared,) = [line for line in lines if line[:1] == ["reassembly"]]
    (alone,) = [line for line in lines if line[:1] == ["other"]]
    assert compared[2:] == ["1,000", "500–2,000", "9.00", "1.50", "250", "4.0"]
    assert alone[2:] == ["1,000", "500–2,000", "9.00", "1.50"]


def test_every_work_is_measured_at_every_size() -> None:
    report = measure((40, 1500), 0.001)
    works = [(row.name, row.octets) for row in report.rows]
    per_size = ["segmentation", "reassembly", "reassembly, 8 VCs by turns", "CRC and Length of a PDU"]
    assert works == [*((name, size) for size in (40, 1500) for name in per_size),
                     ("look-up among 1,000 sessions", 0), ("look-up among 100,000 sessions", 0)]
    for row in report.rows:
        spread = row.packets_per_second
        assert 0 < spread.least <= spread.median <= spread.most
        assert row.cells_per_second == spread.median * {0: 0, 40: 1, 1500: 32}[row.octets]
        assert row.gbit_per_second == spread.median * row.octets * 8 / 1e9
    assert gc.isenabled()


def test_json_on_stdout_stands_alone() -> None:
    done = run_process("bench", "sar", "--seconds", "0.01", "--size", "100", "--json", "-")
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert told["data_path"] == build.describe()
    assert {row["octets"] for row in told["rows"]} == {100, 0}


def test_both_data_paths() -> None:
    done = run_process("bench", "sar", "--seconds", "0.01", "--size", "40", "--both", "--json", "-")
    if not build.is_compiled():
        assert done.returncode == 5
        assert "install atmdepot with a C compiler" in done.stderr
        return
    told = json.loads(done.stdout)
    assert told["data_path"] == build.describe() != told["plain"]["data_path"]
    assert [row["name"] for row in told["rows"]] == [row["name"] for row in told["plain"]["rows"]]


@pytest.mark.parametrize("words", [
    ["--size", "0"], ["--size", "65536"], ["--seconds", "0"], ["--json", "/nonexistent/a.json"]])
def test_mistakes_are_told(words: list[str]) -> None:
    done = run("bench", "sar", *words)
    assert done.returncode == 2
    assert words[0] in done.stderr
    assert "Traceback" not in done.stderr


def test_sizes_can_be_cut() -> None:
    assert all(1 <= size <= 65535 for size in SIZES)
