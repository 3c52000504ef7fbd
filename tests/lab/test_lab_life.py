"""How labs come up, fail, are killed and go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from atmdepot.errors import AtmdepotError, EnvironmentLacks, NotReady
from atmdepot.lab import Lab, namespaces
from atmdepot.lab import web as webs
from atmdepot.lab.pages import page
from tests.lab.labs import FAKE, fake, members, reach, running, until, up

pytestmark = pytest.mark.namespaces

LAUNCH = """
import sys
from atmdepot.lab import Lab
Lab.up("direct", wait=False, command=sys.argv[1:], progress=lambda line: sys.stdout.write(line + "\\n"))
"""


def test_down_leaves_nothing(run_dir: Path) -> None:
    lab = up()
    inside = members(lab)
    assert len(inside) >= 6
    lab.down()
    assert not any(running(pid) for pid in inside)
    assert list(run_dir.iterdir()) == []
    lab.down()  # once more does no harm


def test_down_removes_only_what_the_lab_made(run_dir: Path) -> None:
    lab = up()
    mine = [lab.directory / "notes.txt", lab.directory / "web1" / "www" / "my-page"]
    for path in mine:
        path.write_text("mine")
    lab.down()
    assert [path for path in run_dir.rglob("*") if path.is_file()] == mine
    with up() as again:
        assert again.alive
    assert all(path.read_text() == "mine" for path in mine)


def test_a_stubborn_process_is_killed_with_the_lab(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = up(mode="stubborn", web=False)
    inside = members(lab)
    monkeypatch.setattr("atmdepot.lab.testbed._STOP_PATIENCE", 0.2)
    lab.down()
    assert not any(running(pid) for pid in inside)


def test_a_killed_supervisor_takes_everything_along(run_dir: Path) -> None:
    lab = up()
    before = members(lab)
    with lab.popen("client", ["sleep", "600"]) as sleeper:
        until(lambda: len(members(lab)) > len(before))
        inside = members(lab)
        os.kill(lab.state.pid, signal.SIGKILL)
        assert sleeper.wait(10) == -signal.SIGKILL
    until(lambda: not any(running(pid) for pid in inside))
    assert not lab.alive
    with pytest.raises(AtmdepotError, match="the lab direct is gone"):
        lab.run("client", ["true"])
    lines: list[str] = []
    with up(progress=lines.append) as again:
        assert lines[0] == "the lab direct was killed: removing what it left"
        assert again.alive


def test_down_cleans_up_after_a_killed_supervisor(run_dir: Path) -> None:
    lab = up()
    os.kill(lab.state.pid, signal.SIGKILL)
    until(lambda: not lab.alive)
    Lab.find().down()
    assert list(run_dir.iterdir()) == []


def test_a_process_that_ends_is_recorded(run_dir: Path) -> None:
    with up() as lab:
        os.kill(lab.state.processes["web1"].pid, signal.SIGKILL)
        until(lambda: lab.state.processes["web1"].exit_code == -signal.SIGKILL)
        assert lab.state.processes["depot"].exit_code is None
        assert lab.alive


def test_a_daemon_that_never_gets_ready(run_dir: Path) -> None:
    lines: list[str] = []
    with pytest.raises(NotReady, match="not ready in time: web1, web2"):
        up(mode="mute", timeout=2.0, progress=lines.append)
    assert "depot READY" in lines
    assert f"web1: edge of {run_dir}" in lines
    assert list(run_dir.iterdir()) == []


@pytest.mark.parametrize(("mode", "kind", "message"), [
    ("lacking", EnvironmentLacks, "ended with exit code 5 while the lab came up: there is no TUN here"),
    ("failing", AtmdepotError, "ended with exit code 1 while the lab came up: something broke"),
])
def test_a_daemon_that_ends_at_once(run_dir: Path, mode: str, kind: type[AtmdepotError], message: str) -> None:
    with pytest.raises(kind, match=message):
        up(mode=mode)
    assert list(run_dir.iterdir()) == []


def test_a_command_that_is_not_there(run_dir: Path) -> None:
    with pytest.raises(EnvironmentLacks, match="/no/such/program cannot be run"):
        Lab.up("direct", wait=False, command=["/no/such/program"])
    assert list(run_dir.iterdir()) == []


def test_vips_that_do_not_answer(run_dir: Path) -> None:
    with pytest.raises(NotReady, match=r"no page in time from 10\.80\.0\.1 port 80: .*; fd00:80::1 port 80: "):
        up(wait=True, timeout=3.0)
    assert list(run_dir.iterdir()) == []


def test_no_web_servers(run_dir: Path) -> None:
    with up(web=False, wait=True) as lab:
        assert lab.web_server is None
        assert set(lab.state.processes) == {"depot", "web1", "web2"}
        assert reach(lab, "depot", "172.31.1.2", 80) == "ECONNREFUSED"


def test_pythons_web_server_where_nginx_is_not(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webs, "find_nginx", lambda: None)
    fetch = ("import sys; from atmdepot.lab.probe import fetch; "
             "sys.stdout.buffer.write(fetch('::1', 80, '1KB', 10.0))")
    with up() as lab:
        assert lab.web_server == "python"
        done = lab.run("web2", [sys.executable, "-c", fetch], stdout=subprocess.PIPE, check=True)
        assert done.stdout == page("1KB")


def test_a_user_namespace(run_dir: Path) -> None:
    with up(userns=True) as lab:
        assert lab.state.userns
        assert Path(f"/proc/{lab.state.pid}/ns/user").readlink() != Path("/proc/self/ns/user").readlink()
        assert lab.run("client", ["sh", "-c", "test $(id -u) = 0"]).returncode == 0
        assert reach(lab, "depot", "172.31.1.2", 80) == "OK"
        inside = members(lab)
    assert not any(running(pid) for pid in inside)


def test_a_launcher_that_is_killed_leaves_no_lab(run_dir: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", LAUNCH, *fake("mute")], stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout is not None
        while launcher.stdout.readline() != "depot READY\n":
            pass
        [lab] = Lab.all()
        inside = members(lab)
        launcher.kill()
    until(lambda: not any(running(pid) for pid in inside))
    lab.down()
    assert list(run_dir.iterdir()) == []


def test_an_interrupted_launcher_takes_the_lab_down(run_dir: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", LAUNCH, *fake("mute")], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True) as launcher:
        assert launcher.stdout is not None
        while launcher.stdout.readline() != "depot READY\n":
            pass
        launcher.send_signal(signal.SIGINT)
        assert launcher.wait(20) != 0
    assert list(run_dir.iterdir()) == []


def test_the_callers_pipes_are_let_go(run_dir: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LAUNCH, *fake()], capture_output=True, text=True, timeout=60,
                          check=False)  # returns only when nobody holds the pipes
    assert (done.returncode, done.stderr) == (0, "")
    assert Lab.find().alive


def test_two_at_once_make_one_lab(run_dir: Path) -> None:
    launchers = [subprocess.Popen([sys.executable, "-c", LAUNCH, sys.executable, str(FAKE), "good"],
                                  stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = sorted(launcher.communicate(timeout=60)[0].splitlines()[-1] for launcher in launchers)
    assert [launcher.returncode for launcher in launchers] == [0, 0]
    assert outputs == ["the lab direct is already up", f"the lab direct is up: {run_dir}/direct"]


def test_a_machine_without_tun(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces, "TUN_DEVICE", Path("/dev/no-tun"))
    with pytest.raises(EnvironmentLacks, match=r"/dev/no-tun cannot be opened: .*`atmdepot doctor`") as lacks:
        up()
    assert lacks.value.exit_code == 5
    assert not run_dir.exists()


def test_somebody_elses_directory_is_refused(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_dir.mkdir()
    os.chown(run_dir, 12345, 12345)
    with pytest.raises(EnvironmentLacks, match="is another user's"):
        up()
    os.chown(run_dir, os.geteuid(), os.getegid())
