"""The Ethernet bearer: a packet goes out as it is, in a frame to its server's MAC address, and comes back in one.

A server is a station at a port, which is an interface of the depot's: the patent's physical ports, where each server
has one of its own, or its Ethernet, where several share one. All its sessions share the path to it. Its MAC address is
the table's, or the one that answers for its own IP address (ARP, neighbour discovery); while none answers, the way to
it is in trouble. What a stranger claims of a server is counted, and the server is asked: only an answer is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from atmdepot.bearer.base import Bearer, Counter, Path, PathCondition, PathText, Port, PortCounts
from atmdepot.bearer.bridged import without_padding
from atmdepot.bearer.neighbours import PAUSE, Neighbours
from atmdepot.drops import OF_FRAMES, DropReason, Drops
from atmdepot.errors import AtmdepotError
from atmdepot.wire.arp import REPLY, REQUEST, Arp, ArpError, parse_arp
from atmdepot.wire.discovery import (
    ADVERTISEMENT,
    SOLICITATION,
    Discovery,
    DiscoveryError,
    group_of,
    is_discovery,
    link_local,
    mac_of_group,
    parse_discovery,
)
from atmdepot.wire.ethernet import BROADCAST, HEADER_SIZE, Frame, mac_text
from atmdepot.wire.frame_records import BEFORE_PACKET, LENGTH_SIZE, NO_WORK, TAGGED, moved, record_of, records
from atmdepot.wire.ip import MalformedPacket, address_text
from atmdepot.wire.llc import ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6
from atmdepot.wire.offload import HEADER_LENGTH, cut, frame_of
from atmdepot.wire.packet import Arrival

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from atmdepot.config.contract import ServiceCategory
    from atmdepot.config.model import Network, Server
    from atmdepot.config.qos import QosMap
    from atmdepot.wire.flows import FlowKey
    from atmdepot.wire.offload import PlainFrame

CHECKED = 10_000_000_000
"""So long after its last answer (ns), a station is asked again."""
LOOK = 1_000_000_000
"""The time (ns) between two looks at the stations and the interface."""
_USUAL_MTU = 1500
_MOST_PADDING = 46
"""Octets of the longest payload that a LAN pads (60 octets of frame without FCS)."""
_NO_MAC, _NO_IP = bytes(6), bytes(4)
_ETHERTYPES = {4: ETHERTYPE_IPV4.to_bytes(2, "big"), 6: ETHERTYPE_IPV6.to_bytes(2, "big")}
_IP = frozenset(_ETHERTYPES.values())
_SHARED = "the station's only path, which all its sessions share"


class StationState(NamedTuple):
    """A station, for `show`: its MAC address (empty while it is not known), whose word that is, and its counts."""

    node: str
    port: str
    address: str
    mac: str
    by: str
    trouble: str
    tx_frames: int
    rx_frames: int
    changes: int
    claims: int


class EthernetPath(Path):
    """The path to a station, and what is known of the station."""

    __slots__ = ("_head4", "_head6", "address", "changes", "claims", "lan", "mac", "pinned", "rx_frames", "trouble",
                 "tx_frames")

    def __init__(self, node: str, lan: EthernetPort) -> None:
        self.lan = lan
        self.node, self.port, self.mtu = node, lan.name, lan.mtu
        self.owner, self.is_management, self.is_routed = None, False, False
        self.address = b""
        self.mac: bytes | None = None
        self.pinned = False  # the MAC address is the table's
        self.trouble = ""
        self.tx_frames = self.rx_frames = self.changes = self.claims = 0
        self._head4 = self._head6 = b""

    @property
    def channel(self) -> tuple[int, ...]:
        """No numbers: the MAC address tells it from others."""
        return ()

    @property
    def label(self) -> str:
        """The MAC address."""
        return "unresolved" if self.mac is None else mac_text(self.mac)

    def lead(self, own: bytes, mac: bytes | None) -> None:
        """Lead to a MAC address from now on, or hold packets back while there is none; `own` is the port's."""
        self.mac = mac
        self._head4 = b"" if mac is None else NO_WORK + mac + own + _ETHERTYPES[4]
        self._head6 = b"" if mac is None else NO_WORK + mac + own + _ETHERTYPES[6]

    def send(self, packet: bytes, clp: int) -> None:  # Ethernet has no mark of loss
        """Put a packet into a frame."""
        lan = self.lan
        head = self._head6 if packet[0] >> 4 == 6 else self._head4
        if not head:
            lan.hold(self, packet)
            return
        self.tx_frames += 1
        lan.tx_frames += 1
        if not lan.out:
            lan.ready.append(lan.number)
        lan.out.append((len(packet) + BEFORE_PACKET).to_bytes(LENGTH_SIZE, "big"))
        lan.out.append(head)
        lan.out.append(packet)

    def send_frame(self, frame: PlainFrame, clp: int) -> None:
        """Put the packets of a frame into an Ethernet frame that the kernel, or the card, cuts."""
        if self.mac is None:
            for packet in frame.packets():
                self.send(packet, clp)
            return
        lan, octets = self.lan, frame.octets()
        self.tx_frames += frame.count
        lan.tx_frames += frame.count
        if not lan.out:
            lan.ready.append(lan.number)
        head = self._head6 if octets[HEADER_LENGTH] >> 4 == 6 else self._head4
        lan.out.append((len(octets) + HEADER_SIZE).to_bytes(LENGTH_SIZE, "big"))
        lan.out.append(moved(octets[:HEADER_LENGTH], HEADER_SIZE) + head[HEADER_LENGTH:])
        lan.out.append(memoryview(octets)[HEADER_LENGTH:])


