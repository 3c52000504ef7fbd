"""A lab's directory with a damaged `state.json`: no traceback, no file of others removed, and a way out."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.cli import cli
from atmdepot.errors import AtmdepotError
from atmdepot.lab import state as states
from atmdepot.lab.launch import _claim
from atmdepot.lab.running import RunningLab
from atmdepot.net import surroundings
from tests.effort import examples
from tests.hostile_octets import DEEP, encoded, json_lines, words

if TYPE_CHECKING:
    from pathlib import Path

STATE: dict[str, Any] = msgspec.to_builtins(states.State(
    "x", "/x.toml", 2**22, 7, "up", web_server="nginx", made=["table.toml", "web1", "web1/*"],
    nodes={"depot": states.NodeState("depot", 7)},
    processes={"depot": states.ProcessState("depot", "depot", 2**22, "/log", ready=True, exit_code=-9)}))


class Labs:
    """A run directory with a lab `x`, whose state is what a test writes, and files that are not the lab's."""

    def __init__(self, place: Path) -> None:
        self.directory = place / "run" / "x"
        self.directory.mkdir(parents=True)
        self.others = [place / "mine", place / "run" / "mine", self.directory / "mine"]
        for path in self.others:
            path.write_text("mine")

    def have(self, octets: bytes) -> None:
        self.directory.mkdir(exist_ok=True)
        for path in self.others:
            assert path.read_text() == "mine"
        (self.directory / states.STATE_FILE).write_bytes(octets)

    def told(self, *words: str) -> tuple[int, str]:
        """Exit code and words of a command; anything but a clear failure is raised."""
        done = CliRunner(env={"ATMDEPOT_RUN_DIR": str(self.directory.parent)}).invoke(cli, words)
        if done.exception is not None and not isinstance(done.exception, AtmdepotError | SystemExit):
            raise done.exception
        return done.exit_code, str(done.exception or "") + done.output


@pytest.fixture(scope="module")
def labs(tmp_path_factory: pytest.TempPathFactory) -> Labs:
    return Labs(tmp_path_factory.mktemp("l"))


@given(octets=json_lines([STATE]), command=st.sampled_from([
    ("lab", "status"), ("lab", "status", "-o", "json"), ("lab", "down", "x"), ("lab", "logs"), ("lab", "kill", "depot"),
    ("lab", "exec", "depot", "true"), ("lab", "cut", "to-web1"), ("lab", "start", "depot"), ("show", "links")]))
@examples(120, deadline=None)
def test_a_state_of_any_content_is_told_and_nothing_of_others_is_removed(
        labs: Labs, octets: bytes, command: tuple[str, ...]) -> None:
    labs.have(octets)
    read, fault = states.read(labs.directory), states.fault(labs.directory)
    assert (read is None) is bool(fault)
    code, told = labs.told(*command)
    if fault:
        assert fault.startswith(str(labs.directory / states.STATE_FILE))
        assert f"remove the directory {labs.directory}" in fault
        if command[0] == "lab":
            assert code == 1
            assert fault in told
    assert all(path.read_text() == "mine" for path in labs.others)
    surroundings.end_of(labs.directory / "depot.sock")


@given(made=st.lists(words | st.sampled_from(["../mine", "../../mine", "*", "**", "../*", "/etc", ".",
                                                  "a/../../mine"])))
@examples(100)
def test_nothing_beyond_the_directory_of_a_lab_is_removed(labs: Labs, made: list[str]) -> None:
    labs.have(encoded(STATE | {"made": made}))
    if (state := states.read(labs.directory)) is None:
        assert "no file in the lab's directory" in states.fault(labs.directory) or "\\ud" in repr(made)
        return
    states.remove_recorded(labs.directory, state)
    (labs.directory).mkdir(exist_ok=True)
    labs.others[-1].write_text("mine")  # a state may name it
    assert all(path.read_text() == "mine" for path in labs.others)


def test_a_lab_that_cannot_be_told_is_not_started_over(labs: Labs) -> None:
    labs.have(DEEP)
    with pytest.raises(AtmdepotError, match=r"state\.json: this is no state of a lab"):
        _claim(labs.directory, labs.directory / "t", print)


def test_a_damaged_lab_hides_no_other(labs: Labs) -> None:
    labs.have(b"{")
    other = labs.directory.parent / "other"
    other.mkdir()
    states.write(other, states.State("other", "other.toml"))
    code, told = labs.told("lab", "status")
    assert code == 1
    assert "the lab other is gone" in told
    assert str(labs.directory / states.STATE_FILE) in told
    RunningLab(other).down()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_not_read(labs: Labs, make: Any) -> None:
    path = labs.directory / states.STATE_FILE
    path.unlink(missing_ok=True)
    make(path)
    assert states.read(labs.directory) is None
    assert states.fault(labs.directory).startswith(str(path))
    assert labs.told("lab", "status")[0] == 1
    (path.rmdir if path.is_dir() else path.unlink)()
