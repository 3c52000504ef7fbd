"""The active depot's stream to the others of its set: a log of what changes, and snapshots for those that join late.

Entries that have changed are only noted. `flush` encodes each as it is then, once for all readers, into a byte log: an
entry is told at most once in a period, and what opens and goes within a period is never told. Half-open sessions are
told on request only, UDP flows from their second packet on.

A reader has a place in the log. One that joins late gets a snapshot among the log's frames, by a walk over the timer
wheel's slots, some entries at a time. An entry is told as it is when the walk meets it, and the log up to then goes
before it, so the order alone makes it right: nothing is frozen, and no entry has a version. All times are in ns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.config.contract import ServiceCategory
from atmdepot.depot.byte_log import MOST, ByteLog
from atmdepot.depot.conditions import conditions_of, servers_told, turns_told
from atmdepot.depot.servers import hash_of
from atmdepot.depot.sessions import SessionLog, Table, spread
from atmdepot.wire.ip import PROTOCOL_TCP
from atmdepot.wire.replication import (
    CLOSED_BY,
    LONGEST,
    NO_SCALE,
    NO_SERVER,
    OUTSIDE,
    SERVER_NAME,
    SERVICE_NAME,
    Ack,
    Gone,
    Kind,
    Name,
    Snapshot,
    hash_of_key,
    session_frame,
    state_frame,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.atm.timers import Walk
    from atmdepot.depot.sessions import Session
    from atmdepot.depot.state import DepotState
    from atmdepot.wire.flows import FlowKey

PERIOD = 2_000_000
"""The least time (ns) between two flushes of a stream without an interval."""
BATCH = 30
"""Noted entries that are worth a flush at once: about 1,400 octets."""
SLICE = 256
"""Entries of a snapshot's slice: well below a millisecond."""
AHEAD = 262_144
"""Octets that may wait for a reader; while more wait, its snapshot does."""
LOOK = 50_000_000
"""The least time (ns) between two looks at the conditions of servers and at turns."""
_MS, _LONGEST = 1_000_000, LONGEST
_RUNS = 0x7FFFFFFFFFFFFFFF
_TCP, _OUTSIDE = PROTOCOL_TCP, OUTSIDE
_PRIMARY, _SECONDARY, _GONE = Table
_CLOSED_NUMBERS = {why: number for number, why in enumerate(CLOSED_BY)}
_OTHER_REASON = _CLOSED_NUMBERS["another reason"]
_REST = 2**64 - 1 - 0xFF
_OPENING = 1 << 63
CATEGORIES = tuple(ServiceCategory)
"""The service categories by the number that frames have."""
_CATEGORY_NUMBERS = {category: number for number, category in enumerate(CATEGORIES)}


def told_of(session: Session, server: int) -> int:
    """A digest of what is told of a live entry, as it is now; its last octet are the states."""
    client, other = session.client, session.server_side
    return told_as(session.key, server, session.path.number(), session.opening,
                   client.state_number << 4 | other.state_number, client.isn, other.isn)


def told_as(
    key: FlowKey, server: int, channel: int, opening: bool, states: int, client_isn: int, server_isn: int,
) -> int:
    """The digest of an entry that is told with these values."""
    identity = hash_of_key(key, server << 16 | channel)
    return with_states(spread(identity ^ client_isn << 32 ^ server_isn ^ (_OPENING if opening else 0)), states)


def with_states(told: int, states: int) -> int:
    """The digest of an entry of which only the states are others."""
    return told & _REST | states


