"""Eviction: the entries of the session tables that may go to make room, and which of them goes first.

Each of these entries is in one of three chains, oldest first, so that eviction needs no search. Established sessions
and answered flows are in none, nor is a probe of the depot's own before it has closed: they are never evicted.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from atmdepot.depot.chain import Chain
from atmdepot.wire.ip import PROTOCOL_TCP

if TYPE_CHECKING:
    from atmdepot.config.pools import SessionTimers
    from atmdepot.depot.servers import Server
    from atmdepot.depot.session import Session
    from atmdepot.depot.session_index import SessionIndex
    from atmdepot.wire.flows import FlowKey

_TCP = PROTOCOL_TCP  # a C number, where this is compiled
_LOOKED_AT = 8
"""Oldest entries searched for an entry to evict on a server at its bound."""


class Eviction:
    """The entries that may be evicted, and the bounds of the tables whose index this is.

    It only decides; the tables evict.
    """

    def __init__(self, index: SessionIndex, timers: SessionTimers) -> None:
        self._index = index
        self.use(timers)
        self.half_open, self.closed, self.unanswered = Chain(), Chain(), Chain()

    def use(self, timers: SessionTimers) -> None:
        """Apply other bounds from now on."""
        # Copied from the settings, since they are read for each new session.
        self._max_sessions, self._max_half_open = timers.max_sessions, timers.half_open_bound
        self._reserve = timers.max_sessions // 8

    def begin_opening(self, session: Session) -> None:
        """Note that an entry is half-open, or a flow without an answer."""
        session.opening = True
        if session.key[0] != _TCP:
            self.unanswered.add(session)
        elif not session.probe:
            self.half_open.add(session)

    def end_opening(self, session: Session) -> None:
        """Note that an entry is established, that a flow has its answer, or that either leaves the primary table."""
        session.opening = False
        if session.key[0] != _TCP:
            self.unanswered.remove(session)
        elif not session.probe:
            self.half_open.remove(session)

    def has_room_for(self, key: FlowKey, is_tcp: bool = True) -> bool:
        """True when an entry may be opened: in a free place, in its old entry's place, or by an eviction."""
        return not self.is_full() or self._index.find(key) is not None or self._least_needed(is_tcp) is not None

    def is_full(self) -> bool:
        """True when no place is free."""
        return self._index.count >= self._max_sessions

    def _least_needed(self, is_tcp: bool) -> Session | None:
        """The entry to evict first when the table is full; never an established session or an answered flow.

        The order is: the oldest entry of the secondary table, the oldest half-open session, the oldest unanswered flow.
        A new UDP flow evicts no half-open session: else a flood of UDP would leave no handshake the time to end.
        """
        session: Session | None = self.closed.oldest()
        if session is None and is_tcp:
            session = self.half_open.oldest()
        return self.unanswered.oldest() if session is None else session

    def pushed_out_when_full(self, is_tcp: bool) -> Session | None:
        """The entry that an adopted or inherited entry evicts; None where there is room, and where none may go."""
        return self._least_needed(is_tcp) if self.is_full() else None

    def pushed_out(self, key: FlowKey, is_tcp: bool = True) -> Session | None:
        """The entry that a new entry of this flow would evict, apart from the flow's old entry.

        `max_half_open` bounds the half-open sessions, and separately the unanswered flows; beyond it the oldest of the
        same kind is evicted. A full table evicts the least needed entry.
        """
        chain = self.half_open if is_tcp else self.unanswered
        if len(chain) < self._max_half_open and not self.is_full() and (is_tcp or not self._is_scarce()):
            return None
        old: Session | None = self._index.find(key)
        bound_to_go: Session | None = chain.oldest(old)
        # The flow's old entry is removed in any case, so it does not count.
        if len(chain) - (old is not None and old.opening) >= self._max_half_open:
            return bound_to_go
        if old is not None:
            return None  # the new entry takes the place of the old
        if self.is_full():
            return self._least_needed(is_tcp)
        return bound_to_go if not is_tcp else None

    def goes_for(self, members: frozenset[Server], is_tcp: bool) -> Session | None:
        """The half-open session or unanswered flow to evict when all servers of a pool are at their bounds, or None.

        Without eviction a flood would fill the servers' bounds, as it would fill the table. Only the oldest
        `_LOOKED_AT` entries of each kind are searched, which bounds the time.
        """
        for chain in ((self.half_open, self.unanswered) if is_tcp else (self.unanswered,)):
            session: Session
            for session in islice(chain, _LOOKED_AT):
                if session.server in members and session.server.takes_one_for_another():
                    return session
        return None

    def _is_scarce(self) -> bool:
        """True when half-open sessions may need all free places; at most an eighth of the table is reserved for them.

        Unanswered flows do not take these places: a full table evicts half-open sessions before flows.
        """
        left = self._max_sessions - self._index.count
        return left <= min(self._max_half_open - len(self.half_open), self._reserve)
