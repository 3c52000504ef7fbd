"""The kinds of nodes: the only place where a daemon knows of them.

A row has all that a daemon needs of a kind: how to make its node, the management agent that answers for it, and its
jobs, which run beside the packets. A new kind of node is a row here. Needs on the host are in `net/host_parts.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from atmdepot.bearer.adaptation import LinkAdaptation
from atmdepot.depot.forwarding import Depot
from atmdepot.edge.multihomed import edge_node
from atmdepot.edge.relay import RelayEdgeNode
from atmdepot.edge.tap import TapEdgeNode
from atmdepot.errors import AtmdepotError
from atmdepot.net.agents.depot import DepotAgent
from atmdepot.net.agents.edge import EdgeAgent
from atmdepot.net.agents.interworking import InterworkingAgent
from atmdepot.net.agents.switch import SwitchAgent
from atmdepot.net.owning import Ownership
from atmdepot.net.prober import Prober
from atmdepot.net.replication_link import ReplicationLink
from atmdepot.net.reporter import Reporter
from atmdepot.net.watch import WatchPort
from atmdepot.net.ways import Ways
from atmdepot.switch.interworking import InterworkingNode
from atmdepot.switch.node import SwitchNode

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.config.model import Network
    from atmdepot.config.pools import BearerName
    from atmdepot.edge.node import EdgeNode
    from atmdepot.net.agents.agent import Agent
    from atmdepot.net.pump import Pump
    from atmdepot.node.node import Node


class Job(Protocol):
    """Work beside the packets."""

    async def run(self) -> None:
        """Work until cancelled."""


class Kind(NamedTuple):
    """A kind of node."""

    make: Callable[[Network, str, int], Node]
    """Makes the node of a name, from a VC table, at a time in ns."""
    agent: type[Agent]
    jobs: tuple[Callable[[Any, Pump], Job], ...] = ()
    """Makes a job of a node and its pump."""
    live: tuple[str, ...] = ()
    """The parts of a table that may change while such a node runs, beside those that may at every node."""


def _atm_edge(network: Network, name: str) -> EdgeNode:
    return edge_node(network, name) if network.nodes[name].tap is None else TapEdgeNode(network, name)


EDGES: dict[BearerName, Callable[[Network, str], Node]] = {"atm": _atm_edge, "frame-relay": RelayEdgeNode}
"""Edge nodes, by the bearer of their links; a bearer without edge nodes has no row."""


def _edge(network: Network, name: str, _now: int) -> Node:
    return EDGES[network.bearer_at(name)](network, name)


KINDS = {
    "depot": Kind(lambda network, name, now: Depot(network, now, name), DepotAgent,
                  (Prober, Ways, Ownership, ReplicationLink, WatchPort)),
    "edge": Kind(_edge, EdgeAgent, (Reporter,)),
    "interworking": Kind(InterworkingNode, InterworkingAgent),
    "switch": Kind(lambda network, name, _: SwitchNode(network, name), SwitchAgent, live=("vps", "vcs")),
}
"""By `kind` in the VC table."""


def make_node(network: Network, name: str, now: int) -> Node:
    """The data path of a node at a time in ns.

    Raises AtmdepotError when the network has no such node to run, EnvironmentLacks when a package is missing for it.
    """
    kind = KINDS.get(network.nodes[name].kind) if name in network.nodes else None
    if kind is None:
        raise AtmdepotError(f"there is no node \"{name}\" to run: the edge nodes are {', '.join(network.edges)}")
    node = kind.make(network, name, now)
    for link, port in node.links.items():
        if isinstance(port, LinkAdaptation) and network.links[link].ilmi:
            port.answer_ilmi(network, name)
    return node


def kind_of(node: Node) -> Kind:
    """The kind of a node."""
    return KINDS[node.network.nodes[node.name].kind]


def agent_of(node: Node) -> Agent:
    """The management agent of a node."""
    return kind_of(node).agent(node)


def kinds_with(command: str) -> list[str]:
    """The names of the kinds of node that have a command."""
    return [name for name, kind in KINDS.items() if command in kind.agent.commands]
