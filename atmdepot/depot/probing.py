"""Block 48: the servers' condition. Which server is on the alive-list, which on the dead-list, since when and why.

Four ways to know, as in the patent: probes through the ATM path; the statistics that edge nodes send each second;
silence where an ACK was due; and polling of a server that failed, until it answers. Each way may raise a `fault`; a
server is alive while it has none. The faults together tell apart a server process that died, a host that fell silent
and a link that broke.

Clients alone prove nothing: a server that drops what some of them send is alive. So silence makes a server suspect, and
it is probed at once; it is a fault when that probe fails, and as many different clients wait.

This module decides; sockets and clocks are elsewhere (`net/prober.py`). Times in ns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.wire.statistics import Statistics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from atmdepot.atm.adaptation import PathCondition
    from atmdepot.config.model import Probing as Settings
    from atmdepot.depot.servers import Server

class Probing:
    """The condition of all servers, kept in time."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def use(self, settings: Settings, servers: Iterable[Server]) -> None:
        """Go by other settings; where edge nodes are to report no more, what they said counts no longer."""
        self.settings = settings
        if not settings.statistics:
            for server in servers:
                server.load = None

    def report(self, server: Server, sdu: bytes, path: PathCondition, now: int) -> bool:
        """Take a report of a server's edge node, with the condition of the way that it came; False when it is none."""
        try:
            statistics = Statistics.unpack(sdu)
        except ValueError:
            return False
        server.condition.report(statistics, now)
        server.condition.check_datagrams(statistics, path, now)
        server.load = (statistics.load / 1000 / max(1, statistics.cores) + statistics.connect_time / 100_000
                       + path.share_since(server.path))
        server.path = path
        server.sessions_since_report = 0
        return True

    def check(self, servers: Iterable[Server], now: int) -> None:
        """Notice silence."""
        for server in servers:
            server.condition.check_silence(self.settings, now)
            server.condition.check_statistics(self.settings, now)

    def stood_still(self, servers: Iterable[Server], span: int, now: int) -> None:
        """Count no silence for a span of time (ns, until now) in which the depot did not run."""
        for server in servers:
            server.condition.stood_still(span, now)

    def next_timer(self, servers: Iterable[Server]) -> int | None:
        """When `check` has something to notice (ns), or None."""
        times = [time for server in servers for time in server.condition.next_times(self.settings)]
        return min(times, default=None)
