"""The end point of an OAM flow (ITU-T I.610): of a VP (F4) or a VC (F5), end to end or of a segment."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from atmdepot.atm.oam import EndPoint
from atmdepot.wire.cell import CellHeader

if TYPE_CHECKING:
    from atmdepot.atm.vc import Vc
    from atmdepot.bearer.adaptation import LinkAdaptation
    from atmdepot.wire.oam import OamFlow
    from atmdepot.wire.oam_messages import Message

WHOLE_VP = 0
"""The number of a flow of F4 in place of a VCI: no VC has it."""


class FlowKey(NamedTuple):
    """A flow of a link: F4 has VCI 0."""

    vpi: int
    vci: int
    is_segment: bool


class OamLink(Protocol):
    """The OAM of a link (`bearer/link_oam.py`), as its flows use it."""

    adaptation: LinkAdaptation
    location: bytes
    """The location of the node, 16 octets."""

    @property
    def has_signal(self) -> bool:
        """False while a supervised link is silent."""

    def flush(self, flow: Flow) -> None:
        """Send what a flow has to send, and note its timers."""


class Flow:
    """An end point of an OAM flow, and the header of the cells that it sends."""

    __slots__ = ("flow", "header", "key", "point", "vc")

    def __init__(self, flow: OamFlow, link: OamLink, vc: Vc) -> None:
        """Begin the flow of a VC, or with a `flow` of F4 that of the whole VP that `vc` belongs to."""
        self.flow = flow
        self.vc = vc
        self.header = flow.header(vc.vpi, vc.vci, link.adaptation.interface)
        self.key = FlowKey(vc.vpi, WHOLE_VP if flow.is_of_vp else vc.vci, flow.is_segment)
        self.point = EndPoint(link.location, vc=CellHeader.unpack(self.header, link.adaptation.interface),
                              drops=link.adaptation.drops, header=self.header)

    def takes(self, message: Message, now: int) -> bool:
        """Take a message that the end point leaves; False for all, since activation and monitoring are of VPs."""
        return False

    def cells_to_send(self) -> bytes:
        """Remove and return the cells to send."""
        return self._cells(self.point.cells_to_send())

    def _cells(self, payloads: list[bytes]) -> bytes:
        return b"".join([self.header + payload for payload in payloads])

    def next_timer(self) -> int | None:
        """The time at which `handle_timer` is next due, or None."""
        return self.point.next_timer()

    def handle_timer(self, now: int) -> None:
        """Do the work that is due."""
        self.point.handle_timer(now)
