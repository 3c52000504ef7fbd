"""Parts of a host's set-up: the routes, rules and addresses that each kind of node needs beside its TUN device."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, NamedTuple

from atmdepot.config.circuits import circuits_of, is_group
from atmdepot.config.server_gateways import ports_of
from atmdepot.net import ethernet_parts, nftables, rewrite_parts
from atmdepot.net.part import Part, bits_of, family_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from atmdepot.config.model import Network
    from atmdepot.config.pools import BearerName

LOOPBACK = 1
"""The index of the loopback interface."""
_FIRST_TABLE = 5300
_SCOPE_LINK = 253  # on the device itself, so that it may be a gateway
_LOCAL_TABLE = 255
_RULE_PRIORITY = 5300


class HostNeeds(NamedTuple):
    """Needs of a kind of node on its host, beside its TUN device and the addresses of that."""

    parts: Callable[[Network, str, int], Iterator[Part]] = lambda *_: iter(())
    """Gives the parts of the node of a name in a VC table; the number is the index of its TUN device."""
    device: bool = True
    """False for a node without packets: it has no TUN device, and nothing of its host is set up."""
    forwarding: bool = False
    """True when the host must forward packets between its other interfaces and the TUN device."""
    keeps: bool = False
    """True when a reload takes no part away: sessions go on with servers that left the table."""


def towards_services(network: Network, name: str, tun: int) -> Iterator[Part]:
    """Parts that lead packets for the service addresses into a depot's TUN device."""
    for vip in network.vips:
        yield Part("route", {"dst": f"{vip}/{bits_of(vip)}", "oif": tun, "family": family_of(vip)}, False,
                   f"route {vip} dev {network.nodes[name].device}")


def from_services(network: Network, name: str, tun: int) -> Iterator[Part]:
    """Parts that lead packets from a service address out by an edge node's TUN device, if a way leads to the depot.

    The address is on this host, or on a server in the LAN behind it.
    """
    depot = next((end for vp in network.vps_of(name).values() for end in vp.ends if end in network.depots), None)
    if depot is None and not network.dlcis_of(name):  # PVCs of Frame Relay all lead there
        return
    table = _FIRST_TABLE + network.edges.index(name)
    server = next((s for s in network.servers.values() if s.node == name), None)
    # By a TAP device, the kernel sends frames to the depot's own addresses.
    routers = {} if network.nodes[name].tap is None or depot is None else {
        a.version: a for a in network.nodes[depot].address}
    for router in routers.values():
        yield Part("route", {"dst": f"{router}/{bits_of(router)}", "oif": tun, "scope": _SCOPE_LINK,
                             "family": family_of(router)}, False,
                   f"route {router} dev {network.nodes[name].device}")
    for vip in network.vips:
        family, bits = family_of(vip), bits_of(vip)
        version = "IPv6 " if vip.version == 6 else ""
        router_of = routers.get(vip.version)
        gateway = {} if router_of is None else {"gateway": str(router_of)}
        yield Part("route", {"dst": "default", "oif": tun, "table": table, "family": family, **gateway}, False,
                   f"{version}route default dev {network.nodes[name].device} table {table}")
        yield Part("rule", {"src": str(vip), "src_len": bits, "table": table, "priority": _RULE_PRIORITY,
                            "family": family}, True, f"rule from {vip} lookup {table}")
        via = next((a for a in server.address if a.version == vip.version), None) if server else None
        if via is not None:
            yield Part("route", {"dst": f"{vip}/{bits}", "gateway": str(via), "family": family}, True,
                       f"route {vip} via {via}")
        else:
            yield Part("addr", {"index": LOOPBACK, "address": str(vip), "prefixlen": bits, "family": family}, True,
                       f"address {vip} on lo")


def towards_networks(network: Network, name: str, tun: int) -> Iterator[Part]:
    """Parts that lead packets for the networks of a node's circuits into its TUN device."""
    for text in dict.fromkeys(text for circuit in circuits_of(network, name) for text in circuit.sends):
        family = socket.AF_INET6 if ":" in text else socket.AF_INET
        route = {"dst": "default" if text.endswith("/0") else text, "oif": tun, "family": family}
        if family == socket.AF_INET6 and is_group(text):
            # The kernel's own route to all groups of IPv6 is in this table, which comes before the others.
            route["table"] = _LOCAL_TABLE
        yield Part("route", route, False, f"route {text} dev {network.nodes[name].device}")


def _on_ethernet(network: Network, name: str, _tun: int) -> Iterator[Part]:
    """Parts that keep the kernel from forwarding what a depot takes at its interfaces."""
    for port in ports_of(network):
        table = ethernet_parts.table_name(network, name, port)
        yield Part(nftables.WHAT, {"name": table, "rules": ethernet_parts.rules(network, name, port)}, True,
                   f"nftables: answers of servers at {port} are the depot's alone")


OF_BEARERS: dict[BearerName, Callable[[Network, str, int], Iterator[Part]]] = {
    "ethernet": _on_ethernet, "rewrite": rewrite_parts.parts}
"""Parts of a depot's host that a bearer needs beside those of its packets; a bearer without needs has no row."""


def _of_a_depot(network: Network, name: str, tun: int) -> Iterator[Part]:
    yield from towards_services(network, name, tun)
    yield from towards_networks(network, name, tun)
    for bearer in network.bearers_of(name):
        if bearer in OF_BEARERS:
            yield from OF_BEARERS[bearer](network, name, tun)


def _of_an_edge_node(network: Network, name: str, tun: int) -> Iterator[Part]:
    yield from from_services(network, name, tun)
    yield from towards_networks(network, name, tun)


NEEDS = {"depot": HostNeeds(_of_a_depot, forwarding=True, keeps=True), "edge": HostNeeds(_of_an_edge_node),
         "switch": HostNeeds(device=False),
         "interworking": HostNeeds(device=False)}
"""By kind of node; a kind without a row has no needs but a device."""


def needs_of(network: Network, name: str) -> HostNeeds:
    """The needs of a node on its host."""
    return NEEDS.get(network.nodes[name].kind, HostNeeds())
