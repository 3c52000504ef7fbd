"""A node as a station of the Ethernet that a VP bridges (RFC 2684): packets to frames and back, ARP, discovery.

The node has a MAC address on each such VP, and answers for its own IP addresses. It sends packets to the far node's
`address` of the VC table, which it resolves; where the table has none, to the station that was last heard, and until
then to all stations. Questions go out on the default VC, answers on the VC of their question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from atmdepot.bearer.neighbours import Neighbours
from atmdepot.drops import DropReason
from atmdepot.wire.arp import REPLY, REQUEST, Arp, ArpError, parse_arp
from atmdepot.wire.bridging import Fcs, FcsError, bridged_sdu, frame_in
from atmdepot.wire.discovery import (
    ADVERTISEMENT,
    ALL_NODES,
    SOLICITATION,
    UNSPECIFIED,
    Discovery,
    DiscoveryError,
    group_of,
    is_discovery,
    link_local,
    mac_of_group,
    parse_discovery,
)
from atmdepot.wire.ethernet import BROADCAST, Frame, FrameError, is_group, mac_of, parse_frame
from atmdepot.wire.llc import ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, EncapsulationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from atmdepot.atm.vc import Vc
    from atmdepot.config.links import PermanentVc, Vp
    from atmdepot.config.model import Network
    from atmdepot.drops import Drops

HEARD = 300_000_000_000
"""So long after its last frame (ns), a station that was only heard is sent to."""
_NO_MAC, _NO_IP = bytes(6), bytes(4)
_IPV4_HEADER, _IPV6_HEADER = 20, 40
_ETHERTYPES = {4: ETHERTYPE_IPV4, 6: ETHERTYPE_IPV6}


class _Held(NamedTuple):
    """A packet that waits, and what it is sent with."""

    packet: bytes
    vc: Vc
    clp: int


class Outgoing(NamedTuple):
    """An SDU to send."""

    sdu: bytes
    vc: Vc
    clp: int


class Bridge:
    """The node's end of a bridged VP or permanent VC."""

    def __init__(
        self, mac: bytes, own: Iterable[bytes], far: Iterable[bytes], fcs: Fcs, home: Vc, drops: Drops,
    ) -> None:
        """Be the station `mac` with the packed IP addresses `own`, whose far node has the addresses `far`.

        `home` is the VC for questions.
        """
        self.mac = mac
        self.fcs = fcs
        self.neighbours: Neighbours[_Held] = Neighbours()
        self.heard: bytes | None = None
        """The MAC address of the station heard last."""
        self._link_local = link_local(mac)
        self._own = {len(address): address for address in own}
        self._answered_for = {*self._own.values(), self._link_local}
        self._next_hops = {len(address): address for address in far}
        self._home = home
        self._drops = drops
        self._heard_until = 0
        self._held: list[_Held] = []
        self._out: list[Outgoing] = []

    # Packets to frames.

    def hold(self, packet: bytes, vc: Vc, clp: int) -> None:
        """Take a packet to send; `outgoing` sends it, which knows the time."""
        self._held.append(_Held(packet, vc, clp))

    def outgoing(self, now: int) -> list[Outgoing]:
        """The SDUs to send now: frames of packets, answers and questions."""
        held, self._held = self._held, []
        for item in held:
            version = item.packet[0] >> 4 if item.packet else 0
            mac = self._station(version, item, now) if version in _ETHERTYPES else None
            if mac is not None:
                self._send_packet(mac, item)
        for address, mac in self.neighbours.questions(now):
            self._ask(address, mac)
        self._count_failed()
        out, self._out = self._out, []
        return out

    def _station(self, version: int, item: _Held, now: int) -> bytes | None:
        """The station for a packet; None when the packet waits for an answer."""
        next_hop = self._next_hops.get(4 if version == 4 else 16)
        if next_hop is not None:
            return self.neighbours.resolve(next_hop, item, now)
        return self.heard if self.heard is not None and now < self._heard_until else BROADCAST

    def _send_packet(self, mac: bytes, item: _Held) -> None:
        self._send(Frame(mac, self.mac, _ETHERTYPES[item.packet[0] >> 4], item.packet), item.vc, item.clp)

    def _send(self, frame: Frame, vc: Vc, clp: int = 0) -> None:
        self._out.append(Outgoing(bridged_sdu(frame.pack(), vc.encapsulation, self.fcs), vc, clp))

    def _ask(self, address: bytes, mac: bytes | None) -> None:
        """Send a question for an address: to all stations, or to the station that had it."""
        if len(address) == 4:
            request = Arp(REQUEST, self.mac, self._own.get(4, _NO_IP), _NO_MAC, address)
            self._send(Frame(mac or BROADCAST, self.mac, ETHERTYPE_ARP, request.pack()), self._home)
            return
        group = group_of(address)
        question = Discovery(SOLICITATION, self._own.get(16, self._link_local), group if mac is None else address,
                             address, self.mac)
        self._send(Frame(mac or mac_of_group(group), self.mac, ETHERTYPE_IPV6, question.pack()), self._home)

    def _count_failed(self) -> None:
        for packet, vc, _ in self.neighbours.failed:
            self._drops.count(DropReason.UNRESOLVED, 1, packet, vc)
        self.neighbours.failed.clear()

    # Frames to packets.

    def receive(self, sdu: bytes, vc: Vc, now: int) -> bytes:
        """The IP packet in an SDU; empty when there is none for the node (drops are counted)."""
        try:
            frame = parse_frame(frame_in(sdu, vc.encapsulation, self.fcs))
        except FcsError:
            return self._drop(DropReason.BAD_FCS, sdu, vc)
        except (EncapsulationError, FrameError):
            return self._drop(DropReason.UNKNOWN_ENCAPSULATION, sdu, vc)
        is_ours = frame.destination == self.mac or is_group(frame.destination)
        if not is_ours or is_group(frame.source) or frame.source == self.mac:
            return self._drop(DropReason.OTHER_STATION, sdu, vc)
        try:
            return self._take(frame, sdu, vc, now)
        except (ArpError, DiscoveryError):
            return self._drop(DropReason.BAD_NEIGHBOUR, sdu, vc)

    def _take(self, frame: Frame, sdu: bytes, vc: Vc, now: int) -> bytes:
        if frame.ethertype == ETHERTYPE_ARP:
            self._take_arp(parse_arp(frame.payload), vc, now)
        elif frame.ethertype not in (ETHERTYPE_IPV4, ETHERTYPE_IPV6) or not frame.payload:
            return self._drop(DropReason.UNKNOWN_ETHERTYPE, sdu, vc)
        elif frame.ethertype == ETHERTYPE_IPV6 and is_discovery(frame.payload):
            self._take_discovery(parse_discovery(frame.payload), vc, now)
        else:
            self.heard, self._heard_until = frame.source, now + HEARD
            return without_padding(frame.payload)
        self.heard, self._heard_until = frame.source, now + HEARD
        return b""

    def _drop(self, reason: DropReason, sdu: bytes, vc: Vc) -> bytes:
        self._drops.count(reason, 1, sdu, vc)
        return b""

    def _take_arp(self, message: Arp, vc: Vc, now: int) -> None:
        """Learn from a message, and answer it if it asks for an address of the node (RFC 826)."""
        self._learn(message.sender, message.sender_mac, now)
        if message.operation == REQUEST and message.target in self._answered_for:
            answer = Arp(REPLY, self.mac, message.target, message.sender_mac, message.sender)
            self._send(Frame(message.sender_mac, self.mac, ETHERTYPE_ARP, answer.pack()), vc)

    def _take_discovery(self, message: Discovery, vc: Vc, now: int) -> None:
        """Learn from a message, and answer it if it asks for an address of the node (RFC 4861 section 7.2)."""
        if message.kind == ADVERTISEMENT:
            # An answer to a single node need not repeat the MAC address to which it was asked.
            mac = message.mac or self.neighbours.mac_of(message.target)
            if mac is not None:
                self._learn(message.target, mac, now)
            return
        if message.mac is not None:
            self._learn(message.source, message.mac, now)
        if message.target not in self._answered_for:
            return
        # A node that asks whether the address is free has no address of its own yet: all nodes are told.
        to_all = message.source == UNSPECIFIED
        destination = ALL_NODES if to_all else message.source
        answer = Discovery(ADVERTISEMENT, message.target, destination, message.target, self.mac, not to_all, True)
        mac = mac_of_group(ALL_NODES) if to_all else message.mac or self.heard or BROADCAST
        self._send(Frame(mac, self.mac, ETHERTYPE_IPV6, answer.pack()), vc)

    def _learn(self, address: bytes, mac: bytes, now: int) -> None:
        for item in self.neighbours.learn(address, mac, now):
            self._send_packet(mac, item)

    # In time.

    @property
    def has_output(self) -> bool:
        """True when `outgoing` has answers or packets to send."""
        return bool(self._held or self._out)

    def next_timer(self) -> int | None:
        """The time (ns) at which a neighbour is asked again, or given up, or None."""
        return self.neighbours.next_timer()

    @property
    def far_mac(self) -> bytes | None:
        """The MAC address of the far node, if it is known: by an answer, or by the frame heard last."""
        known = (self.neighbours.mac_of(address) for address in self._next_hops.values())
        return next((mac for mac in known if mac is not None), self.heard)


