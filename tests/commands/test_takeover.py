"""`atmdepot takeover` and `release` against depots that are played: whom they ask, and what they say in the end."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from atmdepot.cli import cli
from atmdepot.commands import takeover
from atmdepot.errors import AtmdepotError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Played:
    """A depot's control socket; it answers with the next of `roles`, of which the last stays."""

    def __init__(self, path: Path, roles: list[str], phases: str = "", of: str = "main", fitness: int = 0) -> None:
        self.asked: list[dict[str, Any]] = []
        self._roles, self._phases, self._of, self._fitness = list(roles), phases, of, fitness
        self._bound = socket.socket(socket.AF_UNIX)
        self._bound.bind(str(path))
        self._bound.listen(8)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._bound.shutdown(socket.SHUT_RDWR)
        self._bound.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._bound.accept()
            except OSError:
                return
            with connection, connection.makefile("rw") as stream:
                if line := stream.readline():
                    stream.write(json.dumps(self._answer(json.loads(line))) + "\n")

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if "role" not in request:
            self.asked.append(request)
            return {"done": "begun"}
        if not self._roles:
            return {"error": "web1 is no depot, which role is for"}
        role = self._roles.pop(0) if len(self._roles) > 1 else self._roles[0]
        return {"set": self._of, "role": role, "term": 7, "why": "", "phase": self._phases, "fitness": self._fitness}


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ATMDEPOT_RUN_DIR", str(tmp_path))
    monkeypatch.setattr(takeover, "_LOOK", 0.0)
    (tmp_path / "net").mkdir()
    return tmp_path / "net"


@contextmanager
def playing(directory: Path, **nodes: dict[str, Any]) -> Iterator[dict[str, Played]]:
    made = {name: Played(directory / f"{name}.sock", **play) for name, play in nodes.items()}
    try:
        yield made
    finally:
        for one in made.values():
            one.close()


def run(*words: str) -> str:
    """The output of a command; raises what it raises."""
    done = CliRunner().invoke(cli, list(words))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def test_the_depot_that_stands_by_takes_over(directory: Path) -> None:
    with playing(directory, depot1={"roles": ["active"]}, web1={"roles": []},
                 depot2={"roles": ["standby", "standby", "active"], "phases": "taking"}) as depots:
        assert run("takeover").startswith("depot2 is active in term 7, after 0.")
        assert depots["depot2"].asked == [{"takeover": True, "force": False}]
        assert depots["depot1"].asked == []


def test_the_fittest_of_several_takes_over(directory: Path) -> None:
    with playing(directory, depot1={"roles": ["standby"], "fitness": 18}, depot3={"roles": ["active"]},
                 depot2={"roles": ["standby", "active"], "fitness": 19}) as depots:
        assert run("takeover", "--force").startswith("depot2 is active")
        assert depots["depot2"].asked == [{"takeover": True, "force": True}]


def test_a_takeover_that_comes_to_nothing_is_an_error(directory: Path) -> None:
    with (
        playing(directory, depot1={"roles": ["active"]}, depot2={"roles": ["standby"], "phases": ""}),
        pytest.raises(AtmdepotError, match="depot2 has not taken over, and is standby"),
    ):
        run("takeover")


def test_the_active_depot_is_released(directory: Path) -> None:
    with playing(directory, depot2={"roles": ["standby"]},
                 depot1={"roles": ["active", "handing-over", "joining"]}) as depots:
        assert run("release").startswith("depot1 has handed over after 0.")
        assert depots["depot1"].asked == [{"release": True, "force": False}]


def test_a_release_that_nobody_takes_is_an_error(directory: Path) -> None:
    with (
        playing(directory, depot1={"roles": ["active", "handing-over", "active"]}),
        pytest.raises(AtmdepotError, match="no other depot has taken over: depot1 is active still"),
    ):
        run("release")


def test_without_a_depot_that_can_be_meant_all_are_named(directory: Path) -> None:
    with (
        playing(directory, web2={"roles": []}),
        pytest.raises(AtmdepotError, match="no depot of a set is active here: there is no depot"),
    ):
        run("release")
    with (
        playing(directory, depot1={"roles": ["active"]}, web1={"roles": []}),
        pytest.raises(AtmdepotError, match="no depot of a set stands by here: depot1 is active"),
    ):
        run("takeover")


def test_a_depot_that_does_not_answer_is_named(directory: Path) -> None:
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(directory / "depot1.sock"))
    with (
        playing(directory, depot2={"roles": ["active"]}),
        pytest.raises(AtmdepotError, match="stands by here: depot2 is active, depot1 does not answer; `atm"),
    ):
        run("takeover")
    with (
        playing(directory, web1={"roles": []}),
        pytest.raises(AtmdepotError, match="no depot of a set is active here: depot1 does not answer, depot2 does"),
    ):
        run("release")


@pytest.mark.usefixtures("directory")
@pytest.mark.parametrize("command", [("takeover",), ("release", "--node", "depot1"), ("resync",)])
def test_where_nothing_runs_a_table_with_a_set_is_named(command: tuple[str, ...]) -> None:
    with pytest.raises(AtmdepotError, match="no daemon runs here: begin with `atmdepot lab up standby`"):
        run(*command)


def test_of_several_sets_one_is_to_be_named(directory: Path) -> None:
    with playing(directory, depot1={"roles": ["active"], "of": "a"}, depot2={"roles": ["active"], "of": "b"}) as depots:
        with pytest.raises(AtmdepotError, match="several sets: add --node with one of depot1, depot2"):
            run("release")
        assert [depot.asked for depot in depots.values()] == [[], []]
