"""`--ladder`: gathers the sessions of a trace, and draws each as a ladder diagram when the trace ends."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

from atmdepot.config.units import count_text
from atmdepot.trace.items import Pdu
from atmdepot.trace.show.ladder import Ladder, Step, ladder_text
from atmdepot.trace.show.printable import printable_in_place
from atmdepot.trace.show.text import packet_text
from atmdepot.wire.ip import endpoint
from atmdepot.wire.tcp import ACK, SYN

if TYPE_CHECKING:
    from atmdepot.trace.items import Item
    from atmdepot.trace.views import Views
    from atmdepot.wire.flows import FlowKey

MAX_SESSIONS, MAX_PACKETS = 100, 1000
"""Bounds on what is kept for the end: sessions, and packets of each. What is beyond is counted, and said."""


class LadderShower:
    """Gathers the sessions of a trace, and draws them when it ends.

    Args:
        form: `text` or `svg`.
        views: keeps a packet that several nodes saw from being drawn twice.
        out: where to draw; standard output by default.

    """

    def __init__(self, form: str, views: Views, out: TextIO | None = None) -> None:
        self._form = form
        self._views = views
        self._out = out or sys.stdout
        self._ladders: dict[FlowKey, Ladder] = {}
        self.left_out = 0

    def show(self, item: Item) -> None:
        """Take a packet of TCP; all other items have no place in a ladder."""
        if not isinstance(item, Pdu) or not self._views.is_senders(item):
            return
        packet = item.packet
        if packet is None or packet.tcp is None:
            return
        key = packet.key
        ladder, from_client = self._ladders.get(key), True
        if ladder is None and (ladder := self._ladders.get(packet.reverse_key())) is not None:
            from_client = False
        if ladder is None:
            if len(self._ladders) >= MAX_SESSIONS:
                self.left_out += 1
                return
            # A session whose SYN the trace has not seen may begin with the server's packet.
            from_client = packet.tcp.flags & (SYN | ACK) != SYN | ACK
            ladder = self._begun(item, from_client)
            self._ladders[key if from_client else packet.reverse_key()] = ladder
        if len(ladder.steps) >= MAX_PACKETS:
            ladder.left_out += 1
            return
        ladder.steps.append(_step(item, from_client))

    def flush(self) -> None:
        """Draw nothing yet: a session is drawn as a whole."""

    def close(self) -> None:
        """Draw."""
        ladders = list(self._ladders.values())
        if self._form == "svg":
            from atmdepot.trace.show.ladder_svg import ladders_svg  # here: text does without it

            self._out.write(ladders_svg(ladders))
        else:
            self._out.write("\n".join(map(ladder_text, ladders)))
        if self.left_out:
            sys.stderr.write(f"atmdepot: {count_text(self.left_out, 'packet')} of further sessions not drawn: "
                             f"{MAX_SESSIONS} are drawn; choose with a filter such as `session 1`\n")
        self._out.flush()

    @staticmethod
    def _begun(pdu: Pdu, from_client: bool) -> Ladder:
        packet = pdu.packet
        assert packet is not None
        source = endpoint(packet.source, packet.source_port or None)
        destination = endpoint(packet.destination, packet.destination_port or None)
        client, server = (source, destination) if from_client else (destination, source)
        session = pdu.session
        name = f"session {session.number}" if session is not None else "a session"
        at = (session.server if session is not None else "") or pdu.name.server
        return Ladder(printable_in_place(f"{name}: {client} > {server}{f' at {at}' if at else ''}, "
                                         f"{_vc_of(pdu)}{f' on {pdu.link}' if pdu.link else ''}"),
                      client, f"{server}{f' ({at})' if at else ''}")


def _step(pdu: Pdu, from_client: bool) -> Step:
    packet = pdu.packet
    assert packet is not None
    text = packet_text(packet, pdu.carried.octets)
    told = text[text.index(" TCP ") + len(" TCP "):]
    return Step(pdu.time, from_client, printable_in_place(told), pdu.count, _vc_of(pdu), pdu.length,
                pdu.pad, str(pdu.problem or ""))


def _vc_of(pdu: Pdu) -> str:
    return "no VC" if pdu.vc is None else f"VC {pdu.vpi}/{pdu.vci}"
