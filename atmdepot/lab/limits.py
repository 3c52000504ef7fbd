"""Limits of the lab: a valid table may describe a network that the lab cannot bring up.

In the lab each node is a machine of its own, and there is no name service. `check` reports these problems beforehand,
and the lab refuses a table by the same rules.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from atmdepot.config.addresses import ip_of
from atmdepot.config.problem import Problem
from atmdepot.config.server_gateways import ports_of
from atmdepot.lab.lans import CLIENT, SYNC, SYNC_PREFIXES, clients_lan, has_lan, interface_of
from atmdepot.lab.pages import ORIGIN
from atmdepot.lab.routed_servers import has_room, moving_networks
from atmdepot.lab.servers import PREFIXES, gateways
from atmdepot.lab.web import web_servers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.config.model import Network
    from atmdepot.config.pools import DepotSet
    from atmdepot.config.units import InterfaceAddress

_MOST_PORTS = 4000
"""Ports of a web server; on two addresses each, they fit into nginx's 8192 connections (`web.py`)."""


def lab_problems(network: Network, *, web: bool = True) -> list[Problem]:
    """Problems that keep the lab from bringing a network up, with web servers or without."""
    found = [*_names(network), *_servers(network), *_ends(network), *_sync(network), *_gateways(network)]
    # Addresses on the LANs are worked out only where those are right.
    found = found or list(_metrics(network))
    return [*found, *_web_ports(network)] if web else found


def told(problem: Problem) -> str:
    """A problem as a line, as `check` writes problems of the table."""
    return f"{'.'.join(problem.path)}: {problem.message}"


def is_routable(host: str) -> bool:
    """True when a host is an address that leads to another machine (neither loopback nor unspecified)."""
    ip = ip_of(host)
    return ip is not None and not (ip.is_loopback or ip.is_unspecified)


def _names(network: Network) -> Iterator[Problem]:
    if CLIENT in network.nodes:
        yield Problem(("nodes", CLIENT), f"the lab adds a node \"{CLIENT}\" of its own: give nodes.{CLIENT} another "
                                         "name")
    if ORIGIN in network.nodes.keys() | network.servers.keys() and network.proxies:
        yield Problem(("nodes", ORIGIN), f"the lab adds a node \"{ORIGIN}\", from which proxies fetch: write another "
                                         "name")
    for depot in network.depots:
        interface = interface_of(network, depot)
        if interface in (network.nodes[depot].tun, SYNC):
            key = ("nodes", depot, "tun")
            if interface == SYNC or interface != CLIENT:
                key = ("depots", network.name_of_set_of(depot), "interface")
            yield Problem(key, f"in the lab \"{interface}\" is the depot's interface to the "
                               f"{'other depots' if interface == SYNC else 'client'}: write another name")


def _servers(network: Network) -> Iterator[Problem]:
    for name, server in network.servers.items():
        if server.address and not server.stands_alone and network.nodes[server.node].kind == "edge":
            yield Problem(("servers", name, "address"), f"it has an address of its own, behind {server.node}: the lab "
                                                        "runs each server on its edge node, so leave the address out")


def _ends(network: Network) -> Iterator[Problem]:
    """Problems of link ends: each needs an IP address, and each node of ours needs addresses of its own."""
    owners: dict[str, str] = {}
    for name, link in network.links.items():
        kinds = [network.nodes[node].kind for node in link.ends]
        # The lab lacks external equipment, so a link to it needs no address that leads there.
        inside = "external" not in kinds
        for node, address in link.ends.items():
            path = ("links", name, "ends", node)
            if ip_of(address.host) is None:
                yield Problem(path, f"{address}: the lab needs an IP address here, not a name")
            elif inside and not is_routable(address.host):
                yield Problem(path, f"{address}: this address does not lead from one machine to another, and in the "
                                    "lab each node is a machine of its own: write one such as 172.31.1.1")
            if network.nodes[node].kind == "external" or not is_routable(address.host):
                continue
            if owners.setdefault(address.host, node) != node:
                yield Problem(path, f"{address}: {owners[address.host]} has the same IP address; in the lab each node "
                                    "is a machine of its own, so write another")


def _sync(network: Network) -> Iterator[Problem]:
    """Problems of the sync addresses, which in the lab lie on a LAN of their own."""
    others = {address.host for link in network.links.values() for address in link.ends.values()}
    lans = [ipaddress.ip_network(text) for text in network.lab.networks]
    for name, of in network.sets.items():
        networks = set()
        for node, address in of.sync.items():
            path = ("depots", name, "sync", node)
            ip = ip_of(address.host)
            if ip is None or not is_routable(address.host):
                yield Problem(path, f"{address}: the lab needs the IP address of a machine here, such as 10.60.0.1")
                continue
            networks.add(ipaddress.ip_interface(f"{ip}/{SYNC_PREFIXES[ip.version]}").network)
            if address.host in others or any(ip in lan for lan in lans):
                yield Problem(path, f"{address}: in the lab the depots of a set have a LAN of their own for this: "
                                    "write an address that no link and no network of the lab has")
        if len(networks) > 1:
            yield Problem(("depots", name, "sync"), "in the lab these addresses lie on one LAN: write addresses of one "
                                                    "network (/24, or /64 for IPv6)")


