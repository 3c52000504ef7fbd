"""Servers of the lab that stand alone: each is a node of its own.

Those on Ethernet have the service addresses on their loopback, and are joined to the depot's interface that the table
names: one by a wire, several by a LAN. Their addresses are the table's; for an IP version of the services that a server
has no address of, the lab adds one. The first free address of each network is the depot's, and the servers' gateway.
Depots of a set each have one of these, and the gateway is the address that moves with the active depot.
Servers whose headers are rewritten stand behind a router (`routed_servers.py`).
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from atmdepot.config.server_gateways import ports_of, server_gateways
from atmdepot.lab.lans import Member

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.config.model import Network

SERVER = "server"
"""The kind of a node that is a server without an edge node."""

INTERFACE = "eth0"
"""A server's interface."""

PREFIXES = {4: 24, 6: 64}
"""Prefix of the network in which the servers at a port lie, by IP version."""

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


def standing_alone(network: Network) -> list[str]:
    """The servers that are nodes of the lab."""
    return [server.node for server in network.servers.values() if server.stands_alone]


def ethernets(network: Network) -> dict[str, list[Member]]:
    """The servers at each interface of a depot's, by its name; the depots come first."""
    found: dict[str, list[Member]] = {}
    for number, port in enumerate(ports_of(network)):
        of_servers = {server.node: list(_addresses(network, name, number, at)) for at, (name, server)
                      in enumerate(network.servers.items()) if server.port == port}
        subnets = dict.fromkeys(_subnet(address) for addresses in of_servers.values() for address in addresses)
        taken = {address for addresses in of_servers.values() for address in addresses}
        taken |= {address.ip for address in _moving(network, port)}
        free = [(host for host in subnet.hosts() if host not in taken) for subnet in subnets]
        found[port] = [*(Member(depot, port, tuple(_text(next(hosts)) for hosts in free)) for depot in network.depots),
                       *(Member(name, INTERFACE, tuple(map(_text, addresses)))
                         for name, addresses in of_servers.items())]
    return found


def _moving(network: Network, port: str) -> list[ipaddress.IPv4Interface | ipaddress.IPv6Interface]:
    """The addresses at a port that move with the active depot."""
    return [ipaddress.ip_interface(address) for of in network.sets.values()
            for address in server_gateways(network, of).get(port, ())]


def gateways(network: Network) -> dict[str, tuple[str, ...]]:
    """The gateways of each server: addresses in its networks that move, or the depot's; one of each IP version."""
    found = {}
    for port, members in ethernets(network).items():
        there = _moving(network, port) or [ipaddress.ip_interface(address) for address in members[0].addresses]
        for server in members[len(network.depots):]:
            mine = {ipaddress.ip_interface(address).network for address in server.addresses}
            by_version = {address.version: str(address.ip) for address in reversed(there)
                          if any(address.ip in subnet for subnet in mine)}
            found[server.node] = tuple(by_version.values())
    return found


def service_addresses(network: Network, server: str) -> tuple[str, ...]:
    """The VIPs of a server's services; none of one whose headers are rewritten, which does not know them."""
    name = next(name for name, settings in network.servers.items() if settings.node == server)
    if network.servers[name].bearer == "rewrite":
        return ()
    return tuple(dict.fromkeys(str(vip) for service in network.services.values() if name in service.servers
                               for vip in service.vip))


def _addresses(network: Network, name: str, port: int, at: int) -> Iterator[Ip]:
    """A server's addresses: the table's, and one of each other IP version that its services have."""
    own = [ipaddress.ip_address(address) for address in network.servers[name].address]
    yield from own
    for version in dict.fromkeys(vip.version for vip in network.vips):
        if all(address.version != version for address in own):
            yield ipaddress.ip_address(f"10.61.{port}.{at + 10}" if version == 4 else f"fd00:61:{port:x}::{at + 10:x}")


def _subnet(address: Ip) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network((address, PREFIXES[address.version]), strict=False)


def _text(address: Ip) -> str:
    return f"{address}/{PREFIXES[address.version]}"
