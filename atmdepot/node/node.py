"""The common base of all nodes: ports of a bearer, a TUN device with packets, and counters."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from atmdepot.drops import DropReason, Drops
from atmdepot.wire.icmp import no_route, packet_too_big
from atmdepot.wire.ip import MalformedPacket, NotIp
from atmdepot.wire.packet import analyse_by_views, quick, quick_frame

if TYPE_CHECKING:
    from collections.abc import Mapping

    from atmdepot.atm.timers import TimerWheel
    from atmdepot.bearer.base import Port
    from atmdepot.config.model import Network
    from atmdepot.drops import DropObserver, OnChannel
    from atmdepot.wire.offload import PlainFrame
    from atmdepot.wire.packet import Packet


class Observer:
    """An observer of a node's events. Any number may subscribe; each overrides the methods that it needs."""

    def dropped(
        self, link: str, reason: DropReason, count: int, octets: bytes | memoryview, channel: OnChannel | None,
    ) -> None:
        """Note a drop by a link, or by the node itself when `link` is empty; see `Drops.count`."""

    def session_changed(self, session: Any, event: str, why: str) -> None:
        """Note an event of a session at the depot (`SessionEvent`)."""


class DataPath:
    """The interface of a node for the pump: packets and octets in, octets and packets out, timers. Times in ns.

    Nodes derive from it, and so do taps in front of a node. It is a class, not a protocol, so that compiled code calls
    the methods in C.
    """

    def begin(self) -> None:
        """Note that a burst begins, or continues after work that may have taken long."""

    def packets_from_host(self, packets: list[bytes | PlainFrame], now: int) -> None:
        """Take packets that the TUN device gave, and frames of several packets."""
        raise NotImplementedError

    def octets_from_port(self, name: str, octets: bytes, now: int) -> None:
        """Take octets that a port gave, of its bearer's kind and whole."""
        raise NotImplementedError

    def transmit(self, port: int, now: int) -> bytes:
        """Remove and return the octets for a port, in order; `port` is its number among the node's ports."""
        raise NotImplementedError

    def fill(self, name: str, count: int) -> bytes:
        """A datagram of `count` units of filling for a port."""
        raise NotImplementedError

    def take_packets(self) -> list[bytes | PlainFrame]:
        """The packets for the TUN device, in order, and frames of them; they are the caller's now."""
        raise NotImplementedError

    def handle_timer(self, now: int) -> None:
        """Do the work that is due."""
        raise NotImplementedError


