"""Rules for who has an address of a VC table: no UDP address, IP address or service is there twice."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from atmdepot.config.addresses import fault_of
from atmdepot.config.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.config.model import Network


def uniqueness_problems(network: Network) -> Iterator[Problem]:
    """Check that no UDP address of a link, and no IP address of a node or service, is used twice."""
    taken: dict[object, str] = {}
    yield from _link_ends(network, taken)
    for name, node in network.nodes.items():
        for ip in node.address:
            yield from _take(taken, ip, ("nodes", name, "address"), "write another address")
    yield from _services(network, taken)


def _link_ends(network: Network, taken: dict[object, str]) -> Iterator[Problem]:
    for name, link in network.links.items():
        for node, address in link.ends.items():
            path = ("links", name, "ends", node)
            # Port 0 stands for `*`, any port: it takes no address of its own.
            if address.port:
                yield from _take(taken, address, path, "write another port or address")
            elif network.nodes[node].kind != "external":
                yield Problem(path, f"\"{node}\" must listen on a port that the far end knows: write "
                                    f"{address.host}:5501")


def _take(taken: dict[object, str], address: object, path: tuple[str, ...], remedy: str) -> Iterator[Problem]:
    if address in taken:
        yield Problem(path, f"the address {address} is already taken by {taken[address]}: {remedy}")
    taken.setdefault(address, ".".join(path))


def _services(network: Network, taken: dict[object, str]) -> Iterator[Problem]:
    """Check that each VIP is free and can be routed, and that no two services take one port of it."""
    hosts = {address.host: f"links.{name}.ends.{node}" for name, link in network.links.items()
             for node, address in link.ends.items()}
    served: dict[tuple[str, str], dict[int, str]] = {}
    for name, service in network.services.items():
        ports = service.ports or [0]
        for vip in service.vip:
            texts = list(_faults_of(vip, hosts, taken))
            for protocol in service.offered:
                there = served.setdefault((vip, protocol), {})
                texts += _clashes(vip, ports, there)
                there |= dict.fromkeys(ports, name)
            yield from (Problem(("services", name, "vip"), text) for text in texts)


def _faults_of(vip: str, hosts: dict[str, str], taken: dict[object, str]) -> Iterator[str]:
    ip = ipaddress.ip_address(vip)
    if ip.is_loopback or ip.is_link_local or fault_of(ip):
        yield f"{vip} cannot be routed to the depot: write an address that no host has, such as \"10.80.0.1\""
    if vip in hosts:
        yield f"the address {vip} is that of a host, at {hosts[vip]}: write one that no host has"
    if vip in taken:
        yield f"the address {vip} is already taken by {taken[vip]}"


def _clashes(vip: str, ports: list[int], there: dict[int, str]) -> Iterator[str]:
    """Tell the first port that another service has; port 0 stands for every port, so it clashes with each."""
    for port in ports:
        clash = there.get(port) or there.get(0) or (next(iter(there.values()), None) if not port else None)
        if clash is not None:
            yield f"{vip} port {port or 'any'} is already taken by services.{clash}: write other ports or another VIP"
            return
