"""The run: what is broken is built anew, and a run without figures ends."""

from __future__ import annotations

import io
import subprocess
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import pytest

from atmdepot.bench.patent import measure, run
from atmdepot.bench.patent.plan import Plan
from atmdepot.bench.patent.rig import Rig
from atmdepot.bench.patent.samples import Journal, Sample
from atmdepot.bench.progress import Teller
from atmdepot.errors import AtmdepotError, EnvironmentLacks, NotReady
from tests.bench.patent.made import quick, sample, small
from tests.lab.labs import until

if TYPE_CHECKING:
    from pathlib import Path

    from atmdepot.bench.patent.plan import Item

FAST = [item for item in quick().items if item.regime == "A"]


class FakeRig:
    """A lab that only counts."""

    up = 0
    began: ClassVar[list[str]] = []
    fails: BaseException | None = None

    def __init__(self, system: str, *_: object) -> None:
        self.system, self.change = system, ""

    def __enter__(self) -> Self:
        if FakeRig.fails is not None:
            raise FakeRig.fails
        FakeRig.up += 1
        FakeRig.began.append(self.system)
        return self

    def __exit__(self, *_: object) -> None:
        FakeRig.up -= 1

    def require_alive(self) -> None: ...

    def tidy(self) -> None: ...


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of tests that were taken."""
    keys: list[str] = []

    def take(_rig: FakeRig, item: Item, number: int) -> Sample:
        keys.append(item.key)
        return sample(item.key, 100.0, number)

    FakeRig.up, FakeRig.began, FakeRig.fails = 0, [], None
    monkeypatch.setattr(run, "Rig", FakeRig)
    monkeypatch.setattr(run, "_LOOK", 0.0)
    monkeypatch.setattr(run, "refuse_a_second_benchmark", lambda: None)
    monkeypatch.setattr(measure, "take", take)
    return keys


def runner(path: Path, passes: int = 1) -> tuple[run.Runner, Journal]:
    plan = Plan(tuple(FAST), passes)
    journal = Journal(path / "samples.jsonl", "1", small(), [item.key for item in FAST])
    return run.Runner(plan, small(), journal, Teller(10, io.StringIO())), journal


def test_each_pass_takes_each_test_and_the_labs_go_down(taken: list[str], tmp_path: Path) -> None:
    of, journal = runner(tmp_path, passes=2)
    of.run()
    assert taken == [item.key for item in FAST] * 2
    assert set(journal.samples.done.values()) == {2}
    assert (FakeRig.up, sorted(FakeRig.began)) == (0, ["depot", "single"])


def test_what_was_taken_is_not_taken_again(taken: list[str], tmp_path: Path) -> None:
    _, journal = runner(tmp_path)
    journal.add(sample(FAST[0].key, 100.0))
    of, _ = runner(tmp_path)
    of.run()
    assert taken == [item.key for item in FAST[1:]]


def test_after_a_failure_the_labs_are_built_anew(
    taken: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    good = measure.take

    def fails_once(rig: FakeRig, item: Item, number: int) -> Sample:
        if item == FAST[1]:
            raise AtmdepotError("the depot ended")
        return good(rig, item, number)  # type: ignore[arg-type]

    monkeypatch.setattr(measure, "take", fails_once)
    of, journal = runner(tmp_path)
    of.run()
    assert [each.why for each in journal.samples.all] == ["", "the depot ended", "", ""]
    assert FakeRig.up == 0
    assert len(FakeRig.began) == 4


def test_a_run_without_figures_ends(taken: list[str], tmp_path: Path) -> None:
    FakeRig.fails = NotReady("the server web1 did not start: port 80: Address already in use")
    of, journal = runner(tmp_path)
    with pytest.raises(AtmdepotError, match=r"3 tests in a row.*Address already in use"):
        of.run()
    assert len(journal.samples.all) == 3
    assert not taken


def test_what_the_machine_lacks_ends_a_run_at_once(taken: list[str], tmp_path: Path) -> None:
    FakeRig.fails = EnvironmentLacks("no quota")
    of, journal = runner(tmp_path)
    with pytest.raises(EnvironmentLacks):
        of.run()
    assert not journal.samples.all


def test_an_interrupt_takes_the_labs_down(taken: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> Sample:
        raise KeyboardInterrupt

    monkeypatch.setattr(measure, "take", interrupted)
    of, _ = runner(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        of.run()
    assert FakeRig.up == 0


class FakeLab:
    """A lab without nodes, in which commands run as they are."""

    name = "a-lab"
    state = SimpleNamespace(processes={})

    def popen(self, _node: str, argv: list[str], **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(argv, **options)


def test_a_program_that_cannot_start_is_told_with_its_last_word(tmp_path: Path) -> None:
    rig = Rig("single", tmp_path)
    rig.home.mkdir()
    rig.lab = FakeLab()  # type: ignore[assignment]
    try:
        rig.start("depot", "proxy", ["sleep", "60"])
        rig.require_alive()
        rig.start("depot", "proxy", ["sh", "-c", "echo bind: Address already in use >&2; exit 3"])
        with pytest.raises(AtmdepotError, match="proxy of a-lab ended with exit code 3: bind: Address already in use"):
            until(rig.require_alive)
    finally:
        rig.__exit__()