class _Held(NamedTuple):
    """A packet that waits for the MAC address of its station."""

    path: EthernetPath
    packet: bytes


class EthernetPort(Port):
    """An interface of the depot's, with the stations at it. Its octets are those of `wire/frame_records`."""

    medium = "frames"
    reasons = OF_FRAMES

    def __init__(self, name: str) -> None:
        Port.__init__(self, name, Drops())  # not by super(), which the compiled module does not have
        self.mac = _NO_MAC
        self.mtu = _USUAL_MTU
        self.stations: dict[str, EthernetPath] = {}
        self.out: list[Any] = []
        self.tx_frames = self.rx_frames = 0
        self.trouble = ""
        """The trouble of the interface itself; its link sets it."""
        self.keeps_frames = False
        self.told: Callable[[EthernetPath, int], None] | None = None
        """Called with a path and the time (ns) when its trouble changes."""
        self._own: dict[int, bytes] = {}
        self._known: dict[bytes, EthernetPath] = {}
        self._held: list[_Held] = []
        self._neighbours: Neighbours[_Held] = Neighbours(CHECKED)
        self._is_open = False
        self._check_at = 0
        self._told_trouble = ""

    def peer(self) -> str:
        """The stations."""
        return ", ".join(self.stations)

    def frames_in(self, octets: bytes) -> list[bytes]:
        """The frames as they are on the wire: those of many segments cut, with their checksums."""
        found = []
        for record in records(octets):
            header, frame = record[:HEADER_LENGTH], record[HEADER_LENGTH:]
            try:
                packets = cut(moved(header, -HEADER_SIZE) + frame[HEADER_SIZE:]) if header != NO_WORK else []
            except MalformedPacket:
                packets = []
            found += [frame[:HEADER_SIZE] + packet for packet in packets] or [frame]
        return found

    # The interface, as its link finds it.

    def opened(self, mac: bytes, addresses: Iterable[bytes], mtu: int) -> None:
        """Take over the interface's MAC address, its IP addresses (packed, the first of a version counts) and its MTU.

        From now on the stations are asked for.
        """
        self.mac, self.mtu, self._is_open = mac, mtu, True
        self._own = {16: link_local(mac)}
        for address in reversed(list(addresses)):
            self._own[len(address)] = address
        for path in self.stations.values():
            path.mtu = mtu
            self._lead(path, path.mac)

    def add(self, node: str, server: Server) -> EthernetPath:
        """Add a station, or take over what the VC table says of it now."""
        path = self.stations.get(node)
        if path is None:
            path = self.stations[node] = EthernetPath(node, self)
        address = server.address[0].packed if server.address else b""
        pinned = None if server.mac is None else bytes.fromhex(server.mac.replace(":", ""))
        if (address, pinned) != (path.address, path.mac if path.pinned else None):
            path.address, path.pinned = address, pinned is not None
            self._lead(path, pinned)
        return path

    def _lead(self, path: EthernetPath, mac: bytes | None) -> None:
        path.lead(self.mac, mac)
        self._known = {self.mac + other.mac + ethertype: other for other in self.stations.values()
                       if other.mac is not None for ethertype in _IP}

    # Out.

    def hold(self, path: EthernetPath, packet: bytes) -> None:
        """Keep a packet until `transmit`, which knows the time, asks for its station."""
        if not self._held and not self.out:
            self.ready.append(self.number)
        self._held.append(_Held(path, packet))

    def transmit(self, now: int) -> bytes:
        """Remove and return the records of the frames to send."""
        if self._held:
            self._resolve_held(now)
        octets = b"".join(self.out)
        self.out.clear()
        return octets

    def _resolve_held(self, now: int) -> None:
        held, self._held = self._held, []
        for item in held:
            if item.path.mac is not None:  # it was learnt meanwhile
                item.path.send(item.packet, 0)
            elif item.path.address:
                self._neighbours.resolve(item.path.address, item, now)
            else:
                self._neighbours.failed.append(item)
        self._ask(now)

    def _put(self, frame: Frame) -> None:
        if not self.out and not self._held:
            self.ready.append(self.number)
        self.tx_frames += 1
        self.out.append(record_of(frame.pack()))

    # In.

    def keep_frames(self, wanted: bool) -> None:
        """Have a TCP frame that holds several packets stay whole."""
        self.keeps_frames = wanted

    def receive(self, octets: bytes, now: int) -> list[Arrival]:
        """Take records; return the packets in their frames, each with the path to the station that sent it."""
        arrivals: list[Arrival] = []
        at, end = 0, len(octets)
        while at < end:
            begin = at + LENGTH_SIZE
            at = begin + int.from_bytes(octets[at:begin], "big")
            path = self._known.get(octets[begin + HEADER_LENGTH:begin + BEFORE_PACKET])
            if path is None:
                self._take(octets[begin + HEADER_LENGTH:at], now)
                continue
            packet = octets[begin + BEFORE_PACKET:at]
            if packet[:1] >= b"\x60" and is_discovery(packet):
                self._take(octets[begin + HEADER_LENGTH:at], now)
                continue
            if len(packet) <= _MOST_PADDING:
                packet = without_padding(packet)
            if octets[begin] & 1 or octets[begin + 1]:
                self._take_offloaded(path, octets[begin:begin + HEADER_LENGTH], packet, arrivals)
                continue
            path.rx_frames += 1
            self.rx_frames += 1
            arrival = Arrival()
            arrival.octets, arrival.frame, arrival.path = packet, None, path
            arrivals.append(arrival)
        return arrivals

    def _take_offloaded(self, path: EthernetPath, header: bytes, packet: bytes, arrivals: list[Arrival]) -> None:
        """Take a frame on which work is left: to complete its checksum, and to cut it into packets."""
        octets = moved(header, -HEADER_SIZE) + packet
        frame = frame_of(octets) if self.keeps_frames and header[1] else None
        if frame is not None:
            packets, count = [b""], frame.count
        else:
            try:
                packets = cut(octets)
            except MalformedPacket:
                self.drops.count(DropReason.BAD_OFFLOAD, 1, packet)
                return
            count = len(packets)
        path.rx_frames += count
        self.rx_frames += count
        for each in packets:
            arrival = Arrival()
            arrival.octets, arrival.frame, arrival.path = each, frame, path
            arrivals.append(arrival)

    def _take(self, octets: bytes, now: int) -> None:
        """Take a frame that is no packet of a station: an answer, a claim, or to be dropped."""
        self.rx_frames += 1
        if len(octets) < HEADER_SIZE:
            self.drops.count(DropReason.TAGGED_FRAME if len(octets) == TAGGED else DropReason.CUT_FRAME, 1, octets)
            return
        destination, source, ethertype = octets[:6], octets[6:12], octets[12:14]
        payload = octets[HEADER_SIZE:]
        try:
            if ethertype == ETHERTYPE_ARP.to_bytes(2, "big"):
                self._take_arp(parse_arp(payload), destination == self.mac, octets, now)
                return
            if ethertype == _ETHERTYPES[6] and is_discovery(payload):
                self._take_discovery(parse_discovery(payload), destination == self.mac, octets, now)
                return
        except (ArpError, DiscoveryError):
            self.drops.count(DropReason.BAD_ANSWER, 1, octets)
            return
        if ethertype not in _IP:
            reason = DropReason.OTHER_FRAME
        elif destination != self.mac:
            reason = DropReason.NOT_FOR_US
        else:
            reason = DropReason.STRANGER if source != self.mac else DropReason.NOT_FOR_US
        self.drops.count(reason, 1, octets)

    # Stations and their MAC addresses.

    def _take_arp(self, message: Arp, is_ours: bool, octets: bytes, now: int) -> None:
        answers = is_ours and message.operation == REPLY and message.target == self._own.get(4, _NO_IP)
        self._heard(message.sender, message.sender_mac, answers, octets, now)

    def _take_discovery(self, message: Discovery, is_ours: bool, octets: bytes, now: int) -> None:
        if message.kind == ADVERTISEMENT:
            # An answer to a single node need not repeat the MAC address to which it was asked.
            self._heard(message.target, message.mac or octets[6:12], is_ours and message.solicited, octets, now)
        elif message.mac is not None:
            self._heard(message.source, message.mac, False, octets, now)

    def _heard(self, address: bytes, mac: bytes, answers: bool, octets: bytes, now: int) -> None:
        """Take word that a station is at a MAC address; only an answer to a question is believed."""
        for path in self.stations.values():
            if path.address != address:
                continue
            if path.mac == mac:
                if answers and not path.pinned:
                    self._neighbours.learn(address, mac, now)
            elif answers and path.mac is None and self._neighbours.is_asking(address):
                self._learn(path, mac, now)
            else:
                path.claims += 1
                self.drops.count(DropReason.CLAIMED, 1, octets, path)
                if not path.pinned:
                    self._neighbours.want(address, now, again=True)

    def _learn(self, path: EthernetPath, mac: bytes, now: int) -> None:
        path.changes += 1
        self._lead(path, mac)
        for item in self._neighbours.learn(path.address, mac, now):
            item.path.send(item.packet, 0)
        self._tell(path, now)

    def _ask(self, now: int) -> None:
        """Send the questions that are due; what waits for a station that does not answer is dropped."""
        asked = [path for path in self.stations.values() if path.address in self._neighbours and not path.pinned]
        for address, mac in self._neighbours.questions(now):
            self._put(self._question(address, mac))
        for item in self._neighbours.failed:
            self.drops.count(DropReason.UNRESOLVED, 1, item.packet, item.path)
        self._neighbours.failed.clear()
        for path in asked:
            if path.address not in self._neighbours:  # it was asked often enough
                self._lead(path, None)
                self._tell(path, now)
                self._neighbours.want(path.address, now + PAUSE)

    def _question(self, address: bytes, mac: bytes | None) -> Frame:
        """A question for a station's address: to all, or to the MAC address at which it was last."""
        own = self._own.get(len(address), _NO_IP)
        if len(address) == len(_NO_IP):
            message = Arp(REQUEST, self.mac, own, _NO_MAC, address)
            return Frame(BROADCAST if mac is None else mac, self.mac, ETHERTYPE_ARP, message.pack())
        group = group_of(address)
        asked = Discovery(SOLICITATION, own, group if mac is None else address, address, self.mac)
        return Frame(mac_of_group(group) if mac is None else mac, self.mac, ETHERTYPE_IPV6, asked.pack())

    def _tell(self, path: EthernetPath, now: int) -> None:
        """Tell the trouble of the way to a station where it has changed."""
        trouble = self.trouble
        if not trouble and path.mac is None:
            trouble = f"{address_text(path.address)} does not answer for its MAC address on {self.name}"
        if trouble != path.trouble:
            path.trouble = trouble
            if self.told is not None:
                self.told(path, now)

    # In time.

    def next_timer(self) -> int | None:
        """The time (ns) at which a station is asked for, or given up, or None."""
        if not self._is_open:
            return None
        due = self._neighbours.next_timer()
        return self._check_at if due is None else min(due, self._check_at)

    def handle_timer(self, now: int) -> None:
        """Ask for the stations that are not known, or have not been asked for long."""
        if not self._is_open:
            return
        if now >= self._check_at:
            self._check_at = now + LOOK
            for path in self.stations.values():
                if not path.pinned:
                    self._neighbours.want(path.address, now)
        self._ask(now)
        if self.trouble != self._told_trouble:
            self._told_trouble = self.trouble
            for path in self.stations.values():
                self._tell(path, now)

    # For people.

    def fill(self, count: int) -> bytes:
        """Nothing: Ethernet has no filling."""
        del count
        return b""

    def channels(self) -> int:
        """The number of its stations."""
        return len(self.stations)

    def condition(self) -> PathCondition:
        """The frames that came; a damaged frame does not get here."""
        return PathCondition(self.rx_frames)

    def counts(self) -> PortCounts:
        """The frames that crossed the interface."""
        return PortCounts(rx_pdus=self.rx_frames, tx_pdus=self.tx_frames)


