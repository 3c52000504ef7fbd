"""The way back of servers on Ethernet to a set of depots: addresses on their LANs that move with the active depot.

A server on Ethernet has no edge node that would follow the active depot. Its route to the clients leads to one address,
so that address is moved. Each is at the port (`servers.X.port`) whose servers are in its network.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from atmdepot.config.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.config.model import Network
    from atmdepot.config.pools import DepotSet, Server
    from atmdepot.config.units import InterfaceAddress

_EXAMPLES = {4: "10.62.0.1/24", 6: "fd00:62::1/64"}


def ports_of(network: Network) -> dict[str, dict[str, Server]]:
    """The interfaces of a depot's that lead to servers on Ethernet, each with its servers by their names."""
    found: dict[str, dict[str, Server]] = {}
    for name, server in network.servers.items():
        if server.bearer == "ethernet" and server.port is not None:
            found.setdefault(server.port, {})[name] = server
    return found


def server_gateways(network: Network, of: DepotSet) -> dict[str, list[InterfaceAddress]]:
    """The addresses that move on the servers' side of a set, by the port at which they are."""
    found: dict[str, list[InterfaceAddress]] = {}
    for address in of.server_gateway:
        if (port := _port_of(network, address)) is not None:
            found.setdefault(port, []).append(address)
    return found


def _port_of(network: Network, address: InterfaceAddress) -> str | None:
    """The port with a server in the address's network; of several ports the first."""
    lan = ipaddress.ip_network(address.network)
    return next((port for port, servers in ports_of(network).items()
                 if any(ipaddress.ip_address(own) in lan for server in servers.values() for own in server.address)),
                None)


def server_gateway_problems(network: Network) -> Iterator[Problem]:
    """Every mistake in the gateways of servers on Ethernet: missing, taken, or on no LAN of theirs."""
    ports = ports_of(network)
    several = {name: of for name, of in network.own_sets.items() if len(of.nodes) > 1}
    if ports and several and len(network.sets) > 1:
        first = next(name for servers in ports.values() for name in servers)
        yield Problem(("servers", first, "bearer"), f"a server on Ethernet answers to one set of depots, and this "
                                                    f"table has {len(network.sets)}: write a table for each set")
    for name, of in several.items():
        yield from _of_a_set(network, name, of, ports)


def _of_a_set(network: Network, name: str, of: DepotSet, ports: dict[str, dict[str, Server]]) -> Iterator[Problem]:
    path = ("depots", name, "server_gateway")
    if of.server_gateway and not ports:
        yield Problem(path, "no server of this table is on Ethernet, and edge nodes follow the active depot by "
                            "themselves: leave it out")
        return
    if ports and of.standby == "hot":
        yield Problem(("depots", name, "standby"), "a hot standby sees what servers send, and a server on Ethernet "
                                                   "sends to the active depot alone: write standby = \"warm\"")
    yield from _missing(network, path, of, ports)
    yield from _misplaced(network, path, of)
    if ports and of.interface in ports:
        yield Problem(("depots", name, "interface"), f"\"{of.interface}\" leads to servers: write the interface to the "
                                                     "clients")


def _missing(
    network: Network, path: tuple[str, ...], of: DepotSet, ports: dict[str, dict[str, Server]],
) -> Iterator[Problem]:
    there = server_gateways(network, of)
    for port, servers in ports.items():
        vips = {vip.version: vip for service in network.services.values()
                if any(name in servers for name in service.servers) for vip in service.vip}
        for version, vip in sorted(vips.items()):
            if not any(address.host.version == version for address in there.get(port, ())):
                yield Problem(path, f"answers for {vip} from the servers at \"{port}\" need an IPv{version} address "
                                    "that moves with the active depot, in the network of one of these servers, whose "
                                    f"default route it is: write one such as \"{_EXAMPLES[version]}\"")


def _misplaced(network: Network, path: tuple[str, ...], of: DepotSet) -> Iterator[Problem]:
    taken = {str(address): f"nodes.{node}" for node, settings in network.nodes.items() for address in settings.address}
    taken |= {str(vip): "the VIP of a service" for vip in network.vips}
    taken |= {str(address): f"servers.{name}" for name, server in network.servers.items() for address in server.address}
    taken |= {str(address.host): "gateway, on the clients' side" for address in of.gateway}
    for address in of.server_gateway:
        host = str(address.host)
        if host in taken:
            yield Problem(path, f"{host} is already taken by {taken[host]}: write an address that only the active "
                                "depot has")
        elif _port_of(network, address) is None:
            yield Problem(path, f"no server on Ethernet has an address in {address.network}, so the port of "
                                "this gateway is not known: write an address in the servers' network, with its prefix")
        taken.setdefault(host, "server_gateway itself")
