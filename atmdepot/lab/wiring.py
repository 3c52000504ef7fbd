"""Carry out a plan: interfaces, addresses, routes and kernel settings in each node's network namespace."""

from __future__ import annotations

import errno
import ipaddress
import select
import socket
import time
import zlib
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from atmdepot.errors import AtmdepotError, EnvironmentLacks
from atmdepot.lab.lans import CLIENT
from atmdepot.lab.namespaces import in_network_namespace
from atmdepot.lab.plan import BRIDGE, LAN
from atmdepot.wire.arp import REQUEST, Arp, ArpError, parse_arp
from atmdepot.wire.ethernet import mac_text
from atmdepot.wire.llc import ETHERTYPE_ARP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from atmdepot.lab.plan import Address, Interface, Plan, Route, Wire

_NODAD = 0x02
_DISCARD = 9
_LAST_RESORT = 2**32 - 1
_SYSCTL = Path("/proc/sys")
_PROBES = 2
_PROBE_WAIT = 0.25  # a container on the same bridge answers in a millisecond; a busy host wakes it later

# Reverse-path filters would drop packets that come out of a TUN with the client's source address. The kernel takes
# the stricter setting of `all` and the interface, so both are set, before there are interfaces. Duplicate address
# detection would keep IPv6 addresses unusable for a second, on wires that no third host can join.
_EVERYWHERE = {
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv6/conf/all/accept_dad": "0",
    "net/ipv6/conf/default/accept_dad": "0",
    "net/ipv6/conf/default/accept_ra": "0",
}
# ECMP by addresses and ports, so that a client's connections spread over the sets of depots.
_SHARED = {"net/ipv4/fib_multipath_hash_policy": "1", "net/ipv6/fib_multipath_hash_policy": "1"}
_ROUTERS = {"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"}


def wire_up(plan: Plan, namespaces: dict[str, int]) -> None:
    """Build the wires, addresses and routes of the plan; raise AtmdepotError when the kernel refuses.

    `namespaces` holds a descriptor of each node's network namespace.
    """
    with _refusals():
        for node in namespaces:
            _prepare(plan, node, namespaces)
        for wire in plan.wires:
            _lay(wire, plan, namespaces)
        _add_routes(plan, namespaces)


def wire_again(plan: Plan, node: str, namespaces: dict[str, int]) -> None:
    """Build a node whose namespace is new, and its wires, which went with its old one; as `wire_up` else.

    Wires to a node that is gone, which `namespaces` lacks, come back with that node.
    """
    with _refusals():
        _prepare(plan, node, namespaces)
        for wire in plan.wires_of(node):
            if all(end.node in namespaces for end in wire.ends):
                _lay(wire, plan, namespaces)
        _add_routes(plan, namespaces)


def cut(wire: Wire, namespaces: dict[str, int], *, silent: bool) -> None:
    """Cut a wire: the node at its first end loses the carrier, or, silently, no end notices but by what is missing."""
    with _refusals():
        if not silent:
            take_down(wire.ends[1], namespaces)
            return
        for end in wire.ends:
            with in_network_namespace(namespaces[end.node]), IPRoute() as ip:
                ip.tc("replace", "pfifo", ip.link_lookup(ifname=end.name)[0], limit=0)


def take_down(end: Interface, namespaces: dict[str, int]) -> None:
    """Set the interface at an end of a wire down; the node at the other end loses the carrier."""
    with _refusals(), in_network_namespace(namespaces[end.node]), IPRoute() as ip:
        ip.link("set", index=ip.link_lookup(ifname=end.name)[0], state="down")


def take_away(end: Interface, namespaces: dict[str, int]) -> None:
    """Remove the interface at an end of a wire, and with it the one at the other end; it may be gone already."""
    with _refusals(), in_network_namespace(namespaces[end.node]), IPRoute() as ip:
        for index in ip.link_lookup(ifname=end.name):
            ip.link("del", index=index)


def restore(wire: Wire, namespaces: dict[str, int]) -> None:
    """Restore a wire that was cut in either way; one that is whole stays as it is."""
    with _refusals():
        for end in wire.ends:
            with in_network_namespace(namespaces[end.node]), IPRoute() as ip:
                with suppress(NetlinkError):  # there is no such discipline
                    ip.tc("del", "pfifo", ip.link_lookup(ifname=end.name)[0])
                _configure(ip, end)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        raise AtmdepotError(f"the kernel refused a link, address or route of the lab: {error}") from error


