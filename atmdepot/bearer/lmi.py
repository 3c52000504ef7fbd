"""The two sides of an LMI (ANSI T1.617 annex D) as state machines, without sockets or clock. Times in ns.

The user side asks each T391, and each N391-th time for the full status. The network side answers, and tells of a PVC
that has changed at once. Each side judges the link: N392 errors in the last N393 events (an answer that does not come,
an enquiry that does not come within T392, a wrong sequence number) take it down, N392 good events in a row bring it
back. A link counts as working until that is known, and a PVC as active until a status says otherwise: probes find what
the LMI has not yet told. Nothing is sent on a PVC that a status calls inactive, or that a full status lacks.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from atmdepot.wire.lmi import ENQUIRY, FULL, INTEGRITY, SINGLE, STATUS, Message, PvcStatus, next_sequence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_SECOND = 1_000_000_000


class LmiTimers(NamedTuple):
    """Timers (ns) and counts of both sides."""

    t391: int = 10 * _SECOND
    t392: int = 15 * _SECOND
    n391: int = 6
    n392: int = 3
    n393: int = 4


class LmiSide:
    """A side of an LMI. `out` has the messages to send; `is_up` says that the link works."""

    is_network = False

    def __init__(self, timers: LmiTimers, now: int) -> None:
        self.timers = timers
        self.is_up = True
        self.out: list[bytes] = []
        self.changed: Callable[[int], None] | None = None
        """Called with the time after the link or a PVC has changed."""
        self.enquiries = self.answers = self.errors = 0
        self.sent = self.heard = 0
        """The sequence numbers sent and heard last; 0 for none yet."""
        self.pvcs: dict[int, bool] | None = None
        """True for each active PVC, by its DLCI; None while that is not known."""
        self._events: deque[bool] = deque(maxlen=timers.n393)
        self._good = 0
        self._due = now

    def receive(self, message: Message, now: int) -> bool:
        """Take a message; False for one that this side does not expect."""
        raise NotImplementedError

    def next_timer(self) -> int:
        """The time at which `handle_timer` is next due."""
        return self._due

    def handle_timer(self, now: int) -> None:
        """Do the work that is due."""
        raise NotImplementedError

    def trouble_of(self, dlci: int) -> str:
        """The trouble of a PVC as the LMI tells it, in words; empty for none."""
        raise NotImplementedError

    def is_told_inactive(self, dlci: int) -> bool:
        """True where the far end has told that a PVC is not active, or does not exist."""
        del dlci
        return False

    def _note(self, is_good: bool, now: int) -> None:
        """Judge the link by one more event."""
        self._events.append(is_good)
        self.errors += not is_good
        self._good = self._good + 1 if is_good else 0
        before = self.is_up
        if self.is_up:
            self.is_up = self._events.count(False) < self.timers.n392
        elif self._good >= self.timers.n392:
            self.is_up = True
            self._events.clear()
        if self.is_up is not before:
            self._tell(now)

    def _tell(self, now: int) -> None:
        if self.changed is not None:
            self.changed(now)

    def _send(self, message: Message) -> None:
        self.out.append(message.pack())


class UserSide(LmiSide):
    """The side that asks. `pvcs` is None until a full status has come; then a PVC that it lacks does not exist."""

    def __init__(self, timers: LmiTimers, now: int) -> None:
        super().__init__(timers, now)
        self._until_full = 0
        self._waits = False

    def handle_timer(self, now: int) -> None:
        """Ask, and count an error where the last enquiry has no answer."""
        if now < self._due:
            return
        if self._waits:
            self._note(False, now)
        self.sent = next_sequence(self.sent)
        knows_all = self.pvcs is not None and self.is_up  # the far end may have started later than this one
        report = INTEGRITY if self._until_full and knows_all else FULL
        self._until_full = self.timers.n391 - 1 if report == FULL else self._until_full - 1
        self._send(Message(ENQUIRY, report, self.sent, self.heard))
        self.enquiries += 1
        self._waits = True
        self._due = now + self.timers.t391

    def receive(self, message: Message, now: int) -> bool:
        """Take a status; False for an enquiry, and for a status that answers nothing."""
        if message.kind != STATUS:
            return False
        if message.report == SINGLE:
            return self._learn_one(message.pvcs, now)
        if not self._waits or message.heard != self.sent:
            self._until_full = 0  # the far end has lost count: ask for all
            return False
        self._waits = False
        self.heard = message.sent
        self.answers += 1
        self._note(True, now)
        if message.report == FULL:
            self._learn({pvc.dlci: pvc.active for pvc in message.pvcs}, now)
        return True

    def _learn_one(self, pvcs: Iterable[PvcStatus], now: int) -> bool:
        if self.pvcs is not None:
            changed = [pvc for pvc in pvcs if self.pvcs.get(pvc.dlci) is not pvc.active]
            self.pvcs.update((pvc.dlci, pvc.active) for pvc in changed)  # in place: they may come one by one for all
            if changed:
                self._tell(now)
        return True

    def _learn(self, pvcs: dict[int, bool], now: int) -> None:
        if pvcs != self.pvcs:
            self.pvcs = pvcs
            self._tell(now)

    def is_told_inactive(self, dlci: int) -> bool:
        """See `LmiSide.is_told_inactive`."""
        return self.pvcs is not None and not self.pvcs.get(dlci)

    def trouble_of(self, dlci: int) -> str:
        """See `LmiSide.trouble_of`."""
        if not self.is_up:
            return f"LMI: {self.timers.n392} of the last {self.timers.n393} enquiries have no right answer"
        if self.pvcs is None or self.pvcs.get(dlci):
            return ""
        return f"LMI: DLCI {dlci} " + ("is not active" if dlci in self.pvcs else "is not in the full status")


class NetworkSide(LmiSide):
    """The side that answers. `pvcs` has whether each PVC is active."""

    is_network = True

    def __init__(self, timers: LmiTimers, now: int, dlcis: Iterable[int]) -> None:
        super().__init__(timers, now)
        self._known = self.pvcs = dict.fromkeys(sorted(dlcis), True)
        self._new = set(self._known)
        self._told = 0  # the number of the full status in which `_new` were told
        self._whys: dict[int, str] = {}
        self._must_tell = False
        self._waits = False

    def set_active(self, dlci: int, is_active: bool, now: int, why: str = "") -> None:
        """Have a PVC be active or not from now on, and tell the user side at once; `why` is for `trouble_of`."""
        self._whys[dlci] = why
        if self._known[dlci] is is_active:
            return
        self._known[dlci] = is_active
        self._must_tell = True
        if self.heard:  # the user side is there
            self._send(Message(STATUS, SINGLE, pvcs=(PvcStatus(dlci, is_active),)))
        self._tell(now)

    def handle_timer(self, now: int) -> None:
        """Count an error where no enquiry came for T392."""
        if now >= self._due:
            if self._waits:  # not when it is begun
                self._note(False, now)
            self._waits = True
            self._due = now + self.timers.t392

    def receive(self, message: Message, now: int) -> bool:
        """Answer an enquiry; False for a status. A wrong number counts as an error, and is answered."""
        if message.kind != ENQUIRY:
            return False
        self.enquiries += 1
        # A user side that was restarted has heard nothing.
        is_right = message.heard in (0, self.sent)
        self._note(is_right, now)
        if self._told and message.heard == self._told:
            self._new.clear()
            self._told = 0
        self._waits = True
        self._due = now + self.timers.t392
        self.heard = message.sent
        self.sent = next_sequence(self.sent)
        self._answer(FULL if self._must_tell or not is_right else message.report)
        return True

    def _answer(self, report: int) -> None:
        pvcs: tuple[PvcStatus, ...] = ()
        if report == FULL:
            pvcs = tuple(PvcStatus(dlci, is_active, dlci in self._new) for dlci, is_active in self._known.items())
            self._must_tell = False
            self._told = self.sent if self._new else 0
        self._send(Message(STATUS, report, self.sent, self.heard, pvcs))
        self.answers += 1

    def trouble_of(self, dlci: int) -> str:
        """See `LmiSide.trouble_of`."""
        if not self.is_up:
            return (f"LMI: {self.timers.n392} of the last {self.timers.n393} enquiries did not come, or had a wrong "
                    "number")
        if self._known.get(dlci, True):
            return ""
        why = self._whys.get(dlci)
        return f"LMI: DLCI {dlci} is told to be inactive{f': {why}' if why else ''}"