def _is_on(gateway: InterfaceAddress, lan: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    """True for an address of a LAN, with the LAN's prefix or a longer one."""
    own = ipaddress.ip_network(gateway.network)
    return own.network_address in lan and own.prefixlen >= lan.prefixlen


def _gateways(network: Network) -> Iterator[Problem]:
    """Problems of gateways, to which the client's routes lead, and of room on the clients' LAN."""
    lans = list(map(ipaddress.ip_network, network.lab.networks))
    for name, of in network.sets.items():
        for address in of.gateway:
            if not any(_is_on(address, lan) for lan in lans):
                yield Problem(("depots", name, "gateway"), f"{address}: no network of the lab is {address.network}: "
                                                           f"write it to networks in [lab]")
        if of.stands_by and not of.gateway:
            yield Problem(("depots", name, "gateway"), "in the lab the client's route leads to an address that moves "
                                                       "with the active depot: write gateway and interface")
        yield from _watch(name, of)
        yield from _server_gateways(name, of, network)
    if has_lan(network) and any(len(member.addresses) < len(lans) for member in clients_lan(network)):
        yield Problem(("lab", "networks"), "the client, the depots and their gateways have no room there: write a "
                                           "network with more addresses")


def _server_gateways(name: str, of: DepotSet, network: Network) -> Iterator[Problem]:
    """Problems of servers that would have no way back in networks of the lab's size, and with its router."""
    if of.server_gateway and len(ports_of(network, "rewrite")) > 1:
        yield Problem(("depots", name, "server_gateway"), "in the lab one router is before all servers with rewritten "
                                                          "headers: write the same port for each")
    for subnet in moving_networks(network) if of.server_gateway else ():
        if not has_room(network, subnet):
            yield Problem(("depots", name, "server_gateway"),
                          f"in the lab a router is between the depots and servers with rewritten headers, and {subnet} "
                          "is the servers' own network, or has no room for the depots and the router: write an address "
                          "in another one")
    own = gateways(network) if of.server_gateway else {}
    versions = {vip.version for vip in network.vips}
    for server, found in own.items():
        if missing := versions - {ipaddress.ip_address(address).version for address in found}:
            yield Problem(("depots", name, "server_gateway"),
                          f"in the lab the networks of servers are {' and '.join(f'/{n}' for n in PREFIXES.values())}, "
                          f"and no gateway of IPv{min(missing)} is in one of {server}: write an address there, or an "
                          f"address to servers.{server}")


def _watch(name: str, of: DepotSet) -> Iterator[Problem]:
    for node, interface in of.watch.items():
        if interface != (of.interface or CLIENT):
            yield Problem(("depots", name, "watch", node), f"in the lab a depot sees the clients' packets on the "
                                                           f"interface to them: write \"{of.interface or CLIENT}\"")


def _metrics(network: Network) -> Iterator[Problem]:
    for name, node in network.nodes.items():
        if node.metrics is None or node.kind == "external" or node.metrics.host == "localhost":
            continue
        ip = ip_of(node.metrics.host)
        if ip is None:
            yield Problem(("nodes", name, "metrics"), f"{node.metrics}: the lab needs an IP address here, not a name")
        elif is_routable(node.metrics.host) and node.metrics.host not in _addresses_of(network, name):
            yield Problem(("nodes", name, "metrics"), f"{node.metrics}: in the lab {name} has no such address: write "
                                                      f"0.0.0.0:{node.metrics.port}")


def _addresses_of(network: Network, name: str) -> set[str]:
    """Addresses that a node has in the lab while its daemon runs."""
    node = network.nodes[name]
    found = {link.ends[name].host for link in network.links.values() if name in link.ends}
    # With `configure` the daemon adds these addresses itself.
    if node.configure:
        found |= {*node.address, *(network.vips if node.kind == "edge" else ())}
    if node.kind == "depot":
        own = next(member for member in clients_lan(network) if member.node == name)
        found |= {str(ipaddress.ip_interface(address).ip) for address in own.addresses}
        found |= {address.host for depot, address in network.set_of(name).sync.items() if depot == name}
    return found


def _web_ports(network: Network) -> Iterator[Problem]:
    for server in web_servers(network):
        if len(server.ports) > _MOST_PORTS:
            yield Problem(("servers", server.name), f"in the lab a web server has at most {_MOST_PORTS} ports: "
                                                    f"take some of its {len(server.ports)} from its services")
        # The web server listens on every address of its node, so the metrics need another port.
        metrics = network.nodes[server.node].metrics if server.node in network.nodes else None
        if metrics is not None and metrics.port in server.ports:
            yield Problem(("nodes", server.node, "metrics"), f"{metrics}: in the lab {server.node}'s web server has "
                                                             f"port {metrics.port} of each address: write another")
