"""All nodes of a VC table, switches too, joined by wires in memory: a virtual clock, and links that can be cut."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from atmdepot.net.kinds import make_node
from atmdepot.wire.cell import CELL_SIZE

if TYPE_CHECKING:
    from atmdepot.config.model import Network

SECOND = 1_000_000_000


class Wires:
    """The nodes and links of a network; cells arrive in the same moment."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.now = SECOND
        self.nodes: dict[str, Any] = {name: make_node(network, name, self.now) for name in network.nodes}
        self.cut: set[tuple[str, str]] = set()
        """A link and the node whose cells are lost on it."""
        self.seen: list[tuple[str, str, bytes]] = []
        """Each cell that was sent: the link, its sender, and its octets."""

    def kill(self, name: str) -> None:
        """End a node: it sends and hears nothing."""
        del self.nodes[name]

    def advance(self, nanoseconds: int) -> None:
        """Let time pass; every timer fires at its time."""
        end = self.now + nanoseconds
        self.carry()
        while (due := self._next()) is not None and due <= end:
            self.now = max(self.now, due)
            for node in self.nodes.values():
                node.handle_timer(self.now)
            self.carry()
        self.now = end

    def carry(self) -> None:
        """Carry cells until none waits."""
        while sum(self._carry_from(name) for name in list(self.nodes)):
            pass

    def _carry_from(self, name: str) -> bool:
        node = self.nodes[name]
        node.ready.clear()
        sent = False
        for number, link in enumerate(node.links):
            cells = node.transmit(number, self.now)
            self.seen += [(link, name, cells[at:at + CELL_SIZE]) for at in range(0, len(cells), CELL_SIZE)]
            far = self.nodes.get(self.network.links[link].other_end(name))
            sent |= bool(cells)
            if cells and far is not None and (link, name) not in self.cut:
                far.octets_from_port(link, cells, self.now)
        return sent

    def _next(self) -> int | None:
        times = [time for node in self.nodes.values() if (time := node.next_timer()) is not None]
        times += [port.due for node in self.nodes.values() for port in node.links.values() if port.due < 1 << 62]
        return min(times, default=None)
