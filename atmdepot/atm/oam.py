"""OAM points of a VP or VC: end points with their defect states, and nodes on the way (ITU-T I.610 section 9.2).

::

    condition   begins                              ends                                       while it lasts
    AIS         an AIS cell                         a user or CC cell, or 2.5 s without AIS    RDI each second
    LOC         3.5 s without user and CC cells,    a user or CC cell                          RDI each second
                where continuity is checked
    RDI         an RDI cell                         2.5 s without RDI

Nothing here sends: an owner takes `cells_to_send` (payloads of 48 octets) after each call. Times are in ns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING

from atmdepot.atm.loopback import Echo, Loopbacks
from atmdepot.drops import DropReason, Drops
from atmdepot.wire.cell import CELL_SIZE, HEADER_SIZE, CellHeader
from atmdepot.wire.oam import UNUSED, FaultFunction, OamFlow
from atmdepot.wire.oam_messages import END_POINT, ContinuityCheck, Defect, Loopback, Message, read

if TYPE_CHECKING:
    from atmdepot.drops import OnChannel

PERIOD = 1_000_000_000
"""AIS, RDI and CC cells are sent once a second."""
ALARM_ENDS = 2_500_000_000
"""Without a further cell AIS and RDI end after this time (2.5 +- 0.5 s)."""
CONTINUITY_ENDS = 3_500_000_000
"""Without user and CC cells continuity is lost after this time (3.5 +- 0.5 s)."""
_CC_CELL = ContinuityCheck().pack()


class Condition(StrEnum):
    """The defects of a connection as its end point sees them, the gravest first."""

    AIS = "AIS"
    LOC = "LOC"
    RDI = "RDI"


Observer = Callable[[Condition, bool, int], None]
"""A function called when a condition begins (True) or ends, with the time."""


class EndPoint:
    """An end of an OAM flow: the sink of what the far end sends, and the source of what it is told."""

    def __init__(self, location: bytes, *, vc: OnChannel | None = None, drops: Drops | None = None,
                 first_tag: int = 1, header: bytes = b"") -> None:
        """Begin without defect; `location` (16 octets) is the node's; raise ValueError for another size.

        `header` stands before the payloads of cells that are counted as dropped.
        """
        self.vc = vc
        self._header = header
        self.drops = Drops() if drops is None else drops
        self.loopbacks = Loopbacks(location, first_tag=first_tag)
        self.observers: tuple[Observer, ...] = ()
        self.last_defect: Defect | None = None
        """The last AIS or RDI cell: the defect's type and place."""
        self._ends: dict[Condition, int] = {}  # conditions in force; when they end (0: by no timer)
        self._heard = 0  # the last user or CC cell
        self._checks = False
        self._cc_at: int | None = None
        self._rdi_at = 0
        self._out: list[bytes] = []
        self.received: Counter[int] = Counter()
        """Cells with a good CRC-10 by their first octet: type and function."""
        self.sent: Counter[int] = Counter()

    # ── what the owner sees ──

    @property
    def conditions(self) -> list[Condition]:
        """The conditions in force, the gravest first."""
        return [condition for condition in Condition if condition in self._ends]

    @property
    def is_impaired(self) -> bool:
        """True in AIS or loss of continuity: what the far end sends does not arrive."""
        return Condition.AIS in self._ends or Condition.LOC in self._ends

    @property
    def checks_continuity(self) -> bool:
        """True while user or CC cells are expected."""
        return self._checks

    @property
    def sends_continuity(self) -> bool:
        """True while CC cells are sent."""
        return self._cc_at is not None

    @property
    def needs_user_cells(self) -> bool:
        """True while it matters that user cells come: their owner has to call `user_cells`."""
        return self._checks or self.is_impaired

    @property
    def heard(self) -> int:
        """The time of the last user or CC cell that was told."""
        return self._heard

    def subscribe(self, observer: Observer) -> None:
        """Tell an observer of conditions from now on."""
        self.observers += (observer,)

    def cells_to_send(self) -> list[bytes]:
        """Remove and return the payloads to send, in order."""
        out, self._out = self._out + self.loopbacks.out, []
        self.loopbacks.out = []
        self.sent.update(payload[0] for payload in out)
        return out

    # ── what the owner wants ──

    def check_continuity(self, on: bool, now: int) -> None:
        """Expect user or CC cells from now on, or no longer (the sink of a continuity check)."""
        if on and not self._checks:
            self._heard = now
        self._checks = on
        if not on:
            self._end(Condition.LOC, now)

    def send_continuity(self, on: bool, now: int) -> None:
        """Send a CC cell each second from now on, or no longer, be the flow idle or not."""
        self._cc_at = now if on else None
        self._send_due(now)

    def ping(self, now: int, done: Callable[[Echo], None], location: bytes = END_POINT) -> int:
        """Send a loopback; see `Loopbacks.ask`."""
        return self.loopbacks.ask(now, done, location)

    # ── what happens ──

    def user_cells(self, now: int) -> None:
        """Hear that user cells came."""
        self._heard = now
        if self._ends:
            self._end(Condition.AIS, now)
            self._end(Condition.LOC, now)

    def receive(self, payload: bytes, now: int) -> Message | None:
        """Take the 48 octets of an OAM cell of this flow; return those of other functions (monitoring, activation)."""
        try:
            message = read(payload)
        except ValueError:
            self.drops.count(DropReason.BAD_OAM, 1, self._header + payload, self.vc)
            return None
        self.received[payload[0]] += 1
        if isinstance(message, Defect):
            self._alarm(message, now)
        elif isinstance(message, ContinuityCheck):
            self.user_cells(now)
        elif isinstance(message, Loopback):
            if not self.loopbacks.receive(message, payload, now):
                self.drops.count(DropReason.STRAY_LOOPBACK, 1, self._header + payload, self.vc)
        else:
            return message
        return None

    def stood_still(self, span: int, now: int) -> None:
        """Count the last `span` ns, in which the owner did not run, as no silence of the far end."""
        self._heard = min(self._heard + span, now)

    def next_timer(self) -> int | None:
        """The time of the next call of `handle_timer`, or None."""
        times = [end for end in self._ends.values() if end]
        if self._checks and Condition.LOC not in self._ends:
            times.append(self._heard + CONTINUITY_ENDS)
        if self.is_impaired:
            times.append(self._rdi_at)
        if self._cc_at is not None:
            times.append(self._cc_at)
        if (waiting := self.loopbacks.next_timer()) is not None:
            times.append(waiting)
        return min(times, default=None)

    def handle_timer(self, now: int) -> None:
        """End what has ended, find continuity lost, and send what is due."""
        for condition, end in list(self._ends.items()):
            if end and end <= now:
                self._end(condition, now)
        if self._checks and Condition.LOC not in self._ends and self._heard + CONTINUITY_ENDS <= now:
            self._begin(Condition.LOC, 0, now)
        self.loopbacks.handle_timer(now)
        self._send_due(now)

    def _alarm(self, cell: Defect, now: int) -> None:
        self.last_defect = cell
        condition = Condition.AIS if cell.function is FaultFunction.AIS else Condition.RDI
        self._begin(condition, now + ALARM_ENDS, now)
        self._send_due(now)

    def _begin(self, condition: Condition, end: int, now: int) -> None:
        is_new = condition not in self._ends
        self._ends[condition] = end
        if is_new:
            self._tell(condition, True, now)

    def _end(self, condition: Condition, now: int) -> None:
        if self._ends.pop(condition, None) is not None:
            self._tell(condition, False, now)

    def _tell(self, condition: Condition, begins: bool, now: int) -> None:
        for observer in self.observers:
            observer(condition, begins, now)

    def _send_due(self, now: int) -> None:
        """Send RDI and CC where a second has passed since the last: so a storm of AIS makes an RDI a second, too."""
        if self.is_impaired and self._rdi_at <= now:
            self._out.append(self._rdi())
            self._rdi_at = now + PERIOD
        if self._cc_at is not None and (due := self._cc_at) <= now:
            self._out.append(_CC_CELL)
            # From the time that was due, so that seconds do not grow; from now where too many were missed.
            self._cc_at = due + PERIOD if due + PERIOD > now else now + PERIOD

    def _rdi(self) -> bytes:
        """An RDI cell, with the defect's type and place from the AIS cell if there was one."""
        told = self.last_defect
        if told is None or Condition.AIS not in self._ends:
            return Defect(FaultFunction.RDI, UNUSED, self.loopbacks.location).pack()
        return Defect(FaultFunction.RDI, told.type, told.location).pack()