class Replication(SessionLog):
    """The log of a depot's changes. It is kept from the first reader on, until nobody has read it for its length."""

    def __init__(self, depot: DepotState, now: int) -> None:
        """Make the log of a depot of a set, which nobody reads yet."""
        of = depot.network.set_of(depot.name)
        self._depot = depot
        self._tables = depot.sessions
        self.half_open = of.half_open
        self._is_watched = of.standby == "hot"
        self._period = int(of.interval) or PERIOD
        self._batch = 0 if of.interval else BATCH
        self.run = hash_of(now.to_bytes(8, "big"), depot.name) & _RUNS
        """The number of the run: logs of two runs have nothing to do with each other. The daemon draws the first."""
        self.readers: list[Reader] = []
        self.on_pending: Callable[[], object] | None = None
        """Called when an entry is noted after a flush, and when a batch is full: `flush` is to be called soon."""
        self.cut_off = 0
        """Readers cut off since they were further behind than the log reaches."""
        self.full_syncs = 0
        """Snapshots begun."""
        self.told = 0
        """Frames of entries, in the log and in snapshots."""
        self.room = MOST
        """Octets that the next log keeps."""
        self._changed: dict[bytes, Session] = {}
        self._clear(now)

    def _clear(self, now: int) -> None:
        self._forget_noted()
        self.log = ByteLog(self.room)
        self._numbers: dict[str, int] = {}
        self._services: dict[str, int] = {}
        self._new_names: list[bytes] = []
        self._conditions: list[tuple[str, int, int]] = []
        self._turns = b""
        self._flushed_at = self._looked_at = now - LOOK
        self.digest = 0
        """The digest of the live entries as told up to the end of the log."""

    @property
    def is_kept(self) -> bool:
        """True while changes are noted."""
        return self._tables.log is self

    @property
    def period(self) -> int:
        """The least time (ns) between two flushes."""
        return self._period

    def keep(self, now: int) -> None:
        """Begin a log, as a new run; readers of another are cut off."""
        self.stop()
        self._clear(now)
        self.run = self.run + 1 & _RUNS
        self._tables.epoch += 1
        self._tables.digest = 0
        self._tables.log = self

    def stop(self) -> None:
        """End the log: this depot is not active any more, or nobody has read for long."""
        if self.is_kept:
            self._tables.log = None
            self._forget_noted()
        for reader in self.readers:
            reader.end()
        self.readers = []

    def _forget_noted(self) -> None:
        for session in self._changed.values():
            session.noted = False
        self._changed = {}
        self._gone: dict[bytes, None] = {}

    # What changes.

    def note(self, session: Session) -> None:
        """Note an entry that has changed."""
        if session.noted or session.probe:
            return
        session.noted = True
        count = len(self._changed)
        self._changed[session.key] = session
        if count in (0, self._batch):
            self._wake()

    def note_gone(self, session: Session) -> None:
        """Note that an entry has gone, which was told as live."""
        self._gone[session.key] = None
        if len(self._gone) == 1:
            self._wake()

    def _wake(self) -> None:
        if self.on_pending is not None:
            self.on_pending()

    def flush(self, now: int) -> None:
        """Encode all that has changed; to be called each 100 ms in any case, for servers and turns."""
        if not self.is_kept:
            return
        frames: list[bytes] = []
        if now - self._looked_at >= LOOK:
            self._look(frames, now)
        # What has gone comes first: another session may have its channel by now.
        if self._gone:
            frames += [Gone(key).pack() for key in self._gone]
            self._gone = {}
        changed = self._changed
        self._changed = {}
        for session in changed.values():
            session.noted = False
            frame = self.frame_of(session, now)
            if frame is not None:
                frames.append(frame)
        self._flushed_at = now
        self._log_names()
        if frames:
            self.told += len(frames)
            self.log.append(b"".join(frames))
        self.digest = self._tables.digest
        if not self.readers and self.log.end - self.log.start >= self.log.most:
            self.stop()

    def beat(self, now: int) -> None:
        """Flush what no entry makes pending: conditions and turns. In between, a period's changes wait for its end."""
        if now - self._flushed_at >= self._period:
            self.flush(now)

    def next_timer(self) -> int | None:
        """The time (ns) at which `flush` is due, or None."""
        return self._flushed_at + self._period if self._changed or self._gone else None

    def handle_timer(self, now: int) -> None:
        """Flush when that is due."""
        due = self.next_timer()
        if due is not None and due <= now:
            self.flush(now)

    def _look(self, frames: list[bytes], now: int) -> None:
        """Tell the conditions of servers, and whose turn is next, where they have changed."""
        self._looked_at = now
        conditions, turns = conditions_of(self._depot.management), self._turns_frames(0)
        if conditions != self._conditions:
            frames.append(self._servers_frame(0, now))
        if turns != self._turns:
            frames.append(turns)
        self._conditions, self._turns = conditions, turns

    def _servers_frame(self, outside: int, now: int) -> bytes:
        return servers_told(self._depot.management, self.number_of, outside, now)

    def _turns_frames(self, outside: int) -> bytes:
        return turns_told(self._depot.management, self.number_of, self.number_of_service, outside)

    # Entries and names as frames.

    def frame_of(self, session: Session, now: int) -> bytes | None:
        """The frame that tells what has become of an entry; None where there is nothing to tell."""
        table = session.table
        if table is _GONE:
            return None  # if it was told, its key is among those that have gone
        tables = self._tables
        known = session.told if session.told_in == tables.epoch else 0
        if table is _SECONDARY:
            # It was never told, or told as closed. A hot standby may have seen it open, so it hears of each end.
            if not known and (not self._is_watched or session.told_in == tables.epoch):
                return None
            if known:  # else it stays one that was never told: if it comes back, it is told as a whole
                self._tell(session, 0)
            return state_frame(session.key, session.client.state_number, session.server_side.state_number,
                               closed_number(session), _milliseconds(session.deadline - now))
        if not self.is_told(session):
            return None
        number = self.number_of(session.server.name)
        told = told_of(session, number)
        if told == known:
            return None
        self._tell(session, told)
        # Only the states have changed. One that is back from the secondary table may have other numbers, too.
        if known and not (told ^ known) & _REST:
            return state_frame(session.key, session.client.state_number, session.server_side.state_number, 0,
                               _milliseconds(session.deadline - now))
        return self.session_frame(session, number, now, 0)

    def is_told(self, session: Session) -> bool:
        """True for a live entry that is worth telling: established, or a flow from its second packet on."""
        return not session.probe and (not session.opening or (
            self.half_open if session.key[0] == _TCP else session.packets_in + session.packets_out > 1))

    def _tell(self, session: Session, told: int) -> None:
        """Note what is told of an entry from now on, for the digest."""
        tables = self._tables
        if session.told and session.told_in == tables.epoch:
            tables.digest ^= spread(session.told)
        if told:
            tables.digest ^= spread(told)
        session.told, session.told_in = told, tables.epoch

    def session_frame(self, session: Session, number: int, now: int, outside: int) -> bytes:
        """The SESSION frame of an entry, whose server has this number."""
        client, other = session.client, session.server_side
        return session_frame(
            session.key, number, session.path.number(),
            _CATEGORY_NUMBERS[session.category], closed_number(session) if session.table is _SECONDARY else 0,
            session.opening, client.state_number, other.state_number,
            client.scale if client.scale >= 0 else NO_SCALE, other.scale if other.scale >= 0 else NO_SCALE,
            _milliseconds(session.deadline - now), _milliseconds(now - session.opened), client.isn, other.isn, outside)

    def snapshot_frame(self, session: Session, now: int) -> bytes | None:
        """The frame of an entry in a snapshot; None for one that is not told."""
        if session.table is _GONE or session.probe:
            return None
        number = self.number_of(session.server.name)
        if session.table is _PRIMARY:
            if not self.is_told(session):
                return None
            if self.is_kept:
                self._tell(session, told_of(session, number))
        elif self.is_kept:
            self._tell(session, 0)
        return self.session_frame(session, number, now, _OUTSIDE)

    def number_of(self, server: str) -> int:
        """The number by which the stream calls a server."""
        number = self._numbers.get(server)
        if number is None and len(self._numbers) >= NO_SERVER:
            return NO_SERVER  # numbers of 16 bits are used up in this run: the other end counts its entries
        if number is None:
            number = self._numbers[server] = len(self._numbers)
            self._new_names.append(Name(SERVER_NAME, number, server).pack())
        return number

    def number_of_service(self, service: str) -> int:
        """The number by which the stream calls a service."""
        number = self._services.get(service)
        if number is None:
            number = self._services[service] = len(self._services)
            self._new_names.append(Name(SERVICE_NAME, number, service).pack())
        return number

    def names(self) -> list[bytes]:
        """The frames of all names known so far, for a reader that begins."""
        return [Name(kind, number, name).pack(_OUTSIDE)
                for kind, known in ((SERVER_NAME, self._numbers), (SERVICE_NAME, self._services))
                for name, number in known.items()]

    def _log_names(self) -> None:
        """Put the names used for the first time into the log, before the frames that use them."""
        if self._new_names:
            self.log.append(b"".join(self._new_names))
            self._new_names = []

    # Readers.

    def reader(self, run: int, offset: int, now: int) -> Reader:
        """A reader that goes on at an offset of a run, if the log still has it; else one that begins with a snapshot.

        Begins a log if none is kept.
        """
        if not self.is_kept:
            self.keep(now)
        self.flush(now)
        reader = Reader(self, now)
        if run != self.run or not self.log.start <= offset <= self.log.end:
            self.full_syncs += 1
            reader.begin_snapshot(now)
        else:
            reader.resume(offset)
        self.readers.append(reader)
        return reader

    def contribution(self, now: int) -> Reader:
        """A reader of a snapshot alone, for a depot that was active and now gives its sessions to the one that is."""
        reader = Reader(self, now)
        reader.begin_snapshot(now)
        return reader


