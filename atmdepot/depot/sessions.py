"""Map 50: the primary and the secondary table of sessions (patent, figure 4).

The primary table holds live sessions; a session that has closed, or was idle too long, stays in the secondary table
for 2 MSL, so that late packets still find their server. Look-ups try the primary table first. Every packet of a known
session is forwarded whatever the states guessed here; they only decide when an entry moves.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING

from atmdepot.atm.timers import TimerWheel
from atmdepot.depot.chain import Chain, Chained
from atmdepot.depot.sides import UNKNOWN, Side, is_after, is_between, side_in
from atmdepot.depot.tcp_states import EVENTS, NUMBERS, TcpState, after, is_answer, is_in_handshake, is_opening, is_over
from atmdepot.wire.ip import PROTOCOL_TCP
from atmdepot.wire.tcp import ACK, FIN, RST, SYN

if TYPE_CHECKING:
    from atmdepot.atm.vc import Vc
    from atmdepot.bearer.atm import Target, VpMap
    from atmdepot.config.contract import ServiceCategory
    from atmdepot.config.model import SessionTimers
    from atmdepot.depot.session_management import Server
    from atmdepot.wire.flows import FlowKey
    from atmdepot.wire.packet import TcpFields

_SYN, _FIN, _ACK, _RST = SYN, FIN, ACK, RST  # C numbers, where this is compiled
_MASK = 0xFFFFFFFF
_UNKNOWN = UNKNOWN
_CLOSED, _LISTEN, _SYN_SENT = (NUMBERS[state] for state in (TcpState.CLOSED, TcpState.LISTEN, TcpState.SYN_SENT))
_ESTABLISHED = NUMBERS[TcpState.ESTABLISHED]
_GREATEST_SCALE = 14
"""Window scale options are at most that (RFC 7323 section 2.3)."""
(_SENDS_SYN, _GETS_SYN, _SENDS_SYN_ACK, _GETS_SYN_ACK, _GETS_ACK, _GETS_ACK_OF_FIN, _SENDS_FIN,
 _GETS_FIN) = EVENTS.values()
_PROBE_LINGERS = 2_000_000_000
_AFTER_DOUBTFUL_RST = 10_000_000_000
"""An RST in the window, but not at the exact number, leaves a session 10 s, unless it shows life (RFC 5961)."""


class Table(StrEnum):
    """Where an entry stands."""

    __hash__ = str.__hash__  # Enum's own is a Python function, and these are looked up for each packet

    PRIMARY = "primary"
    SECONDARY = "secondary"
    GONE = "gone"


class SessionEvent(StrEnum):
    """What is told of an entry.

    `OPENED` comes first, and `GONE` last. `CLOSED` comes whenever an entry leaves the primary table, `REVIVED` when it
    comes back; `ESTABLISHED` when the handshake is over, which a UDP flow does not have.
    """

    __hash__ = str.__hash__  # Enum's own is a Python function, and these are looked up for each packet

    OPENED = "opened"
    ESTABLISHED = "established"
    CLOSED = "closed"
    REVIVED = "revived"
    GONE = "gone"


class Session(Chained):
    """An entry: the flow, its server and VC, what both ends were seen to do, and when."""

    __slots__ = (
        "category", "client", "closed_by", "key", "last_seen", "number", "octets_in", "octets_out", "opened", "opening",
        "packets_in", "packets_out", "probe", "second_syn", "server", "server_side", "table", "target",
    )

    def __init__(
        self, key: FlowKey, server: Server, category: ServiceCategory, now: int, *, probe: bool = False,
    ) -> None:
        self._begin(key, server, category, now, probe)

    def _begin(self, key: FlowKey, server: Server, category: ServiceCategory, now: int, probe: bool) -> None:
        self.stand_nowhere(0)
        self.stand_alone()
        self.number = 0  # 1, 2, 3... from when it is entered on
        self.key = key
        self.server = server
        self.category = category
        self.probe = probe
        self.opening = False  # whether it stands among the half-open ones
        self.target: Target
        self.client = side_in(_CLOSED)
        self.server_side = side_in(_LISTEN)
        self.second_syn: TcpFields | None = None
        self.opened = self.last_seen = now
        self.table = _PRIMARY
        self.closed_by = ""
        self.packets_in = self.packets_out = self.octets_in = self.octets_out = 0

    @property
    def vp(self) -> VpMap:
        """The VP to its server."""
        return self.target.vp

    @property
    def vc(self) -> Vc:
        """Its VC there."""
        return self.target.vc

    @property
    def is_tcp(self) -> bool:
        """Whether it is a TCP session, not a UDP flow."""
        return self.key[0] == PROTOCOL_TCP


def session_of(key: FlowKey, server: Server, category: ServiceCategory, now: int) -> Session:
    """A new session; the class does the same, but a call of it costs as much as all else where this is compiled."""
    session = Session.__new__(Session)
    session._begin(key, server, category, now, False)
    return session


_PRIMARY, _SECONDARY, _GONE = Table
_TELL_ESTABLISHED, _TELL_CLOSED, _TELL_GONE = SessionEvent.ESTABLISHED, SessionEvent.CLOSED, SessionEvent.GONE


def is_half_open(session: Session) -> bool:
    """Whether the handshake is not over. A function, since a property is a detour where this is compiled."""
    return is_in_handshake(session.client.state_number) or is_in_handshake(session.server_side.state_number)


SessionObserver = Callable[[Session, SessionEvent, str], None]
"""Hears what happens to an entry, and why."""


class SessionTables:
    """Both tables, their expiry and their bounds. `released` is called when an entry has left both.

    Every entry has a number, in the order in which they were entered: UDP flows and the depot's own probes, too.
    Observers hear of every event; whoever enters an entry tells them `OPENED`, with the target known.
    """

    def __init__(self, timers: SessionTimers, released: Callable[[Session], None]) -> None:
        self.primary: dict[FlowKey, Session] = {}
        self.secondary: dict[FlowKey, Session] = {}
        self.opened = self.evicted = self.adopted = 0
        self.last_number = 0
        self.observers: tuple[SessionObserver, ...] = ()
        self.use(timers)
        self._released = released
        self._wheel = TimerWheel()
        self._half_open = Chain()

    def use(self, timers: SessionTimers) -> None:
        """Go by other times and bounds from here on."""
        self.timers = timers
        # Read for each packet, or for each session.
        self._idle, self._two_msl, self._half_open_time = timers.idle, timers.two_msl, timers.half_open
        self._max_sessions, self._max_half_open = timers.max_sessions, timers.max_half_open

    def find(self, key: FlowKey) -> Session | None:
        """The entry of a flow (client first), from the primary or else the secondary table."""
        session = self.primary.get(key)
        return self.secondary.get(key) if session is None else session

    def is_new(self, session: Session | None, tcp: TcpFields) -> bool:
        """Whether a client's packet opens a session: a SYN with no entry, or one that reuses the port of a closed one.

        A SYN with the old initial number is a late duplicate and goes where the session went.
        """
        if not is_opening(tcp.flags):
            return False
        if (self.timers.reselect and session is not None and session.client.state_number == _SYN_SENT
                and not session.server.alive):
            return True  # no SYN+ACK has come from a server that is dead by now
        if session is None:
            return True
        # The sessions of a dead server are lost (patent, page 16): who reuses such a port must not be lost with it.
        lost = session.table is _SECONDARY or not session.server.alive
        return lost and tcp.sequence != session.client.isn

    def has_room_for(self, key: FlowKey) -> bool:
        """Whether a session may be opened; one that reuses a closed one's port takes its place."""
        return len(self.primary) + len(self.secondary) < self._max_sessions or key in self.secondary

    def pushed_out(self, key: FlowKey) -> Session | None:
        """The half-open session that a new one of a flow would push out, beside the old entry of that flow.

        A flood of SYNs only ever pushes out other half-open sessions, the oldest first.
        """
        if len(self._half_open) < self._max_half_open:
            return None
        old = self.find(key)
        if len(self._half_open) - (old is not None and old.opening) < self._max_half_open:
            return None
        session: Session | None = self._half_open.oldest(old)
        return session

    def open(self, session: Session, now: int) -> Session | None:
        """Enter a new session into the primary table; an old entry of its flow makes way, and is given back."""
        pushed_out = self.pushed_out(session.key)
        if (old := self.find(session.key)) is not None:
            self._remove(old, "port reused" if old.table is _SECONDARY else "replaced")
        if pushed_out is not None:
            self.evicted += 1
            self._remove(pushed_out, "evicted")
        self._enter(session, now + self._half_open_time, now)
        session.opening = True
        self._half_open.add(session)
        return old

    def _enter(self, session: Session, deadline: int, now: int) -> None:
        self.last_number += 1
        session.number = self.last_number
        if not session.probe:
            self.opened += 1
            session.server.primary_sessions += 1
            session.server.total_sessions += 1
            session.server.sessions_since_report += 1
        self.primary[session.key] = session
        session.deadline = deadline
        self._wheel.add(session, now)

    def adopt(self, session: Session, now: int) -> None:
        """Enter a session or flow that was open before the depot knew of it, and tell of it.

        Of a session seen first in the middle the window scales are unknown, so the widest are assumed: no good packet
        must seem to lie beyond its window.
        """
        for side in (session.client, session.server_side):
            side.state_number, side.scale = _ESTABLISHED, _GREATEST_SCALE
        self.adopted += 1
        self._enter(session, now + (self._idle if session.is_tcp else self.timers.udp_idle), now)
        self.tell(session, SessionEvent.OPENED, "adopted")
        if session.is_tcp:
            self.tell(session, SessionEvent.ESTABLISHED)

    def open_flow(self, flow: Session, now: int) -> None:
        """Enter a UDP flow, which has an idle time and no states."""
        self._enter(flow, now + self.timers.udp_idle, now)

    def touch_flow(self, flow: Session, now: int) -> None:
        """A packet of a UDP flow has come."""
        flow.last_seen = now
        flow.deadline = now + self.timers.udp_idle

    def track(self, session: Session, tcp: TcpFields, now: int, from_client: bool) -> None:
        """Follow a packet of a session: both ends' states, and by them the entry's table and deadline."""
        session.last_seen = now
        if tcp.flags & _SYN and not tcp.flags & _RST and not _counts(session, tcp, from_client):
            return
        sender, receiver = session.client, session.server_side
        if not from_client:
            sender, receiver = receiver, sender
        if tcp.flags & _RST:
            self._reset(session, sender, receiver, tcp, now)
            return
        if tcp.flags & _SYN and tcp.sequence != sender.isn:
            receiver.acknowledged = receiver.edge = _UNKNOWN  # what was said to another incarnation
        if tcp.flags & _SYN or receiver.expects(tcp):
            sender.follow(tcp, session.client.scale != _UNKNOWN and session.server_side.scale != _UNKNOWN)
            _advance(sender, receiver, tcp)
        if session.table is _SECONDARY and not self._revive(session):
            return
        if is_over(sender.state_number) and is_over(receiver.state_number):
            self._to_secondary(session, "FIN", now)
        elif not is_half_open(session):
            if session.opening:
                self._established(session)
            self._expire_at(session, now + self._idle, now)

    def _established(self, session: Session) -> None:
        session.opening = False
        self._half_open.remove(session)
        self.tell(session, _TELL_ESTABLISHED)

    def _expire_at(self, session: Session, deadline: int, now: int) -> None:
        earlier = deadline < session.deadline
        session.deadline = deadline
        if earlier:
            self._wheel.add(session, now)

    def _reset(self, session: Session, sender: Side, receiver: Side, tcp: TcpFields, now: int) -> None:
        """An RST closes when its number is exactly the expected one; one merely in the window shortens the life."""
        if session.table is not _PRIMARY or sender.state_number == _SYN_SENT:
            # An end in SYN-SENT refuses a strange answer with an RST, and goes on with its SYN.
            return
        if receiver.state_number == _SYN_SENT:
            # RFC 9293 section 3.10.7.3: valid if it acknowledges the SYN.
            valid = bool(tcp.flags & _ACK) and is_between(receiver.isn + 1, tcp.acknowledgment, receiver.end)
            doubtful = False
        else:
            expected = sender.last_end if receiver.acknowledged == _UNKNOWN else receiver.acknowledged
            valid = tcp.sequence in (expected, sender.last_end)
            doubtful = (tcp.sequence - expected) & _MASK < max(receiver.window, 1)
        if valid:
            sender.state_number = receiver.state_number = _CLOSED
            self._to_secondary(session, "RST", now)
        elif doubtful:
            self._expire_at(session, min(session.deadline, now + _AFTER_DOUBTFUL_RST), now)

    def _revive(self, session: Session) -> bool:
        """Bring back a session that was only idle (keep-alives are often rarer than 20 minutes), or opened late."""
        if session.closed_by not in ("idle", "half-open") or is_half_open(session):
            return False
        del self.secondary[session.key]
        self.primary[session.key] = session
        session.table = _PRIMARY
        why, session.closed_by = session.closed_by, ""
        session.server.primary_sessions += not session.probe
        self.tell(session, SessionEvent.REVIVED, f"after {why}")
        return True

    def _to_secondary(self, session: Session, why: str, now: int) -> None:
        self._leave_primary(session)
        session.table = _SECONDARY
        session.closed_by = why
        self.secondary[session.key] = session
        session.deadline = now + (_PROBE_LINGERS if session.probe else self._two_msl)
        self._wheel.add(session, now)
        self.tell(session, _TELL_CLOSED, why)

    def _leave_primary(self, session: Session) -> None:
        del self.primary[session.key]
        if session.opening:
            session.opening = False
            self._half_open.remove(session)
        session.server.primary_sessions -= not session.probe

    def _remove(self, session: Session, why: str) -> None:
        """Take an entry out of its table for good; its VC comes free."""
        if session.table is _PRIMARY:
            self._leave_primary(session)
            self.tell(session, _TELL_CLOSED, why)
        else:
            del self.secondary[session.key]
        session.table = _GONE
        self._wheel.remove(session)
        self._released(session)
        self.tell(session, _TELL_GONE, why)

    def tell(self, session: Session, event: SessionEvent, why: str = "") -> None:
        """Tell the observers what has happened to an entry, and why."""
        for observer in self.observers:
            observer(session, event, why)

    def subscribe(self, observer: SessionObserver) -> None:
        """Tell an observer of every event from now on."""
        self.observers += (observer,)

    def unsubscribe(self, observer: SessionObserver) -> None:
        """Tell an observer no more; the others hear on."""
        self.observers = tuple(other for other in self.observers if other != observer)

    def expire(self, now: int) -> None:
        """Move idle entries to the secondary table, and drop those that have been there for 2 MSL."""
        for session in self._wheel.expired(now):
            if session.table is _PRIMARY and session.is_tcp:
                self._to_secondary(session, "half-open" if is_half_open(session) else "idle", now)
            elif session.table is not _GONE:
                self._remove(session, "idle" if session.table is _PRIMARY else "2 MSL are over")

    def next_timer(self) -> int | None:
        """When `expire` should be called next (ns), or None."""
        return self._wheel.next_timer()


