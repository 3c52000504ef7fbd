"""`atmdepot bench patent` as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from atmdepot.bench import machine
from atmdepot.bench.patent import charts, settings
from atmdepot.bench.patent.run import Runner
from atmdepot.errors import AtmdepotError
from tests.bench.patent.made import sample
from tests.bench.test_sites import need
from tests.commands.test_cli import run

if TYPE_CHECKING:
    from atmdepot.bench.patent.plan import Plan
    from atmdepot.bench.patent.samples import Journal

PATENT = [sys.executable, "-P", "-m", "atmdepot", "bench", "patent"]
PROGRAMS = ("ip", "tc", "nginx", "ab", "nft", "haproxy", "dnsmasq")


@pytest.fixture(autouse=True)
def _never_runs(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """No test of words and mistakes may begin to measure."""
    if not request.node.get_closest_marker("namespaces"):
        monkeypatch.setattr(Runner, "run", lambda _: pytest.fail("it began to measure"))
        monkeypatch.setattr(Runner, "__init__", lambda *_: None)


@pytest.fixture
def all_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "find", lambda name: f"/usr/bin/{name}")


def test_the_plan_tells_its_parts_and_leaves_no_file(tmp_path: Path, all_programs: None) -> None:
    out = tmp_path / "report"
    done = run("bench", "patent", "--plan", "--out", str(out))
    assert done.returncode == 0
    *rows, last = [line.split() for line in done.stdout.splitlines()]
    assert [row[:2] for row in rows[:3]] == [["tables", "A"], ["tables", "B"], ["knee", "B"]]
    assert last[-2:] == ["in", "all"]
    assert not out.exists()


@pytest.mark.parametrize(("words", "code", "why"), [
    (["--passes", "0"], 2, "passes"),
    (["--part", "everything"], 2, "everything"),
    (["--regime", "C"], 2, "C"),
    (["--resume", "--anew"], 2, "one of them"),
    (["--part", "knee", "--regime", "A"], 1, "no test is left"),
    (["--servers", "/nonexistent/servers.toml"], 1, "cannot be read"),
    (["--out", "/dev/null/report"], 1, "cannot be made"),
    (["--page", "/nonexistent.md"], 2, "nonexistent"),
])
def test_mistakes_are_told_before_the_first_lab(
    words: list[str], code: int, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, all_programs: None,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("bench", "patent", *words)
    assert done.returncode == code
    assert why in done.stderr
    assert "Traceback" not in done.stderr


def test_a_page_without_a_place_for_the_report_is_refused_before_the_run(tmp_path: Path, all_programs: None) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Results\n")
    done = run("bench", "patent", "--plan", "--page", page)
    assert done.returncode == 1
    assert "<!-- bench patent -->" in done.stderr


def test_a_run_that_is_there_is_not_overwritten(tmp_path: Path, all_programs: None) -> None:
    (tmp_path / "samples.jsonl").write_text("{}\n")
    done = run("bench", "patent", "--out", str(tmp_path))
    assert done.returncode == 1
    assert "--resume" in done.stderr
    assert "--anew" in done.stderr
    assert (tmp_path / "samples.jsonl").read_text() == "{}\n"


def test_a_plan_writes_nothing(tmp_path: Path, all_programs: None) -> None:
    assert run("bench", "patent", "--plan", "--resume", "--out", str(tmp_path / "report")).returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_all_needs_is_told_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "find", lambda name: None if name in ("ab", "nginx") else f"/usr/bin/{name}")
    done = run("bench", "patent", "--out", str(tmp_path / "report"))
    assert (done.returncode, done.stderr.count("\n")) == (5, 1)
    assert "apt-get install nginx-light apache2-utils" in done.stderr
    assert not (tmp_path / "report").exists()


def test_what_is_left_out_is_told_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "find", lambda name: None if name in ("haproxy", "dnsmasq") else f"/usr/bin/{name}")
    monkeypatch.setattr(charts, "available", lambda: False)
    done = run("bench", "patent", "--plan", "--out", str(tmp_path / "report"))
    assert done.returncode == 0
    assert "haproxy is not installed: apt-get install haproxy\n" in done.stderr
    assert done.stderr.count("apt-get install dnsmasq-base\n") == 2
    assert "atmdepot[charts]" in done.stderr


class Taken:
    """A runner that takes some tests, and is ended."""

    def __init__(self, many: int, end: BaseException | None = None) -> None:
        self._many, self._end = many, end

    def __call__(self, tests: Plan, of: object, journal: Journal, teller: object) -> Taken:
        self._tests, self._journal = tests, journal
        return self

    def run(self) -> None:
        left = [item for item in self._tests.items if item.key not in self._journal.samples.by_key]
        for item in left[:self._many]:
            self._journal.add(sample(item.key, 100.0))
        if self._end is not None:
            raise self._end


@pytest.mark.parametrize(("end", "code"), [
    (KeyboardInterrupt(), 130), (SystemExit(143), 143), (AtmdepotError("No space left on device"), 1)])
def test_an_ended_run_keeps_what_it_has_and_goes_on(
    end: BaseException, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, all_programs: None,
) -> None:
    words = ["bench", "patent", "--quick", "--out", str(tmp_path)]
    monkeypatch.setattr("atmdepot.commands.bench_patent.Runner", Taken(3, end))
    done = run(*words)
    assert done.returncode == code
    assert "part of the run" in done.stderr
    told = json.loads((tmp_path / "report.json").read_text())
    assert (told["part"], len(told["samples"])) == (True, 3)
    assert "This is a part of a run" in (tmp_path / "report.html").read_text()
    monkeypatch.setattr("atmdepot.commands.bench_patent.Runner", Taken(1000))
    done = run(*words, "--resume")
    assert done.returncode == 0
    again = json.loads((tmp_path / "report.json").read_text())
    assert (again["part"], again["missing"]) == (False, 0)
    assert again["samples"][:3] == told["samples"]


def test_a_run_of_other_servers_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, all_programs: None,
) -> None:
    monkeypatch.setattr("atmdepot.commands.bench_patent.Runner", Taken(1))
    run("bench", "patent", "--quick", "--out", str(tmp_path))
    other = tmp_path / "other.toml"
    other.write_text(settings.shipped().read_text().replace("backlog = 9", "backlog = 12", 1))
    done = run("bench", "patent", "--quick", "--resume", "--out", str(tmp_path), "--servers", str(other))
    assert done.returncode == 1
    assert "other servers" in done.stderr


@pytest.mark.namespaces
@pytest.mark.slow
def test_a_short_run_makes_every_part_of_the_report(lab_environment: dict[str, str], tmp_path: Path) -> None:
    """Its shape, not its speed."""
    need(*PROGRAMS)
    out = tmp_path / "report"
    done = subprocess.run([*PATENT, "--quick", "--out", str(out)], env=lab_environment, capture_output=True, text=True,
                          check=False, timeout=400)
    assert done.returncode == 0, done.stderr
    told = json.loads((out / "report.json").read_text())
    assert (told["part"], told["missing"], told["left_out"]) == (False, 0, {})
    samples = {sample["key"]: sample for sample in told["samples"]}
    assert not [key for key, sample in samples.items() if "why" in sample]
    of = {key.rsplit("/", 2)[0]: sample["seen"] for key, sample in samples.items()}
    for regime in "AB":
        assert of[f"tables/{regime}/single/1KB"]["answered"] == 150
        assert of[f"tables/{regime}/depot/1KB"]["answered"] == 150
    by_method = {key.split("/")[2]: sample["seen"] for key, sample in samples.items() if key.startswith("prior-art/")}
    shares = by_method["depot"]["servers"]
    assert abs(shares["web1"] - shares["web2"]) <= 1, "in turn"
    assert set(by_method["hash"]["servers"]) == {"web1", "web2"}
    assert by_method["redirect"]["redirects"] > 0
    deaths = {key.split("/")[2]: sample for key, sample in samples.items() if key.startswith("death/")}
    assert deaths["redirect"]["never"], "clients ask the server that died"
    assert deaths["depot"]["seen"]["answered"] > 0
    for name in ("report.md", "report.html", "regime-a-1kb.svg", "regime-b-1kb.svg", "range.svg", "prior-art-rate.svg"):
        assert (out / name).stat().st_size > 1000
    assert list(Path(lab_environment["ATMDEPOT_RUN_DIR"]).iterdir()) == []
