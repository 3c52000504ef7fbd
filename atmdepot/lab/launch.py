"""Bring a lab up: claim its directory, start its supervisor, wait until it is ready, or take it down."""

from __future__ import annotations

import os
import select
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from atmdepot import build
from atmdepot.config import reading as networks
from atmdepot.errors import AtmdepotError, EnvironmentLacks, NotReady
from atmdepot.lab import names
from atmdepot.lab import state as states
from atmdepot.lab import web as webs
from atmdepot.lab.lans import CLIENT
from atmdepot.lab.namespaces import require_tun
from atmdepot.lab.orders import SOCKET
from atmdepot.lab.plan import Plan, plan_of
from atmdepot.lab.protocol import KEEP, Event, ProcessSpec, Spec
from atmdepot.lab.running import RunningLab, locked_run_dir, stop, writing_in
from atmdepot.paths import run_dir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from atmdepot.config.model import Network
    from atmdepot.lab.running import RunDirLock

_POLL = 0.1
_ERRORS = {EnvironmentLacks.exit_code: EnvironmentLacks, NotReady.exit_code: NotReady}
_LONGER = "`--timeout SECONDS` gives it longer"


class Options(Struct, frozen=True):
    """Options for bringing a lab up; see `Lab.up`."""

    wait: bool
    timeout: float
    userns: bool
    web: bool
    client_mtu: int
    command: tuple[str, ...]
    within: tuple[str, ...] = ()


def bring_up(table: str | Path, options: Options, progress: Callable[[str], None]) -> Path:
    """Bring a lab up and return its directory."""
    network = networks.load(table)
    plan = plan_of(network, options.client_mtu, web=options.web)
    require_tun()
    deadline = time.monotonic() + options.timeout
    directory = _make_run_dir() / network.name
    path = networks.find(str(table)).resolve()
    with locked_run_dir() as lock:
        launch = _claim(directory, path, progress)
        if launch is None:
            # Without the lock: the command that brings it up needs the lock if it gives up.
            lock.release()
            return _already_up(directory, path, deadline, progress)
        try:
            launch.start(network, plan, options, deadline)
            # From here on the recorded PID tells other commands that the lab is being brought up.
            lock.release()
            launch.finish(network, options, deadline)
        except BaseException:  # Ctrl-C, too, must not leave half a lab
            launch.abandon(lock)
            raise
    return directory


def _claim(directory: Path, table: Path, progress: Callable[[str], None]) -> Launch | None:
    """Claim the directory, emptied of a dead lab's files, for a launch; return None when the lab runs."""
    old = states.read(directory)
    if why := states.fault(directory):  # the lab may run
        raise AtmdepotError(why)
    if old is not None and old.alive:
        return None
    if old is not None:
        progress(f"the lab {old.name} was killed: removing what it left")
        with writing_in(directory):
            states.remove_recorded(directory, old)
    return Launch(directory, table, progress)


def _already_up(directory: Path, table: Path, deadline: float, progress: Callable[[str], None]) -> Path:
    """Return the directory of the running lab once it is up.

    Raise AtmdepotError when it runs another table or is being taken down, NotReady at the deadline.
    """
    name = directory.name
    if other := RunningLab(directory).other_table(table):
        raise AtmdepotError(f"the lab {name} is up with another table: {other}; `atmdepot lab down {name}` ends it")
    while (state := states.read(directory)) and state.alive and state.phase == "starting":
        if time.monotonic() > deadline:
            raise NotReady(f"the lab {name} is being started by another command and is not ready in time; {_LONGER}")
        time.sleep(_POLL)
    if not state or not state.alive or state.phase != "up":
        raise AtmdepotError(f"the lab {name} is being taken down: try again")
    if ended := [process for process, each in state.processes.items() if each.exit_code is not None]:
        raise AtmdepotError(f"the lab {name} is up, but {', '.join(ended)} ended: `atmdepot lab start NODE` starts it "
                            f"again, `atmdepot lab logs` tells why it ended")
    progress(f"the lab {name} is already up")
    return directory


