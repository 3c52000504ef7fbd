"""The way back of servers without edge nodes to a set of depots: addresses that move with the active depot.

A server on Ethernet, or with rewritten headers, has no edge node that would follow the active depot. Its route to the
clients, or that of the router before it, leads to one address, so that address is moved. Each is at the port
(`servers.X.port`) whose servers are in its network; where headers are rewritten the servers may be behind routers, and
the address is at the one port that they have. The addresses of pools, which stand for clients, move at the same ports.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from atmdepot.config.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.config.model import Network
    from atmdepot.config.pools import DepotSet, Server
    from atmdepot.config.units import InterfaceAddress, IpAddress

_EXAMPLES = {4: "10.62.0.1/24", 6: "fd00:62::1/64"}

Ports = dict[str, dict[str, "Server"]]


def ports_of(network: Network, *bearers: str) -> Ports:
    """The interfaces of a depot's that lead to servers of these bearers (Ethernet), each with its servers by name."""
    found: Ports = {}
    for name, server in network.servers.items():
        if server.bearer in (bearers or ("ethernet",)) and server.port is not None:
            found.setdefault(server.port, {})[name] = server
    return found


def _ways_back(network: Network) -> Ports:
    return ports_of(network, "ethernet", "rewrite")


def server_gateways(network: Network, of: DepotSet) -> dict[str, list[InterfaceAddress]]:
    """The addresses that move on the servers' side of a set, by the port at which they are."""
    found: dict[str, list[InterfaceAddress]] = {}
    for address in of.server_gateway:
        if (port := _port_of(network, address)) is not None:
            found.setdefault(port, []).append(address)
    return found


def pools_that_move(network: Network, of: DepotSet) -> dict[str, list[IpAddress]]:
    """The addresses that stand for clients and move with the active depot of a set, by the port at which they are."""
    if not of.server_gateway:
        return {}
    return {port: list(dict.fromkeys(address for server in servers.values() for address in server.pool or ()))
            for port, servers in ports_of(network, "rewrite").items()}


def moving_of(network: Network, depot: str) -> object:
    """All addresses on the servers' side that move with the active depot of a depot's set, by port."""
    of = network.set_of(depot)
    moving = server_gateways(network, of)
    return {port: (addresses, pools_that_move(network, of).get(port, ())) for port, addresses in moving.items()}


def _port_of(network: Network, address: InterfaceAddress) -> str | None:
    """The port with a server in the address's network, of several the first; else the one with rewritten headers."""
    lan = ipaddress.ip_network(address.network)
    for port, servers in _ways_back(network).items():
        if any(ipaddress.ip_address(own) in lan for server in servers.values() for own in server.address):
            return port
    rewritten = list(ports_of(network, "rewrite"))
    return rewritten[0] if len(rewritten) == 1 else None


def server_gateway_problems(network: Network) -> Iterator[Problem]:
    """Every mistake in the gateways of servers without edge nodes: missing, taken, or at no port of theirs."""
    ports = _ways_back(network)
    several = {name: of for name, of in network.own_sets.items() if len(of.nodes) > 1}
    if ports_of(network) and several and len(network.sets) > 1:
        first = next(name for servers in ports_of(network).values() for name in servers)
        yield Problem(("servers", first, "bearer"), f"a server on Ethernet answers to one set of depots, and this "
                                                    f"table has {len(network.sets)}: write a table for each set")
    for name, of in several.items():
        yield from _of_a_set(network, name, of, ports)


def _of_a_set(network: Network, name: str, of: DepotSet, ports: Ports) -> Iterator[Problem]:
    path = ("depots", name, "server_gateway")
    portless = [server for server, settings in network.servers.items()
                if settings.bearer == "rewrite" and settings.port is None]
    for server in portless:
        yield Problem(("servers", server, "port"), "its way back moves with the active depot of the set: write the "
                                                   "interface by which its packets come to each depot, such as "
                                                   "port = \"eth1\"")
    if portless:
        return
    if of.server_gateway and not ports:
        yield Problem(path, "no server of this table is on Ethernet or has rewritten headers, and edge nodes follow "
                            "the active depot by themselves: leave it out")
        return
    if ports and of.standby == "hot":
        yield Problem(("depots", name, "standby"), "a hot standby sees what servers send, and a server "
                                                   f"{_kind_of(ports)} sends to the active depot alone: write standby "
                                                   "= \"warm\"")
    yield from _missing(network, path, of, ports)
    yield from _misplaced(network, path, of)
    if ports and of.interface in ports:
        yield Problem(("depots", name, "interface"), f"\"{of.interface}\" leads to servers: write the interface to the "
                                                     "clients")


def _kind_of(ports: Ports) -> str:
    """The servers at ports, in words: of the first."""
    server = next(server for servers in ports.values() for server in servers.values())
    return "on Ethernet" if server.bearer == "ethernet" else "with rewritten headers"


def _missing(network: Network, path: tuple[str, ...], of: DepotSet, ports: Ports) -> Iterator[Problem]:
    there = server_gateways(network, of)
    for port, servers in ports.items():
        vips = {vip.version: vip for service in network.services.values()
                if any(name in servers for name in service.servers) for vip in service.vip}
        where = "in the network of one of these servers, whose default route it is"
        if len(ports) == 1 and all(server.bearer == "rewrite" for server in servers.values()):
            where = "to which the default route of these servers, or of the router before them, leads"
        for version, vip in sorted(vips.items()):
            if not any(address.host.version == version for address in there.get(port, ())):
                yield Problem(path, f"answers for {vip} from the servers at \"{port}\" need an IPv{version} address "
                                    f"that moves with the active depot, {where}: write one such as "
                                    f"\"{_EXAMPLES[version]}\"")


def _misplaced(network: Network, path: tuple[str, ...], of: DepotSet) -> Iterator[Problem]:
    taken = {str(address): f"nodes.{node}" for node, settings in network.nodes.items() for address in settings.address}
    taken |= {str(vip): "the VIP of a service" for vip in network.vips}
    for name, server in network.servers.items():
        taken |= {str(address): f"servers.{name}" for address in (*server.address, *(server.pool or ()))}
    taken |= {str(address.host): "gateway, on the clients' side" for address in of.gateway}
    for address in of.server_gateway:
        host = str(address.host)
        if host in taken:
            yield Problem(path, f"{host} is already taken by {taken[host]}: write an address that only the active "
                                "depot has")
        elif _port_of(network, address) is None:
            yield Problem(path, f"{_none_in(network)} has an address in {address.network}, so the port of this "
                                "gateway is not known: write an address in the servers' network, with its prefix")
        taken.setdefault(host, "server_gateway itself")


def _none_in(network: Network) -> str:
    return "no server at any of these ports" if ports_of(network, "rewrite") else "no server on Ethernet"
