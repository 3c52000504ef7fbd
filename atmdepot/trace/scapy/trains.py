"""Scapy layers for the cells of a UDP datagram; see `layers`."""

# Scapy has no types that mypy could read here, so its classes are Any.
# mypy: disallow-subclassing-any=False

from __future__ import annotations

from typing import Any, ClassVar

from scapy.fields import PacketListField
from scapy.layers.inet import UDP
from scapy.packet import Packet, bind_bottom_up, bind_top_down, split_bottom_up, split_top_down

from atmdepot.trace.phrases import phrase_text
from atmdepot.trace.scapy.base import Summed
from atmdepot.trace.scapy.cells import ATM, ATM_NNI
from atmdepot.wire.cell import CELL_SIZE


class _CellListField(PacketListField):
    """Cells back to back; the last cell may be cut short."""

    def getfield(self, pkt: Any, s: bytes) -> tuple[bytes, list[Any]]:
        return b"", [self.m2i(pkt, s[at:at + CELL_SIZE]) for at in range(0, len(s), CELL_SIZE)]


class ATMTrain(Summed, Packet):
    """The cells of a datagram, back to back: `ATMTrain(cells=[...])`."""

    name = "ATMTrain"
    match_subclass = True
    fields_desc: ClassVar[list[Any]] = [_CellListField("cells", [], ATM)]

    def verdict(self) -> str:
        """Count the whole cells, and the octets that are left over."""
        count, rest = divmod(len(self.do_build()), CELL_SIZE)
        return f"whole cells: {count}" + (f", and {phrase_text(rest, 'octets that are none')}" if rest else "")

    def mysummary(self) -> str:
        """The number of cells."""
        return f"{self.name} of {len(self.cells)}"


class ATMTrain_NNI(ATMTrain):  # noqa: N801 - the standard's name
    """A train of NNI cells."""

    name = "ATMTrain NNI"
    fields_desc: ClassVar[list[Any]] = [_CellListField("cells", [], ATM_NNI)]


def bind_ports(*ports: int, nni: bool = False) -> None:
    """Have Scapy dissect UDP from and to these ports as trains of cells, until `unbind_ports`.

    `UDP()/ATMTrain()` takes the last of these ports: with Scapy's own default ports it would dissect as DNS.
    """
    train = ATMTrain_NNI if nni else ATMTrain
    for port in ports:
        bind_bottom_up(UDP, train, sport=port)
        bind_bottom_up(UDP, train, dport=port)
        bind_top_down(UDP, train, sport=port, dport=port)


def unbind_ports(*ports: int) -> None:
    """Undo `bind_ports`."""
    for port in ports:
        for train in (ATMTrain, ATMTrain_NNI):
            split_bottom_up(UDP, train, sport=port)
            split_bottom_up(UDP, train, dport=port)
            split_top_down(UDP, train, dport=port)
