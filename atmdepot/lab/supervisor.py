"""Supervisor of a lab: PID 1 of its PID namespace, holder of its network namespaces.

When PID 1 ends, for any reason, the kernel kills every other process of the PID namespace. The network namespaces go
with their last holder, and their interfaces go with them. No part of a lab survives its supervisor, and no command has
to look for leftovers by name. `Lab.up` starts this module.
"""

from __future__ import annotations

import os
import selectors
import signal
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from atmdepot.errors import AtmdepotError, EnvironmentLacks
from atmdepot.lab import namespaces
from atmdepot.lab.children import Child, Children
from atmdepot.lab.failing import Failures
from atmdepot.lab.orders import OrderServer
from atmdepot.lab.protocol import KEEP, Event, Spec
from atmdepot.lab.state import NodeState, start_time_of, write
from atmdepot.lab.wiring import wire_up

if TYPE_CHECKING:
    from collections.abc import Callable

GRACE = 5.0
"""Seconds that processes have to end after SIGTERM."""

_FILE_POLL = 0.02


class Supervisor:
    """Builds the lab and keeps it until it is told to stop."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.directory = Path(spec.directory)
        self.state = spec.state
        self.children = Children()
        self.stopping = False
        self._selector = selectors.DefaultSelector()
        self._launcher = True

    def run(self) -> None:
        """Run the lab from its start to its end."""
        self._listen()
        self.state.pid = namespaces.host_pid()
        self.state.start_time = start_time_of(self.state.pid) or 0
        self._write_state()
        self._tell("started", self.state.name)
        try:
            self._build()
        except (AtmdepotError, OSError) as error:
            self._tell("failed", str(error), getattr(error, "exit_code", 1))
            self.stopping = True
        while not self.stopping:
            # A ready file causes no event, so the supervisor polls while a child has yet to write it.
            self._step(_FILE_POLL if self.children.awaiting_file else None)
        self._stop()

    def _listen(self) -> None:
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        os.set_blocking(wake_read, False)
        # A signal wakes select() through this pipe; a full pipe has woken it already.
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        # Handlers instead of SIG_IGN: children would inherit an ignored signal.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        # Our parent may have blocked signals, and children inherit the mask too.
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        self._selector.register(wake_read, selectors.EVENT_READ, lambda: self._on_signals(wake_read))
        self._selector.register(0, selectors.EVENT_READ, self._on_launcher)

    def _build(self) -> None:
        # All namespaces come first, since a wire needs both its ends.
        fds = {node: namespaces.new_network_namespace() for node in self.spec.plan.nodes}
        self.state.nodes = {node: NodeState(kind=kind, netns_fd=fds[node])
                            for node, kind in self.spec.plan.nodes.items()}
        wire_up(self.spec.plan, fds)
        self._tell("note", f"namespaces and wires: {', '.join(fds)}")
        for name in self.spec.processes:
            self.start(name)
        failures = Failures(self.spec.plan, self.state, self.children, self.start, self.reap)
        orders = OrderServer(self.directory, failures.obey)
        self._selector.register(orders.socket, selectors.EVENT_READ, orders.answer)
        self._write_state()

    def start(self, name: str) -> None:
        """Start a process of the lab, or start it again; raise EnvironmentLacks when it cannot be run."""
        spec = self.spec.processes[name]
        env = os.environ | {"ATMDEPOT_RUN_DIR": self.spec.run_dir}
        try:
            child = Child(name, spec, self.directory, env, self.state.nodes[spec.node].netns_fd)
        except OSError as error:
            raise EnvironmentLacks(f"{spec.argv[0]} cannot be run: {error.strerror}") from None
        self.children.by_name[name] = child
        self.state.processes[name] = child.state
        self._selector.register(child.output, selectors.EVENT_READ, partial(self._on_output, child))
        self._write_state()

    def reap(self) -> None:
        """Collect the processes that have ended, and tell of them."""
        for child in self.children.reap():
            self._write_state()
            self._tell("exited", child.name, child.state.exit_code or 0)

    def _step(self, timeout: float | None) -> None:
        for key, _ in self._selector.select(timeout):
            handle: Callable[[], None] = key.data
            handle()
        for child in self.children.awaiting_file:
            child.look_for_ready_file()
            self._note_ready(child, before=False)

    def _on_output(self, child: Child) -> None:
        before = child.state.ready
        if not child.hear():
            self._selector.unregister(child.output)
            child.output.close()
        self._note_ready(child, before)

    def _note_ready(self, child: Child, before: bool) -> None:
        if child.state.ready and not before:
            self._write_state()
            self._tell("ready", child.name)

    def _on_signals(self, wake: int) -> None:
        numbers = set(os.read(wake, 4096))
        if numbers & {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}:
            self.stopping = True
        self.reap()

    def _on_launcher(self) -> None:
        """Keep the lab when the launcher says so; stop when its pipe closes before that."""
        # An empty read is the pipe's end: the launcher has died, and nobody waits for the lab.
        wanted = os.read(0, len(KEEP)) == KEEP
        self._selector.unregister(0)
        if wanted:
            self.state.phase = "up"
            self._write_state()
            self._tell("kept", self.state.name)
        else:
            self.stopping = True
        self._let_go_of_launcher()

    def _let_go_of_launcher(self) -> None:
        """Close both pipes: a process that waits for their end must not wait for the lab's end."""
        self._launcher = False
        # /dev/null takes their place, so that no later descriptor gets the numbers 0 and 1.
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.close(null)

    def _stop(self) -> None:
        self.state.phase = "stopping"
        self._write_state()
        self.children.terminate()
        deadline = time.monotonic() + GRACE
        while self.children.running and (left := deadline - time.monotonic()) > 0:
            self._step(left)
        # The kernel kills the remaining processes when we, as PID 1, exit.

    def _write_state(self) -> None:
        # A lab that cannot write its state (a full disk) still runs, and can still be taken down.
        with suppress(OSError):
            write(self.directory, self.state)

    def _tell(self, kind: str, text: str, exit_code: int = 0) -> None:
        if self._launcher:
            _send(msgspec.convert({"kind": kind, "text": text, "exit_code": exit_code}, Event))


def _send(event: Event) -> None:
    # A launcher that has ended shows as end of file on standard input.
    with suppress(BrokenPipeError):
        os.write(1, msgspec.json.encode(event) + b"\n")


def _enter_namespaces(userns: bool) -> None:
    """Enter new namespaces as root; raise EnvironmentLacks where the kernel refuses.

    The new network namespace keeps the supervisor out of the host's.
    """
    try:
        if userns:
            namespaces.enter_new_user_namespace()
        namespaces.unshare(namespaces.CLONE_NEWPID | namespaces.CLONE_NEWNET)
        namespaces.require_tun()
    except OSError as error:
        what = "user namespaces" if userns else "network and PID namespaces"
        raise EnvironmentLacks(f"{what} cannot be made: {error.strerror}; `atmdepot doctor` says what to do"
                               ) from None


def main() -> None:
    """Read the spec, enter the namespaces and run the supervisor there."""
    spec = msgspec.json.decode(sys.stdin.buffer.readline(), type=Spec)
    try:
        _enter_namespaces(spec.state.userns)
    except EnvironmentLacks as error:
        _send(Event("failed", str(error), error.exit_code))
        return
    # The first child after unshare(CLONE_NEWPID) is PID 1.
    if os.fork() == 0:
        Supervisor(spec).run()


if __name__ == "__main__":
    main()
