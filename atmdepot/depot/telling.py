"""Entries of the session tables as frames of the stream: what is told of each, and when it is told again.

Servers and services have numbers in a run of the stream, and their names are told before the first use. What was told
of a live entry is kept with it as a digest, so the same is never told twice. All times are in ns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.config.contract import ServiceCategory
from atmdepot.depot.session import Table
from atmdepot.depot.told import spread
from atmdepot.wire.ip import PROTOCOL_TCP
from atmdepot.wire.replication import LONGEST, NO_SERVER, OUTSIDE
from atmdepot.wire.replication_entries import CLOSED_BY, NO_SCALE, hash_of_key, put_session, put_state
from atmdepot.wire.replication_servers import SERVER_NAME, SERVICE_NAME, Name

if TYPE_CHECKING:
    from atmdepot.depot.byte_log import ByteLog
    from atmdepot.depot.session import Session
    from atmdepot.depot.sessions import SessionTables
    from atmdepot.wire.flows import FlowKey

_MS, _LONGEST = 1_000_000, LONGEST
_TCP, _OUTSIDE, _NO_SCALE = PROTOCOL_TCP, OUTSIDE, NO_SCALE  # C numbers, where this is compiled
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
    path = session.path
    return told_as(session.key, server, path.number(), session.opening,
                   client.state_number << 4 | other.state_number, client.isn, other.isn, path.answers())


def told_as(
    key: FlowKey, server: int, channel: int, opening: bool, states: int, client_isn: int, server_isn: int,
    answers: FlowKey,
) -> int:
    """The digest of an entry that is told with these values."""
    identity = hash_of_key(key, server << 16 | channel)
    if answers:
        identity = hash_of_key(answers, identity)
    return with_states(spread(identity ^ client_isn << 32 ^ server_isn ^ (_OPENING if opening else 0)), states)


def with_states(told: int, states: int) -> int:
    """The digest of an entry of which only the states are others."""
    return told & _REST | states


class Teller:
    """The entries of a depot as frames, in one run of its stream."""

    def __init__(self, tables: SessionTables, half_open: bool, is_watched: bool) -> None:
        """Tell of these tables; `is_watched` is True where a hot standby sees the packets, too."""
        self.half_open = half_open
        self._tables = tables
        self._is_watched = is_watched
        self.begin(None)

    def begin(self, log: ByteLog | None) -> None:
        """Begin a run, with a log that is to have each name, or with none."""
        self._log = log
        self._numbers: dict[str, int] = {}
        self._services: dict[str, int] = {}
        self.new_names: list[bytes] = []
        """Frames of names used for the first time while there was no log."""

    def end(self) -> None:
        """Leave the log, which has ended; names and numbers stay."""
        self._log = None

    # Entries.

    def put(self, out: bytearray, session: Session, now: int) -> bool:
        """Put the frame that tells what has become of an entry at the end of `out`; False where there is none."""
        table = session.table
        if table is _GONE:
            return False  # if it was told, its key is among those that have gone
        tables = self._tables
        client, other = session.client, session.server_side
        known = tables.told.of(session)
        if table is _SECONDARY:
            if not known:
                return self._put_end(out, session, now)
            tables.told.note(session, 0)
            put_state(out, session.key, client.state_number, other.state_number, closed_number(session),
                      _milliseconds(session.deadline - now))
            return True
        if not self.is_told(session):
            return False
        number = self.number_of(session.server.name)
        told = told_of(session, number)
        if told == known:
            return False
        self._tables.told.note(session, told)
        # Only the states have changed. One that is back from the secondary table may have other numbers, too.
        if known and not (told ^ known) & _REST:
            put_state(out, session.key, client.state_number, other.state_number, 0,
                      _milliseconds(session.deadline - now))
        else:
            self._put_session(out, session, number, now, 0)
        return True

    def _put_end(self, out: bytearray, session: Session, now: int) -> bool:
        """Put the frame of a closed entry that was never told as live; False unless a hot standby hears of it.

        That has seen it open, or sees its packets when it is over: they belong to the closed entry then.
        """
        if not self._is_watched or session.told_in == self._tables.told.epoch:
            return False
        self._put_session(out, session, self.number_of(session.server.name), now, 0)
        self._tables.told.note(session, 0)
        return True

    def put_in_snapshot(self, out: bytearray, session: Session, now: int) -> bool:
        """Put the frame of an entry in a snapshot at the end of `out`; False for one that is not told."""
        if session.table is _GONE or session.probe:
            return False
        number = self.number_of(session.server.name)
        if session.table is _PRIMARY:
            if not self.is_told(session):
                return False
            if self._log is not None:
                self._tables.told.note(session, told_of(session, number))
        elif self._log is not None:
            self._tables.told.note(session, 0)
        self._put_session(out, session, number, now, _OUTSIDE)
        return True

    def is_told(self, session: Session) -> bool:
        """True for a live entry that is worth telling: established, or a flow from its second packet on."""
        return not session.probe and (not session.opening or (
            self.half_open if session.key[0] == _TCP else session.packets_in + session.packets_out > 1))

    def _put_session(self, out: bytearray, session: Session, number: int, now: int, outside: int) -> None:
        """Put the SESSION frame of an entry, whose server has this number."""
        client, other = session.client, session.server_side
        put_session(
            out, session.key, number, session.path.number(),
            _CATEGORY_NUMBERS[session.category], closed_number(session) if session.table is _SECONDARY else 0,
            session.opening, client.state_number, other.state_number,
            client.scale if client.scale >= 0 else _NO_SCALE, other.scale if other.scale >= 0 else _NO_SCALE,
            _milliseconds(session.deadline - now), _milliseconds(now - session.opened), client.isn, other.isn,
            session.path.answers(), outside)

    # Names.

    def number_of(self, server: str) -> int:
        """The number by which the stream calls a server."""
        number = self._numbers.get(server)
        if number is None and len(self._numbers) >= NO_SERVER:
            return NO_SERVER  # numbers of 16 bits are used up in this run: the other end counts its entries
        if number is None:
            number = self._numbers[server] = len(self._numbers)
            self._name(Name(SERVER_NAME, number, server))
        return number

    def number_of_service(self, service: str) -> int:
        """The number by which the stream calls a service."""
        number = self._services.get(service)
        if number is None:
            number = self._services[service] = len(self._services)
            self._name(Name(SERVICE_NAME, number, service))
        return number

    def _name(self, name: Name) -> None:
        """Put a name into the log at once, so that it comes before the frames that use its number."""
        if self._log is None:
            self.new_names.append(name.pack(_OUTSIDE))  # of no log, so in no offset
        else:
            self._log.append(name.pack())

    def names(self) -> list[bytes]:
        """The frames of all names known so far, for a reader that begins."""
        return [Name(kind, number, name).pack(_OUTSIDE)
                for kind, known in ((SERVER_NAME, self._numbers), (SERVICE_NAME, self._services))
                for name, number in known.items()]


def closed_number(session: Session) -> int:
    """The number of the reason for which an entry is in the secondary table."""
    return _CLOSED_NUMBERS.get(session.closed_by, _OTHER_REASON)


def _milliseconds(span: int) -> int:
    """A span of time (ns) in whole milliseconds, as far as a frame tells it."""
    return min(max(span, 0) // _MS, _LONGEST)
