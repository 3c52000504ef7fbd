"""A lab that runs, or what is left of it: its state, commands in its namespaces, its end."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from atmdepot import build
from atmdepot.config.reading import load
from atmdepot.errors import AtmdepotError, EnvironmentLacks, NotReady
from atmdepot.lab import state as states
from atmdepot.lab.names import CLIENT_KIND, RESOLVER
from atmdepot.lab.namespaces import Doors
from atmdepot.lab.orders import Order, give
from atmdepot.net.surroundings import in_container
from atmdepot.paths import BENCH_PREFIX, is_file, run_dir

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from atmdepot.config.model import Network
    from atmdepot.lab.state import ProcessState, State

_POLL = 0.02
_STOP_PATIENCE = 8.0
"""Seconds until a supervisor that does not stop is killed; it gives its children 5 s."""


class RunningLab:
    """A network that runs in namespaces, or the remains of a lab whose supervisor was killed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def all(cls) -> list[Self]:
        """Every lab of this user, dead labs included."""
        return [cls(path.parent) for path in sorted(run_dir().glob(f"*/{states.STATE_FILE}"))]

    @classmethod
    def find(cls, name: str | None = None, *, node: str | None = None) -> Self:
        """Find a lab by its network's name or its table's path; without either, the only lab (with this node).

        Without a name, living labs count before dead labs. Raise AtmdepotError unless exactly one lab matches.
        """
        labs = cls.all()
        if name is not None:
            wanted = load(name).name if is_file(Path(name)) else name
            found = [lab for lab in labs if lab.name == wanted]
        else:
            # A benchmark's lab is not to be taken down or broken into by a command that does not name it.
            found = [lab for lab in labs if not lab.name.startswith(BENCH_PREFIX)]
            found = [lab for lab in found if lab.alive] or found
            if node is not None and len(found) > 1:
                found = [lab for lab in found if lab.has_node(node)] or found
        if len(found) == 1:
            return found[0]
        names = ", ".join(lab.name for lab in found or labs)
        if found:
            how = f"`atmdepot lab down {found[0].name}`" if node is None else f"`--network {found[0].name}`"
            raise AtmdepotError(f"several labs are up, say which, as in {how}: {names}")
        hint = f"the labs are {names}" if labs else in_container() or "`atmdepot lab up FILE` starts one"
        if labs and name is None:
            hint = f"only a benchmark's: {names}; name it if you mean it"
        raise AtmdepotError((f"there is no lab \"{name}\"" if name else "no lab is up") + f"; {hint}")

    @property
    def name(self) -> str:
        """The network's name."""
        return self.directory.name

    @property
    def state(self) -> State:
        """State that the lab has recorded, read anew; raise AtmdepotError when the lab is down."""
        state = states.read(self.directory)
        if state is None:
            raise AtmdepotError(states.fault(self.directory) or f"the lab {self.name} is down")
        return state

    @property
    def alive(self) -> bool:
        """True while the lab's supervisor runs."""
        state = states.read(self.directory)
        return state is not None and state.alive

    def has_node(self, node: str) -> bool:
        """True when the lab has a node of this name, or a process, as in `web1.web`."""
        state = states.read(self.directory)
        return state is not None and (node in state.nodes or node in state.processes)

    def other_table(self, table: Path) -> str | None:
        """Name the table that the lab runs when this table's content differs; return None when it is the same."""
        try:
            runs = (self.directory / states.TABLE_FILE).read_bytes()
        except OSError:
            return None  # a lab that was killed before it had its table
        if runs == table.read_bytes():
            return None
        path = self.state.table
        return f"{path} as it was before it was changed" if path == str(table.resolve()) else path

    @property
    def network(self) -> Network:
        """The network that the lab runs."""
        return load(self.directory / states.TABLE_FILE)

    @property
    def web_server(self) -> str | None:
        """Program that serves the pages: "nginx", "python" or, without web servers, None."""
        return self.state.web_server

    def popen(self, node: str, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a command in a node's namespace; options as for subprocess.Popen.

        The process ends with the lab. It forwards signals to the command, and ends as the command ends.
        """
        with self._entered(node, argv, options) as command:
            return subprocess.Popen(command, **options)

    def run(self, node: str, argv: Sequence[str], **options: Any) -> subprocess.CompletedProcess[Any]:
        """Run a command in a node's namespace to its end; options as for subprocess.run."""
        options.setdefault("check", False)
        with self._entered(node, argv, options) as command:
            return subprocess.run(command, **options)

    def resolver_of(self, node: str) -> str:
        """The file in place of a node's /etc/resolv.conf; empty for none, as where the table has no alias."""
        path = self.directory / RESOLVER
        return str(path) if self.state.nodes[node].kind == CLIENT_KIND and path.exists() else ""

    def open_doors(self, node: str) -> Doors:
        """Open the namespaces of a node; raise AtmdepotError when the lab lacks the node or has ended."""
        state = self.state
        if node not in state.nodes:
            raise AtmdepotError(f"the lab {self.name} has no node \"{node}\": "
                                f"its nodes are {', '.join(state.nodes)}")
        if state.nodes[node].netns_fd < 0:
            raise AtmdepotError(f"{node} is gone from the lab: `atmdepot lab start {node}` builds it again")
        process = f"/proc/{state.pid}"
        paths = (f"{process}/ns/user" if state.userns else None, f"{process}/ns/pid",
                 f"{process}/fd/{state.nodes[node].netns_fd}")
        fds: list[int] = []
        # An open descriptor keeps its namespace, whatever becomes of the PID in the path.
        try:
            fds.extend(os.open(path, os.O_RDONLY) if path else -1 for path in paths)
        except OSError as error:
            self._require_alive()
            raise AtmdepotError(f"the lab {self.name} cannot be entered: {error.strerror}") from None
        doors = Doors(*fds)
        # Checked after opening: the process was the supervisor, not a process that got its PID later.
        if not state.alive:
            doors.close()
            self._require_alive()
        return doors

    def environment(self, env: dict[str, str] | None = None) -> dict[str, str]:
        """Environment of a command in the lab, in which it finds the lab's control sockets, as root or not."""
        return {**(os.environ if env is None else env), "ATMDEPOT_RUN_DIR": str(self.directory.parent)}

    def down(self) -> None:
        """Stop every process and remove the files that the lab made."""
        state = states.read(self.directory)
        if state is None:
            if why := states.fault(self.directory):
                raise AtmdepotError(why)
            return
        stop(state)
        with locked_run_dir(), writing_in(self.directory):
            # Another command may have brought the lab up anew before this process got the lock.
            now = states.read(self.directory)
            if now is not None and now.pid == state.pid:
                states.remove_recorded(self.directory, now)

    def kill(self, *names: str, signal: int = signal.SIGKILL) -> None:
        """Send a signal to the daemons of nodes, or to processes as in `web1.web`; return after their end (SIGKILL)."""
        self._order(Order("kill", names, signal=signal))

    def remove(self, *nodes: str) -> None:
        """Let nodes end as hosts that lose their power: their processes, their interfaces and the carrier go."""
        self._order(Order("remove", nodes))

    def start(self, node: str, timeout: float = 30.0) -> None:
        """Start what has ended at a node, or a process; return when it is ready, raise NotReady at the deadline."""
        deadline = time.monotonic() + timeout
        self._order(Order("start", (node,)))
        while waiting := [name for name, process in self.state.processes.items()
                          if node in (name, process.node) and not process.ready]:
            process = self.state.processes[waiting[0]]
            if process.exit_code is not None:
                raise AtmdepotError(f"{waiting[0]} ended with exit code {process.exit_code}: "
                                    f"{' '.join(states.last_lines(Path(process.log)))}")
            if time.monotonic() > deadline:
                raise states.not_ready(waiting, self.directory)
            time.sleep(_POLL)

    def restart(self, node: str, timeout: float = 30.0) -> None:
        """End a node's daemon, or a process, in order and start it again; raise NotReady at the deadline."""
        deadline = time.monotonic() + timeout
        if self._process(node).exit_code is None:
            self.kill(node, signal=signal.SIGTERM)
        while self._process(node).exit_code is None:
            if time.monotonic() > deadline:
                raise NotReady(f"{node} has not ended within {timeout:g} s: `atmdepot lab kill {node}` kills it")
            time.sleep(_POLL)
        self.start(node, max(0.0, deadline - time.monotonic()))

    def _process(self, name: str) -> ProcessState:
        """A process by its name, which is its node's for a daemon; raise AtmdepotError where there is none."""
        processes = self.state.processes
        if name not in processes:
            raise AtmdepotError(f"the lab has no process \"{name}\": it has {', '.join(processes)}")
        return processes[name]

    def cut(self, *wires: str, silent: bool = False) -> None:
        """Cut wires: a node loses the carrier, or, silently, only what would have come."""
        self._order(Order("cut", wires, silent=silent))

    def restore(self, *wires: str) -> None:
        """Restore wires that were cut; without names, all."""
        self._order(Order("restore", wires))

    def _order(self, order: Order) -> None:
        self._require_alive()
        give(self.directory, order)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    @contextmanager
    def _entered(self, node: str, argv: Sequence[str], options: dict[str, Any]) -> Iterator[list[str]]:
        doors = self.open_doors(node)
        options["pass_fds"] = (*options.get("pass_fds", ()), *doors.fds)
        options["env"] = self.environment(options.get("env"))
        where = [str(fd) for fd in (doors.user, doors.pid, doors.net)]
        if resolver := self.resolver_of(node):
            where.append(resolver)
        try:
            yield build.python("-m", "atmdepot.lab.enter", *where, "--", *argv)
        finally:
            doors.close()

    def _require_alive(self) -> None:
        if not self.alive:
            raise AtmdepotError(f"the lab {self.name} is gone: its supervisor has ended; "
                                f"`atmdepot lab up {self.state.table}` starts it again")


class RunDirLock:
    """The lock on the directory of all labs; its holder may acquire it again."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def acquire(self) -> None:
        """Wait until no other process holds the lock, and take it."""
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def release(self) -> None:
        """Release the lock."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)


@contextmanager
def locked_run_dir() -> Iterator[RunDirLock]:
    """Lock the directory of all labs, so that two commands do not make and remove the same lab.

    A holder must not call this again, which would wait for itself: it uses the lock that it got.
    """
    with writing_in(run_dir()):
        # The directory is locked itself, so that no lock file stays behind.
        fd = os.open(run_dir(), os.O_RDONLY)
    try:
        lock = RunDirLock(fd)
        lock.acquire()
        yield lock
    finally:
        os.close(fd)


@contextmanager
def writing_in(directory: Path) -> Iterator[None]:
    """Raise EnvironmentLacks when the block cannot write a directory."""
    try:
        yield
    except OSError as error:
        raise EnvironmentLacks(f"{directory} cannot be written: {error.strerror}; set ATMDEPOT_RUN_DIR to a "
                               "directory of your own") from None


def stop(state: State) -> None:
    """End the supervisor; on return, every process of the lab is gone."""
    if state.pid == 0:
        return  # the launch ended before its supervisor came up
    try:
        pidfd = os.pidfd_open(state.pid)
    except ProcessLookupError:
        return
    try:
        # Checked after opening: from here on the descriptor cannot refer to another process.
        if state.alive:
            signal.pidfd_send_signal(pidfd, signal.SIGTERM)
            # A pidfd is readable once its process has ended.
            if not select.select([pidfd], [], [], _STOP_PATIENCE)[0]:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                select.select([pidfd], [], [])
    finally:
        os.close(pidfd)
