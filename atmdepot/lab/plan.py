"""Plan of a VC table's lab: namespaces, wires, addresses and routes, as plain values.

    client ──lab.networks── depot ══a wire per link══ switches ══ edge nodes

Where there are several depots, a LAN joins the client and all of them (see `lans`): a node whose interfaces the kernel
bridges. The sync addresses of a set have a LAN of their own, so that it can be cut by itself.

This module does not touch the kernel: `wiring` carries out the plan.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from msgspec import Struct

from atmdepot.config.circuits import circuits_of
from atmdepot.errors import AtmdepotError
from atmdepot.lab import routed_servers
from atmdepot.lab.lans import CLIENT, CLIENTS_LAN, clients_lan, gateways_of, has_lan, sets_of_vip, sync_lans
from atmdepot.lab.limits import is_routable, lab_problems, told
from atmdepot.lab.pages import ORIGIN
from atmdepot.lab.proxies import ORIGIN_LAN, origin_lan
from atmdepot.lab.routed_servers import ROUTER
from atmdepot.lab.servers import SERVER, ethernets, gateways, service_addresses, standing_alone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.config.links import Link
    from atmdepot.config.model import Network
    from atmdepot.lab.lans import Member

BRIDGE = "bridge"
"""The bridge of a LAN, an interface of its node."""

LAN = "lan"
"""The kind of a node that is a LAN."""

CLIENT_MTU = 1500
"""Octets: clients sit on an Ethernet unless the caller gives another MTU."""

_CELL = 53
_FRAME_HEADER = 4
"""Octets of a frame of Frame Relay beside its packet."""
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
    """A veth pair between two nodes; its name is that of its link, or that of a node and its interface."""

    name: str
    ends: tuple[Interface, Interface]
    mtu: int


class Route(Struct, frozen=True):
    """A route of the client: an address (empty for the default route), and gateways of one IP version to share it."""

    destination: str
    gateways: tuple[str, ...]

    @property
    def version(self) -> int:
        """The IP version."""
        return ipaddress.ip_address(self.gateways[0]).version


class Plan(Struct, frozen=True):
    """Nodes, wires, addresses and routes that the lab sets up before it starts a process.

    `hubs` are LANs on which each node gets all packets, as on the hubs of 1997, for depots that watch one another's.
    """

    nodes: dict[str, str]
    wires: tuple[Wire, ...]
    loopback: dict[str, tuple[str, ...]]
    routes: tuple[Route, ...]
    hubs: tuple[str, ...] = ()
    gateways: dict[str, tuple[str, ...]] = {}
    """The gateways of servers that stand alone, and of a router in front of them, by node."""
    towards_servers: dict[str, tuple[tuple[str, str], ...]] = {}
    """The depots' routes to servers behind a router: networks and gateways, by node."""

    @property
    def routers(self) -> list[str]:
        """The nodes that forward packets; a switch has cells alone, a LAN frames."""
        return [name for name, kind in self.nodes.items()
                if kind not in (CLIENT, "switch", "interworking", LAN, SERVER)]

    @property
    def daemons(self) -> dict[str, str]:
        """The nodes that have a daemon, each with its kind."""
        return {name: kind for name, kind in self.nodes.items() if kind not in (CLIENT, LAN, SERVER, ROUTER)}

    def route_to(self, address: str) -> Route:
        """The client's route to an address: its own, or the default route."""
        version = ipaddress.ip_address(address).version
        return next(route for route in reversed(self.routes)
                    if route.destination in ("", address) and route.version == version)

    def wires_of(self, node: str) -> list[Wire]:
        """The wires with an end at a node."""
        return [wire for wire in self.wires if any(end.node == node for end in wire.ends)]


def plan_of(network: Network, client_mtu: int = CLIENT_MTU, *, web: bool = True) -> Plan:
    """Plan for a network; raise AtmdepotError with every problem that the lab has with the table."""
    if problems := lab_problems(network, web=web):
        raise AtmdepotError("\n".join(map(told, problems)))
    nodes = network.nodes
    ours: dict[str, str] = {name: node.kind for name, node in nodes.items() if node.kind != "external"}
    ours |= dict.fromkeys(standing_alone(network), SERVER)
    at_origin = origin_lan(network)
    ours |= {ORIGIN: SERVER} if at_origin else {}
    wires = [*_client_wires(network, client_mtu), *_sync_wires(network), *_ethernet_wires(network),
             *_routed_wires(network), *_lan_wires(ORIGIN_LAN, at_origin, CLIENT_MTU)]
    loopback: dict[str, tuple[str, ...]] = {name: service_addresses(network, name) for name in standing_alone(network)}
    # `all` and `default` stand beside the interfaces in the kernel's net.ipv4.conf.
    taken = {"lo", "all", "default", CLIENT, ORIGIN} | {node.device for node in nodes.values() if node.kind != "switch"}
    taken |= {end.name for wire in wires for end in wire.ends}
    for name, link in network.links.items():
        if set(link.ends) <= ours.keys():
            wires.append(_link_wire(name, _interface_name(name, taken), link, _datagram(network, name)))
        else:
            loopback |= _dead_end(link, ours, loopback)
    for name in nodes:
        if nodes[name].kind != "external" and (stubs := list(_stubs(network, name))):
            loopback[name] = tuple(dict.fromkeys((*loopback.get(name, ()), *stubs)))
    if routed_servers.names(network):
        ours[routed_servers.ROUTER_NODE] = ROUTER
    lans = dict.fromkeys(end.node for wire in wires for end in wire.ends if end.node not in {CLIENT, *ours})
    hot = any(of.standby == "hot" for of in network.sets.values())
    return Plan(nodes={CLIENT: CLIENT, **ours, **dict.fromkeys(lans, LAN)}, wires=tuple(wires), loopback=loopback,
                routes=tuple(_routes(network)), hubs=(CLIENTS_LAN,) if hot and CLIENTS_LAN in lans else (),
                gateways=gateways(network) | routed_servers.default_gateways(network),
                towards_servers=routed_servers.routes_of_the_depots(network))