class Node(DataPath):
    """A node's data path, without sockets or clock. Times in ns."""

    def __init__(self, network: Network, name: str) -> None:
        """Make the node `name` of a VC table."""
        self.network = network
        self.name = name
        self.drops = Drops()
        self.links: Mapping[str, Port] = {}
        self._ports_by_number: list[Port] = []
        self.ready: list[int] = []
        """The numbers of the ports that have output; the pump empties it."""
        self.urgent = False
        """True when a timer was set that no traffic may put off; the pump clears it as it handles timers."""
        self._subscribers: dict[Observer, list[tuple[Drops, DropObserver]]] = {}
        self.packets_out: list[bytes | PlainFrame] = []
        self.rx_packets = self.tx_packets = self.rx_octets = self.tx_octets = 0
        self._addresses = {address.version: address.packed for address in network.nodes[name].address}

    def packet_from_tun(self, octets: bytes, now: int) -> None:
        """Take a packet from the TUN device."""
        raise NotImplementedError

    def use_links(self, links: Mapping[str, Port]) -> None:
        """Take over the ports of the node's links; their order numbers them."""
        self.links = links
        self._ports_by_number = list(links.values())
        for number, port in enumerate(self._ports_by_number):
            port.number, port.ready = number, self.ready

    def keep_frames(self, wanted: bool) -> None:
        """Have received packets that follow one another become frames, for a TUN device that takes them."""
        for port in self._ports_by_number:
            port.keep_frames(wanted)

    def packets_from_host(self, packets: list[bytes | PlainFrame], now: int) -> None:
        """Take packets that the TUN device gave, and frames of several packets."""
        for packet in packets:
            if isinstance(packet, bytes):
                self.packet_from_tun(packet, now)
            else:
                self.frame_from_tun(packet, now)

    def frame_from_tun(self, frame: PlainFrame, now: int) -> None:
        """Take a frame from the TUN device: as a whole if that has the effect of its packets, else packet by packet."""
        packet = quick_frame(frame)
        if packet is not None and self._takes_frame(frame, packet, now):
            self.rx_packets += frame.count
            self.rx_octets += frame.total()
            return
        for octets in frame.packets():
            self.packet_from_tun(octets, now)

    def _takes_frame(self, frame: PlainFrame, packet: Packet, now: int) -> bool:
        """Handle a frame, whose headers are in `packet`, as a whole; False, and no change, where that cannot be."""
        return False

    def transmit(self, port: int, now: int) -> bytes:
        """Remove and return the octets for a port, in order."""
        of: Port = self._ports_by_number[port]
        return of.transmit(now)

    def fill(self, name: str, count: int) -> bytes:
        """A datagram of `count` units of filling for a port."""
        return self.links[name].fill(count)

    def subscribe(self, observer: Observer) -> None:
        """Report drops to an observer from now on; an observer is subscribed once at most."""
        # Each `partial` is kept, since unsubscribing needs the same object.
        heard: list[tuple[Drops, DropObserver]] = []
        for name, drops in (("", self.drops), *((name, port.drops) for name, port in self.links.items())):
            hear = partial(observer.dropped, name)
            drops.subscribe(hear)
            heard.append((drops, hear))
        self._subscribers[observer] = heard

    def unsubscribe(self, observer: Observer) -> None:
        """Stop reporting drops to an observer."""
        for drops, hear in self._subscribers.pop(observer):
            drops.unsubscribe(hear)

    def start(self, now: int) -> None:
        """Begin to serve, when ports and device are open."""

    def reconfigure(self, network: Network, now: int) -> None:
        """Take over the values of a changed VC table that may change while the node runs; all or none of them."""
        raise NotImplementedError

    def next_timer(self) -> int | None:
        """The time (ns) at which `handle_timer` is next due, or None."""
        raise NotImplementedError

    def wheels(self) -> list[TimerWheel]:
        """The timer wheels that may hold very many items."""
        return []

    def stood_still(self, span: int, now: int) -> None:
        """Note that the process did not run for `span` ns until now, so that no peer counts as silent in that time."""

    def take_packets(self) -> list[bytes | PlainFrame]:
        """The packets for the TUN device, in order, and frames of them; they are the caller's now."""
        packets = self.packets_out[:]
        self.packets_out.clear()  # it stays the same list: a bearer may put packets into it, too
        self.tx_packets += len(packets)
        for packet in packets:
            if isinstance(packet, bytes):
                octets = packet
                self.tx_octets += len(octets)
            else:
                frame = packet
                self.tx_packets += frame.count - 1
                self.tx_octets += frame.total()
        return packets

    def analyse_from_tun(self, octets: bytes) -> Packet | None:
        """Count a packet from the TUN device, and read it as `analyse` does."""
        self.rx_packets += 1
        self.rx_octets += len(octets)
        return self.analyse(octets)

    def analyse(self, octets: bytes, channel: OnChannel | None = None) -> Packet | None:
        """Read a packet that came on `channel`, or from the TUN device when `channel` is None.

        Returns None, and counts a drop, for octets that are no valid IP packet and for a packet to a group.
        """
        packet = quick(octets)
        if packet is None:
            packet = self._analyse_slowly(octets, channel)
        # Nearly all paths lead from point to point, so a multicast packet has no single path.
        if packet is None or not packet.is_for_a_group or self.carries_group(packet, channel):
            return packet
        self.drops.count(DropReason.MULTICAST, 1, octets, channel)
        return None

    def carries_group(self, packet: Packet, channel: OnChannel | None) -> bool:
        """True when a packet for a group may pass: it came on `channel`, or from the TUN device when that is None."""
        return False

    def _analyse_slowly(self, octets: bytes, channel: OnChannel | None) -> Packet | None:
        try:
            return analyse_by_views(octets)
        except NotIp:
            self.drops.count(DropReason.NOT_IP, 1, octets, channel)
        except MalformedPacket:
            self.drops.count(DropReason.MALFORMED, 1, octets, channel)
        return None

    def answer_too_big(self, octets: bytes, packet: Packet, mtu: int) -> None:
        """Report the path's MTU to the sender and drop the packet: fragmenting it would change its header."""
        self.drops.count(DropReason.TOO_BIG, 1, octets)
        # A node without an address of this IP version answers in the name of the packet's destination.
        answer = packet_too_big(octets, mtu, self._addresses.get(packet.version, packet.destination))
        if answer is not None:
            self.packets_out.append(answer)

    def answer_no_route(self, octets: bytes, packet: Packet) -> None:
        """Report to the sender that no path leads to its packet's destination, and drop the packet."""
        self.drops.count(DropReason.NO_ROUTE, 1, octets)
        answer = no_route(octets, self._addresses.get(packet.version, packet.destination))
        if answer is not None:
            self.packets_out.append(answer)
