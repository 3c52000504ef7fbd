"""`testbed/setup.sh` when it is interrupted: it leaves no process, and nothing on the machine that stops services."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

SCRIPT = Path(__file__).parents[2] / "testbed" / "setup.sh"
POLICY = "/usr/sbin/policy-rc.d"
TOOLS = ("sh", "env", "setsid", "grep", "chmod", "rm", "sleep", "mktemp", "date", "tail", "head", "cat", "tr", "find",
         "touch", "mv", "kill", "cut")


class Machine:
    """A machine with few programs, some of which are made up; its policy for services is in a file of the test's."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.policy = directory / "policy-rc.d"
        self.started = directory / "started"
        self._bin = directory / "bin"
        self._bin.mkdir()
        for tool in TOOLS:
            (self._bin / tool).symlink_to(f"/bin/{tool}" if Path(f"/bin/{tool}").exists() else f"/usr/bin/{tool}")
        text = SCRIPT.read_text(encoding="utf-8")
        assert POLICY in text
        self._script = directory / "setup.sh"
        self._script.write_text(text.replace(POLICY, str(self.policy)).replace(":/usr/sbin:/sbin", ""),
                                encoding="utf-8")

    def program(self, name: str, text: str) -> None:
        path = self._bin / name
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        path.chmod(0o755)

    def begin(self, purpose: str = "demo") -> subprocess.Popen[bytes]:
        return subprocess.Popen(["/bin/sh", str(self._script), purpose], cwd=self.directory, env={
            "PATH": str(self._bin), "HOME": str(self.directory), "TMPDIR": str(self.directory)},
            start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.program("id", "echo 0")
    made.program("python3", "exit 1")
    return made


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("left", [False, True])
def test_interrupted_among_packages_it_leaves_no_policy_of_its_own(
        machine: Machine, number: signal.Signals, left: bool) -> None:
    machine.program("apt-get", f'[ "$1" = update ] || {{ echo x >"{machine.started}"; exec sleep 60; }}')
    if left:  # by a setup that was killed
        first = machine.begin()
        until(machine.started.exists)
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        machine.started.unlink()
        assert machine.policy.exists()
    script = machine.begin()
    until(machine.started.exists)
    assert "exit 101" in machine.policy.read_text(encoding="utf-8")
    os.killpg(script.pid, number)  # as a terminal does
    assert script.wait(30) in (128 + number, -number)
    assert not machine.policy.exists()


def test_a_policy_of_the_administrators_stays(machine: Machine) -> None:
    machine.policy.write_text("#!/bin/sh\nexit 104\n", encoding="utf-8")
    machine.program("apt-get", "exit 0")
    assert machine.begin().wait(30) == 5  # there is no Python after all
    assert machine.policy.read_text(encoding="utf-8") == "#!/bin/sh\nexit 104\n"


def test_interrupted_in_a_step_it_ends_all_that_the_step_has_started(machine: Machine) -> None:
    machine.program("apt-get", "exit 0")
    machine.program("python3", f"""
case $1 in -c | --version) exit 0 ;; esac
sleep 60 &
echo $! $$ >"{machine.started}.new"
mv "{machine.started}.new" "{machine.started}"
wait""")
    script = machine.begin()
    until(machine.started.exists)
    pids = list(map(int, machine.started.read_text(encoding="ascii").split()))
    assert len(pids) == 2
    os.kill(script.pid, signal.SIGINT)
    assert script.wait(30) == 128 + signal.SIGINT
    until(lambda: not any(is_there(pid) for pid in pids))


def is_there(pid: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return False
