"""The parts of every contender of `bench failover`: a lab, servers that answer, a client that asks; and failures."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import msgspec

from atmdepot import build
from atmdepot.bench.failover.judging import Reading
from atmdepot.bench.readings import NoFigure
from atmdepot.lab.lans import CLIENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from atmdepot.bench.failover.load import Failure, Load
    from atmdepot.lab import Lab

_READY = 20.0
_STOP = 3.0
_PAUSE = 0.02
_MARGIN = 10.0
"""Seconds that the client may tell what it saw later than its patience."""


class Rig(Protocol):
    """A contender that is up within `with`."""

    lab: Lab
    servers: list[str]
    """Nodes whose servers answer."""

    patience: float
    """Seconds in which sessions must answer again."""

    def __enter__(self) -> Self:
        """Bring it up; return when it serves and the standby has all."""

    def __exit__(self, *_: object) -> None:
        """Take it down."""

    def settle(self) -> None:
        """Wait until a failure may come, once the servers run. Raise NoFigure when that takes too long."""

    def moment(self, number: int, of: int) -> float:
        """The time (s of the monotonic clock) of a failure, the so-many-th of so many."""

    def stayed(self) -> bool:
        """True while the server of the start serves; False if roles changed without a failure of the bench's."""

    def strike(self, event: str) -> int:
        """Make what serves fail; return when, in ns of the monotonic clock."""

    def mend(self, event: str) -> None:
        """Put what failed right again; return when a next failure may come. Raise NoFigure when that takes too long."""


class Party:
    """The servers and the client of a rig, within `with`."""

    def __init__(self, rig: Rig, load: Load, home: Path) -> None:
        """Take what is to be asked, and a directory for logs."""
        self._rig, self._load, self._home = rig, load, home
        self._stack = ExitStack()
        self._client: subprocess.Popen[bytes] | None = None
        self._unread = b""

    def __enter__(self) -> Self:
        """Start all; return when the client's sessions are there."""
        with self._stack as stack:
            for node in self._rig.servers:
                server = self._start(stack, node, "answering", str(self._load.port))
                self._line(server, _READY, f"the server in {node}")
                self._unread = b""
            self._client = self._start(stack, CLIENT, "asking")
            self._send(msgspec.json.encode(self._load))
            self._line(self._client, _READY, "the client")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """End all."""
        self._stack.close()

    def see(self, failure: Failure) -> Reading:
        """A failure as the client sees it; NoFigure when it does not tell."""
        assert self._client is not None
        self._send(msgspec.json.encode(failure))
        return msgspec.json.decode(self._line(self._client, failure.patience + _MARGIN, "the client"), type=Reading)

    def _start(self, stack: ExitStack, node: str, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        log = stack.enter_context((self._home / f"{module}-{node}.log").open("ab"))
        process = self._rig.lab.popen(
            node, build.python("-m", f"atmdepot.bench.failover.{module}", *arguments), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=log, bufsize=0, start_new_session=True)
        stack.callback(end, process)
        return process

    def _send(self, line: bytes) -> None:
        assert self._client is not None
        assert self._client.stdin is not None
        with suppress(BrokenPipeError):  # it has ended, which `_line` tells
            self._client.stdin.write(line + b"\n")

    def _line(self, process: subprocess.Popen[bytes], seconds: float, who: str) -> bytes:
        """The next line that a process tells."""
        assert process.stdout is not None
        deadline = time.monotonic() + seconds
        while b"\n" not in self._unread:
            if not select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise NoFigure(f"{who} says nothing for {seconds:.0f} s")
            octets = os.read(process.stdout.fileno(), 1 << 20)
            if not octets:
                logs = sorted(self._home.glob("a*.log"), key=lambda path: path.stat().st_mtime)
                told = logs[-1].read_text(errors="replace").splitlines()[-1:] if logs else []
                raise NoFigure(f"{who} has ended: {told[0] if told else 'it did not say why'}")
            self._unread += octets
        line, _, self._unread = self._unread.partition(b"\n")
        return line


def end(process: subprocess.Popen[Any]) -> None:
    """End a process, at last with SIGKILL, and close its pipes."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP)
        return
    process.kill()
    process.wait()


def children(pid: int) -> list[int]:
    """The children of a process, as this machine numbers them."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(word) for word in text.split()]


def command_of(process: subprocess.Popen[Any]) -> int | None:
    """The command that a process of `Lab.popen` stands for, by its number; None when it has ended."""
    return next(iter(children(process.pid)), None)


def kill(pids: Iterable[int], number: int = signal.SIGKILL) -> None:
    """Send processes a signal; some may have ended."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def wait_for(happens: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until something happens; NoFigure when it does not in time."""
    deadline = time.monotonic() + seconds
    while not happens():
        if time.monotonic() > deadline:
            raise NoFigure(f"{what}: not within {seconds:.0f} s")
        time.sleep(_PAUSE)