def wire_here(plan: Plan, node: str, vips: Sequence[str]) -> None:
    """Give this machine, a container, the addresses that the plan has for a node, and routes to the VIPs.

    All nodes must be on the network of the interface with the default route. Raise EnvironmentLacks when there is no
    default route or the kernel refuses, and AtmdepotError when another container has the node's addresses.
    """
    try:
        with IPRoute() as ip:
            index = next((route.get_attr("RTA_OIF") for route in ip.get_default_routes(family=socket.AF_INET)), None)
            if index is None:
                raise EnvironmentLacks("this machine has no default route, so it is not known which network its "
                                       "links run on")
            _refuse_a_second(ip, index, node, {address.local for end, _ in _ends_of(plan, node)
                                               for address in end.addresses if ":" not in address.local})
            if plan.nodes[node] == "depot":
                # While its daemon does not run, the depot must not forward packets for a VIP by its default route. It
                # would also send the client an ICMP redirect to that route, which the client keeps for minutes.
                for vip in vips:
                    _tolerate_existing(ip.route, type="blackhole", dst=_host_prefix(vip), priority=_LAST_RESORT)
            for end, far in _ends_of(plan, node):
                for address in end.addresses:
                    _tolerate_existing(ip.addr, index=index, **_netlink(address))
                for address, other in zip(end.addresses, far.addresses, strict=True):
                    _greet(address.local, other.local)
            for vip in vips if node == CLIENT else ():
                _tolerate_existing(ip.route, dst=_host_prefix(vip), **_by(plan.route_to(vip)))
    except (NetlinkError, OSError) as error:
        raise EnvironmentLacks(f"the addresses of {node} cannot be set: {error}; a container needs "
                               "--cap-add NET_ADMIN") from None


def _refuse_a_second(ip: IPRoute, index: int, node: str, addresses: set[str]) -> None:
    """Raise AtmdepotError when another machine answers for one of the addresses, by probes of ARP (RFC 5227).

    Two containers of one node would take each other's cells in turn, and both would look healthy. Without the right to
    open packet sockets nobody is asked.
    """
    [link] = ip.get_links(index)
    own = bytes.fromhex(link.get_attr("IFLA_ADDRESS").replace(":", ""))
    with suppress(PermissionError), socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, ETHERTYPE_ARP) as asking:
        asking.bind((link.get_attr("IFLA_IFNAME"), ETHERTYPE_ARP))
        for _ in range(_PROBES):
            for address in addresses:
                probe = Arp(REQUEST, own, bytes(4), bytes(6), socket.inet_aton(address))
                asking.sendto(probe.pack(), (link.get_attr("IFLA_IFNAME"), ETHERTYPE_ARP, 0, 0, b"\xff" * 6))
            until = time.monotonic() + _PROBE_WAIT
            while select.select([asking], [], [], max(0, until - time.monotonic()))[0]:
                with suppress(ArpError):
                    answer = parse_arp(asking.recv(1024))
                    held = socket.inet_ntoa(answer.sender)
                    if held in addresses and answer.sender_mac != own:
                        raise AtmdepotError(
                            f"another machine on this network ({mac_text(answer.sender_mac)}) has {held}, the address "
                            f"of {node}: a node is one container, so end the other (`docker compose up --scale` cannot "
                            "make two of a node; write another node into the VC table)")


def _ends_of(plan: Plan, node: str) -> Iterator[tuple[Interface, Interface]]:
    """Yield the wire ends at the node, each with a far end: on a LAN, with each of the others'."""
    for wire in plan.wires_of(node):
        own, far = wire.ends if wire.ends[0].node == node else wire.ends[::-1]
        if plan.nodes[far.node] != LAN:
            yield own, far
        else:
            yield from ((own, other.ends[0]) for other in plan.wires_of(far.node) if other is not wire)


def _host_prefix(address: str) -> str:
    return f"{address}/{ipaddress.ip_address(address).max_prefixlen}"


def _tolerate_existing(call: Callable[..., object], **arguments: object) -> None:
    try:
        call("add", **arguments)
    except NetlinkError as error:
        if error.code != errno.EEXIST:
            raise


def _greet(local: str, far: str) -> None:
    """Make the kernel ask for the far end's hardware address; the far end then learns ours, which may be new."""
    family = socket.AF_INET6 if ":" in local else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as greeting, suppress(OSError):
        greeting.bind((local, 0))
        greeting.sendto(b"", (far, _DISCARD))


