"""A server as the depot knows it: what a balancer sees of it, its condition, and what it carries.

This module decides what a server's condition is by what is reported of it (`probing`); it looks at no clock and no
socket. Times in ns.
"""

from __future__ import annotations

from enum import StrEnum
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING

from atmdepot.atm.adaptation import PathCondition
from atmdepot.config.units import count_text
from atmdepot.depot.full_datagrams import FullDatagrams
from atmdepot.depot.networks import Networks
from atmdepot.wire.flows import flow_of_key
from atmdepot.wire.statistics import ServerState, Statistics

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.config.model import Probing as Settings
    from atmdepot.config.model import Server as ServerSettings
    from atmdepot.wire.flows import FlowKey

_MAX_ASKERS = 128
_ENOUGH_CLIENTS = 64
"""The most that `no_ack_sessions` may ask for."""
_NETWORK = 8
"""A client of IPv6 has a /64 to itself, and any address in it."""
_WEIGHT_UNIT = 100
"""Weights are counted in hundredths, so that a slow start has steps between 0 and weight 1."""


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

    __slots__ = ("_askers", "_datagrams", "_failures", "_full", "_successes", "alive", "faults", "last_outcome",
                 "last_report", "not_made", "on_suspicion", "recovered", "reported_at", "since", "suspect", "why")

    def __init__(self, now: int) -> None:
        self.alive = True
        self.since = now
        self.why = "at start"
        self.recovered = False  # as against never having failed: slow start is for the former only
        self.faults: dict[Fault, str] = {}
        self.last_outcome: Outcome | None = None
        self.last_report: Statistics | None = None
        self.reported_at: int | None = None
        self.suspect = False  # a session was refused, or several are silent: probe at once, and without a pause
        self.on_suspicion: Callable[[], object] | None = None  # whoever probes may wait for it
        self.not_made = 0  # probes that the depot's host could not make
        self._askers: dict[FlowKey, int] = {}  # sessions that wait for an answer, and since when; the first first
        self._full = False  # of sessions of enough clients
        self._failures = self._successes = 0
        self._datagrams = FullDatagrams()

    def refused(self) -> None:
        """A session was refused. The server may have lost its process, so it is suspect until it was probed."""
        self._suspect()

    def _suspect(self) -> None:
        if not self.suspect:
            self.suspect = True
            if self.on_suspicion is not None:
                self.on_suspicion()

    # Silence where an ACK was due.

    def asked(self, session: FlowKey, now: int) -> None:
        """A client's SYN or data went to the server, in the session of this flow."""
        if len(self._askers) < _MAX_ASKERS:
            self._askers.setdefault(session, now)
        elif not self._full:
            self._make_room()

    def _make_room(self) -> None:
        """Keep one session of each client, so that no client fills the place of all others."""
        first: dict[bytes, FlowKey] = {}
        for session in self._askers:
            first.setdefault(_client(session), session)
        self._askers = {session: self._askers[session] for session in first.values()}
        self._full = len(first) >= _ENOUGH_CLIENTS

    def answered(self, now: int) -> None:
        """Anything came from the server."""
        if self._askers:
            self._forget_askers()
            if self.faults:
                self._clear(Fault.NO_ACK, "it answers again", now)

    def _forget_askers(self) -> None:
        self._askers.clear()
        self._full = False

    def check_silence(self, settings: Settings, now: int) -> None:
        """Several sessions without an answer make a server suspect; where its last probe had none, it is dead."""
        due = self._silent_at(settings)
        if due is not None and due <= now:
            self._suspect()
            self._judge_silence(settings, now)

    def _judge_silence(self, settings: Settings, now: int) -> None:
        """Where the last probe had no answer, it is a fault that as many different clients wait for theirs, too."""
        if not settings.no_ack or Fault.NO_ACK in self.faults or self.last_outcome is not Outcome.SILENT:
            return
        waited = [(session, since) for session, since in self._askers.items() if since + settings.no_ack <= now]
        clients = len({_client(session) for session, _ in waited})
        if clients >= settings.no_ack_sessions:
            told = count_text(clients, "client")
            self._raise(Fault.NO_ACK, f"no ACK for {_seconds(now - waited[0][1])} to {told}", now)
            self.suspect = False

    def _silent_at(self, settings: Settings) -> int | None:
        """When enough sessions will each have waited long enough: one that began to wait just now proves nothing."""
        if not settings.no_ack or self.suspect or self.faults:
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
        self._datagrams.note(statistics, path)
        if trouble := self._datagrams.trouble():
            self._raise(Fault.FULL_DATAGRAMS, trouble, now)
        else:
            self._clear(Fault.FULL_DATAGRAMS, "full datagrams arrive again", now)

    def stood_still(self, span: int, now: int) -> None:
        """Move all that was waited for on, by a span of time (ns, until now) in which no answer could be heard."""
        if self.reported_at is not None:
            self.reported_at = min(self.reported_at + span, now)
        self._askers = {session: min(since + span, now) for session, since in self._askers.items()}

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

    def not_probed(self) -> None:
        """Count a probe that the depot's own host could not make: it says nothing of the server."""
        self.not_made += 1

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
            self._forget_askers()

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


