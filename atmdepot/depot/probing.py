"""Block 48: the servers' condition. Which server is on the alive-list, which on the dead-list, since when and why.

Four ways to know, as in the patent: probes through the ATM path; the statistics that edge nodes send each second;
silence where an ACK was due; and polling of a server that failed, until it answers. Each way may raise a `fault`; a
server is alive while it has none. The faults together tell apart a server process that died, a host that fell silent
and a link that broke.

This module decides; sockets and clocks are elsewhere (`net/prober.py`). Times in ns.
"""

from __future__ import annotations

from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING

from atmdepot.config.units import count_text
from atmdepot.depot.full_datagrams import FullDatagrams
from atmdepot.wire.statistics import ServerState, Statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from atmdepot.atm.adaptation import PathCondition
    from atmdepot.config.model import Probing as Settings
    from atmdepot.depot.session_management import Server

_MAX_ASKERS = 64


class Outcome(StrEnum):
    """How a probe ended."""

    ANSWERED = "answered"
    REFUSED = "connection refused"
    SILENT = "no answer"
    WRONG = "wrong answer"


class Fault(StrEnum):
    """What is wrong with a server, by the way in which it was noticed."""

    PROBE = "probe"
    STATISTICS = "statistics"
    REPORTED = "reported"
    NO_ACK = "no-ack"
    FULL_DATAGRAMS = "full-datagrams"


