"""Labs come up, fail, are killed and go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from atmdepot.errors import AtmdepotError, EnvironmentLacks, NotReady
from atmdepot.lab import Lab, namespaces
from atmdepot.lab import state as states
from atmdepot.lab import web as webs
from atmdepot.lab.launch import Launch
from atmdepot.lab.pages import page
from tests.lab.labs import atmdepot, command_line, fake, members, reach, running, until, up, within

pytestmark = pytest.mark.namespaces

LONG = 3600.0
LAUNCH = """
import sys
from atmdepot.lab import Lab
wait, *command = sys.argv[1:]
try:
    Lab.up("direct", wait=wait == "wait", command=command, progress=lambda line: print(line, flush=True))
except KeyboardInterrupt:
    sys.exit(130)
"""


def launch(*command: str, wait: bool = False, **options: Any) -> subprocess.Popen[str]:
    """A process that brings a lab up and tells its progress line by line."""
    argv = [sys.executable, "-c", LAUNCH, "wait" if wait else "no-wait", *command]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def read_until(launcher: subprocess.Popen[str], start: str) -> None:
    """Read its progress up to a line that starts so."""
    assert launcher.stdout is not None
    lines = []
    while not (lines and lines[-1].startswith(start)):
        lines.append(launcher.stdout.readline())
        assert lines[-1], f"it ended after {lines}"


def test_down_removes_processes_namespaces_and_files(run_dir: Path) -> None:
    lab = up()
    inside = members(lab)
    assert len(inside) >= 6
    lab.down()
    assert not any(running(pid) for pid in inside)
    assert list(run_dir.iterdir()) == []
    lab.down()  # once more does no harm


def test_down_keeps_files_that_the_lab_did_not_make(run_dir: Path) -> None:
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
    monkeypatch.setattr("atmdepot.lab.running._STOP_PATIENCE", 0.2)
    lab.down()
    assert not any(running(pid) for pid in inside)


def test_a_killed_supervisor_takes_the_lab_along(run_dir: Path) -> None:
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


class Clock:
    """The launcher's clock: that of this machine until a test lets hours pass."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    sleep = staticmethod(time.sleep)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("atmdepot.lab.launch.time", made)
    return made


def test_a_daemon_that_never_gets_ready(run_dir: Path, clock: Clock) -> None:
    lines: list[str] = []
    logs = [run_dir / "direct" / f"{name}.log" for name in ("web1", "web2")]

    def progress(line: str) -> None:
        lines.append(line)
        if {"depot READY", "web1.web READY", "web2.web READY"} <= set(lines) and not clock.ahead:
            until(lambda: all(log.exists() and log.stat().st_size for log in logs))
            clock.ahead = LONG

    with pytest.raises(NotReady) as caught:
        up(mode="mute", timeout=LONG, progress=progress)
    assert ": web1, web2; `--timeout " in str(caught.value)
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


def test_vips_that_do_not_answer(run_dir: Path, clock: Clock) -> None:
    asked: list[str] = []

    def progress(line: str) -> None:
        if line.startswith("asking for a page"):
            asked.append(line)
            clock.ahead = LONG  # for the shortest time that pages are asked for

    with pytest.raises(NotReady, match=r"10\.80\.0\.1 port 80: .*; fd00:80::1 port 80: "):
        up(wait=True, timeout=LONG, progress=progress)
    assert len(asked) == 1
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
    with launch(*fake("mute")) as launcher:
        read_until(launcher, "depot READY")
        [lab] = Lab.all()
        inside = members(lab)
        launcher.kill()
    until(lambda: not any(running(pid) for pid in inside))
    lab.down()
    assert list(run_dir.iterdir()) == []


def test_an_interrupted_launcher_takes_the_lab_down(run_dir: Path) -> None:
    with launch(*fake("mute")) as launcher:
        read_until(launcher, "depot READY")
        [lab] = Lab.all()
        inside = members(lab)
        launcher.send_signal(signal.SIGINT)
        assert launcher.wait(20) == 130
    assert not any(running(pid) for pid in inside)
    assert list(run_dir.iterdir()) == []


def test_ctrl_c_while_pages_are_asked_for(run_dir: Path) -> None:
    """The terminal sends it to the probe as well, were that in the same process group."""
    with launch(*fake(), wait=True, start_new_session=True) as launcher:
        read_until(launcher, "asking for a page")
        [lab] = Lab.all()
        until(lambda: any(b"atmdepot.lab.probe" in command_line(pid) for pid in members(lab)))
        os.killpg(launcher.pid, signal.SIGINT)
        assert launcher.communicate(timeout=20)[1] == ""
        assert launcher.returncode == 130
    assert list(run_dir.iterdir()) == []