class Member:
    """What a balancer chooses among, as far as the criteria know it."""

    __slots__ = ("load", "name", "position", "primary_sessions", "seed", "sessions_since_report", "weight")

    def be_called(self, name: str) -> None:
        """Take a name, and a hash of it."""
        self.name, self.seed = name, hash_of(b"", name)

    def takes_sessions(self) -> bool:
        """Whether a new session may be given to it."""
        raise NotImplementedError

    def is_regular(self) -> bool:
        """Whether it is no backup, and has a weight."""
        raise NotImplementedError

    def effective_weight(self, now: int) -> int:
        """Its weight in hundredths at this time; `weight` is the whole."""
        raise NotImplementedError


class Server(Member):
    """A server as the depot knows it: where it is, its condition, and what it carries."""

    __slots__ = ("_allowed", "_bound", "_has_weight", "_slow_start", "condition", "draining", "entries", "flows",
                 "flows_leave_at", "is_backup", "link", "path", "settings", "total_sessions", "vp")

    def __init__(self, name: str, position: int, settings: ServerSettings, vp: str, link: str, now: int) -> None:
        self.be_called(name)
        self.configure(position, settings, vp, link)
        self.condition = Condition(now)
        self.draining = False
        self.flows_leave_at = 0  # in ns; has a meaning while it is draining
        self.entries = 0  # in both tables, probes too: all that refers to it
        self.flows = 0
        self.primary_sessions = self.total_sessions = self.sessions_since_report = 0
        self.load: float | None = None
        self.path = PathCondition()

    def configure(self, position: int, settings: ServerSettings, vp: str, link: str) -> None:
        """Take over what a VC table says of it."""
        self.position, self.settings, self.vp, self.link = position, settings, vp, link
        # Looked at for each new session.
        self._bound, self.is_backup, self._has_weight = settings.max_sessions, settings.backup, settings.weight > 0
        self.weight, self._slow_start = settings.weight * _WEIGHT_UNIT, int(settings.slow_start)
        self._allowed = Networks(settings.allow)

    def allows(self, source: bytes) -> bool:
        """True when packets with this source address (4 or 16 octets) may pass from its edge node (`allow`)."""
        return self._allowed.hold(source)

    def forget_condition(self, now: int) -> None:
        """Begin anew with its condition: it was out of the VC table, so what is known of it is old."""
        self.condition = Condition(now)
        self.load = None
        self.path = PathCondition()

    @property
    def alive(self) -> bool:
        """Whether it is on the alive-list."""
        return self.condition.alive

    def takes_sessions(self) -> bool:
        """Whether a new session may be given to it. A method, since a property is a detour where this is compiled."""
        return self.condition.alive and not self.draining and not 0 < self._bound <= self.primary_sessions

    def takes_one_for_another(self) -> bool:
        """Whether it is at its bound, so that a new session may be given to it when one that it has goes."""
        return (self.condition.alive and not self.draining and 0 < self._bound == self.primary_sessions
                and (self.is_backup or self._has_weight))

    def is_regular(self) -> bool:
        """Whether it is no backup, and has a weight: backup servers are for when no other is there."""
        return not self.is_backup and self._has_weight

    def effective_weight(self, now: int) -> int:
        """Its weight in hundredths; after a recovery it grows in tenths to the whole over `slow_start`."""
        if self.condition.recovered and self._slow_start:
            since = now - self.condition.since
            if since < self._slow_start:
                return self.weight * max(1, 10 * since // self._slow_start) // 10
        return self.weight


def _client(session: FlowKey) -> bytes:
    """The client of a flow, as far as it cannot choose another address for each session."""
    source = flow_of_key(session)[1]
    return source if len(source) == 4 else source[:_NETWORK]


def _seconds(ns: int) -> str:
    return f"{ns / 1e9:.1f} s"


def hash_of(octets: bytes, name: str) -> int:
    """64 bits of a hash of octets, keyed by a name (BLAKE2b)."""
    return int.from_bytes(blake2b(octets, digest_size=8, key=name.encode()[:64]).digest(), "big")
