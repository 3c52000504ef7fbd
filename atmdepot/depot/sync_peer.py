"""The conversation with another depot of the set, over an established replication link.

Signs of life go both ways all the time. The active depot streams its log of sessions to each other depot; a depot that
stands by applies it, and says how far. A planned takeover is two frames: HANDOVER asks the active to stop and to have
all of its log applied, HANDED_OVER says that this was done. The link moves the octets (`net/sync_connection.py`);
nothing here waits, and what is held is a few frames. Times in ns.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from atmdepot.depot.peers import CLAIMS, Peer
from atmdepot.depot.role import Role
from atmdepot.errors import AtmdepotError
from atmdepot.wire.replication import OUTSIDE, SERVES, UNFIT, Frame, FrameReader, Kind
from atmdepot.wire.replication_control import ROLES, Ack, Heartbeat, Turnover
from atmdepot.wire.sync_link import CONTROL, STREAM, BadRecord

if TYPE_CHECKING:
    from atmdepot.depot.forwarding import Depot
    from atmdepot.depot.log_reader import Reader
    from atmdepot.wire.replication_control import Hello

NEVER = 1 << 62
SILENCE = 5_000_000_000
"""Without an octet for this long the link is dropped."""
NOTHING = Ack(0, 0)
_BEAT = 100_000_000
_ACK_AT_MOST_EACH = 10_000_000
_BATCH = 4096
"""Octets of the stream in a record: the other depot applies them in a turn of its loop, a slow wire carries them in
seconds."""
_SWEEP_EACH = 5_000_000
_REST = 9
"""A snapshot's slice is followed by a rest of so many times its length: so it takes a tenth of the loop's time."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1_000_000_000, 30_000_000_000
_MOST_MARKS = 256


class _Mark(NamedTuple):
    """An end of the log and the time at which it was sent: the ACK tells the lag."""

    end: int
    time: int


