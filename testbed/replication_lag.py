"""Measure the lag of a standby: `chrt -f 1 python testbed/replication_lag.py --rate 5000`, as root.

Two processes with the daemon's own replication link over loopback. Sessions open at the active depot at an even rate;
the lag of each is the time from its entry there to its entry at the standby. On a busy machine the lag is that of the
scheduler, which `chrt` takes out; how late the load itself came is told beside it.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import time
from typing import TYPE_CHECKING, Any

import trio
from replication import open_sessions, table

from atmdepot import build
from atmdepot.depot.forwarding import Depot
from atmdepot.depot.role import Role
from atmdepot.depot.session import Session, SessionEvent
from atmdepot.net.chores import NEVER, Chore
from atmdepot.net.pump import Pump
from atmdepot.net.replication_link import ReplicationLink
from atmdepot.net.tun import SocketTun
from atmdepot.tables import console, make_table

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_SECOND = 1_000_000_000
_LOOK = 50_000_000
_AT_ONCE = 200
_SHARES = (0.5, 0.9, 0.99, 1.0)


class Load(Chore):
    """Sessions that open in the turns of a pump, as those of clients do."""

    name = "the load"

    def __init__(self, depot: Depot, rate: int) -> None:
        self._depot, self._rate = depot, rate
        self.begun = NEVER
        self._looked_at = 0
        self.opened: list[int] = []
        """The time (ns) at which each session opened, by its number."""
        self.late: list[int] = []

    def next_due(self, now: int) -> int:
        """The time of the next session, or of the next look if the load has begun."""
        if self.begun == NEVER:
            return self._looked_at + _LOOK
        return self.begun + (len(self.opened) + 1) * _SECOND // self._rate

    def attend(self, now: int) -> None:
        """Open those that are due."""
        self._looked_at = now
        if self.begun == NEVER:
            return
        self.late.append(now - self.next_due(now))
        made = len(self.opened)
        count = min((now - self.begun) * self._rate // _SECOND - made, _AT_ONCE)
        self.opened += [time.monotonic_ns()] * count
        open_sessions(self._depot, count, now, made)


class Arrivals:
    """The time at which each session was entered at the standby."""

    def __init__(self, depot: Depot) -> None:
        self.at: dict[int, int] = {}
        depot.sessions.subscribe(self._note)

    def _note(self, session: Session, event: SessionEvent, _: str) -> None:
        if event is SessionEvent.INHERITED:
            self.at[session.client.isn] = time.monotonic_ns()  # `open_sessions` numbers them so


async def run(name: str, rate: int, span: float, wire: Connection) -> None:
    """Run a depot; the active one tells the other by `wire` when the load is over."""
    depot = Depot(table(1_000_000), time.monotonic_ns(), name)
    pump, load, arrivals = Pump(depot, {}, SocketTun()), Load(depot, rate), Arrivals(depot)
    link = ReplicationLink(depot, pump)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump.run)
        nursery.start_soon(link.run)
        if name == "depot1":
            depot.roles.granted(time.monotonic_ns())
            pump.take_on(load)
            await trio.to_thread.run_sync(wire.recv)
            load.begun = time.monotonic_ns()
            await trio.sleep(span)
            load.begun = NEVER
            await trio.sleep(1)
            wire.send((load.opened, load.late))
        else:
            while depot.roles.role is not Role.STANDBY:  # noqa: ASYNC110 - the depot tells nobody
                await trio.sleep(0.05)
            wire.send("in sync")
            opened, late = await trio.to_thread.run_sync(wire.recv)
            show(rate, [(arrivals.at.get(number, NEVER) - at) / 1e6 for number, at in enumerate(opened)],
                 [each / 1e6 for each in late])
        nursery.cancel_scope.cancel()


def show(rate: int, lags: list[float], late: list[float]) -> None:
    """Print the shares of both."""
    if not lags:
        raise SystemExit("no session was opened: is the machine too busy?")
    rows: list[dict[str, Any]] = [
        {"of": what, **{f"{share:.0%} within (ms)": f"{sorted(of)[min(len(of) - 1, int(share * len(of)))]:.2f}"
                        for share in _SHARES}}
        for what, of in (("lag of a session", lags), ("lateness of the load", late))]
    title = (f"{len(lags):,} sessions at {rate:,} a second, {build.describe()}, "
             f"load of the machine {os.getloadavg()[0]:.1f}")
    console().print(make_table(title, list(rows[0]), rows))


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=5_000, help="sessions a second")
    parser.add_argument("--seconds", type=float, default=6.0)
    options = parser.parse_args()
    gc.disable()
    ours, theirs = multiprocessing.Pipe()
    other = multiprocessing.get_context("fork").Process(
        target=trio.run, args=(run, "depot2", options.rate, options.seconds, theirs))
    other.start()
    trio.run(run, "depot1", options.rate, options.seconds, ours)
    other.join()


if __name__ == "__main__":
    main()
