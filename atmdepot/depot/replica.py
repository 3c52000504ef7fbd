"""The replica: what a depot of a set makes of the stream of another.

A depot that stands by enters what the active one tells, each entry on the channel that it has there, and keeps it until
it is told that it is gone. Told values never overwrite an entry of which packets have come here since it stands by.
After a snapshot it removes, some at a time, what the snapshot did not confirm.

A depot that is itself active, and meets another that was so meanwhile, only adopts that one's sessions which it does
not know. All times are in ns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.depot.adopting import close, inherit, reopen, set_opening
from atmdepot.depot.conditions import take_faults, take_turns
from atmdepot.depot.session import Session, Table
from atmdepot.depot.tcp_tracking import UNKNOWN, is_after, is_in_handshake
from atmdepot.depot.telling import CATEGORIES, told_as, told_of, with_states
from atmdepot.wire.ip import PROTOCOL_TCP
from atmdepot.wire.replication import NO_SERVER, OUTSIDE, Frame, FrameReader, Kind
from atmdepot.wire.replication_control import Ack, Snapshot
from atmdepot.wire.replication_entries import CLOSED_BY, NO_SCALE, Gone, State, Told
from atmdepot.wire.replication_servers import DRAINING, SERVER_NAME, Name, ServerTold, TurnsTold
from atmdepot.wire.replication_servers import servers_told as read_servers

if TYPE_CHECKING:
    from atmdepot.atm.timers import Walk
    from atmdepot.bearer.base import Path
    from atmdepot.depot.servers import Server
    from atmdepot.depot.state import DepotState

PIECE = 16_384
"""Octets that `feed` may be given in a single turn of the loop: it enters some 380 sessions, in about 3 ms."""
DELAY = 6_000_000_000
"""The longest delay (ns) of a stream beside its period: a link that is silent for longer is dropped."""
SWEPT = 1_024
"""Entries that a slice of the sweep looks at."""
MOST_NAMES = 4_096
"""Servers whose conditions, or lack, are noted; a depot that tells of more is out of order."""
_MS, _NEVER = 1_000_000, -1
_OUTSIDE, _NO_SCALE, _UNKNOWN, _TCP = OUTSIDE, NO_SCALE, UNKNOWN, PROTOCOL_TCP  # C numbers, where this is compiled
_PRIMARY, _SECONDARY, _GONE = Table
_SESSION, _STATE, _GONE_KIND = int(Kind.SESSION), int(Kind.STATE), int(Kind.GONE)


class Replica:
    """The stream of one other depot, applied to a depot's tables."""

    def __init__(self, depot: DepotState, now: int) -> None:
        """Make a replica that has heard nothing yet."""
        self._depot = depot
        self._tables = depot.sessions
        self.teller = ""
        """The name of the other depot."""
        self.run = self.offset = 0
        self.watches = depot.network.set_of(depot.name).standby == "hot"
        self.in_sync = False
        """True when all that the other depot had is applied; False from the start of a snapshot to its end."""
        self.misses_some = False
        """True when a stream has gone on where this side had not come to, until the link has asked for all."""
        self.expected = self.received = 0
        """The entries that the last snapshot announced, and those that have come."""
        self.applied_at = now
        """The time of the last octets applied."""
        self.inherited = self.adopted = 0
        """Entries entered on what was told, and those of them while this depot was itself active."""
        self.unknown_servers: dict[str, int] = {}
        """Entries that were not entered since this side has no such server, by its name there."""
        self.without_channel = 0
        """Entries whose channel could not be had, and that share the default path."""
        self.without_room = 0
        """Entries not entered since the table is full of established sessions."""
        self.stood_by = 0
        """Times that this depot has begun to stand by: what a stream told before that does not count any more."""
        self.faults: dict[str, ServerTold] = {}
        """The conditions of servers as they were told last, by the name of the server."""
        self._since = now
        self._fresh = int(depot.network.set_of(depot.name).interval) + DELAY
        self._sweep: Walk | None = None
        self._spare: Walk | None = None  # looks for entries to give up while the table is full
        self.begin("")

    @property
    def applied(self) -> tuple[int, int]:
        """The run and the offset up to which its log is applied; (0, 0) while a snapshot is not whole."""
        if not self.in_sync:
            return 0, 0
        return self.run, self.offset

    @property
    def digest(self) -> int:
        """The digest of all live entries as they were told, to be held against the sender's at the same offset."""
        return self._tables.told.digest

    @property
    def sweeps(self) -> bool:
        """True after a snapshot until `slice` has looked at all entries."""
        return self._sweep is not None

    def begin(self, teller: str) -> None:
        """Begin a connection, to the depot of that name."""
        self.teller = teller
        self._reader = FrameReader()
        self._servers: dict[int, str] = {}
        self._services: dict[int, str] = {}
        self._numbers: dict[str, int] = {}  # of servers, by name

    # Roles.

    def stand_by(self, now: int) -> None:
        """Stand by: what is told from now on overwrites what came here before."""
        self._tables.stand_by()
        self._since = now
        self.in_sync = False
        self.stood_by += 1
        self._end_sweep()

    def take_over(self, now: int) -> None:
        """Become active, and believe what the active depot told of servers.

        A sweep ends, however far it is: to the stream that begins here now, all entries are unknown.
        """
        self._tables.take_over(now)
        self.in_sync = False
        self._end_sweep()
        for name, told in self.faults.items():
            server = self._depot.management.servers.get(name)
            if server is not None:
                take_faults(server, told, self.teller, now)
        self.faults = {}

    # Frames.

    def feed(self, octets: bytes, now: int) -> list[Frame]:
        """Apply the frames that the octets complete, and return the frames that are not for the tables.

        Raises ValueError, which names the field, for a frame that is wrong; the connection is of no use any more.
        """
        others = []
        for frame in self._reader.feed(octets):
            if not self._apply(frame, now):
                others.append(frame)
            if not frame.flags & _OUTSIDE:
                self.offset += frame.size
        self.applied_at = now
        return others

    def _apply(self, frame: Frame, now: int) -> bool:
        """Apply a frame; False for a frame that does not concern the tables, or is unknown."""
        kind = frame.kind
        if kind == _SESSION:
            self._session(Told.unpack(frame), frame.flags & _OUTSIDE != 0, now)
        elif kind == _STATE:
            self._state(State.unpack(frame), now)
        elif kind == _GONE_KIND:
            self._gone(Gone.unpack(frame).key, now)
        elif kind == Kind.NAME:
            self._name(Name.unpack(frame))
        elif kind == Kind.SERVERS:
            self._conditions(frame)
        elif kind == Kind.TURNS:
            self._turns(TurnsTold.unpack(frame))
        elif kind == Kind.SNAPSHOT:
            self._begin_snapshot(Snapshot.unpack(frame), now)
        elif kind == Kind.SNAPSHOT_END:
            self._end_snapshot(Snapshot.unpack(frame))
        elif kind == Kind.RESUMED:
            self._resume(Ack.unpack(frame))
        else:
            return False
        return True

    def _name(self, told: Name) -> None:
        if told.kind != SERVER_NAME:
            self._services[told.number] = told.name
            return
        self._numbers.pop(self._servers.get(told.number, ""), None)
        self._servers[told.number] = told.name
        self._numbers[told.name] = told.number

    def _begin_snapshot(self, told: Snapshot, now: int) -> None:
        self.run, self.offset, self.in_sync = told.run, told.offset, False
        self.expected, self.received = told.sessions, 0
        self._since = now
        self._end_sweep()
        if self._tables.stands_by:
            self._tables.told.begin()
            self._spare = self._tables.walk()

    def _end_sweep(self) -> None:
        if self._sweep is not None:
            self._sweep.end()
            self._sweep = None
        self._end_search()

    def _end_search(self) -> None:
        if self._spare is not None:
            self._spare.end()
            self._spare = None

    def _end_snapshot(self, told: Snapshot) -> None:
        if (told.run, told.offset) != (self.run, self.offset):
            raise ValueError(f"SNAPSHOT_END: run and offset are {self.run} and {self.offset} here, "
                             f"not {told.run} and {told.offset}")
        self.in_sync = True
        if self._tables.stands_by:
            self._sweep = self._tables.walk()

    def _resume(self, told: Ack) -> None:
        """Go on where the log was left; where that was not here, what lies between is missing.

        A depot that is active again goes by the last ACK, and this side may have followed another since.
        """
        self.in_sync = (told.run, told.offset) == (self.run, self.offset)
        self.misses_some = not self.in_sync

    def _conditions(self, frame: Frame) -> None:
        for told in read_servers(frame):
            name = self._servers.get(told.server, "")
            if name in self.faults or len(self.faults) < MOST_NAMES:
                self.faults[name] = told
            server = self._depot.management.servers.get(name)
            if server is not None and self._tables.stands_by:
                server.draining = bool(told.condition & DRAINING)

    def _turns(self, told: TurnsTold) -> None:
        pool = self._depot.management.pools.get(self._services.get(told.service, ""))
        if pool is not None and self._tables.stands_by:
            servers = self._depot.management.servers
            take_turns(pool, told, {number: servers[name] for number, name in self._servers.items()
                                    if name in servers})

    # Entries.

    def _session(self, told: Told, in_snapshot: bool, now: int) -> None:
        self.received += in_snapshot
        entry = self._tables.find(told.key)
        server = self._server(told, entry)
        if not self._tables.stands_by:
            if entry is None and server is not None and not told.closed_by:
                self.adopted += self._enter(told, server, now) is not None
            return
        if server is None:
            if entry is not None and not self._is_ours(entry, now):
                self._tables.remove(entry, "its server is unknown here")
            return
        if entry is not None and told.closed_by and self._is_later(entry, told):
            return
        if entry is not None and not self._fits(entry, told, server):
            if self._is_ours(entry, now) and entry.table is _PRIMARY and not self._is_stray(entry, told):
                return
            self._tables.remove(entry, "told anew")
            entry = None
        if entry is None:
            entry = self._enter(told, server, now)
            if entry is None:
                return
        elif not self._is_ours(entry, now):
            self._overwrite(entry, told, self.watches and not in_snapshot)
            if not told.closed_by:
                reopen(self._tables, entry, now)
                set_opening(self._tables, entry, told.half_open)
        self._tables.told.note(entry, 0 if told.closed_by else told_as(
            told.key, told.server, told.channel, told.half_open, told.client_state << 4 | told.server_state,
            told.client_isn, told.server_isn, told.answers))
        if told.closed_by:
            close(self._tables, entry, CLOSED_BY[told.closed_by], told.time_left * _MS, now)

    def _server(self, told: Told, entry: Session | None) -> Server | None:
        """The server of a told entry; None (and counted) where this side has none of its name.

        A server that has left the table serves the entries on, that it has.
        """
        name = self._servers.get(told.server, "" if told.server == NO_SERVER else None)
        if name is None:
            raise ValueError(f"SESSION: server {told.server} has no name yet")
        if told.category >= len(CATEGORIES):
            raise ValueError(f"SESSION: category is below {len(CATEGORIES)}, here is {told.category}")
        server = self._depot.management.servers.get(name)
        if server is None and entry is not None and entry.server.name == name:
            return entry.server
        if server is None and (name in self.unknown_servers or len(self.unknown_servers) < MOST_NAMES):
            self.unknown_servers[name] = self.unknown_servers.get(name, 0) + 1
        return server

    def _is_ours(self, entry: Session, now: int) -> bool:
        """True for an entry of which a packet has come here lately, since this depot stands by or the last snapshot.

        What was told may be older than that packet; after a longer silence here it is the other way round. Copies that
        a hot standby watches do not count: what is told is the order in which the active depot saw them.
        """
        return entry.last_seen > self._since and entry.last_seen > now - self._fresh and not self.watches

    def _is_stray(self, entry: Session, told: Told) -> bool:
        """True for an entry that opened here on a copy of the SYN with which the active depot opened the told one.

        The SYN waited here while this depot hung, and its client had sent it again to the other one.
        """
        return entry.client.spoke and entry.key[0] == _TCP and entry.client.isn == told.client_isn

    def _is_later(self, entry: Session, told: Told) -> bool:
        """True for a handshake of copies that is newer than the closed session told: its client used the port again.

        The initial sequence numbers of a connection's ends grow from one incarnation to the next (RFC 6528).
        """
        return (self.watches and entry.opening and entry.told_in != self._tables.told.epoch
                and entry.client.spoke and is_after(entry.client.isn, told.client_isn))

    def _fits(self, entry: Session, told: Told, server: Server) -> bool:
        """True for an entry whose packets take the way that is told."""
        return (entry.server is server and (entry.path.number() == told.channel or not told.channel)
                and (entry.path.answers() == told.answers or not told.answers))

    def _enter(self, told: Told, server: Server, now: int) -> Session | None:
        """Enter a told entry; None (and counted) when the table has no room."""
        tables = self._tables
        if self._spare is not None and tables.eviction.is_full():
            self._give_one_up(self._spare)
        if not tables.eviction.has_room_for(told.key, told.key[0] == PROTOCOL_TCP):
            self.without_room += 1
            return None
        entry = Session(told.key, server, CATEGORIES[told.category], now)
        entry.opened, entry.last_seen = now - told.age * _MS, self._since
        self._overwrite(entry, told, False)
        entry.path = self._path(told, server, entry, now)
        inherit(tables, entry, told.half_open, now)
        self.inherited += 1
        return entry

    def _give_one_up(self, spare: Walk) -> None:
        """Remove an entry that the active depot has not told since the snapshot began: one that it has takes its place.

        If it tells the removed entry later, that is entered again: its table has room for all that it tells.
        """
        while found := spare.take(1):
            entry: Session = found[0]
            if self._is_unknown(entry):
                self._tables.remove(entry, "not told yet, and the table is full")
                return
        self._end_search()

    def _is_unknown(self, entry: Session) -> bool:
        """True for an entry that the active depot has not told, and of which no packet has come here lately."""
        return (entry.told_in != self._tables.told.epoch and entry.table is not _GONE
                and entry.last_seen <= self._since)

    def _path(self, told: Told, server: Server, entry: Session, now: int) -> Path:
        """The path that the entry has at the other depot; a session that has it here is out of date."""
        bearer = self._depot.bearer
        if not (told.channel or told.answers):
            return bearer.for_unanswered(server.node, entry.category, entry)
        path = self._claimed(told, server, entry)
        if path is None and self._tables.stands_by:
            taken = bearer.path_with_answers(server.node, told.answers) if told.answers else \
                bearer.path_with(server.node, told.channel)
            if taken is not None and isinstance(taken.owner, Session) and not self._is_ours(taken.owner, now):
                self._tables.remove(taken.owner, "its channel is another's")
                path = self._claimed(told, server, entry)
        if path is not None:
            return path
        self.without_channel += 1
        return bearer.open(server.node, entry.category, entry)

    def _claimed(self, told: Told, server: Server, entry: Session) -> Path | None:
        """The path as the other depot has it, by its number or by the flow of its answers; None while it is taken."""
        bearer = self._depot.bearer
        if told.answers:
            return bearer.claim_rewritten(server.node, told.answers, entry.category, entry)
        return bearer.claim(server.node, told.channel, entry.category, entry)

    def _overwrite(self, entry: Session, told: Told, is_watched: bool) -> None:
        """Put both ends where they are told to be; of a connection that is watched here the numbers seen stay."""
        client, other = entry.client, entry.server_side
        if is_watched and client.spoke and client.isn == told.client_isn and other.isn == told.server_isn:
            client.state_number, other.state_number = told.client_state, told.server_state
            return
        client.is_told(told.client_state, told.client_isn, _scale(told.client_scale))
        other.is_told(told.server_state, told.server_isn, _scale(told.server_scale))

    def _state(self, told: State, now: int) -> None:
        entry = self._tables.find(told.key)
        if entry is None or not self._tables.stands_by or (told.closed_by and self._is_newer(entry, now)):
            return
        if not self._is_ours(entry, now):
            entry.client.state_number, entry.server_side.state_number = told.client_state, told.server_state
            if not told.closed_by:
                reopen(self._tables, entry, now)
                if entry.opening and not is_in_handshake(told.client_state):
                    set_opening(self._tables, entry, False)
        if told.closed_by:
            self._tables.told.note(entry, 0)
            close(self._tables, entry, CLOSED_BY[told.closed_by], told.time_left * _MS, now)
        else:
            known = self._tables.told.of(entry)
            if not known:  # it comes back from the secondary table
                known = told_of(entry, self._numbers.get(entry.server.name, NO_SERVER))
            self._tables.told.note(entry, with_states(known, told.client_state << 4 | told.server_state))

    def _is_newer(self, entry: Session, now: int) -> bool:
        """True for a handshake seen so lately that what is told may be of the session before it on its port.

        If it is not, nothing is lost: what is half-open ages here.
        """
        return entry.opening and entry.told_in != self._tables.told.epoch and entry.opened > max(
            self._since, now - self._fresh)

    def _gone(self, key: bytes, now: int) -> None:
        entry = self._tables.find(key)
        if entry is None or not self._tables.stands_by:
            return
        if entry.told_in != self._tables.told.epoch and entry.opened > self._since:
            return  # it opened here on a copy, and has already taken the place of the one that has gone
        if self._is_ours(entry, now):
            self._tables.told.note(entry, 0)
            entry.told_in = _NEVER  # from now on it ages here
        else:
            self._tables.remove(entry, "gone at the active depot")

    # The sweep.

    def slice(self, now: int, count: int = SWEPT) -> bool:
        """Go on with the sweep after a snapshot; True while it is not over."""
        if self._sweep is None:
            return False
        tables = self._tables
        for entry in self._sweep.take(count):
            if self._is_unknown(entry):
                tables.remove(entry, "unknown to the active depot")
        if self._sweep.over:
            self._end_sweep()
        return self.sweeps


def _scale(told: int) -> int:
    return _UNKNOWN if told == _NO_SCALE else told
