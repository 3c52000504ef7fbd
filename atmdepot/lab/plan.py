"""Plan of a VC table's lab: namespaces, wires, addresses and routes, as plain values.

    client ──lab.networks── depot ══a wire per link══ switches ══ edge nodes

This module does not touch the kernel: `wiring` carries out the plan.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from msgspec import Struct

from atmdepot.config.circuits import circuits_of
from atmdepot.errors import AtmdepotError
from atmdepot.lab import limits
from atmdepot.lab.limits import is_routable, lab_problems, told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.config.model import Link, Network

CLIENT = limits.CLIENT
"""The node that the lab adds."""

CLIENT_MTU = 1500
"""Octets: clients sit on an Ethernet unless the caller gives another MTU."""

_CELL = 53
_UDP_OVERHEAD = 48
"""Octets of the IPv6 and UDP headers; IPv4's header is shorter."""

_GREATEST_MTU = 65535
_NAME_MAX = 15
"""Octets of the longest interface name in the kernel."""


class Address(Struct, frozen=True):
    """An address on an interface, with its prefix length or its peer at the far end."""

    local: str
    prefix: int
    peer: str | None = None


class Interface(Struct, frozen=True):
    """An end of a wire."""

    node: str
    name: str
    addresses: tuple[Address, ...]


class Wire(Struct, frozen=True):
    """A veth pair between two nodes."""

    ends: tuple[Interface, Interface]
    mtu: int


class Plan(Struct, frozen=True):
    """Nodes, wires, addresses and routes that the lab sets up before it starts a process."""

    nodes: dict[str, str]
    wires: tuple[Wire, ...]
    loopback: dict[str, tuple[str, ...]]
    gateways: tuple[str, ...]

    @property
    def routers(self) -> list[str]:
        """The nodes that forward packets; a switch has cells alone."""
        return [name for name, kind in self.nodes.items() if kind not in (CLIENT, "switch")]


def plan_of(network: Network, client_mtu: int = CLIENT_MTU, *, web: bool = True) -> Plan:
    """Plan for a network; raise AtmdepotError with every problem that the lab has with the table."""
    if problems := lab_problems(network, web=web):
        raise AtmdepotError("\n".join(map(told, problems)))
    nodes = network.nodes
    ours: dict[str, str] = {name: node.kind for name, node in nodes.items() if node.kind != "external"}
    wires = [_client_wire(network, client_mtu)]
    loopback: dict[str, tuple[str, ...]] = {}
    # `all` and `default` stand beside the interfaces in the kernel's net.ipv4.conf.
    taken = {"lo", "all", "default", CLIENT} | {node.device for node in nodes.values() if node.kind != "switch"}
    for name, link in network.links.items():
        if set(link.ends) <= ours.keys():
            wires.append(_link_wire(_interface_name(name, taken), link))
        else:
            loopback |= _dead_end(link, ours, loopback)
    for name in ours:
        if stubs := list(_stubs(network, name)):
            loopback[name] = tuple(dict.fromkeys((*loopback.get(name, ()), *stubs)))
    gateways = tuple(str(ipaddress.ip_network(text)[1]) for text in network.lab.networks)
    return Plan(nodes={CLIENT: CLIENT, **ours}, wires=tuple(wires), loopback=loopback, gateways=gateways)


def _client_wire(network: Network, mtu: int) -> Wire:
    depot, client = [], []
    for text in network.lab.networks:
        net = ipaddress.ip_network(text)
        # The first address of the network is the depot's, which is the client's gateway.
        depot.append(Address(str(net[1]), net.prefixlen))
        client.append(Address(str(net[2]), net.prefixlen))
    ends = (Interface(network.depot, CLIENT, tuple(depot)), Interface(CLIENT, "depot", tuple(client)))
    return Wire(ends=ends, mtu=mtu)


def _link_wire(name: str, link: Link) -> Wire:
    """Wire of a link; each end gets its UDP address as a host address with the far end as its peer.

    Any pair of addresses works, in a common subnet or not, and a node may use an address on many links.
    """
    (one, here), (other, there) = ((node, address.host) for node, address in link.ends.items())
    bits = ipaddress.ip_address(here).max_prefixlen
    ends = (Interface(one, name, (Address(here, bits, there),)),
            Interface(other, name, (Address(there, bits, here),)))
    # The MTU holds a full datagram, so that it is neither fragmented nor refused by UDP_SEGMENT.
    return Wire(ends=ends, mtu=min(_GREATEST_MTU, max(1500, link.cells * _CELL + _UDP_OVERHEAD)))


def _dead_end(link: Link, ours: dict[str, str],
              so_far: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Address of our end of a link to equipment that the lab lacks: on loopback, so that the daemon starts."""
    found = {}
    for node, address in link.ends.items():
        if node in ours and is_routable(address.host):
            # Links may share an address, which loopback gets only once.
            found[node] = tuple(dict.fromkeys((*so_far.get(node, ()), address.host)))
    return found


def _stubs(network: Network, node: str) -> Iterator[str]:
    """Addresses on loopback in place of the LANs behind a node, for the networks from which circuits bring packets.

    It is the first host address of each network, unless the node has an address there.
    """
    own = [ipaddress.ip_address(address) for address in network.nodes[node].address]
    for circuit in circuits_of(network, node):
        for lan in map(ipaddress.ip_network, circuit.takes):
            has_place = len(circuit.far) == 1 and not lan.is_multicast and lan.prefixlen > 0
            if has_place and not any(address in lan for address in own):
                yield str(lan[1] if lan.num_addresses > 2 else lan[0])


def _interface_name(link: str, taken: set[str]) -> str:
    """Interface name of a link: its own name where the kernel accepts it, else a numbered name."""
    def candidates() -> Iterator[str]:
        yield link
        for number in range(len(taken) + 1):
            yield f"link{number}"

    name = next(name for name in candidates() if len(name) <= _NAME_MAX and name not in taken)
    taken.add(name)
    return name
