"""Depots under `bench failover`: a set of two in the lab, or one that is started again at once."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Self

from atmdepot import build
from atmdepot.bench.failover import cases
from atmdepot.bench.failover.depot_table import base_of, table_for, wires_to_edges
from atmdepot.bench.failover.rig import wait_for
from atmdepot.bench.readings import NoFigure
from atmdepot.config.reading import find
from atmdepot.errors import AtmdepotError
from atmdepot.lab import Lab
from atmdepot.lab.lans import SYNC
from atmdepot.lab.orders import Order, give
from atmdepot.net.control_client import ask, show

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from atmdepot.bench.failover.cases import Contender

_UP = 30.0
_SYNCED = 15.0
"""Seconds in which a depot that came back must be in sync."""

_POLL, _ANSWER = 0.005, 1.0
_ACTIVE, _STANDBY = "active", "standby"
_MOVED = "", -1
_LONE_PATIENCE, _PAIR_PATIENCE = 8.0, 3.5
_RECALL_PATIENCE = 16.0
"""Seconds that sessions of a lone depot with recall have to go on: TCP doubles its pauses, so after a gap of 6.3 s it
sends again at 12.6 s."""


class DepotRig:
    """A lab of depots of some mode."""

    def __init__(self, contender: Contender, name: str, home: Path) -> None:
        """Take the mode, the lab's name, and a directory of its own."""
        self._contender, self._home = contender, home
        self._table = table_for(contender, find(base_of(contender)).read_text(encoding="utf-8"), name)
        self._lone = contender.standby == "lone"
        if self._lone:
            self.patience = _RECALL_PATIENCE if contender.recall else _LONE_PATIENCE
        else:
            self.patience = _PAIR_PATIENCE
        self._stack = ExitStack()
        self._active = ""
        self._failed = ""
        self._claim = _MOVED
        self._strikes: dict[str, Callable[[], None]] = {
            cases.SIGKILL.name: self._kill, cases.SIGSTOP.name: self._stop, cases.HOST_GONE.name: self._remove,
            cases.CUT_SYNC.name: lambda: self._cut(f"{self._active}.{SYNC}"),
            cases.CUT_EDGES.name: lambda: self._cut(*wires_to_edges(self._network, self._active)),
            cases.CUT_CLIENT.name: lambda: self._cut(f"{self._active}.{self._interface}"),
            cases.PLANNED.name: self._take_over, cases.FAIL_BACK.name: self._take_over,
            cases.RESTART.name: self._restart}
        self._wires: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        """Bring the lab up; return when one depot is active and the other one in sync. Its servers do not run yet."""
        table = self._home / "table.toml"
        table.write_text(self._table, encoding="utf-8")
        with self._stack as stack:
            # `env` leaves the compiled data path, whatever this process runs with.
            command = ("env", "-u", "ATMDEPOT_PURE", *build.python("-m", "atmdepot"))
            self.lab = stack.enter_context(Lab.up(table, wait=False, web=False, timeout=_UP, command=command))
            self._network = self.lab.network
            self.servers = [server.node for server in self._network.servers.values()]
            (of,) = self._network.sets.values()
            self._interface = of.interface or "client"
            self._wait_until(self._has_roles, "one depot active, and the other one in sync")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the lab down."""
        self._stack.close()

    def moment(self, number: int, of: int) -> float:
        """For a warm standby, a phase of its period, which has begun; else now."""
        if not self._contender.interval:
            return time.monotonic()
        # Phases spread evenly over the period: by chance, twenty of them would miss the mean by some percent.
        return self._told_at() + (number % of + 0.5) / of * self._contender.interval

    def strike(self, event: str) -> int:
        """Make the active depot fail, or hand over."""
        self._failed = self._active
        at = time.monotonic_ns()
        self._strikes[event]()
        return at

    def mend(self, event: str) -> None:
        """Put right what failed; NoFigure when there are not one active and one standby in sync afterwards."""
        before, serves = self._active, self._claimed()
        if event == cases.SIGSTOP.name:
            self.lab.kill(self._failed, signal=signal.SIGCONT)
        elif self._wires:
            self.lab.restore(*self._wires)
            self._wires = ()
        elif event in (cases.SIGKILL.name, cases.HOST_GONE.name):
            self._mend_depot()
        self.settle()
        if self._claim != serves:
            self._claim = _MOVED
        if event == cases.CUT_SYNC.name and self._active != before:
            raise NoFigure("the standby took over though only the wire between the depots was cut")

    def _mend_depot(self) -> None:
        """Start the depot that failed, or wait until it is ready where it was started at once."""
        if self._lone:
            wait_for(lambda: self.lab.state.processes[self._failed].ready, _SYNCED, f"{self._failed} is ready")
        else:
            self.lab.start(self._failed)
        self.settle()

    # Failures.

    def _kill(self) -> None:
        self._failed = self._active
        self.lab.kill(self._active)
        self._start_if_lone()

    def _remove(self) -> None:
        self.lab.remove(self._active)
        self._start_if_lone()

    def _stop(self) -> None:
        self.lab.kill(self._active, signal=signal.SIGSTOP)

    def _cut(self, *wires: str) -> None:
        self._wires = wires
        self.lab.cut(*wires)

    def _restart(self) -> None:
        self.lab.kill(self._active, signal=signal.SIGTERM)
        wait_for(lambda: self.lab.state.processes[self._active].exit_code is not None, _SYNCED, "the depot ends")
        self._start_if_lone()

    def _start_if_lone(self) -> None:
        """Start a lone depot as an init system would, without waiting until it is ready."""
        if self._lone:
            give(self.lab.directory, Order("start", (self._active,)))

    def _take_over(self) -> None:
        (other,) = (node for node in self._network.depots if node != self._active)
        next(ask(self._socket(other), {"takeover": True}))

    # What the depots say.

    def settle(self) -> None:
        """Wait until one depot is active and all others stand by, in sync and fit; note which is active."""
        self._wait_until(self._is_settled, "one depot active, the other one in sync, and both fit")
        self._claim = self._claimed()

    def stayed(self) -> bool:
        """True while the depot that was active after the last failure is so in the same term."""
        return self._claim == self._claimed()

    def _claimed(self) -> tuple[str, int]:
        """The depot that says that it is active, and its term; one that has failed is asked last, as it may hang."""
        if not self._lone:
            for node in sorted(self._network.depots, key=lambda node: node == self._failed):
                with suppress(AtmdepotError):
                    told = next(ask(self._socket(node), {"role": True}, _ANSWER))
                    if told["role"] == _ACTIVE:
                        return node, told["term"]
        return "", 0

    def _wait_until(self, holds: Callable[[], bool], what: str) -> None:
        if self._lone:
            self._active = self._network.depot
            return
        try:
            wait_for(holds, _SYNCED, what)
        except NoFigure as error:
            told = ", ".join(f"{node} is {role or 'silent'}{'' if fit else ' and not fit'}"
                             for node, (role, fit) in self._standings().items())
            raise NoFigure(f"{error}: {told}") from None

    def _has_roles(self) -> bool:
        roles = {node: role for node, (role, _) in self._standings().items()}
        self._active = next((node for node, role in roles.items() if role == _ACTIVE), "")
        return sorted(roles.values()) == [_ACTIVE, *[_STANDBY] * (len(roles) - 1)]

    def _is_settled(self) -> bool:
        # A depot whose servers do not answer is not fit: before the servers run, none is.
        return self._has_roles() and all(fit for _, fit in self._standings().values())

    def _standings(self) -> dict[str, tuple[str, bool]]:
        return {node: self._standing(node) for node in self._network.depots}

    def _told_at(self) -> float:
        """Wait until the standby has applied something, the end of a period; return when (s of the monotonic clock)."""
        (standby,) = (node for node in self._network.depots if node != self._active)
        first = self._applied(standby)
        deadline = time.monotonic() + 2 * self._contender.interval + 1
        while (asked_at := time.monotonic()) < deadline:
            if self._applied(standby) != first:
                return asked_at
            time.sleep(_POLL)
        if not self.stayed():  # so it tells, and is told nothing
            return asked_at
        raise NoFigure(f"{standby} was told nothing in two periods")

    def _applied(self, node: str) -> object:
        return next((row.get("applied") for row in show(self._socket(node), "depots") if row["node"] == node), None)

    def _standing(self, node: str) -> tuple[str, bool]:
        """The role of a depot, empty when it does not answer, and True when it is fit for more."""
        try:
            told = next(ask(self._socket(node), {"role": True}, _ANSWER))
        except AtmdepotError:
            return "", False
        return str(told["role"]), int(told["fitness"]) > 0

    def _socket(self, node: str) -> Path:
        return self.lab.directory / f"{node}.sock"
