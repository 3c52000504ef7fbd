"""Encapsulation of packets in AAL5 SDUs (RFC 2684): LLC/SNAP headers, or no header with VC multiplexing.

With VC multiplexing a VC carries bare IP packets; the first four bits of a packet tell IPv4 from IPv6. With LLC each
SDU begins with 8 octets of LLC/SNAP that name the protocol, or with the header of a bridged Ethernet frame.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from atmdepot.signatures import OfInit
from atmdepot.wire.arguments import member

LLC_SNAP = bytes.fromhex("AAAA03")
ROUTED_OUI = bytes(3)
BRIDGED_OUI = bytes.fromhex("0080C2")
PID_ETHERNET_WITH_FCS = 0x0001
PID_ETHERNET = 0x0007
ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_ARP = 0x0806
ETHERTYPE_IPV6 = 0x86DD

LLC_IPV4 = LLC_SNAP + ROUTED_OUI + ETHERTYPE_IPV4.to_bytes(2, "big")
LLC_IPV6 = LLC_SNAP + ROUTED_OUI + ETHERTYPE_IPV6.to_bytes(2, "big")
LLC_BRIDGED_ETHERNET = LLC_SNAP + BRIDGED_OUI + PID_ETHERNET.to_bytes(2, "big") + bytes(2)
LLC_BRIDGED_ETHERNET_WITH_FCS = LLC_SNAP + BRIDGED_OUI + PID_ETHERNET_WITH_FCS.to_bytes(2, "big") + bytes(2)
VC_BRIDGED_ETHERNET = bytes(2)
ROUTED_LLC_SIZE = 8
_ETHERNET_HEADER_SIZE = 14


class Encapsulation(StrEnum):
    """The encapsulation of packets on a VC (RFC 2684)."""

    __hash__ = str.__hash__  # Enum's own is a Python function, and these are looked up for each VC

    VC_MUX = "vc-mux"
    LLC = "llc"
    VC_MUX_BRIDGED = "vc-mux-bridged"
    LLC_BRIDGED = "llc-bridged"

    @property
    def overhead(self) -> int:
        """The octets that the encapsulation adds to a packet or frame."""
        return _OVERHEADS[self]

    @property
    def before_ip(self) -> int:
        """The octets of an SDU in front of its IP packet: bridged, those of the Ethernet header as well."""
        bridged = self in (Encapsulation.VC_MUX_BRIDGED, Encapsulation.LLC_BRIDGED)
        return _OVERHEADS[self] + _ETHERNET_HEADER_SIZE * bridged


_OVERHEADS = {
    Encapsulation.VC_MUX: 0,
    Encapsulation.LLC: ROUTED_LLC_SIZE,
    Encapsulation.VC_MUX_BRIDGED: len(VC_BRIDGED_ETHERNET),
    Encapsulation.LLC_BRIDGED: len(LLC_BRIDGED_ETHERNET),
}


class Payload(NamedTuple):
    """The contents of an SDU: an EtherType and a packet; for bridged frames None and the frame (without FCS)."""

    ethertype: int | None
    octets: bytes


class EncapsulationError(ValueError):
    """An SDU whose header does not fit its VC's encapsulation."""

    __signature__ = OfInit()


def encapsulate(octets: bytes, encapsulation: Encapsulation | str) -> bytes:
    """The SDU of an IP packet (routed) or an Ethernet frame without FCS (bridged).

    Raises:
        EncapsulationError: with LLC, for a packet whose version is neither 4 nor 6.
        ValueError: for an unknown encapsulation.

    """
    if not isinstance(encapsulation, Encapsulation):
        encapsulation = member(Encapsulation, "encapsulation", encapsulation)
    if encapsulation is Encapsulation.VC_MUX:
        return octets
    if encapsulation is Encapsulation.VC_MUX_BRIDGED:
        return VC_BRIDGED_ETHERNET + octets
    if encapsulation is Encapsulation.LLC_BRIDGED:
        return LLC_BRIDGED_ETHERNET + octets
    return _llc_of(_ethertype(octets)) + octets


def decapsulate(sdu: bytes, encapsulation: Encapsulation | str) -> Payload:
    """The contents of an SDU.

    Raises:
        EncapsulationError: when the header is cut short or does not fit the encapsulation.
        ValueError: for an unknown encapsulation.

    """
    if not isinstance(encapsulation, Encapsulation):
        encapsulation = member(Encapsulation, "encapsulation", encapsulation)
    if encapsulation is Encapsulation.VC_MUX:
        return Payload(_ethertype(sdu), sdu)
    if encapsulation is Encapsulation.VC_MUX_BRIDGED:
        return Payload(None, _after(sdu, VC_BRIDGED_ETHERNET))
    if encapsulation is Encapsulation.LLC_BRIDGED:
        if sdu.startswith(LLC_BRIDGED_ETHERNET_WITH_FCS):
            if len(sdu) < len(LLC_BRIDGED_ETHERNET_WITH_FCS) + 4:
                raise EncapsulationError("a bridged frame with FCS is shorter than its FCS")
            return Payload(None, sdu[len(LLC_BRIDGED_ETHERNET_WITH_FCS):-4])  # without the FCS
        return Payload(None, _after(sdu, LLC_BRIDGED_ETHERNET))
    body = _after(sdu, LLC_SNAP + ROUTED_OUI)
    if len(body) < 2:
        raise EncapsulationError("the SNAP header has no EtherType")
    return Payload(int.from_bytes(body[:2], "big"), body[2:])


def _llc_of(ethertype: int) -> bytes:
    return LLC_IPV4 if ethertype == ETHERTYPE_IPV4 else LLC_IPV6


def _ethertype(packet: bytes) -> int:
    version = packet[0] >> 4 if packet else 0
    if version == 4:
        return ETHERTYPE_IPV4
    if version == 6:
        return ETHERTYPE_IPV6
    raise EncapsulationError(f"a packet of version {version} is neither IPv4 nor IPv6")


def _after(sdu: bytes, header: bytes) -> bytes:
    if not sdu.startswith(header):
        raise EncapsulationError(f"the SDU begins {sdu[:10].hex(' ')}, not {header.hex(' ')}")
    return sdu[len(header):]
