"""`atmdepot reload`: all nodes or none, and in a lab the file that was given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from atmdepot.commands.reload import reload_command
from atmdepot.config.reading import find
from atmdepot.errors import AtmdepotError
from atmdepot.lab import state as states
from atmdepot.net import control_client, running

if TYPE_CHECKING:
    from pathlib import Path

DIRECT = find("direct").read_text()
CHANGED = DIRECT.replace('node = "web2"', 'node = "web2"\nweight = 3', 1)


class Daemons:
    """Two daemons of a lab, which note what they are asked, and what the lab's table then is."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "direct"
        self.directory.mkdir()
        self.copy = self.directory / states.TABLE_FILE
        self.given = directory / "mine.toml"
        for path in (self.copy, self.given):
            path.write_text(DIRECT)
        states.write(self.directory, states.State(name="direct", table=str(self.given)))
        self.asked: list[tuple[str, bool, bool]] = []
        self.refuses = ""
        self.silent: list[str] = []

    def ask(self, path: Path, request: dict[str, Any]) -> Any:
        self.asked.append((path.stem, request["dry_run"], self.copy.read_text() == CHANGED))
        if path.stem == self.refuses:
            raise AtmdepotError("links changed")
        return iter([{"done": f"{path.stem}: done"}])

    def run(self, *words: str) -> Any:
        return CliRunner().invoke(reload_command, words)


@pytest.fixture
def it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Daemons:
    made = Daemons(tmp_path)
    sockets = [made.directory / f"{name}.sock" for name in ("depot", "web1")]
    monkeypatch.setattr(running, "answering_sockets", lambda _: (sockets, made.silent))
    monkeypatch.setattr(running, "control_sockets", lambda _, node: [path for path in sockets if path.stem == node])
    monkeypatch.setattr(control_client, "ask", made.ask)
    return made


def test_all_nodes_are_asked_first_and_then_told_with_the_given_file(it: Daemons) -> None:
    it.given.write_text(CHANGED)
    done = it.run()
    assert (done.exit_code, done.stdout.splitlines()) == (0, ["depot: done", "web1: done"])
    assert it.asked == [("depot", True, True), ("web1", True, True), ("depot", False, True), ("web1", False, True)]
    assert it.copy.read_text() == CHANGED


def test_what_one_node_refuses_no_node_takes_and_the_copy_stays(it: Daemons) -> None:
    it.given.write_text(CHANGED)
    it.refuses = "web1"
    assert "links changed" in str(it.run().exception)
    assert {dry_run for _, dry_run, _ in it.asked} == {True}
    assert it.copy.read_text() == DIRECT


def test_a_dry_run_leaves_the_copy_as_it_was(it: Daemons) -> None:
    it.given.write_text(CHANGED)
    assert it.run("--dry-run").exit_code == 0
    assert it.asked == [("depot", True, True), ("web1", True, True)]
    assert it.copy.read_text() == DIRECT


@pytest.mark.parametrize(("text", "said"), [
    ("name = ", "not TOML"), (DIRECT.replace('"direct"', '"other"', 1), "other")])
def test_a_file_that_is_no_table_of_this_network_is_refused_before_anybody_is_asked(
        it: Daemons, text: str, said: str) -> None:
    it.given.write_text(text)
    assert said in str(it.run().exception)
    assert it.asked == []
    assert it.copy.read_text() == DIRECT


def test_one_node_can_be_told_alone_and_a_silent_one_is_named(it: Daemons) -> None:
    it.silent = ["web2"]
    assert it.run("--node", "web1").exit_code == 0
    assert {name for name, *_ in it.asked} == {"web1"}
    assert "web2" in str(it.run().exception)
