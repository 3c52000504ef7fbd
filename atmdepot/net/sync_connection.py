"""An established replication link: its octets between a socket and a conversation, in the turns of the pump.

It never waits: what the socket does not take stays, and a standby that reads slowly loses only its own freshness. What
a turn reads and applies is so little that no burst waits for more than some milliseconds.
"""

from __future__ import annotations

import errno
import fcntl
import sys
import termios
from contextlib import suppress
from typing import TYPE_CHECKING

from atmdepot.depot.sync_peer import SILENCE
from atmdepot.wire.sync_link import BadRecord

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from atmdepot.depot.sync_peer import SyncPeer
    from atmdepot.net.pump import Pump
    from atmdepot.wire.sync_link import RecordReader, RecordWriter

_READ_AT_ONCE = 16_384
"""Octets read in a turn: some 380 sessions, 3 ms of work to apply."""
_SEND_AT_ONCE = 262_144
_MOST_READS = 1_024
_TURN = 2_000_000
"""Time (ns) after which a turn takes in, or makes, no further record."""


class SyncConnection:
    """A connection to another depot, whose HELLO was accepted."""

    def __init__(
        self, pump: Pump, connected: socket.socket, peer: SyncPeer, records: tuple[RecordReader, RecordWriter],
        ended: Callable[[str], None],
    ) -> None:
        """Take a socket over; `ended` is called once, with the reason, when the connection is over."""
        self.peer = peer
        self._pump = pump
        self._socket = connected
        self._reader, self._writer = records
        self._ended = ended
        self._unsent = b""
        self._is_behind = False  # whole records wait for the next turn
        self._is_full = False  # the socket takes no more
        self.is_open = True
        self.was_refused = False
        self.was_unread = False
        """True once the other depot has taken nothing for so long that the connection ended."""
        self._given = self._taken = self._taken_at = 0  # octets, octets, ns; the last two while the socket is full
        pump.watch(connected.fileno(), self._ready)

    def next_due(self, now: int) -> int:
        """The time (ns) at which `attend` is due."""
        return now if self._is_behind else self.peer.next_due(now, has_room=not self._unsent)

    def attend(self, now: int) -> None:
        """Do what is due, and send what there is."""
        if self._is_behind:
            self.take_in(now)
        self._answer(now)

    def _answer(self, now: int) -> None:
        """Do what has become due, be it by what has just come, and send what there is."""
        if self.is_open and (reason := self.peer.handle_timer(now)):
            self.close(reason)
        if self.is_open:
            self._send(now)
        if self.is_open and self._is_full:
            self._look_at_what_is_taken(now)

    def _ready(self, _: int) -> None:
        now = self._pump.clock()
        self._pump.watchdog.begins("the replication link", now)
        if not self._is_behind:
            self._receive(now)
        self._answer(now)

    def take_in(self, now: int) -> None:
        """Handle the records that came, those that are left after a turn's share in the next turn."""
        self._is_behind = False
        try:
            while self.is_open and (record := self._reader.next()) is not None:
                self.peer.receive(*record, now)
                if self.peer.leaves:
                    self.close(self.peer.leaves)
                elif self._pump.clock() - now > _TURN:
                    self._is_behind = True
                    return
        except BadRecord as error:
            self.was_refused = True
            self.close(f"it sent {error}")

    def _receive(self, now: int) -> None:
        try:
            octets = self._socket.recv(_READ_AT_ONCE)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(error)
            return
        if not octets:
            self.close("it ended the connection")
            return
        self.peer.came(now)
        self._reader.feed(octets)
        self.take_in(now)

    def _send(self, now: int) -> None:
        """Send until nothing is left, the socket is full, or the turn's share is over."""
        sent, until = 0, now + _TURN
        while sent < _SEND_AT_ONCE:
            if not self._unsent:
                began = self._pump.clock()
                record = self.peer.take(began) if began < until else None
                if record is None:
                    return
                self._unsent = self._writer.record(*record)
                done = self._pump.clock()
                self.peer.took(done - began, done)
            try:
                count = self._socket.send(self._unsent)
            except BlockingIOError:
                if not self._is_full:
                    self._is_full, self._taken_at = True, now
                self._pump.wait_for_room_at(self._socket.fileno(), True)
                return
            except OSError as error:
                self._receive(now)  # it may have said goodbye before
                self._fail(error)
                return
            sent += count
            self._given += count
            self._unsent = self._unsent[count:]
            if self._is_full and not self._unsent:
                self._is_full = False
                self._pump.wait_for_room_at(self._socket.fileno(), False)

    def _look_at_what_is_taken(self, now: int) -> None:
        """Close when the other depot has taken nothing for too long, though it says all the time that it lives.

        Its kernel then answers to this one's probes, so TCP_USER_TIMEOUT may never end the connection.
        """
        waits = fcntl.ioctl(self._socket, termios.TIOCOUTQ, bytes(4))
        taken = self._given - int.from_bytes(waits, sys.byteorder)
        if taken > self._taken:
            self._taken, self._taken_at = taken, now
        elif now - self._taken_at >= SILENCE:
            self._give_up()

    def _give_up(self) -> None:
        self.was_unread = True
        self.close(f"it took no octet for {SILENCE // 1_000_000_000} s")

    def _fail(self, error: OSError) -> None:
        """Close for an error of the socket's."""
        if self.is_open and self._is_full and error.errno == errno.ETIMEDOUT:
            self._give_up()
        else:
            self.close(error.strerror or str(error))

    def say_goodbye(self, now: int) -> None:
        """Tell the other depot that this one ends in order, as far as the socket takes it, and close."""
        if self.is_open:
            self.peer.say_goodbye()
            self._send(now)
            with suppress(OSError):  # what came is read: else the kernel answers with a reset, which overtakes the BYE
                for _ in range(_MOST_READS):
                    if not self._socket.recv(_READ_AT_ONCE):
                        break
            self.close("this depot ends")

    def close(self, reason: str) -> None:
        """Close the socket; `ended` hears the reason."""
        if self.is_open:
            self.is_open = False
            self._pump.let_go(self._socket.fileno())
            self._socket.close()
            self._ended(reason)
