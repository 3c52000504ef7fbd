"""Linear protection of a VP: a working and a protection entity, 1+1 or 1:1 (ITU-T I.630, words as in G.808.1).

What decides is the highest request in force::

    lockout               an operator keeps traffic on the working entity
    signal fail, P        the protection entity fails: nothing may be on it
    forced switch         an operator puts traffic on the protection entity
    signal fail, W        the working entity fails
    manual switch         as forced, but gives way to a failure
    wait to restore       the working entity has come back, and has to stay for a time
    do not revert         without reversion: traffic stays where it is
    no request            traffic is on the working entity

1+1, unidirectional: the source sends on both entities, the sink selects. 1:1: an end sends on the one that it has
selected, and takes what comes on either, so that two ends which move one after the other lose nothing. There is no
APS protocol between the ends: in 1:1 an end learns by RDI that the far end has a failure. Times are in ns.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING

from atmdepot.atm.oam import Condition

if TYPE_CHECKING:
    from collections.abc import Iterable

WAIT_TO_RESTORE = 300_000_000_000
"""The usual wait to restore: 5 min."""


class Architecture(StrEnum):
    """The ways in which the entities carry the traffic."""

    ONE_PLUS_ONE = "1+1"
    ONE_TO_ONE = "1:1"


class Side(StrEnum):
    """The entities."""

    WORKING = "working"
    PROTECTION = "protection"


class Request(StrEnum):
    """The requests that decide which entity is selected, the highest first."""

    LOCKOUT = "lockout"
    PROTECTION_FAILS = "signal fail of protection"
    FORCED = "forced switch"
    WORKING_FAILS = "signal fail of working"
    MANUAL = "manual switch"
    WAIT_TO_RESTORE = "wait to restore"
    DO_NOT_REVERT = "do not revert"
    NO_REQUEST = "no request"


_RANK = {request: rank for rank, request in enumerate(Request)}
COMMANDS = (Request.LOCKOUT, Request.FORCED, Request.MANUAL)
"""The requests of an operator."""
_ON_PROTECTION = frozenset((Request.FORCED, Request.WORKING_FAILS, Request.MANUAL, Request.WAIT_TO_RESTORE,
                            Request.DO_NOT_REVERT))

Observer = Callable[[Side, Request, int], None]
"""A function called when another entity is selected: with it, the request that decided, and the time."""


class _Entity:
    """An entity: its failure as it is told, and as it counts after the hold-off time."""

    __slots__ = ("counts_at", "fails")

    def __init__(self) -> None:
        self.fails = False
        self.counts_at: int | None = None  # the end of the hold-off time; None while it does not run


class LinearProtection:
    """The protection state of an end."""

    def __init__(self, architecture: Architecture = Architecture.ONE_PLUS_ONE, *, hold_off: int = 0,
                 wait_to_restore: int = WAIT_TO_RESTORE, revertive: bool = True) -> None:
        """Begin on the working entity.

        A failure counts when it has lasted for `hold_off`, so that a protection below can act first. Raises ValueError
        for times below 0.
        """
        if min(hold_off, wait_to_restore) < 0:
            raise ValueError("hold-off and wait to restore are 0 or more")
        self.architecture = architecture
        self.hold_off = hold_off
        self.wait_to_restore = wait_to_restore
        self.revertive = revertive
        self.selected = Side.WORKING
        self.request = Request.NO_REQUEST
        self.switches = 0
        self.observers: tuple[Observer, ...] = ()
        self._entities = {side: _Entity() for side in Side}
        self._command: Request | None = None
        self._restore_at: int | None = None

    def subscribe(self, observer: Observer) -> None:
        """Tell an observer of each switch from now on."""
        self.observers += (observer,)

    def sends_on(self) -> tuple[Side, ...]:
        """The bridge: the entities on which to send."""
        return tuple(Side) if self.architecture is Architecture.ONE_PLUS_ONE else (self.selected,)

    def accepts(self, side: Side) -> bool:
        """The selector: True when what comes on this entity is taken."""
        return self.architecture is Architecture.ONE_TO_ONE or side is self.selected

    def conditions(self, side: Side, conditions: Iterable[Condition], now: int) -> None:
        """Hear the conditions in force at an entity's end point, whenever they change.

        AIS and loss of continuity are a signal fail; in 1:1 RDI is, too, since the far end does not hear us there.
        """
        failures = {Condition.AIS, Condition.LOC}
        if self.architecture is Architecture.ONE_TO_ONE:
            failures.add(Condition.RDI)
        self.signal(side, not failures.isdisjoint(conditions), now)

    def signal(self, side: Side, fails: bool, now: int) -> None:
        """Hear that an entity fails, or no longer."""
        self.handle_timer(now)
        entity = self._entities[side]
        if not fails:
            entity.fails, entity.counts_at = False, None
        elif not entity.fails and entity.counts_at is None:
            entity.counts_at = now + self.hold_off
        self.handle_timer(now)

    def command(self, command: Request, now: int) -> bool:
        """Obey an operator; return False, and change nothing, when a higher request is in force.

        Raises ValueError for a request that is no command.
        """
        if command not in COMMANDS:
            raise ValueError(f"{command} is no command: choose {', '.join(COMMANDS)}")
        self.handle_timer(now)
        if _RANK[self.request] < _RANK[command]:
            return False
        self._command = command
        self._decide(now)
        return True

    def clear(self, now: int) -> None:
        """Take the operator's command back, and end a wait to restore."""
        self._command = None
        if self._restore_at is not None:
            self._restore_at = now
        self.handle_timer(now)

    def next_timer(self) -> int | None:
        """The time of the next call of `handle_timer`, or None."""
        times = [entity.counts_at for entity in self._entities.values()] + [self._restore_at]
        return min((time for time in times if time is not None), default=None)

    def handle_timer(self, now: int) -> None:
        """Let failures count that have lasted for the hold-off time, and end the wait to restore."""
        # In the order of their times, so that a late call decides as calls in time would have.
        while (due := self.next_timer()) is not None and due <= now:
            for entity in self._entities.values():
                if entity.counts_at == due:
                    entity.fails, entity.counts_at = True, None
            if self._restore_at == due:
                self._restore_at = None
            self._decide(due)
        self._decide(now)

    def _decide(self, now: int) -> None:
        """Find the highest request, and select by it."""
        before, self.request = self.request, self._highest(now)
        if self._command is not None and _RANK[self.request] < _RANK[self._command]:
            self._command = None  # overridden for good: it does not come back when the failure has gone
        if self.request is not Request.WAIT_TO_RESTORE:
            self._restore_at = None
        side = Side.PROTECTION if self.request in _ON_PROTECTION else Side.WORKING
        if side is not self.selected:
            self.selected = side
            self.switches += 1
            # Back to the working entity, the request that ended says more than that there is none.
            reason = before if self.request is Request.NO_REQUEST else self.request
            for observer in self.observers:
                observer(side, reason, now)

    def _highest(self, now: int) -> Request:
        working, protection = self._entities[Side.WORKING], self._entities[Side.PROTECTION]
        failures = {Request.PROTECTION_FAILS: protection.fails, Request.WORKING_FAILS: working.fails}
        for request in Request:
            if request is self._command or failures.get(request):
                return request
        return self._afterwards(now)

    def _afterwards(self, now: int) -> Request:
        """The request when no command and no failure is left."""
        if self.selected is Side.WORKING:
            return Request.NO_REQUEST
        if not self.revertive:
            return Request.DO_NOT_REVERT
        if self.request is Request.WORKING_FAILS and self.wait_to_restore:
            self._restore_at = now + self.wait_to_restore
            return Request.WAIT_TO_RESTORE
        return Request.WAIT_TO_RESTORE if self._restore_at is not None else Request.NO_REQUEST
