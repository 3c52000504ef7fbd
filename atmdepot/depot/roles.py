"""The role of a depot in its set: which depot is active, and how fit this one is to be it.

An engine (`net/ownership.py`) decides which depot is active; it moves the address to which the clients' routes lead. A
depot tells the engine its fitness, and hears `granted` and `revoked` from it. Each activation has a term, higher than
all terms before it: by the term, edge nodes and other depots know who was active last. A depot forwards what comes to
it in any role; the role decides who announces itself, and whose changes the others follow. Times are in ns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from atmdepot.depot.heard import SETTLED, Heard
from atmdepot.depot.role import ACTIVE, TRANSITIONS, Event, Phase, Role
from atmdepot.errors import AtmdepotError

if TYPE_CHECKING:
    from atmdepot.config.pools import DepotSet

UNFIT, LAST_RESORT, FIT_ACTIVE, JOINS, IN_SYNC, TAKES_OVER = -254, -90, 60, -50, 20, 120
PATIENCE = 5_000_000_000
"""A planned takeover that has come to no end after this long (ns) is given up, on both sides."""
KEPT = 2_000_000_000
"""A standby that has lost its sync is as fit as before for so long (ns)."""
MOST_GRANTED = 2**62
"""No greater term is taken from an engine, so that the terms after it fit announcements."""
HOLD_DOWN = 60_000_000_000
"""After two takeovers within this long (ns), a depot takes none by its own will."""
SETTLING = 5_000_000_000
"""The preferred depot waits this long (ns) in sync before it takes over."""

Observer = Callable[["Roles", str, int], None]
"""A function called after each change of role, term, phase or fitness, with the reason and the time."""


def _none() -> int:
    return 0


def _never() -> int:
    return -1 << 62


class Roles:
    """The role of a depot, its term, and the takeover that it asks for."""

    def __init__(self, settings: DepotSet, node: str, now: int, sessions: Callable[[], int] = _none) -> None:
        """Begin alone and active, or joining; `sessions` counts the sessions that this depot has.

        Where the set has no standby there is nothing to get in sync with, so the depot stands by at once.
        """
        self.settings, self.node = settings, node
        self.rank = settings.nodes.index(node)
        is_alone = len(settings.nodes) == 1
        self.role = Role.ALONE if is_alone else Role.JOINING if settings.stands_by else Role.STANDBY
        self.term = int(is_alone)
        """The term of this depot's activation while it is active; else the highest that it has heard of."""
        self.highest = self.term
        self.since, self.why = now, "at start"
        self.phase = Phase.NONE
        self.pursues = ""
        """The reason for the last planned takeover by this depot."""
        self.has_flushed = False
        """True at a depot that hands over, once the other has all of its changes: the engine may move the address."""
        self.hands_to: str | None = None
        """The depot to which this one hands over."""
        self.owns = False
        """True while the engine says that the address is here."""
        self.trouble = ""
        """The reason why this depot is unfit; empty while it is fit."""
        self.takeovers = 0
        """Activations in the set that this depot has seen, but for the first."""
        self.heard = Heard(settings, node, now)
        self.client_seen: Callable[[], int] = _never
        """Tells the time of the last packet of a client."""
        self.engine_trouble = ""
        """The trouble of the engine, in words; empty for none."""
        self.servers_side_trouble = ""
        """The trouble with the addresses to which the servers' routes lead, in words; empty for none."""
        self._observers: tuple[Observer, ...] = ()
        self._sessions = sessions
        self._latest: deque[int] = deque(maxlen=2)  # the times of takeovers
        self._gives_up_at: int | None = None
        self._kept_until: int | None = None  # the time until which a standby that has lost its sync is as fit as before
        self._tried_at = now - HOLD_DOWN  # the preferred depot's last try to take over
        self._told = self.fitness(now)

    @property
    def is_active(self) -> bool:
        """True while this depot is the one that announces itself."""
        return self.role in ACTIVE

    @property
    def wants_handover(self) -> bool:
        """True while the link shall ask the active to hand over."""
        return self.phase is Phase.ASKING

    def subscribe(self, observer: Observer) -> None:
        """Tell an observer of each change from now on."""
        self._observers += (observer,)

    # The engine.

    def granted(self, now: int, term: int | None = None, why: str = "") -> None:
        """Become active: the engine has given the address to this depot, in a term of its own if it counts them."""
        self.owns = True
        if self.role in (Role.JOINING, Role.STANDBY) and not self._leaves_it(now):
            self._activate(now, term, why or "the address was granted")

    def revoked(self, now: int, why: str = "") -> None:
        """Stop being active: the engine has taken the address away."""
        self.owns = False
        self._step(Event.REVOKED, why or "the address was revoked", now)

    def hears_clients(self, now: int) -> bool:
        """True while packets of clients come here."""
        return now - self.client_seen() <= self.settings.silence * 2 // 3

    def _leaves_it(self, now: int) -> bool:
        """True when the other depot still serves clients: then this one has only lost its wire to them.

        keepalived hears no adverts then, and takes the address, which no client sees.
        """
        return (self.settings.ownership == "keepalived" and self.phase is not Phase.TAKING
                and self.heard.is_serving(now) and not self.heard.is_cut_off(now))

    def _takes_back(self, now: int) -> bool:
        """True when the address is here, and clients come here but not to the active depot."""
        return (self.owns and self.role in (Role.JOINING, Role.STANDBY) and self.settings.ownership == "keepalived"
                and now - self.since >= SETTLED and self._heard_clients(now) and not self.heard.is_serving(now))

    def _heard_clients(self, now: int) -> bool:
        """True when a packet of a client has come lately, and since this role began."""
        return self.client_seen() > self.since and now - self.client_seen() <= 2 * SETTLED

    def _take_back(self, now: int) -> None:
        if self._takes_back(now):
            self._activate(now, None, "the address and the clients are here, and none come to the active depot")

    def _is_passed(self, now: int) -> bool:
        """True when edge nodes follow another depot and no client comes here: cut apart, both own the address."""
        return (self.settings.ownership == "keepalived" and self.heard.is_followed(now)
                and not self._heard_clients(now))

    def fitness(self, now: int) -> int:
        """The number by which the engine decides: the fit depot with the highest has the address.

        A depot that is unfit gives the address away, unless no other depot is fit: that would leave it to nobody.
        """
        if self.trouble:
            return UNFIT if self.heard.has_fit_peer(now) else LAST_RESORT
        if self.role in (Role.ALONE, Role.ACTIVE):
            return FIT_ACTIVE
        if self.role is Role.HANDING_OVER:
            return LAST_RESORT if self.hands_to is None else 0
        takes_over = (self.phase is Phase.TAKING or self.heard.is_cut_off(now)
                      or (self.heard.is_silent(now) and not self.holds_down(now)))
        in_sync = self.role is Role.STANDBY or (self._kept_until is not None and now < self._kept_until)
        return (IN_SYNC if in_sync else JOINS) - self.rank + TAKES_OVER * takes_over

    def fit(self, now: int) -> None:
        """Note that this depot reaches its servers."""
        self._troubled("", now)

    def unfit(self, now: int, why: str) -> None:
        """Note why this depot cannot serve."""
        self._troubled(why, now)

    # The other depots and the edge nodes.

    def synced(self, now: int) -> None:
        """Stand by: the changes of the active have been applied up to now."""
        self._step(Event.SYNCED, "in sync", now)

    def sync_lost(self, now: int) -> None:
        """Join again: changes of the active are missing from now on.

        The fitness stays for a while. The active may have died just now: then a change would only delay keepalived,
        which begins its wait anew for another priority.
        """
        if self.role is Role.STANDBY:
            self._kept_until = now + KEPT
        self._step(Event.SYNC_LOST, "out of sync", now)

    def peer_heard(self, node: str, role: Role, term: int, sessions: int, now: int, fit: bool = True,
                   serves: bool = False) -> None:
        """Hear another depot's role, term and count of sessions, and whether it is fit and hears clients.

        Of two active depots the one with the higher term stays; in the same term, that with more sessions, then the
        first in the table. The one that stays begins another term, so that nobody takes one for the other.
        """
        if not self.heard.peer(node, role, fit, now, serves):
            return
        if role not in ACTIVE:
            self._note_term(term, now)
        elif self.is_active and term == self.term and not self._yields_to(node, sessions):
            self._begin_term(f"{node} was active in the same term", now)
        elif term >= self.term:
            self._follow(node, term, now)
        self._take_back(now)
        self._review(f"{node} was heard", now)

    def peer_lost(self, node: str, now: int) -> None:
        """Note that the link to another depot has broken."""
        self.heard.lost(node, now)
        if self.owns:
            self.granted(now)  # it may have been left to that depot
        self._review(f"{node} was lost", now)

    def edge_heard(self, depot: str, term: int, now: int, edge: str = "") -> None:
        """Hear of an edge node which depot it follows, and the highest term that it knows.

        `depot` is empty when the edge node hears no depot announce itself.
        """
        self.heard.edge(edge, depot, now)
        if depot not in ("", self.node) and self.role is not Role.ALONE and term > self.term - (not self.is_active):
            self._follow(depot, term, now)
        else:
            self._note_term(term, now)
            # It knows the term of an earlier life of the set, and would follow any depot that comes back from there.
            if self.is_active and depot and term > self.term:
                self._begin_term(f"edge nodes know of term {term}", now)
        self._take_back(now)  # by a depot that only edge nodes hear
        self._review("an edge node was heard", now)

    # Planned takeovers.

    def takeover(self, now: int, force: bool = False, why: str = "takeover was asked for") -> None:
        """Take over: have the active hand over first, or not ask it (`force`). Raises AtmdepotError to refuse."""
        if self.is_active:
            raise AtmdepotError("this depot is active already")
        if not force:
            self._refuse_unless_ready(now)
        self._pursue(Phase.TAKING if force or self.heard.active(now) is None else Phase.ASKING, why, now)

    def handed_over(self, now: int) -> None:
        """Take the address: the active has handed over, and all of its changes have been applied."""
        if self.role is Role.STANDBY or self.phase is Phase.ASKING:
            self._pursue(Phase.TAKING, "the active has handed over", now)

    def handover_asked(self, now: int, by: str) -> bool:
        """Begin to hand over to another depot; False when this depot is not active, or alone.

        The link then tells that depot `handed_over`, with all changes before it, and this one `flushed`.
        """
        if self.role is Role.ACTIVE:
            self.hands_to = by
        self._step(Event.ASKED, f"{by} takes over", now)
        return self.role is Role.HANDING_OVER

    def release(self, now: int, force: bool = False) -> None:
        """Hand over to the fittest other depot; where none is in sync, by `force` alone. Raises AtmdepotError."""
        if self.role is not Role.ACTIVE:
            raise AtmdepotError(f"only an active depot of a set can release its address: this one is {self.role}")
        standbys = self.heard.standbys(now)
        if not standbys and not force and self.settings.stands_by:
            raise AtmdepotError("no other depot is in sync and fit to take over; --force releases nonetheless")
        self.hands_to = min(standbys, key=self.settings.nodes.index, default=None)
        self._step(Event.ASKED, "release was asked for", now)
        if self.hands_to is None:
            self.flushed(now)

    def flushed(self, now: int) -> None:
        """Let the engine move the address: the other depot has all changes of this one."""
        if self.role is Role.HANDING_OVER and not self.has_flushed:
            self.has_flushed = True
            self._tell("all changes are handed over", now)

    # In time.

    def next_timer(self) -> int | None:
        """The time (ns) at which `handle_timer` is next due, or None."""
        times = [self._gives_up_at, self._kept_until, self._prefers_at(), self.heard.next_timer()]
        return min((time for time in times if time is not None), default=None)

    def handle_timer(self, now: int) -> None:
        """Give up a takeover that takes too long; act on a silence; go back to the preferred depot."""
        if self._gives_up_at is not None and self._gives_up_at <= now:
            self._gives_up_at, self.phase = None, Phase.NONE
            self._step(Event.GIVEN_UP, "the other depot did not take over", now)
            self._review("the takeover took too long", now)
        if (prefers_at := self._prefers_at()) is not None and prefers_at <= now:
            self._tried_at = now
            self._pursue(Phase.ASKING, f"{self.node} is preferred", now)
        if self._kept_until is not None and self._kept_until <= now:
            self._kept_until = None
        self.heard.handle_timer(now)
        if self.owns and not self.is_active and self.heard.active(now) is None and not self._is_passed(now):
            self._activate(now, None, "the address is here, and no other depot is active")
        self._review("a depot has fallen silent", now)

    def stood_still(self, span: int, now: int) -> None:
        """Count the last `span` ns, in which this process did not run, as nobody's silence."""
        self.heard.stood_still(span, now)

    def holds_down(self, now: int) -> bool:
        """True after two takeovers in a minute: then this depot takes over only when it is asked to, or granted."""
        return len(self._latest) == self._latest.maxlen and now - self._latest[0] < HOLD_DOWN

    # Steps.

    def _step(self, event: Event, why: str, now: int) -> None:
        then = TRANSITIONS[self.role, event]
        if then is Role.JOINING and not self.settings.stands_by:  # nothing to get in sync with
            then = Role.STANDBY
        if then is not self.role:
            self._enter(then, why, now)

    def _enter(self, role: Role, why: str, now: int) -> None:
        self.role, self.since, self.why = role, now, why
        self.has_flushed = False
        self.phase, self._gives_up_at = Phase.NONE, now + PATIENCE if role is Role.HANDING_OVER else None
        if role is not Role.JOINING:
            self._kept_until = None
        if role is not Role.HANDING_OVER:
            self.hands_to = None
        if not self.is_active:
            self.term = self.highest
        self._tell(why, now)

    def _activate(self, now: int, term: int | None, why: str) -> None:
        self._note_term(max(self.highest + 1, min(term or 0, MOST_GRANTED)), now)
        self.term = self.highest
        self._enter(TRANSITIONS[self.role, Event.GRANTED], why, now)

    def _follow(self, node: str, term: int, now: int) -> None:
        """Follow another depot, which is active in a term that is not below this one's."""
        self.heard.active_elsewhere(node, now)
        self._note_term(term, now)
        self._step(Event.OUTRANKED, f"{node} is active in term {term}", now)

    def _note_term(self, term: int, now: int) -> None:
        """Remember the highest term; each is of a takeover, but for the first that is heard of."""
        if term <= self.highest:
            return
        if self.highest:
            self.takeovers += 1
            self._latest.append(now)
        self.highest = term
        if not self.is_active:
            self.term = term

    def _begin_term(self, why: str, now: int) -> None:
        self.term = self.highest = self.highest + 1
        self._tell(why, now)

    def _yields_to(self, node: str, sessions: int) -> bool:
        """True when another depot, active in the same term, has more sessions, or as many and a better rank."""
        return (-sessions, self.settings.nodes.index(node)) < (-self._sessions(), self.rank)

    def _refuse_unless_ready(self, now: int) -> None:
        if self.trouble:
            raise AtmdepotError(f"this depot is not fit to serve: {self.trouble}; --force takes over nonetheless")
        if self.role is not Role.STANDBY:
            raise AtmdepotError(f"this depot is {self.role}, not in sync with the active: --force takes over "
                                "nonetheless, and sessions may be lost")

    def _pursue(self, phase: Phase, why: str, now: int) -> None:
        self.phase, self.pursues, self._gives_up_at = phase, why, now + PATIENCE
        self._tell(why, now)

    def _prefers_at(self) -> int | None:
        """The time at which the preferred depot goes back to be the active; None while it does not want to."""
        if (self.settings.prefer != self.node or self.role is not Role.STANDBY or self.phase or self.trouble
                or self.heard.active_name is None):
            return None
        held = self._latest[0] + HOLD_DOWN if len(self._latest) == self._latest.maxlen else 0
        return max(self.since + SETTLING, self._tried_at + HOLD_DOWN, held)

    def _troubled(self, trouble: str, now: int) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            self._tell(trouble or "fit again", now)

    def _review(self, why: str, now: int) -> None:
        """Tell observers when the fitness has changed."""
        if self.fitness(now) != self._told:
            self._tell(why, now)

    def _tell(self, why: str, now: int) -> None:
        self._told = self.fitness(now)
        for observer in self._observers:
            observer(self, why, now)
