"""Depot, switches and edge nodes joined by links in memory: a virtual clock, a seeded fault injector, no sockets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from atmdepot.bearer.base import NEVER
from atmdepot.config.reading import parse
from atmdepot.depot.forwarding import Depot
from atmdepot.edge.node import EdgeNode
from atmdepot.switch.node import SwitchNode
from atmdepot.wire.cell import CELL_SIZE

if TYPE_CHECKING:
    from atmdepot.bearer.base import Port
    from atmdepot.config.model import Network
    from atmdepot.drops import DropReason

SECOND = 1_000_000_000
VIP4, VIP6 = "10.80.0.1", "fd00:80::1"
CLIENT4, CLIENT6 = "10.9.0.2", "fd00:9::2"

Fault = Callable[[bytes], bytes]


def make_network(
        *, servers: int = 2, vp: str = 'session_vcis = "64-65535"', protocols: str = '["tcp", "udp"]', tables: str = "",
) -> Network:
    """A VC table with a depot, `servers` edge nodes web1, web2, ... and a service on port 80.

    `vp` is the text of each VP, `protocols` the protocols of the service, `tables` the text at the end (`[sessions]`
    and the like).
    """
    names = [f"web{n + 1}" for n in range(servers)]
    lines = ['name = "memory"', '[nodes.depot]', 'kind = "depot"', 'address = ["10.255.0.1", "fd00:255::1"]']
    for number, name in enumerate(names, 1):
        lines += [
            f"[nodes.{name}]", 'kind = "edge"', f'address = ["10.255.0.{number + 1}", "fd00:255::{number + 1}"]',
            f"[links.to-{name}]",
            f'ends = {{ depot = "127.0.0.1:{6000 + number}", {name} = "127.0.0.1:{7000 + number}" }}',
            f"[vps.{name}]", f'ends = ["depot", "{name}"]', f"vpi = {number}", vp,
            f"[servers.{name}]", f'node = "{name}"']
    lines += ["[services.web]", f'vip = ["{VIP4}", "{VIP6}"]', "ports = [80]", f"protocols = {protocols}",
              f"servers = {names}", tables]
    return parse("\n".join(lines))


@dataclass
class SeededFaults:
    """Faults of cells by chance: lost, doubled, a bit of header or payload flipped, swapped with the neighbour."""

    seed: int
    rate: float = 0.05
    random: Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)

    def __call__(self, cells: bytes) -> bytes:
        train = [bytearray(cells[at:at + CELL_SIZE]) for at in range(0, len(cells), CELL_SIZE)]
        out: list[bytearray] = []
        for cell in train:
            if self.random.random() >= self.rate:
                out.append(cell)
                continue
            fault = self.random.choice(("lose", "double", "header", "payload", "swap"))
            if fault == "lose":
                continue
            if fault in ("header", "payload"):
                bit = self.random.randrange(40) if fault == "header" else self.random.randrange(40, 424)
                cell[bit // 8] ^= 0x80 >> bit % 8
            out.append(cell)
            if fault == "double":
                out.append(cell)
            elif fault == "swap" and len(out) > 1:
                out[-2:] = out[:-3:-1]
        return b"".join(out)


class InMemoryNetwork:
    """The nodes of a VC table, run step by step.

    `to_service` and `from_server` put a packet into a TUN and return the packets that come out of the TUNs, by node.
    """

    def __init__(self, network: Network | None = None) -> None:
        self.network = make_network() if network is None else network
        self.now = SECOND
        self.depot = Depot(self.network, self.now)
        self.edges = {name: EdgeNode(self.network, name) for name in self.network.edges}
        self.switches = {name: SwitchNode(self.network, name) for name in self.network.switches}
        self.faults: dict[str, Fault] = {}
        self.seen: list[tuple[str, str, bytes]] = []
        """Every cell train sent: its sender, its receiver, and its octets before any fault."""

    def restart_depot(self) -> None:
        """Restart the depot, which loses its state."""
        self.depot = Depot(self.network, self.now)

    def restart_edge(self, name: str) -> None:
        """Restart an edge node, which loses its state."""
        self.edges[name] = EdgeNode(self.network, name)

    def to_service(self, octets: bytes) -> dict[str, list[bytes]]:
        """Send a client's packet; return the packets that come out, by node (`depot`: back to the client)."""
        self.depot.packet_from_tun(octets, self.now)
        return self.settle()

    def from_server(self, name: str, octets: bytes) -> dict[str, list[bytes]]:
        """Send a server's packet to its edge node; return the packets that come out, by node."""
        self.edges[name].packet_from_tun(octets, self.now)
        return self.settle()

    def settle(self) -> dict[str, list[bytes]]:
        """Carry the cells that are due at the ends of every link, over switches too, then take all packets."""
        while self.exchange():
            pass
        out = {"depot": self.depot.take_packets(), **{name: edge.take_packets() for name, edge in self.edges.items()}}
        return {name: packets for name, packets in out.items() if packets}

    def exchange(self) -> bool:
        """Carry the cells that are due on each link once; False when there were none."""
        return bool(sum(map(self._carry_over, self.network.links)))

    def _carry_over(self, link: str) -> bool:
        """Carry the cells that are due at both ends of a link; False when there were none."""
        moved, nodes = False, self.nodes
        for sender in self.network.links[link].ends:
            receiver = self.network.links[link].other_end(sender)
            if link not in nodes[sender].links or link not in nodes[receiver].links:
                continue
            if cells := nodes[sender].links[link].transmit(self.now):
                moved = True
                if arriving := self._carry(sender, receiver, cells):
                    nodes[receiver].octets_from_port(link, arriving, self.now)
        return moved

    @property
    def nodes(self) -> defaultdict[str, Any]:
        """All nodes by their names; gear that is not ours has no links."""
        gear = SimpleNamespace(links={})
        return defaultdict(lambda: gear, {self.network.depot: self.depot, **self.edges, **self.switches})

    def _carry(self, sender: str, receiver: str, cells: bytes) -> bytes:
        if cells:
            self.seen.append((sender, receiver, cells))
        fault = self.faults.get(sender)
        return cells if fault is None else fault(cells)

    def advance(self, nanoseconds: int) -> None:
        """Let time pass; every timer fires at its time, and what leaves then arrives at once."""
        end = self.now + nanoseconds
        while (due := self.next_timer()) is not None and due <= end:
            self.now = max(self.now, due)
            for node in self.nodes.values():
                node.handle_timer(self.now)
            while self.exchange():
                pass  # until no cell has an answer
            after = self.next_timer()
            assert after is None or after > self.now, "what was due is still due: a daemon would spin"
        self.now = end

    def next_timer(self) -> int | None:
        """The earliest timer of all nodes."""
        times = [node.next_timer() for node in self.nodes.values()]
        times += [port.due for port in self._timed() if port.due < NEVER]
        return min((time for time in times if time is not None), default=None)

    def _timed(self) -> list[Port]:
        """The ports whose output waits."""
        return [port for node in self.nodes.values() for port in node.links.values() if port.is_timed]

    def dropped(self) -> dict[DropReason, int]:
        """Drops of all nodes and links, by reason."""
        total: dict[DropReason, int] = {}
        for node in self.nodes.values():
            for drops in (node.drops, *(link.drops for link in node.links.values())):
                for reason, count in drops.items():
                    total[reason] = total.get(reason, 0) + count
        return total
