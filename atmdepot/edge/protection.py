"""The choice among the depots of a set, at an edge node: it follows the active by its announcements.

An announcement has a term, which grows with each takeover. The rule for a flow's answers is

    to the depot from which the flow's last packet came, as long as that depot announces itself;
    else to the depot with the highest term of those of its set that do;
    else, and where no depot of the set ever did, to the depot from which the last packet came.

A flow that a depot opened while it stood by (a probe of its servers) is answered there.

So no flow suffers while two depots believe to be active, and a download, in which the client has nothing to say, moves
with the active. A single depot is followed, also of two that announce the same term: the one that was followed stays
until it falls silent. The highest term is remembered, and told in statistics, so a set that starts anew as a whole goes
on from there. Times in ns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from atmdepot.wire.announcement import Announcement, Claim

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atmdepot.config.model import Network
    from atmdepot.drops import DropReason

_MS = 1_000_000
_MISSED = 3
"""A depot is silent at the earliest when so many of its announcements would have come."""
_AT_ONCE = -1


class HeardDepot(NamedTuple):
    """A depot as an edge node has heard it; `heard_at` is None before its first announcement."""

    of: str
    depot: str
    way: str
    link: str
    term: int
    claim: Claim
    heard_at: int | None
    announces: bool
    is_followed: bool
    old_terms: int
    conflicts: int


class DepotWay:
    """The way to a depot, of each bearer in its own form, and the depot's last announcement. Times in ns.

    `name` is that of the VP or PVCs, `port` that of the link, `of` the depot's set. The depot counts as announcing
    itself until `silent_at`, which is 0 before it has.
    """

    __slots__ = ("claim", "conflicts", "depot", "following", "heard_at", "mtu", "name", "of", "old_terms", "port",
                 "silent_at", "term")

    def __init__(self, network: Network, depot: str, name: str, port: str, mtu: int) -> None:
        self.depot, self.of = depot, network.name_of_set_of(depot)
        self.name, self.port, self.mtu = name, port, mtu
        self.term = self.silent_at = 0
        self.heard_at: int | None = None
        self.claim = Claim.NOTHING
        self.following: Following
        """The depot of the set that is followed."""
        self.old_terms = 0
        """Announcements with a term below the highest of the set."""
        self.conflicts = 0
        """Announcements with the term of another depot that announces itself."""

    def announces(self, now: int) -> bool:
        """True while the depot announces itself."""
        return self.silent_at > now

    def tell(self, octets: bytes) -> None:
        """Send a message or a report to the depot, on the channel that is for these."""
        raise NotImplementedError

    def count(self, reason: DropReason, octets: bytes) -> None:
        """Count a drop of what the depot has told."""
        raise NotImplementedError

    def filling(self) -> tuple[int, int]:
        """Units of filling that were sent to the depot, and that came; a bearer without filling has none."""
        return 0, 0


class Following:
    """The depot of a set that is followed."""

    def __init__(self, ways: Sequence[DepotWay], silence: int, *, is_bridged: bool = False) -> None:
        """Begin with the set's first depot; with `is_bridged` every answer goes to all depots of the set."""
        self.ways = ways
        self.silence = silence
        self.is_bridged = is_bridged
        self.term = 0
        """The highest term that was heard; 0 before the first."""
        self.moves = 0
        """Changes of the depot that is followed."""
        self._told = ""
        self._chosen = ways[0]
        self._until = _AT_ONCE  # the choice holds until then

    def hear(self, way: DepotWay, told: Announcement, now: int) -> None:
        """Hear a depot announce itself, or say that it runs but is not active."""
        way.heard_at, way.claim = now, told.claim
        self._until = _AT_ONCE
        if not told.claim & Claim.ACTIVE:
            way.silent_at = min(way.silent_at, now)
            return
        way.conflicts += any(other is not way and other.term == told.term and other.announces(now)
                             for other in self.ways)
        way.old_terms += told.term < self.term
        self.term = max(self.term, told.term)
        way.term = told.term
        way.silent_at = now + max(self.silence, _MISSED * told.period * _MS)

    def chosen(self, now: int) -> DepotWay:
        """The depot for packets of no known flow: of those that announce themselves that with the highest term.

        While none does, the last one that was followed.
        """
        if now >= self._until:
            self._choose(now)
        return self._chosen

    def followed(self, now: int) -> str:
        """The name of the depot that is followed; empty while none announces itself."""
        way = self.chosen(now)
        return way.depot if way.announces(now) else ""

    def has_news(self, now: int) -> bool:
        """True once after another depot is followed than was told, or none any more: its set is to hear of it."""
        followed = self.followed(now)
        if followed == self._told:
            return False
        self._told = followed
        return len(self.ways) > 1

    def next_news(self) -> int | None:
        """The time (ns) at which the depot that is followed falls silent; None while none is."""
        return self._chosen.silent_at if self._told else None

    def answers(self, way: DepotWay, now: int) -> DepotWay:
        """The depot for the answers of a flow whose last packet came from `way`."""
        if way.silent_at > now or not self.term:
            return way
        chosen = self.chosen(now)
        return chosen if chosen.silent_at > now else way

    def stood_still(self, span: int, now: int) -> None:
        """Count the last `span` ns, in which this process did not run, as no depot's silence."""
        for way in self.ways:
            if way.silent_at > now - span:
                way.silent_at += span
        self._until = _AT_ONCE

    def _choose(self, now: int) -> None:
        announcing = [way for way in self.ways if way.announces(now)]
        best = max(announcing, key=lambda way: (way.term, way is self._chosen), default=self._chosen)
        if best is not self._chosen:
            self._chosen = best
            self.moves += 1
        # An announcement ends it earlier.
        self._until = min((way.silent_at for way in announcing), default=1 << 62)

    def heard(self, now: int) -> list[HeardDepot]:
        """The depots of the set, as they were heard."""
        followed = self.followed(now)
        return [HeardDepot(way.of, way.depot, way.name, way.port, way.term, way.claim, way.heard_at,
                           way.announces(now), way.depot == followed, way.old_terms, way.conflicts)
                for way in self.ways]
