"""The packet analyser of figure 7: it reads the fields that the depot and the edge nodes need, in one pass.

Nearly all packets are IPv4 TCP without IP options, fragments or SYN. A single `Struct.unpack` reads such a packet.
The compiled `_packet.pyx` reads it octet by octet, and TCP SYNs and TCP over IPv6 as well. The views of `ip` and `tcp`
read the rest. All three give equal results (a test compares them).
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any

from atmdepot.wire.flows import (
    destination_of_key,
    flow_key,
    flow_of_key,
    reverse_key,
    service_of_key,
    source_of_key,
)
from atmdepot.wire.ip import PROTOCOL_TCP, PROTOCOL_UDP, Ipv4View, Ipv6View, MalformedPacket, ip_view
from atmdepot.wire.tcp import SYN, TcpView

if TYPE_CHECKING:
    from atmdepot.wire.flows import Flow, FlowKey
    from atmdepot.wire.offload import PlainFrame

# Skipped: identification, TTL and header checksum, which no caller needs.
_IPV4_TCP = Struct(">BBH2xH x B 2x 4s4s HHIIBBH")
_PLAIN_IPV4 = 0x45  # version 4 and a header of 5 words, so without options
_FRAGMENT_BITS = 0x3FFF  # MF and the fragment offset; DF may be set
_FIRST_GROUP, _GROUPS6 = 224, 0xFF


class TcpFields:
    """The TCP header's fields that state tracking reads.

    `length` is that of the data in octets; `window_scale` is the option's value, None without SYN or option.
    """

    __slots__ = ("acknowledgment", "flags", "length", "sequence", "window", "window_scale")

    def __init__(
        self, sequence: int, acknowledgment: int, flags: int, window: int, length: int, window_scale: int | None = None,
    ) -> None:
        self.sequence = sequence
        self.acknowledgment = acknowledgment
        self.flags = flags
        self.window = window
        self.length = length
        self.window_scale = window_scale

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TcpFields) and self._values() == other._values()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"TcpFields{self._values()}"

    def _values(self) -> tuple[object, ...]:
        return self.sequence, self.acknowledgment, self.flags, self.window, self.length, self.window_scale


class Arrival:
    """A packet that a port received, or a frame of several, and its way there.

    With a `frame`, `octets` is empty. `path` is the owner of the channel on which it came.
    """

    __slots__ = ("frame", "octets", "path")

    octets: bytes
    frame: PlainFrame | None
    path: Any


class Packet:
    """The fields of a packet. Ports are 0 for a packet without ports (ICMP, later fragments).

    `key` is the flow's as its sender sees it. `identification` is the IP identification of a fragment; `later` is True
    for a fragment that is not the first. `is_for_a_group` is True for a multicast destination, and in IPv4 for a
    broadcast or reserved destination (224.0.0.0 and up).
    """

    __slots__ = ("destination_port", "dscp", "fragment", "identification", "is_for_a_group", "key", "later", "protocol",
                 "source_port", "tcp", "total_length", "version")

    def __init__(
        self, version: int, protocol: int, dscp: int, source: bytes, destination: bytes, source_port: int,
        destination_port: int, total_length: int, fragment: bool, tcp: TcpFields | None, identification: int = 0,
        later: bool = False,
    ) -> None:
        self.version = version
        self.protocol = protocol
        self.dscp = dscp
        self.key: FlowKey = flow_key(protocol, source, source_port, destination, destination_port)
        self.source_port = source_port
        self.destination_port = destination_port
        self.total_length = total_length
        self.fragment = fragment
        self.tcp = tcp
        self.identification = identification
        self.later = later
        self.is_for_a_group = destination[0] >= _FIRST_GROUP if version == 4 else destination[0] == _GROUPS6

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Packet) and self._values() == other._values()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Packet{self._values()}"

    def _values(self) -> tuple[object, ...]:
        return (self.version, self.dscp, *self.flow(), self.total_length, self.fragment, self.tcp, self.identification,
                self.later)

    @property
    def source(self) -> bytes:
        """The sender's address, 4 or 16 octets."""
        return source_of_key(self.key)

    @property
    def destination(self) -> bytes:
        """The receiver's address, 4 or 16 octets."""
        return destination_of_key(self.key)

    def service(self) -> bytes:
        """The receiver's address and port, as octets of the packet's key."""
        return service_of_key(self.key)

    def flow(self) -> Flow:
        """The flow as its sender sees it."""
        return flow_of_key(self.key)

    def reverse_key(self) -> FlowKey:
        """The key of the flow as its receiver sees it."""
        return reverse_key(self.key)