class AlarmSource:
    """AIS cells for all connections that a failure cuts off: the first at once, then a second apart (section 9.2.1.1).

    A node has it for each link that comes in; the owner sends each payload along each connection of the link.
    """

    def __init__(self, location: bytes) -> None:
        """Begin without failure; raise ValueError for a location of another size than 16."""
        self._cell = Defect(FaultFunction.AIS, UNUSED, location).pack()
        self._at: int | None = None

    @property
    def is_raised(self) -> bool:
        """True while the failure lasts."""
        return self._at is not None

    def fail(self, now: int) -> None:
        """Begin to send AIS."""
        if self._at is None:
            self._at = now

    def mend(self) -> None:
        """Send no more AIS."""
        self._at = None

    def cells_to_send(self, now: int) -> list[bytes]:
        """The payload that is due at `now`, or none."""
        if self._at is None or self._at > now:
            return []
        self._at = self._at + PERIOD if self._at + PERIOD > now else now + PERIOD
        return [self._cell]

    def next_timer(self) -> int | None:
        """The time at which the next AIS cell is due, or None."""
        return self._at


class NodeOnTheWay:
    """A node that a connection passes: it answers loopbacks for its own location, and can end the segment flow.

    It serves a switch as the `point` of a connection; its answers go back on the other direction of the connection.
    """

    def __init__(self, location: bytes, *, segment: EndPoint | None = None) -> None:
        """Answer for a location (16 octets); `segment` takes the cells of the segment flow, which end here then."""
        self.segment = segment
        self._loopbacks = Loopbacks(location)
        self._flows: list[OamFlow] = []  # on which the questions of these answers came

    def answers(self) -> list[tuple[OamFlow, bytes]]:
        """Remove and return the payloads (48 octets) to send back, each with the flow on which its question came."""
        out = list(zip(self._flows, self._loopbacks.out, strict=True))
        self._loopbacks.out, self._flows = [], []
        return out

    def user_cells(self, count: int, now: int) -> None:
        """Hear of user cells that passed."""
        if self.segment is not None:
            self.segment.user_cells(now)

    def pass_on(self, cells: bytes, now: int) -> bytes:
        """The OAM cells (53 octets each) that travel on, of those that came."""
        return b"".join(cell for at in range(0, len(cells), CELL_SIZE)
                        if not self._takes(cell := cells[at:at + CELL_SIZE], now))

    def _takes(self, cell: bytes, now: int) -> bool:
        payload = cell[HEADER_SIZE:]
        # VCI and PTI have the same place at UNI and NNI.
        flow = OamFlow.of(CellHeader.unpack(cell))
        if self.segment is not None and flow is not None and flow.is_segment:
            self.segment.receive(payload, now)
            return True
        try:
            message = read(payload)
        except ValueError:
            return False  # the end point counts it
        if not (flow is not None and isinstance(message, Loopback) and message.to_be_looped
                and self._loopbacks.receive(message, payload, now, end_point=False)):
            return False
        self._flows.append(flow)
        return True
