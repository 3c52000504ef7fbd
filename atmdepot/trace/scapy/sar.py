"""Segmentation and reassembly with Scapy's layers, and a receiver's verdict; see `layers`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scapy.packet import Packet, Raw

from atmdepot.trace.scapy.aal5 import AAL5
from atmdepot.trace.scapy.cells import ATM, ATM_NNI, ATMOAM
from atmdepot.trace.scapy.trains import ATMTrain, ATMTrain_NNI
from atmdepot.wire.cell import CELL_SIZE, HEADER_SIZE, PAYLOAD_SIZE, CellHeader, Interface, hec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_FIRST_AAL5_VCI = 5
"""Signalling's VCI; the VCIs below it are empty cells, meta-signalling and OAM: no AAL5 (I.361 table 2)."""


def cells(packet: Any, vpi: int, vci: int, clp: int = 0, nni: bool = False) -> list[Any]:
    """Cut a packet into the cells of an AAL5 PDU (segmentation).

    Args:
        packet: an `AAL5`, or its SDU: any other packet, or octets.
        vpi: up to 255, or 4095 with `nni`.
        vci: up to 65535.
        clp: the cell loss priority of all cells.
        nni: make `ATM_NNI` cells.

    Raises:
        ValueError: when the VC does not fit the header, or a `pad` that was given makes no whole cells.

    """
    CellHeader(vpi, vci, clp=clp).pack(Interface.NNI if nni else Interface.UNI)
    octets = bytes(packet if isinstance(packet, AAL5) else AAL5() / packet)
    if len(octets) % PAYLOAD_SIZE:
        raise ValueError(f"{len(octets)} octets of CPCS-PDU fill no whole number of cells; its pad may be left to None")
    layer, last = ATM_NNI if nni else ATM, len(octets) - PAYLOAD_SIZE
    return [layer(vpi=vpi, vci=vci, pti=int(at == last), clp=clp) / Raw(octets[at:at + PAYLOAD_SIZE])
            for at in range(0, len(octets), PAYLOAD_SIZE)]


def reassemble(items: Any, nni: bool = False) -> list[Any]:
    """Join cells into `AAL5` PDUs, each VC for itself.

    A PDU ends with its last cell; a PDU without a last cell is left out. OAM cells, empty cells and cells with a wrong
    HEC are left out, too. A PDU that lost cells is returned with its other cells, and `verdict` finds the fault.

    Args:
        items: cells, trains, packets that hold them, or whole cells as octets; a single item, or any iterable.
        nni: cells given as octets are NNI cells.

    Returns:
        The PDUs in the order of their last cells; `vpi`, `vci`, `clp`, `efci` and `time` are from the cells.

    """
    begun: dict[tuple[int, int], list[tuple[CellHeader, bytes]]] = {}
    whole = []
    for when, octets, interface in _cells_in([items] if isinstance(items, Packet | bytes | bytearray) else items, nni):
        header = CellHeader.unpack(octets, interface)
        if len(octets) < CELL_SIZE or hec(octets[:4]) != octets[4] or header.pti & 4 or header.vci < _FIRST_AAL5_VCI:
            continue
        vc = header.vpi, header.vci
        begun.setdefault(vc, []).append((header, octets[HEADER_SIZE:CELL_SIZE]))
        if header.is_last:
            whole.append(_pdu(begun.pop(vc), when))
    return whole


def _pdu(received: list[tuple[CellHeader, bytes]], when: Any) -> Any:
    pdu = AAL5(b"".join(payload for _, payload in received))
    last = received[-1][0]
    pdu.vpi, pdu.vci, pdu.efci = last.vpi, last.vci, int(last.congested)
    pdu.clp = max(header.clp for header, _ in received)
    pdu.time = when
    return pdu


def _cells_in(items: Iterable[Any], nni: bool) -> Iterator[tuple[Any, bytes, Interface]]:
    """Time, octets and header format of each cell."""
    for item in items:
        packet = item if isinstance(item, Packet) else (ATMTrain_NNI if nni else ATMTrain)(item)
        for layer in packet.iterpayloads():
            for cell in layer.cells if isinstance(layer, ATMTrain) else [layer]:
                if isinstance(cell, ATM):
                    yield packet.time, cell.do_build(), Interface.NNI if isinstance(cell, ATM_NNI) else Interface.UNI


def verdict(packet: Any) -> list[str]:
    """A receiver's verdict on each cell, OAM payload and PDU of a packet: a line for each."""
    told = []
    for layer in packet.iterpayloads():
        if isinstance(layer, ATM | ATMOAM | AAL5 | ATMTrain):
            told.append(f"{layer.name}: {layer.verdict()}")
        if isinstance(layer, ATMTrain):
            told += [line for cell in layer.cells for line in verdict(cell)]
    return told
