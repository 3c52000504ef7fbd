"""LANs of the lab: the clients' LAN, and one for the sync addresses of each set of depots.

On the clients' LAN several depots stand beside the client. A network with one depot and no gateway that moves has a
wire in its place.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.config.model import Network
    from atmdepot.config.pools import DepotSet

CLIENT = "client"
"""The node that the lab adds; browsers and load generators run there."""

CLIENTS_LAN = "lan.clients"
"""The node that bridges the clients' LAN; no node of a table has a dot in its name."""

SYNC = "sync"
"""Interface of a depot to the LAN of its set's sync addresses."""

SYNC_PREFIXES = {4: 24, 6: 64}
"""Prefix of the network in which the sync addresses of a set lie, by IP version."""


class Member(Struct, frozen=True):
    """A node on a LAN: its interface, and its addresses with their prefixes."""

    node: str
    interface: str
    addresses: tuple[str, ...]


def has_lan(network: Network) -> bool:
    """True when client and depots share a LAN: there are several depots, or a gateway that moves."""
    return len(network.depots) > 1 or any(of.gateway for of in network.sets.values())


def interface_of(network: Network, depot: str) -> str:
    """A depot's interface to the clients: that of its set, by default called as the client is."""
    return network.set_of(depot).interface or CLIENT


def clients_lan(network: Network) -> list[Member]:
    """The client and the depots, with addresses of the lab's networks that are no set's gateway, in that order.

    A depot without a gateway that moves comes first: its own address is the gateway.
    """
    depots = sorted(network.depots, key=lambda name: bool(network.set_of(name).gateway))
    lone = [name for name in depots if not network.set_of(name).gateway]
    order = [*lone[:1], CLIENT, *lone[1:], *depots[len(lone):]]
    found: dict[str, list[str]] = {name: [] for name in order}
    for text in network.lab.networks:
        subnet = ipaddress.ip_network(text)
        free = _free(network, subnet)
        for name in order:
            if (address := next(free, None)) is not None:
                found[name].append(f"{address}/{subnet.prefixlen}")
    interfaces = {CLIENT: "lan", **{name: interface_of(network, name) for name in depots}}
    return [Member(name, interfaces[name], tuple(addresses)) for name, addresses in found.items()]


def gateways_of(network: Network, name: str) -> list[str]:
    """The addresses by which clients reach a set, one of each IP version: gateways, or those of its first depot."""
    of = network.sets[name]
    own = next(member for member in clients_lan(network) if member.node == of.nodes[0])
    found = [str(ipaddress.ip_interface(address).ip) for address in of.gateway or own.addresses]
    return list({ipaddress.ip_address(address).version: address for address in reversed(found)}.values())[::-1]


def sets_of_vip(network: Network, vip: str) -> list[str]:
    """The sets from which a VP leads to a server of a VIP's services."""
    servers = [server for service in network.services.values() if vip in service.vip for server in service.servers]
    return [name for name, of in network.sets.items()
            if any(network.serves(of.nodes[0], server) for server in servers)]


def sync_lans(network: Network) -> dict[str, list[Member]]:
    """The LANs of the sync addresses, by the name of the node that bridges it."""
    return {f"sync.{name}": _sync_members(of) for name, of in network.sets.items() if of.sync}


def _sync_members(of: DepotSet) -> list[Member]:
    found = []
    for node, address in of.sync.items():
        ip = ipaddress.ip_address(address.host)
        found.append(Member(node, SYNC, (f"{ip}/{SYNC_PREFIXES[ip.version]}",)))
    return found


def _free(network: Network, subnet: ipaddress.IPv4Network | ipaddress.IPv6Network) -> Iterator[object]:
    """The host addresses of a network of the lab that no set has as its gateway."""
    taken = {str(address.host) for of in network.sets.values() for address in of.gateway}
    return (address for address in subnet.hosts() if str(address) not in taken)
