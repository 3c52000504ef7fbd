"""Helpers of the tests of the lab."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atmdepot.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FAKE = Path(__file__).parent / "fake_daemon.py"


def fake(mode: str = "good") -> list[str]:
    """Command of daemons that carry no packets."""
    return [sys.executable, str(FAKE), mode]


def up(table: str | Path = "direct", mode: str = "good", **options: Any) -> Lab:
    """Bring up a lab with fake daemons."""
    return Lab.up(table, wait=options.pop("wait", False), command=fake(mode), **options)


def atmdepot(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does."""
    return subprocess.run([sys.executable, "-P", "-m", "atmdepot", *words], capture_output=True, text=True, timeout=60,
                          check=False, stdin=subprocess.DEVNULL, **options)


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for a condition, up to a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail when the block takes longer, where the code could wait for ever."""
    def late(*_: object) -> None:
        raise AssertionError(f"not done in {seconds} seconds")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def running(pid: int) -> bool:
    """True when a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def command_line(pid: int) -> bytes:
    """Command line of a process; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def members(lab: Lab) -> list[int]:
    """Every process in the lab's PID namespace, the supervisor included, as the host numbers them."""
    space = Path(f"/proc/{lab.state.pid}/ns/pid").stat().st_ino
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                same = (entry / "ns" / "pid").stat().st_ino == space
            except OSError:
                continue
            if same:
                found.append(int(entry.name))
    return found


PYTHON_REACH = """
import errno, socket, sys
host, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
family = socket.AF_INET6 if ":" in host else socket.AF_INET
with socket.socket(family) as s:
    s.settimeout(seconds)
    sys.stdout.write(errno.errorcode.get(s.connect_ex((host, port)), "OK"))
"""


def reach(lab: Lab, node: str, host: str, port: int, seconds: float = 5) -> str:
    """Connect from a node; return OK or the error's name (ECONNREFUSED: the host has no listener)."""
    return lab.run(node, [sys.executable, "-c", PYTHON_REACH, host, str(port), str(seconds)], stdout=subprocess.PIPE,
                   text=True).stdout
