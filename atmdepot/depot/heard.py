"""News of the active depot of a set: by the link between depots, and of the edge nodes as witnesses.

A link between depots may be cut while the active serves. So its silence alone says nothing: an edge node, too, has to
say, after the silence began, that it hears no other active depot. Nor does the link alone say that the active serves:
when no edge node hears it any more, it is cut off from the servers, and silent for all that matters. Times are in ns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from atmdepot.config.pools import DepotSet

SETTLED = 1_000_000_000
"""An active that edge nodes do not hear is given so long (ns) after its activation: nothing can move more often."""
FORGOTTEN = 5_000_000_000
"""The word of a depot or an edge node that is older than this (ns) does not count."""


class _Peer(NamedTuple):
    role: str
    is_fit: bool
    at: int
    serves: bool


class _Word(NamedTuple):
    """The word of an edge node: the depot that it follows."""

    depot: str
    at: int


class Heard:
    """The last words of the other depots and of the edge nodes."""

    def __init__(self, settings: DepotSet, node: str, now: int) -> None:
        self._silence = int(settings.silence)
        self._peers: dict[str, _Peer | None] = dict.fromkeys(name for name in settings.nodes if name != node)
        self._node = node
        self._edges: dict[str, _Word] = {}
        self._heard_at = self._active_from = now
        self._due: int | None = None  # the next time at which a word may have become too old
        self.active_name: str | None = None
        """The depot that was active when it was last heard; None before one was, and when none is any more."""

    def peer(self, node: str, role: str, fit: bool, now: int, serves: bool = False) -> bool:
        """Hear a depot; False when it is none of the others in the set."""
        if node not in self._peers:
            return False
        self._peers[node] = _Peer(role, fit, now, serves)
        self._due = self._due or now + FORGOTTEN
        if node == self.active_name and role not in ("active", "handing-over"):
            self.active_name = None
        return True

    def lost(self, node: str, now: int) -> None:
        """Forget the word of a depot whose link has broken."""
        del now
        if node in self._peers:
            self._peers[node] = None

    def active_elsewhere(self, node: str, now: int) -> None:
        """Note that another depot is active."""
        if node != self.active_name:
            self._active_from = now
        self.active_name, self._heard_at = node, now
        self._due = now + self._silence + 1

    def edge(self, edge: str, depot: str, now: int) -> None:
        """Hear an edge node: the depot that it follows, or none."""
        self._edges[edge] = _Word(depot, now)
        self._due = self._due or now + FORGOTTEN

    def active(self, now: int) -> str | None:
        """The other depot that is active; None when none was heard within the time of silence."""
        return self.active_name if now - self._heard_at <= self._silence else None

    def is_silent(self, now: int) -> bool:
        """True when the active has fallen silent, and each edge node that has spoken since then hears none either."""
        return (self.active_name is not None and now - self._heard_at > self._silence
                and self._is_unheard(self._heard_at, now))

    def is_cut_off(self, now: int) -> bool:
        """True when the active is heard, but by no edge node any more, though they had the time to hear it."""
        return (self.active_name is not None and now - self._heard_at <= self._silence
                and self._is_unheard(self._active_from + max(self._silence, SETTLED), now))

    def _is_unheard(self, since: int, now: int) -> bool:
        """True when the edge nodes hear no other active depot, and one of them has said so since then."""
        words = [word for word in self._edges.values() if now - word.at < FORGOTTEN]
        return (any(word.at > since for word in words)
                and not any(word.depot not in ("", self._node) for word in words))

    def is_serving(self, now: int) -> bool:
        """True when the active has said just now that packets of clients come to it."""
        peer = self._peers.get(self.active_name or "")
        return (peer is not None and peer.role == "active" and peer.is_fit and peer.serves
                and now - peer.at <= self._silence * 2 // 3)

    def is_followed(self, now: int) -> bool:
        """True when an edge node has said lately that it follows another depot."""
        return any(word.depot not in ("", self._node) and now - word.at <= max(self._silence, 2 * SETTLED)
                   for word in self._edges.values())

    def followers(self, depot: str, now: int) -> list[str]:
        """The edge nodes that follow a depot, by their last words."""
        return [edge for edge, word in self._edges.items() if word.depot == depot and now - word.at < FORGOTTEN]

    def has_fit_peer(self, now: int) -> bool:
        """True when another depot, which was heard lately, is fit."""
        return any(peer is not None and peer.is_fit and now - peer.at < FORGOTTEN for peer in self._peers.values())

    def standbys(self, now: int) -> list[str]:
        """The other depots that could take over: in sync, fit, and heard lately."""
        return [name for name, peer in self._peers.items()
                if peer is not None and peer.role == "standby" and peer.is_fit and now - peer.at < FORGOTTEN]

    # In time.

    def next_timer(self) -> int | None:
        """The time (ns) at which `handle_timer` is next due: a word may have become too old. None without any."""
        return self._due

    def handle_timer(self, now: int) -> None:
        """Note the next time at which a word becomes too old."""
        if self._due is not None and self._due <= now:
            ends = [at + FORGOTTEN for at in (*(peer.at for peer in self._peers.values() if peer is not None),
                                              *(word.at for word in self._edges.values()))]
            self._due = min((end for end in ends if end > now), default=None)

    def stood_still(self, span: int, now: int) -> None:
        """Count the last `span` ns, in which this process did not run, as no silence."""
        self._heard_at = min(self._heard_at + span, now)
        self._active_from = min(self._active_from + span, now)
        self._due = self._heard_at + self._silence + 1 if self.active_name is not None else self._due
