"""Nodes and wires of a running lab that fail on order, and come back: the supervisor's part of `orders`."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from atmdepot.errors import AtmdepotError
from atmdepot.lab import namespaces, wiring
from atmdepot.lab.orders import Order, children_of, processes_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.lab.children import Child, Children
    from atmdepot.lab.plan import Plan, Wire
    from atmdepot.lab.state import State

GONE = -1
"""In place of the descriptor of a namespace that was removed."""
_OF_ALL = (signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT)
"""Signals that a web server cannot hand on to its workers, as nginx does SIGTERM: they go to the workers, too."""


class Failures:
    """Carries out orders on a supervisor's lab.

    `start` starts a process by its name, `reap` collects those that have ended; both record it in the state.
    """

    def __init__(self, plan: Plan, state: State, children: Children, start: Callable[[str], None],
                 reap: Callable[[], None]) -> None:
        self._plan, self._nodes, self._children = plan, state.nodes, children
        self._start_process, self._reap = start, reap
        self._actions: dict[str, Callable[[str, Order], None]] = {
            "kill": self._kill, "remove": self._remove, "start": self._start, "cut": self._cut,
            "restore": self._restore}

    def obey(self, order: Order) -> None:
        """Carry out an order; raise AtmdepotError for one that cannot be."""
        for name in order.names or (self._whole_wires() if order.do == "restore" else ()):
            self._actions[order.do](name, order)

    def _kill(self, name: str, order: Order) -> None:
        child = self._child(name)
        if child.state.exit_code is not None:
            raise AtmdepotError(f"{name} does not run: `atmdepot lab start {name}` starts it")
        # A daemon's keepalived is to notice by itself.
        workers = children_of(child.state.pid) if order.signal in _OF_ALL and name not in self._plan.daemons else []
        for pid in (child.process.pid, *workers):
            with suppress(ProcessLookupError):
                os.kill(pid, order.signal)
        if order.signal == signal.SIGKILL:
            # So that it can be started again at once.
            os.waitid(os.P_PID, child.process.pid, os.WEXITED | os.WNOWAIT)
            self._reap()

    def _remove(self, node: str, _order: Order) -> None:
        """Take a node's carrier first: its kernel would answer for a while after its last process."""
        children = self._children_of(node)
        fds = self._fds
        if fds[node] == GONE:
            raise AtmdepotError(f"{node} is gone already: `atmdepot lab start {node}` builds it again")
        far_ends = [far for wire in self._plan.wires_of(node)
                    if fds[(far := wire.ends[wire.ends[0].node == node]).node] != GONE]
        for far in far_ends:
            wiring.take_down(far, fds)
        for pid in processes_in(fds[node]):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for child in children:
            if child.state.exit_code is None:
                os.waitid(os.P_PID, child.process.pid, os.WEXITED | os.WNOWAIT)
        # The kernel takes its time to clear a namespace away, and its interfaces would be in a new one's way.
        for far in far_ends:
            wiring.take_away(far, fds)
        os.close(fds[node])
        self._nodes[node].netns_fd = GONE
        self._reap()

    def _start(self, name: str, _order: Order) -> None:
        """Start what has ended at a node, or one process by its name."""
        server = self._children.by_name.get(name)
        children = self._children_of(name) if server is None or server.state.node == name else [server]
        self._reap()
        ended = [child for child in children if child.state.exit_code is not None]
        if not ended:
            raise AtmdepotError(f"{name} runs already")
        node = children[0].state.node
        if self._fds[node] == GONE:
            if node != name:
                raise AtmdepotError(f"{node} is gone, and {name} with it: `atmdepot lab start {node}` builds both "
                                    "again")
            self._nodes[node].netns_fd = namespaces.new_network_namespace()
            there = {name: fd for name, fd in self._fds.items() if fd != GONE}
            wiring.wire_again(self._plan, node, there)
        for child in ended:
            self._start_process(child.name)

    def _cut(self, name: str, order: Order) -> None:
        wiring.cut(self._wire(name), self._fds, silent=order.silent)

    def _restore(self, name: str, _order: Order) -> None:
        wiring.restore(self._wire(name), self._fds)

    def _whole_wires(self) -> list[str]:
        """The wires that have both their nodes: what `restore` without names is for."""
        fds = self._fds
        return [wire.name for wire in self._plan.wires if all(fds[end.node] != GONE for end in wire.ends)]

    @property
    def _fds(self) -> dict[str, int]:
        return {name: node.netns_fd for name, node in self._nodes.items()}

    def _child(self, name: str) -> Child:
        """A process by its name, as `lab status` has it: a daemon by its node's, a web server as in `web1.web`."""
        if name not in self._children.by_name:
            raise AtmdepotError(f"the lab has no process \"{name}\": it has {', '.join(self._children.by_name)}")
        return self._children.by_name[name]

    def _children_of(self, node: str) -> list[Child]:
        """The processes of a node; a server on Ethernet has a web server alone."""
        found = [child for child in self._children if child.state.node == node]
        if not found:
            nodes = ", ".join(dict.fromkeys(child.state.node for child in self._children))
            raise AtmdepotError(f"no process of the lab is at a node \"{node}\": there are some at {nodes}")
        return found

    def _wire(self, name: str) -> Wire:
        wire = next((wire for wire in self._plan.wires if wire.name == name), None)
        if wire is None:
            raise AtmdepotError(f"the lab has no wire \"{name}\": it has "
                                f"{', '.join(wire.name for wire in self._plan.wires)}")
        if gone := next((end.node for end in wire.ends if self._fds[end.node] == GONE), None):
            raise AtmdepotError(f"{gone} is gone, and the wire {name} with it: `atmdepot lab start {gone}` builds both "
                                "again")
        return wire
