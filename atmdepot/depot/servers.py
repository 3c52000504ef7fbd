"""A server as the depot knows it: the figures that a balancer reads, its condition, and its load.

This module decides a server's condition from the reports about it (`probing`); it reads no clock and no socket. Times
in ns.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING

from atmdepot.bearer.base import PathCondition
from atmdepot.config.units import count_text
from atmdepot.depot.full_datagrams import FullDatagrams
from atmdepot.depot.networks import Networks
from atmdepot.depot.rates import Rates
from atmdepot.wire.flows import flow_of_key
from atmdepot.wire.statistics import ServerState, Statistics

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.config.pools import Probing as Settings
    from atmdepot.config.pools import Server as ServerSettings
    from atmdepot.node.proxy_counts import ProxyCounts
    from atmdepot.wire.flows import FlowKey
    from atmdepot.wire.statistics import ProxyFigures

_MAX_ASKERS = 128  # waiting sessions remembered: bounded, since a client may open any number
_CONNECTS = 100
_ENOUGH_CLIENTS = 64
"""The maximum of `no_ack_sessions`."""
_NETWORK = 8
"""Octets of an IPv6 address that name the client: it may use any address of its /64."""
_OTHER_WAY = "packets take another way to it"
_WEIGHT_UNIT = 100
"""Weights are counted in hundredths, so that a slow start has steps between 0 and weight 1."""


class Outcome(StrEnum):
    """The outcome of a probe."""

    ANSWERED = "answered"
    REFUSED = "connection refused"
    SILENT = "no answer"
    WRONG = "wrong answer"


class Fault(StrEnum):
    """A fault of a server, by the means that detected it."""

    PROBE = "probe"
    STATISTICS = "statistics"
    REPORTED = "reported"
    NO_ACK = "no-ack"
    FULL_DATAGRAMS = "full-datagrams"
    PATH = "path"


class Condition:
    """The condition of a server: its faults, and the evidence from probes, statistics and sessions."""

    __slots__ = ("_askers", "_datagrams", "_failures", "_full", "_successes", "alive", "connect_times", "dead_time",
                 "deaths", "faults", "last_death", "last_outcome", "last_report", "not_made", "on_suspicion",
                 "recovered", "reported_at", "since", "suspect", "why")

    def __init__(self, now: int) -> None:
        self.alive = True
        self.since = now
        self.why = "at start"
        self.recovered = False  # it has failed and come back; slow start is for these servers only
        self.connect_times: deque[int] = deque(maxlen=_CONNECTS)
        """The times (ns) that the last answered probes took to connect."""
        self.deaths = 0  # how often it came on the dead-list
        self.dead_time = self.last_death = 0  # ns on the dead-list that have ended: all, and the last time
        self.faults: dict[Fault, str] = {}
        self.last_outcome: Outcome | None = None
        self.last_report: Statistics | None = None
        self.reported_at: int | None = None
        self.suspect = False  # a session was refused, or several are silent: probe at once, without a pause
        self.on_suspicion: Callable[[], object] | None = None  # wakes the prober, which may be pausing
        self.not_made = 0  # probes that the depot's host could not make
        self._askers: dict[FlowKey, int] = {}  # sessions that wait for an answer, and since when; oldest first
        self._full = False  # `_askers` has sessions of enough clients: no more are added
        self._failures = self._successes = 0
        self._datagrams = FullDatagrams()

    def refused(self) -> None:
        """Note that a session was refused. The server's process may be gone, so it is suspect until it is probed."""
        self._suspect()

    def _suspect(self) -> None:
        if not self.suspect:
            self.suspect = True
            if self.on_suspicion is not None:
                self.on_suspicion()

    # Silence where an ACK was due.

    def asked(self, session: FlowKey, now: int) -> None:
        """Note that a client's SYN or data went to the server, in the session of this flow."""
        if len(self._askers) < _MAX_ASKERS:
            self._askers.setdefault(session, now)
        elif not self._full:
            self._make_room()

    def _make_room(self) -> None:
        """Keep only the oldest session of each client, so that no client takes the places of the rest."""
        first: dict[bytes, FlowKey] = {}
        for session in self._askers:
            first.setdefault(_client(session), session)
        self._askers = {session: self._askers[session] for session in first.values()}
        self._full = len(first) >= _ENOUGH_CLIENTS

    def answered(self, now: int) -> None:
        """Note that a packet came from the server."""
        if self._askers:
            self._forget_askers()
            if self.faults:
                self._clear(Fault.NO_ACK, "it answers again", now)

    def _forget_askers(self) -> None:
        self._askers.clear()
        self._full = False

    def check_silence(self, settings: Settings, now: int) -> None:
        """Suspect the server when several sessions have no answer; it is dead when its last probe had no answer too."""
        due = self._silent_at(settings)
        if due is not None and due <= now:
            self._suspect()
            self._judge_silence(settings, now)

    def _judge_silence(self, settings: Settings, now: int) -> None:
        """Raise the NO_ACK fault when the last probe and the sessions of `no_ack_sessions` clients have no answer."""
        if not settings.no_ack or Fault.NO_ACK in self.faults or self.last_outcome is not Outcome.SILENT:
            return
        waited = [(session, since) for session, since in self._askers.items() if since + settings.no_ack <= now]
        clients = len({_client(session) for session, _ in waited})
        if clients >= settings.no_ack_sessions:
            told = count_text(clients, "client")
            self._raise(Fault.NO_ACK, f"no ACK for {_seconds(now - waited[0][1])} to {told}", now)
            self.suspect = False

    def _silent_at(self, settings: Settings) -> int | None:
        """The time at which `no_ack_sessions` sessions will each have waited for `no_ack`.

        A session that began to wait just now proves no silence. None when silence is not watched, or too few wait.
        """
        if not settings.no_ack or self.suspect or self.faults:
            return None
        last = next(islice(self._askers.values(), settings.no_ack_sessions - 1, None), None)
        return None if last is None else last + settings.no_ack

    # Statistics.

    def report(self, statistics: Statistics, now: int) -> None:
        """Take a report of the edge node, which also says how its server answered there."""
        self.last_report = statistics
        self.reported_at = now
        self._clear(Fault.STATISTICS, "statistics received again", now)
        # The edge node's own attempt began before the server came back: it is no evidence of a new fault.
        if statistics.server == ServerState.SILENT and self._is_past(now - statistics.connect_time * 1000):
            return
        if statistics.server == ServerState.REFUSES:
            self._raise(Fault.REPORTED, "connection refused at the edge node", now)
        elif statistics.server == ServerState.SILENT:
            self._raise(Fault.REPORTED, "no answer at the edge node", now)
        elif statistics.server == ServerState.ACCEPTS:
            self._clear(Fault.REPORTED, "the edge node reports that its server answers", now)

    def check_statistics(self, settings: Settings, now: int) -> None:
        """Raise a fault when reports stop: the link or the edge node is down. The first report starts the watch."""
        if self.reported_at is None or not settings.statistics_timeout:
            return
        silence = now - self.reported_at
        if silence >= settings.statistics_timeout:
            self._raise(Fault.STATISTICS, f"no statistics for {_seconds(silence)}", now)

    def check_datagrams(self, statistics: Statistics, path: PathCondition, now: int) -> None:
        """Raise a fault when only short datagrams pass: reports arrive, but pages longer than a datagram hang."""
        if path.is_detour:
            self._datagrams = FullDatagrams()
        else:
            self._datagrams.note(statistics, path)
        if trouble := self._datagrams.trouble():
            self._raise(Fault.FULL_DATAGRAMS, trouble, now)
        else:
            self._clear(Fault.FULL_DATAGRAMS, "full datagrams arrive again", now)

    def forget_reports(self, now: int) -> None:
        """There are to be no more reports: their silence is no fault, and what they told of is known no longer."""
        self.last_report = self.reported_at = None
        self._datagrams = FullDatagrams()
        for fault in (Fault.STATISTICS, Fault.REPORTED, Fault.FULL_DATAGRAMS):
            self._clear(fault, "statistics are off", now)

    def forget_missing_reports(self, now: int) -> None:
        """Reports may stop from here on (`statistics_timeout` is 0)."""
        self._clear(Fault.STATISTICS, "missing statistics are no fault", now)

    def stood_still(self, span: int, now: int) -> None:
        """Move the start of each wait on by a span of time (ns, until now) in which no answer could be heard."""
        if self.reported_at is not None:
            self.reported_at = min(self.reported_at + span, now)
        self._askers = {session: min(since + span, now) for session, since in self._askers.items()}

    def next_times(self, settings: Settings) -> list[int]:
        """The times at which a silence becomes a fault, if no report and no answer comes before."""
        silent_at = self._silent_at(settings)
        times = [] if silent_at is None else [silent_at]
        if settings.statistics_timeout and self.reported_at is not None and Fault.STATISTICS not in self.faults:
            times.append(self.reported_at + settings.statistics_timeout)
        return times

    # The way to it.

    def path_changed(self, trouble: str, now: int) -> None:
        """Take the trouble of the path to it as the bearer tells it; empty while the path is whole."""
        if trouble:
            self._raise(Fault.PATH, trouble, now)
        else:
            self._clear(Fault.PATH, "its path is whole again", now)

    def way_changed(self, now: int) -> None:
        """Forget what was silent until now: that was the way that packets took. A refusal was the server's own."""
        if self.reported_at is not None:
            self.reported_at = now
        self._forget_askers()
        self._clear(Fault.STATISTICS, _OTHER_WAY, now)
        if self.last_outcome is Outcome.SILENT:
            self._failures = 0
            self._clear(Fault.PROBE, _OTHER_WAY, now)
            self._clear(Fault.NO_ACK, _OTHER_WAY, now)

    # Probes and polls.

    def probed(self, outcome: Outcome, settings: Settings, now: int, began: int | None = None) -> None:
        """Take the outcome of a probe or a poll; `began` is its start in ns, None for now.

        `fall` failures in a row are a fault, `rise` successes in a row end it.
        """
        if outcome is not Outcome.ANSWERED and began is not None and self._is_past(began):
            return
        self.last_outcome = outcome
        if outcome is Outcome.ANSWERED:
            self.suspect = False
            self._forget_askers()
            self._failures, self._successes = 0, self._successes + 1
            if self._successes >= settings.rise:
                self._clear(Fault.PROBE, "probes are answered", now)
                self._clear(Fault.NO_ACK, "polls are answered", now)
        else:
            self._failures, self._successes = self._failures + 1, 0
            if self._failures >= settings.fall:
                self.suspect = False
                self._raise(Fault.PROBE, f"{outcome} to {count_text(self._failures, 'probe')}", now)
            self._judge_silence(settings, now)

    def forget_probes(self, now: int) -> None:
        """It is not asked any more, so that no answer to come could end what failed probes have told."""
        self.suspect = False
        for fault in (Fault.PROBE, Fault.NO_ACK):
            self._clear(fault, "probes are off", now)

    def not_probed(self) -> None:
        """Count a probe that the depot's own host could not make; the server's condition stays."""
        self.not_made += 1

    def _is_past(self, began: int) -> bool:
        """True when a failed wait began before the server came back alive, so it is no evidence against it."""
        return self.alive and began < self.since

    def inherits(self, fault: Fault, what: str, now: int) -> None:
        """Take a fault over that the depot active before this one had noted."""
        self._raise(fault, what, now)

    # The lists.

    def _raise(self, fault: Fault, what: str, now: int) -> None:
        self.faults[fault] = what
        if self.alive:
            self.alive = False
            self.since = now
            self.deaths += 1
        self.why = self.diagnosis()

    def _clear(self, fault: Fault, what: str, now: int) -> None:
        # Called with every report and probe: only the end of a fault that was raised changes the server's state.
        if self.faults.pop(fault, None) is None:
            return
        if self.faults:
            self.why = self.diagnosis()
        else:
            self.alive = True
            self.recovered = True
            self.last_death = now - self.since
            self.dead_time += self.last_death
            self.since = now
            self.why = what
            self._failures = 0
            self._forget_askers()

    def diagnosis(self) -> str:
        """The cause that the faults together point to, with each fault's text."""
        told = "; ".join(self.faults.values())
        if Fault.PATH in self.faults:
            return f"path down: {told}"
        if Fault.STATISTICS in self.faults:
            return f"link or edge node down: {told}"
        if Fault.FULL_DATAGRAMS in self.faults:
            return f"link passes no long datagrams: {told}"
        if "refused" in told:
            return f"server process down: {told}"
        return f"server silent: {told}"


