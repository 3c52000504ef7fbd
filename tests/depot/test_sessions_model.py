"""Both session tables against plain dictionaries that are scanned: any exchange, any order, any rest between."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from atmdepot.config.contract import ServiceCategory
from atmdepot.config.pools import SessionTimers
from atmdepot.config.units import Duration
from atmdepot.depot.session import Session, Table
from atmdepot.depot.sessions import SessionTables
from atmdepot.depot.tcp_tracking import is_half_open
from atmdepot.wire.flows import FlowKey, flow_key
from atmdepot.wire.packet import TcpFields
from tests.depot.servers import make_server
from tests.effort import examples
from tests.ip_packets import ACK, FIN, RST, SYN

if TYPE_CHECKING:
    from collections.abc import Callable

SECOND = 10**9
HALF_OPEN, IDLE, TWO_MSL, DOUBTFUL = 30 * SECOND, 100 * SECOND, 20 * SECOND, 10 * SECOND
RESET_HANDSHAKE, UDP_IDLE = 5 * SECOND, 40 * SECOND
MAX_SESSIONS, MAX_HALF_OPEN, RESERVE = 8, 3, 1
WINDOW = 65535
KEYS: list[FlowKey] = [flow_key(6, b"\x0a\x09\0\2", port, b"\x0a\x50\0\1", 80) for port in range(4000, 4009)]
FLOWS: list[FlowKey] = [flow_key(17, b"\x0a\x09\0\2", port, b"\x0a\x50\0\1", 80) for port in range(4000, 4005)]
M = 1 << 32
keys = st.sampled_from(KEYS)


@dataclass
class PlainSide:
    """An end that sends in order: its next number, what it last acknowledged, its FIN."""

    next: int = 0
    acknowledged: int | None = None
    fin_end: int | None = None
    fin_acknowledged: bool = False


@dataclass
class PlainEntry:
    """Invariants of an entry."""

    session: Session
    isn: int
    deadline: int
    table: str = "primary"
    closed_by: str = ""
    answered: bool = False
    open: bool = False
    client: PlainSide = field(default_factory=PlainSide)
    server: PlainSide = field(default_factory=PlainSide)
    left_at: int = 0
    """Its turn in the secondary table, as a number that grows."""

    @property
    def is_tcp(self) -> bool:
        return self.session.is_tcp

    @property
    def opening(self) -> bool:
        """Half-open, or without an answer."""
        return self.table == "primary" and not self.open

    @property
    def follows_handshake(self) -> bool:
        return not self.open and self.closed_by in ("", "half-open")


class SessionsMachine(RuleBasedStateMachine):
    """Clients and servers that keep to TCP, and others that send resets and duplicates."""

    def __init__(self) -> None:
        super().__init__()
        timers = SessionTimers(half_open=Duration(HALF_OPEN), idle=Duration(IDLE), two_msl=Duration(TWO_MSL),
                               udp_idle=Duration(UDP_IDLE), max_sessions=MAX_SESSIONS, max_half_open=MAX_HALF_OPEN)
        self.released: list[Session] = []
        self.real = SessionTables(timers, self.released.append)
        self.servers = [make_server(name) for name in ("web1", "web2")]
        self.entries: dict[FlowKey, PlainEntry] = {}
        self.gone: list[Session] = []
        self.opened = self.left = 0
        self.evicted = {"closed": 0, "half-open": 0, "unanswered": 0}
        self.now = 5 * SECOND

    def _send(self, entry: PlainEntry, from_client: bool, flags: int, seq: int, ack: int = 0, length: int = 0) -> None:
        tcp = TcpFields(seq % M, ack % M, flags, WINDOW, length)
        assert self.real.find(entry.session.key) is entry.session
        assert not (from_client and self.real.is_new(entry.session, tcp))
        self.real.track(entry.session, tcp, self.now, from_client=from_client)

    # SYN.

    @rule(key=keys, isn=st.sampled_from([100, 2**31, 2**32 - 1]))
    def client_syn(self, key: FlowKey, isn: int) -> None:
        syn = TcpFields(isn, 0, SYN, WINDOW, 0)
        entry = self.entries.get(key)
        is_new = entry is None or (entry.table == "secondary" and isn != entry.isn)
        assert self.real.is_new(self.real.find(key), syn) == is_new
        if is_new:
            has_room = len(self.entries) < MAX_SESSIONS or entry is not None or self._least_needed(True) is not None
            assert self.real.eviction.has_room_for(key) == has_room
            if has_room:
                self._open(key, syn)
            return
        assert entry is not None
        if entry.answered and not entry.open and isn != entry.isn:
            return  # a client that has its answer does not begin with another number
        self._send(entry, True, SYN, isn)
        if entry.follows_handshake and not entry.answered:
            entry.isn, entry.client.next = isn, isn + 1  # the client gave up its first attempt, or tries again

    def _open(self, key: FlowKey, syn: TcpFields) -> None:
        self._make_way(key, is_tcp=True)
        self.now += 1  # so that no two are of the same age
        session = Session(key, self.servers[self.opened % 2], ServiceCategory.UBR_1, self.now)
        self.real.open(session, self.now, self.real.eviction.pushed_out(key))
        self.real.track(session, syn, self.now, from_client=True)
        self.opened += 1
        entry = self.entries[key] = PlainEntry(session, syn.sequence, self.now + HALF_OPEN)
        entry.client.next = syn.sequence + 1

    def _oldest(self, wanted: Callable[[PlainEntry], bool]) -> PlainEntry | None:
        return min((entry for entry in self.entries.values() if wanted(entry)),
                   key=lambda entry: entry.left_at or entry.session.opened, default=None)

    def _least_needed(self, is_tcp: bool) -> PlainEntry | None:
        return (self._oldest(lambda entry: entry.table == "secondary")
                or (self._oldest(lambda entry: entry.opening and entry.is_tcp) if is_tcp else None)
                or self._oldest(lambda entry: entry.opening and not entry.is_tcp))

    def _make_way(self, key: FlowKey, *, is_tcp: bool) -> None:
        """By scanning: the old entry of the flow goes, and at most one more."""
        old = self.entries.pop(key, None)
        if old is not None:
            self.gone.append(old.session)
        count = {kind: sum(entry.opening and entry.is_tcp == kind for entry in self.entries.values())
                 for kind in (True, False)}
        left = MAX_SESSIONS - len(self.entries)
        going = None
        scarce = not is_tcp and old is None and 0 < left <= min(RESERVE, MAX_HALF_OPEN - count[True])
        if count[is_tcp] >= MAX_HALF_OPEN or scarce:
            going = self._oldest(lambda entry: entry.opening and entry.is_tcp == is_tcp)
        elif left == 0:
            going = self._least_needed(is_tcp)
        if going is not None:
            kind = "closed" if going.table == "secondary" else "half-open" if going.is_tcp else "unanswered"
            self.evicted[kind] += 1
            self.gone.append(self.entries.pop(going.session.key).session)

    # UDP flows.

    @rule(key=st.sampled_from(FLOWS))
    def flow_packet(self, key: FlowKey) -> None:
        entry = self.entries.get(key)
        if entry is not None:
            self.now += 1
            self.real.touch_flow(entry.session, self.now)
            entry.deadline = self.now + UDP_IDLE
            return
        has_room = len(self.entries) < MAX_SESSIONS or self._least_needed(False) is not None
        assert self.real.eviction.has_room_for(key, False) == has_room
        if has_room:
            self._open_flow(key)

    def _open_flow(self, key: FlowKey) -> None:
        self._make_way(key, is_tcp=False)
        self.now += 1
        flow = Session(key, self.servers[self.opened % 2], ServiceCategory.UBR_1, self.now)
        self.real.open_flow(flow, self.now, self.real.eviction.pushed_out(key, is_tcp=False))
        self.opened += 1
        self.entries[key] = PlainEntry(flow, 0, self.now + UDP_IDLE)

    @precondition(lambda self: any(not entry.is_tcp for entry in self.entries.values()))
    @rule(data=st.data())
    def flow_opens_anew(self, data: st.DataObject) -> None:
        """Its server has died, say."""
        self._open_flow(self._one_of(data, lambda entry: not entry.is_tcp).session.key)

    @precondition(lambda self: any(entry.opening and not entry.is_tcp for entry in self.entries.values()))
    @rule(data=st.data())
    def flow_is_answered(self, data: st.DataObject) -> None:
        entry = self._one_of(data, lambda entry: entry.opening and not entry.is_tcp)
        self.real.flow_answered(entry.session)
        entry.open = True

    def _any(self, wanted: Callable[[PlainEntry], bool]) -> bool:
        return any(entry.is_tcp and wanted(entry) for entry in self.entries.values())

    # The handshake's rest.

    def _one_of(self, data: st.DataObject, wanted: Callable[[PlainEntry], bool]) -> PlainEntry:
        return data.draw(st.sampled_from([entry for entry in self.entries.values() if wanted(entry)]))

    @precondition(lambda self: self._any(lambda entry: not entry.answered))
    @rule(data=st.data(), isn=st.sampled_from([300, 2**32 - 1]), right=st.sampled_from([True, True, False]))
    def server_syn_ack(self, data: st.DataObject, isn: int, right: bool) -> None:
        entry = self._one_of(data, lambda entry: entry.is_tcp and not entry.answered)
        self._send(entry, False, SYN | ACK, isn, entry.client.next + (0 if right else 77))
        if right and entry.follows_handshake:
            entry.answered = True
            entry.server.next, entry.server.acknowledged = isn + 1, entry.client.next

    @precondition(lambda self: self._any(lambda entry: entry.answered))
    @rule(data=st.data())
    def client_ack(self, data: st.DataObject) -> None:
        entry = self._one_of(data, lambda entry: entry.answered)
        self._send(entry, True, ACK, entry.client.next, entry.server.next)
        entry.client.acknowledged = entry.server.next
        if entry.follows_handshake:
            entry.open = True
        self._followed(entry, entry.client, entry.server)

    # Data and closing.

    @precondition(lambda self: self._any(lambda entry: entry.open))
    @rule(data=st.data(), segments=st.lists(st.tuples(
        st.booleans(), st.sampled_from([0, 1, 1000, 60_000]), st.booleans(), st.booleans()), min_size=1, max_size=4))
    def exchange(self, data: st.DataObject, segments: list[tuple[bool, int, bool, bool]]) -> None:
        entry = self._one_of(data, lambda entry: entry.is_tcp and entry.open)
        for segment in segments:
            self._segment(entry, *segment)

    def _segment(self, entry: PlainEntry, from_client: bool, length: int, fresh: bool, fin: bool) -> None:
        """In order and in the window; it acknowledges all that came, or (a packet on its way) what it did before."""
        side, other = (entry.client, entry.server) if from_client else (entry.server, entry.client)
        if other.acknowledged is not None:
            length = min(length, max(0, WINDOW - (side.next - other.acknowledged) % M - fin))
        ack = other.next if fresh or side.acknowledged is None else side.acknowledged
        if side.fin_end is not None:
            # A FIN that comes again, or an ACK after it.
            self._send(entry, from_client, ACK | FIN * fin, side.fin_end - fin, ack)
        else:
            self._send(entry, from_client, ACK | FIN * fin, side.next, ack, length)
            side.next = (side.next + length + fin) % M
            side.fin_end = side.next if fin else None
        side.acknowledged = ack
        self._followed(entry, side, other)

    def _followed(self, entry: PlainEntry, side: PlainSide, other: PlainSide) -> None:
        """The effect of a packet of an open session on its entry."""
        if entry.closed_by not in ("FIN", "RST"):
            if other.fin_end is not None and side.acknowledged == other.fin_end:
                other.fin_acknowledged = True
            entry.table, entry.closed_by, entry.deadline, entry.left_at = "primary", "", self.now + IDLE, 0
            if entry.client.fin_acknowledged and entry.server.fin_acknowledged:
                self._close(entry, "FIN")

    @precondition(lambda self: self._any(lambda entry: entry.open))
    @rule(data=st.data(), from_client=st.booleans(), fin=st.booleans(), length=st.sampled_from([0, 1, 1000]),
          what=st.sampled_from(["beyond the window", "long ago", "acknowledges what was never sent"]))
    def guessed_numbers(self, data: st.DataObject, from_client: bool, fin: bool, length: int, what: str) -> None:
        """A packet that the other end would not believe passes, and changes no state."""
        entry = self._one_of(data, lambda entry: entry.is_tcp and entry.open)
        side, other = (entry.client, entry.server) if from_client else (entry.server, entry.client)
        if other.acknowledged is None:
            return
        seq = {"beyond the window": other.acknowledged + WINDOW + 2, "long ago": other.acknowledged - WINDOW - 3000,
               "acknowledges what was never sent": side.next}[what]
        ack = other.next + (1 if what.startswith("ack") else 0)
        self._send(entry, from_client, ACK | FIN * fin, seq % M, ack % M, length)
        if entry.closed_by not in ("FIN", "RST"):
            entry.table, entry.closed_by, entry.deadline, entry.left_at = "primary", "", self.now + IDLE, 0

    def _close(self, entry: PlainEntry, why: str) -> None:
        lingers = RESET_HANDSHAKE if why == "RST" and not entry.open else TWO_MSL
        entry.table, entry.closed_by, entry.deadline = "secondary", why, self.now + lingers
        self.left += 1
        entry.left_at = self.left

    # Resets.

    @precondition(lambda self: self._any(lambda entry: True))
    @rule(data=st.data(), from_client=st.booleans(),
          place=st.sampled_from(["exact", "window", "edge", "outside", "before"]))
    def reset(self, data: st.DataObject, from_client: bool, place: str) -> None:
        entry = self._one_of(data, lambda entry: entry.is_tcp)
        side, other = (entry.client, entry.server) if from_client else (entry.server, entry.client)
        expected = side.next if other.acknowledged is None else other.acknowledged
        seq = {"exact": side.next, "window": expected + 70, "edge": expected + WINDOW - 1, "outside": expected + WINDOW,
               "before": expected - 1}[place] % M
        exact = seq in (expected % M, side.next % M)
        if not from_client and not entry.answered:
            # The client is in SYN-SENT: valid only with an ACK of its SYN.
            self._send(entry, False, RST | ACK, 0, entry.client.next + (0 if place == "exact" else -1))
            exact, in_window = place == "exact", False
        else:
            self._send(entry, from_client, RST, seq)
            in_window = place in ("window", "edge")
        if entry.table == "secondary" or (from_client and not entry.answered):
            return
        if exact:
            self._close(entry, "RST")
        elif in_window:
            entry.deadline = min(entry.deadline, self.now + DOUBTFUL)

    # Time.

    @rule(rest=st.one_of(st.integers(0, 3 * SECOND), st.sampled_from(
        [seconds * SECOND + 5 for seconds in (9, 10, 11, 19, 20, 21, 29, 30, 31, 99, 100, 101, 102)])))
    def time_passes(self, rest: int) -> None:
        """An entry moves when its deadline is over, and no later than a second after it."""
        self.now += rest
        self.real.expire(self.now)
        order = {session.key: place for place, session in enumerate(self.real.eviction.closed)}
        # Those that are due at once may move in any order.
        for key, entry in sorted(self.entries.items(), key=lambda item: order.get(item[0], -1)):
            moved = str(entry.session.table) != entry.table
            assert entry.deadline <= self.now if moved else entry.deadline + SECOND > self.now
            if moved and entry.table == "primary" and entry.is_tcp:
                self._close(entry, "idle" if entry.open else "half-open")
            elif moved:
                self.gone.append(self.entries.pop(key).session)
        due = self.real.next_timer()
        assert due is None or due > self.now
        if self.entries:
            assert due is not None

    # What must hold at any time.

    @invariant()
    def tables_agree(self) -> None:
        for name, table in (("primary", self.real.primary), ("secondary", self.real.secondary)):
            assert table == {key: entry.session for key, entry in self.entries.items() if entry.table == name}
        for key, entry in self.entries.items():
            session = entry.session
            assert self.real.find(key) is session
            assert (session.table, session.closed_by) == (entry.table, entry.closed_by)
            assert session.deadline == entry.deadline
            if entry.is_tcp and entry.closed_by in ("", "half-open", "idle"):
                assert is_half_open(session) == (not entry.open)
        assert all(self.real.find(key) is None for key in set(KEYS) - set(self.entries))

    @invariant()
    def what_has_gone_was_released_once(self) -> None:
        assert sorted(map(id, self.released)) == sorted(map(id, self.gone))
        assert all(session.table is Table.GONE for session in self.released)

    @invariant()
    def counters_and_bounds_hold(self) -> None:
        chains = {(True, "primary"): self.real.eviction.half_open, (False, "primary"): self.real.eviction.unanswered}
        for (is_tcp, table), chain in chains.items():
            opening = {key for key, entry in self.entries.items()
                       if entry.table == table and entry.is_tcp == is_tcp and not entry.open}
            assert {session.key for session in chain} == opening
            assert len(opening) <= MAX_HALF_OPEN
        closed = sorted((entry for entry in self.entries.values() if entry.table == "secondary"),
                        key=lambda entry: entry.left_at)
        assert [session.key for session in self.real.eviction.closed] == [entry.session.key for entry in closed]
        assert len(self.entries) <= MAX_SESSIONS
        assert self.real.opened == self.opened
        assert self.evicted == {"closed": self.real.evicted_closed, "half-open": self.real.evicted,
                                "unanswered": self.real.evicted_unanswered}
        for server in self.servers:
            assert server.primary_sessions == sum(
                entry.table == "primary" and entry.session.server is server for entry in self.entries.values())
            own = [entry for entry in self.entries.values() if entry.session.server is server]
            assert (server.entries, server.flows) == (len(own), sum(not entry.is_tcp for entry in own))
        assert sum(server.total_sessions for server in self.servers) == self.opened
        assert sum(len(bucket) for bucket in self.real.wheel._slots.values()) == len(self.entries)


SessionsMachine.TestCase.settings = examples(300, stateful_step_count=50, deadline=None)
TestSessionsMachine = SessionsMachine.TestCase
