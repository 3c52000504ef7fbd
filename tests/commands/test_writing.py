"""Files that commands write: what cannot be written is refused before any work, with the directory and the way out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from atmdepot.cli import cli
from atmdepot.commands.writing import FileToWrite, OpenFileToWrite
from atmdepot.paths import why_not_written
from tests.commands.test_cli import fails, run

if TYPE_CHECKING:
    from collections.abc import Iterator

READ = {"trace --read", "bench patent --servers", "vc save table"}
"""Files that are read; the last is read before it is written."""
IN_BODY = {"bench failover --journal", "bench patent --out", "lab run --out", "trace --write"}
"""Those that the command's body looks at: a file with a default, directories that it makes, a trace's pipe or file."""


def parameters(group: click.Group = cli, *above: str) -> Iterator[tuple[tuple[str, ...], click.Parameter]]:
    """The parameters of all commands, with the words of their commands."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from parameters(command, *above, name)
        else:
            yield from (((*above, name), parameter) for parameter in command.params)


def name_of(words: tuple[str, ...], parameter: click.Parameter) -> str:
    return " ".join((*words, max(parameter.opts, key=len)))


def to_write() -> list[tuple[str, ...]]:
    return [(*words, parameter.opts[0]) for words, parameter in parameters()
            if isinstance(parameter.type, FileToWrite | OpenFileToWrite)]


def test_every_file_that_a_command_writes_is_looked_at_before() -> None:
    others = {name_of(words, parameter) for words, parameter in parameters()
              if isinstance(parameter.type, click.Path | click.File)
              and not isinstance(parameter.type, FileToWrite | OpenFileToWrite)}
    assert others == READ | IN_BODY
    assert len(to_write()) > 15


@pytest.mark.parametrize("words", to_write(), ids=" ".join)
def test_a_missing_directory_is_named_as_the_cause(words: tuple[str, ...]) -> None:
    done = run(*words, "/nowhere/deep/x.svg")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].endswith(
        ": /nowhere/deep/x.svg cannot be written: the directory /nowhere/deep does not exist; make it, or name another "
        "file")


def test_a_trace_does_not_begin_without_its_file(tmp_path: Path) -> None:
    done = run("trace", "-w", "/nowhere/deep/x.pcap", ATMDEPOT_RUN_DIR=str(tmp_path))
    assert fails(done, 1) == (
        "/nowhere/deep/x.pcap cannot be written: the directory /nowhere/deep does not exist; make it, or name another "
        "file")


@pytest.mark.parametrize("words", [
    ("bench", "failover", "--journal", "/nowhere/x"), ("bench", "failover", "--journal", "/")])
def test_a_journal_is_looked_at_before_the_machine(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atmdepot.commands.bench_failover.run", lambda *_: pytest.fail("it began to measure"))
    done = run(*words)
    assert done.returncode in (1, 2)
    assert "directory" in done.stderr


@pytest.mark.parametrize("words", [("lab", "run", "baseline"), ("bench", "patent")])
def test_a_directory_that_cannot_be_made_is_told_before_the_first_lab(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run(*words, "--out", tmp_path / "file" / "x")
    assert done.returncode in (1, 5)  # 5 where a program is missing
    assert done.returncode == 5 or done.stderr.splitlines()[-1] == (
        f"atmdepot: {tmp_path}/file/x cannot be made: Not a directory; name another directory with --out")


def test_a_page_without_markers_is_named() -> None:
    assert fails(run("bench", "failover", "--page", "README.md"), 1).startswith("README.md: the page has no lines ")


def test_a_page_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_bytes(b"\xff")
    assert fails(run("bench", "failover", "--page", tmp_path / "page.md"), 1) == (
        f"{tmp_path}/page.md: it is no text in UTF-8; name a page of the documentation")


@pytest.mark.parametrize("words", [("graph", "direct", "--format", "dot"), ("dynamips", "gns3-switch")])
def test_a_dash_is_standard_output(words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*words, "-w", "-") == run(*words)
    assert list(tmp_path.iterdir()) == []


def test_why_a_file_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    assert why_not_written(file) == ""
    file.touch()
    assert why_not_written(file) == ""
    assert why_not_written(file / "deeper" / "x") == f"{file} is no directory; name another file"
    assert why_not_written(tmp_path) == "it is a directory; give the name of a file in it"
    assert why_not_written(tmp_path / ("x" * 300)) == "File name too long; name another file"
    assert why_not_written(Path("/dev/null")) == ""
    # As an ordinary user has it: root may write everything.
    monkeypatch.setattr("os.access", lambda path, _: Path(path) != tmp_path)
    assert why_not_written(file) == f"the directory {tmp_path} may not be written; name another file"
    assert why_not_written(file, in_place=True) == ""
    assert why_not_written(tmp_path / "new", in_place=True) == (
        f"the directory {tmp_path} may not be written; name another file")
    monkeypatch.setattr("os.access", lambda path, _: Path(path) != file)
    assert why_not_written(file) == "it may not be written; name another file"
