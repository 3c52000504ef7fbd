"""The other depots of the set, as far as they are linked, and the times that this depot took over.

A link comes and goes, and its `Peer` with it; what `Peers` counts stays.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from atmdepot.depot.role import Phase, Role
from atmdepot.wire.replication_control import Ack

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.depot.log_reader import Reader
    from atmdepot.depot.roles import Roles
    from atmdepot.wire.replication_control import Heartbeat, Hello

CLAIMS = (Role.ACTIVE, Role.HANDING_OVER)
"""The roles of a depot that is the active one of others."""
_MOST_LAGS = 1_024
START, PLANNED, LOST, MOVED = WHYS = ("start", "planned", "lost", "moved")
"""Reasons to become active: nobody was; it was asked to; the active fell silent or its link ended; it was well."""


class Takeover(NamedTuple):
    """A time at which this depot became active."""

    at: int
    kind: str
    why: str
    gap: int
    """Time (ns) between the last octet heard of the active before it and this depot's activation; 0 at a start."""
    inherited: int
    """Sessions that it had from the stream."""


class Peer:
    """Another depot of the set, as this one knows it by their link. Times in ns."""

    def __init__(self, hello: Hello, now: int) -> None:
        self.name, self.version = hello.node, hello.version
        self.role, self.term, self.sessions = hello.role, hello.term, hello.sessions
        self.heard_at = now
        self.acked = Ack(*hello.applied)
        """The run of a log and the offset that it has applied."""
        self.beat: Heartbeat | None = None
        """Its last sign of life."""
        self.reader: Reader | None = None
        """The stream to it; None while this depot sends none."""
        self.lags: deque[int] = deque(maxlen=_MOST_LAGS)
        """The last lags: from the sending of changes to the ACK that they were applied."""

    def is_active(self) -> bool:
        """True while it says that it is the active depot."""
        return self.role in CLAIMS

    def behind(self, run: int, end: int) -> int:
        """Octets of a log that it has not applied; all while it has none of this run."""
        return end - (self.acked.offset if self.acked.run == run else 0)


class Peers:
    """The open links to the other depots, by name, totals of all links so far, and takeovers."""

    def __init__(self, roles: Roles, inherited: Callable[[], int]) -> None:
        self.open: dict[str, Peer] = {}
        self.teller: Peer | None = None
        """The link by which the last stream came."""
        self.refused = self.unread = self.cut_off = self.full_syncs = self.sent_octets = self.received_octets = 0
        self.takeovers = dict.fromkeys(WHYS, 0)
        self.last: Takeover | None = None
        self._inherited = inherited
        self._active_heard_at: int | None = None
        self._was_active, self._phase = roles.is_active, Phase.NONE
        roles.subscribe(self._role_changed)

    def heard(self, peer: Peer, octets: int, now: int) -> None:
        """Note that octets of another depot came."""
        self.received_octets += octets
        if peer.is_active():
            self._active_heard_at = now

    def _role_changed(self, roles: Roles, why: str, now: int) -> None:
        if roles.is_active and not self._was_active:
            self._became_active(why, now)
        self._was_active, self._phase = roles.is_active, roles.phase

    def _became_active(self, why: str, now: int) -> None:
        heard_at = self._active_heard_at
        kind = START if heard_at is None else self._kind()
        self.takeovers[kind] += 1
        self.last = Takeover(now, kind, why, 0 if heard_at is None else now - heard_at, self._inherited())
        self._active_heard_at = None

    def _kind(self) -> str:
        if self._phase is not Phase.NONE:
            return PLANNED
        return MOVED if any(peer.is_active() for peer in self.open.values()) else LOST
