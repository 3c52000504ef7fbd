"""A port of Ethernet: an interface of the depot's, the stations at it, and the paths to them.

A station's MAC address is the table's, or the one that answers for its own IP address; while none answers, the way to
it is in trouble. What a stranger claims of a station is counted, and the station is asked: only an answer is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from atmdepot.bearer.base import Path, PathCondition, Port, PortCounts
from atmdepot.bearer.bridged import without_padding
from atmdepot.bearer.ethernet_words import is_word, question_of, word_in
from atmdepot.bearer.neighbours import PAUSE, Neighbours
from atmdepot.drops import OF_FRAMES, DropReason, Drops
from atmdepot.wire.arp import ArpError
from atmdepot.wire.discovery import DiscoveryError, is_discovery, link_local
from atmdepot.wire.ethernet import HEADER_SIZE, Frame, mac_text
from atmdepot.wire.frame_records import BEFORE_PACKET, LENGTH_SIZE, NO_WORK, TAGGED, moved, record_of, records
from atmdepot.wire.ip import MalformedPacket, address_text
from atmdepot.wire.llc import ETHERTYPE_IPV4, ETHERTYPE_IPV6
from atmdepot.wire.offload import HEADER_LENGTH, cut, frame_of
from atmdepot.wire.packet import Arrival

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from atmdepot.bearer.ethernet_words import Word
    from atmdepot.config.pools import Server
    from atmdepot.wire.offload import PlainFrame

CHECKED = 10_000_000_000
"""So long after its last answer (ns), a station is asked again."""
LOOK = 1_000_000_000
"""The time (ns) between two looks at the stations and the interface."""
_USUAL_MTU = 1500
_MOST_PADDING = 46
"""Octets of the longest payload that a LAN pads (60 octets of frame without FCS)."""
_NO_MAC = bytes(6)
_ETHERTYPES = {4: ETHERTYPE_IPV4.to_bytes(2, "big"), 6: ETHERTYPE_IPV6.to_bytes(2, "big")}
_IP = frozenset(_ETHERTYPES.values())


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

    def own_address(self, octets: int) -> bytes | None:
        """The interface's own address of 4 or 16 octets; None if it has only a link-local address, or none."""
        address = self._own.get(octets)
        return None if address is None or address == link_local(self.mac) else address

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
        if is_word(octets):
            try:
                word = word_in(octets, self.mac, self._own)
            except (ArpError, DiscoveryError):
                self.drops.count(DropReason.BAD_ANSWER, 1, octets)
                return
            if word is not None:
                self._heard(word, octets, now)
            return
        if ethertype not in _IP:
            reason = DropReason.OTHER_FRAME
        elif destination != self.mac:
            reason = DropReason.NOT_FOR_US
        else:
            reason = DropReason.STRANGER if source != self.mac else DropReason.NOT_FOR_US
        self.drops.count(reason, 1, octets)

    # Stations and their MAC addresses.

    def _heard(self, word: Word, octets: bytes, now: int) -> None:
        """Take word that a station is at a MAC address; only an answer to a question is believed."""
        address, mac, answers = word
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
            self._put(question_of(self.mac, self._own, address, mac))
        for item in self._neighbours.failed:
            self.drops.count(DropReason.UNRESOLVED, 1, item.packet, item.path)
        self._neighbours.failed.clear()
        for path in asked:
            if path.address not in self._neighbours:  # it was asked often enough
                self._lead(path, None)
                self._tell(path, now)
                self._neighbours.want(path.address, now + PAUSE)

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