def _prepare(plan: Plan, node: str, namespaces: dict[str, int]) -> None:
    """Set up a namespace before it has wires: settings, loopback, the bridge of a LAN."""
    settings = _EVERYWHERE | (_ROUTERS if node in plan.routers else {})
    if node == CLIENT and any(len(route.gateways) > 1 for route in plan.routes):
        settings |= _SHARED
    with in_network_namespace(namespaces[node]), IPRoute() as ip:
        for name, value in settings.items():
            _set(name, value)
        ip.link("set", index=1, state="up")
        for address in plan.loopback.get(node, ()):
            ip.addr("add", index=1, address=address, prefixlen=ipaddress.ip_address(address).max_prefixlen)
        if plan.nodes[node] == LAN:
            # A bridge that forgets each address at once is a hub. Snooping would keep neighbour discovery from nodes.
            aging = {"br_ageing_time": 0} if node in plan.hubs else {}
            ip.link("add", ifname=BRIDGE, kind="bridge", br_mcast_snooping=0, **aging)
            ip.link("set", index=ip.link_lookup(ifname=BRIDGE)[0], state="up")


def _lay(wire: Wire, plan: Plan, namespaces: dict[str, int]) -> None:
    one, other = wire.ends
    with in_network_namespace(namespaces[one.node]), IPRoute() as ip:
        # The far end is made in its own namespace, where no name of ours is in its way.
        ip.link("add", ifname=one.name, kind="veth", mtu=wire.mtu, address=_hardware_address(one),
                peer={"ifname": other.name, "net_ns_fd": namespaces[other.node], "mtu": wire.mtu,
                      "address": _hardware_address(other)})
    for end in wire.ends:
        with in_network_namespace(namespaces[end.node]), IPRoute() as ip:
            if plan.nodes[end.node] == LAN:
                ip.link("set", index=ip.link_lookup(ifname=end.name)[0], master=ip.link_lookup(ifname=BRIDGE)[0])
            _configure(ip, end)


def _hardware_address(end: Interface) -> str:
    """A MAC address that an interface has again when its node was removed and came back; neighbours know it."""
    octets = b"\x02\0" + zlib.crc32(f"{end.node}.{end.name}".encode()).to_bytes(4)
    return octets.hex(":")


def _configure(ip: IPRoute, end: Interface) -> None:
    index = ip.link_lookup(ifname=end.name)[0]
    for address in end.addresses:
        _tolerate_existing(ip.addr, index=index, **_netlink(address))
    ip.link("set", index=index, state="up")
    for address in end.addresses:
        if ":" in address.local and address.peer:
            # Unlike IPv4, an IPv6 address with a peer brings no route to it.
            _tolerate_existing(ip.route, dst=f"{address.peer}/{address.prefix}", oif=index, family=socket.AF_INET6)


def _netlink(address: Address) -> dict[str, object]:
    if ":" in address.local:
        return {"address": address.local, "prefixlen": address.prefix, "family": socket.AF_INET6, "flags": _NODAD}
    return {"local": address.local, "prefixlen": address.prefix, "address": address.peer or address.local}


def _add_routes(plan: Plan, namespaces: dict[str, int]) -> None:
    """Add the routes of all nodes that are there; the client's over several gateways are shared by flow (ECMP)."""
    with in_network_namespace(namespaces[CLIENT]), IPRoute() as ip:
        for route in plan.routes:
            default, family = ("0.0.0.0/0", socket.AF_INET) if route.version == 4 else ("::/0", socket.AF_INET6)
            _tolerate_existing(ip.route, dst=_host_prefix(route.destination) if route.destination else default,
                               family=family, **_by(route))
    for node in plan.gateways.keys() & namespaces.keys():
        with in_network_namespace(namespaces[node]), IPRoute() as ip:
            for gateway in plan.gateways[node]:
                default, family = ("::/0", socket.AF_INET6) if ":" in gateway else ("0.0.0.0/0", socket.AF_INET)
                _tolerate_existing(ip.route, dst=default, family=family, gateway=gateway)
    for node in plan.towards_servers.keys() & namespaces.keys():
        with in_network_namespace(namespaces[node]), IPRoute() as ip:
            for subnet, gateway in plan.towards_servers[node]:
                family = socket.AF_INET6 if ":" in gateway else socket.AF_INET
                _tolerate_existing(ip.route, dst=subnet, family=family, gateway=gateway)


def _by(route: Route) -> dict[str, object]:
    if len(route.gateways) == 1:
        return {"gateway": route.gateways[0]}
    return {"multipath": [{"gateway": gateway} for gateway in route.gateways]}


def _set(name: str, value: str) -> None:
    path = _SYSCTL / name
    if name.startswith("net/ipv6") and not (_SYSCTL / "net/ipv6").exists():
        return  # a kernel without IPv6; a table that needs it fails when its address is set
    try:
        path.write_text(value, encoding="ascii")
    except OSError as error:
        raise EnvironmentLacks(f"{path} cannot be written: {error.strerror}; `atmdepot doctor` says what to "
                               "do") from None
