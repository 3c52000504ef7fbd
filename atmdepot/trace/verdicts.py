"""What a receiver would make of a PDU: its CRC-32, its Length, and how many cells an IP packet's PDU has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.trace.items import CrcVerdict, ip_packet_in
from atmdepot.wire.aal5 import MAX_SDU, Aal5Error, CrcMode, cells_needed, crc32, is_dynamips_crc, parse_cpcs_pdu
from atmdepot.wire.llc import ETHERTYPE_IPV6

if TYPE_CHECKING:
    from atmdepot.trace.items import Pdu
    from atmdepot.wire.llc import Encapsulation

_LEAST_IPV4 = bytes((0x45,))
_LEAST_IP = 20


def is_the_same(pdu: Pdu, octets: bytes, missing: int) -> bool:
    """Whether octets are a PDU's, of which `missing` more may not be there; the CRC may have been written anew."""
    if len(octets) + missing != len(pdu.octets):
        return False
    compared = min(len(octets), len(pdu.octets) - 4)
    return octets[:compared] == pdu.octets[:compared]


def judge(pdu: Pdu, mode: CrcMode | None) -> None:
    """What a receiver makes of a PDU; with no rule known, a CRC by either rule is good."""
    octets = pdu.octets
    if len(octets) >= 8:
        pdu.length = int.from_bytes(octets[-6:-4], "big")
    pdu.crc = _crc_of(octets, mode)
    rule = CrcMode.IGNORE if pdu.crc is not CrcVerdict.BAD or mode is CrcMode.IGNORE else CrcMode.STRICT
    try:
        pdu.sdu = parse_cpcs_pdu(octets, crc=rule).sdu
    except Aal5Error as error:
        pdu.problem = error.reason


def excuse(pdu: Pdu) -> None:
    """Unjudge a PDU that may have begun in a gap of the trace, if it looks like it: a rest has neither CRC nor Length.

    One that is whole has a Length that fits its cells, so what is wrong with it is the network's fault all the same.
    """
    if pdu.crc is CrcVerdict.BAD and pdu.pad < 0:
        pdu.headless = True
        pdu.crc, pdu.problem, pdu.sdu, pdu.length = CrcVerdict.ABSENT, None, b"", -1


def _crc_of(octets: bytes, mode: CrcMode | None) -> CrcVerdict:
    """What a PDU's CRC says; Dynamips' is good where its VC takes it, or where no table tells what it takes."""
    if len(octets) < 4:
        return CrcVerdict.BAD
    if crc32(octets[:-4]) == int.from_bytes(octets[-4:], "big"):
        return CrcVerdict.GOOD
    if mode is not CrcMode.STRICT and is_dynamips_crc(octets):
        return CrcVerdict.DYNAMIPS
    return CrcVerdict.BAD


def expected_cells(payload: bytes, encapsulation: Encapsulation | None) -> int:
    """The cells that a PDU will have, by the length in the IP header in its first cell; 0 if that tells nothing."""
    found = ip_packet_in(payload, encapsulation)
    if found is None:
        return 0
    packet = found.octets
    if found.ethertype == ETHERTYPE_IPV6:
        length = 40 + int.from_bytes(packet[4:6], "big")
    elif packet[:1] >= _LEAST_IPV4:
        length = int.from_bytes(packet[2:4], "big")
    else:
        return 0
    sdu = len(payload) - len(packet) + length
    return cells_needed(sdu) if length >= _LEAST_IP and sdu <= MAX_SDU else 0
