"""Evidence without a lab: rows that a test chooses, and captures that the project's own writer makes."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from atmdepot.config.reading import load
from atmdepot.depot.explain import explain
from atmdepot.depot.forwarding import Depot
from atmdepot.exercises.lesson import NotYet
from atmdepot.exercises.running import RunningEvidence
from atmdepot.net.events import Cells
from atmdepot.trace.capture.write import open_writer
from atmdepot.trace.follow import Follower
from atmdepot.trace.names import VcBook
from atmdepot.trace.tracer import Tracer
from atmdepot.wire.aal5 import CrcMode, cpcs_pdu, to_cells
from atmdepot.wire.cell import CellHeader
from atmdepot.wire.llc import Encapsulation, encapsulate
from tests.ip_packets import ACK, PSH, SYN, tcp

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from atmdepot.depot.explain import Explanation
    from atmdepot.depot.question import Question
    from atmdepot.exercises.lesson import Lesson

CLIENT, VIP, PORT = "10.9.0.2", "10.80.0.1", 40_000
GET = b"GET /1KB HTTP/1.1\r\nHost: 10.80.0.1\r\n\r\n"
PAGE = bytes(600)

Train = tuple[str, str, bytes]
"""Node, direction and cells."""


class FakeEvidence(RunningEvidence):
    """Rows of a test's choice, and a depot that has just begun."""

    def __init__(self, lesson: Lesson, *, up: bool = True, **rows: list[dict[str, Any]]) -> None:
        super().__init__(lesson)
        self._up, self._shown = up, rows

    @cached_property
    def is_up(self) -> bool:
        return self._up

    def rows(self, subject: str) -> list[dict[str, Any]]:
        self._need()
        return self._shown.get(subject, [])

    def explain(self, question: Question) -> Explanation:
        self._need()
        return explain(Depot(self.network, 0), question.packet(), 0)

    def _need(self) -> None:
        if not self._up:
            raise NotYet("the lab is not up: `atmdepot exercise` brings it up")


def train(packet: bytes, vc: tuple[int, int] = (1, 64), *, clp: int = 0, crc: CrcMode = CrcMode.STRICT,
          llc: bool = False, damage: bool = False) -> bytes:
    """The cells of a packet."""
    header, last = (CellHeader(*vc, pti, clp=clp).pack() for pti in (0, 1))
    sdu = encapsulate(packet, Encapsulation.LLC) if llc else packet
    pdu = cpcs_pdu(sdu, crc=crc)
    return to_cells(bytes((pdu[0], pdu[1] ^ 1)) + pdu[2:] if damage else pdu, header, last)


def request(port: int = PORT, *, dscp: int = 0) -> bytes:
    return tcp(CLIENT, port, VIP, 80, PSH | ACK, seq=1, ack=1, data=GET, dscp=dscp)


def session(vc: tuple[int, int] = (1, 64), port: int = PORT, *, dscp: int = 0, link: str = "depot",
            **how: Any) -> list[Train]:
    """A session of one request, as the depot sees it on its link."""
    marked = {**how, "clp": how.pop("clp", 0)}
    there = [tcp(CLIENT, port, VIP, 80, SYN, dscp=dscp), request(port, dscp=dscp)]
    back = [tcp(VIP, 80, CLIENT, port, SYN | ACK), tcp(VIP, 80, CLIENT, port, PSH | ACK, seq=1, data=PAGE)]
    trains = []
    for asked, answered in zip(there, back, strict=True):
        trains += [(link, "out", train(asked, vc, **marked)), (link, "in", train(answered, vc, **how))]
    return trains


def record(target: Path, table: str, link: str, trains: Iterable[Train]) -> Path:
    """Write what passed on a link as `atmdepot trace -w` does."""
    book = VcBook([load(table)])
    with open_writer(target, "pcapng") as writer:
        Tracer((Cells(10**18 + n * 10**6, link, direction, octets, node=node)
                for n, (node, direction, octets) in enumerate(trains)),
               Follower(book, cells=True), level="all", keep=None, shower=None, writer=writer,
               remark=lambda _: None).run()
    return target
