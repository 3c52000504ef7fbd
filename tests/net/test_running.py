"""Daemons that run here, and sockets that are only left behind."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import msgspec
import pytest

from atmdepot import paths
from atmdepot.errors import AtmdepotError
from atmdepot.net import control_client
from atmdepot.net.agents.depot_rows import ServerRow
from atmdepot.net.control_client import ask, is_refusal, show
from atmdepot.net.running import answering_sockets, control_sockets, depot_socket, running_networks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVER = ServerRow("web1", "web1", "to-web1", "alive", 1.5, "at start", False, 1, False, None, "", (), 0, 0, 0)
DEPOT, EDGE = {"rows": [SERVER]}, {"rows": []}


class Daemons:
    """Sockets in a run directory: some answered, others left by daemons that are gone."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._listeners: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def _path(self, network: str, node: str) -> Path:
        path = self._directory / network / f"{node}.sock"
        path.parent.mkdir(exist_ok=True)
        return path

    def dead(self, node: str, network: str = "direct") -> Path:
        path = self._path(network, node)
        with socket.socket(socket.AF_UNIX) as gone:
            gone.bind(str(path))
        return path

    def alive(self, node: str, answer: object, network: str = "direct", role: object = None) -> Path:
        """A daemon with one answer to all; `role` is that to the question for its role."""
        path = self._path(network, node)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        self._listeners.append(listener)
        answers = msgspec.json.encode(answer), None if role is None else msgspec.json.encode(role)
        self._threads.append(threading.Thread(target=self._serve, args=(listener, *answers)))
        self._threads[-1].start()
        return path

    @staticmethod
    def _serve(listener: socket.socket, answer: bytes, roles: bytes | None) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                if asked := connection.recv(4096):
                    connection.sendall((roles if roles is not None and b'"role"' in asked else answer) + b"\n")

    def close(self) -> None:
        for listener in self._listeners:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def daemons(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemons]:
    monkeypatch.setenv("ATMDEPOT_RUN_DIR", str(short_dir))
    made = Daemons(short_dir)
    yield made
    made.close()


def test_the_depot_is_found_behind_a_dead_edges_socket(daemons: Daemons) -> None:
    daemons.dead("a-edge")
    depot = daemons.alive("depot", DEPOT)
    daemons.alive("b-edge", EDGE)
    assert depot_socket(None) == depot_socket("direct") == depot


@pytest.mark.parametrize(("roles", "meant"), [
    (("standby a", "active a"), "depot2"), (("joining a", "handing-over a"), "depot2"),
    (("active a", "standby a"), "depot1"), (("standby a", "active b"), "depot1"), (("standby a", None), "depot1"),
    (("alone a", "active a"), "depot1")])
def test_of_several_depots_the_active_one_is_meant(
    daemons: Daemons, roles: tuple[str | None, ...], meant: str,
) -> None:
    made = {}
    for node, told in zip(("depot1", "depot2"), roles, strict=True):
        role, _, of = (told or "").partition(" ")
        standing = {"role": role, "set": of, "term": 1, "phase": "", "fitness": 0}
        made[node] = daemons.alive(node, DEPOT, role=standing if told else {"error": "no set"})
    daemons.alive("web1", EDGE, role={"error": "no depot"})
    assert depot_socket(None) == made[meant]


def test_the_depot_is_found_behind_a_daemon_that_answers_nonsense(daemons: Daemons) -> None:
    daemons.alive("a-edge", [])
    depot = daemons.alive("depot", DEPOT)
    assert depot_socket(None) == depot


def test_without_a_depot_it_is_told_who_does_not_answer(daemons: Daemons) -> None:
    daemons.alive("web1", EDGE)
    with pytest.raises(AtmdepotError, match=r"^no depot runs here: only web1; ask on the depot's machine"):
        depot_socket(None)
    daemons.dead("depot")
    with pytest.raises(AtmdepotError, match=r"^no depot runs here \(depot: no answer\): begin with"):
        depot_socket(None)
    daemons.alive("web0", {"error": "not now"})
    with pytest.raises(AtmdepotError, match=r"^web0: not now$"):
        depot_socket(None)


def test_who_answers_and_who_does_not(daemons: Daemons) -> None:
    dead, depot, edge = daemons.dead("a"), daemons.alive("depot", DEPOT), daemons.alive("web1", EDGE)
    late = daemons.dead("z")
    assert answering_sockets(None) == answering_sockets("direct") == ([depot, edge], ["a", "z"])
    assert control_sockets(None, None) == [dead, depot, edge, late]
    assert control_sockets("direct", "a") == [dead]
    with pytest.raises(AtmdepotError, match=r"^no daemon of \"b\" runs here: there are a, depot, web1, z$"):
        control_sockets(None, "b")


def test_networks_of_which_nobody_answers_do_not_run(daemons: Daemons) -> None:
    daemons.dead("depot", "old")
    for find in (depot_socket, answering_sockets, lambda network: control_sockets(network, None)):
        with pytest.raises(AtmdepotError, match=r"^no daemon runs here: begin with"):
            find(None)
    depot = daemons.alive("depot", DEPOT)
    assert running_networks() == {"direct": [depot]}
    assert answering_sockets(None) == ([depot], [])
    for find in (depot_socket, answering_sockets):
        with pytest.raises(AtmdepotError, match=r'^the network "old" does not run here; running: direct$'):
            find("old")
    daemons.alive("depot", DEPOT, "second")
    for find in (depot_socket, answering_sockets):
        with pytest.raises(AtmdepotError, match=r"^several networks run here: add --network with one of dir"):
            find(None)


