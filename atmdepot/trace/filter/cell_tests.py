"""The words about cells (also of OAM) and the PDUs made of them: their tests, as `kinds.Factory` makes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from atmdepot.drops import DropReason
from atmdepot.net.events import Drop
from atmdepot.trace.filter.kinds import on_header, on_vc
from atmdepot.trace.inside import header_of, oam_payload_of
from atmdepot.trace.items import Cell, HecVerdict, Pdu
from atmdepot.trace.show.oam import is_good
from atmdepot.wire.cell import PTI_EFCI, PTI_LAST, PTI_OAM, CellHeader
from atmdepot.wire.oam import FaultFunction, OamType

if TYPE_CHECKING:
    from collections.abc import Container

    from atmdepot.trace.filter.kinds import Factory, Test, Tests
    from atmdepot.trace.names import VcBook

OamTest = Callable[[CellHeader, bytes], bool]
"""A test of the header and the payload of an OAM cell."""


def vpi(allowed: Container[int], _: VcBook) -> Tests:
    """The VPI."""
    return on_vc(lambda cell: cell.header.vpi in allowed, lambda pdu: pdu.vpi in allowed, lambda vc: vc[0] in allowed)


def vci(allowed: Container[int], _: VcBook) -> Tests:
    """The VCI."""
    return on_vc(lambda cell: cell.header.vci in allowed, lambda pdu: pdu.vci in allowed, lambda vc: vc[1] in allowed)


def vc_numbers(wanted: tuple[int, Container[int]], _: VcBook) -> Tests:
    """VPI and VCI together."""
    of, vcis = wanted
    return on_vc(lambda cell: cell.header.vpi == of and cell.header.vci in vcis,
                 lambda pdu: pdu.vpi == of and pdu.vci in vcis, lambda vc: vc[0] == of and vc[1] in vcis)


def pti_of(pdu: Pdu) -> int:
    """The PTI of a PDU's last cell; without the last-cell bit while that cell has not come."""
    return PTI_EFCI * pdu.congested | PTI_LAST * (not pdu.unfinished)


def header(test: Callable[[CellHeader], bool], pdu: Test | None = None) -> Factory:
    """Make a word about the header, without operand."""
    return lambda _, __: on_header(test, pdu)


def reserved(of: int, in_vpi: int | None = None) -> Factory:
    """Make a word for a VCI with a meaning of its own (I.361 table 2), in every VPI or only in `in_vpi`."""
    return header(lambda cell: cell.vci == of and in_vpi in (None, cell.vpi) and not cell.pti & PTI_OAM,
                  lambda pdu: pdu.vci == of and in_vpi in (None, pdu.vpi))


def hec(verdicts: frozenset[HecVerdict], _: VcBook) -> Tests:
    """The HEC's verdict; of a PDU, `corrected` if a cell had its HEC corrected, else `good`."""
    corrected, good = HecVerdict.CORRECTED in verdicts, HecVerdict.GOOD in verdicts
    tests: Tests = {Cell: lambda cell: cell.hec in verdicts}
    if corrected or good:
        tests[Pdu] = lambda pdu: corrected if pdu.hec_corrected else good
    if HecVerdict.BAD in verdicts:
        tests[Drop] = lambda drop: drop.reason == DropReason.HEC_ERROR
    return tests


def bad(_: object, __: VcBook) -> Tests:
    """Any fault: bad HEC or CRC-10, a PDU with a problem, or a drop."""
    return {Cell: _is_bad_cell, Pdu: lambda pdu: pdu.problem is not None, Drop: True}


def _is_bad_cell(cell: Cell) -> bool:
    if cell.hec is HecVerdict.BAD:
        return True
    payload = oam_payload_of(cell)
    return payload is not None and not is_good(payload)


def is_f5(cell: CellHeader, _: bytes) -> bool:
    """True for an OAM cell of a VC's flow (F5), false for a VP's (F4)."""
    return bool(cell.pti & PTI_OAM)


def is_segment(cell: CellHeader, _: bytes) -> bool:
    """True for an OAM cell of a segment, false for end-to-end."""
    return cell.pti == 4 if cell.pti & PTI_OAM else cell.vci == 3


def _oam_type(oam_type: OamType, function: int | None = None) -> OamTest:
    return lambda _, payload: payload[0] >> 4 == oam_type and function in (None, payload[0] & 15)


OAM_KINDS: dict[str, OamTest] = {
    "f4": lambda cell, payload: not is_f5(cell, payload),
    "f5": is_f5,
    "segment": is_segment,
    "end-to-end": lambda cell, payload: not is_segment(cell, payload),
    "ais": _oam_type(OamType.FAULT_MANAGEMENT, FaultFunction.AIS),
    "rdi": _oam_type(OamType.FAULT_MANAGEMENT, FaultFunction.RDI),
    "cc": _oam_type(OamType.FAULT_MANAGEMENT, FaultFunction.CONTINUITY_CHECK),
    "loopback": _oam_type(OamType.FAULT_MANAGEMENT, FaultFunction.LOOPBACK),
    "fm": _oam_type(OamType.FAULT_MANAGEMENT),
    "pm": _oam_type(OamType.PERFORMANCE_MANAGEMENT),
    "activation": _oam_type(OamType.ACTIVATION),
    "sm": _oam_type(OamType.SYSTEM_MANAGEMENT),
    "bad": lambda _, payload: not is_good(payload),
}
"""Flow, reach, function, and a wrong CRC-10 (I.610); the function counts even with a wrong CRC-10."""


def oam(kinds: list[frozenset[OamTest]], _: VcBook) -> Tests:
    """OAM cells that match at least one kind out of each set."""
    def test(item: Cell | Drop) -> bool:
        payload, cell = oam_payload_of(item), header_of(item)
        return payload is not None and cell is not None and all(
            any(is_kind(cell, payload) for is_kind in some) for some in kinds)

    return {Cell: test, Drop: test}