def analyse(octets: bytes) -> Packet:
    """Read a packet; raise NotIp or MalformedPacket for octets that are no valid IP packet."""
    packet = quick(octets)
    return analyse_by_views(octets) if packet is None else packet


def quick_plainly(octets: bytes) -> Packet | None:
    """Read an IPv4 TCP packet without IP options, fragments or SYN; None for any other octets.

    `quick` is the compiled twin where there is a compiler, else this function.
    """
    # 40 octets are the shortest IPv4 and TCP headers.
    if len(octets) < 40 or octets[0] != _PLAIN_IPV4 or octets[9] != PROTOCOL_TCP:
        return None
    (_, tos, total, fragment, protocol, source, destination, sport, dport, seq, ack, offset, flags,
     window) = _IPV4_TCP.unpack_from(octets)
    data = total - 20 - (offset >> 4) * 4
    # A data offset below 5 words (0x50) is left to the views, which raise the error.
    if fragment & _FRAGMENT_BITS or total > len(octets) or data < 0 or offset < 0x50 or flags & SYN:
        return None
    return Packet(4, protocol, tos >> 2, source, destination, sport, dport, total, False,
                  TcpFields(seq, ack, flags, window, data))


def analyse_by_views(octets: bytes) -> Packet:
    """Read any IPv4 or IPv6 packet; raise NotIp or MalformedPacket for octets that are no valid IP packet."""
    ip = ip_view(octets)
    fragment = bool(ip.fragment_offset) or ip.more_fragments
    sport = dport = 0
    tcp = None
    # Only a first fragment has the ports.
    if ip.fragment_offset == 0 and ip.protocol == PROTOCOL_TCP:
        sport, dport, tcp = _tcp_fields(ip)
    elif ip.fragment_offset == 0 and ip.protocol == PROTOCOL_UDP:
        header = ip.payload[:8]
        if len(header) < 8:
            raise MalformedPacket(f"a UDP header has 8 octets, here are {len(header)}")
        sport, dport = int.from_bytes(header[:2], "big"), int.from_bytes(header[2:4], "big")
    return Packet(6 if isinstance(ip, Ipv6View) else 4, ip.protocol, ip.dscp, ip.source, ip.destination, sport, dport,
                  ip.total_length, fragment, tcp, ip.identification if fragment else 0, bool(ip.fragment_offset))


def _tcp_fields(ip: Ipv4View | Ipv6View) -> tuple[int, int, TcpFields]:
    view = TcpView(ip.payload)
    return view.source_port, view.destination_port, TcpFields(
        # The window scale option is valid only in a SYN (RFC 7323 section 2.2).
        view.sequence, view.acknowledgment, view.flags, view.window, len(view.octets) - view.header_length,
        view.window_scale if view.flags & SYN else None)


def quick_frame_plainly(frame: PlainFrame) -> Packet | None:
    """Read the headers of a frame, whose data is that of all its packets; None as `quick`."""
    return quick_plainly(frame.whole())


if TYPE_CHECKING:
    quick, quick_frame = quick_plainly, quick_frame_plainly
else:
    try:
        from atmdepot.wire._packet import quick, quick_frame
    except ImportError:
        quick, quick_frame = quick_plainly, quick_frame_plainly
