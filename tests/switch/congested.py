"""Depot, three switches in a row and four edge nodes whose links are too slow, and what becomes of each packet.

    depot ── sw1 ── sw2 ── sw3 ── web3, web4          answers of four servers go to the depot,
              ║      ║      ╚═ gear-a                 permanent VCs of gear-a to gear-b
           gear-b   web2     (web1 is at sw1)

Sessions of six categories have VCs of their own, shaped at the edge nodes. At the switches their VPs are best effort,
cell by cell, but for that of web3. The permanent VCs have contracts, which sw3 polices, and frames, if they are not of
CBR or rt-VBR. Each cell tells its packet, so that each packet that is lost can be traced to what lost it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from atmdepot.atm.sar import segment
from atmdepot.atm.vc import Vc, VcTable
from atmdepot.bearer.adaptation import LinkAdaptation
from atmdepot.config.reading import parse
from atmdepot.wire.cell import CELL_SIZE, HEADER_SIZE, PAYLOAD_SIZE, Interface
from tests.ip_packets import ACK, PSH, SYN, tcp
from tests.network_in_memory import CLIENT4, SECOND, VIP4, InMemoryNetwork

if TYPE_CHECKING:
    from atmdepot.config.model import Network
    from atmdepot.drops import DropReason, OnChannel

US = SECOND // 1_000_000
MS = SECOND // 1000
SPAN = 60 * MS
"""For so long (ns) packets come; then the queues empty themselves."""


class Load(NamedTuple):
    """A stream of packets at load 1: a DSCP or a contract, the octets of a packet's data, cells/s."""

    how: int | str
    octets: int
    rate: int


SESSIONS = {
    "EF": Load(46, 120, 400), "AF41": Load(34, 400, 1000), "AF31": Load(26, 1400, 1600), "AF11": Load(10, 1400, 2000),
    "DF": Load(0, 1400, 2000), "CS1": Load(8, 1400, 1000)}
PERMANENT = {
    "CBR": Load("cbr:pcr=3000,cdvt=1ms", 120, 2000),
    "rt-VBR": Load("rt-vbr:pcr=8000,scr=2000,mbs=50,tag", 400, 2000),
    "nrt-VBR": Load("nrt-vbr:pcr=9000,scr=3000,mbs=100,tag", 1400, 3000),
    "GFR": Load("gfr:pcr=20000,mcr=2000,mbs=100,mfs=40,tag", 1400, 3000),
    "UBR": Load("ubr:pcr=20000", 1400, 3000),
    "UBR-2": Load("ubr.2:pcr=20000,tag", 1400, 2000)}


def network(room: int) -> Network:
    """The network, with `room` cells in each queue of each link."""
    queues = ", ".join(f'"{name}" = {room}' for name in ("CBR", "rt-VBR", "nrt-VBR", "GFR", "UBR"))
    lines = ['name = "congested"', '[nodes.depot]\nkind = "depot"']
    lines += [f'[nodes.{name}]\nkind = "switch"' for name in ("sw1", "sw2", "sw3")]
    lines += [f'[nodes.{name}]\nkind = "external"' for name in ("gear-a", "gear-b")]
    ends = {"core": ("depot", "sw1", 40_000), "one-two": ("sw1", "sw2", 40_000), "two-three": ("sw2", "sw3", 40_000),
            "to-web1": ("sw1", "web1", 12_000), "to-web2": ("sw2", "web2", 12_000),
            "to-web3": ("sw3", "web3", 12_000), "to-web4": ("sw3", "web4", 12_000),
            "from-a": ("gear-a", "sw3", 0), "to-b": ("sw1", "gear-b", 0)}
    for number, (link, (one, other, rate)) in enumerate(ends.items()):
        lines += [f'[links.{link}]',
                  f'ends = {{ {one} = "127.0.0.1:{6000 + number}", {other} = "127.0.0.1:{7000 + number}" }}']
        lines += [f'rate = "{rate}cps"\nqueues = {{ {queues} }}'] if rate else []
    for number in range(1, 5):
        lines += [f'[nodes.web{number}]\nkind = "edge"\n[servers.web{number}]\nnode = "web{number}"',
                  f'[vps.web{number}]\nends = ["depot", "web{number}"]\nvpi = {number}\nsession_vcis = "64-127"']
        if number == 3:
            lines += ['contract = "nrt-vbr:pcr=12000,scr=8000,mbs=200"']
    for vci, (name, load) in enumerate(PERMANENT.items(), 100):
        lines += [f'[vcs.{name}]\nends = ["gear-a", "gear-b"]\nvpi = 9\nvci = {vci}\ncontract = "{load.how}"']
    lines += [f'[services.web]\nvip = ["{VIP4}"]\nports = [80]\nservers = ["web1", "web2", "web3", "web4"]',
              '[qos.contracts]\nCBR = "cbr:pcr=2000,cdvt=1ms"\n"rt-VBR.3" = "rt-vbr:pcr=6000,scr=1500,mbs=50,tag"',
              '"nrt-VBR.3" = "nrt-vbr:pcr=8000,scr=2000,mbs=100,tag"\nGFR = "gfr:pcr=12000,mcr=500,mbs=100,mfs=40"']
    return parse("\n".join(lines))


