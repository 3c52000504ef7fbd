"""Block 48: the servers' condition. It keeps each server on the alive-list or the dead-list, with time and reason.

Four means detect a failure, as in the patent: probes through the data path; the statistics that edge nodes send each
second; silence where an ACK was due; and polling of a failed server until it answers. Each may raise a `Fault`; a
server is alive while it has no fault. The faults together tell a dead server process from a silent host and from a
broken link.

Silence towards clients is no proof: a server that drops the packets of some clients is alive. So silence only makes a
server suspect, and it is probed at once. Silence is a fault when that probe fails and `no_ack_sessions` different
clients wait.

This module decides; sockets and clocks are elsewhere (`net/prober.py`). Times in ns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.wire.statistics import Statistics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from atmdepot.bearer.base import PathCondition
    from atmdepot.config.pools import Probing as Settings
    from atmdepot.depot.servers import Server

class Probing:
    """The condition of all servers, updated by reports and timers."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def use(self, settings: Settings, servers: Iterable[Server], now: int) -> None:
        """Apply other settings; when they turn statistics off, forget the reported loads and what was waited for."""
        self.settings = settings
        for server in servers:
            if not settings.statistics:
                server.load = None
                server.condition.forget_reports(now)
            elif not settings.statistics_timeout:
                server.condition.forget_missing_reports(now)

    def report(self, server: Server, sdu: bytes, path: PathCondition, now: int) -> bool:
        """Take a report of a server's edge node and the condition of its path; False when the SDU is no report."""
        try:
            statistics = Statistics.unpack(sdu)
        except ValueError:
            return False
        if not self.settings.statistics:
            return True  # of an edge node that has not read the table again, and will fall silent when it does
        server.condition.report(statistics, now)
        server.condition.check_datagrams(statistics, path, now)
        # The load per core, the time to connect in units of 100 ms, and the share of PDUs damaged or congested.
        server.load = (statistics.load / 1000 / max(1, statistics.cores) + statistics.connect_time / 100_000
                       + path.share_since(server.path_condition))
        server.path_condition = path
        server.proxy = statistics.proxy
        server.sessions_since_report = 0  # the reported load includes these sessions
        return True

    def check(self, servers: Iterable[Server], now: int) -> None:
        """Raise the faults of servers whose answers or reports are overdue."""
        for server in servers:
            server.condition.check_silence(self.settings, now)
            server.condition.check_statistics(self.settings, now)

    def stood_still(self, servers: Iterable[Server], span: int, now: int) -> None:
        """Count the last `span` ns, in which the depot did not run, as no server's silence."""
        for server in servers:
            server.condition.stood_still(span, now)

    def next_timer(self, servers: Iterable[Server]) -> int | None:
        """The time (ns) at which `check` is next due, or None."""
        times = [time for server in servers for time in server.condition.next_times(self.settings)]
        return min(times, default=None)
