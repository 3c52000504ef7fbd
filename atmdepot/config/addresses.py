"""Rules for the addresses of a VC table: a machine can have each address, and its peers can reach it.

The daemons can bind, assign and send to every address that passes these rules, as far as the table decides that.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from atmdepot.config.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.config.links import Link
    from atmdepot.config.model import Network

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
_BROADCAST = ipaddress.ip_address("255.255.255.255")
_IPV6_MIN_MTU = 1280
_LONGEST_NAME = 253
_NO_DEVICES = {".", "..", "lo", "all", "default"}
"""Names that the kernel refuses for a TUN device, or uses itself."""


def ip_of(host: str) -> Ip | None:
    """The IP address that `host` spells, if it is not a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def fault_of_name(name: str) -> str:
    """Say why a text cannot be a host name; empty for a valid name (RFC 1123 section 2.1; underscores are allowed)."""
    try:
        if re.fullmatch(r"[\w.-]+", name) and len(name.encode("idna")) <= _LONGEST_NAME:
            return ""
    except UnicodeError:
        pass
    return (f"{name!r} is no name of a host: write letters, digits and '-', and dots between its parts of at most 63, "
            "as in \"depot.example\"")


def fault_of(address: Ip) -> str:
    """Say why an address cannot belong to a single machine; empty when it can (RFC 1122 3.2.1.3, RFC 4291)."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return f"{address} is an IPv4 address in the form of IPv6: write {address.ipv4_mapped}"
        if address.is_link_local:
            return f"{address} is a link-local address: write an address that is routed"
    elif address == _BROADCAST:
        return f"{address} is a broadcast address: write the address of one machine"
    if address.is_multicast:
        return f"{address} is a multicast address: write the address of one machine"
    if address.is_unspecified or address in _THIS_NETWORK:
        return f"{address} is the address of no machine: write the address of one"
    return ""


def address_problems(network: Network) -> Iterator[Problem]:
    """Every mistake in the addresses of links, nodes and servers, and in their devices and metrics pages."""
    for name, link in network.links.items():
        yield from _link(network, name, link)
    yield from _wildcards(network)
    yield from _nodes(network)
    yield from _servers(network)


def _link(network: Network, name: str, link: Link) -> Iterator[Problem]:
    ips = {node: ip_of(address.host) for node, address in link.ends.items()}
    for node, ip in ips.items():
        path = ("links", name, "ends", node)
        far = link.other_end(node)
        if ip is None:
            if fault := fault_of_name(link.ends[node].host):
                yield Problem(path, fault)
        elif ip.is_unspecified:
            # A wildcard end of ours is fine if its far end is external: then no daemon of ours has to send to it.
            if network.nodes[far].kind != "external" or network.nodes[node].kind == "external":
                yield Problem(path, f"{link.ends[node]}: this address does not lead from one machine to another, so "
                                    f"{far} cannot send to it: write the one that \"{node}\" has")
        elif fault := fault_of(ip):
            yield Problem(path, fault)
    one, other = ips.values()
    if one is None or other is None:
        return
    if one.version != other.version:
        yield Problem(("links", name, "ends"), f"{one} and {other} are of different versions of IP: write two of one")
    elif one.is_loopback != other.is_loopback and not (one.is_unspecified or other.is_unspecified):
        node = next(node for node, ip in ips.items() if ip is not None and ip.is_loopback)
        far = link.other_end(node)
        yield Problem(("links", name, "ends", node), f"{link.ends[node]}: this address does not lead from one machine "
                                                     f"to another, as that of {far} does: write two of one kind")


def _wildcards(network: Network) -> Iterator[Problem]:
    """Check that a link end at all addresses of a node (0.0.0.0 or ::) shares its port with no other end there."""
    seen: dict[tuple[str, int], list[tuple[str, Ip]]] = {}
    for name, link in network.links.items():
        for node, address in link.ends.items():
            ip = ip_of(address.host)
            # A daemon of ours binds only addresses of our nodes; the address of a name is not known here.
            if ip is None or network.nodes[node].kind == "external":
                continue
            others = seen.setdefault((node, address.port), [])
            for other, other_ip in others[:1]:
                if (ip.is_unspecified or other_ip.is_unspecified) and _overlap(ip, other_ip):
                    yield Problem(("links", name, "ends", node), f"port {address.port} of {ip} is already taken by "
                                                                 f"links.{other}.ends.{node}: write another port")
            # Keep a wildcard address first: `others[:1]` compares the next end with it.
            others.insert(0 if ip.is_unspecified or not others else 1, (name, ip))


def _overlap(one: Ip, other: Ip) -> bool:
    """True when a wildcard address covers the other address, which a socket then cannot bind at the same port.

    At least one address is a wildcard. :: covers IPv4 as well (RFC 3493 section 3.7).
    """
    return one.version == other.version or any(ip.version == 6 and ip.is_unspecified for ip in (one, other))


def _nodes(network: Network) -> Iterator[Problem]:
    service6 = next((vip for vip in network.vips if vip.version == 6), None)
    ends = _hosts_of_ends(network)
    for name, node in network.nodes.items():
        path = ("nodes", name)
        for address in node.address:
            ip = ipaddress.ip_address(address)
            if fault := fault_of(ip):
                yield Problem((*path, "address"), fault)
            elif ip.is_loopback:
                yield Problem((*path, "address"), f"{ip} is a loopback address: write one that others know")
            elif (others := ends.get(address)) and name not in others:
                yield Problem((*path, "address"), f"{ip} is the address of \"{next(iter(others))}\" on a link: write "
                                                  "another")
        if node.metrics is not None and (fault := _fault_of_page(node.metrics.host)):
            yield Problem((*path, "metrics"), fault)
        if node.kind == "external":
            continue
        if node.device in _NO_DEVICES:
            key = "tun" if node.tap is None else "tap"
            yield Problem((*path, key), f"no {key.upper()} device can have the name \"{node.device}\": write another, "
                                        "\"atm0\"")
        ipv6 = next((address for address in node.address if address.version == 6), service6)
        if ipv6 and node.mtu < _IPV6_MIN_MTU:
            yield Problem((*path, "mtu"), f"an MTU of {node.mtu} is too small for {ipv6}: IPv6 needs {_IPV6_MIN_MTU} "
                                          "(RFC 8200 section 5)")


def _fault_of_page(host: str) -> str:
    """Say why a host cannot have a metrics page; a wildcard address can."""
    ip = ip_of(host)
    if ip is None:
        return fault_of_name(host)
    return "" if ip.is_unspecified else fault_of(ip)


def _hosts_of_ends(network: Network) -> dict[str, set[str]]:
    """The nodes that have a link end at each host address."""
    found: dict[str, set[str]] = {}
    for link in network.links.values():
        for node, address in link.ends.items():
            found.setdefault(address.host, set()).add(node)
    return found


def _servers(network: Network) -> Iterator[Problem]:
    vips = set(network.vips)
    for name, server in network.servers.items():
        path = ("servers", name, "address")
        for address in server.address:
            ip = ipaddress.ip_address(address)
            if fault := fault_of(ip):
                yield Problem(path, fault)
            elif ip.is_loopback:
                yield Problem(path, f"{ip} is the edge node itself: leave the address out, and the server is taken to "
                                    "run there")
            elif address in vips:
                yield Problem(path, f"{ip} is the service address, which leads to every server: write the one that "
                                    "this server has on its LAN")
