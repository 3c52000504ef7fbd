"""The contents of an item of any kind: its VC, a cell header, an IP packet, a flow.

Filters and fields use this. A drop shows only the beginning of the dropped octets; its reason's unit tells what they
are. The headers of a packet that is cut there are still read.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING

from atmdepot.drops import DropReason
from atmdepot.net.events import Drop, FrameSeen, SessionChange
from atmdepot.trace.frames import packet_in, packet_octets
from atmdepot.trace.items import Cell, Pdu, ip_packet_in, total_length
from atmdepot.wire.cell import CELL_SIZE, HEADER_SIZE, CellHeader, Interface
from atmdepot.wire.ip import PROTOCOL_TCP, PROTOCOL_UDP, MalformedPacket
from atmdepot.wire.packet import analyse

if TYPE_CHECKING:
    from atmdepot.trace.items import Item
    from atmdepot.wire.flows import Flow
    from atmdepot.wire.packet import Packet

_UNITS: dict[str, str] = {reason.value: reason.unit for reason in DropReason}
_PROTOCOLS = {"tcp": PROTOCOL_TCP, "udp": PROTOCOL_UDP}
_GREATEST_UNI_VPI, _GREATEST_PORT = 255, 0xFFFF


def vc_of(item: Item) -> tuple[int, int] | None:
    """VPI and VCI, if the item has them."""
    if isinstance(item, Pdu):
        return item.vc
    if isinstance(item, SessionChange):
        return _of_atm(item.vc)
    header = header_of(item)
    if header is not None:
        return header.vpi, header.vci
    return _of_atm(item.vc) if isinstance(item, Drop) else None


def _of_atm(channel: tuple[int, ...] | None) -> tuple[int, int] | None:
    """VPI and VCI; None for a channel of another bearer, and for a VC that the capture does not tell (-1)."""
    return (channel[0], channel[1]) if channel is not None and len(channel) == 2 and channel[0] >= 0 else None


def header_of(item: Item) -> CellHeader | None:
    """The header of a cell, or of a dropped cell; a VPI above 255 marks an NNI header."""
    if isinstance(item, Cell):
        return item.header
    if not isinstance(item, Drop) or unit_of(item) != "cells" or len(item.octets) < CELL_SIZE:
        return None
    # Without a VC the node gave no fields: the header is read as a UNI's.
    vc = _of_atm(item.vc)
    if vc is None:
        return CellHeader.unpack(item.octets)
    interface = Interface.NNI if vc[0] > _GREATEST_UNI_VPI else Interface.UNI
    return CellHeader.unpack(item.octets, interface)._replace(vpi=vc[0], vci=vc[1])


def oam_payload_of(item: Item) -> bytes | None:
    """The 48 octets of an OAM cell, or of a dropped OAM cell."""
    header = header_of(item)
    if header is None or not header.is_oam:
        return None
    assert isinstance(item, Cell | Drop)
    return item.octets[HEADER_SIZE:CELL_SIZE]


def unit_of(drop: Drop) -> str:
    """The unit of a drop: `cells`, `PDUs`, `packets` or `datagrams`; empty for the reason of a newer daemon."""
    return _UNITS.get(drop.reason, "")


def packet_of(item: Item) -> Packet | None:
    """The IP packet in a PDU or a frame, or in dropped octets."""
    if isinstance(item, Pdu):
        return item.packet
    if isinstance(item, FrameSeen):
        return packet_in(item)
    return _dropped_packet(item.octets, unit_of(item)) if isinstance(item, Drop) and item.octets else None


def packet_octets_of(item: Pdu | FrameSeen) -> bytes | None:
    """The octets of the IP packet in a PDU or a frame; None without a whole packet."""
    if isinstance(item, Pdu):
        return item.carried.octets if item.packet is not None else None
    return packet_octets(item) if packet_in(item) is not None else None


def flow_of(item: Item) -> Flow | None:
    """Protocol, addresses and ports of the packet, or of a session in its client's direction."""
    if isinstance(item, SessionChange):
        return _flow_of_session(item.protocol, item.client, item.service)
    packet = packet_of(item)
    return None if packet is None else packet.flow()


@lru_cache(maxsize=64)
def _dropped_packet(octets: bytes, unit: str) -> Packet | None:
    if unit == "PDUs":
        found = ip_packet_in(octets, bridged=True)
        return None if found is None else packet_from_beginning(found.octets)
    return packet_from_beginning(octets) if unit == "packets" else None


def packet_from_beginning(octets: bytes) -> Packet | None:
    """A packet whose end may be missing, with the lengths of the whole packet; None if the octets are no packet."""
    total = total_length(octets)
    missing = total - len(octets)
    if missing > 0:
        # The length field is made to fit, at its place in IPv4 or IPv6.
        at, length = (2, len(octets)) if octets[0] >> 4 == 4 else (4, len(octets) - 40)
        # `analyse` gets a packet whose header tells the length at hand.
        octets = octets[:at] + length.to_bytes(2, "big") + octets[at + 2:]
    try:
        packet = analyse(octets)
    except MalformedPacket:
        return None
    if missing <= 0:
        return packet
    packet.total_length = total
    # The data's length was computed from the cut packet.
    if packet.tcp is not None:
        packet.tcp.length += missing
    return packet


@lru_cache(maxsize=256)
def _flow_of_session(protocol: str, client: str, service: str) -> Flow | None:
    source, destination = _endpoint(client), _endpoint(service)
    if source is None or destination is None:
        return None
    return _PROTOCOLS.get(protocol.lower(), 0), *source, *destination


def _endpoint(text: str) -> tuple[bytes, int] | None:
    """Address and port of `10.0.0.1:80` or `[::1]:80`, as a node writes them; None for any other text."""
    address, _, port = text.rpartition(":")
    try:
        packed, number = ipaddress.ip_address(address.removeprefix("[").removesuffix("]")).packed, int(port)
    except ValueError:
        return None
    return (packed, number) if 0 <= number <= _GREATEST_PORT else None