def _client_wires(network: Network, mtu: int) -> Iterator[Wire]:
    """The wire between client and depot, or the wires of the LAN on which they all are."""
    members = clients_lan(network)
    if has_lan(network):
        yield from _lan_wires(CLIENTS_LAN, members, mtu)
        return
    depot, client = map(_interface, members)
    yield Wire(f"{depot.node}.{depot.name}", (depot, Interface(client.node, "depot", client.addresses)), mtu)


def _ethernet_wires(network: Network) -> Iterator[Wire]:
    """The wires of servers on Ethernet: a server alone at a port of the depot's needs no LAN."""
    for port, members in ethernets(network).items():
        if len(members) > 2:
            yield from _lan_wires(f"ethernet.{port}", members, CLIENT_MTU)
        else:
            one, other = map(_interface, members)
            yield Wire(f"{other.node}.{other.name}", (one, other), CLIENT_MTU)


def _routed_wires(network: Network) -> Iterator[Wire]:
    """The wires of servers behind a router: from the depot to it, of several a LAN, and a LAN of all servers."""
    if ends := routed_servers.way_to_router(network):
        if len(ends) > 2:
            yield from _lan_wires(routed_servers.ROUTERS_LAN, ends, CLIENT_MTU)
        else:
            depot, router = map(_interface, ends)
            yield Wire(f"{depot.node}.{depot.name}", (depot, router), CLIENT_MTU)
        yield from _lan_wires(routed_servers.SERVERS_LAN, routed_servers.servers_lan(network), CLIENT_MTU)


def _sync_wires(network: Network) -> Iterator[Wire]:
    for lan, members in sync_lans(network).items():
        yield from _lan_wires(lan, members, CLIENT_MTU)


def _lan_wires(lan: str, members: list[Member], mtu: int) -> Iterator[Wire]:
    taken = {"lo", "all", "default", BRIDGE}
    for member in members:
        port = Interface(lan, _interface_name(member.node, taken), ())
        yield Wire(f"{member.node}.{member.interface}", (_interface(member), port), mtu)


def _interface(member: Member) -> Interface:
    addresses = [address.split("/") for address in member.addresses]
    return Interface(member.node, member.interface, tuple(Address(local, int(bits)) for local, bits in addresses))


def _routes(network: Network) -> Iterator[Route]:
    """The client's routes: by default over all sets of depots, and to a VIP over the sets that serve it."""
    yield from _shared([gateway for name in network.sets for gateway in gateways_of(network, name)])
    for vip in network.vips:
        sets = sets_of_vip(network, vip)
        if len(sets) < len(network.sets):
            found = [gateway for name in sets for gateway in gateways_of(network, name)]
            yield from (Route(str(vip), route.gateways) for route in _shared(found) if route.version == vip.version)


def _shared(gateways: list[str]) -> Iterator[Route]:
    """A default route for each IP version of the gateways."""
    for version in dict.fromkeys(ipaddress.ip_address(gateway).version for gateway in gateways):
        yield Route("", tuple(g for g in gateways if ipaddress.ip_address(g).version == version))


def _datagram(network: Network, link: str) -> int:
    """Octets of the longest datagram of a link."""
    settings = network.links[link]
    if settings.bearer == "atm":
        return settings.cells * _CELL
    return max((of.mtu + _FRAME_HEADER for name, of in network.dlcis.items()
                if link in network.relay_links(name).values()), default=0)


def _link_wire(link_name: str, name: str, link: Link, datagram: int) -> Wire:
    """Wire of a link; each end gets its UDP address as a host address with the far end as its peer.

    Any pair of addresses works, in a common subnet or not, and a node may use an address on many links.
    """
    (one, here), (other, there) = ((node, address.host) for node, address in link.ends.items())
    bits = ipaddress.ip_address(here).max_prefixlen
    ends = (Interface(one, name, (Address(here, bits, there),)),
            Interface(other, name, (Address(there, bits, here),)))
    # The MTU holds a full datagram, so that it is neither fragmented nor refused by UDP_SEGMENT.
    return Wire(link_name, ends, min(_GREATEST_MTU, max(1500, datagram + _UDP_OVERHEAD)))


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
    """Interface name of a link, or of a LAN's port: its own name where the kernel accepts it, else a numbered name."""
    def candidates() -> Iterator[str]:
        yield link
        for number in range(len(taken) + 1):
            yield f"link{number}"

    name = next(name for name in candidates() if len(name) <= _NAME_MAX and name not in taken)
    taken.add(name)
    return name
