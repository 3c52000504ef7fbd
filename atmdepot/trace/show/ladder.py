"""Ladder diagrams of sessions (`--ladder`): the packets as arrows between client and server, their cells below them."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TextIO

from atmdepot.config.units import count_text
from atmdepot.trace.items import Pdu
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
_WIDTH = 76
_MOST_CELLS = 24


class Step(NamedTuple):
    """A packet of a session: `text` is what stands on its arrow, `problem` why a receiver would drop it."""

    time: int
    from_client: bool
    text: str
    cells: int
    vc: str
    length: int
    pad: int
    problem: str


@dataclass
class Ladder:
    """A session's packets in order; `left_out` counts those beyond MAX_PACKETS."""

    title: str
    client: str
    server: str
    steps: list[Step] = field(default_factory=list)
    left_out: int = 0


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


def ladder_text(ladder: Ladder) -> str:
    """A ladder as lines of text: `▫` is a cell, `▪` the last of its PDU."""
    first = ladder.steps[0].time if ladder.steps else 0
    indent = " " * 10
    gap = max(2, _WIDTH - len(ladder.client) - len(ladder.server))
    lines = [ladder.title, "", f"{indent}{ladder.client}{' ' * gap}{ladder.server}"]
    for step in ladder.steps:
        lines.append(f"{(step.time - first) / 1e9:8.6f}  │{_arrow(step)}│")
        lines.append(f"{indent}│{_cells(step):^{_WIDTH}}│")
    if ladder.left_out:
        lines.append(f"{indent}{count_text(ladder.left_out, 'packet')} more")
    return "\n".join([*lines, ""])


def _arrow(step: Step) -> str:
    text = f" {shortened(step.text, _WIDTH - 8)} "
    drawn = f"{text:─^{_WIDTH - 1}}"
    return f"{drawn}>" if step.from_client else f"<{drawn}"


def shortened(text: str, most: int) -> str:
    """Text of at most so many characters."""
    return text if len(text) <= most else f"{text[:most - 1]}…"


def _cells(step: Step) -> str:
    drawn = "▫" * min(step.cells - 1, _MOST_CELLS) + ("…" if step.cells - 1 > _MOST_CELLS else "") + "▪"
    length = f", {step.length} octets, pad {step.pad}" if step.pad >= 0 else ""
    problem = f", {step.problem}" if step.problem else ""
    return f"{drawn}  {count_text(step.cells, 'cell')} on {step.vc}{length}{problem}"