class Passage(Bridge):
    """The end of a bridged VP at a node with a TAP device: frames pass as they are; the kernel is the station."""

    def outgoing(self, now: int) -> list[Outgoing]:
        """The SDUs of the frames that were held."""
        held, self._held = self._held, []
        return [Outgoing(bridged_sdu(frame, vc.encapsulation, self.fcs), vc, clp) for frame, vc, clp in held]

    def receive(self, sdu: bytes, vc: Vc, now: int) -> bytes:
        """The frame in an SDU, without its FCS; empty when there is none (drops are counted)."""
        try:
            octets = frame_in(sdu, vc.encapsulation, self.fcs)
            self.heard = parse_frame(octets).source
        except FcsError:
            return self._drop(DropReason.BAD_FCS, sdu, vc)
        except (EncapsulationError, FrameError):
            return self._drop(DropReason.UNKNOWN_ENCAPSULATION, sdu, vc)
        return octets


def without_padding(packet: bytes) -> bytes:
    """An IP packet without the padding of its frame, by its own length; as it is where that length cannot be."""
    version = packet[0] >> 4 if len(packet) >= _IPV4_HEADER else 0
    if version == 4:
        length = int.from_bytes(packet[2:4], "big")
        return packet[:length] if length >= _IPV4_HEADER else packet
    return packet[:_IPV6_HEADER + int.from_bytes(packet[4:6], "big")] if version == 6 else packet


def bridge_of(network: Network, node: str, name: str, circuit: Vp | PermanentVc, home: Vc, drops: Drops) -> Bridge:
    """The end at `node` of a bridged VP or permanent VC of a VC table."""
    far = next(end for end in circuit.ends if end != node)
    kind = Bridge if network.nodes[node].tap is None else Passage
    return kind(mac_of(network.name, node, name), _packed(network, node), _packed(network, far), Fcs(circuit.fcs), home,
                drops)


def _packed(network: Network, node: str) -> list[bytes]:
    # Reversed, so that the first address of each version stays in a dict.
    return [address.packed for address in reversed(network.nodes[node].address)]
