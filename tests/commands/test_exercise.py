"""`atmdepot exercise`: the list, the answers, the record, and the exit codes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from atmdepot.commands.exercise import exercise_command
from atmdepot.errors import AtmdepotError, EnvironmentLacks
from atmdepot.exercises import running
from atmdepot.exercises.gns3 import ROUTER
from atmdepot.exercises.lessons import LESSONS, find, steps_of
from atmdepot.lab.testbed import Lab
from atmdepot.net import running as net_running
from tests.exercises.recordings import FakeEvidence, record, request, session

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

CELLS = str(-(-(len(request()) + 8) // 48))


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(running, "RunningEvidence", FakeEvidence)
    monkeypatch.chdir(tmp_path)
    record(tmp_path / "c.pcapng", "direct", "to-web1", session())
    return tmp_path / "state" / "atmdepot" / "exercises.json"


def run(*words: str) -> Result:
    return CliRunner().invoke(exercise_command, words)


def listed() -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads(run("-o", "json").stdout)["exercises"]}


def test_the_list_has_every_lesson_with_what_is_done() -> None:
    done = run()
    assert done.exit_code == 0
    assert all(lesson.name in done.stdout and lesson.title in done.stdout for lesson in LESSONS)
    assert {row["done"] for row in listed().values()} == {"no"}
    run("cells", "--check", "capture=c.pcapng", f"cells={CELLS}")
    assert (listed()["cells"]["done"], listed()["cells"]["steps_done"]) == ("1 of 3", 1)
    assert listed()["cells"]["last"]


def test_a_check_has_0_for_right_answers_and_1_for_a_wrong_one() -> None:
    assert run("1", "--check", "capture=c.pcapng", "cells=99").exit_code == 1
    assert run("1", "--check", f"cells={CELLS}").exit_code == 0
    assert run("1", "--check", "pad=99", "octets=1").exit_code == 1
    assert run("1", "--check").exit_code == 1  # two steps are open


def test_a_whole_lesson_is_right_without_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pad, cells = int(CELLS) * 48 - 8 - len(request()), int(CELLS)
    words = ["capture=c.pcapng", f"cells={cells}", f"pad={pad}", f"octets={cells * 53}", "vc=1/64", "server=web1",
             "back=15"]
    done = run("cells", "--check", *words)
    assert (done.exit_code, "lab down direct" in done.stderr) == (0, True)
    assert listed()["cells"]["done"] == "yes"
    monkeypatch.chdir("/")  # what is right stays right, wherever it is asked for
    assert run("cells", "--check").exit_code == 0
    run("cells", "--forget")
    assert listed()["cells"]["done"] == "no"


def test_a_capture_is_found_from_elsewhere_by_a_later_check(monkeypatch: pytest.MonkeyPatch) -> None:
    run("cells", "--check", "capture=c.pcapng", f"cells={CELLS}")
    monkeypatch.chdir("/")
    assert run("cells", "--check", "vc=1/64", "server=web1", "back=15").exit_code == 0


@pytest.mark.parametrize(("given", "told"), [
    ("direct", "only r2 stays"), ("gns3", "only r2 stays"), ("drect", "there is no such file")])
def test_a_vc_table_that_ships_is_an_answer_by_its_name(given: str, told: str) -> None:
    assert told in run("6", "--check", f"table={given}").stdout.splitlines()[-1]


def test_a_file_goes_before_the_vc_table_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "direct").write_text(ROUTER)
    assert "right" in run("6", "--check", "table=direct").stdout.splitlines()[-1]


def test_json_has_each_step_for_a_teacher() -> None:
    told = json.loads(run("cells", "--check", "capture=c.pcapng", f"cells={CELLS}", "pad=99", "octets=1", "-o",
                          "json").stdout)
    assert told.keys() == {"user", "host", "number", "name", "done", "steps"}
    assert [step["state"] for step in told["steps"]] == ["right", "not yet", "open"]
    assert [step["done"] is not None for step in told["steps"]] == [True, False, False]
    assert told["done"] is False


@pytest.mark.parametrize("words", [
    ["cells", "--check", "3"], ["cells", "--check", "crc=0"], ["cells", "3"], ["--check"], ["7"],
    ["cells", "--hint", "--solution"]], ids=" ".join)
def test_wrong_words_are_refused_and_are_no_wrong_answer(words: list[str]) -> None:
    assert run(*words).exit_code == 2


def test_a_lesson_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(AtmdepotError) as error:
        find("7")
    assert all(lesson.name in str(error.value) for lesson in LESSONS)


def test_hints_are_for_open_steps_only() -> None:
    before = run("cells", "--hint").stdout.splitlines()
    run("cells", "--check", "capture=c.pcapng", f"cells={CELLS}")
    assert (len(before), run("cells", "--hint").stdout.splitlines()) == (3, before[1:])


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_a_solution_ends_each_step_with_its_check(lesson: Any) -> None:
    done = run(lesson.name, "--solution")
    assert done.stdout.count(f"atmdepot exercise {lesson.number} --check") == lesson.steps


def test_where_no_lab_can_be_had_the_task_is_shown_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(*_: object, **__: object) -> None:
        raise EnvironmentLacks("no namespaces")

    monkeypatch.setattr(Lab, "up", lacks)
    monkeypatch.setattr(net_running, "running_networks", dict)
    done = run("cells")
    assert isinstance(done.exception, EnvironmentLacks)
    assert done.stdout.count("Check: ") == find("cells").steps


def test_a_lab_that_is_up_stays_as_it_is_and_others_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(*_: object, **__: object) -> None:
        raise AssertionError("it is up")

    monkeypatch.setattr(Lab, "up", made)
    monkeypatch.setattr(net_running, "running_networks", lambda: {"direct": [], "qos": []})
    done = run("cells")
    assert done.exit_code == 0
    assert "lab down direct" in done.stderr
    assert "--network direct" in done.stderr


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_commands_of_a_task_are_not_folded(lesson: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(net_running, "running_networks", lambda: {lesson.table: []})
    monkeypatch.setenv("COLUMNS", "60")
    told = run(lesson.name).stdout.splitlines()
    commands = [line for step in steps_of(lesson) for line in step.task.splitlines() if line.startswith("  ")]
    assert all(command in told for command in commands)
    assert max(len(line) for line in told[2:] if line[:2] != "  " and not line.startswith("Check")) <= 60


def test_a_record_that_cannot_be_read_is_told_with_its_place(state: Path) -> None:
    state.parent.mkdir(parents=True)
    state.write_text("{")
    done = run()
    assert isinstance(done.exception, AtmdepotError)
    assert str(state) in str(done.exception)
