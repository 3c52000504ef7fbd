"""Processes of a lab: its supervisor starts, reads, reaps and stops them."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING, BinaryIO

from atmdepot.lab.namespaces import host_pid_of, in_network_namespace
from atmdepot.lab.state import ProcessState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from atmdepot.lab.protocol import ProcessSpec

_READY = b"READY"


class Child:
    """A process of the lab: its output goes to its log; a line READY, or its ready file, makes it ready."""

    def __init__(self, name: str, spec: ProcessSpec, directory: Path, env: dict[str, str],
                 netns: int) -> None:
        self.name = name
        self.ready_file = directory / spec.ready_file if spec.ready_file else None
        if self.ready_file:
            self.ready_file.unlink(missing_ok=True)  # of one that was killed
        log = directory / f"{name}.log"
        self._log: BinaryIO = log.open("ab", buffering=0)
        self._line = b""
        with in_network_namespace(netns):
            self.process = subprocess.Popen(spec.argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                            stderr=self._log, env=env)
        # The PID as the host numbers it: the readers of the state are outside this PID namespace.
        self.state = ProcessState(node=spec.node, role=spec.role, pid=host_pid_of(self.process.pid),
                                  log=str(log))

    @property
    def output(self) -> BinaryIO:
        """The pipe from the process's standard output."""
        assert self.process.stdout is not None
        return self.process.stdout  # type: ignore[return-value]

    def hear(self) -> bool:
        """Copy the process's new output to its log; return False at end of file."""
        text = os.read(self.output.fileno(), 65536)
        # Whole lines only: standard error goes to the same file and would split them.
        lines, newline, self._line = (self._line + text).rpartition(b"\n")
        self._log.write(lines + newline if text else self._line)
        if any(line.strip() == _READY for line in lines.split(b"\n")):
            self.state.ready = True
        return bool(text)

    def look_for_ready_file(self) -> None:
        """Mark the process ready when its ready file exists."""
        if self.ready_file and self.ready_file.exists():
            self.state.ready = True

    def ended(self, status: int) -> None:
        """Record the exit code of a wait status; signal N counts as exit code -N."""
        self.state.exit_code = self.process.returncode = os.waitstatus_to_exitcode(status)


class Children:
    """All processes of the lab by name, and the orphans that the supervisor inherits as PID 1."""

    def __init__(self) -> None:
        self.by_name: dict[str, Child] = {}

    def __iter__(self) -> Iterator[Child]:
        return iter(self.by_name.values())

    @property
    def running(self) -> list[Child]:
        """Children that have not ended."""
        return [child for child in self if child.state.exit_code is None]

    @property
    def awaiting_file(self) -> list[Child]:
        """Running children whose ready file does not exist yet."""
        return [child for child in self.running if child.ready_file and not child.state.ready]

    def reap(self) -> list[Child]:
        """Collect every ended process; return the children among them."""
        ended: list[Child] = []
        # One SIGCHLD may stand for several ended processes, hence the loop.
        by_pid = {child.process.pid: child for child in self.running}
        while True:
            try:
                # -1 takes the orphans too, which would stay zombies.
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return ended
            if pid == 0:
                return ended
            if pid in by_pid:
                by_pid[pid].ended(status)
                ended.append(by_pid[pid])

    def terminate(self) -> None:
        """Send SIGTERM to every running child."""
        for child in self.running:
            os.kill(child.process.pid, signal.SIGTERM)
