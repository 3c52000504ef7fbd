"""A server with an address of its own, in memory: its kernel routes, and its packets have its own ends.

For the tests it takes and sends packets with the service's end in place of its own: `packet_from_tun` and
`take_packets` have the packets that the client sees. What comes must have the right checksums.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.drops import Drops
from atmdepot.wire.ip import header_chain
from atmdepot.wire.rewriting import End, Rewriting
from tests.ip_packets import ICMP, ICMPV6, TCP, UDP, checksum

if TYPE_CHECKING:
    from atmdepot.config.model import Network


class RoutedServer:
    """A server behind the host of a depot. It has one service; all its clients' ends are told by the first packet."""

    def __init__(self, network: Network, name: str) -> None:
        server = network.servers[name]
        self.name = name
        self.addresses = {len(address.packed): address.packed for address in server.address}
        self._services = {len(vip.packed): End(vip.packed, service.ports[0] if server.listen_port else 0)
                          for service in network.services.values() if name in service.servers for vip in service.vip}
        self._port = server.listen_port or 0
        self.links: dict[str, object] = {}
        self.drops = Drops()
        self._packets: list[bytes] = []
        self._out: list[bytes] = []

    def is_for(self, octets: bytes) -> bool:
        """True for a packet to one of its addresses."""
        return destination(octets) in self.addresses.values()

    def receive(self, octets: bytes) -> None:
        """Take a packet from the depot's host."""
        self._packets.append(octets)

    def take_packets(self) -> list[bytes]:
        """The packets that came for it, as the clients sent them."""
        packets, self._packets = self._packets, []
        return [self._as_sent(octets) for octets in packets]

    def _as_sent(self, octets: bytes) -> bytes:
        return Rewriting(None, self._services[len(destination(octets))]).packet(octets)

    def packet_from_tun(self, octets: bytes, now: int) -> None:
        """Send a packet, given with the service's end, from its own."""
        del now
        own = End(self.addresses[len(destination(octets))], self._port)
        self._out.append(Rewriting(own, None).packet(octets))

    def sent(self) -> list[bytes]:
        """The packets that it has sent."""
        out, self._out = self._out, []
        return out

    def next_timer(self) -> int | None:
        """None: it has no timers."""
        return None

    def handle_timer(self, now: int) -> None:
        """Do nothing."""


def destination(octets: bytes) -> bytes:
    """The address to which a packet goes."""
    return octets[16:20] if octets[0] >> 4 == 4 else octets[24:40]


def has_right_checksums(octets: bytes) -> bool:
    """True for a whole packet whose checksums are right, counted from scratch."""
    if octets[0] >> 4 == 4:
        head = (octets[0] & 15) * 4
        protocol, behind, addresses = octets[9], octets[head:], octets[12:20]
        if checksum(octets[:head]):
            return False
    else:
        chain = header_chain(octets, len(octets))
        protocol, behind, addresses = chain.protocol, octets[chain.offset:], octets[8:40]
    if protocol == ICMP:
        return not checksum(behind)
    if protocol in (TCP, ICMPV6) or (protocol == UDP and behind[6:8] != b"\0\0"):
        return not checksum(addresses + len(behind).to_bytes(4, "big") + bytes((0, 0, 0, protocol)) + behind)
    return True
