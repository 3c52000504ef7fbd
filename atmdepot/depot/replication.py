"""The active depot's stream to the others of its set: a log of what changes, for readers that each are somewhere in it.

Entries that have changed are only noted. `flush` encodes each as it is then (`depot/telling.py`), once for all readers,
into a byte log: an entry is told at most once in a period, and what opens and goes within a period is never told.
Half-open sessions are told on request only, UDP flows from their second packet on. All times are in ns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.depot.byte_log import MOST, ByteLog
from atmdepot.depot.conditions import conditions_of, servers_told, turns_told
from atmdepot.depot.log_reader import Reader
from atmdepot.depot.servers import hash_of
from atmdepot.depot.session import SessionLog
from atmdepot.depot.telling import Teller
from atmdepot.wire.replication_entries import Gone

if TYPE_CHECKING:
    from atmdepot.depot.session import Session
    from atmdepot.depot.state import DepotState

PERIOD = 4_000_000
"""The least time (ns) between two flushes of a stream without an interval."""
MOST_NOTED = 8_192
"""Changes after which a period ends early."""
LOOK = 50_000_000
"""The least time (ns) between two looks at the conditions of servers and at turns."""
_RUNS = 0x7FFFFFFFFFFFFFFF


class Replication(SessionLog):
    """The log of a depot's changes. It is kept from the first reader on, until nobody has read it for its length."""

    def __init__(self, depot: DepotState, now: int) -> None:
        """Make the log of a depot of a set, which nobody reads yet."""
        of = depot.network.set_of(depot.name)
        self._depot = depot
        self.tables = depot.sessions
        self.half_open = of.half_open
        self.teller = Teller(depot.sessions, of.half_open, of.standby == "hot")
        """Makes frames of entries, and numbers of names."""
        self._period = int(of.interval) or PERIOD
        self.run = hash_of(now.to_bytes(8, "big"), depot.name) & _RUNS
        """The number of the run: logs of two runs have nothing to do with each other. The daemon draws the first."""
        self.readers: list[Reader] = []
        self.cut_off = 0
        """Readers cut off since they were further behind than the log reaches."""
        self.full_syncs = 0
        """Snapshots begun."""
        self.told = 0
        """Frames of entries in logs so far."""
        self.room = MOST
        """Octets that the next log keeps."""
        self._changed: list[Session] = []
        self._clear(now)

    def _clear(self, now: int) -> None:
        self._forget_noted()
        self.log = ByteLog(self.room)
        self._conditions: list[tuple[str, int, int]] = []
        self._turns = b""
        self._flushed_at = self._looked_at = now - LOOK
        self.digest = 0
        """The digest of the live entries as told up to the end of the log."""

    @property
    def is_kept(self) -> bool:
        """True while changes are noted."""
        return self.tables.log is self

    @property
    def period(self) -> int:
        """The least time (ns) between two flushes."""
        return self._period

    def keep(self, now: int) -> None:
        """Begin a log, as a new run; readers of another are cut off."""
        self.stop()
        self._clear(now)
        self.teller.begin(self.log)
        self.run = self.run + 1 & _RUNS
        self.tables.told.begin()
        self.tables.log = self

    def stop(self) -> None:
        """End the log: this depot is not active any more, or nobody has read for long."""
        if self.is_kept:
            self.tables.log = None
            self.teller.end()
            self._forget_noted()
        for reader in self.readers:
            reader.end()
        self.readers = []

    def _forget_noted(self) -> None:
        for session in self._changed:
            session.noted = False
        self._changed = []
        self._gone: dict[bytes, None] = {}

    # What changes.

    def note(self, session: Session) -> None:
        """Note an entry that has changed."""
        if not session.noted and not session.probe:
            session.noted = True
            self._changed.append(session)

    def note_gone(self, session: Session) -> None:
        """Note that an entry has gone, which was told as live."""
        self._gone[session.key] = None

    def flush(self, now: int) -> None:
        """Encode all that has changed; to be called each 100 ms in any case, for servers and turns."""
        if not self.is_kept:
            return
        teller, log, count = self.teller, self.log, 0
        if now - self._looked_at >= LOOK:
            self._look(now)
        # What has gone comes first: another session may have its channel by now.
        if self._gone:
            count = len(self._gone)
            log.append(b"".join([Gone(key).pack() for key in self._gone]))
            self._gone = {}
        changed = self._changed
        if changed:
            self._changed = []
            for session in changed:
                session.noted = False
                count += teller.put(log.tail, session, now)
            log.settle()
        self._flushed_at = now
        self.told += count
        self.digest = self.tables.told.digest
        if not self.readers and log.end - log.start >= log.most:
            self.stop()

    def beat(self, now: int) -> None:
        """Flush what no entry makes pending: conditions and turns. In between, a period's changes wait for its end."""
        if now - self._flushed_at >= self._period:
            self.flush(now)

    def next_timer(self) -> int | None:
        """The time (ns) at which `flush` is due, or None; at once where much is noted, which takes memory and time."""
        noted = len(self._changed) + len(self._gone)
        return self._flushed_at + (self._period if noted < MOST_NOTED else 0) if noted else None

    def handle_timer(self, now: int) -> None:
        """Flush when that is due."""
        due = self.next_timer()
        if due is not None and due <= now:
            self.flush(now)

    # Conditions of servers, and turns.

    def _look(self, now: int) -> None:
        """Tell the conditions of servers, and whose turn is next, where they have changed."""
        self._looked_at = now
        conditions, turns = conditions_of(self._depot.management), self._turns_frames(0)
        if conditions != self._conditions:
            self.log.append(self._servers_frame(0, now))
        if turns != self._turns:
            self.log.append(turns)
        self._conditions, self._turns = conditions, turns

    def conditions(self, outside: int, now: int) -> bytes:
        """The frames of all conditions and turns, for a reader that begins."""
        return self._servers_frame(outside, now) + self._turns_frames(outside)

    def _servers_frame(self, outside: int, now: int) -> bytes:
        return servers_told(self._depot.management, self.teller, outside, now)

    def _turns_frames(self, outside: int) -> bytes:
        return turns_told(self._depot.management, self.teller, outside)

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
