from __future__ import annotations

import json
import os
import pty
import signal
import sys
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
from click.testing import CliRunner

from atmdepot.cli import cli
from atmdepot.errors import EnvironmentLacks
from atmdepot.lab import Lab
from atmdepot.lab import state as states
from tests.lab.labs import atmdepot, until, up

if TYPE_CHECKING:
    from pathlib import Path

namespaces = pytest.mark.namespaces


@pytest.mark.parametrize("command", ["up", "down", "status", "logs", "restart", "exec", "shell"])
def test_every_help_has_examples(command: str) -> None:
    done = atmdepot("lab", command, "--help")
    assert done.returncode == 0
    assert f"Examples:\n    atmdepot lab {command}" in done.stdout


def test_without_a_lab(run_dir: Path) -> None:
    for command in ("status", "down"):
        done = atmdepot("lab", command)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "no lab is up\n")
    assert json.loads(atmdepot("lab", "status", "-o", "json").stdout) == {"labs": []}
    done = atmdepot("lab", "exec", "client", "--", "true")
    assert (done.returncode, done.stderr) == (1, "atmdepot: no lab is up; `atmdepot lab up FILE` starts one\n")
    assert atmdepot("lab", "down", "direct").returncode == 1


def test_wrong_usage() -> None:
    assert atmdepot("lab", "down", "direct", "--network", "direct").returncode == 2
    assert atmdepot("lab", "down", "direct", "--all").returncode == 2
    assert atmdepot("lab", "up").returncode == 2
    assert atmdepot("lab", "up", "direct", "--timeout", "0").returncode == 2
    done = atmdepot("lab", "exec", "client")
    assert done.returncode == 2
    assert "Missing argument 'CMD...'. Put -- before the command, as in: atmdepot lab exec client --" in done.stderr
    done = atmdepot("lab", "exec", "client", "sh", "-c", "true")
    assert done.returncode == 2
    assert "No such option '-c'. Put -- before the command, as in: atmdepot lab exec client -- curl" in done.stderr


def test_a_table_that_is_not_there(run_dir: Path) -> None:
    done = atmdepot("lab", "up", "no-such-table")
    assert done.returncode == 1
    assert "no-such-table" in done.stderr


@namespaces
def test_status_as_a_table(lab: Lab) -> None:
    done = atmdepot("lab", "status")
    assert done.returncode == 0
    for word in ("direct", "client", "depot", "web1.web", "running", "depot.log"):
        assert word in done.stdout


def test_down_all_goes_on_behind_a_lab_that_fails(run_dir: Path) -> None:
    for name in ("one", "other", "third"):
        (run_dir / name).mkdir(parents=True)
        states.write(run_dir / name, states.State(name, f"/{name}.toml"))
    failing = EnvironmentLacks("it cannot be written")
    real = Lab.down

    def down(lab: Lab) -> None:
        if lab.name == "other":
            raise failing
        real(lab)

    with patch.object(Lab, "down", down):
        done = CliRunner().invoke(cli, ["lab", "down", "--all"], standalone_mode=False)
    assert done.return_value == failing.exit_code
    assert done.stderr.splitlines() == ["the lab one is down", "the lab other is not down: it cannot be written",
                                        "the lab third is down"]
    assert [path.name for path in run_dir.iterdir() if path.is_dir()] == ["other"]


@namespaces
def test_status_as_json(lab: Lab) -> None:
    [report] = json.loads(atmdepot("lab", "status", "direct", "-o", "json").stdout)["labs"]
    assert {key: report[key] for key in ("name", "state", "pid", "directory", "userns")} == {
        "name": "direct", "state": "up", "pid": lab.state.pid, "directory": str(lab.directory), "userns": False}
    nodes = {node["name"]: node for node in report["nodes"]}
    assert (nodes["client"]["kind"], nodes["client"]["processes"]) == ("client", [])
    daemon, web = nodes["web1"]["processes"]
    assert (daemon["role"], daemon["state"], daemon["exit_code"]) == ("edge", "running", None)
    assert daemon["log"] == str(lab.directory / "web1.log")
    assert web["role"] == "web"


@namespaces
def test_logs(lab: Lab) -> None:
    done = atmdepot("lab", "logs", "--network", "direct", "--last", "1000")
    assert done.returncode == 0
    names = {line.split()[0] for line in done.stdout.splitlines()}
    assert {"depot", "web1", "web2"} <= names
    assert "READY" in done.stdout
    done = atmdepot("lab", "logs", "client")
    assert (done.returncode, "depot, web1, web2" in done.stderr) == (1, True)


