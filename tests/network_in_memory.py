"""Depot, switches and edge nodes joined by links in memory: a virtual clock, a seeded fault injector, no sockets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from atmdepot.bearer.base import NEVER
from atmdepot.config.reading import parse
from atmdepot.depot.forwarding import Depot
from atmdepot.net.kinds import EDGES
from atmdepot.switch.node import SwitchNode
from atmdepot.wire.cell import CELL_SIZE
from atmdepot.wire.offload import packets_of
from tests.bearers import ROWS, chosen
from tests.routed_servers import RoutedServer
from tests.stations import DEPOT_ADDRESSES, DEPOT_MAC, MTU

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
        bearers: Sequence[str] = (),
) -> Network:
    """A VC table with a depot, `servers` servers web1, web2, ... and a service on port 80.

    `vp` is the text of each VP, `protocols` the protocols of the service, `tables` the text at the end (`[sessions]`
    and the like). The servers stand behind `bearers` in turn, by default behind that over which the test runs.
    """
    kinds = bearers or [chosen()]
    names = [f"web{n + 1}" for n in range(servers)]
    lines = ['name = "memory"', '[nodes.depot]', 'kind = "depot"', 'address = ["10.255.0.1", "fd00:255::1"]']
    for number, name in enumerate(names, 1):
        lines += ROWS[kinds[(number - 1) % len(kinds)]].lines(number, name, vp)
    lines += ["[services.web]", f'vip = ["{VIP4}", "{VIP6}"]', "ports = [80]", f"protocols = {protocols}",
              f"servers = {names}", tables]
    return parse("\n".join(lines))


def make_sets(
        sets: dict[str, list[str]], *, servers: int = 2, vp: str = 'session_vcis = "64-65535"', of_set: str = "",
        protocols: str = '["tcp", "udp"]', tables: str = "", bearer: str = "atm",
) -> Network:
    """A VC table as `make_network` makes it, with sets of depots: their names, each with its depots.

    Each depot has a link and a VP, or PVCs, to each edge node: `DEPOT-web1`. `of_set` is the text of each set of
    several. Its depots are active by hand (`Roles.granted`): the ownership is `manual`.
    """
    names = [f"web{n + 1}" for n in range(servers)]
    depots = [depot for nodes in sets.values() for depot in nodes]
    lines = ['name = "memory"']
    for number, depot in enumerate(depots, 1):
        lines += [f"[nodes.{depot}]", 'kind = "depot"', f'address = ["10.254.0.{number}", "fd00:254::{number}"]']
    for number, name in enumerate(names, 1):
        lines += [f"[nodes.{name}]", 'kind = "edge"', f'address = ["10.255.0.{number + 1}", "fd00:255::{number + 1}"]',
                  f"[servers.{name}]", f'node = "{name}"', f'bearer = "{bearer}"']
        for at, depot in enumerate(depots):
            port = 6000 + 100 * at + number
            ends = f'ends = ["{depot}", "{name}"]'
            lines += [
                f"[links.{depot}-{name}]", f'bearer = "{bearer}"',
                f'ends = {{ {depot} = "127.0.0.1:{port}", {name} = "127.0.0.1:{port + 1000}" }}',
                *([f"[vps.{depot}-{name}]", ends, f"vpi = {number}", vp] if bearer == "atm" else
                  [f"[dlcis.{depot}-{name}]", ends, "dlci = 100", vp and 'session_dlcis = "200-991"'])]
    for number, (of, nodes) in enumerate(sets.items()):
        lines += [f"[depots.{of}]", f"nodes = {nodes}"]
        if len(nodes) > 1:
            sync = ", ".join(f'{node} = "127.0.0.1:{8000 + 10 * number + at}"' for at, node in enumerate(nodes))
            lines += ['ownership = "manual"', f"sync = {{ {sync} }}", of_set]
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
    A node of `stopped` does nothing: it is killed until it is restarted, or hangs. Cells for it are lost.
    """

    def __init__(self, network: Network | None = None) -> None:
        self.network = make_network() if network is None else network
        self.now = SECOND
        self.depots = {name: Depot(self.network, self.now, name) for name in self.network.depots}
        self.edges: dict[str, Any] = {name: self._far_end(name) for name in self._far_names()}
        """The far ends, by name: edge nodes, and the servers that stand alone."""
        self.switches = {name: SwitchNode(self.network, name) for name in self.network.switches}
        self.faults: dict[str, Fault] = {}
        self.seen: list[tuple[str, str, bytes]] = []
        """Every cell train sent: its sender, its receiver, and its octets before any fault."""
        self.stopped: set[str] = set()
        self._open_ports(self.depot)

    def _far_names(self) -> list[str]:
        alone = [server.node for server in self.network.servers.values() if server.stands_alone]
        return [*self.network.edges, *alone]

    def _far_end(self, name: str) -> Any:
        if name in self.network.edges:
            return EDGES[self.network.bearer_at(name)](self.network, name)
        bearer = next(server.bearer for server in self.network.servers.values() if server.node == name)
        made = ROWS[bearer].far_end
        assert made is not None
        return made(self.network, name)

    def _open_ports(self, depot: Depot) -> None:
        """Do what opening a depot's interfaces does: tell them their addresses; they find their stations."""
        frames = [port for port in depot.links.values() if port.medium == "frames"]
        for port in frames:
            port.opened(DEPOT_MAC, DEPOT_ADDRESSES, MTU)  # type: ignore[attr-defined]  # of this medium
            port.handle_timer(self.now)
        if frames:
            self.settle()
            self.seen.clear()

    @property
    def depot(self) -> Depot:
        """The depot, the first of several."""
        return self.depots[self.network.depot]

    @depot.setter
    def depot(self, made: Depot) -> None:
        self.depots[self.network.depot] = made

    def restart_depot(self, name: str = "") -> None:
        """Restart a depot, which loses its state."""
        name = name or self.network.depot
        self.depots[name] = Depot(self.network, self.now, name)
        self.stopped.discard(name)
        self._open_ports(self.depots[name])

    def restart_edge(self, name: str) -> None:
        """Restart an edge node, which loses its state."""
        self.edges[name] = self._far_end(name)

    def to_service(self, octets: bytes, depot: str = "") -> dict[str, list[bytes]]:
        """Send a client's packet to a depot; return what comes out, by node (of a depot: back to the client)."""
        depot = depot or self.network.depot
        if depot not in self.stopped:
            self.depots[depot].packet_from_tun(octets, self.now)
        return self.settle()

    def from_server(self, name: str, octets: bytes) -> dict[str, list[bytes]]:
        """Send a server's packet to its edge node; return the packets that come out, by node."""
        self.edges[name].packet_from_tun(octets, self.now)
        return self.settle()

    def settle(self) -> dict[str, list[bytes]]:
        """Carry the cells that are due at the ends of every link, over switches too, then take all packets."""
        while self.exchange():
            pass
        out = {name: node.take_packets() for name, node in (*self.depots.items(), *self.edges.items())}
        return {name: packets for name, packets in out.items() if packets}

    def exchange(self) -> bool:
        """Carry the cells that are due on each link once; False when there were none."""
        nodes = self.nodes
        ends: dict[str, list[str]] = {}
        for name, node in nodes.items():
            for link in node.links:
                ends.setdefault(link, []).append(name)
        moved = sum(self._carry_over(link, nodes, at) for link, at in ends.items())
        return bool(moved + self._route())

    def _route(self) -> bool:
        """Do what the depot's host does with packets for servers and from them; False when there were none."""
        servers = [(name, end) for name, end in self.edges.items() if isinstance(end, RoutedServer)]
        if not servers:
            return False
        depot, moved = self.depot, False
        for packet in packets_of(depot.take_packets()):
            name = next((name for name, end in servers if end.is_for(packet)), None)
            if name is None:
                depot.packets_out.append(packet)
                continue
            moved = True
            self.seen.append((depot.name, name, packet))
            if name not in self.stopped:
                self.edges[name].receive(packet)
        for _, server in servers:
            for octets in server.sent():
                moved = True
                if depot.name not in self.stopped:
                    depot.packet_from_tun(octets, self.now)
        return moved

    def _carry_over(self, link: str, nodes: dict[str, Any], ends: list[str]) -> bool:
        """Carry what is due at the ends of a link, the nodes with a port of its name; False when there was none.

        A link with a single node leads to gear that is not ours.
        """
        moved = False
        for sender in ends if len(ends) > 1 else ():
            if sender not in self.stopped and (octets := nodes[sender].links[link].transmit(self.now)):
                moved = True
                for receiver in ends:
                    if receiver != sender and (arriving := self._carry(sender, receiver, octets)) \
                            and receiver not in self.stopped:
                        nodes[receiver].octets_from_port(link, arriving, self.now)
        return moved

    @property
    def nodes(self) -> defaultdict[str, Any]:
        """All nodes by their names; gear that is not ours has no links."""
        gear = SimpleNamespace(links={})
        return defaultdict(lambda: gear, {**self.depots, **self.edges, **self.switches})

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
            for node in self._running():
                node.handle_timer(self.now)
            while self.exchange():
                pass  # until no cell has an answer
            after = self.next_timer()
            assert after is None or after > self.now, "what was due is still due: a daemon would spin"
        self.now = end

    def next_timer(self) -> int | None:
        """The earliest timer of all nodes."""
        times = [node.next_timer() for node in self._running()]
        times += [port.due for port in self._timed() if port.due < NEVER]
        return min((time for time in times if time is not None), default=None)

    def _timed(self) -> list[Port]:
        """The ports whose output waits."""
        return [port for node in self._running() for port in node.links.values() if port.is_timed]

    def _running(self) -> list[Any]:
        return [node for name, node in self.nodes.items() if name not in self.stopped]

    def dropped(self) -> dict[DropReason, int]:
        """Drops of all nodes and links, by reason."""
        total: dict[DropReason, int] = {}
        for node in self.nodes.values():
            for drops in (node.drops, *(link.drops for link in node.links.values())):
                for reason, count in drops.items():
                    total[reason] = total.get(reason, 0) + count
        return total
