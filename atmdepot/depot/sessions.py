"""Map 50: the primary and the secondary table of sessions (patent, figure 4).

The primary table holds live sessions. A session that has closed, or was idle too long, stays in the secondary table for
2 MSL, so that late packets still find their server. A flow has an entry in one of the tables at most, so both share an
index (`depot/session_index.py`). Every packet of a known session is forwarded in any state; the states that TCP state
tracking guesses only decide when an entry moves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.atm.timers import TimerWheel, Walk
from atmdepot.depot.eviction import Eviction
from atmdepot.depot.session import Session, SessionEvent, SessionLog, SessionObserver, Table
from atmdepot.depot.session_index import SessionIndex, TableView
from atmdepot.depot.tcp_tracking import (
    DOUBTFUL_RST,
    ENDED,
    IGNORED,
    OPEN,
    RESET,
    follow,
    follows_frame,
    is_half_open,
    is_opening,
)
from atmdepot.depot.told import ToldEntries
from atmdepot.wire.ip import PROTOCOL_TCP
from atmdepot.wire.tcp import SYN

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.config.pools import SessionTimers
    from atmdepot.wire.flows import FlowKey
    from atmdepot.wire.packet import TcpFields

_TCP, _SYN = PROTOCOL_TCP, SYN  # C numbers, where this is compiled
_PRIMARY, _SECONDARY, _GONE = Table
_TELL_ESTABLISHED, _TELL_CLOSED, _TELL_GONE = SessionEvent.ESTABLISHED, SessionEvent.CLOSED, SessionEvent.GONE
_IGNORED, _DOUBTFUL_RST, _RESET, _OPEN, _ENDED = IGNORED, DOUBTFUL_RST, RESET, OPEN, ENDED
_STATES = 0xFF
"""The bits of `Session.told` that have the states of both ends."""
_PROBE_LINGERS = 2_000_000_000  # ns: the depot's own probes need no 2 MSL
_NEVER_ESTABLISHED_LINGERS = 5_000_000_000
"""Life (ns) in the secondary table of a session reset in its handshake.

