"""Servers of the lab whose headers are rewritten: on a LAN of their own, with a router between them and the depot.

    depot ── ROUTER ── servers

The servers' default route leads by the router to the depot, and the depot's route to them by the router. The router's
addresses there are the first free ones of the servers' networks.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from atmdepot.lab.lans import Member
from atmdepot.lab.servers import INTERFACE, PREFIXES

if TYPE_CHECKING:
    from atmdepot.config.model import Network

ROUTER = "router"
"""The kind of the node, and a part of its name, which no node of a table has."""
ROUTER_NODE = "servers.router"
SERVERS_LAN = "lan.servers"
"""The node that bridges the servers' LAN."""
_PORT = "servers"
"""The depot's interface to the router, where the table names none."""
_DEPOT = {4: "10.63.0.1", 6: "fd00:63::1"}
_ROUTER = {4: "10.63.0.2", 6: "fd00:63::2"}

Subnet = ipaddress.IPv4Network | ipaddress.IPv6Network


def names(network: Network) -> list[str]:
    """The servers whose headers are rewritten."""
    return [name for name, server in network.servers.items() if server.bearer == "rewrite"]


def way_to_router(network: Network) -> list[Member]:
    """The depot and the router, on the network between them; nothing in a table without such servers."""
    if not names(network):
        return []
    port = next((port for name in names(network) if (port := network.servers[name].port) is not None), _PORT)
    versions = dict.fromkeys(subnet.version for subnet in subnets(network))
    return [Member(network.depot, port, tuple(f"{_DEPOT[version]}/{PREFIXES[version]}" for version in versions)),
            Member(ROUTER_NODE, "depot", tuple(f"{_ROUTER[version]}/{PREFIXES[version]}" for version in versions))]


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
    versions = dict.fromkeys(subnet.version for subnet in subnets(network))
    found = {ROUTER_NODE: tuple(_DEPOT[version] for version in versions)}
    gateways = _gateways(network)
    for name in names(network):
        own = [ipaddress.ip_address(address) for address in network.servers[name].address]
        found[name] = tuple(gateway for subnet, gateway in gateways.items() if any(ip in subnet for ip in own))
    return found


def routes_of_the_depot(network: Network) -> tuple[tuple[str, str], ...]:
    """The depot's routes to the servers' networks: each network and the router's address."""
    return tuple((str(subnet), _ROUTER[subnet.version]) for subnet in subnets(network))
