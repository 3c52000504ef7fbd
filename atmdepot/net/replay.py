"""`atmdepot replay`: a recorded session through the same depot and edge nodes, without namespaces.

The nodes and the UDP links between them (over loopback) are the daemons' own; only socket pairs replace the TUN
devices. Each recorded packet enters at the side it came from, and must leave unchanged at the other side.
"""

from __future__ import annotations

import socket
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from atmdepot.config.units import IpAddress, UdpAddress
from atmdepot.errors import AtmdepotError
from atmdepot.net.agents.depot_rows import ServerRow
from atmdepot.net.events import Cells
from atmdepot.net.kinds import make_node
from atmdepot.net.ports import open_port
from atmdepot.net.pump import Pump
from atmdepot.net.tap import DEFAULT_BOUND, Tap
from atmdepot.net.tun import NoDevice, SocketTun
from atmdepot.net.views import SUBJECTS
from atmdepot.wire.cell import CELL_SIZE
from atmdepot.wire.ip import MalformedPacket, address_text
from atmdepot.wire.packet import analyse
from atmdepot.wire.tcp import ACK, SYN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atmdepot.config.model import Network
    from atmdepot.wire.flows import FlowKey
    from atmdepot.wire.packet import Packet

_LOOPBACK = "127.0.0.1"
_TIME_FOR_A_PACKET = 2.0
_MAX_PACKET = 65_600


@dataclass
class ReplayResult:
    """Outcome of a replay."""

    packets: int = 0
    octets: int = 0
    identical: int = 0
    cells: int = 0
    lost: list[str] = field(default_factory=list)
    sessions: Counter[str] = field(default_factory=Counter)
    trains: list[Cells] = field(default_factory=list)
    """The first cells on the depot's links, as many as were to be watched."""
    missed: int = 0
    """Count of the depot's further cells."""

    @property
    def good(self) -> bool:
        """True when there were packets, and each left as it entered."""
        return 0 < self.packets == self.identical


def replay(
    network: Network, packets: Sequence[bytes], watch: int = 0, name: str = "this recording",
) -> ReplayResult:
    """Send recorded IP packets through a network's depot and edge nodes.

    Args:
        network: a VC table; its links move to loopback, and its services answer for the recording's servers.
        packets: the IP packets in the order in which they were recorded.
        watch: number of cells to keep for showing.
        name: the recording's, for errors.

    Raises:
        AtmdepotError: when no packet of the recording opens a TCP session.

    """
    servers = _servers_of(packets)
    if not servers:
        raise AtmdepotError(f"{name}: nothing in it opens a TCP session: record from the first SYN on")
    _move_to_loopback(network)
    _answer_for(network, servers)
    return trio.run(_Replay(network, watch).run, packets)


def _servers_of(packets: Sequence[bytes]) -> set[bytes]:
    """The destination addresses of SYNs."""
    servers = set()
    for octets in packets:
        packet = _analyse(octets)
        if packet is not None and packet.tcp is not None and packet.tcp.flags & (SYN | ACK) == SYN:
            servers.add(packet.destination)
    return servers


def _move_to_loopback(network: Network) -> None:
    for link in network.links.values():
        # Both sockets are open at once, so the ports differ.
        with socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket(type=socket.SOCK_DGRAM) as other:
            for node, free in zip(link.ends, (one, other), strict=True):
                free.bind((_LOOPBACK, 0))
                link.ends[node] = UdpAddress.of(_LOOPBACK, free.getsockname()[1])


def _answer_for(network: Network, servers: set[bytes]) -> None:
    service = next(iter(network.services.values()))
    service.vip = [IpAddress(address_text(server)) for server in sorted(servers)]
    service.ports = []  # every port
    network.services.clear()
    network.services["recorded"] = service


def _analyse(octets: bytes) -> Packet | None:
    try:
        return analyse(octets)
    except MalformedPacket:
        return None