It has no late data, so it needs no 2 MSL, only time for packets in flight. A handshake that only took too long may
still end (Linux sends its SYN for 127 s), so its entry stays for 2 MSL.
"""
_AFTER_DOUBTFUL_RST = 10_000_000_000
"""Life (ns) of a session after an RST in the window but not at the exact number, until a later packet (RFC 5961)."""


class SessionTables:
    """Both tables, their expiry and their bounds. `released` is called when an entry has left both.

    Every entry has a number, in order of entry: UDP flows and the depot's own probes too. Observers hear every event.
    The caller that enters an entry reports `OPENED` itself, since only then the path is known.
    """

    def __init__(
        self, timers: SessionTimers, released: Callable[[Session], None],
        is_lost: Callable[[Session], bool] | None = None,
    ) -> None:
        self.index = SessionIndex()
        """All entries, of both tables."""
        self.primary = TableView(self.index, _PRIMARY, False)
        self.secondary = TableView(self.index, _SECONDARY, True)
        self.opened = self.adopted = 0
        self.evicted = 0
        """Half-open sessions evicted so far."""
        self.evicted_closed = 0
        """Entries of the secondary table evicted so far."""
        self.evicted_unanswered = 0
        """Unanswered UDP flows evicted so far."""
        self.last_number = 0
        self.observers: tuple[SessionObserver, ...] = ()  # a tuple: an observer may unsubscribe while it is called
        self.log: SessionLog | None = None
        """The log of this depot's stream to others of its set, while there is one."""
        self.told = ToldEntries()
        """The live entries that the stream, to others or from the active, has told."""
        self.stands_by = False
        """True while another depot of the set is active: then told entries do not age here."""
        self.taken_over_at = 0
        """The time (ns) from which on packets come here; an entry not seen since has its whole idle time from then."""
        self.client_seen = -1 << 62
        """The time (ns) of the last packet of a session or flow that came here from a client; forwarding sets it."""
        self.eviction = Eviction(self.index, timers)
        self.use(timers)
        self._released = released
        self._is_lost = _is_on_dead_server if is_lost is None else is_lost
        self.wheel = TimerWheel()

    def use(self, timers: SessionTimers) -> None:
        """Apply other times and bounds from now on."""
        self.timers = timers
        # Copied from the settings, since they are read for each packet or each session.
        self._idle, self._two_msl, self._half_open_time = timers.idle, timers.two_msl, timers.half_open
        self.eviction.use(timers)

    def find(self, key: FlowKey) -> Session | None:
        """The entry of a flow (client first), in whichever table it stands, or None."""
        session: Session | None = self.index.find(key)
        return session

    def followed(self, key: FlowKey, tcp: TcpFields) -> Session | None:
        """The entry to which a client's segment belongs; None without an entry, and for a SYN that opens a new one."""
        session: Session | None = self.index.find(key)
        # Nearly all segments have no SYN.
        if session is None or (tcp.flags & _SYN and self.is_new(session, tcp)):
            return None
        return session

    def is_new(self, session: Session | None, tcp: TcpFields) -> bool:
        """True when a client's segment opens a session: a SYN without an entry, or a SYN that reuses a closed port.

        A SYN with the old initial sequence number is a late duplicate and stays with the old session.
        """
        if not is_opening(tcp.flags):
            return False
        if session is None:
            return True
        if not session.client.spoke and is_half_open(session) and tcp.sequence != session.client.isn:
            return True  # the dead depot's half-open entry must not stand in the way
        if tcp.sequence == session.client.isn:
            # A server that died before its SYN+ACK leaves the SYN, sent again, to another server.
            return bool(self.timers.reselect) and session.client.waits_for_an_answer() and self._is_lost(session)
        # The sessions of a dead server are lost (patent, page 16); a new session on the same port must not be.
        return session.table is _SECONDARY or self._is_lost(session)

    def may_be_outdated(self, session: Session) -> bool:
        """True for a closed entry that was only told: its client may have opened another session since."""
        return session.table is _SECONDARY and session.last_seen < self.taken_over_at

    def is_lost(self, session: Session) -> bool:
        """True when the server of an entry is dead, or no longer serves the entry's service."""
        return self._is_lost(session)

    def open(self, session: Session, now: int, evicts: Session | None) -> Session | None:
        """Enter a new session into the primary table; the old entry of its flow is removed and returned.

        The entry `evicts`, which `eviction` chooses, makes room. The depot's own probe gets a place even in a full
        table, and is never evicted; there is a single probe per server.
        """
        old = self.make_way(session, evicts)
        self.enter(session, now + self._half_open_time, now)
        self.eviction.begin_opening(session)
        if self.log is not None and self.log.half_open and not session.probe:
            self.log.note(session)
        return old

    def make_way(self, session: Session, evicts: Session | None) -> Session | None:
        """Remove the old entry of a new entry's flow and return it; evict the entry that makes room."""
        old = self.find(session.key)
        if old is not None:
            self.remove(old, "port reused" if old.table is _SECONDARY else "replaced")
        if evicts is not None:
            self.evict(evicts)
        return old

    def evict(self, session: Session) -> None:
        """Evict a half-open session, an unanswered flow or a closed session, and count it."""
        if session.table is _SECONDARY:
            self.evicted_closed += 1
        elif session.key[0] == _TCP:
            self.evicted += 1
        else:
            self.evicted_unanswered += 1
        self.remove(session, "evicted")

    def enter(self, session: Session, deadline: int, now: int) -> None:
        """Enter an entry into the primary table, count it, and have it expire."""
        self.last_number += 1
        session.number = self.last_number
        session.server.entries += 1
        if not session.probe:
            self.opened += 1
            session.server.primary_sessions += 1
            session.server.total_sessions += 1
            session.server.sessions_since_report += 1
        self.index.enter(session.key, session)
        session.deadline = deadline
        self.wheel.add(session, now)

    def open_flow(self, flow: Session, now: int, evicts: Session | None) -> Session | None:
        """Enter a UDP flow, which has an idle time but no states, as `open` does a session."""
        old = self.make_way(flow, evicts)
        self.enter(flow, now + self.timers.udp_idle, now)
        flow.server.flows += 1
        self.eviction.begin_opening(flow)
        return old

    def flow_answered(self, flow: Session) -> None:
        """Note the first answer to a UDP flow: from now on it is not evicted."""
        self.eviction.end_opening(flow)
        self.note(flow)

    def touch_flow(self, flow: Session, now: int) -> None:
        """Note a packet of a UDP flow, which prolongs the flow."""
        flow.last_seen = now
        flow.deadline = now + self.timers.udp_idle

    def track(self, session: Session, tcp: TcpFields, now: int, from_client: bool) -> None:
        """Follow a segment of a session, and move the entry and its deadline by the states of both ends."""
        session.last_seen = now
        found = follow(session, tcp, from_client)
        if found == _IGNORED:
            return
        if found in (_RESET, _DOUBTFUL_RST):
            self._reset(session, found == _RESET, now)
            return
        if session.table is _SECONDARY and not self._revive(session):
            return
        if found == _ENDED:
            self.to_secondary(session, "FIN", now)
        elif found == _OPEN:  # a half-open session keeps its first deadline
            if session.opening:
                self._established(session)
            elif self.log is not None and not session.noted and (
                    session.told ^ (session.client.state_number << 4 | session.server_side.state_number)) & _STATES:
                self.log.note(session)  # its states are not those that were told: a FIN has moved them
            self._expire_at(session, now + self._idle, now)
        elif self.log is not None and not session.noted and (self.log.half_open or not session.opening):
            self.log.note(session)  # a handshake that goes on, or begins again with other numbers

    def follows_frame(self, session: Session, tcp: TcpFields, from_client: bool) -> bool:
        """True when to `track` a frame as one segment has the effect of its packets."""
        return session.table is _PRIMARY and follows_frame(session, tcp, from_client)

    def _established(self, session: Session) -> None:
        self.eviction.end_opening(session)
        self.tell(session, _TELL_ESTABLISHED)
        if self.log is not None:
            self.log.note(session)

    def _expire_at(self, session: Session, deadline: int, now: int) -> None:
        earlier = deadline < session.deadline
        session.deadline = deadline
        if earlier:  # the wheel itself looks for later deadlines
            self.wheel.add(session, now)

    def _reset(self, session: Session, valid: bool, now: int) -> None:
        """Close a session on a valid RST; on a doubtful RST shorten its life."""
        if session.table is not _PRIMARY:
            return
        if valid:
            session.end()
            self.to_secondary(session, "RST", now)
        else:
            self._expire_at(session, min(session.deadline, now + _AFTER_DOUBTFUL_RST), now)

    def _revive(self, session: Session) -> bool:
        """Bring back a session that opened late, or was only idle (keep-alives are often over 20 minutes apart)."""
        # A FIN or an RST closed for good: late segments must not bring the session back.
        if session.closed_by not in ("idle", "half-open") or is_half_open(session):
            return False
        self.to_primary(session)
        return True

    def to_primary(self, session: Session) -> None:
        """Bring an entry back to the primary table; its deadline stays."""
        self.eviction.closed.remove(session)
        self.index.over -= 1
        session.table = _PRIMARY
        why, session.closed_by = session.closed_by, ""
        session.server.primary_sessions += not session.probe
        self.tell(session, SessionEvent.REVIVED, f"after {why}")
        self.note(session)

    def to_secondary(self, session: Session, why: str, now: int) -> None:
        """Move an entry to the secondary table, and tell why; there it lingers."""
        lingers = int(self._two_msl)
        if session.probe:
            lingers = _PROBE_LINGERS
        elif session.opening and why == "RST" and lingers > _NEVER_ESTABLISHED_LINGERS:
            lingers = _NEVER_ESTABLISHED_LINGERS
        self._leave_primary(session)
        session.table = _SECONDARY
        session.closed_by = why
        self.index.over += 1
        self.eviction.closed.add(session)
        session.deadline = now + lingers
        self.wheel.add(session, now)
        self.tell(session, _TELL_CLOSED, why)
        if self.log is not None:
            self.log.note(session)

    def _leave_primary(self, session: Session) -> None:
        if session.opening:
            self.eviction.end_opening(session)
        session.server.primary_sessions -= not session.probe

    def remove(self, session: Session, why: str) -> None:
        """Remove an entry from its table for good; its path is closed."""
        self.index.leave(session.key)
        if session.table is _PRIMARY:
            self._leave_primary(session)
            self.tell(session, _TELL_CLOSED, why)
        else:
            self.index.over -= 1
            self.eviction.closed.remove(session)
        session.server.entries -= 1
        if session.key[0] != _TCP:
            session.server.flows -= 1
        session.table = _GONE
        if session.told:
            self.forget_told(session)
        self.wheel.remove(session)
        self._released(session)
        self.tell(session, _TELL_GONE, why)

    def note(self, session: Session) -> None:
        """Have the log, if there is one, tell what has become of an entry."""
        if self.log is not None:
            self.log.note(session)

    def forget_told(self, session: Session) -> None:
        """Have the log tell that a live entry is gone."""
        if self.told.leave(session) and self.log is not None:
            self.log.note_gone(session)

    def tell(self, session: Session, event: SessionEvent, why: str = "") -> None:
        """Report an event of an entry, and its reason, to the observers."""
        for observer in self.observers:
            observer(session, event, why)

    def subscribe(self, observer: SessionObserver) -> None:
        """Report every event to an observer from now on."""
        self.observers += (observer,)

    def unsubscribe(self, observer: SessionObserver) -> None:
        """Stop reporting to an observer; the rest hear on."""
        self.observers = tuple(other for other in self.observers if other != observer)

    # Standing by for another depot of the set; `adopting.py` has what that one tells of its entries.

    def stand_by(self) -> None:
        """Stand by: another depot is active, which tells of its entries. They do not age here."""
        self.stands_by = True

    def take_over(self, now: int) -> None:
        """Become active. No entry is looked at: each gets its whole idle time when its slot comes round."""
        self.stands_by = False
        self.taken_over_at = now

    def walk(self) -> Walk:
        """Begin a walk over all entries of both tables."""
        return Walk(self.wheel)

    def span_of(self, session: Session, opening: bool) -> int:
        """The longest silence (ns) of a live entry, half-open or not, or of a flow."""
        if not session.is_tcp:
            return int(self.timers.udp_idle)
        return self._half_open_time if opening else self._idle

    # In time.

    def expire(self, now: int) -> None:
        """Move idle sessions to the secondary table; remove idle flows, and entries that were there for 2 MSL."""
        session: Session
        for session in self.wheel.expired(now):
            if session.table is _PRIMARY and (self.stands_by or session.last_seen < self.taken_over_at) \
                    and self._lives_on(session, now):
                continue
            if session.table is _PRIMARY and session.is_tcp:
                self.to_secondary(session, "half-open" if session.opening else "idle", now)
            elif session.table is not _GONE:
                self.remove(session, "idle" if session.table is _PRIMARY else "2 MSL are over")

    def _lives_on(self, session: Session, now: int) -> bool:
        """Give an entry more time if the active depot ages it, or if its time of silence began at the takeover."""
        if self.stands_by:
            since = now if self.told.of(session) else 0
        else:
            since = self.taken_over_at
        deadline = since + self.span_of(session, session.opening)
        if deadline <= now:
            return False
        session.deadline = deadline
        self.wheel.add(session, now)
        return True

    def next_timer(self) -> int | None:
        """The time (ns) at which `expire` should be called next, or None."""
        return self.wheel.next_timer()


def _is_on_dead_server(session: Session) -> bool:
    return not session.server.alive
