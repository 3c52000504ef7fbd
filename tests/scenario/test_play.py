"""Scenarios on a stage whose ground is a stand-in: what is judged, what is skipped, which exit code."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import msgspec
import pytest

from atmdepot.errors import AtmdepotError, NotReady
from atmdepot.scenario import stage
from atmdepot.scenario.play import play
from atmdepot.scenario.report import as_json, as_junit, as_markdown
from atmdepot.scenario.timeline import draw
from tests.scenario.scenes import HEAD, scenario

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atmdepot.scenario.result import Result


class Ground:
    """A network in which all is well, and each order is noted."""

    pause = 0.01

    def __init__(self) -> None:
        self.orders: list[str] = []
        self.condition = "alive"
        self.takeover = AtmdepotError("depot: this depot is joining, not in sync")

    def popen(self, node: str, argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(argv, start_new_session=True, **options)

    def python(self, *words: str) -> list[str]:
        return [sys.executable, *words]

    def command(self, node: str, *words: str) -> None:
        self.orders.append(" ".join(words))
        if words[0] == "takeover":
            raise self.takeover

    def signal(self, node: str, what: str, number: int) -> None:
        self.orders.append(f"{what} {node} {number}")
        self.condition = "dead"

    def cut(self, wires: list[str], *, silent: bool) -> None:
        raise AtmdepotError("the wire is gone")

    def rows(self, node: str, subject: str) -> list[dict[str, Any]]:
        if subject == "servers":
            return [{"server": name, "list": self.condition, "draining": False, "sessions": 0, "sessions_total": 0}
                    for name in ("web1", "web2")]
        return [{"place": "here", "counter": "drop:x", "value": 1}] if subject == "counters" else []


def played(steps: str, head: str = HEAD) -> tuple[Result, int, Ground, list[str]]:
    ground, lines = Ground(), list[str]()
    result, code = play(scenario(steps, head), ground, "on a stand-in", lines.append)  # type: ignore[arg-type]
    return result, code, ground, lines


KILL = '[steps.kill]\ndo = "kill"\nnode = "web1"\nwhat = "web"\n'
ALIVE = '[steps.alive]\ndo = "expect"\nexpect = { condition.web1 = "alive", drops.all = 0 }\n'
DEAD = '[steps.dead]\ndo = "expect"\nwithin = "60s"\nexpect = { condition.web1 = "dead" }\n'


def test_all_is_as_expected() -> None:
    result, code, ground, _ = played(ALIVE + KILL + DEAD)
    assert (code, result.failed, ground.orders) == (0, False, ["web web1 9"])
    assert [step.outcome for step in result.steps] == ["passed"] * 3


def test_a_failed_expectation_does_not_keep_the_rest_from_being_played() -> None:
    result, code, _, lines = played(KILL + DEAD + ALIVE + '[steps.wait]\ndo = "wait"\nlasts = "1ms"\n')
    assert (code, [step.outcome for step in result.steps]) == (1, ["passed", "passed", "failed", "passed"])
    assert [check.ok for check in result.steps[2].checks] == [False, True]
    assert any("NOT condition.web1 is dead, expected alive" in line for line in lines)


def test_a_step_that_cannot_be_done_ends_the_scenario() -> None:
    result, code, _, _ = played('[steps.cut]\ndo = "cut"\nwires = ["to-web1"]\n' + KILL)
    assert (code, [step.outcome for step in result.steps]) == (1, ["error", "skipped"])
    assert result.steps[0].error == "the wire is gone"


TAKEOVER = '[steps.over]\ndo = "takeover"\ndepot = "depot"\n'


def test_a_takeover_that_is_refused_can_be_expected_with_what_the_depot_says() -> None:
    assert played(TAKEOVER)[1] == 1
    result, code, _, _ = played(TAKEOVER + "expect = { refused = true }\n")
    assert (code, result.failed) == (0, False)
    assert played(TAKEOVER + "expect = { refused = false }\n")[1] == 1
    assert played(TAKEOVER + 'expect = { why = "depot: this depot is joining, not in sync" }\n')[1] == 0
    assert played(TAKEOVER + 'expect = { why = "" }\n')[1] == 1


@pytest.mark.parametrize("error", [
    NotReady("depot has not taken over, and is standby"), NotReady("no daemon runs here"),
    NotReady("depot: the daemon does not answer on /run/depot.sock: Connection refused")])
def test_a_takeover_that_fails_otherwise_is_no_refusal(error: NotReady) -> None:
    ground = Ground()
    ground.takeover = error
    steps = scenario(TAKEOVER + "expect = { refused = true }\n", HEAD)
    result, code = play(steps, ground, "on a stand-in", list[str]().append)  # type: ignore[arg-type]
    assert (code, result.steps[0].error) == (4, str(error)), "and the exit code is that of what could not be done"


def test_a_command_in_a_node_is_held_to_its_output() -> None:
    run = '[steps.run]\ndo = "run"\nnode = "client"\ncommand = ["echo", "hello there"]\n'
    assert played(run + 'expect = { code = 0, has = "there", output = "hello there" }\n')[1] == 0
    assert played(run + 'expect = { has = "no such" }\n')[1] == 1
    fails = run.replace('["echo", "hello there"]', '["false"]')
    assert played(fails)[0].steps[0].outcome == "error"
    assert played(fails + "expect = { code = 1 }\n")[1] == 0


def test_a_command_that_does_not_end_is_killed_with_what_it_has_started() -> None:
    run = '[steps.run]\ndo = "run"\nnode = "client"\nwithin = "300ms"\ncommand = ["sh", "-c", "sleep 40 & wait"]\n'
    result, code, _, _ = played(run)
    assert (code, result.steps[0].outcome) == (1, "error")
    assert result.took < 30


def test_a_client_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "_END", 0.1)
    hangs = "echo {}; exec sleep 60"
    monkeypatch.setattr(Ground, "python", lambda *_: ["sh", "-c", hangs])
    result, code, _, _ = played('[steps.get]\ndo = "get"\n')
    assert (code, result.steps[0].outcome) == (1, "error")
    assert "client of get" in result.steps[0].error


def test_a_client_that_cannot_start_is_an_error_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def popen(_: Ground, node: str, argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(["sh", "-c", "echo the container is gone >&2"], start_new_session=True, **options)
        process.wait()
        return process

    monkeypatch.setattr(Ground, "popen", popen)
    result, code, _, _ = played('[steps.get]\ndo = "get"\n')
    assert (code, result.steps[0].outcome) == (1, "error")
    assert "the container is gone" in result.steps[0].error


def test_a_load_that_no_step_ends_is_judged_at_the_end() -> None:
    load = '[steps.load]\ndo = "load"\nvip = "10.80.0.1"\npatience = "10ms"\nexpect = { failed = 0 }\n'
    result, code, _, _ = played(load + '[steps.wait]\ndo = "wait"\nlasts = "300ms"\n')
    assert (code, [step.outcome for step in result.steps]) == (1, ["failed", "passed"])
    result, _, _, _ = played(load + '[steps.end]\ndo = "finish"\nload = "load"\nexpect = { failed = ">= 1" }\n')
    assert [step.outcome for step in result.steps] == ["failed", "passed"]
    assert sum(result.loads["load"].failed) >= 1


@pytest.fixture(scope="module")
def result() -> Result:
    return played(KILL + DEAD + ALIVE, HEAD + 'description = "a | b < c & \\u0001"\n')[0]


def test_the_reports_are_what_their_readers_read(result: Result) -> None:
    suite = ElementTree.fromstring(as_junit(result))[0]
    assert (suite.attrib["tests"], suite.attrib["failures"], len(suite)) == ("3", "1", 3)
    assert suite[2].find("failure") is not None
    assert msgspec.json.decode(as_json(result))["steps"][2]["outcome"] == "failed"
    rows = [line for line in as_markdown(result, "mine.svg").splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {8}


def test_the_timeline_tells_what_happened_and_when(result: Result) -> None:
    drawn = ElementTree.fromstring(draw(result))
    name = "{http://www.w3.org/2000/svg}"
    assert len(drawn.findall(f"{name}line")) == 3
    titles = [title.text or "" for title in drawn.iter(f"{name}title")]
    assert any(title.startswith("server web1: alive") for title in titles)
    assert any(title.startswith("server web1: dead") for title in titles)
