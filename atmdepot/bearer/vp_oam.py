"""The OAM of a VP at its end (ITU-T I.610): both F4 flows, activation of the continuity check, performance monitoring.

A segment is the whole VP unless the table cuts it, so both F4 flows end here. Times in ns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.atm.activation import Activations, Change, Outcome
from atmdepot.atm.monitoring import MonitoringReport, MonitoringSink, MonitoringSource
from atmdepot.bearer.oam_flow import Flow
from atmdepot.wire.cell import CELL_SIZE, HEADER_SIZE
from atmdepot.wire.oam import ActivationFunction, OamFlow
from atmdepot.wire.oam_messages import Activation, Backward, Direction, Forward, read

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.atm.monitoring import Performance
    from atmdepot.atm.oam import Condition
    from atmdepot.atm.vc import Vc
    from atmdepot.bearer.oam_flow import OamLink
    from atmdepot.config.links import Vp
    from atmdepot.wire.cell import CellHeader
    from atmdepot.wire.oam_messages import Message


class VpOam:
    """The OAM of a VP that ends here."""

    def __init__(self, name: str, settings: Vp, far: str, vc: Vc, link: OamLink, *, is_second: bool = False) -> None:
        """Begin the flows of a VP to the node `far`, whose cells are sent as those of `vc`.

        A VP with a second route has this twice: `is_second` is that of the second.
        """
        self.name, self.far, self.link, self.vpi, self.is_second = name, far, link, vc.vpi, is_second
        self.end: Flow = _EndToEnd(OamFlow.F4_END_TO_END, link, vc, self)
        self.segment: Flow = _Segment(OamFlow.F4_SEGMENT, link, vc, self)
        self.activations = Activations(self._apply, _is_activated)
        self.checks_at_start = settings.checks_continuity
        self.since = 0
        """The time of the last change of its conditions."""
        block = settings.performance_monitoring
        self.source = MonitoringSource(self.end.header, block) if block is not None else None
        self.sink = MonitoringSink() if block is not None else None
        self.report = MonitoringReport()
        self._backward: list[bytes] = []

    @property
    def conditions(self) -> list[Condition]:
        """The conditions in force end to end, the gravest first."""
        return self.end.point.conditions

    def begin(self, now: int) -> None:
        """Begin what the table asks for."""
        self.since = now
        if self.checks_at_start:
            self.end.point.check_continuity(True, now)
            self.end.point.send_continuity(True, now)

    def check_continuity(self, on: bool, now: int, done: Callable[[Outcome], None]) -> None:
        """Ask the far end to begin or end the continuity check of both directions; raise ValueError while it is asked.

        Both ends act when the far end has confirmed.
        """
        self.activations.ask(ActivationFunction.CONTINUITY_CHECK, Direction.BOTH, now, done, on=on)
        self.link.flush(self.end)

    def payloads_to_send(self) -> list[bytes]:
        """Remove and return the payloads of activation and backward reporting."""
        out, self._backward = self.activations.cells_to_send() + self._backward, []
        return out

    def takes(self, message: Message, now: int) -> bool:
        """Take an activation or monitoring message; False for a message that this end does not handle."""
        if isinstance(message, Activation):
            return self.activations.receive(message, now)
        if isinstance(message, Backward) and self.source is not None:
            self.report.backward(message)
            return True
        # `count` has taken it in its place among the user cells.
        return isinstance(message, Forward) and self.sink is not None

    def count(self, header: CellHeader, cells: bytes) -> None:
        """Count the cells of a run that came, block by block, where the VP is monitored (`sink`)."""
        assert self.sink is not None
        if header.is_user_data:
            self.sink.user_cells(cells)
        elif OamFlow.of(header) is OamFlow.F4_END_TO_END:
            for at in range(0, len(cells), CELL_SIZE):
                message = _forward(cells[at + HEADER_SIZE:at + CELL_SIZE])
                if message is not None:
                    self._backward.append(self.sink.forward(message).pack())

    @property
    def near(self) -> Performance | None:
        """The monitoring of the cells from the far end; None without it."""
        return None if self.sink is None else self.sink.performance

    def _apply(self, change: Change, now: int) -> None:
        if change.is_source:
            self.end.point.send_continuity(change.on, now)
        if change.is_sink:
            self.end.point.check_continuity(change.on, now)


class _Segment(Flow):
    """The end point of a VP's segment flow."""

    __slots__ = ("vp",)

    def __init__(self, flow: OamFlow, link: OamLink, vc: Vc, vp: VpOam) -> None:
        """Begin a flow of the VP that `vc` belongs to."""
        super().__init__(flow, link, vc)
        self.vp = vp

    def takes(self, message: Message, now: int) -> bool:
        """Take an activation or monitoring message of the VP; False for a message that this end does not handle."""
        return self.vp.takes(message, now)


class _EndToEnd(_Segment):
    """The end point of a VP's end-to-end flow, on which activation and monitoring answer."""

    __slots__ = ()

    def cells_to_send(self) -> bytes:
        """Remove and return the cells to send."""
        return self._cells(self.point.cells_to_send() + self.vp.payloads_to_send())

    def next_timer(self) -> int | None:
        """The time at which `handle_timer` is next due, or None."""
        due, other = self.point.next_timer(), self.vp.activations.next_timer()
        return other if due is None else due if other is None else min(due, other)

    def handle_timer(self, now: int) -> None:
        """Do the work that is due."""
        self.point.handle_timer(now)
        self.vp.activations.handle_timer(now)


def _is_activated(change: Change) -> bool:
    """True for what a far end may ask for: monitoring runs as the VC table says, so a wish for it is denied."""
    return change.function is ActivationFunction.CONTINUITY_CHECK


def _forward(payload: bytes) -> Forward | None:
    """The forward cell with this payload, or None for another cell."""
    try:
        message = read(payload)
    except ValueError:
        return None  # the end point counts it
    return message if isinstance(message, Forward) else None
