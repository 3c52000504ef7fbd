"""New connections beside idle sessions: two depots, with few and with many idle sessions, loaded in turn."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

from atmdepot.bench import machine
from atmdepot.bench.fill import NETWORK
from atmdepot.bench.lab_table import IDLE_ENDS, idle_vip_of
from atmdepot.bench.readings import NoFigure
from atmdepot.errors import AtmdepotError
from atmdepot.net.control_client import show

if TYPE_CHECKING:
    from atmdepot.bench.site import Site

_LEAST_RATE = 2000
"""Sessions per second that any machine can open; it sets the time-out of filling, besides `_START_UP`."""

_START_UP = 30  # s
_SETTLE = 10.0  # s until the last handshakes must be over
_SAMPLE = 500  # sessions whose state is read
_PAUSE = 0.2  # s between looks


def fill(site: Site, sessions: int) -> None:
    """Open this many idle sessions in a site's depot; raise NoFigure unless all of them are established."""
    depot = site.network.depot
    _run(site, [machine.find("ip") or "ip", "route", "add", "blackhole", NETWORK], _START_UP)
    _run(site, [*machine.daemon_command(site.contender), "-m", "atmdepot.bench.fill", str(sessions),
                idle_vip_of(site.network), *IDLE_ENDS], _START_UP + sessions / _LEAST_RATE)
    socket = site.lab.directory / f"{depot}.sock"
    deadline = time.monotonic() + _SETTLE
    while (there := primary(site)) < sessions or any(
            row["client_state"] != "ESTABLISHED" for row in show(socket, "sessions", min(_SAMPLE, sessions))):
        if time.monotonic() > deadline:
            raise NoFigure(f"of {sessions:,} idle sessions {there:,} are there, or some are not established")
        time.sleep(_PAUSE)


def primary(site: Site) -> int:
    """The number of sessions in the depot's primary table."""
    rows = show(site.lab.directory / f"{site.network.depot}.sock", "counters")
    return next(int(row["value"]) for row in rows if (row["place"], row["counter"]) == ("sessions", "primary"))


def _run(site: Site, command: list[str], seconds: float) -> None:
    try:
        done = site.lab.run(site.network.depot, command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                            timeout=seconds, start_new_session=True)
    except subprocess.TimeoutExpired:
        raise NoFigure(f"the depot could not be filled in {seconds:.0f} s") from None
    if done.returncode:
        raise AtmdepotError(f"idle sessions cannot be made: {done.stderr.strip()[-200:] or 'no reason given'}")
