"""Limits of the lab: a valid table may describe a network that the lab cannot bring up.

In the lab each node is a machine of its own, and there is no name service. `check` reports these problems beforehand,
and the lab refuses a table by the same rules.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from atmdepot.config.addresses import ip_of
from atmdepot.config.problem import Problem
from atmdepot.lab.web import web_servers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.config.model import Network

CLIENT = "client"
"""The node that the lab adds; browsers and load generators run there."""

_MOST_PORTS = 4000
"""Ports of a web server; on two addresses each, they fit into nginx's 8192 connections (`web.py`)."""


def lab_problems(network: Network, *, web: bool = True) -> list[Problem]:
    """Problems that keep the lab from bringing a network up, with web servers or without."""
    found = [*_names(network), *_servers(network), *_ends(network), *_metrics(network)]
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
    depot = network.depot
    if network.nodes[depot].tun == CLIENT:
        yield Problem(("nodes", depot, "tun"), f"in the lab \"{CLIENT}\" is the depot's interface to the client: write "
                                               "another name")


def _servers(network: Network) -> Iterator[Problem]:
    for name, server in network.servers.items():
        if server.address and network.nodes[server.node].kind == "edge":
            yield Problem(("servers", name, "address"), f"it has an address of its own, behind {server.node}: the lab "
                                                        "runs each server on its edge node, so take the address away")


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
    found = {link.ends[name].host for link in network.links_of(name).values()}
    # With `configure` the daemon adds these addresses itself.
    if node.configure:
        found |= {*node.address, *(network.vips if node.kind == "edge" else ())}
    if node.kind == "depot":
        found |= {str(ipaddress.ip_network(text)[1]) for text in network.lab.networks}
    return found


def _web_ports(network: Network) -> Iterator[Problem]:
    for server in web_servers(network):
        if len(server.ports) > _MOST_PORTS:
            yield Problem(("servers", server.name), f"in the lab a web server has at most {_MOST_PORTS} ports: "
                                                    f"take some of its {len(server.ports)} from its services")
        # The web server listens on every address of its node, so the metrics need another port.
        metrics = network.nodes[server.node].metrics
        if metrics is not None and metrics.port in server.ports:
            yield Problem(("nodes", server.node, "metrics"), f"{metrics}: in the lab {server.node}'s web server has "
                                                             f"port {metrics.port} of each address: write another")
