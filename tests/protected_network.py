"""A depot, switches and an edge node with a protected VP, joined in memory: a virtual clock, links that can be cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.bearer.base import NEVER
from atmdepot.config.reading import parse
from atmdepot.depot.forwarding import Depot
from atmdepot.edge.node import EdgeNode
from atmdepot.switch.node import SwitchNode
from tests.network_in_memory import SECOND, VIP4

if TYPE_CHECKING:
    from atmdepot.bearer.protected import ProtectedVp
    from atmdepot.config.model import Network
    from atmdepot.drops import DropReason
    from atmdepot.node.node import Node

_NODES = {"depot": "depot", "sw1": "switch", "sw2": "switch", "web1": "edge"}
LINKS = (("depot", "sw1"), ("depot", "sw2"), ("sw1", "web1"), ("sw2", "web1"))


def make_table(
    *, name: str = "protected", protection: str = "1+1", supervise: str = "", link: str = "", vp: str = "",
) -> Network:
    """A table in which the VP of web1 goes over sw1, and is protected over sw2."""
    lines = [f'name = "{name}"']
    for node, kind in _NODES.items():
        lines += [f"[nodes.{node}]", f'kind = "{kind}"']
    for number, (one, other) in enumerate(LINKS):
        lines += [f"[links.{one}-{other}]",
                  f'ends = {{ {one} = "127.0.0.1:{6000 + number}", {other} = "127.0.0.1:{7000 + number}" }}']
        lines.append(link)
        if supervise:
            lines.append(f'supervise = "{supervise}"')
    lines += ["[vps.web1]", 'ends = ["depot", "web1"]', "vpi = 1", 'session_vcis = "64-65535"', 'via = ["sw1"]',
              'protect = ["sw2"]', f'protection = "{protection}"', 'wait_to_restore = "10s"', vp,
              "[servers.web1]", 'node = "web1"',
              "[services.web]", f'vip = ["{VIP4}"]', "ports = [80]", 'servers = ["web1"]']
    return parse("\n".join(lines))


class ProtectedNetwork:
    """The nodes of such a table, run step by step. A cut is a link and the node whose cells it loses."""

    def __init__(self, table: Network) -> None:
        self.now = SECOND
        self.table = table
        self.depot, self.edge = Depot(table, self.now), EdgeNode(table, "web1")
        self.nodes: dict[str, Node] = {
            "depot": self.depot, "web1": self.edge, **{name: SwitchNode(table, name) for name in table.switches}}
        self.cuts: set[tuple[str, str]] = set()
        self.carried: dict[tuple[str, str], int] = {}
        """The cells that entered each link, by link and sender."""

    @property
    def ends(self) -> tuple[ProtectedVp, ProtectedVp]:
        """The VP at depot and edge node."""
        return self.depot.bearer.protected["web1"], self.edge.protected["web1"]

    def cut(self, link: str, *senders: str) -> None:
        """Cut a link for the cells of some of its nodes, or of both."""
        self.cuts |= {(link, sender) for sender in senders or self.table.links[link].ends}

    def mend(self, link: str) -> None:
        """Mend both directions of a link."""
        self.cuts -= {(link, sender) for sender in self.table.links[link].ends}

    def to_service(self, octets: bytes) -> list[bytes]:
        """Send a client's packet; return what comes out at the server."""
        self.depot.packet_from_tun(octets, self.now)
        self.exchange()
        return self.edge.take_packets()

    def from_server(self, octets: bytes) -> list[bytes]:
        """Send the server's packet; return what comes out at the client."""
        self.edge.packet_from_tun(octets, self.now)
        self.exchange()
        return self.depot.take_packets()

    def exchange(self) -> None:
        """Carry cells until none wait."""
        while any(node.ready for node in self.nodes.values()):
            for name, node in self.nodes.items():
                numbers, node.ready[:] = list(node.ready), []
                for number in numbers:
                    self._carry(name, list(node.links)[number], node.transmit(number, self.now))

    def _carry(self, sender: str, link: str, cells: bytes) -> None:
        self.carried[link, sender] = self.carried.get((link, sender), 0) + len(cells) // 53
        if cells and (link, sender) not in self.cuts:
            self.nodes[self.table.links[link].other_end(sender)].octets_from_port(link, cells, self.now)

    def advance(self, nanoseconds: int) -> None:
        """Let time pass; every timer fires at its time, and cells arrive at once."""
        end = self.now + nanoseconds
        while (due := self._next_timer()) is not None and due <= end:
            self.now = max(self.now, due)
            for node in self.nodes.values():
                node.handle_timer(self.now)
                node.ready += [port.number for port in node.links.values() if port.due <= self.now]
            self.exchange()
            after = self._next_timer()
            assert after is None or after > self.now, "what was due is still due: a daemon would spin"
        self.now = end

    def _next_timer(self) -> int | None:
        times = [node.next_timer() for node in self.nodes.values()]
        times += [port.due for node in self.nodes.values() for port in node.links.values() if port.due < NEVER]
        return min((time for time in times if time is not None), default=None)

    def dropped(self) -> dict[DropReason, int]:
        """Drops of all nodes and links, by reason."""
        total: dict[DropReason, int] = {}
        for node in self.nodes.values():
            for drops in (node.drops, *(port.drops for port in node.links.values())):
                for reason, count in drops.items():
                    total[reason] = total.get(reason, 0) + count
        return total
