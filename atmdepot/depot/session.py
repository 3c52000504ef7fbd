"""An entry of the session tables, its events, and the log of those that other depots of the set shall know."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING

from atmdepot.depot.tcp_tracking import Tracked
from atmdepot.wire.ip import PROTOCOL_TCP

if TYPE_CHECKING:
    from atmdepot.bearer.base import Path
    from atmdepot.config.contract import ServiceCategory
    from atmdepot.depot.servers import Server
    from atmdepot.wire.flows import FlowKey



class Table(StrEnum):
    """The table that holds an entry."""

    __hash__ = str.__hash__  # Enum's own hash is a Python function, and these are looked up for each packet

    PRIMARY = "primary"
    SECONDARY = "secondary"
    GONE = "gone"


class SessionEvent(StrEnum):
    """An event of an entry, as observers hear it.

    `OPENED`, `ADOPTED` or `INHERITED` comes first, and `GONE` last. `CLOSED` comes each time the entry leaves the
    primary table, `REVIVED` each time it comes back. `ESTABLISHED` comes at the end of the handshake, and so never for
    a UDP flow. A session is adopted from a packet or an edge node, and inherited from the active depot of the set.
    """

    __hash__ = str.__hash__  # Enum's own hash is a Python function, and these are looked up for each packet

    OPENED = "opened"
    ADOPTED = "adopted"
    INHERITED = "inherited"
    ESTABLISHED = "established"
    CLOSED = "closed"
    REVIVED = "revived"
    GONE = "gone"


_PRIMARY = Table.PRIMARY


class Session(Tracked):
    """An entry: the flow, its server and path, the guessed states of both ends, counts and times (ns)."""

    __slots__ = (
        "category", "closed_by", "key", "last_seen", "noted", "number", "octets_in", "octets_out", "opened", "opening",
        "packets_in", "packets_out", "path", "probe", "server", "table", "told", "told_in",
    )

    def __init__(
        self, key: FlowKey, server: Server, category: ServiceCategory, now: int, *, probe: bool = False,
    ) -> None:
        self._begin(key, server, category, now, probe)

    def _begin(self, key: FlowKey, server: Server, category: ServiceCategory, now: int, probe: bool) -> None:
        self.stand_nowhere(0)
        self.stand_alone()
        self.begin()
        self.number = 0  # 1, 2, 3..., given when it is entered
        self.key = key
        self.server = server
        self.category = category
        self.probe = probe
        self.opening = False  # a session never established, or a flow not answered yet
        self.path: Path
        self.opened = self.last_seen = now
        self.table = _PRIMARY
        self.closed_by = ""
        self.packets_in = self.packets_out = self.octets_in = self.octets_out = 0
        self.told = 0  # a digest of what a stream told of it, and the stream's epoch; 0 while no stream has it as live
        self.told_in = 0
        self.noted = False  # it stands among what a log has noted since it was flushed

    @property
    def is_tcp(self) -> bool:
        """True for a TCP session, False for a UDP flow."""
        return self.key[0] == PROTOCOL_TCP


def session_of(key: FlowKey, server: Server, category: ServiceCategory, now: int) -> Session:
    """Make a session, as the class does. Compiled, to call the class costs as much as the rest of the opening."""
    session = Session.__new__(Session)
    session._begin(key, server, category, now, False)
    return session


SessionObserver = Callable[[Session, SessionEvent, str], None]
"""A callback that hears each event of an entry, and the reason."""


class SessionLog:
    """A log of the entries that other depots of the set shall know. A class, so that compiled tables call it in C."""

    half_open: bool
    """True when half-open sessions are told too."""

    def note(self, session: Session) -> None:
        """Note that an entry is established, has changed its states or its table."""
        raise NotImplementedError

    def note_gone(self, session: Session) -> None:
        """Note that an entry has gone, which was told as live."""
        raise NotImplementedError