class _Replay:
    """A run: a pump for each node, and the packets in sequence."""

    def __init__(self, network: Network, watch: int) -> None:
        self._network = network
        self._depot = network.depot
        self._tuns = {name: SocketTun() for name in (network.depot, *network.edges)}
        self._pumps: dict[str, Pump] = {}
        for name in (*self._tuns, *network.switches):
            node = make_node(network, name, time.monotonic_ns())
            links = {link: open_port(network, link, node) for link in node.links}
            self._pumps[name] = Pump(node, links, self._tuns.get(name) or NoDevice())
        self._edge_of: dict[FlowKey, str] = {}
        self.result = ReplayResult()
        self._to_watch = watch
        self._tap = Tap(drops=False, sessions=False)
        self._pumps[self._depot].taps.add(self._tap)

    async def run(self, packets: Sequence[bytes]) -> ReplayResult:
        vips = {vip.packed for vip in self._network.vips}
        async with trio.open_nursery() as nursery:
            for pump in self._pumps.values():
                nursery.start_soon(pump.run)
            for number, octets in enumerate(packets, 1):
                packet = _analyse(octets)
                if packet is not None and (packet.destination in vips or packet.source in vips):
                    await self._pass(number, octets, packet, packet.destination in vips)
            nursery.cancel_scope.cancel()
        self._finish()
        return self.result

    async def _pass(self, number: int, octets: bytes, packet: Packet, from_client: bool) -> None:
        """Send a packet in, and wait for it at the other side."""
        result = self.result
        result.packets += 1
        result.octets += len(octets)
        # A server's packet enters at the edge node where its client's packets left.
        start = self._depot if from_client else self._edge_of.get(packet.reverse_key(), self._network.edges[0])
        self._tuns[start].outer.send(octets)
        came = await self._receive(list(self._network.edges) if from_client else [self._depot])
        self._watch()  # empty the tap, which is bounded
        if came is None:
            result.lost.append(f"packet {number} did not come out: {self._drops()}")
            return
        node, received = came
        if from_client:
            self._edge_of[packet.key] = node
        if received == octets:
            result.identical += 1
        else:
            result.lost.append(f"packet {number} came out changed at {node}")

    def _watch(self) -> None:
        """Keep the cells that passed, up to the number to watch."""
        for record in self._tap.take(DEFAULT_BOUND):
            if isinstance(record, Cells):
                cells = len(record.octets) // CELL_SIZE
                kept = min(cells, self._to_watch)
                self._to_watch -= kept
                self.result.missed += cells - kept
                if kept:
                    record.octets = record.octets[:kept * CELL_SIZE]
                    self.result.trains.append(record)

    async def _receive(self, nodes: list[str]) -> tuple[str, bytes] | None:
        """The first packet that leaves at any of the nodes."""
        found: list[tuple[str, bytes]] = []

        async def wait(node: str, scope: trio.CancelScope) -> None:
            outer = self._tuns[node].outer
            await trio.lowlevel.wait_readable(outer)
            found.append((node, outer.recv(_MAX_PACKET)))
            scope.cancel()

        with trio.move_on_after(_TIME_FOR_A_PACKET):
            async with trio.open_nursery() as nursery:
                for node in nodes:
                    nursery.start_soon(wait, node, nursery.cancel_scope)
        return found[0] if found else None

    def _drops(self) -> str:
        drops: Counter[str] = Counter()
        for pump in self._pumps.values():
            for counted in (pump.node.drops, *(link.drops for link in pump.node.links.values())):
                drops.update({str(reason): count for reason, count in counted.items()})
        return ", ".join(f"{reason} {count}" for reason, count in drops.items() if count) or "no drop counted"

    def _finish(self) -> None:
        self._watch()
        for row in SUBJECTS["servers"](self._pumps[self._depot], sys.maxsize):
            assert isinstance(row, ServerRow)
            self.result.sessions[row.server] = row.sessions_total
        for name, pump in self._pumps.items():
            if name in self._tuns:  # a switch only sends on what others sent
                self.result.cells += sum(port.counts().tx_cells for port in pump.node.links.values())
            for link in pump.links.values():
                link.close()
            pump.tun.close()
