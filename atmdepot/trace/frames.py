"""Frames of bearers other than ATM in a trace: what is in them, by the medium of the port that they crossed."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from atmdepot.bearer.bridged import without_padding
from atmdepot.trace.capture.pcap import LinkType
from atmdepot.trace.messages import message_text, statistics_text
from atmdepot.wire.announcement import is_message
from atmdepot.wire.arp import REQUEST, ArpError, parse_arp
from atmdepot.wire.ethernet import HEADER_SIZE, mac_text
from atmdepot.wire.frame_relay import LMI_DLCI, FrameError, NlpidError, parse_address, payload_of
from atmdepot.wire.ip import MalformedPacket, address_text
from atmdepot.wire.llc import ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6
from atmdepot.wire.lmi import ENQUIRY, FULL, SINGLE, LmiError, parse_lmi
from atmdepot.wire.packet import analyse
from atmdepot.wire.statistics import is_statistics

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.net.events import FrameSeen
    from atmdepot.wire.frame_relay import Address
    from atmdepot.wire.packet import Packet

_ETHERTYPES = {ETHERTYPE_IPV4: "IPv4", ETHERTYPE_IPV6: "IPv6", ETHERTYPE_ARP: "ARP"}
_REPORTS = {FULL: "full status", SINGLE: "status of a PVC"}


class Medium(NamedTuple):
    """A kind of frames: the link type of its captures, its channel and header in words, and the packet in a frame.

    `is_side` is true for one of the two kinds that a port of rewritten headers has.
    """

    link_type: LinkType
    place: Callable[[bytes], str]
    header: Callable[[bytes], str]
    packet: Callable[[bytes], bytes]
    is_side: bool = False


def _dlci(frame: bytes) -> str:
    address = _address(frame)
    return "no DLCI" if address is None else f"DLCI {address.dlci}"


def _address(frame: bytes) -> Address | None:
    with suppress(FrameError):
        return parse_address(frame)
    return None


def _relay_header(frame: bytes) -> str:
    address = _address(frame)
    if address is None:
        return "no address of two octets"
    if address.dlci == LMI_DLCI:
        return _lmi_text(frame)
    bits = [name for name in ("FECN", "BECN", "DE") if getattr(address, name.lower())]
    told = "" if not bits else " " + " ".join(bits)
    if is_statistics(frame[3:]):
        return f"{statistics_text(frame[3:])}{told}"
    if is_message(frame[3:]):
        return f"{message_text(frame[3:])}{told}"
    return f"{len(frame)} octets{told}"


def _lmi_text(frame: bytes) -> str:
    try:
        message = parse_lmi(frame)
    except LmiError as error:
        return f"no LMI: {error}"
    kind = "enquiry" if message.kind == ENQUIRY else "status"
    pvcs = "".join(f" {pvc.dlci}{'' if pvc.active else ' inactive'}{' new' * pvc.new}" for pvc in message.pvcs[:8])
    more = f" and {len(message.pvcs) - 8} more" if len(message.pvcs) > 8 else ""
    report = _REPORTS.get(message.report, "link integrity")
    return f"LMI {kind}, {report}, sent {message.sent} heard {message.heard}{':' * bool(pvcs)}{pvcs}{more}"


def _relay_packet(frame: bytes) -> bytes:
    with suppress(NlpidError, IndexError):
        return payload_of(frame) if _address(frame) is not None else b""
    return b""


def _ethernet(frame: bytes) -> str:
    ethertype = int.from_bytes(frame[12:HEADER_SIZE], "big")
    return _ETHERTYPES.get(ethertype, f"0x{ethertype:04x}") if len(frame) >= HEADER_SIZE else "Ethernet"


def _ethernet_header(frame: bytes) -> str:
    if len(frame) < HEADER_SIZE:
        return f"{len(frame)} octets, cut short"
    told = f"{mac_text(frame[6:12])} > {mac_text(frame[:6])}, {len(frame)} octets"
    with suppress(ArpError):
        if _ethernet(frame) == "ARP":
            message = parse_arp(frame[HEADER_SIZE:])
            if message.operation == REQUEST:
                return f"{told}: who has {address_text(message.target)}, tell {address_text(message.sender)}"
            return f"{told}: {address_text(message.sender)} is at {mac_text(message.sender_mac)}"
    return told


def _ethernet_packet(frame: bytes) -> bytes:
    return without_padding(frame[HEADER_SIZE:]) if _ethernet(frame) in ("IPv4", "IPv6") else b""


def _rewritten(side: str) -> Medium:
    """The packets of the bearer of rewritten headers, with the ends that they have on a side of the depot."""
    return Medium(LinkType.RAW_IP, lambda _: side, lambda packet: f"{len(packet)} octets", lambda packet: packet,
                  is_side=True)


MEDIA = {"frame-relay": Medium(LinkType.FRELAY, _dlci, _relay_header, _relay_packet),
         "frames": Medium(LinkType.ETHERNET, _ethernet, _ethernet_header, _ethernet_packet),
         "client-side": _rewritten("client"), "server-side": _rewritten("server")}
"""By the medium of the frames; those of a medium without a row are shown by their length."""


def packet_octets(frame: FrameSeen) -> bytes:
    """The IP packet in a frame; empty without one."""
    medium = MEDIA.get(frame.medium)
    return b"" if medium is None else medium.packet(frame.octets)


def packet_in(frame: FrameSeen) -> Packet | None:
    """The IP packet in a frame, analysed; None without one."""
    return _analysed(packet_octets(frame))


@lru_cache(maxsize=64)
def _analysed(octets: bytes) -> Packet | None:
    try:
        return analyse(octets) if octets else None
    except MalformedPacket:
        return None


def place_of(frame: FrameSeen) -> str:
    """The channel of a frame, in words."""
    medium = MEDIA.get(frame.medium)
    return frame.medium if medium is None else medium.place(frame.octets)


def header_text(frame: FrameSeen) -> str:
    """The fields of a frame's header."""
    medium = MEDIA.get(frame.medium)
    return f"{len(frame.octets)} octets" if medium is None else medium.header(frame.octets)
