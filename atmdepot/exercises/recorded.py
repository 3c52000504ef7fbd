"""The contents of a student's capture: its PDUs, the requests in them, and their senders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.errors import AtmdepotError
from atmdepot.exercises.lesson import NotYet
from atmdepot.trace.items import Pdu
from atmdepot.trace.places import Choice, open_source
from atmdepot.trace.tracer import Tracer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from atmdepot.trace.items import Item

_MOST_OCTETS = 50_000_000
"""A lesson's capture has a few hundred kilobytes."""


class _Collector:
    def __init__(self) -> None:
        self.pdus: list[Pdu] = []

    def show(self, item: Item) -> None:
        if isinstance(item, Pdu):
            self.pdus.append(item)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def pdus_of(capture: Path, table: str) -> list[Pdu]:
    """The PDUs of a capture with their cells, each once: where two nodes saw a link, as its sender saw it.

    Raises AtmdepotError or OSError when the file is no capture.
    """
    if (size := capture.stat().st_size) > _MOST_OCTETS:
        raise AtmdepotError(f"{capture} has {size:,} octets, more than a lesson needs")
    collector = _Collector()
    with open_source(Choice(read=capture, table=table, cells=True)) as opened:
        Tracer(opened.source, opened.follower, level="pdu", keep=None, shower=collector, writer=None,
               remark=lambda _: None).run()
    return as_sent(collector.pdus)


def as_sent(pdus: list[Pdu]) -> list[Pdu]:
    """The PDUs without those that a second node only saw come in."""
    seen_at: dict[str, set[str]] = {}
    for pdu in pdus:
        seen_at.setdefault(pdu.link, set()).add(pdu.node)
    return [pdu for pdu in pdus if pdu.direction == "out" or len(seen_at[pdu.link]) == 1]


def tcp_data(pdu: Pdu) -> bytes:
    """The octets of TCP data in a PDU; none where it carries no TCP."""
    packet = pdu.packet
    if packet is None or packet.tcp is None:
        return b""
    octets = pdu.carried.octets[:packet.total_length]
    return octets[len(octets) - packet.tcp.length:]


def requests_in(pdus: Iterable[Pdu], capture: Path) -> list[Pdu]:
    """The PDUs that carry an HTTP request, whole; raise NotYet without any."""
    found = [pdu for pdu in pdus if not pdu.problem and tcp_data(pdu).startswith(b"GET ")]
    if not found:
        raise NotYet(f"{capture} holds no request of this lesson's lab: start the trace first, then ask with curl, "
                     "then end the trace")
    return found


def answers_to(request: Pdu, pdus: Iterable[Pdu]) -> list[Pdu]:
    """The PDUs of a request's session that go to the client."""
    flow = request.flow
    assert flow is not None
    back = (flow[0], flow[3], flow[4], flow[1], flow[2])
    return [pdu for pdu in pdus if pdu.flow is not None and tuple(pdu.flow) == back]