@namespaces
def test_exec(lab: Lab) -> None:
    done = atmdepot("lab", "exec", "client", "--", "sh", "-c", "ip -o addr show dev depot; echo to-err >&2; exit 9")
    assert done.returncode == 9
    assert "10.9.0.2/24" in done.stdout
    assert done.stderr == "to-err\n"
    assert atmdepot("lab", "exec", "client", "--lab", "direct", "--", "true").returncode == 0
    assert atmdepot("lab", "exec", "client", "--", "sh", "-c", "kill -KILL $$").returncode == -signal.SIGKILL
    assert atmdepot("lab", "exec", "client", "--network", "geo", "--", "true").returncode == 1


def test_which_of_several_labs(run_dir: Path) -> None:
    alive = {"pid": os.getpid(), "start_time": states.start_time_of(os.getpid()) or 0}
    for name, nodes in {"one": ["client", "web1"], "two": ["client", "web2"], "dead": ["web2"],
                        "bench-x": ["client", "web2"]}.items():
        (run_dir / name).mkdir(parents=True)
        states.write(run_dir / name, states.State(
            name, f"/{name}.toml", nodes={node: states.NodeState("edge", 0) for node in nodes},
            **(alive if name != "dead" else {})))
    try:
        assert Lab.find(node="web1").name == "one"
        assert Lab.find(node="web2").name == "two"
        done = atmdepot("lab", "exec", "client", "--", "true")
        assert (done.returncode, done.stderr) == (
            1, "atmdepot: several labs are up, say which, as in `--network one`: one, two\n")
        assert atmdepot("lab", "shell", "client").stderr == done.stderr
        done = atmdepot("lab", "down")
        assert (done.returncode, done.stderr) == (
            1, "atmdepot: several labs are up, say which, as in `atmdepot lab down one`: one, two\n")
    finally:
        for name in ("one", "two", "bench-x"):
            (run_dir / name / states.STATE_FILE).unlink()  # this process is no supervisor to be stopped


@namespaces
def test_shell_prompts_with_the_node(lab: Lab) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["SHELL"] = "/bin/sh"
        os.execv(sys.executable, [sys.executable, "-P", "-m", "atmdepot", "lab", "shell", "depot"])
    seen = b""

    def read_until(text: bytes) -> None:
        nonlocal seen
        while text not in seen:
            seen += os.read(terminal, 4096)

    try:
        read_until(b"direct:depot# ")
        os.write(terminal, b"echo $((40 + 2)) is it; exit 5\n")
        read_until(b"42 is it")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
    finally:
        os.close(terminal)


@namespaces
def test_status_of_dead_processes_and_labs(run_dir: Path) -> None:
    def states() -> dict[str, object]:
        [report] = json.loads(atmdepot("lab", "status", "-o", "json").stdout)["labs"]
        return {"lab": report["state"]} | {process["name"]: (process["state"], process["exit_code"])
                                           for node in report["nodes"] for process in node["processes"]}

    lab = up(web=False)
    for number, state in (signal.SIGSTOP, "stopped"), (signal.SIGCONT, "running"):
        os.kill(lab.state.processes["web2"].pid, number)
        until(lambda state=state: states()["web2"] == (state, None))
    os.kill(lab.state.processes["web1"].pid, signal.SIGTERM)
    until(lambda: lab.state.processes["web1"].exit_code is not None)
    assert states() == {"lab": "up", "depot": ("running", None), "web1": ("exited", -15), "web2": ("running", None)}
    done = atmdepot("lab", "status")
    assert (done.returncode, "exited -15" in done.stdout, "lab start web1" in done.stderr) == (1, True, True)
    done = atmdepot("lab", "up", "direct", "--no-web")
    assert (done.returncode, "web1 ended" in done.stderr) == (1, True)
    assert atmdepot("lab", "restart", "web1").returncode == 0
    assert atmdepot("lab", "status").returncode == 0
    before = lab.state.processes["depot"].pid
    assert atmdepot("lab", "restart", "depot").returncode == 0
    assert lab.state.processes["depot"].pid != before
    done = atmdepot("lab", "logs", "depot", "--last", "1")
    assert (done.stdout.split()[0], len(done.stdout.splitlines())) == ("depot", 1)
    os.kill(lab.state.processes["web1"].pid, signal.SIGTERM)
    until(lambda: lab.state.processes["web1"].exit_code is not None)
    os.kill(lab.state.pid, signal.SIGKILL)
    until(lambda: not lab.alive)
    assert states() == {"lab": "gone", "depot": ("gone", None), "web1": ("exited", -15), "web2": ("gone", None)}
    assert atmdepot("lab", "status").returncode == 1
    done = atmdepot("lab", "down", "--all")
    assert (done.returncode, done.stderr) == (0, "the lab direct is down\n")
    assert list(run_dir.iterdir()) == []
