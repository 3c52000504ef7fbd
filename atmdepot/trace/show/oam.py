"""OAM cells in words (ITU-T I.610)."""

from __future__ import annotations

from atmdepot.wire.oam import UNUSED, FaultFunction, OamPayload, OamType

_TYPES: dict[int, str] = {
    OamType.FAULT_MANAGEMENT: "fault management", OamType.PERFORMANCE_MANAGEMENT: "performance management",
    OamType.PROTECTION_SWITCHING: "protection switching", OamType.ACTIVATION: "activation/deactivation",
    OamType.SYSTEM_MANAGEMENT: "system management"}
_FUNCTIONS: dict[tuple[int, int], str] = {
    (OamType.FAULT_MANAGEMENT, FaultFunction.AIS): "AIS",
    (OamType.FAULT_MANAGEMENT, FaultFunction.RDI): "RDI",
    (OamType.FAULT_MANAGEMENT, FaultFunction.CONTINUITY_CHECK): "continuity check",
    (OamType.FAULT_MANAGEMENT, FaultFunction.LOOPBACK): "loopback",
    (OamType.PERFORMANCE_MANAGEMENT, 0): "forward monitoring",
    (OamType.PERFORMANCE_MANAGEMENT, 1): "backward reporting",
    (OamType.PROTECTION_SWITCHING, 0): "group APS",
    (OamType.PROTECTION_SWITCHING, 1): "individual APS",
    (OamType.ACTIVATION, 0): "PM activation",
    (OamType.ACTIVATION, 1): "CC activation",
}
_END_POINT = b"\xFF" * 16


def function_name(oam_type: int, function: int) -> str:
    """The function of an OAM cell by its two numbers, in words."""
    if (oam_type, function) in _FUNCTIONS:
        return _FUNCTIONS[oam_type, function]
    return f"{_TYPES.get(oam_type, f'OAM type {oam_type:04b}')} function {function:04b}"


def is_good(payload: bytes) -> bool:
    """True when the CRC-10 of an OAM cell's 48 octets is right."""
    try:
        OamPayload.unpack(payload)
    except ValueError:
        return False
    return True


def oam_text(payload: bytes) -> str:
    """The 48 octets of an OAM cell in words, with the verdict on their CRC-10."""
    oam = OamPayload(payload[0] >> 4, payload[0] & 15, payload[1:46])
    told = function_name(oam.type, oam.function)
    if oam.type == OamType.FAULT_MANAGEMENT:
        told += _fault_text(oam)
    return f"{told}, CRC-10 {'good' if is_good(payload) else 'bad'}"


def _fault_text(oam: OamPayload) -> str:
    if oam.function == FaultFunction.LOOPBACK:
        indication = "request" if oam.field[0] & 1 else "reply"
        where = oam.field[5:21]
        at = "the end point" if where == _END_POINT else where.hex()
        return f" {indication}, tag {oam.field[1:5].hex()}, at {at}"
    if oam.function in (FaultFunction.AIS, FaultFunction.RDI) and oam.field[0] != UNUSED:
        return f", defect type {oam.field[0]:02x}"
    return ""