class Reader:
    """A place in a log, and a snapshot on its way. `take` what is ready; `slice` goes on with the snapshot."""

    def __init__(self, replication: Replication, now: int) -> None:
        self._replication = replication
        self._run = replication.run
        self._out = bytearray()
        self._walk: Walk | None = None
        self.offset = replication.log.end
        """The offset in the log up to which it has taken octets."""
        self.acknowledged = self.offset
        """The offset up to which the other end has applied the log; its acknowledgements set it."""
        self.told = 0
        """Entries of the snapshot so far."""
        self.ended = False
        """True when it is over: cut off, or the log has ended."""
        self.began = now

    @property
    def in_snapshot(self) -> bool:
        """True while its snapshot goes on."""
        return self._walk is not None

    @property
    def lag(self) -> int:
        """Octets of the log that it has not taken."""
        return 0 if self.ended else self._replication.log.end - self.offset

    @property
    def pending(self) -> int:
        """Octets that are ready to be taken."""
        return len(self._out) + self.lag

    @property
    def cut_off(self) -> bool:
        """True when it can only begin anew: the log no longer has what it did not take, or has ended."""
        if not self.ended and self._replication.is_kept and self.offset < self._replication.log.start:
            self._replication.cut_off += 1
            self.end()
        return self.ended

    def resume(self, offset: int) -> None:
        """Go on at an offset of the log."""
        self.offset = self.acknowledged = offset
        self._out += b"".join(self._replication.names())
        self._out += Ack(self._run, offset).pack(Kind.RESUMED)

    def begin_snapshot(self, now: int) -> None:
        """Begin with a snapshot: names, conditions and turns first."""
        replication, tables = self._replication, self._replication._tables
        state = replication._servers_frame(OUTSIDE, now) + replication._turns_frames(OUTSIDE)
        count = len(tables.primary) + len(tables.secondary)
        self._out += b"".join(replication.names())
        self._out += Snapshot(self._run, self.offset, 0, count).pack() + state
        self._walk = tables.walk()

    def slice(self, now: int, count: int = SLICE) -> bool:
        """Go on with the snapshot by so many entries; True while it is not over.

        It waits while more than `AHEAD` octets have not been taken.
        """
        if self._walk is None or self.cut_off:
            return False
        if len(self._out) + self.lag > AHEAD:
            return True
        replication = self._replication
        replication.flush(now)
        frames = []
        for session in self._walk.take(count):
            frame = replication.snapshot_frame(session, now)
            if frame is not None:
                frames.append(frame)
        self._pass_log()
        self._out += b"".join(frames)
        self.told += len(frames)
        if self._walk.over:
            self._walk = None
            replication.digest = replication._tables.digest
            self._out += Snapshot(self._run, self.offset, 0, self.told).pack(Kind.SNAPSHOT_END)
        return self._walk is not None

    def _pass_log(self) -> None:
        """Take the whole log so far: it goes before what comes now."""
        replication = self._replication
        if not replication.is_kept:
            self._out += b"".join(replication._new_names)
            replication._new_names = []
            return
        replication._log_names()
        while self.offset < replication.log.end:
            self._read(replication.log.end - self.offset)

    def _read(self, most: int) -> None:
        octets = self._replication.log.read(self.offset, most)
        self._out += octets
        self.offset += len(octets)

    def take(self, most: int) -> bytes:
        """At most so many octets that are ready to be sent; empty when there are none, or when it was cut off."""
        log = self._replication.log
        if self.ended or (self.offset < log.start and self.cut_off):
            return b""
        if not self._out and self.offset < log.end and self._replication.is_kept:  # as nearly always
            octets = log.read(self.offset, most)
            self.offset += len(octets)
            return octets
        while len(self._out) < most and self.offset < log.end and self._replication.is_kept:
            self._read(most - len(self._out))
        octets = bytes(self._out[:most])
        del self._out[:most]
        return octets

    def end(self) -> None:
        """Leave the log."""
        self.ended = True
        if self._walk is not None:
            self._walk.end()
            self._walk = None
        if self in self._replication.readers:
            self._replication.readers = [other for other in self._replication.readers if other is not self]


def closed_number(session: Session) -> int:
    """The number of the reason for which an entry is in the secondary table."""
    return _CLOSED_NUMBERS.get(session.closed_by, _OTHER_REASON)


def _milliseconds(span: int) -> int:
    """A span of time (ns) in whole milliseconds, as far as a frame tells it."""
    return min(max(span, 0) // _MS, _LONGEST)
