"""Completion of names: those of what runs here, of a table, of a trace; never a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from click.shell_completion import ShellComplete

from atmdepot.cli import cli
from tests.net.controlled import Controlled, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def completed(*words: str) -> set[str]:
    *before, last = words
    found = ShellComplete(cli, {}, "atmdepot", "_ATMDEPOT_COMPLETE").get_completions(list(before), last)
    return {item.value for item in found}


@pytest.fixture
async def it(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Controlled]:
    monkeypatch.setenv("ATMDEPOT_RUN_DIR", str(short_dir))
    async for made in running(short_dir):
        yield made


@pytest.mark.parametrize(("words", "names"), [
    (["drain", ""], {"web1", "web2"}), (["drain", "web2"], {"web2"}),
    (["show", "sessions", "--server", ""], {"web1", "web2"}),
    (["show", "links", "--node", "d"], {"depot"}), (["impair", "to-"], {"to-web1", "to-web2"}),
    (["impair", "to-web1", "--from", ""], {"depot", "web1"}), (["events", "--network", ""], {"loop"}),
    (["lab", "exec", "c"], {"client"}), (["lab", "logs", ""], {"depot", "web1", "client"})])
async def test_names_of_what_runs_here(it: Controlled, words: list[str], names: set[str]) -> None:
    assert await trio.to_thread.run_sync(lambda: completed(*words)) == names


def test_names_of_lessons() -> None:
    assert completed("exercise", "") == {"cells", "errors", "failure", "vcs", "qos", "gns3"}


def test_names_of_tables_and_their_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "diary.toml").touch()
    assert {"direct", "diary.toml"} <= completed("check", "di")
    assert "direct" in completed("lab", "up", "")
    for table, names in (("direct", {"web1", "web2"}), ("no-such-table", set())):
        monkeypatch.setenv("COMP_WORDS", f"atmdepot edge {table} --node w")
        assert completed("edge", table, "--node", "w") == names


def test_fields_of_a_trace() -> None:
    assert "vpi" in completed("trace", "-e", "v")


def test_where_nothing_runs_there_are_no_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATMDEPOT_RUN_DIR", str(tmp_path))
    (tmp_path / "dead").mkdir()
    (tmp_path / "dead" / "depot.sock").touch()
    assert completed("drain", "") == set()
    assert completed("impair", "") == set()