class Launch:
    """A lab on its way up."""

    def __init__(self, directory: Path, table: Path, progress: Callable[[str], None]) -> None:
        self.directory = directory
        self.state = states.State(name=directory.name, table=str(table))
        self._progress = progress
        self._unread = b""
        self._heard = False
        self._supervisor: subprocess.Popen[bytes] | None = None

    def start(self, network: Network, plan: Plan, options: Options, deadline: float) -> None:
        """Fill the directory and start the supervisor; return when the state holds its PID."""
        octets = Path(self.state.table).read_bytes()
        servers = webs.web_servers(network) if options.web else []
        nginx = webs.find_nginx()
        self.state.userns = options.userns
        self.state.web_server = ("nginx" if nginx else "python") if servers else None
        # Written before any other file: a command that finds the lab dead knows which files it may remove.
        self.state.made = [states.TABLE_FILE, states.SUPERVISOR_LOG, SOCKET,
                           *(f"{name}.{kind}" for name in plan.daemons for kind in ("log", "sock", "host")),
                           # A depot that was killed leaves the files of its keepalived.
                           *(f"{name}.keepalived-*{rest}" for name, kind in plan.daemons.items() if kind == "depot"
                             for rest in ("", "/*")),
                           *(f"{_web_name(web)}.log" for web in servers), f"{names.PROCESS}.log", *names.MADE,
                           *(path for web in servers for path in webs.made_paths(web))]
        with writing_in(self.directory):
            self.directory.mkdir(mode=0o700, exist_ok=True)
            states.write(self.directory, self.state)
            table = self.directory / states.TABLE_FILE
            table.write_bytes(octets)
            processes = {name: _daemon(name, kind, table, options) for name, kind in plan.daemons.items()}
            for web in servers:
                processes[_web_name(web)] = ProcessSpec(
                    web.node, "proxy" if web.is_proxy else "web",
                    tuple(webs.command_of(self.directory, network, web, nginx)), webs.ready_file(web, nginx))
            if names.has_aliases(network):
                processes[names.PROCESS] = ProcessSpec(CLIENT, names.ROLE, names.lay_out(self.directory, network),
                                                       ready_file=names.READY)
        self._spawn(Spec(directory=str(self.directory), run_dir=str(self.directory.parent),
                         state=self.state, plan=plan, processes=processes), options.within)
        self._wait_for("started", {self.state.name}, deadline)
        self.state.pid = RunningLab(self.directory).state.pid

    def finish(self, network: Network, options: Options, deadline: float) -> None:
        """Wait until the lab is ready, tell its supervisor to keep it, and disconnect."""
        self._wait_for("ready", self._expected, deadline)
        if options.wait and self.state.web_server:
            self._wait_for_web(network, deadline)
        self._send(KEEP)
        # The lab is ready: its confirmation gets a second even past the deadline.
        self._wait_for("kept", {self.state.name}, max(deadline, time.monotonic() + 1))
        self._let_go()
        self._progress(f"the lab {self.state.name} is up: {self.directory}")

    def _spawn(self, spec: Spec, within: tuple[str, ...]) -> None:
        self._expected = set(spec.processes)
        with (self.directory / states.SUPERVISOR_LOG).open("ab") as log:
            # In its own session: Ctrl-C in this terminal must not reach it.
            self._supervisor = subprocess.Popen(
                [*within, *build.python("-m", "atmdepot.lab.supervisor")], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=log, start_new_session=True, bufsize=0)
        self._send(msgspec.json.encode(spec) + b"\n")

    def _send(self, text: bytes) -> None:
        assert self._supervisor is not None
        assert self._supervisor.stdin is not None
        # A supervisor that has died shows as end of file in `_events`.
        with suppress(BrokenPipeError):
            while text:  # the pipe is unbuffered: a write may take only a part
                text = text[self._supervisor.stdin.write(text):]

    def _wait_for(self, kind: str, names: set[str], deadline: float) -> None:
        """Take events until an event of this kind has come for each name.

        Raise the error of a lab that fails or of a process that ends, NotReady at the deadline.
        """
        waiting = set(names)
        if not waiting:
            return
        for event in self._events(deadline):
            if event.kind == "failed":
                raise _ERRORS.get(event.exit_code, AtmdepotError)(event.text)
            if event.kind == "exited":
                self._raise_ended(event)
            if event.kind == "note":
                self._progress(event.text)
            if event.kind == "ready":
                self._progress(f"{event.text} READY")
            if event.kind == kind:
                waiting.discard(event.text)
            if not waiting:
                return
        for name in sorted(waiting & self._expected):
            self._show_log(name)
        raise NotReady(f"not ready in time: {', '.join(sorted(waiting))}; {_LONGER}")

    def _events(self, deadline: float) -> Iterator[Event]:
        """Yield the supervisor's events until the deadline; raise AtmdepotError when it has died."""
        assert self._supervisor is not None
        assert self._supervisor.stdout is not None
        pipe = self._supervisor.stdout.fileno()
        while True:
            while b"\n" in self._unread:
                line, _, self._unread = self._unread.partition(b"\n")
                yield msgspec.json.decode(line, type=Event)
            if not select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return
            text = os.read(pipe, 65536)
            if not text:
                why = states.last_lines(self.directory / states.SUPERVISOR_LOG) or ["it was killed"]
                raise AtmdepotError(f"the lab's supervisor has died: {why[0]}")
            self._heard = True
            self._unread += text

    def _raise_ended(self, event: Event) -> None:
        lines = states.last_lines(self.directory / f"{event.text}.log") or ["it said nothing"]
        self._show_log(event.text)
        raise _ERRORS.get(event.exit_code, AtmdepotError)(
            f"{event.text} ended with exit code {event.exit_code} while the lab came up: {lines[-1]}")

    def _show_log(self, name: str) -> None:
        for line in states.last_lines(self.directory / f"{name}.log", 10):
            self._progress(f"{name}: {line}")

    def _wait_for_web(self, network: Network, deadline: float) -> None:
        """Fetch a page at each VIP until it comes; raise NotReady at the deadline."""
        vips = ", ".join(map(str, network.vips))
        self._progress(f"asking for a page at {vips}")
        left = str(max(0.1, deadline - time.monotonic()))
        # In its own session: Ctrl-C reaches only this process, which then kills the probe.
        asked = RunningLab(self.directory).run(
            CLIENT, build.python("-m", "atmdepot.lab.probe", str(self.directory / states.TABLE_FILE), left),
            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, start_new_session=True)
        if asked.returncode != 0:
            processes = RunningLab(self.directory).state.processes
            ended = [f"{name} ended with exit code {process.exit_code}" for name, process in processes.items()
                     if process.exit_code is not None]
            for name in processes:
                self._show_log(name)
            raise NotReady("; ".join([*asked.stdout.splitlines(), *ended, _LONGER]))

    def abandon(self, lock: RunDirLock) -> None:
        """Take the lab down; its supervisor stops by itself when the pipe closes before `keep`."""
        self._let_go()
        lock.acquire()
        state = states.read(self.directory)
        if self.state.pid and (state is None or state.pid != self.state.pid):
            return  # the supervisor was killed and another command has removed what it left
        if state is not None:
            stop(state)
        # After a failed write there may be no file to remove, or no way. The first error is the report.
        with suppress(OSError):
            states.remove_recorded(self.directory, state or states.State(self.state.name, self.state.table))

    def _let_go(self) -> None:
        if self._supervisor is None:
            return
        assert self._supervisor.stdin is not None
        assert self._supervisor.stdout is not None
        self._supervisor.stdin.close()
        if not self._heard:
            # It may be about to write its PID into the state. Its first event, or its end, comes only after that.
            select.select([self._supervisor.stdout], [], [])
        self._supervisor.stdout.close()
        self._supervisor.wait()  # the parent of PID 1, which ends right after the fork


def _daemon(name: str, kind: str, table: Path, options: Options) -> ProcessSpec:
    return ProcessSpec(name, kind, (*options.command, kind, str(table), "--node", name))


def _web_name(web: webs.WebServer) -> str:
    """Name of a web server's process; it differs from every node's name, which has no dot."""
    return f"{web.node}.web"


def _make_run_dir() -> Path:
    """Make the directory of all labs; raise EnvironmentLacks when it cannot be made or is another user's.

    In another user's directory, that user could choose the files that we remove.
    """
    path = run_dir()
    if path.exists() and not path.is_dir():
        raise EnvironmentLacks(f"{path} is no directory; set ATMDEPOT_RUN_DIR to a directory of your own")
    try:
        path.mkdir(mode=0o755 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        owner = path.stat().st_uid
    except OSError as error:
        raise EnvironmentLacks(f"{path} cannot be made: {error.strerror}; set ATMDEPOT_RUN_DIR to a "
                               "directory of your own") from None
    if owner != os.geteuid():
        raise EnvironmentLacks(f"{path} is another user's; set ATMDEPOT_RUN_DIR to a directory of your own")
    return path
