"""Servers of the lab whose headers are rewritten: on a LAN of their own, with a router between them and the depot.

    depot ── ROUTER ── servers

The servers' default route leads by the router to the depot, and the depot's route to them by the router. The router's
addresses there are the first free ones of the servers' networks. Depots of a set are on a LAN with the router, whose
default route leads to the address that moves with the active depot; this LAN is that address's network.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, NamedTuple

from atmdepot.config.server_gateways import server_gateways
from atmdepot.lab.lans import Member
from atmdepot.lab.servers import INTERFACE, PREFIXES

if TYPE_CHECKING:
    from atmdepot.config.model import Network

ROUTER = "router"
"""The kind of the node, and a part of its name, which no node of a table has."""
ROUTER_NODE = "servers.router"
SERVERS_LAN = "lan.servers"
"""The node that bridges the servers' LAN."""
ROUTERS_LAN = "lan.router"
"""The node that bridges the LAN of several depots and the router."""
_PORT = "servers"
"""The depot's interface to the router, where the table names none."""
_BETWEEN = {4: "10.63.0.0/24", 6: "fd00:63::/64"}
"""The network between depot and router, where no address there moves with the active depot."""

Subnet = ipaddress.IPv4Network | ipaddress.IPv6Network


class _Between(NamedTuple):
    """The network of an IP version between the depots and the router, with the addresses of all there."""

    subnet: Subnet
    depots: list[str]
    router: str
    gateway: str
    """The router's default gateway: an address that moves, or the only depot's."""


def names(network: Network) -> list[str]:
    """The servers whose headers are rewritten."""
    return [name for name, server in network.servers.items() if server.bearer == "rewrite"]


def way_to_router(network: Network) -> list[Member]:
    """The depots and the router, on the network between them; nothing in a table without such servers."""
    if not names(network):
        return []
    between, port = _between(network), _port(network)
    found = [Member(depot, port, tuple(f"{way.depots[at]}/{way.subnet.prefixlen}" for way in between.values()))
             for at, depot in enumerate(network.depots)]
    return [*found, Member(ROUTER_NODE, "depot",
                           tuple(f"{way.router}/{way.subnet.prefixlen}" for way in between.values()))]


def _port(network: Network) -> str:
    """The depots' interface to the router."""
    return next((port for name in names(network) if (port := network.servers[name].port) is not None), _PORT)


def moving_networks(network: Network) -> dict[Subnet, str]:
    """The networks of the addresses that move with the active depot at the router's side, each with its address."""
    return {ipaddress.ip_network(address.network): str(address.host) for of in network.sets.values()
            for address in server_gateways(network, of).get(_port(network), ()) if names(network)}


def has_room(network: Network, subnet: Subnet) -> bool:
    """True where a network that an address moves in has room for the depots and the router, and no server in it."""
    hosts = sum(1 for name in names(network) for address in network.servers[name].pool or ()
                if ipaddress.ip_address(address) in subnet) + len(network.depots) + 2
    return subnet.num_addresses >= hosts + 2 and not any(
        subnet.overlaps(other) for other in subnets(network) if other.version == subnet.version)


def _between(network: Network) -> dict[int, _Between]:
    """The networks between the depots and the router, by IP version."""
    found: dict[int, _Between] = {}
    moving = moving_networks(network)
    pools = {str(address) for name in names(network) for address in network.servers[name].pool or ()}
    for version in dict.fromkeys(subnet.version for subnet in subnets(network)):
        there = [subnet for subnet in moving if subnet.version == version]
        subnet = there[0] if there else ipaddress.ip_network(_BETWEEN[version])
        taken = pools | ({moving[subnet]} if there else set())
        free = (str(host) for host in subnet.hosts() if str(host) not in taken)
        depots = [next(free) for _ in network.depots]
        found[version] = _Between(subnet, depots, next(free), moving[subnet] if there else depots[0])
    return found


def servers_lan(network: Network) -> list[Member]:
    """The router and the servers on their LAN."""
    found = [Member(name, INTERFACE, tuple(f"{address}/{PREFIXES[address.version]}"
                                           for address in network.servers[name].address)) for name in names(network)]
    gateways = tuple(f"{gateway}/{subnet.prefixlen}" for subnet, gateway in _gateways(network).items())
    return [Member(ROUTER_NODE, "servers", gateways), *found] if found else []


def subnets(network: Network) -> list[Subnet]:
    """The servers' networks."""
    return list(dict.fromkeys(
        ipaddress.ip_network((str(address), PREFIXES[address.version]), strict=False)
        for name in names(network) for address in network.servers[name].address))


def _gateways(network: Network) -> dict[Subnet, str]:
    """The router's address in each of the servers' networks."""
    taken = {str(address) for name in names(network) for address in network.servers[name].address}
    return {subnet: next(str(host) for host in subnet.hosts() if str(host) not in taken)
            for subnet in subnets(network)}


def default_gateways(network: Network) -> dict[str, tuple[str, ...]]:
    """The gateways of the default routes of the router and of the servers, one of each IP version."""
    if not names(network):
        return {}
    found = {ROUTER_NODE: tuple(way.gateway for way in _between(network).values())}
    gateways = _gateways(network)
    for name in names(network):
        own = [ipaddress.ip_address(address) for address in network.servers[name].address]
        found[name] = tuple(gateway for subnet, gateway in gateways.items() if any(ip in subnet for ip in own))
    return found


def routes_of_the_depots(network: Network) -> dict[str, tuple[tuple[str, str], ...]]:
    """The routes of each depot to the servers' networks: each network and the router's address."""
    if not names(network):
        return {}
    between = _between(network)
    routes = tuple((str(subnet), between[subnet.version].router) for subnet in subnets(network))
    return dict.fromkeys(network.depots, routes)
