"""A reader of a depot's log: its place there, and a snapshot on its way. All times are in ns.

A reader that joins late gets a snapshot among the log's frames, by a walk over the timer wheel's slots, some entries at
a time. An entry is told as it is when the walk meets it, and the log up to then goes before it, so the order alone
makes it right: nothing is frozen, and no entry has a version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from atmdepot.wire.replication import OUTSIDE, Kind, octets_at
from atmdepot.wire.replication_control import Ack, Snapshot

if TYPE_CHECKING:
    from atmdepot.atm.timers import Walk
    from atmdepot.depot.byte_log import ByteLog
    from atmdepot.depot.sessions import SessionTables
    from atmdepot.depot.telling import Teller

SLICE = 256
"""Entries of a snapshot's slice: well below a millisecond."""
AHEAD = 262_144
"""Octets that may wait for a reader; while more wait, its snapshot does."""


class Stream(Protocol):
    """The stream that is read (`depot/replication.py`)."""

    log: ByteLog
    tables: SessionTables
    teller: Teller
    readers: list[Reader]
    run: int
    digest: int
    cut_off: int

    @property
    def is_kept(self) -> bool:
        """True while changes go into the log."""

    def flush(self, now: int) -> None:
        """Put all that has changed into the log."""

    def conditions(self, outside: int, now: int) -> bytes:
        """The frames of all conditions and turns."""


class Reader:
    """A place in a log, and a snapshot on its way. `take` what is ready; `slice` goes on with the snapshot."""

    def __init__(self, replication: Stream, now: int) -> None:
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
        if not self.ended and self._is_behind():
            self._replication.cut_off += 1
            self.end()
        return self.ended

    def _is_behind(self) -> bool:
        return self._replication.is_kept and self.offset < self._replication.log.start

    def resume(self, offset: int) -> None:
        """Go on at an offset of the log."""
        self.offset = self.acknowledged = offset
        self._out += b"".join(self._replication.teller.names())
        self._out += Ack(self._run, offset).pack(Kind.RESUMED)

    def begin_snapshot(self, now: int) -> None:
        """Begin with a snapshot: names, conditions and turns first."""
        replication, tables = self._replication, self._replication.tables
        state = replication.conditions(OUTSIDE, now)
        count = tables.index.count
        self._out += b"".join(replication.teller.names())
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
        teller = replication.teller
        replication.flush(now)
        if self._is_behind():  # by what was flushed: it is cut off
            return True
        frames = bytearray()
        for session in self._walk.take(count):
            if teller.put_in_snapshot(frames, session, now):
                self.told += 1
        self._pass_log()
        self._out += frames
        if self._walk.over:
            self._walk = None
            replication.digest = replication.tables.told.digest
            self._out += Snapshot(self._run, self.offset, 0, self.told).pack(Kind.SNAPSHOT_END)
        return self._walk is not None

    def _pass_log(self) -> None:
        """Take the whole log so far: it goes before what comes now."""
        replication = self._replication
        if not replication.is_kept:
            self._out += b"".join(replication.teller.new_names)
            replication.teller.new_names = []
            return
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
            octets: bytes = log.read(self.offset, most)
            self.offset += len(octets)
            return octets
        while len(self._out) < most and self.offset < log.end and self._replication.is_kept:
            self._read(most - len(self._out))
        octets = octets_at(self._out, 0, most)
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
