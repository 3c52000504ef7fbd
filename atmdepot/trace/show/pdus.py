"""PDUs in words: a receiver's verdict, and what is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.config.units import count_text
from atmdepot.drops import DropReason
from atmdepot.trace.inside import packet_from_beginning
from atmdepot.trace.items import CrcVerdict, encapsulation_of
from atmdepot.trace.messages import message_text, statistics_text
from atmdepot.trace.show.packets import packet_text
from atmdepot.wire.ethernet import HEADER_SIZE, mac_text
from atmdepot.wire.llc import ETHERTYPE_ARP

if TYPE_CHECKING:
    from atmdepot.trace.items import Carried, Pdu


def is_good(pdu: Pdu) -> bool:
    """True for a PDU that a receiver takes, or whose CRC was not captured."""
    return pdu.problem is None and pdu.crc is not CrcVerdict.BAD and not pdu.headless


def verdict_text(pdu: Pdu) -> str:
    """Length, pad and CRC; or the reason for which a receiver drops it."""
    if pdu.unfinished:
        return f"no last cell: {pdu.problem or 'the trace ended before'}"
    if pdu.headless:
        return "the cells before were missed"
    if pdu.crc is CrcVerdict.ABSENT:
        return f"the first {count_text(len(pdu.octets), 'octet')} captured" if pdu.missing else \
            f"length {len(pdu.octets)}, CRC not captured"
    told = f"{_length_text(pdu)}, CRC {pdu.crc}"
    if pdu.hec_corrected:
        told += f", {count_text(pdu.hec_corrected, 'HEC')} corrected"
    if pdu.congested:
        told += ", EFCI"
    if pdu.clp:
        told += ", CLP 1"
    if pdu.problem not in (None, DropReason.CRC_ERROR):
        told += f": {pdu.problem}"
    if pdu.problem is not None and pdu.first and not _begins_well(pdu):
        told += " (its beginning may lie before the trace)"
    return told


def _begins_well(pdu: Pdu) -> bool:
    """True when the first octets begin an SDU of the VC's encapsulation, or of any if the VC's is not known."""
    found = encapsulation_of(pdu.octets)
    return found is not None and pdu.name.encapsulation in (None, found)


def _length_text(pdu: Pdu) -> str:
    if pdu.length < 0:
        return f"only {count_text(len(pdu.octets), 'octet')}"
    return f"length {pdu.length}" + (f", pad {pdu.pad}" if pdu.pad >= 0 else " does not fit" if pdu.length else "")


def carried_text(pdu: Pdu, *, quick: bool) -> str:
    """What is in a PDU: a message, a report, an IP packet, a frame; empty without an SDU."""
    if not pdu.sdu:
        return ""
    carried = pdu.carried
    if carried.how == "statistics":
        return f": {statistics_text(carried.octets)}"
    if carried.how == "announcement":
        return f": {message_text(carried.octets)}"
    how = "" if quick or carried.how in ("vc-mux", "") else f"{carried.how.upper()} "
    if carried.frame and not quick:
        how += f"{_ethernet_text(carried.frame)} "
    if carried.packet is not None:
        return f": {how}{packet_text(carried.packet, b'' if quick else carried.octets)}"
    if pdu.missing and (packet := packet_from_beginning(carried.octets)) is not None:
        return f": {how}{packet_text(packet)}"
    return f": {how}{_other_text(carried, quick=quick)}"


def _other_text(carried: Carried, *, quick: bool) -> str:
    """Text of an SDU that carries no IP packet."""
    octets = carried.octets
    if carried.ethertype == ETHERTYPE_ARP:
        return f"ARP, {count_text(len(octets), 'octet')}"
    if carried.frame:
        ethernet = f"EtherType {carried.frame[12:14].hex()}, {count_text(len(carried.frame), 'octet')}"
        return f"{_ethernet_text(carried.frame)} {ethernet}" if quick else ethernet
    if carried.how.endswith("bridged") and len(octets) >= HEADER_SIZE:
        return f"{_ethernet_text(octets)} EtherType {octets[12:14].hex()}, {count_text(len(octets), 'octet')}"
    return carried.problem


def _ethernet_text(frame: bytes) -> str:
    return f"Ethernet {mac_text(frame[6:12])} > {mac_text(frame[:6])}"
