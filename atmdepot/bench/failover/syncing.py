"""The full sync of a standby that comes late: how long it takes, beside idle sessions and a load of new connections."""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from pathlib import Path
from subprocess import SubprocessError
from typing import TYPE_CHECKING

from atmdepot.bench import idle
from atmdepot.bench.contenders import Contender as SiteKind
from atmdepot.bench.failover.cases import CONTENDERS
from atmdepot.bench.failover.depot_table import PAIR, table_for
from atmdepot.bench.failover.judging import SyncReading
from atmdepot.bench.failover.rig import wait_for
from atmdepot.bench.lab_table import IDLE_SERVICE
from atmdepot.bench.loads import ask_ab
from atmdepot.bench.readings import NoFigure
from atmdepot.bench.site import Site
from atmdepot.config.reading import find, parse
from atmdepot.errors import AtmdepotError
from atmdepot.net.control_client import ask, show

if TYPE_CHECKING:
    from atmdepot.bench.failover.journal import Journal
    from atmdepot.bench.progress import Teller

SIZES = (10_000, 100_000, 1_000_000)
QUICK_SIZES = (10_000,)
_FILLED, _UP, _LEAST = 8_000, 10.0, 5.0
"""Sessions opened a second, seconds for the lab, and seconds for the loads, about."""

_PATIENCE, _SYNCED = 120.0, 20.0
_POLL = 0.02
_BESIDE = 2
"""Seconds of the load whose rate is compared."""

_IDLE = """
[nodes.bench-idle]
kind = "external"

[links.bench-idle]
ends = {{ {first} = "127.0.0.1:5598", bench-idle = "127.0.0.1:5599" }}

[links.bench-idle-b]
ends = {{ {second} = "127.0.0.1:5596", bench-idle = "127.0.0.1:5597" }}

[vps.bench-idle]
ends = ["{first}", "bench-idle"]
vpi = 200
session_vcis = "64-65535"

[vps.bench-idle-b]
ends = ["{second}", "bench-idle"]
vpi = 200
session_vcis = "64-65535"

[servers.bench-idle]
node = "bench-idle"

[services.{service}]
vip = ["10.80.0.99"]
servers = ["bench-idle"]

[sessions]
idle = "24h"
max_sessions = {most}
"""


def expected(sizes: tuple[int, ...]) -> float:
    """The time (s) that the syncs take, about."""
    return sum(_UP + _LEAST + size / _FILLED for size in sizes)


def measure(journal: Journal, sizes: tuple[int, ...], teller: Teller) -> dict[str, str]:
    """Measure the sizes that the journal lacks; return why some were left out."""
    left_out: dict[str, str] = {}
    for size in sizes:
        if any(each.sessions == size for each in journal.syncs):
            continue
        began = time.monotonic()
        try:
            with tempfile.TemporaryDirectory(prefix="atmdepot-sync-") as home:
                reading = _one(size, Path(home))
        except (AtmdepotError, SubprocessError) as error:
            left_out[f"sync {size}"] = str(error)
            teller.tell(f"full sync of {size:,}: {error}")
            continue
        journal.add_sync(reading)
        teller.passed(expected((size,)), time.monotonic() - began)
        teller.end_of(f"full sync of {size:,} sessions", f"{reading.seconds:.1f} s")
    return left_out


def table(sessions: int) -> str:
    """The table of two depots, with a service for idle sessions that both of them can serve."""
    text = table_for(CONTENDERS["stream"], find(PAIR).read_text(encoding="utf-8"), "sync")
    first, second = parse(text).depots
    return text + _IDLE.format(first=first, second=second, service=IDLE_SERVICE, most=sessions + 1_000_000)


def _one(sessions: int, home: Path) -> SyncReading:
    with Site(SiteKind(f"sync-{sessions}", "", "", daemons="compiled"), table(sessions), home) as site:
        active, standby = site.network.depots
        _make_active(site, active, standby)
        site.lab.kill(standby)
        idle.fill(site, sessions)
        before, turns = ask_ab(site, _BESIDE, "1KB", 20).rate, _loop(site, active, "long-turns")
        site.lab.start(standby)
        watch = _Watch(site, standby)
        watch.start()
        rates = [ask_ab(site, 1, "1KB", 20).rate]
        while watch.is_alive():
            rates.append(ask_ab(site, 1, "1KB", 20).rate)
        if watch.seconds is None:
            raise NoFigure(f"{standby} is not in sync after {_PATIENCE:.0f} s")
        turns = _loop(site, active, "long-turns") - turns
        return SyncReading(sessions, watch.seconds, before, statistics.median(rates), turns,
                           _loop(site, active, "longest-turn") / 1000 if turns else 0.0)


class _Watch(threading.Thread):
    """Looks at a standby while the main thread loads the set, until it is in sync."""

    def __init__(self, site: Site, standby: str) -> None:
        super().__init__(daemon=True)
        self._site, self._standby = site, standby
        self._began = time.monotonic()
        self.seconds: float | None = None

    def run(self) -> None:
        """Look every few milliseconds."""
        while (took := time.monotonic() - self._began) < _PATIENCE:
            if _role(self._site, self._standby) == "standby":
                self.seconds = took
                return
            time.sleep(_POLL)


def _make_active(site: Site, active: str, standby: str) -> None:
    """The first depot is to be active, since the idle sessions are made beside it: which is, the start decides."""
    def roles() -> tuple[str, str]:
        return _role(site, active), _role(site, standby)

    wait_for(lambda: sorted(roles()) == ["active", "standby"], _SYNCED, "one depot active, and the other one in sync")
    if roles()[0] == "standby":
        next(ask(site.lab.directory / f"{active}.sock", {"takeover": True}))
        wait_for(lambda: roles() == ("active", "standby"), _SYNCED, f"{active} takes over")


def _role(site: Site, node: str) -> str:
    try:
        return str(next(ask(site.lab.directory / f"{node}.sock", {"role": True}))["role"])
    except AtmdepotError:
        return ""


def _loop(site: Site, node: str, counter: str) -> int:
    rows = show(site.lab.directory / f"{node}.sock", "counters")
    return next(int(row["value"]) for row in rows if (row["place"], row["counter"]) == ("loop", counter))