@pytest.mark.parametrize("phase", ["its state is written", "its supervisor runs"])
def test_ctrl_c_on_the_command_line(run_dir: Path, phase: str) -> None:
    command = [sys.executable, "-P", "-m", "atmdepot", "lab", "up", "direct"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as launcher:
        until(lambda: (state := states.read(run_dir / "direct")) and (state.pid or phase == "its state is written"))
        os.killpg(launcher.pid, signal.SIGINT)
        try:
            stderr = launcher.communicate(timeout=20)[1]
        finally:
            launcher.kill()
    assert launcher.returncode == 130
    assert "Traceback" not in stderr
    assert list(run_dir.iterdir()) == []


@pytest.mark.parametrize("failure", [NotReady("late"), KeyboardInterrupt()])
def test_a_start_that_fails_when_the_supervisor_runs(run_dir: Path, monkeypatch: pytest.MonkeyPatch,
                                                     failure: BaseException) -> None:
    pids: list[int] = []

    def fail(self: Launch, *_: object) -> None:
        until(lambda: Lab(self.directory).state.pid)
        pids.append(Lab(self.directory).state.pid)
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr(Launch, "_wait_for", fail)
        with within(30), pytest.raises(type(failure)):
            up()
    assert not running(pids[0])
    assert list(run_dir.iterdir()) == []
    with within(30), up(web=False) as lab:
        assert lab.alive


@pytest.mark.parametrize("failure", [NotReady("late"), KeyboardInterrupt()])
def test_a_start_that_fails_before_the_supervisor_has_a_pid(run_dir: Path, monkeypatch: pytest.MonkeyPatch,
                                                            failure: BaseException) -> None:
    mine = run_dir / "direct" / "notes.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")

    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(Launch, "_wait_for", fail)
    with within(30), pytest.raises(type(failure)):
        up()
    # The supervisor, which came up only then, has written nothing after the removal.
    assert [path for path in run_dir.rglob("*") if path.is_file()] == [mine]


@pytest.mark.parametrize("timeout", ["0.05", "0.3"])
def test_a_timeout_that_is_too_short(run_dir: Path, timeout: str) -> None:
    done = atmdepot("lab", "up", "direct", "--timeout", timeout)
    assert done.returncode == 4
    assert "atmdepot: not ready in time: " in done.stderr
    assert list(run_dir.iterdir()) == []


def test_a_lab_that_another_command_began_anew_is_left_alone(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others: list[Lab] = []

    def fail(self: Launch, *_: object) -> None:
        monkeypatch.undo()  # of the run directory, too, which is set again for this test alone
        monkeypatch.setenv("ATMDEPOT_RUN_DIR", str(run_dir))
        os.kill(self.state.pid, signal.SIGKILL)
        until(lambda: not Lab(self.directory).alive)
        with launch(*fake()) as launcher:
            assert launcher.wait(30) == 0
        others.append(Lab(self.directory))
        raise KeyboardInterrupt

    monkeypatch.setattr(Launch, "finish", fail)
    with within(60), pytest.raises(KeyboardInterrupt):
        up()
    assert others[0].alive
    others[0].down()


def test_the_callers_pipes_are_let_go(run_dir: Path) -> None:
    with launch(*fake()) as launcher:
        _, stderr = launcher.communicate(timeout=60)  # returns only when nobody holds the pipes
    assert (launcher.returncode, stderr) == (0, "")
    assert Lab.find().alive


def test_two_at_once_make_one_lab(run_dir: Path) -> None:
    launchers = [launch(*fake()) for _ in range(2)]
    outputs = sorted(launcher.communicate(timeout=60)[0].splitlines()[-1] for launcher in launchers)
    assert [launcher.returncode for launcher in launchers] == [0, 0]
    assert outputs == ["the lab direct is already up", f"the lab direct is up: {run_dir}/direct"]


def test_a_machine_without_tun(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces, "TUN_DEVICE", Path("/dev/no-tun"))
    with pytest.raises(EnvironmentLacks, match=r"/dev/no-tun cannot be opened: .*`atmdepot doctor`") as lacks:
        up()
    assert lacks.value.exit_code == 5
    assert not run_dir.exists()


def atmdepot_where_read_only(run_dir: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command line where even root cannot write the directory of labs."""
    script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    return subprocess.run(["unshare", "--map-root-user", "--mount", "sh", "-c", script, str(run_dir),
                           sys.executable, "-P", "-m", "atmdepot", *words],
                          capture_output=True, text=True, timeout=60, check=False)


def test_up_in_a_directory_that_cannot_be_written(run_dir: Path) -> None:
    run_dir.mkdir()
    done = atmdepot_where_read_only(run_dir, "lab", "up", "direct")
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr == (f"atmdepot: {run_dir}/direct cannot be written: Read-only file system; "
                           "set ATMDEPOT_RUN_DIR to a directory of your own\n")


def test_a_directory_that_is_a_file(run_dir: Path) -> None:
    run_dir.write_text("mine")
    done = atmdepot("lab", "up", "direct")
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr == (f"atmdepot: {run_dir} is no directory; set ATMDEPOT_RUN_DIR to a directory of "
                           "your own\n")
    assert run_dir.read_text() == "mine"


def test_a_file_where_the_labs_directory_would_be(run_dir: Path) -> None:
    run_dir.mkdir()
    (run_dir / "direct").write_text("mine")
    with pytest.raises(EnvironmentLacks, match="direct cannot be written: File exists"):
        up()
    assert (run_dir / "direct").read_text() == "mine"


def test_down_in_a_directory_that_cannot_be_written(run_dir: Path) -> None:
    (run_dir / "direct").mkdir(parents=True)
    states.write(run_dir / "direct", states.State("direct", "/direct.toml"))
    done = atmdepot_where_read_only(run_dir, "lab", "down")
    assert done.returncode == 5
    assert done.stderr == (f"atmdepot: {run_dir}/direct cannot be written: Read-only file system; "
                           "set ATMDEPOT_RUN_DIR to a directory of your own\n")


def test_another_users_directory_is_refused(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_dir.mkdir()
    os.chown(run_dir, 12345, 12345)
    with pytest.raises(EnvironmentLacks, match="is another user's"):
        up()
    os.chown(run_dir, os.geteuid(), os.getegid())
