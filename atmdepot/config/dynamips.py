"""Nodes of a VC table as Dynamips emulates them: commands for its hypervisor, and a network file for Dynagen.

An edge node or external node becomes a Cisco 7200 with a PA-A1 for each link, a switch becomes an ATM switch (`atmsw`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from atmdepot.config.problem import Problem
from atmdepot.config.routes import entry_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from atmdepot.config.links import Link
    from atmdepot.config.model import Network
    from atmdepot.config.routes import Place

PORT = 7200
"""The TCP port of a hypervisor where none is said."""
_MODULE = "PA-A1"
_FIRST_CONSOLE = 2001
_SLOTS = 6


class Nio(NamedTuple):
    """A UDP tunnel of Dynamips at a node's end of a link (NIO: network input and output)."""

    link: str
    name: str
    local_port: int
    host: str
    """The host of the far end."""
    remote_port: int


def candidates(network: Network) -> list[str]:
    """The nodes that Dynamips can be: all but depots and interworking functions."""
    return [name for name, node in network.nodes.items() if node.kind in ("edge", "external", "switch")]


def problems(network: Network, nodes: Collection[str]) -> Iterator[Problem]:
    """The values of the table that Dynamips does not have, for the nodes that it shall be."""
    for node in nodes:
        links = {name: link for name, link in network.links.items() if node in link.ends}
        for name, link in links.items():
            yield from _link_problems(name, link)
        if node in network.switches:
            yield from _switch_problems(network, node)
            continue
        if len(links) > _SLOTS:
            yield Problem(("nodes", node), f"it has {len(links)} links, and a Cisco 7200 has {_SLOTS} slots")
        for name, vp in network.vps_of(node).items():
            if vp.crc == "strict":
                yield Problem(("vps", name, "crc"), "a router of Dynamips writes a CRC of its own: "
                                                    "write crc = \"dynamips\"")


def _link_problems(name: str, link: Link) -> Iterator[Problem]:
    path = ("links", name)
    if link.bearer != "atm":
        yield Problem((*path, "bearer"), "only links of ATM are written: make Dynamips' Frame Relay switch by hand")
        return
    if link.cells != 1 or link.format != "cells":
        yield Problem((*path, "cells"), "a datagram of Dynamips is a single cell: write cells = 1, and no other format")
    if link.has_key:
        yield Problem((*path, "key"), "Dynamips has no tags on datagrams: leave the key out")
    for end, address in link.ends.items():
        if not address.port or ":" in address.host:
            yield Problem((*path, "ends", end), f"{address}: Dynamips needs an IPv4 address or a name, and a port")


def _switch_problems(network: Network, switch: str) -> Iterator[Problem]:
    for connect in network.routes.cross_connects(switch):
        if connect.is_second:
            yield Problem(("vps", connect.name, "protect"), f"its protection route passes {switch}, and an ATM switch "
                                                            "of Dynamips does not switch over")
    for entry, _, leaves in _connects(network, switch):
        if len(leaves) > 1:
            yield Problem(tuple(entry.split(".")), f"{switch} copies its cells, and an ATM switch of Dynamips "
                                                   "copies none")


def hypervisor(network: Network, nodes: Collection[str], image: str) -> list[str]:
    """The commands that make the nodes in a hypervisor; the last closes the connection."""
    routers = [node for node in nodes if node not in network.switches]
    out = []
    for number, node in enumerate(routers):
        out += [f"vm create {node} {number} c7200", f"vm set_con_tcp_port {node} {_FIRST_CONSOLE + number}",
                f"vm set_ios {node} {_quoted(image)}"]
        for slot, nio in enumerate(_nios(network, node), 1):
            out += [f"vm slot_add_binding {node} {slot} 0 {_MODULE}", _created(nio),
                    f"vm slot_add_nio_binding {node} {slot} 0 {nio.name}"]
    for node in nodes:
        if node in network.switches:
            out += [*map(_created, _nios(network, node)), f"atmsw create {node}",
                    *(_connected(node, place, leaves[0]) for _, place, leaves in _connects(network, node))]
    return [*out, *(f"vm start {node}" for node in routers), "hypervisor close"]


def dynagen(network: Network, routers: Collection[str], image: str) -> list[str]:
    """The lines of a network file for Dynagen.

    Only routers: Dynagen gives a port of an ATM switch its NIO by the router at it, and none leads to a depot.
    """
    out = [f"# The routers of the VC table {network.name}.", f"[localhost:{PORT}]", "    [[7200]]",
           f"        image = {image}"]
    for node in routers:
        out.append(f"    [[ROUTER {node}]]")
        for slot, nio in enumerate(_nios(network, node), 1):
            pvcs = ", ".join(_pvcs(network, node, nio.link))
            out += [f"        # {nio.link}: PVC {pvcs}"] if pvcs else []
            out += [f"        slot{slot} = {_MODULE}",
                    f"        a{slot}/0 = NIO_udp:{nio.local_port}:{nio.host}:{nio.remote_port}"]
    return out


def _nios(network: Network, node: str) -> list[Nio]:
    nios = []
    for name, link in network.links_of(node).items():
        far = link.ends[link.other_end(node)]
        nios.append(Nio(name, _nio_name(node, name), link.ends[node].port, far.host, far.port))
    return nios


def _nio_name(node: str, link: str) -> str:
    """A name that no other end has: both ends of a link may be in one hypervisor."""
    return f"{node}.{link}"


def _created(nio: Nio) -> str:
    return f"nio create_udp {nio.name} {nio.local_port} {nio.host} {nio.remote_port}"


def _connects(network: Network, switch: str) -> Iterator[tuple[str, Place, tuple[Place, ...]]]:
    """The cross-connects of a switch, each a direction: entry of the table, place of entry, places of exit."""
    for connect in network.routes.cross_connects(switch):
        yield entry_of(connect.name, connect.place), connect.place, connect.leaves
    for name, own in network.connects.items():
        if own.switch == switch:
            yield f"connects.{name}", own.place, own.leaves


def _connected(switch: str, place: Place, leaf: Place) -> str:
    ends = " ".join(f"{_nio_name(switch, end.link)} {end.numbers.replace('/', ' ')}" for end in (place, leaf))
    return f"atmsw create_{'vpc' if place.vci is None else 'vcc'} {switch} {ends}"


def _pvcs(network: Network, node: str, link: str) -> Iterator[str]:
    """The PVCs of a node on a link: of each VP its default VC and its shared VCs."""
    for name, vp in network.vps_of(node).items():
        for route in network.routes.of(name):
            if route.link_at(node) == link:
                yield from (f"{route.vpi_at(node)}/{vci}" for vci in (vp.default_vci, *vp.shared_vcs.values()))


def _quoted(text: str) -> str:
    return f'"{text}"' if " " in text else text
