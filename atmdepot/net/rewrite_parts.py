"""The routes and rules on a depot's host by which answers of servers with rewritten headers come back to it.

With the clients' own addresses a policy rule leads what a server sends, or all that comes by its interface, into the
TUN device; what leaves the device goes by the main table. With a pool, the pool's addresses lead into the device. While
the daemon is down, a route of last resort drops such packets: else a client would reset a session whose packets come
from a server that it does not know. The addresses for which the active depot of a set answers move with its role
(`servers_side.py`).
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from atmdepot.net import proxies
from atmdepot.net.part import Part, bits_of, family_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.config.model import Network
    from atmdepot.config.pools import Server

_FIRST_TABLE = 5200
_MAIN_TABLE = 254
_FROM_DEVICE, _FROM_SERVERS = 5200, 5201
"""Priorities of the rules."""
_LAST_RESORT = 2**32 - 1
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def parts(network: Network, name: str, tun: int) -> Iterator[Part]:
    """The parts of a depot's host; `tun` is the index of its TUN device."""
    servers = [server for server in network.servers.values() if server.bearer == "rewrite"]
    answering = [server for server in servers if server.sees_clients]
    table, device = _FIRST_TABLE + network.depots.index(name), network.nodes[name].device
    versions = dict.fromkeys(address.version for server in answering for address in server.address)
    for version in versions:
        yield from _into_device(_FAMILIES[version], version, table, tun, device)
    yield from {part.text: part for server in answering for part in _rules(server, table)}.values()
    for address in dict.fromkeys(address for server in servers for address in server.pool or ()):
        route = {"dst": f"{address}/{bits_of(address)}", "family": family_of(address)}
        yield Part("route", route | {"oif": tun}, False, f"route {address} dev {device}")
        yield _last_resort(route, f"route {address} in the absence of {device}")
    if not network.set_of(name).server_gateway:
        yield from {part.text: part for server in servers for part in _proxies(server)}.values()


def _into_device(family: int, version: int, table: int, tun: int, device: str) -> Iterator[Part]:
    name = "IPv6 " if version == 6 else ""
    route = {"dst": "default", "table": table, "family": family}
    yield Part("route", route | {"oif": tun}, False, f"{name}route default dev {device} table {table}")
    yield _last_resort(route, f"{name}route default of table {table} in the absence of {device}")
    yield Part("rule", {"iifname": device, "table": _MAIN_TABLE, "priority": _FROM_DEVICE, "family": family}, True,
               f"{name}rule iif {device} lookup main")


def _last_resort(route: dict[str, Any], text: str) -> Part:
    return Part("route", route | {"type": "blackhole", "priority": _LAST_RESORT}, True, text)


def _rules(server: Server, table: int) -> Iterator[Part]:
    """The rules that lead a server's packets into the table."""
    for address in server.address:
        family = family_of(address)
        what: dict[str, Any] = {"table": table, "priority": _FROM_SERVERS, "family": family}
        if server.port is not None:
            name = "IPv6 " if address.version == 6 else ""
            yield Part("rule", {"iifname": server.port, **what}, True, f"{name}rule iif {server.port} lookup {table}")
        else:
            yield Part("rule", {"src": str(address), "src_len": bits_of(address), **what}, True,
                       f"rule from {address} lookup {table}")


def _proxies(server: Server) -> Iterator[Part]:
    """The neighbour entries by which the host answers for the addresses of a pool on the servers' network."""
    if server.port is None:
        return
    for address in server.pool or ():
        yield Part(proxies.WHAT, {"address": str(address), "port": server.port}, True,
                   f"answers for {address} on {server.port}")
