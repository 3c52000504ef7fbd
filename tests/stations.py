"""A server on an Ethernet, in memory: it answers for its MAC address, and takes and sends packets in frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.drops import Drops
from atmdepot.wire.arp import REPLY, REQUEST, Arp, parse_arp
from atmdepot.wire.discovery import ADVERTISEMENT, SOLICITATION, Discovery, is_discovery, parse_discovery
from atmdepot.wire.ethernet import BROADCAST, Frame, mac_of, parse_frame
from atmdepot.wire.frame_records import record_of, records
from atmdepot.wire.llc import ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6
from atmdepot.wire.offload import HEADER_LENGTH, cut
from tests.frames import unmoved

if TYPE_CHECKING:
    from atmdepot.config.model import Network

DEPOT_MAC = mac_of("depot")
DEPOT_ADDRESSES = (bytes((10, 60, 0, 1)), bytes.fromhex("fd000060") + bytes(11) + b"\x01")
MTU = 9180


class StationPort:
    """The station's interface."""

    is_timed = False

    def __init__(self) -> None:
        self.out: list[bytes] = []
        self.drops = Drops()

    def transmit(self, now: int) -> bytes:
        """The frames that it sends."""
        del now
        octets = b"".join(self.out)
        self.out.clear()
        return octets

    def send(self, frame: Frame) -> None:
        """Send a frame."""
        self.out.append(record_of(frame.pack()))


class Station:
    """A server; `answers` is False for one that does not answer for its MAC address."""

    def __init__(self, network: Network, name: str) -> None:
        server = network.servers[name]
        self.name = name
        self.mac = mac_of(name) if server.mac is None else bytes.fromhex(server.mac.replace(":", ""))
        self.addresses = [address.packed for address in server.address]
        assert server.port is not None
        self.port = StationPort()
        self.links = {server.port: self.port}
        self.drops = Drops()
        self.answers = True
        self.asked = 0
        self._packets: list[bytes] = []

    def packet_from_tun(self, octets: bytes, now: int) -> None:
        """Send a packet to the depot."""
        del now
        ethertype = ETHERTYPE_IPV6 if octets[:1] and octets[0] >> 4 == 6 else ETHERTYPE_IPV4
        self.port.send(Frame(DEPOT_MAC, self.mac, ethertype, octets))

    def octets_from_port(self, port: str, octets: bytes, now: int) -> None:
        """Take frames."""
        del port, now
        for record in records(octets):
            frame = parse_frame(record[HEADER_LENGTH:])
            if frame.destination not in (self.mac, BROADCAST) and frame.destination[:2] != b"\x33\x33":
                continue
            if frame.ethertype == ETHERTYPE_ARP:
                self._take_arp(parse_arp(frame.payload))
            elif frame.ethertype == ETHERTYPE_IPV6 and is_discovery(frame.payload):
                self._take_discovery(parse_discovery(frame.payload))
            elif frame.destination == self.mac:
                self._packets += cut(unmoved(record))

    def _take_arp(self, message: Arp) -> None:
        if message.operation == REQUEST and message.target in self.addresses:
            self.asked += 1
            if self.answers:
                answer = Arp(REPLY, self.mac, message.target, message.sender_mac, message.sender)
                self.port.send(Frame(message.sender_mac, self.mac, ETHERTYPE_ARP, answer.pack()))

    def _take_discovery(self, message: Discovery) -> None:
        if message.kind == SOLICITATION and message.target in self.addresses and message.mac is not None:
            self.asked += 1
            if self.answers:
                answer = Discovery(ADVERTISEMENT, message.target, message.source, message.target, self.mac, True, True)
                self.port.send(Frame(message.mac, self.mac, ETHERTYPE_IPV6, answer.pack()))

    def take_packets(self) -> list[bytes]:
        """The packets that came for the server."""
        packets, self._packets = self._packets, []
        return packets

    def next_timer(self) -> int | None:
        """None: it has no timers."""
        return None

    def handle_timer(self, now: int) -> None:
        """Do nothing."""