class SyncPeer(Peer):
    """Another depot of the set, and what is said and to be said on the link to it."""

    def __init__(self, depot: Depot, hello: Hello, now: int) -> None:
        assert depot.replication is not None
        assert depot.replica is not None
        self._depot, self._replication, self._replica = depot, depot.replication, depot.replica
        super().__init__(hello, now)
        self.leaves = ""
        """The reason why the link shall end; empty while it shall not."""
        self._network = depot.network
        self._marks: deque[_Mark] = deque(maxlen=_MOST_MARKS)
        self._control: dict[int, bytes] = {}
        """The frames that wait for the channel of control, by kind: the newest of a kind says all that those
        before it said, so a depot that reads slowly makes this no longer."""
        self._beat_at = self._stream_from = self._slice_at = now
        self._ack_at = self._sweep_at = NEVER
        self._acked_at = now - _ACK_AT_MOST_EACH
        self._pause = _FIRST_PAUSE
        self._said: tuple[object, ...] = ()
        self._is_told = self._in_sync = False
        self._stood_by = self._replica.stood_by
        self._asked = False
        self._sliced = False
        was_active = depot.roles.role in CLAIMS
        depot.roles.peer_heard(self.name, Role(hello.role), hello.term, hello.sessions, now)
        # Of two depots that were active apart, the one that gives way gives its sessions to the other.
        if was_active and depot.roles.role not in CLAIMS:
            self._gift: Reader | None = self._replication.contribution(now)
        else:
            self._gift = None

    # What comes.

    def came(self, now: int) -> None:
        """Note that octets have come, be they a part of a long record on a slow wire."""
        self.heard_at = now

    def receive(self, channel: int, payload: bytes, now: int) -> None:
        """Take a record; raise BadRecord."""
        self.heard_at = now
        self._depot.peers.heard(self, len(payload), now)
        if channel == STREAM:
            self._apply(payload, now)
        elif channel == CONTROL:
            try:
                for frame in FrameReader().feed(payload):
                    self._hear(frame, now)
            except ValueError as error:
                raise BadRecord(str(error)) from None
        else:
            raise BadRecord(f"a record on channel {channel}, which an open link does not have")

    def _hear(self, frame: Frame, now: int) -> None:
        """Take a frame of control; raise ValueError. A type of a later version is skipped."""
        if frame.kind == Kind.HEARTBEAT:
            self._alive(Heartbeat.unpack(frame), frame.flags, now)
        elif frame.kind == Kind.ACK:
            self._acknowledged(Ack.unpack(frame), now)
        elif frame.kind == Kind.HANDOVER:
            self._depot.roles.handover_asked(now, self.name)
        elif frame.kind == Kind.HANDED_OVER:
            self._depot.roles.handed_over(now)
        elif frame.kind == Kind.RESYNC:
            self.start_over()
        elif frame.kind == Kind.STREAM_OVER:
            self._told_no_more()
        elif frame.kind == Kind.BYE:
            self.leaves = "it ends in order"

    def _alive(self, beat: Heartbeat, flags: int, now: int) -> None:
        self.role, self.term, self.sessions = ROLES[beat.role], beat.term, beat.sessions
        self.beat = beat
        self._depot.roles.peer_heard(self.name, Role(self.role), self.term, self.sessions, now,
                                      not flags & UNFIT, bool(flags & SERVES))

    def _acknowledged(self, ack: Ack, now: int) -> None:
        self.acked = ack
        while self._marks and self.behind(self._replication.run, self._marks[0].end) <= 0:
            self.lags.append(now - self._marks.popleft().time)

    def _apply(self, octets: bytes, now: int) -> None:
        """Take octets of the other's stream; raise BadRecord."""
        replica, peers = self._replica, self._depot.peers
        if not self._is_told:
            self._is_told, peers.teller = True, self
            replica.begin(self.name)
        if peers.teller is not self:
            raise BadRecord(f"a stream that was given up for {replica.teller}'s")
        # A depot that was active meanwhile is out of sync, and a short snapshot may be whole in this record.
        was_in_sync = self._in_sync and replica.in_sync
        try:
            replica.feed(octets, now)
        except ValueError as error:
            raise BadRecord(f"a stream that cannot be applied: {error}") from None
        if replica.in_sync and (not was_in_sync or self._depot.roles.role is Role.JOINING):
            self._depot.roles.synced(now)
        elif self._in_sync and not replica.in_sync:
            self._depot.roles.sync_lost(now)
        self._in_sync = replica.in_sync
        if replica.misses_some:
            replica.misses_some = False
            self.ask_for_all()
        if replica.sweeps:  # also after a snapshot that was whole in a record, of a depot that was in sync before
            self._sweep_at = min(self._sweep_at, now + _SWEEP_EACH)
        # A handover waits for the acknowledgement; else it only tells the lag, and costs the active depot's time.
        self._ack_at = now if self._asked else max(now, self._acked_at + _ACK_AT_MOST_EACH)

    def _told_no_more(self) -> None:
        """Note the end of a stream; of two depots that were active at once, the one that stays may have nothing new."""
        self._is_told = False
        if self._depot.peers.teller is self:
            for peer in self._depot.peers.open.values():
                if isinstance(peer, SyncPeer) and peer._is_told:
                    peer.ask_for_all()

    # What goes.

    def take(self, now: int) -> tuple[int, bytes] | None:
        """The channel and payload of the next record to send; None when there is none now."""
        self._sliced = False
        reader = self._reader_at(now)  # before what is to be said: the end of a stream is told before the next begins
        if self._control:
            # Last: an ACK after it would have the other depot go on from there.
            if (resync := self._control.pop(Kind.RESYNC, None)) is not None:
                self._control[Kind.RESYNC] = resync
            payload = b"".join(self._control.values())
            self._control.clear()
            return CONTROL, payload
        octets = b"" if reader is None else self._log(reader, now)
        if not octets:
            return None
        self._depot.peers.sent_octets += len(octets)
        return STREAM, octets

    def _log(self, reader: Reader, now: int) -> bytes:
        """Octets of the log, or of the snapshot before it, when it is their time."""
        if reader.cut_off:
            self._cut_off(now)
            return b""
        if reader.in_snapshot and now >= self._slice_at:
            self._sliced = True
            reader.slice(now)
        octets = reader.take(_BATCH)
        if octets:
            self._marks.append(_Mark(reader.offset, now))
            if not reader.in_snapshot:
                self._pause = _FIRST_PAUSE
        return octets

    def took(self, span: int, now: int) -> None:
        """Note the time (ns) that the last `take` took: a snapshot rests after each slice."""
        if self._sliced:
            self._slice_at = now + _REST * span

    def _reader_at(self, now: int) -> Reader | None:
        """The stream to the other depot, begun or ended by the roles of both."""
        if self._gift is not None:
            # A depot that is active again has another stream to tell.
            if self._depot.roles.role not in CLAIMS and (self._gift.in_snapshot or self._gift.pending):
                return self._gift
            self._gift.end()
            self._gift = None
            self._stream_over()
        if not self._is_to_hear():
            self._end_stream()
        elif self.reader is None and now >= self._stream_from:
            self.reader = self._replication.reader(*self.acked, now)
            self._depot.peers.full_syncs += self.reader.in_snapshot
            self._marks.clear()
        return self.reader

    def _is_to_hear(self) -> bool:
        return self._depot.roles.role in CLAIMS and self.role not in CLAIMS

    def _cut_off(self, now: int) -> None:
        """Give the stream to a depot up that is too far behind; it starts over after a pause, which grows."""
        self._depot.peers.cut_off += 1
        self.start_over()
        self._stream_from = now + self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def start_over(self) -> None:
        """Send all sessions anew."""
        self.acked = NOTHING
        self._end_stream()

    def _end_stream(self) -> None:
        if self.reader is not None:
            self.reader.end()
            self.reader = None
            self._stream_over()

    def _stream_over(self) -> None:
        """Tell that the stream ends, perhaps within a frame: the rest of that would be taken from the next stream."""
        self._say(Kind.STREAM_OVER, Frame(Kind.STREAM_OVER, OUTSIDE, b"").pack())

    def _say(self, kind: Kind, frame: bytes) -> None:
        """Send a frame of control next, after the others that wait, and in place of an older one of its kind."""
        self._control.pop(kind, None)
        self._control[kind] = frame

    def ask_for_all(self) -> None:
        """Ask the other depot to send all of its sessions anew."""
        self._say(Kind.RESYNC, Frame(Kind.RESYNC, OUTSIDE, b"").pack())

    def say_goodbye(self) -> None:
        """Tell that this depot ends in order."""
        self._turnover(Kind.BYE)

    # In time.

    def next_due(self, now: int, has_room: bool) -> int:
        """The time at which `handle_timer` or `take` has work; `has_room` is False while the socket is full."""
        if self._state() != self._said or self.leaves:
            return now
        due = min(self._beat_at, self.heard_at + SILENCE, self._ack_at, self._sweep_at)
        if not has_room:
            return due
        reader = self._reader_at(now)
        if self._control:
            return now
        if reader is None:
            return min(due, max(now, self._stream_from)) if self._is_to_hear() else due
        if reader.pending or reader.cut_off:
            return now
        return min(due, self._slice_at) if reader.in_snapshot else due

    def handle_timer(self, now: int) -> str:
        """Do what is due; return the reason when the link shall end."""
        if now - self.heard_at >= SILENCE:
            self.leaves = f"nothing came for {SILENCE // 1_000_000_000} s"
        if self._depot.network is not self._network:
            self.leaves = "the VC table was read again: both are compared again"
        if self._state() != self._said:
            self._beat_at = now
            self._changed(now)
        if self._beat_at <= now:
            self._beat_at = now + _BEAT
            self._said = self._state()  # a change may have changed more
            self._beat(now)
        if self._ack_at <= now:
            self._ack_at, self._acked_at = NEVER, now
            self._say(Kind.ACK, Ack(*self._replica.applied).pack())
        if self._sweep_at <= now:
            self._sweep_at = now + _SWEEP_EACH if self._replica.slice(now) else NEVER
        return self.leaves

    def _state(self) -> tuple[object, ...]:
        """News that the other depot must hear at once."""
        roles = self._depot.roles
        return (roles.role, roles.term, not roles.trouble, roles.wants_handover, self._has_all(),
                self._replica.stood_by)

    def _hands_over(self) -> bool:
        """True at a depot that hands over to the other, asked to or by a release, and has not told it the end."""
        roles = self._depot.roles
        return roles.role is Role.HANDING_OVER and roles.hands_to == self.name and not roles.has_flushed

    def _has_all(self) -> bool:
        """True at a depot that hands over to the other, when the other has applied all of its log."""
        if not self._hands_over() or self.reader is None:
            return False
        reader = self.reader
        return (not reader.pending and not reader.in_snapshot
                and self.behind(self._replication.run, reader.offset) <= 0)

    def _changed(self, now: int) -> None:
        """Ask for all after a time as the active depot, however short it was; tell the steps of a planned takeover."""
        roles = self._depot.roles
        if self._replica.stood_by != self._stood_by:
            self._stood_by = self._replica.stood_by
            self.ask_for_all()
        if roles.wants_handover and not self._asked and self.role in CLAIMS:
            self._turnover(Kind.HANDOVER)
        self._asked = roles.wants_handover
        if self._hands_over() and self.reader is not None:
            self._replication.flush(now)  # what a period holds back, too
        if self._has_all():
            roles.flushed(now)
            self._turnover(Kind.HANDED_OVER)

    def _turnover(self, kind: Kind) -> None:
        self._say(kind, Turnover(self._depot.roles.term, self._replication.log.end).pack(kind))

    def _beat(self, now: int) -> None:
        roles = self._depot.roles
        if self.reader is not None:
            self._replication.beat(now)
        beat = Heartbeat(roles.term, self._replication.log.end, self._replication.digest, self._depot.count_sessions(),
                         ROLES.index(roles.role), len(roles.heard.followers(self._depot.name, now)), 0)
        self._say(Kind.HEARTBEAT, beat.pack(UNFIT * bool(roles.trouble) | SERVES * roles.hears_clients(now)))

    def ended(self, now: int) -> None:
        """Note that the link is over."""
        self._end_stream()
        if self._gift is not None:
            self._gift.end()
            self._gift = None
        if self._in_sync and self._depot.peers.teller is self:  # else another depot tells by now
            self._depot.roles.sync_lost(now)
        self._told_no_more()
        self._depot.roles.peer_lost(self.name, now)


def resync(depot: Depot) -> str:
    """Begin full syncs; return what was begun. Raises AtmdepotError where there is none to begin."""
    if depot.replica is None:
        raise AtmdepotError(f"{depot.name} has no other depot to be in sync with")
    linked = [peer for peer in depot.peers.open.values() if isinstance(peer, SyncPeer)]
    if depot.roles.is_active:
        told = [peer for peer in linked if peer.reader is not None]
        for peer in told:
            peer.start_over()
        if not told:
            raise AtmdepotError("no other depot has a link to this one")
        return f"all sessions go to {', '.join(peer.name for peer in told)} again"
    active = next((peer for peer in linked if peer.is_active()), None)
    if active is None:
        raise AtmdepotError(f"{depot.name} has no link to an active depot")
    active.ask_for_all()
    return f"{active.name} is asked for all sessions again"