class Member:
    """A candidate of a balancer: the attributes and methods that the criteria read."""

    __slots__ = ("load", "name", "position", "primary_sessions", "seed", "sessions_since_report", "weight")

    def be_called(self, name: str) -> None:
        """Set the name, and the 64-bit hash of it that keyed criteria read."""
        self.name, self.seed = name, hash_of(b"", name)

    def takes_sessions(self) -> bool:
        """True when a new session may be given to it."""
        raise NotImplementedError

    def is_regular(self) -> bool:
        """True when it is no backup and its weight is above 0."""
        raise NotImplementedError

    def effective_weight(self, now: int) -> int:
        """The weight in hundredths at this time, as slow start has it; `weight` is the full weight."""
        raise NotImplementedError


class Server(Member):
    """A server as the depot knows it: its node and link, its condition, and its sessions."""

    __slots__ = ("_allowed", "_bound", "_has_weight", "_slow_start", "asked", "condition", "draining", "entries",
                 "flows", "flows_leave_at", "is_backup", "link", "node", "octets_in", "octets_out", "path_condition",
                 "proxy", "rates", "settings", "total_sessions")

    def __init__(self, name: str, position: int, settings: ServerSettings, link: str, now: int) -> None:
        self.be_called(name)
        self.configure(position, settings, link)
        self.condition = Condition(now)
        self.draining = False
        self.flows_leave_at = 0  # in ns; only valid while draining
        self.entries = 0  # entries in both tables that refer to it, probes too
        self.flows = self.octets_in = self.octets_out = 0
        self.primary_sessions = self.total_sessions = self.sessions_since_report = 0
        self.load: float | None = None
        self.path_condition = PathCondition()
        self.proxy: ProxyFigures | None = None  # of a caching proxy, as reported or as the depot has asked
        self.asked: ProxyCounts | None = None  # of one that the depot asks itself

    def configure(self, position: int, settings: ServerSettings, link: str) -> None:
        """Take over its settings from a VC table."""
        self.position, self.settings, self.node, self.link = position, settings, settings.node, link
        self.rates = Rates()  # anew: its link may be another
        # Copied from the settings, since they are read for each new session.
        self._bound, self.is_backup, self._has_weight = settings.max_sessions, settings.backup, settings.weight > 0
        self.weight, self._slow_start = settings.weight * _WEIGHT_UNIT, int(settings.slow_start)
        self._allowed = Networks(settings.allow)

    def allows(self, source: bytes) -> bool:
        """True when packets with this source address (4 or 16 octets) may pass from its edge node (`allow`)."""
        return self._allowed.hold(source)

    def forget_condition(self, now: int) -> None:
        """Reset the condition: the server was out of the VC table, so its evidence is out of date."""
        self.condition = Condition(now)
        self.load = self.proxy = None
        self.path_condition = PathCondition()

    @property
    def alive(self) -> bool:
        """True when it is on the alive-list."""
        return self.condition.alive

    def takes_sessions(self) -> bool:
        """True when a new session may be given to it. A method: a property is slower when compiled."""
        return self.condition.alive and not self.draining and not 0 < self._bound <= self.primary_sessions

    def takes_one_for_another(self) -> bool:
        """True when it is at its bound (`max_sessions`) and may take a new session if an old session is evicted."""
        return (self.condition.alive and not self.draining and 0 < self._bound == self.primary_sessions
                and (self.is_backup or self._has_weight))

    def is_regular(self) -> bool:
        """True when it is no backup and its weight is above 0; backups serve only when no regular server can."""
        return not self.is_backup and self._has_weight

    def effective_weight(self, now: int) -> int:
        """The weight in hundredths; after a recovery it grows to the full weight in ten steps over `slow_start`."""
        if self.condition.recovered and self._slow_start:
            since = now - self.condition.since
            if since < self._slow_start:
                return self.weight * max(1, 10 * since // self._slow_start) // 10
        return self.weight


def _client(session: FlowKey) -> bytes:
    """The part of a flow's client address that the client cannot vary: all of IPv4, the /64 of IPv6."""
    source = flow_of_key(session)[1]
    return source if len(source) == 4 else source[:_NETWORK]


def _seconds(ns: int) -> str:
    return f"{ns / 1e9:.1f} s"


def hash_of(octets: bytes, name: str) -> int:
    """A 64-bit hash of octets, keyed by a name (BLAKE2b)."""
    return int.from_bytes(blake2b(octets, digest_size=8, key=name.encode()[:64]).digest(), "big")
