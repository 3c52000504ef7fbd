"""Ethernet frames in AAL5 SDUs (RFC 2684 sections 5.2 and 6.2), with the FCS of the LAN or without it.

With LLC the PID tells whether the FCS is there, so a receiver takes both. With VC multiplexing no octet tells: both
ends must agree (`Fcs.YES`, `Fcs.NO`), or the receiver looks whether the last four octets are a right FCS.
"""

from __future__ import annotations

from enum import StrEnum

from atmdepot.wire.ethernet import FCS_SIZE, HEADER_SIZE, LEAST_FRAME, fcs_holds, with_fcs
from atmdepot.wire.llc import (
    LLC_BRIDGED_ETHERNET,
    LLC_BRIDGED_ETHERNET_WITH_FCS,
    VC_BRIDGED_ETHERNET,
    Encapsulation,
    EncapsulationError,
)

_LLC_BRIDGED = Encapsulation.LLC_BRIDGED


class Fcs(StrEnum):
    """The FCS of bridged frames: `AUTO` sends none and takes both."""

    AUTO = "auto"
    YES = "yes"
    NO = "no"


class FcsError(ValueError):
    """A bridged frame whose FCS is wrong."""


def bridged_sdu(frame: bytes, encapsulation: Encapsulation, fcs: Fcs) -> bytes:
    """The SDU of a frame; a frame with FCS is padded, since the FCS covers the padding (RFC 2684 section 5.2)."""
    if encapsulation is _LLC_BRIDGED:
        return LLC_BRIDGED_ETHERNET_WITH_FCS + with_fcs(frame) if fcs is Fcs.YES else LLC_BRIDGED_ETHERNET + frame
    return VC_BRIDGED_ETHERNET + (with_fcs(frame) if fcs is Fcs.YES else frame)


def frame_in(sdu: bytes, encapsulation: Encapsulation, fcs: Fcs) -> bytes:
    """The frame of an SDU, without its FCS.

    Raises:
        EncapsulationError: when the SDU does not begin as its encapsulation does.
        FcsError: when the FCS is wrong, or missing with VC multiplexing and `Fcs.YES`.

    """
    if encapsulation is _LLC_BRIDGED:
        if sdu.startswith(LLC_BRIDGED_ETHERNET):
            return sdu[len(LLC_BRIDGED_ETHERNET):]
        if sdu.startswith(LLC_BRIDGED_ETHERNET_WITH_FCS):
            return _checked(sdu[len(LLC_BRIDGED_ETHERNET_WITH_FCS):])
    elif sdu.startswith(VC_BRIDGED_ETHERNET):
        frame = sdu[len(VC_BRIDGED_ETHERNET):]
        if fcs is Fcs.NO or (fcs is Fcs.AUTO and not fcs_holds(frame)):
            return frame
        return _checked(frame)
    raise EncapsulationError(f"the SDU begins {sdu[:10].hex(' ')}, which is no {encapsulation}")


def _checked(frame: bytes) -> bytes:
    if not fcs_holds(frame):
        raise FcsError("the FCS is wrong")
    return frame[:-FCS_SIZE]


def sdu_size(packet: int, encapsulation: Encapsulation, fcs: Fcs) -> int:
    """Octets of the SDU of an IP packet of `packet` octets."""
    header = encapsulation.before_ip
    if fcs is not Fcs.YES:
        return header + packet
    return header - HEADER_SIZE + max(LEAST_FRAME, HEADER_SIZE + packet) + FCS_SIZE


def greatest_sdu(mtu: int, encapsulation: Encapsulation) -> int:
    """Octets of the greatest SDU of packets of at most `mtu` octets: each with FCS, and padded."""
    return sdu_size(mtu, encapsulation, Fcs.YES)