def _counts(session: Session, tcp: TcpFields, from_client: bool) -> bool:
    """Whether a packet with SYN says anything of the session's states.

    When the handshake is over, a SYN only gets a challenge ACK (RFC 9293 section 3.10.7.4), so it changes nothing,
    unless its server answers with a SYN+ACK after all: then both ends begin again.
    """
    if is_half_open(session):
        return not tcp.flags & _FIN
    if from_client:
        if is_opening(tcp.flags) and tcp.sequence != session.client.isn:
            session.second_syn = tcp
        return False
    syn = session.second_syn
    if syn is None or not is_answer(tcp.flags) or \
            not 0 < (tcp.acknowledgment - syn.sequence) & _MASK <= syn.length + 1:
        return False
    session.second_syn = None
    session.client, session.server_side = side_in(_CLOSED), side_in(_LISTEN)
    session.client.follow(syn, scaled=False)
    _advance(session.client, session.server_side, syn)
    return True


def _advance(sender: Side, receiver: Side, tcp: TcpFields) -> None:
    """Move both ends' states by a packet that is no RST."""
    if is_opening(tcp.flags):
        _apply(sender, _SENDS_SYN)
        _apply(receiver, _GETS_SYN)
    elif is_answer(tcp.flags):
        # An answer to another incarnation's SYN leaves SYN-SENT as it is.
        if receiver.state_number == _SYN_SENT and tcp.acknowledgment != (receiver.isn + 1) & _MASK \
                and tcp.acknowledgment != receiver.end:
            return
        _apply(sender, _SENDS_SYN_ACK)
        _apply(receiver, _GETS_SYN_ACK)
    elif tcp.flags & _ACK:
        _apply(receiver, _GETS_ACK)
        if receiver.fin_end != _UNKNOWN and not is_after(receiver.fin_end, tcp.acknowledgment):
            _apply(receiver, _GETS_ACK_OF_FIN)
    if tcp.flags & _FIN:
        _apply(sender, _SENDS_FIN)
        _apply(receiver, _GETS_FIN)


def _apply(side: Side, event: int) -> None:
    side.state_number = after(side.state_number, event)
