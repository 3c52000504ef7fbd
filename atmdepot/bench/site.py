"""A contender in a lab of its own: all measurements are asked of a `Site`."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from atmdepot import build
from atmdepot.bench import machine, peers
from atmdepot.bench.lab_table import BULK_PORT, addresses_of, table_for
from atmdepot.bench.readings import NoFigure
from atmdepot.errors import AtmdepotError, NotReady
from atmdepot.lab import Lab
from atmdepot.lab.lans import CLIENT
from atmdepot.net.control_client import show
from atmdepot.paths import BENCH_PREFIX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atmdepot.bench.cgroups import Cgroups
    from atmdepot.bench.contenders import Contender
    from atmdepot.bench.perf import Counters

PREFIX = BENCH_PREFIX
"""Of the names of the benchmark's labs."""

_START = 60.0
"""Seconds until a lab must be up, and a page come through it."""

_STOP = 5.0
_PAUSE = 0.05
STAND_IN = ("/bin/sh", "-c", "echo READY; exec sleep infinity", "stand-in")
"""Runs in place of the daemons where they are not measured."""

_ASK = """
import sys, time
from atmdepot.lab.probe import wait_for
sys.exit(wait_for(sys.argv[1], int(sys.argv[2]), time.monotonic() + float(sys.argv[3])))
"""
"""The client's program: it waits for a page from an address, a port and for some seconds, and tells why in vain."""