def test_networks_of_benchmarks_are_asked_only_by_name(daemons: Daemons) -> None:
    bench = daemons.alive("depot", DEPOT, "bench-atm")
    with pytest.raises(AtmdepotError, match=r"^only a benchmark runs here: .* --network bench-atm$"):
        depot_socket(None)
    assert depot_socket("bench-atm") == bench
    depot = daemons.alive("depot", DEPOT)
    assert depot_socket(None) == depot


def record(directory: Path, name: str, **state: object) -> Path:
    (directory / name).mkdir(exist_ok=True)
    (directory / name / "state.json").write_bytes(msgspec.json.encode({"name": name, "table": "t", **state}))
    return directory / name


def test_what_to_do_where_no_daemon_runs(daemons: Daemons, short_dir: Path) -> None:
    for phase, told in (("starting", "the lab one is starting"), ("up", "`atmdepot lab status` shows what has ended")):
        record(short_dir, "one", phase=phase, pid=os.getpid())
        with pytest.raises(AtmdepotError, match=f"^no daemon runs here: {told}"):
            depot_socket(None)
    record(short_dir, "one", phase="up", pid=2**22 + 1)  # no process has this number
    with pytest.raises(AtmdepotError, match=r"^no daemon runs here: begin with `atmdepot lab up direct`$"):
        depot_socket(None)
    (short_dir / "one" / "client.without-daemon").write_text("depot2")
    with pytest.raises(AtmdepotError, match=r"this container is client, .* `docker compose exec depot2 atmdepot show"):
        depot_socket(None)


@pytest.mark.parametrize("place", [".", "mine"])
def test_a_directory_of_other_users_daemons_is_told(short_dir: Path, place: str) -> None:
    """As a service's: its directory is closed to the users of the host, who may well be its administrators."""
    (short_dir / "mine").mkdir()
    (short_dir / place).chmod(0)
    of_a_user = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    owner = pwd.getpwuid(os.geteuid()).pw_name
    try:
        for words in (["show", "servers"], ["show", "servers", "--network", "mine"]):
            done = subprocess.run([*of_a_user, sys.executable, "-P", "-m", "atmdepot", *words], capture_output=True,
                                  text=True, check=False, env=os.environ | {"ATMDEPOT_RUN_DIR": str(short_dir)})
            told = f"no daemon that this user may ask runs here: {short_dir} is {owner}'s; ask as root, as by sudo"
            assert (done.returncode, done.stderr) == (1, f"atmdepot: {told}\n")
    finally:
        (short_dir / place).chmod(0o700)


def test_the_systems_daemons_are_told_to_other_users(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (short_dir / "system").mkdir()
    monkeypatch.setenv("ATMDEPOT_RUN_DIR", str(short_dir / "own"))
    monkeypatch.setattr(paths, "SYSTEM_RUN_DIR", short_dir / "system")
    monkeypatch.setattr(os, "access", lambda path, _: path != short_dir / "system")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(AtmdepotError, match=rf"^no daemon that this user may ask runs here: {short_dir}/system is"):
        depot_socket(None)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(AtmdepotError, match=r"^no daemon runs here: begin with"):
        depot_socket(None)


def test_daemon_of_a_lab_that_has_ended_is_told_with_what_starts_it(daemons: Daemons, short_dir: Path) -> None:
    dead = daemons.dead("web1")
    with pytest.raises(AtmdepotError, match=r"does not answer on .*: Connection refused$"):
        show(dead, "links")
    record(short_dir, "direct", phase="up", pid=os.getpid(), processes={"web1": {"exit_code": -9}, "web2": {}})
    with pytest.raises(AtmdepotError, match=r"answer: .* code -9; `atmdepot lab start web1` starts it") as told:
        show(dead, "links")
    assert not is_refusal(str(told.value), "web1")


def test_a_stopped_daemon_of_a_lab_is_told_at_once(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_client, "_LOOK_AFTER", 0.0)
    sleeper = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    with socket.socket(socket.AF_UNIX) as silent, sleeper:
        (short_dir / "direct").mkdir()
        silent.bind(str(short_dir / "direct" / "web1.sock"))
        silent.listen()
        try:
            sleeper.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, sleeper.pid, os.WSTOPPED | os.WNOWAIT)
            record(short_dir, "direct", phase="up", pid=os.getpid(), processes={"web1": {"pid": sleeper.pid}})
            with pytest.raises(AtmdepotError, match=r"not answer: it is stopped .*`atmdepot lab kill web1 --signal CO"):
                next(ask(short_dir / "direct" / "web1.sock", {"show": "links"}, timeout=60))
            sleeper.send_signal(signal.SIGCONT)
            os.waitid(os.P_PID, sleeper.pid, os.WCONTINUED | os.WNOWAIT)
            with pytest.raises(AtmdepotError, match=r"does not answer on .*: timed out$"):
                next(ask(short_dir / "direct" / "web1.sock", {"show": "links"}, timeout=0.1))
        finally:
            sleeper.kill()
