"""`--ladder`: gathers the sessions of a trace, and draws each as a ladder diagram when the trace ends."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

from atmdepot.config.units import count_text
from atmdepot.net.events import FrameSeen
from atmdepot.printable import printable_in_place
from atmdepot.trace.frames import place_of
from atmdepot.trace.inside import packet_octets_of, packet_of
from atmdepot.trace.items import Pdu
from atmdepot.trace.show.ladder import Ladder, Step, ladder_text
from atmdepot.trace.show.packets import packet_text
from atmdepot.wire.ip import endpoint
from atmdepot.wire.tcp import ACK, SYN

if TYPE_CHECKING:
    from atmdepot.trace.items import Item
    from atmdepot.trace.views import Views
    from atmdepot.wire.flows import FlowKey
    from atmdepot.wire.packet import Packet

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
        if not isinstance(item, Pdu | FrameSeen) or not self._views.is_senders(item):
            return
        packet = packet_of(item)
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
            ladder = self._begun(item, packet, from_client)
            self._ladders[key if from_client else packet.reverse_key()] = ladder
        if len(ladder.steps) >= MAX_PACKETS:
            ladder.left_out += 1
            return
        ladder.steps.append(_step(item, packet, from_client))

    def packets(self) -> int:
        """The packets so far, those that are only counted included."""
        return self.left_out + sum(len(ladder.steps) + ladder.left_out for ladder in self._ladders.values())

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
        if not ladders:
            sys.stderr.write("atmdepot: no packet of TCP was seen, so nothing is drawn\n")
        if self.left_out:
            sys.stderr.write(f"atmdepot: {count_text(self.left_out, 'packet')} of further sessions not drawn: "
                             f"{MAX_SESSIONS} are drawn; choose with a filter such as `session 1`\n")
        self._out.flush()

    @staticmethod
    def _begun(item: Pdu | FrameSeen, packet: Packet, from_client: bool) -> Ladder:
        source = endpoint(packet.source, packet.source_port or None)
        destination = endpoint(packet.destination, packet.destination_port or None)
        client, server = (source, destination) if from_client else (destination, source)
        session = item.session if isinstance(item, Pdu) else None
        name = f"session {session.number}" if session is not None else "a session"
        at = (session.server if session is not None else "") or (item.name.server if isinstance(item, Pdu) else "")
        return Ladder(printable_in_place(f"{name}: {client} > {server}{f' at {at}' if at else ''}, "
                                         f"{_channel_of(item)}{f' on {item.link}' if item.link else ''}"),
                      client, f"{server}{f' ({at})' if at else ''}")


def _step(item: Pdu | FrameSeen, packet: Packet, from_client: bool) -> Step:
    text = packet_text(packet, packet_octets_of(item) or b"")
    told = printable_in_place(text[text.index(" TCP ") + len(" TCP "):])
    if isinstance(item, FrameSeen):
        return Step(item.time, from_client, told, 0, _channel_of(item), len(item.octets), -1, "")
    return Step(item.time, from_client, told, item.count, _channel_of(item), item.length, item.pad,
                str(item.problem or ""))


def _channel_of(item: Pdu | FrameSeen) -> str:
    if isinstance(item, FrameSeen):
        return f"the {place_of(item)}'s side" if item.medium.endswith("-side") else place_of(item)
    return "no VC" if item.vc is None else f"VC {item.vpi}/{item.vci}"
