"""Ownership by keepalived: VRRP version 3 (RFC 9568) between the depots of a set, on the LAN of their clients.

The depot writes keepalived's configuration into a directory of its own, and its guard starts keepalived. The fitness
goes into a file that keepalived watches (`track_file`): the number is added to the priority; -254 is a fault. States
come back by a FIFO. Adverts go by multicast, as VRRP has it, so no depot needs to be told the others' addresses. Each
start has files of its own, since an earlier keepalived takes a second to end.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from atmdepot.net.guarding import Guarding
from atmdepot.net.ownership import Engine
from atmdepot.paths import find_program

if TYPE_CHECKING:
    from atmdepot.net.gateway import Gateway
    from atmdepot.net.ownership import Seat

BASE = 100
"""The priority to which the fitness is added."""
_SHORTEST = 10_000_000
"""Adverts are counted in hundredths of a second (ns)."""
_PASSING = 1.0
"""Seconds after which a fault is told: one that a hang of this depot has made is over by then."""
_FIRST_REST, _LONGEST_REST, _LONG_RUN = 1.0, 30.0, 60.0
"""Seconds until keepalived is started again: doubled each time, unless it ran for long."""


def program() -> str | None:
    """The path of keepalived; None where it is not installed."""
    return find_program("keepalived")


def configuration(seat: Seat, directory: Path) -> str:
    """The configuration of keepalived for a depot. An advert each third of the time of silence, 100 ms by default."""
    settings = seat.settings
    advert = max(settings.silence // 3 // _SHORTEST, 1) / 100
    first, *others = sorted(settings.gateway, key=lambda address: ":" in address)
    same = [address for address in others if (":" in address) == (":" in first)]
    other = [address for address in others if address not in same]
    excluded = "".join(f"        {address}\n" for address in other)
    return f"""\
global_defs {{
    vrrp_version 3
    vrrp_notify_fifo "{directory}/states"
    vrrp_garp_master_delay 1
    vrrp_garp_master_refresh 30
    vrrp_garp_lower_prio_repeat 1
    vrrp_higher_prio_send_advert true
}}
track_file fitness {{
    file "{directory}/fitness"
    weight 1
}}
vrrp_instance gateway {{
    state BACKUP
    interface {settings.interface}
    virtual_router_id {settings.vrid}
    priority {BASE}
    advert_int {advert:.2f}
    virtual_ipaddress {{
{"".join(f"        {address}{chr(10)}" for address in (first, *same))}    }}
    virtual_ipaddress_excluded {{
{excluded}    }}
    track_file {{
        fitness
    }}
}}
"""


class Keepalived(Engine):
    """Has keepalived decide, and starts it again when it ends."""

    async def run(self) -> None:
        """Decide until cancelled."""
        gateway, rest = await self.gateway(), _FIRST_REST
        if gateway is None:
            self.trouble("the table has no `gateway` and `interface` for it")
            return
        self._forget_earlier()
        while True:
            began = trio.current_time()
            if (path := program()) is None:
                self.trouble("it is not installed: apt-get install keepalived")
            else:
                self.trouble(await self._tried(path, gateway))
            self.revoked("keepalived does not run")
            gateway.set(here=False)
            rest = _FIRST_REST if trio.current_time() - began > _LONG_RUN else min(rest * 2, _LONGEST_REST)
            await trio.sleep(rest)

    async def _tried(self, path: str, gateway: Gateway) -> str:
        try:
            return await self._run(path, gateway)
        except OSError as error:  # no room for its files, no descriptor or memory for its guard
            return f"it cannot be started: {error.strerror or error}"

    async def _run(self, path: str, gateway: Gateway) -> str:
        """Run keepalived; return why it has ended."""
        directory = Path(tempfile.mkdtemp(prefix=f"{self.seat.node}.keepalived-", dir=self.seat.directory))
        try:
            (directory / "keepalived.conf").write_text(configuration(self.seat, directory), encoding="utf-8")
            os.mkfifo(directory / "states", 0o600)
            # Open for writing, too: so it has no end when keepalived closes it.
            states = os.open(directory / "states", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            async with trio.lowlevel.FdStream(states) as stream:
                return await self._guarded(path, directory, stream, gateway)
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    async def _guarded(self, path: str, directory: Path, states: trio.lowlevel.FdStream, gateway: Gateway) -> str:
        guard = Guarding(self.seat.hangs_after, [
            path, "--dont-fork", "--log-console", "--no-syslog", "--vrrp", f"--use-file={directory}/keepalived.conf",
            f"--pid={directory}/pid", f"--vrrp_pid={directory}/vrrp-pid"], f"{directory}/fitness", gateway.plan())
        ended = "its guard has ended"
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(guard.beat)
                nursery.start_soon(self._tell_fitness, guard)
                nursery.start_soon(self._follow, states)
                while (told := await guard.told()) is not None:
                    if told["event"] == "ended":
                        ended = f"it has ended with status {told['status']}: {'; '.join(told['said'][-3:])}"
                nursery.cancel_scope.cancel()
        finally:
            await guard.end()
        return ended

    async def _tell_fitness(self, guard: Guarding) -> None:
        while True:
            guard.say(f"= {self.roles.fitness(self.seat.clock())}")
            await self.changed()

    async def _follow(self, states: trio.lowlevel.FdStream) -> None:
        """Take over keepalived's states: lines such as `INSTANCE "main" MASTER 160`."""
        line, state = b"", ""
        while True:
            with trio.move_on_after(_PASSING if state == "FAULT" else math.inf) as waited:
                line += await states.receive_some(4096)
            if waited.cancelled_caught:  # no fault that the fitness has told it of: that passes, or has its own reason
                if not self.roles.trouble:
                    self.trouble(f"a fault: is {self.seat.settings.interface} up, and has an address?")
                state = ""
            *lines, line = line.split(b"\n")
            for one in lines:
                words = one.decode(errors="replace").split()
                if len(words) > 2 and words[0] == "INSTANCE":
                    state = words[2]
                    self.follow(state)

    def follow(self, state: str) -> None:
        """Follow a state of keepalived's."""
        if state == "MASTER":
            self.granted(why="keepalived: MASTER")
        elif state in ("BACKUP", "FAULT", "STOP"):
            self.revoked(f"keepalived: {state}")
        if state != "FAULT":
            self.trouble("")

    def _forget_earlier(self) -> None:
        """Remove what a killed depot has left; only one daemon at a time has this node's name."""
        with suppress(OSError):
            for directory in self.seat.directory.glob(f"{self.seat.node}.keepalived-*"):
                shutil.rmtree(directory, ignore_errors=True)
