"""The packet that `explain` is asked about: its description in a few fields, and the octets a client would send."""

from __future__ import annotations

from struct import pack
from typing import Annotated, Literal

from msgspec import Meta, Struct

from atmdepot.config.units import IpAddress
from atmdepot.wire.ip import PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP, ip_packet
from atmdepot.wire.tcp import SYN

_ECHO_REQUEST, _ECHO_REQUEST_ICMPV6 = 8, 128  # types (RFC 792, RFC 4443)
_WINDOW = 65_535
_HEADERS = {4: 20, 6: 40}  # octets, by IP version
_UPPER_HEADERS = {"tcp": 20, "udp": 8, "icmp": 8}

Port = Annotated[int, Meta(ge=0, le=65535)]


class Question(Struct, forbid_unknown_fields=True, kw_only=True):
    """A description of a client's packet, as the control socket carries it.

    `length` is the length of the whole IP packet in octets; 0 means the least, without data. `flags` apply to TCP only;
    ICMP has no ports and is an echo request.
    """

    source: str
    destination: str
    source_port: Port = 0
    destination_port: Port = 0
    protocol: Literal["tcp", "udp", "icmp"] = "tcp"
    flags: Annotated[int, Meta(ge=0, le=255)] = SYN
    dscp: Annotated[int, Meta(ge=0, le=63)] = 0
    length: Annotated[int, Meta(ge=0, le=65535)] = 0

    def packet(self) -> bytes:
        """The packet; its data is zeros, and checksums above IP are 0, since no depot reads them.

        Raises ValueError for invalid addresses, addresses of different IP versions, and a length below the headers'.
        """
        source, destination = IpAddress.parse(self.source), IpAddress.parse(self.destination)
        if source.version != destination.version:
            raise ValueError(f"{source} is IPv{source.version} and {destination} is IPv{destination.version}: "
                             "write two addresses of one version")
        headers = _HEADERS[source.version] + _UPPER_HEADERS[self.protocol]
        if 0 < self.length < headers:
            raise ValueError(f"a length of {self.length} octets is less than the {headers} of the headers of "
                             f"IPv{source.version} and {self.protocol.upper()}")
        protocol, upper = self._upper(source.version, max(0, self.length - headers))
        # The DSCP is the upper six bits of the Traffic Class (RFC 2474).
        return ip_packet(protocol, source.packed, destination.packed, upper, self.dscp << 2)

    def _upper(self, version: int, data: int) -> tuple[int, bytes]:
        """The protocol's number, and its header with this many octets of data."""
        ports = self.source_port, self.destination_port
        if self.protocol == "tcp":
            return PROTOCOL_TCP, pack(">HHIIBBHHH", *ports, 0, 0, 5 << 4, self.flags, _WINDOW, 0, 0) + bytes(data)
        if self.protocol == "udp":
            return PROTOCOL_UDP, pack(">HHHH", *ports, 8 + data, 0) + bytes(data)
        protocol, kind = (PROTOCOL_ICMP, _ECHO_REQUEST) if version == 4 else (PROTOCOL_ICMPV6, _ECHO_REQUEST_ICMPV6)
        return protocol, pack(">BBHHH", kind, 0, 0, 1, 1) + bytes(data)
