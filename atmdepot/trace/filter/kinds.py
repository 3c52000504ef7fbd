"""Tests for every kind of item that a word of a filter can be true of.

For all other kinds the word is false; a filter's reach is therefore known before the first item comes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from atmdepot.net.events import Drop, FrameSeen, SessionChange
from atmdepot.trace.inside import flow_of, header_of, packet_of, vc_of
from atmdepot.trace.items import Cell, Pdu
from atmdepot.trace.names import UNNAMED, VcBook

if TYPE_CHECKING:
    from atmdepot.trace.names import VcName
    from atmdepot.wire.cell import CellHeader
    from atmdepot.wire.flows import Flow
    from atmdepot.wire.packet import Packet

Test = Callable[[Any], bool]
Tests = dict[type, Test | Literal[True]]
"""A test for each kind of item that the word can be true of; True for a kind of which it always is."""
Factory = Callable[[Any, VcBook], Tests]
"""Makes the tests of a word of its operand's value and the names of VCs."""


def on_header(test: Callable[[CellHeader], bool], pdu: Test | None = None) -> Tests:
    """Test a cell's header, also of a dropped cell; `pdu` tests PDUs."""
    def dropped(drop: Drop) -> bool:
        header = header_of(drop)
        return header is not None and test(header)

    tests: Tests = {Cell: lambda cell: test(cell.header), Drop: dropped}
    return tests if pdu is None else tests | {Pdu: pdu}


def on_vc(cell: Test, pdu: Test, vc: Callable[[tuple[int, int]], bool]) -> Tests:
    """Test VPI and VCI; cells and PDUs have tests of their own, for speed."""
    def told(item: Drop | SessionChange) -> bool:
        found = vc_of(item)
        return found is not None and vc(found)

    return {Cell: cell, Pdu: pdu, Drop: told, SessionChange: told}


def on_name(test: Callable[[VcName], bool], book: VcBook) -> Tests:
    """Test the VC's entry in the VC table."""
    def told(item: Drop | SessionChange) -> bool:
        vc = vc_of(item)
        return test(UNNAMED if vc is None else book.of(item.link, *vc))

    return {Cell: lambda cell: test(cell.name), Pdu: lambda pdu: test(pdu.name), Drop: told, SessionChange: told}


def on_pdu(test: Callable[[Pdu], bool]) -> Tests:
    """Test a PDU; a cell is tested by its PDU, when that is known."""
    return {Cell: lambda cell: cell.pdu is not None and test(cell.pdu), Pdu: test}


def on_packet(test: Callable[[Packet], bool]) -> Tests:
    """Test the IP packet."""
    def carried(pdu: Pdu) -> bool:
        packet = pdu.packet
        return packet is not None and test(packet)

    def found(item: Drop | FrameSeen) -> bool:
        packet = packet_of(item)
        return packet is not None and test(packet)

    return on_pdu(carried) | {Drop: found, FrameSeen: found}


def on_flow(test: Callable[[Flow], bool]) -> Tests:
    """Test protocol, addresses and ports, which sessions have as well."""
    def carried(pdu: Pdu) -> bool:
        flow = pdu.flow
        return flow is not None and test(flow)

    def told(item: Drop | FrameSeen | SessionChange) -> bool:
        flow = flow_of(item)
        return flow is not None and test(flow)

    return on_pdu(carried) | {Drop: told, FrameSeen: told, SessionChange: told}
