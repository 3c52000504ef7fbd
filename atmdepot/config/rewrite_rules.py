"""The rules for servers whose ends are written into packets (`bearer = "rewrite"`)."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from atmdepot.config.addresses import fault_of
from atmdepot.config.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.config.model import Network
    from atmdepot.config.pools import Server

_VERSIONS = (4, 6)
_EXAMPLES = {4: "192.0.2.10", 6: "2001:db8::10"}


def rewrite_problems(network: Network, name: str, server: Server) -> Iterator[Problem]:
    """Every mistake in a server's ends, in its pool, and in what depends on them."""
    path = ("servers", name)
    if len(network.sets) > 1:
        yield Problem((*path, "bearer"), f"its answers come back to one set of depots, and this table has "
                                         f"{len(network.sets)} ({', '.join(network.sets)}): write a table for each, or "
                                         "depots that stand by for one another to a set")
    yield from _addresses(network, name, server)
    yield from _own_connections(network, name, server)
    yield from _pool(network, name, server)
    if server.listen_port is not None:
        for other, service in network.services.items():
            if name in service.servers and len(service.ports) != 1:
                yield Problem((*path, "listen_port"), f"it stands for the one port of a service, and \"{other}\" has "
                                                      f"{len(service.ports) or 'every port'}: leave it out, or give "
                                                      "the service one port")
    if any(server.port == network.nodes[depot].device for depot in network.depots):
        yield Problem((*path, "port"), f"\"{server.port}\" is the depot's TUN device: write the interface by which the "
                                       "server's packets come")


def _own_connections(network: Network, name: str, server: Server) -> Iterator[Problem]:
    """Check that what a server sends by itself can be told from answers to clients, by its port or by the pool."""
    for other, service in network.services.items():
        if server.sees_clients and name in service.servers and not service.ports:
            yield Problem(("servers", name, "source"),
                          f"service \"{other}\" has every port of this server, so what the server sends by itself, "
                          "such as questions to a name server, would pass for answers to clients, and be dropped: "
                          "write ports for the service, or source = \"depot\" and a pool here")


def names_taken(network: Network, port: str) -> Iterator[Problem]:
    """The names of the table that the bearer's own port would have."""
    if any(server.bearer == "rewrite" for server in network.servers.values()) and port in network.links:
        yield Problem(("links", port), "rewritten packets are counted under this name: write another name for the link")


def _versions_needed(network: Network, name: str) -> set[int]:
    return {vip.version for service in network.services.values() if name in service.servers for vip in service.vip}


def _addresses(network: Network, name: str, server: Server) -> Iterator[Problem]:
    path = ("servers", name, "address")
    for version in _VERSIONS:
        own = [address for address in server.address if address.version == version]
        if len(own) > 1:
            yield Problem(path, f"{own[0]} and {own[1]}: packets of IPv{version} go to one address: write one")
        elif not own and version in _versions_needed(network, name):
            yield Problem(path, f"its services have an IPv{version} address, so packets of IPv{version} come for it: "
                                f"write its own, such as \"{_EXAMPLES[version]}\", too")
    for other, settings in network.servers.items():
        if other != name and settings.bearer == "rewrite" and (shared := set(server.address) & set(settings.address)) \
                and (server.listen_port or 0) == (settings.listen_port or 0):
            yield Problem(path, f"\"{other}\" has {next(iter(shared))}, too, so their answers could not be told apart: "
                                "write another address or listen_port")
            return


def _pool(network: Network, name: str, server: Server) -> Iterator[Problem]:
    path = ("servers", name, "pool")
    if server.sees_clients:
        if server.pool is not None:
            yield Problem(path, "packets keep the clients' own addresses (source = \"client\"): leave the pool out, or "
                                "write source = \"depot\"")
        return
    pool = server.pool or []
    for version in _versions_needed(network, name) - {address.version for address in pool}:
        yield Problem(path, f"source = \"depot\" needs addresses that stand for the clients: write pool = "
                            f"[\"{_EXAMPLES[version]}\"], of IPv{version}")
    taken = {str(vip): "a service address" for vip in network.vips}
    taken |= {str(address): f"the address of \"{node}\"" for node, settings in network.nodes.items()
              for address in settings.address}
    taken |= {str(address): f"the address of server \"{other}\"" for other, settings in network.servers.items()
              for address in settings.address}
    for address in pool:
        if fault := fault_of(ipaddress.ip_address(address)):
            yield Problem(path, fault)
        elif str(address) in taken:
            yield Problem(path, f"{address} is {taken[str(address)]}: write one that no host has")
    if len(set(pool)) < len(pool):
        yield Problem(path, "an address is there twice: write each once")