class Site:
    """A contender that is up within `with`, and gone after it."""

    def __init__(self, contender: Contender, table: str, home: Path, idle_sessions: int | None = None,
                 cgroups: Cgroups | None = None) -> None:
        """Take the text of the VC table, and a directory for files of this site's own, which must exist.

        `idle_sessions` is the number for which the table is to have room and a service. With `cgroups` the whole lab
        and the client's programs run in a group of their own.
        """
        self.contender = contender
        self.name = PREFIX + contender.name + (f"-{idle_sessions}" if idle_sessions is not None else "")
        self.home = home / self.name
        self._table = table_for(table, self.name, contender.cells, idle_sessions)
        self._group = cgroups.group(self.name) if cgroups is not None else None
        self.counting = True
        self._stack = ExitStack()
        self._proxy: subprocess.Popen[Any] | None = None
        self._iperf: subprocess.Popen[Any] | None = None

    def __enter__(self) -> Self:
        """Bring the lab up and wait for a page."""
        self.home.mkdir()
        table = self.home / "table.toml"
        table.write_text(self._table, encoding="utf-8")
        command = (*machine.daemon_command(self.contender), "-m", "atmdepot") if self.contender.daemons else STAND_IN
        with ExitStack() as stack:
            if self._group is not None:
                stack.enter_context(self._group)
            self.lab = Lab.up(table, wait=False, timeout=_START, command=command, within=self._within)
            self._stack = stack.pop_all()
        try:
            self.network = self.lab.network
            self.addresses = addresses_of(self.network)
            self.url = f"http://{self.addresses.vip}:{self.addresses.port}"
            self._set_up()
            self._wait_for_a_page()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End what was started here, then the lab."""
        try:
            for process in (self._iperf, self._proxy):
                if process is not None:
                    _end(process)
        finally:
            with self._stack:
                self.lab.down()

    @property
    def _within(self) -> tuple[str, ...]:
        return self._group.enter if self._group is not None else ()

    def lab_time(self) -> int | None:
        """The processor time (ns) of the whole lab and the client's programs until now, if they are in a group."""
        return self._group.used() if self._group is not None else None

    def counters(self) -> Counters | None:
        """Counters of the whole lab, for `with`, where counts are wanted (see `counting`) and possible."""
        return self._group.counters() if self._group is not None and self.counting else None

    def _set_up(self) -> None:
        for step in peers.steps(self.contender.name, self.addresses, self.network.depot):
            do(self.lab, step.node, *step.argv, stdin=step.stdin)
        if proxy := peers.process(self.contender.name, self.addresses, self.home):
            self._proxy = self._start(self.network.depot, proxy, self.home / "proxy.log")

    def _start(self, node: str, argv: Sequence[str], log: Path) -> subprocess.Popen[Any]:
        with log.open("wb") as output:
            # In a session of its own: Ctrl-C is for us, who then end it.
            return self.lab.popen(node, [*self._within, *argv], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                  start_new_session=True)

    def _wait_for_a_page(self) -> None:
        asked = self.ask(page_command(self.addresses.vip, self.addresses.port), _START, check=False)
        if asked.returncode:
            logs = [line for log in sorted(self.home.glob("*.log"))
                    for line in log.read_text(errors="replace").splitlines() if line.strip()]
            raise NotReady("; ".join([*asked.stderr.splitlines()[-1:], *logs[-1:]]) or "no page in time")

    def ask(self, argv: Sequence[str], seconds: float, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command at the client; NoFigure when it takes longer than some seconds, or fails and is checked."""
        program = machine.find(argv[0]) or argv[0]
        try:
            done = self.lab.run(CLIENT, [*self._within, program, *argv[1:]], stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=seconds, start_new_session=True)
        except subprocess.TimeoutExpired:
            raise NoFigure(f"{argv[0]} took longer than {seconds:.0f} s") from None
        if check and done.returncode:
            told = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["it said nothing"]
            raise NoFigure(f"{argv[0]} failed: {told[-1]}")
        return done

    def processes(self) -> list[int]:
        """The processes that forward, as this machine numbers them; an empty list where the kernel forwards."""
        if self.contender.daemons:
            return [each.pid for each in self.lab.state.processes.values() if each.role in ("depot", "edge")]
        return descendants([self._proxy.pid] if self._proxy else [])

    def cpu_seconds(self) -> float:
        """Processor time of these processes until now, user and system."""
        return sum(_cpu_seconds(pid) for pid in self.processes())

    def cpu_seconds_of_depots(self) -> dict[str, float]:
        """Processor time of each depot until now, user and system, by its node."""
        return {node: _cpu_seconds(each.pid) for node, each in self.lab.state.processes.items() if each.role == "depot"}

    def page_faults(self) -> int:
        """Page faults of these processes until now, without faults that read a disk."""
        return sum(_page_faults(pid) for pid in self.processes())

    def cells(self) -> int:
        """The cells that the depot has sent and got over its links until now; none where its links are of frames."""
        rows = show(self.lab.directory / f"{self.network.depot}.sock", "links")
        return sum(row.get("tx_cells", 0) + row.get("rx_cells", 0) for row in rows)

    def serve_bulk(self) -> None:
        """See to it that iperf3 listens at the server for bulk."""
        if self._iperf is not None and self._iperf.poll() is None:
            return
        log = self.home / "iperf3.log"
        self._iperf = self._start(self.addresses.bulk_server.node, [
            machine.find("iperf3") or "iperf3", "-s", "-p", str(BULK_PORT), "--forceflush"], log)
        deadline = time.monotonic() + _STOP
        while b"listening" not in log.read_bytes():
            if time.monotonic() > deadline:
                raise NoFigure("iperf3 does not listen")
            time.sleep(_PAUSE)

    def stop_bulk(self) -> None:
        """End iperf3 at the server: it may still wait for a client that is gone."""
        if self._iperf is not None:
            _end(self._iperf)

    def tidy(self) -> None:
        """Empty the servers' logs, which grow by a line for each request; nginx appends to what is there."""
        for server in self.network.servers.values():
            log = self.lab.directory / server.node / "access.log"
            if log.exists():
                os.truncate(log, 0)

    def require_alive(self) -> None:
        """Raise NoFigure when a process of the lab, or the proxy, has ended."""
        for name, process in self.lab.state.processes.items():
            if process.exit_code is not None:
                raise NoFigure(f"{name} ended with exit code {process.exit_code}")
        if self._proxy is not None and self._proxy.poll() is not None:
            raise NoFigure(f"{self.contender.title} ended with exit code {self._proxy.returncode}")


def do(lab: Lab, node: str, *argv: str, stdin: str = "") -> None:
    """Run a command in a node of a lab; raise AtmdepotError with what it says when it fails."""
    done = lab.run(node, [machine.find(argv[0]) or argv[0], *argv[1:]], input=stdin, text=True, capture_output=True,
                   timeout=_START)
    if done.returncode:
        told = done.stderr.strip().splitlines() or ["no reason given"]
        raise AtmdepotError(f"{lab.name}, {node}: {' '.join(argv)}: {told[0]}")


def page_command(address: str, port: int) -> list[str]:
    """The client's command that waits for a page; it fails, and tells why, when none comes in time."""
    return build.python("-c", _ASK, address, str(port), str(_START / 4))


def _end(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STOP)
        return
    process.kill()
    process.wait()


def descendants(pids: list[int]) -> list[int]:
    """These processes and all that descend from them."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        if fields := _stat(path):
            children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found = list(pids)
    for pid in found:  # which grows meanwhile
        found += children.get(pid, [])
    return found


def _cpu_seconds(pid: int) -> float:
    fields = _stat(Path(f"/proc/{pid}/stat"))
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def _page_faults(pid: int) -> int:
    fields = _stat(Path(f"/proc/{pid}/stat"))
    return int(fields[7]) if fields else 0


def _stat(path: Path) -> list[str]:
    """The fields of a process after its name: state, parent and so on; empty when it is gone."""
    try:
        return path.read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []
