"""A scenario's ground in network namespaces."""

from __future__ import annotations

import os
import signal as signals
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from atmdepot import build
from atmdepot.errors import AtmdepotError, NotReady
from atmdepot.lab import Lab
from atmdepot.scenario.shown import rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from atmdepot.scenario.model import Scenario

_PATIENCE = 30.0
_POLL = 0.02


class InLab:
    """A lab that is up."""

    pause = 0.2

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def popen(self, node: str, argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a command in a node; Ctrl-C does not reach it, since the lab's end is its end."""
        return self._lab.popen(node, argv, start_new_session=True, **options)

    def python(self, *words: str) -> list[str]:
        """The command line of Python in a node."""
        return build.python(*words)

    def command(self, node: str, *words: str) -> None:
        """Run a command of atmdepot's for this network."""
        try:
            done = subprocess.run([*build.python("-m", "atmdepot"), *words, "--network", self._lab.name],
                                  env=self._lab.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=_PATIENCE, check=False)
        except subprocess.TimeoutExpired:
            raise NotReady(f"{words[0]} did not end within {_PATIENCE:g} s") from None
        if done.returncode:
            raise AtmdepotError(done.stderr.strip().removeprefix("atmdepot: "))

    def signal(self, node: str, what: str, number: int) -> None:
        """Send a signal to a node's daemon, or to all processes of its web server."""
        if what == "daemon":
            self._lab.kill(node, signal=number)
            return
        for pid in self._web_server(node):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        if number == signals.SIGKILL:
            self._wait(lambda: self._has_ended(f"{node}.web"), f"the end of the web server of {node}")

    def stop(self, node: str, what: str) -> None:
        """End a process in good order; one that was silenced goes on for that."""
        name = node if what == "daemon" else f"{node}.web"
        pid = self._pid(name)
        with suppress(ProcessLookupError):
            os.kill(pid, signals.SIGTERM)
            os.kill(pid, signals.SIGCONT)
        self._wait(lambda: self._has_ended(name), f"the end of {name}")

    def remove(self, node: str) -> None:
        """Let a whole node go."""
        self._lab.remove(node)

    def runs(self, node: str) -> bool:
        """True while all processes of a node run."""
        return all(process.exit_code is None for process in self._lab.state.processes.values()
                   if process.node == node)

    def has_daemon(self, node: str) -> bool:
        """True for a node with a daemon."""
        return node in self._lab.state.processes

    def start(self, node: str) -> None:
        """Start what has ended at a node."""
        self._lab.start(node)

    def cut(self, wires: list[str], *, silent: bool) -> None:
        """Cut wires."""
        self._lab.cut(*wires, silent=silent)

    def restore(self, wires: list[str]) -> None:
        """Restore wires."""
        self._lab.restore(*wires)

    def rows(self, node: str, subject: str) -> list[dict[str, Any]]:
        """The rows that a daemon shows."""
        return rows_of(self._lab.directory / f"{node}.sock", subject)

    def _has_ended(self, name: str) -> bool:
        return self._lab.state.processes[name].exit_code is not None

    def _web_server(self, node: str) -> list[int]:
        """The processes of a web server on this machine, the first of them first: nginx has workers."""
        pid = self._pid(f"{node}.web")
        return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split())]

    def _pid(self, name: str) -> int:
        """The number of a process of the lab; raise AtmdepotError when it has ended: another may have it."""
        process = self._lab.state.processes.get(name)
        if process is None or process.exit_code is not None:
            raise AtmdepotError(f"{name} does not run")
        return process.pid

    @staticmethod
    def _wait(condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise NotReady(f"{what} did not come in time")
            time.sleep(_POLL)


@contextmanager
def in_lab(scenario: Scenario, progress: Callable[[str], None]) -> Iterator[InLab]:
    """A lab of the scenario's table, which is taken down at the end.

    Raises:
        NotReady: it was not ready in time.
        EnvironmentLacks: the machine lacks something.
        AtmdepotError: a lab of this name is up already.

    """
    if any(lab.name == scenario.network.name and lab.alive for lab in Lab.all()):
        raise AtmdepotError(f"a lab {scenario.network.name} is up already: `atmdepot lab down "
                            f"{scenario.network.name}` ends it")
    with TemporaryDirectory(prefix="atmdepot-") as directory:
        table = Path(directory) / f"{scenario.network.name}.toml"
        table.write_text(scenario.text, encoding="utf-8")
        try:
            lab = Lab.up(table, timeout=scenario.timeout / 1e9, progress=progress)
        except NotReady as error:
            raise NotReady(f"{str(error).partition('; `--timeout')[0]}; `timeout` in the scenario gives it longer"
                           ) from None
        with lab:
            yield InLab(lab)
