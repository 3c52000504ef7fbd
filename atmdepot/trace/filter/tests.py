"""The meaning of a filter's words: a test for every kind of item that the word can be true of.

For all other kinds a word is false; a filter's reach is therefore known before the first item comes. A factory takes
the value of the word's operand and the names of VCs, and gives `Tests`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from atmdepot.drops import DropReason
from atmdepot.net.events import Drop, FrameSeen, SessionChange
from atmdepot.trace.inside import flow_of, header_of, oam_payload_of, packet_of, vc_of
from atmdepot.trace.items import Cell, CrcVerdict, HecVerdict, Pdu
from atmdepot.trace.names import UNNAMED, VcBook, VcName
from atmdepot.trace.show.oam import is_good
from atmdepot.wire.cell import PTI_EFCI, PTI_LAST, PTI_OAM, CellHeader
from atmdepot.wire.ip import PROTOCOL_TCP, PROTOCOL_UDP
from atmdepot.wire.oam import FaultFunction, OamType

if TYPE_CHECKING:
    from collections.abc import Container
    from ipaddress import IPv4Network, IPv6Network

    from atmdepot.trace.filter.operands import Host
    from atmdepot.wire.flows import Flow
    from atmdepot.wire.packet import Packet

Test = Callable[[Any], bool]
Tests = dict[type, Test | Literal[True]]
"""A test for each kind of item that the word can be true of; True for a kind of which it always is."""
Factory = Callable[[Any, VcBook], Tests]

_HAVE_PORTS = PROTOCOL_TCP, PROTOCOL_UDP


# The kinds of items that a test is for.

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


# Cells.

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


# OAM.

OamTest = Callable[[CellHeader, bytes], bool]


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


# PDUs.

def pdu_word(test: Callable[[Any, Pdu], bool]) -> Factory:
    """Make a word about PDUs, whose test gets the operand's value and the PDU."""
    return lambda value, _: on_pdu(lambda pdu: test(value, pdu))


def crc(verdicts: frozenset[str], _: VcBook) -> Tests:
    """The CRC-32's verdict; `good` includes Dynamips' CRC."""
    if CrcVerdict.GOOD in verdicts:
        verdicts |= {CrcVerdict.DYNAMIPS}
    tests = on_pdu(lambda pdu: pdu.crc in verdicts)
    if CrcVerdict.BAD in verdicts:
        tests[Drop] = lambda drop: drop.reason == DropReason.CRC_ERROR
    return tests


def length_of(pdu: Pdu) -> int | None:
    """The Length field, or the SDU's length in a capture without trailers; None while the trailer has not come."""
    if pdu.length >= 0:
        return pdu.length
    return None if pdu.unfinished else len(pdu.octets)


# Packets. `side` is "src", "dst", or "" for either end.

def _on_end(side: str, test: Callable[[bytes, int], bool]) -> Tests:
    """Test address and port of the sender, the receiver, or either end."""
    if side == "src":
        return on_flow(lambda flow: test(flow[1], flow[2]))
    if side == "dst":
        return on_flow(lambda flow: test(flow[3], flow[4]))
    return on_flow(lambda flow: test(flow[1], flow[2]) or test(flow[3], flow[4]))


def host(side: str) -> Factory:
    """An address, and its port if given."""
    def tests(wanted: Host, _: VcBook) -> Tests:
        if wanted.port is None:
            return _on_end(side, lambda address, _: address == wanted.address)
        return _on_end(side, lambda address, port: address == wanted.address and port == wanted.port)

    return tests


def net(side: str) -> Factory:
    """A network."""
    def tests(network: IPv4Network | IPv6Network, _: VcBook) -> Tests:
        size, beyond = network.max_prefixlen // 8, network.max_prefixlen - network.prefixlen
        prefix = int(network.network_address) >> beyond
        return _on_end(
            side, lambda address, _: len(address) == size and int.from_bytes(address, "big") >> beyond == prefix)

    return tests


def port(side: str) -> Factory:
    """A port of TCP or UDP."""
    def tests(allowed: Container[int], _: VcBook) -> Tests:
        if side:
            at = 2 if side == "src" else 4
            return on_flow(lambda flow: flow[0] in _HAVE_PORTS and flow[at] in allowed)
        return on_flow(lambda flow: flow[0] in _HAVE_PORTS and (flow[2] in allowed or flow[4] in allowed))

    return tests


def protocol(number: int) -> Factory:
    """The IP protocol."""
    return lambda _, __: on_flow(lambda flow: flow[0] == number)


def version(address_size: int) -> Factory:
    """IPv4 or IPv6, by the length of an address in octets."""
    return lambda _, __: on_flow(lambda flow: len(flow[1]) == address_size)


def flag(bit: int) -> Factory:
    """A TCP flag."""
    return lambda _, __: on_packet(lambda packet: packet.tcp is not None and bool(packet.tcp.flags & bit))


# Places, names and sessions.

def attribute(name: str, *kinds: type) -> Factory:
    """A text that items have as attribute `name`."""
    return lambda names, _: dict.fromkeys(kinds, lambda item: getattr(item, name) in names)


def server(names: frozenset[str], book: VcBook) -> Tests:
    """The session's server; without a session, a server at the VP's end."""
    def of_pdu(pdu: Pdu) -> bool:
        if pdu.session is not None:
            return pdu.session.server in names
        return not names.isdisjoint(_several(pdu.name.server))

    by_name = on_name(lambda name: not names.isdisjoint(_several(name.server)), book)
    return by_name | {Pdu: of_pdu, SessionChange: lambda change: change.server in names}


@lru_cache(maxsize=1024)
def _several(servers: str) -> frozenset[str]:
    return frozenset(servers.split(", "))


def session(allowed: Container[int], _: VcBook) -> Tests:
    """A session by its number."""
    tests = on_pdu(lambda pdu: pdu.session is not None and pdu.session.number in allowed)
    return tests | {SessionChange: lambda change: change.number in allowed}