class Condition:
    """What is known of one server."""

    __slots__ = ("_askers", "_failures", "_full", "_successes", "alive", "faults", "last_outcome",
                 "last_report", "on_suspicion", "recovered", "reported_at", "since", "suspect", "why")

    def __init__(self, now: int) -> None:
        self.alive = True
        self.since = now
        self.why = "at start"
        self.recovered = False  # as against never having failed: slow start is for the former only
        self.faults: dict[Fault, str] = {}
        self.last_outcome: Outcome | None = None
        self.last_report: Statistics | None = None
        self.reported_at: int | None = None
        self.suspect = False  # a session was refused: probe at once, and without a pause
        self.on_suspicion: Callable[[], object] | None = None  # whoever probes may wait for it
        self._askers: dict[int, int] = {}  # sessions that wait for an answer, and since when; the first first
        self._failures = self._successes = 0
        self._full = FullDatagrams()

    def refused(self) -> None:
        """A session was refused. The server may have lost its process, so it is suspect until it was probed."""
        if not self.suspect:
            self.suspect = True
            if self.on_suspicion is not None:
                self.on_suspicion()

    # Silence where an ACK was due.

    def asked(self, session: int, now: int) -> None:
        """A client's SYN or data went to the server, in the session with this number."""
        if len(self._askers) < _MAX_ASKERS:
            self._askers.setdefault(session, now)

    def answered(self, now: int) -> None:
        """Anything came from the server."""
        if self._askers:
            self._askers.clear()
            if self.faults:
                self._clear(Fault.NO_ACK, "it answers again", now)

    def check_silence(self, settings: Settings, now: int) -> None:
        """One session without an answer may have a client that vanished; several mean the server."""
        due = self._silent_at(settings)
        if due is not None and due <= now:
            since = next(iter(self._askers.values()))
            sessions = count_text(len(self._askers), "session")
            self._raise(Fault.NO_ACK, f"no ACK for {_seconds(now - since)} on {sessions}", now)

    def _silent_at(self, settings: Settings) -> int | None:
        """When enough sessions will each have waited long enough: one that began to wait just now proves nothing."""
        if not settings.no_ack or Fault.NO_ACK in self.faults:
            return None
        last = next(islice(self._askers.values(), settings.no_ack_sessions - 1, None), None)
        return None if last is None else last + settings.no_ack

    # Statistics.

    def report(self, statistics: Statistics, now: int) -> None:
        """A report came from the edge node; it also tells how its server answered there."""
        self.last_report = statistics
        self.reported_at = now
        self._clear(Fault.STATISTICS, "statistics received again", now)
        if statistics.server == ServerState.SILENT and self._is_past(now - statistics.connect_time * 1000):
            return
        if statistics.server == ServerState.REFUSES:
            self._raise(Fault.REPORTED, "connection refused at the edge node", now)
        elif statistics.server == ServerState.SILENT:
            self._raise(Fault.REPORTED, "no answer at the edge node", now)
        elif statistics.server == ServerState.ACCEPTS:
            self._clear(Fault.REPORTED, "the edge node reports that its server answers", now)

    def check_statistics(self, settings: Settings, now: int) -> None:
        """Reports that stop mean the link or the edge node; whether there are any, the first one tells."""
        if self.reported_at is None or not settings.statistics_timeout:
            return
        silence = now - self.reported_at
        if silence >= settings.statistics_timeout:
            self._raise(Fault.STATISTICS, f"no statistics for {_seconds(silence)}", now)

    def check_datagrams(self, statistics: Statistics, path: PathCondition, now: int) -> None:
        """Reports pass where long datagrams may not: then every page hangs that is longer than a datagram."""
        self._full.note(statistics, path)
        if trouble := self._full.trouble():
            self._raise(Fault.FULL_DATAGRAMS, trouble, now)
        else:
            self._clear(Fault.FULL_DATAGRAMS, "full datagrams arrive again", now)

    def next_times(self, settings: Settings) -> list[int]:
        """When a silence becomes a fault, if nothing comes until then."""
        silent_at = self._silent_at(settings)
        times = [] if silent_at is None else [silent_at]
        if settings.statistics_timeout and self.reported_at is not None and Fault.STATISTICS not in self.faults:
            times.append(self.reported_at + settings.statistics_timeout)
        return times

    # Probes and polls.

    def probed(self, outcome: Outcome, settings: Settings, now: int, began: int | None = None) -> None:
        """A probe or a poll has ended, which began then if not just now.

        `fall` failures in a row are a fault, `rise` successes end it.
        """
        if outcome is not Outcome.ANSWERED and began is not None and self._is_past(began):
            return
        self.last_outcome = outcome
        if outcome is Outcome.ANSWERED:
            self.suspect = False
            self._failures, self._successes = 0, self._successes + 1
            if self._successes >= settings.rise:
                self._clear(Fault.PROBE, "probes are answered", now)
                self._clear(Fault.NO_ACK, "polls are answered", now)
        else:
            self._failures, self._successes = self._failures + 1, 0
            if self._failures >= settings.fall:
                self.suspect = False
                self._raise(Fault.PROBE, f"{outcome} to {count_text(self._failures, 'probe')}", now)

    def _is_past(self, began: int) -> bool:
        """Whether what was waited for since then, in vain, tells of the time before the server came back."""
        return self.alive and began < self.since

    # The lists.

    def _raise(self, fault: Fault, what: str, now: int) -> None:
        self.faults[fault] = what
        if self.alive:
            self.alive = False
            self.since = now
        self.why = self.diagnosis()

    def _clear(self, fault: Fault, what: str, now: int) -> None:
        if self.faults.pop(fault, None) is None:
            return
        if self.faults:
            self.why = self.diagnosis()
        else:
            self.alive = True
            self.recovered = True
            self.since = now
            self.why = what
            self._failures = 0
            self._askers.clear()

    def diagnosis(self) -> str:
        """What the faults mean together."""
        told = "; ".join(self.faults.values())
        if Fault.STATISTICS in self.faults:
            return f"link or edge node down: {told}"
        if Fault.FULL_DATAGRAMS in self.faults:
            return f"link passes no long datagrams: {told}"
        if "refused" in told:
            return f"server process down: {told}"
        return f"server silent: {told}"


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

    def next_timer(self, servers: Iterable[Server]) -> int | None:
        """When `check` has something to notice (ns), or None."""
        times = [time for server in servers for time in server.condition.next_times(self.settings)]
        return min(times, default=None)


def _seconds(ns: int) -> str:
    return f"{ns / 1e9:.1f} s"
