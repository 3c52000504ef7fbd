"""Nodes and wires of a running lab that fail on order, and come back: the supervisor's part of `orders`."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from atmdepot.errors import AtmdepotError
from atmdepot.lab import namespaces, wiring
from atmdepot.lab.orders import Order, processes_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.lab.children import Child, Children
    from atmdepot.lab.plan import Plan, Wire
    from atmdepot.lab.state import State

GONE = -1
"""In place of the descriptor of a namespace that was removed."""


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

    def _kill(self, node: str, order: Order) -> None:
        daemon = self._daemon(node)
        if daemon.state.exit_code is not None:
            raise AtmdepotError(f"{node} does not run: `atmdepot lab start {node}` starts it")
        os.kill(daemon.process.pid, order.signal)
        if order.signal == signal.SIGKILL:
            # So that the node can be started again at once.
            os.waitid(os.P_PID, daemon.process.pid, os.WEXITED | os.WNOWAIT)
            self._reap()

    def _remove(self, node: str, _order: Order) -> None:
        """Take a node's carrier first: its kernel would answer for a while after its last process."""
        children = self._children_of(node)
        fds = self._fds
        if fds[node] == GONE:
            raise AtmdepotError(f"{node} is gone already: `atmdepot lab start {node}` builds it anew")
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

    def _start(self, node: str, _order: Order) -> None:
        children = self._children_of(node)
        self._reap()
        ended = [child for child in children if child.state.exit_code is not None]
        if not ended:
            raise AtmdepotError(f"{node} runs already")
        if self._fds[node] == GONE:
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

    def _daemon(self, node: str) -> Child:
        if node not in self._plan.daemons:
            if node in self._children.by_name:  # a process of the lab's, as `lab status` lists it
                at = self._children.by_name[node].state.node
                raise AtmdepotError(f"{node} is no node but a process at {at}: `atmdepot lab kill {at} --host` takes "
                                    f"all of {at}; a scenario kills a web server alone (`atmdepot lab run`)")
            raise AtmdepotError(f"the lab has no daemon \"{node}\": it has {', '.join(self._plan.daemons)}")
        return self._children.by_name[node]

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
                                "anew")
        return wire
