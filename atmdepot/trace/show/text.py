"""Lines of text for a trace: a line for a cell, a PDU, a frame, a drop, a session's change.

::

    time  link direction  VPI/VCI  item

Captures and nodes may send any text; characters that cannot be printed are escaped.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from atmdepot.config.units import count_text
from atmdepot.net.events import Drop, FrameSeen, SessionChange
from atmdepot.printable import printable
from atmdepot.trace.frames import header_text, packet_in, packet_octets, place_of
from atmdepot.trace.items import Cell, Pdu
from atmdepot.trace.show.cells import cell_text
from atmdepot.trace.show.clock import Clock, Stamp
from atmdepot.trace.show.events import drop_text, missed_text, session_text
from atmdepot.trace.show.packets import packet_text
from atmdepot.trace.show.pdus import carried_text, is_good, verdict_text

if TYPE_CHECKING:
    from atmdepot.trace.items import Item


class LinePrinter:
    """Makes the line of an item.

    `nodes` puts the node before the link; `names` puts the server and session after a PDU (from VC table and depot);
    `quick` leaves out the details.
    """

    def __init__(
        self, stamp: Stamp = Stamp.CLOCK, *, nodes: bool = False, names: bool = True, quick: bool = False,
    ) -> None:
        self._clock = Clock(stamp)
        self._nodes = nodes
        self._names = names
        self._quick = quick
        self._width = 0

    def line(self, item: Item) -> str:
        """The line, without its end."""
        told = self._clock.text(item.time) + self._what(item)
        return printable(told)

    def _what(self, item: Item) -> str:
        node = item.node if self._nodes else ""
        if isinstance(item, Pdu):
            return self._place(node, item, item.vpi, item.vci) + self._pdu(item)
        if isinstance(item, Cell):
            return self._place(node, item, item.header.vpi, item.header.vci) + cell_text(item)
        if isinstance(item, FrameSeen):
            return self._frame(node, item)
        told = drop_text(item, quick=self._quick) if isinstance(item, Drop) else \
            session_text(item) if isinstance(item, SessionChange) else missed_text(item)
        return f"{node} {told}" if node else told

    def _frame(self, node: str, frame: FrameSeen) -> str:
        packet = packet_in(frame)
        told = header_text(frame)
        if packet is not None:
            told += f"  {packet_text(packet, b'' if self._quick else packet_octets(frame))}"
        place = _place_text(node, frame.link)
        self._width = max(self._width, len(place))
        return f"{place:<{self._width}}{frame.direction:<3}  {place_of(frame):<8} {told}"

    def _place(self, node: str, item: Cell | Pdu, vpi: int, vci: int) -> str:
        """Node, link, direction and VC, aligned with the lines before by the greatest width up to now."""
        place = _place_text(node, item.link)
        self._width = max(self._width, len(place))
        return f"{place:<{self._width}}{_vc_text(item.direction, vpi, vci)}"

    def _pdu(self, pdu: Pdu) -> str:
        carried = carried_text(pdu, quick=self._quick)
        if self._quick:
            return f"{count_text(pdu.count, 'cell')}{'' if is_good(pdu) else f', {verdict_text(pdu)}'}{carried}"
        return f"AAL5 {count_text(pdu.count, 'cell')}, {verdict_text(pdu)}{carried}{self._names_of(pdu)}"

    def _names_of(self, pdu: Pdu) -> str:
        if not self._names:
            return ""
        session, server = pdu.session, pdu.name.server
        if session is None:
            return f"  ({server})" if server else ""
        return f"  (session {session.number}{', ' if session.server else ''}{session.server})"


@lru_cache(maxsize=4096)
def _place_text(node: str, link: str) -> str:
    return f"{node}{' ' if node else ''}{link}{' ' if link else ''}"


@lru_cache(maxsize=4096)
def _vc_text(direction: str, vpi: int, vci: int) -> str:
    return f"{direction:<3}  {'no VC' if vpi < 0 else f'{vpi}/{vci}':<8} "
