"""A receiver's verdict on a PDU: its CRC-32, its Length, and the number of cells of an IP packet's PDU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.trace.items import CrcVerdict, ip_packet_in
from atmdepot.wire.aal5 import MAX_SDU, Aal5Error, CrcMode, cells_needed, crc32, is_dynamips_crc, parse_cpcs_pdu
from atmdepot.wire.llc import ETHERTYPE_IPV6

if TYPE_CHECKING:
    from atmdepot.trace.items import Pdu
    from atmdepot.wire.llc import Encapsulation

_LEAST_IPV4 = bytes((0x45,))  # version 4, and a header of five words
_LEAST_IP = 20  # octets of an IPv4 header without options


def is_the_same(pdu: Pdu, octets: bytes, missing: int) -> bool:
    """True when octets are a PDU's, with `missing` more octets cut off; the CRC may have been replaced."""
    if len(octets) + missing != len(pdu.octets):
        return False
    # The CRC in the last 4 octets may have been replaced.
    compared = min(len(octets), len(pdu.octets) - 4)
    return octets[:compared] == pdu.octets[:compared]


def judge(pdu: Pdu, mode: CrcMode | None) -> None:
    """Set a PDU's verdict as a receiver would; without a known rule, a CRC by either rule is good."""
    octets = pdu.octets
    if len(octets) >= 8:
        pdu.length = int.from_bytes(octets[-6:-4], "big")
    pdu.crc = _crc_of(octets, mode)
    # The CRC was judged above: the parser checks a bad CRC again only to give its error.
    rule = CrcMode.IGNORE if pdu.crc is not CrcVerdict.BAD or mode is CrcMode.IGNORE else CrcMode.STRICT
    try:
        pdu.sdu = parse_cpcs_pdu(octets, crc=rule).sdu
    except Aal5Error as error:
        pdu.problem = error.reason


def excuse(pdu: Pdu) -> None:
    """Withdraw the verdict on a PDU that may have begun in a gap of the trace, if its CRC and its Length are both bad.

    A complete PDU has a Length that fits its cells: a fault in it is the network's.
    """
    if pdu.crc is CrcVerdict.BAD and pdu.pad < 0:
        pdu.headless = True
        pdu.crc, pdu.problem, pdu.sdu, pdu.length = CrcVerdict.ABSENT, None, b"", -1


def _crc_of(octets: bytes, mode: CrcMode | None) -> CrcVerdict:
    """The verdict on a PDU's CRC; Dynamips' CRC is good if the VC takes it, or if no table has the VC's rule."""
    if len(octets) < 4:
        return CrcVerdict.BAD
    if crc32(octets[:-4]) == int.from_bytes(octets[-4:], "big"):
        return CrcVerdict.GOOD
    if mode is not CrcMode.STRICT and is_dynamips_crc(octets):
        return CrcVerdict.DYNAMIPS
    return CrcVerdict.BAD


def expected_cells(payload: bytes, encapsulation: Encapsulation | None) -> int:
    """The number of cells of a PDU, by the length in the IP header in its first cell; 0 without an IP header."""
    # Only a hint for the reader: the PDU ends where its last cell says.
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
    # The first cell begins with the encapsulation's header, before the packet.
    sdu = len(payload) - len(packet) + length
    return cells_needed(sdu) if length >= _LEAST_IP and sdu <= MAX_SDU else 0