@dataclass(eq=False)
class Sent:
    """A packet on its way: its category, when it was sent and came out (ns), and what happened to it, in order."""

    category: str
    octets: bytes
    at: int
    came: int | None = None
    happened: list[str] = field(default_factory=list)


class Gone(NamedTuple):
    """A cell that was dropped: where, why, whose, and whether it was the last of a PDU."""

    node: str
    reason: DropReason
    packet: Sent | None
    is_last: bool


class Congested(InMemoryNetwork):
    """The network with its traffic. `packets` are all that was sent; `wrong` came out, but was never sent."""

    def __init__(self, loss: float, room: int, seed: int = 14) -> None:
        super().__init__(network(room))
        self.loss, self.random = loss, Random(seed)
        self.packets: list[Sent] = []
        self.wrong: list[bytes] = []
        self.gone: list[Gone] = []
        self.left: defaultdict[str, Counter[Sent]] = defaultdict(Counter)
        """The cells of each packet that a node sent."""
        self.lost: Counter[str] = Counter()
        """Cells that links lost, or of which they flipped bits."""
        self.gear_cells = 0
        self.ports: dict[tuple[str, int], int] = {}
        self._by_payload: dict[bytes, Sent] = {}
        self._by_octets: dict[bytes, Sent] = {}
        self._gear_vcs = {name: Vc(9, 100 + at) for at, name in enumerate(PERMANENT)}
        self.gear = LinkAdaptation("to-b", Interface.UNI, VcTable(*(Vc(9, vc.vci) for vc in self._gear_vcs.values())),
                                   timeout=SECOND, max_octets=1 << 24)
        self._due = self._timed()
        self._open_sessions()
        for name, node in self.nodes.items():
            for drops in (node.drops, *(port.drops for port in node.links.values())):
                drops.subscribe(partial(self._dropped, name))
        self.gear.drops.subscribe(partial(self._dropped, "gear-b"))
        for name in self.switches:
            self.faults[name] = partial(self._harm, name)

    def _open_sessions(self) -> None:
        """A session of each category with each server, while the network is idle."""
        for port, category in enumerate(sorted([*SESSIONS] * 4), 5000):
            dscp = SESSIONS[category].how
            assert isinstance(dscp, int)
            [server] = self._until_it_comes(self.to_service(tcp(CLIENT4, port, VIP4, 80, SYN, dscp=dscp)))
            self.ports[server, dscp] = port
            answer = tcp(VIP4, 80, CLIENT4, port, SYN | ACK, dscp=dscp)
            assert list(self._until_it_comes(self.from_server(server, answer))) == ["depot"]
        self.advance(SECOND)

    def _until_it_comes(self, out: dict[str, list[bytes]]) -> dict[str, list[bytes]]:
        for _ in range(100):
            if out:
                break
            self.advance(50 * US)
            out = self.settle()
        return out

    # Traffic.

    def load(self, factor: float) -> list[tuple[int, Sent, Any]]:
        """Answers of all servers and PDUs of the gear, in order of their times; requests go the other way."""
        out: list[tuple[int, Sent, Any]] = []
        for (server, dscp), port in self.ports.items():
            name = next(name for name, load in SESSIONS.items() if load.how == dscp)
            for at, number in self._times(SESSIONS[name], factor):
                answer = tcp(VIP4, 80, CLIENT4, port, ACK | PSH, seq=1 + number, dscp=dscp,
                             data=self._data(SESSIONS[name].octets))
                out.append((at, self._note(name, answer, at), partial(self.edges[server].packet_from_tun, answer)))
                request = tcp(CLIENT4, port, VIP4, 80, ACK | PSH, seq=1 + number, data=self._data(100), dscp=dscp)
                out.append((at, self._note("requests", request, at), partial(self.depot.packet_from_tun, request)))
        for name, load in PERMANENT.items():
            for at, number in self._times(load, factor):
                pdu = tcp(CLIENT4, 1, VIP4, 2, ACK, seq=number, data=self._data(load.octets))
                cells = segment(pdu, self._gear_vcs[name], 0)
                self.gear_cells += len(cells) // CELL_SIZE
                out.append((at, self._note(f"{name} VC", pdu, at),
                            partial(self.switches["sw3"].octets_from_port, "from-a", cells)))
        return sorted(out, key=lambda item: item[0])

    def _data(self, octets: int) -> bytes:
        """Data by which each cell tells its packet."""
        return self.random.getrandbits(32).to_bytes(4, "big") * (octets // 4)

    def _times(self, load: Load, factor: float) -> list[tuple[int, int]]:
        """The times of packets, with jitter, and their numbers."""
        cells = (load.octets + 48 + PAYLOAD_SIZE - 1) // PAYLOAD_SIZE
        gap = int(cells * SECOND / (load.rate * factor))
        at, number, out = self.now + self.random.randrange(gap), 0, []
        while at < self.now + SPAN:
            out.append((at, number))
            number += load.octets
            at += gap // 2 + self.random.randrange(gap)
        return out

    def _note(self, category: str, octets: bytes, at: int) -> Sent:
        sent = Sent(category, octets, at)
        self.packets.append(sent)
        assert octets not in self._by_octets
        self._by_octets[octets] = sent
        cells = segment(octets, Vc(1, 64), 0)
        for first in range(0, len(cells), CELL_SIZE):
            self._by_payload[cells[first + HEADER_SIZE:first + CELL_SIZE]] = sent
        return sent

    def run(self, factor: float) -> None:
        """Send the load, and let time pass until no packet waits."""
        for at, _, send in self.load(factor):
            self._pass_until(at)
            send(self.now)
            self._take()
        self._pass_until(self.now + SECOND)
        for _ in range(30):
            self.now += SECOND
            for node in (*self.nodes.values(), self.gear):
                node.handle_timer(self.now)
            self._take()

    def _pass_until(self, end: int) -> None:
        """Wake up when a port is due; timers of nodes, which are of seconds, are looked over at the end alone."""
        while (due := min(port.due for port in self._due)) <= end:
            self.now = max(self.now, due)
            self._take()
        self.now = end

    def _take(self) -> None:
        """Carry all that is due, and note what came out."""
        while self.exchange():
            pass
        for node in (self.depot, *self.edges.values()):
            for packet in node.take_packets():
                self._came(packet)

    def _came(self, packet: bytes) -> None:
        sent = self._by_octets.get(packet)
        if sent is None or sent.came is not None:
            self.wrong.append(packet)
        else:
            sent.came = self.now

    def exchange(self) -> bool:
        """Carry cells, also to the gear; ports that have none are not asked."""
        moved = False
        for name, node in self.nodes.items():
            ready, node.ready[:] = set(node.ready), []
            for number, (link, port) in enumerate(node.links.items()):
                if number not in ready and port.due > self.now:
                    continue
                cells = port.transmit(self.now)
                moved |= bool(cells)
                self._arrive(name, link, cells)
        return moved

    def _arrive(self, sender: str, link: str, cells: bytes) -> None:
        for at in range(HEADER_SIZE, len(cells), CELL_SIZE):
            if (packet := self._by_payload.get(cells[at:at + PAYLOAD_SIZE])) is not None:
                self.left[sender][packet] += 1
        receiver = self.network.links[link].other_end(sender)
        fault = self.faults.get(sender)
        arriving = cells if fault is None else fault(cells)
        if not arriving:
            return
        if receiver == "gear-b":
            for sdu in self.gear.receive(arriving, self.now):
                self._came(sdu.octets)
        else:
            self.nodes[receiver].octets_from_port(link, arriving, self.now)

    # Losses.

    def _harm(self, node: str, cells: bytes) -> bytes:
        """Lose cells by chance, or flip a bit of the payload, or two of the header, which nobody can mend."""
        if not self.loss:
            return cells
        out = []
        for at in range(0, len(cells), CELL_SIZE):
            cell = bytearray(cells[at:at + CELL_SIZE])
            if self.random.random() < self.loss:
                fault = self.random.choice(("lost", "header", "payload"))
                self.lost[fault] += 1
                self._tell(bytes(cell[HEADER_SIZE:]), f"line: {fault}")
                if fault == "lost":
                    continue
                for bit in self.random.sample(range(40), 2) if fault == "header" else [self.random.randrange(40, 424)]:
                    cell[bit // 8] ^= 0x80 >> bit % 8
            out.append(bytes(cell))
        return b"".join(out)

    def _tell(self, payload: bytes, what: str) -> Sent | None:
        packet = self._by_payload.get(payload)
        if packet is not None and what not in packet.happened:
            packet.happened.append(what)
        return packet

    def _dropped(self, node: str, reason: DropReason, count: int, octets: bytes | memoryview,
                 channel: OnChannel | None) -> None:
        del channel
        octets = bytes(octets)
        if reason.unit == "cells":
            assert len(octets) == count * CELL_SIZE
            for at in range(0, len(octets), CELL_SIZE):
                packet = self._tell(octets[at + HEADER_SIZE:at + CELL_SIZE], str(reason))
                self.gone.append(Gone(node, reason, packet, bool(octets[at + 3] & 0b10)))
        elif reason.unit == "PDUs":
            for at in range(0, len(octets), PAYLOAD_SIZE):
                self._tell(octets[at:at + PAYLOAD_SIZE], str(reason))
        elif (packet := self._by_octets.get(octets)) is not None:
            packet.happened.append(str(reason))

    # Results.

    def result(self) -> dict[str, Any]:
        """For each category: packets sent and delivered, lost by what happened to them first, delays in ns."""
        out: dict[str, Any] = {}
        for category in sorted({packet.category for packet in self.packets}):
            packets = [packet for packet in self.packets if packet.category == category]
            delays = [packet.came - packet.at for packet in packets if packet.came is not None]
            lost = Counter((*packet.happened, "silence")[0] for packet in packets if packet.came is None)
            out[category] = {
                "sent": len(packets), "delivered": len(delays), "mean_delay": sum(delays) // max(1, len(delays)),
                "greatest_delay": max(delays, default=0), "lost": dict(sorted(lost.items()))}
        return out

    def counted(self) -> dict[str, int]:
        """Drops of all nodes and the gear, and what links did to cells."""
        drops = Counter({str(reason): count for reason, count in self.dropped().items()})
        drops.update({str(reason): count for reason, count in self.gear.drops.items()})
        drops.update({f"line: {fault}": count for fault, count in self.lost.items()})
        return dict(sorted(drops.items()))

    def ends(self) -> list[LinkAdaptation]:
        """The ports of depot and edge nodes, where cells begin and end."""
        return [port for node in (self.depot, *self.edges.values()) for port in node.links.values()]