class EthernetBearer(Bearer):
    """The stations of a depot, at its ports."""

    kind = "ethernet"

    def __init__(self, network: Network, depot: str, qos: QosMap) -> None:  # Ethernet has no classes
        """Make the ports and stations of a depot's servers."""
        Bearer.__init__(self)  # not by super(), which the compiled module does not have
        self.name = depot
        self.links: dict[str, EthernetPort] = {}
        self._to: dict[str, EthernetPath] = {}
        for name, server in _of(network):
            port = self.links.get(name)
            if port is None:
                port = self.links[name] = EthernetPort(name)
                port.told = self._trouble_changed  # a method, not a lambda, so that a depot can be pickled
            self._to[server.node] = port.add(server.node, server)

    def _trouble_changed(self, path: EthernetPath, now: int) -> None:
        self.troubles.pop(path.node, None)
        if path.trouble:
            self.troubles[path.node] = path.trouble
        if self.trouble_changed is not None:
            self.trouble_changed(path.node, now)

    def reconfigure(self, network: Network, now: int) -> None:
        """Take over the stations of a changed VC table; raise AtmdepotError for a port that is not open.

        A station that left the table stays for the sessions that it has.
        """
        del now
        for name, server in _of(network):
            if name not in self.links:
                raise AtmdepotError(f"servers.{server.node}.port: {name} is opened by a restart only")
        for name, server in _of(network):
            self._to[server.node] = self.links[name].add(server.node, server)

    def leads_to(self, node: str) -> bool:
        """True for a station."""
        return node in self._to

    def open(self, node: str, category: ServiceCategory, owner: object) -> EthernetPath:
        """The station's path."""
        return self._to[node]

    def default(self, node: str) -> EthernetPath:
        """The station's path."""
        return self._to[node]

    def for_unanswered(self, node: str, category: ServiceCategory, owner: object) -> EthernetPath:
        """The station's path."""
        return self._to[node]

    def would_open(
        self, node: str, category: ServiceCategory, leaving: Iterable[Path], key: FlowKey,
    ) -> tuple[EthernetPath, str]:
        """The station's path, and why."""
        return self._to[node], _SHARED

    def would_share(self, node: str, category: ServiceCategory, key: FlowKey) -> tuple[EthernetPath, str]:
        """The station's path, and why."""
        return self._to[node], _SHARED

    def close(self, path: Path, owner: object) -> None:
        """Close nothing: the path stays while its station does."""

    def receive(self, port: str, octets: bytes, now: int) -> list[Arrival]:
        """Take records from a port; return the packets in their frames."""
        lan: EthernetPort = self.links[port]
        return lan.receive(octets, now)

    def stations(self) -> list[StationState]:
        """The stations, as they are now."""
        return [StationState(path.node, path.port, address_text(path.address) if path.address else "",
                             "" if path.mac is None else mac_text(path.mac), "table" if path.pinned else "answer",
                             path.trouble, path.tx_frames, path.rx_frames, path.changes, path.claims)
                for path in self._to.values()]

    def counters(self) -> list[Counter]:
        """The count of MAC addresses that each station has had, the first one included."""
        return [Counter(path.node, "mac-changes", path.changes, "times") for path in self._to.values()]

    def no_path(self) -> dict[str, Any]:
        """The keys of `describe`, with empty values."""
        return {"port": "", "mac": "", "category": "", "frames": 0, "mtu": 0}

    def describe(self, path: Path, octets: int | None, clp: int) -> PathText:
        """A station in words."""
        assert isinstance(path, EthernetPath)
        del clp
        fields = {"port": path.port, "mac": "" if path.mac is None else mac_text(path.mac), "category": "",
                  "frames": 0 if octets is None else 1, "mtu": path.mtu}
        where = "its MAC address is not known" if path.mac is None else f"MAC address {mac_text(path.mac)}"
        return PathText("station", path.label, f"{path.node} at port {path.port}, {where}", "", "1 frame",
                        "no mark of loss on Ethernet", fields)


def _of(network: Network) -> Iterable[tuple[str, Server]]:
    """The ports and servers of a VC table that are on Ethernet."""
    return [(server.port, server) for server in network.servers.values()
            if server.bearer == "ethernet" and server.port is not None]
