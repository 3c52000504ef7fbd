"""Lab of the end-to-end tests: commands in its nodes, pages, counters."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

from atmdepot.config.reading import find
from atmdepot.lab import Lab
from atmdepot.net.control_client import show

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterator, Sequence

HERE = Path(__file__).parent
PATIENCE = 60.0
VIP, VIP6 = "10.80.0.1", "fd00:80::1"
CLIENT, CLIENT6 = "10.9.0.2", "fd00:9::2"

KEEP_ALIVE = """
import socket, sys
sockets = [socket.create_connection((vip, 80), 60) for vip in sys.argv[1:] for _ in range(4)]
def ask():
    for s in sockets:
        s.sendall(b"HEAD / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
        assert s.recv(1000).startswith(b"HTTP/1.1 200")
ask()
print("READY", flush=True)
for _ in sys.stdin:
    ask()
    print("still there", flush=True)
"""
"""A client's program: it opens four connections to each address, and sends a request on each per line of its input."""


class Page(NamedTuple):
    """A page from curl: its server, its octets, and the seconds that it took."""

    server: str
    octets: bytes
    seconds: float


class Site:
    """A lab that is up."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.servers = [server for service in lab.network.services.values() for server in service.servers]
        self.daemons = [*lab.network.depots, *lab.network.switches, *lab.network.edges]

    def run(self, node: str, *argv: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command in a node."""
        done = self.lab.run(node, argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                            **options)
        assert done.returncode == 0 or not check, f"{argv}: {done.stdout}{done.stderr}"
        return done

    def python(self, node: str, program: str, *words: str) -> str:
        """Run a Python program in a node; return its output."""
        return self.run(node, sys.executable, "-c", program, *words).stdout

    @contextlib.contextmanager
    def helper(self, node: str, *argv: str) -> Iterator[subprocess.Popen[str]]:
        """Run a program in a node; the block begins at its first line, READY, and the end closes its standard input."""
        with self.lab.popen(node, [sys.executable, *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            text=True) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == "READY\n"
                yield process
            except BaseException:
                process.kill()
                raise

    def fetch(self, vip: str, path: str, *options: str, seconds: float = PATIENCE) -> Page:
        """Fetch a page by curl at the client."""
        host = f"[{vip}]" if ":" in vip else vip
        began = time.monotonic()
        done = self.lab.run("client", ["curl", "-gsS", "--max-time", str(seconds), "-D", "/dev/stderr", *options,
                                       f"http://{host}/{path}"], capture_output=True, timeout=seconds + 30)
        taken = time.monotonic() - began
        assert done.returncode == 0, done.stderr.decode()
        head = done.stderr.decode()
        assert " 200 " in head.splitlines()[0]
        [server] = [line.split()[1] for line in head.splitlines() if line.startswith("X-Served-By: ")]
        return Page(server, done.stdout, taken)

    def rows(self, subject: str, node: str = "") -> list[dict[str, Any]]:
        """Rows that the daemon of a node (else of the depot) shows."""
        return show(self.lab.directory / f"{node or self.lab.network.depot}.sock", subject, 1_000_000)

    def counters(self, node: str = "") -> dict[tuple[str, str], int]:
        """A daemon's counters, by place and name."""
        return {(row["place"], row["counter"]): row["value"] for row in self.rows("counters", node)}

    def count(self, name: str, node: str = "") -> int:
        """The sum of the counters of a name, over all places."""
        return sum(value for (_, counter), value in self.counters(node).items() if counter == name)

    def drops(self) -> dict[tuple[str, str, str], int]:
        """Drops of all daemons by node, place and reason, without multicast."""
        return {(node, place, name): value for node in self.daemons
                for (place, name), value in self.counters(node).items()
                if name.startswith("drop:") and name != "drop:multicast" and value}

    def vcs(self, node: str = "") -> dict[str, dict[str, Any]]:
        """The rows of a node's VCs by VPI/VCI."""
        return {row["vc"]: row for row in self.rows("vcs", node)}

    def start(self, node: str) -> subprocess.Popen[bytes]:
        """Start the daemon of a node again, as a service manager would; return when it is READY."""
        table = str(self.lab.directory / "table.toml")
        words = [self.lab.network.nodes[node].kind, table, "--node", node]
        daemon = self.lab.popen(node, [sys.executable, "-P", "-m", "atmdepot", *words], stdout=subprocess.PIPE)
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == b"READY\n"
        return daemon

    def told(self, node: str) -> list[str]:
        """The lines of a daemon's log after the first, without times and levels.

        The first names the package and its data path. Lines about long turns of the loop are left out: a loaded machine
        causes them.
        """
        first, *others = (self.lab.directory / f"{node}.log").read_text().splitlines()
        assert "data path" in first
        return [re.sub(r"^\S+Z (?:info|warning|error) +", "", line) for line in others
                if "a turn of the loop took" not in line]

    def pid(self, process: str) -> int:
        """PID of a process of the lab on this machine."""
        return self.lab.state.processes[process].pid

    def pid_inside(self, process: str) -> str:
        """PID of a process as the lab's own processes see it."""
        with open(f"/proc/{self.pid(process)}/status") as status:
            return next(line.split()[-1] for line in status if line.startswith("NSpid:"))

    def rss(self, process: str) -> int:
        """Octets of memory that a process has (resident set)."""
        pages = int(Path(f"/proc/{self.pid(process)}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def atmdepot(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run atmdepot as the user of this lab does."""
        return subprocess.run([sys.executable, "-P", "-m", "atmdepot", *words], env=self.lab.environment(),
                              capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)

    def kernel(self, node: str, *names: str) -> list[int]:
        """Counters of a node's kernel, such as `Tcp.ActiveOpens`."""
        lines = [line.split() for line in self.run(node, "cat", "/proc/net/snmp").stdout.splitlines()]
        found = {f"{head[0]}{name}": int(value) for head, values in zip(lines[::2], lines[1::2], strict=True)
                 for name, value in zip(head[1:], values[1:], strict=True)}
        return [found[name.replace(".", ":")] for name in names]


@contextlib.contextmanager
def site(table: str | Path, *, watched: bool = False, **options: Any) -> Iterator[Site]:
    """A lab in a directory of its own.

    Unless `watched`, the depot neither probes nor gets statistics, so that every packet and cell is the test's.
    """
    # Not pytest's: a unix socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="atm-") as directory, tempfile.TemporaryDirectory() as tables:
        if not watched:
            quiet = Path(tables) / "quiet.toml"
            quiet.write_text(find(str(table)).read_text() + '\n[probing]\nprobe = "none"\nstatistics = "0s"\n')
            table = quiet
        environment = {"ATMDEPOT_RUN_DIR": directory}
        with patch.dict(os.environ, environment):
            lab = Lab.up(table, timeout=PATIENCE, **options)
        try:
            yield Site(lab)
        finally:
            with patch.dict(os.environ, environment):
                lab.down()


def end(daemon: subprocess.Popen[bytes], number: signal.Signals) -> int:
    """Send a signal to a daemon that `Site.start` started; return its exit code."""
    daemon.send_signal(number)
    daemon.communicate(timeout=60)
    return daemon.returncode


@contextlib.contextmanager
def changed(table: str, name: str, changes: Sequence[tuple[str, str]]) -> Iterator[Path]:
    """A file with a changed copy of a shipped table, under another name."""
    text = find(table).read_text()
    for old, new in (*changes, (f'name = "{table}"', f'name = "{name}"')):
        assert old in text
        text = text.replace(old, new)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / f"{name}.toml"
        path.write_text(text)
        yield path


def until(condition: Callable[[], object], seconds: float = PATIENCE, pause: float = 0.05) -> None:
    """Wait until a condition holds; fail at the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "that did not come true in time"
        time.sleep(pause)


def rows_of(text: str) -> list[dict[str, Any]]:
    """Rows from the output of `show -o json`."""
    rows: list[dict[str, Any]] = json.loads(text)
    return rows
