"""Carry out a plan: interfaces, addresses, routes and kernel settings in each node's network namespace."""

from __future__ import annotations

import errno
import ipaddress
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from atmdepot.errors import AtmdepotError, EnvironmentLacks
from atmdepot.lab.namespaces import in_network_namespace
from atmdepot.lab.plan import CLIENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from atmdepot.lab.plan import Address, Interface, Plan

_NODAD = 0x02
_DISCARD = 9
_LAST_RESORT = 2**32 - 1
_SYSCTL = Path("/proc/sys")

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
_ROUTERS = {"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"}


def wire_up(plan: Plan, namespaces: dict[str, int]) -> None:
    """Build the wires, addresses and routes of the plan; raise AtmdepotError when the kernel refuses.

    `namespaces` holds a descriptor of each node's network namespace.
    """
    try:
        for node, fd in namespaces.items():
            settings = _EVERYWHERE | (_ROUTERS if node in plan.routers else {})
            with in_network_namespace(fd):
                _prepare(settings, plan.loopback.get(node, ()))
        for wire in plan.wires:
            one, other = wire.ends
            with in_network_namespace(namespaces[one.node]), IPRoute() as ip:
                # The far end is made in its own namespace, where no name of ours is in its way.
                ip.link("add", ifname=one.name, kind="veth", mtu=wire.mtu,
                        peer={"ifname": other.name, "net_ns_fd": namespaces[other.node], "mtu": wire.mtu})
            for end in wire.ends:
                with in_network_namespace(namespaces[end.node]):
                    _configure(end)
        with in_network_namespace(namespaces[CLIENT]):
            _add_default_routes(plan.gateways)
    except NetlinkError as error:
        raise AtmdepotError(f"the kernel refused a link, address or route of the lab: {error}") from error


def wire_here(plan: Plan, node: str, vips: Sequence[str]) -> None:
    """Give this machine, a container, the addresses that the plan has for a node, and routes to the VIPs.

    All nodes must be on the network of the interface with the default route. Raise EnvironmentLacks when there is no
    default route or the kernel refuses.
    """
    try:
        with IPRoute() as ip:
            index = next((route.get_attr("RTA_OIF") for route in ip.get_default_routes(family=socket.AF_INET)), None)
            if index is None:
                raise EnvironmentLacks("this machine has no default route, so there is no telling which network its "
                                       "links run on")
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
                gateway = next(text for text in plan.gateways if (":" in text) == (":" in vip))
                _tolerate_existing(ip.route, dst=_host_prefix(vip), gateway=gateway)
    except (NetlinkError, OSError) as error:
        raise EnvironmentLacks(f"the addresses of {node} cannot be set: {error}; a container needs "
                               "--cap-add NET_ADMIN") from None


def _ends_of(plan: Plan, node: str) -> Iterator[tuple[Interface, Interface]]:
    """Yield the wire ends at the node, each with its far end."""
    for one, other in (wire.ends for wire in plan.wires):
        if node in (one.node, other.node):
            yield (one, other) if one.node == node else (other, one)


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


def _prepare(settings: dict[str, str], loopback: Iterable[str]) -> None:
    for name, value in settings.items():
        _set(name, value)
    with IPRoute() as ip:
        ip.link("set", index=1, state="up")
        for address in loopback:
            ip.addr("add", index=1, address=address, prefixlen=ipaddress.ip_address(address).max_prefixlen)


def _configure(end: Interface) -> None:
    with IPRoute() as ip:
        index = ip.link_lookup(ifname=end.name)[0]
        for address in end.addresses:
            ip.addr("add", index=index, **_netlink(address))
        ip.link("set", index=index, state="up")
        for address in end.addresses:
            if ":" in address.local and address.peer:
                # Unlike IPv4, an IPv6 address with a peer brings no route to it.
                ip.route("add", dst=f"{address.peer}/{address.prefix}", oif=index, family=socket.AF_INET6)


def _netlink(address: Address) -> dict[str, object]:
    if ":" in address.local:
        return {"address": address.local, "prefixlen": address.prefix, "family": socket.AF_INET6, "flags": _NODAD}
    return {"local": address.local, "prefixlen": address.prefix, "address": address.peer or address.local}


def _add_default_routes(gateways: Iterable[str]) -> None:
    seen: set[int] = set()
    with IPRoute() as ip:
        for gateway in gateways:
            version = ipaddress.ip_address(gateway).version
            # Only one default route of a version can be used.
            if version not in seen:
                default, family = ("0.0.0.0/0", socket.AF_INET) if version == 4 else ("::/0", socket.AF_INET6)
                ip.route("add", dst=default, gateway=gateway, family=family)
            seen.add(version)


def _set(name: str, value: str) -> None:
    path = _SYSCTL / name
    if name.startswith("net/ipv6") and not (_SYSCTL / "net/ipv6").exists():
        return  # a kernel without IPv6; a table that needs it fails when its address is set
    try:
        path.write_text(value, encoding="ascii")
    except OSError as error:
        raise EnvironmentLacks(f"{path} cannot be written: {error.strerror}; `atmdepot doctor` says what to "
                               "do") from None
