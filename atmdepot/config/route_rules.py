"""Rules for what lies between the nodes: switches, routes, contracts, supervised links, permanent VCs, networks."""

from __future__ import annotations

import ipaddress
from itertools import islice
from typing import TYPE_CHECKING

from atmdepot.config.addresses import ip_of
from atmdepot.config.contract import Contract
from atmdepot.config.loads import loads_of
from atmdepot.config.problem import Problem
from atmdepot.config.units import Duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from atmdepot.config.links import Link, PermanentVc, Vp
    from atmdepot.config.model import Network

_LEAST_SUPERVISION, _MOST_SUPERVISION = Duration.parse("10ms"), Duration.parse("10s")
_MOST_TOLD = 5
_STRICT = ("CBR", "rt-VBR")
_IPV6_MIN_MTU = 1280
_NO_LOCATIONS = {"ff": "any end point", "00": "every node on the way", "6a": "no node"}
"""Octets that fill a location identifier with a meaning of its own in loopback cells (I.610 section 10.2.3)."""


def name_problems(network: Network) -> Iterator[Problem]:
    """Names of switches and ends that lead nowhere."""
    switches = network.switches
    known = f"the switches are {', '.join(islice(switches, 20))}" if switches else "there is no switch"
    for name, vp in network.vps.items():
        for key, nodes in (("via", vp.via), ("protect", vp.protect or ()), ("segments", vp.segments)):
            yield from _switches_named(network, ("vps", name, key), nodes, known)
        yield from _keys_of_networks(("vps", name, "networks"), vp, vp.ends)
        if vp.networks and any(node in network.nodes and network.nodes[node].kind == "depot" for node in vp.ends):
            yield Problem(("vps", name, "networks"), "a VP of the depot carries what its services get: write networks "
                                                     "on a VP between edge nodes, or on a permanent VC, [vcs.NAME]")
    for name, vc in network.vcs.items():
        yield from _ends_of_vc(network, name, vc)
        yield from _keys_of_networks(("vcs", name, "networks"), vc, vc.ends if len(vc.ends) <= 2 else vc.ends[:1])


def _switches_named(
    network: Network, path: tuple[str, ...], nodes: Iterable[str], known: str,
) -> Iterator[Problem]:
    seen = set()
    for node in nodes:
        if node not in network.nodes:
            yield Problem(path, f"there is no node \"{node}\": {known}")
        elif network.nodes[node].kind != "switch":
            yield Problem(path, f"\"{node}\" is no switch, so no VP passes it: {known}")
        elif node in seen:
            yield Problem(path, f"\"{node}\" is there twice: leave one of them out")
        seen.add(node)


def _keys_of_networks(path: tuple[str, ...], entry: Vp | PermanentVc, senders: list[str]) -> Iterator[Problem]:
    for node in entry.networks:
        if node not in entry.ends:
            yield Problem((*path, node), f"\"{node}\" is no end of it: its ends are {' and '.join(entry.ends)}")
        elif node not in senders:
            yield Problem((*path, node), f"\"{node}\" sends nothing on it: with more than two ends only the root, "
                                         f"{senders[0]}, sends; leave it out")


def _ends_of_vc(network: Network, name: str, vc: PermanentVc) -> Iterator[Problem]:
    path = ("vcs", name, "ends")
    if len(vc.ends) < 2 or len(set(vc.ends)) != len(vc.ends):
        yield Problem(path, "a VC has a root and at least one other end, each once: write ends = [\"depot\", \"web1\"]")
    for node in vc.ends:
        if node not in network.nodes:
            yield Problem(path, f"there is no node \"{node}\": write the depot or an edge node")
        elif network.nodes[node].kind == "switch":
            yield Problem(path, f"\"{node}\" is a switch, which a VC passes: write the depot or an edge node")
    if len(vc.ends) > 2 and "bridged" in vc.encapsulation:
        yield Problem(("vcs", name, "encapsulation"), "in a VC with several ends only the root sends, so no end could "
                                                      "answer ARP: write \"llc\" or \"vc-mux\"")


def route_problems(network: Network) -> Iterator[Problem]:
    """Every mistake in switches, routes, contracts, links' keys, networks and locations."""
    yield from network.routes.problems
    for rule in (_switches, _protection, _segments, _companions, _contracts, _loads, _links, _networks, _locations):
        yield from rule(network)


def _switches(network: Network) -> Iterator[Problem]:
    for name in network.switches:
        links = list(network.links_of(name))
        if len(links) < 2:
            reached = f"only the link \"{links[0]}\" reaches" if links else "no link reaches"
            yield Problem(("nodes", name), f"{reached} this switch, which joins two links or more: add one to [links], "
                                           "or leave the switch out")
        if network.nodes[name].address:
            yield Problem(("nodes", name, "address"), "a switch has cells alone, and no TUN device for an address: "
                                                      "leave it out")


def _protection(network: Network) -> Iterator[Problem]:
    for name, second in network.routes.protection.items():
        first = network.routes.working[name]
        switches = [node for node in second.nodes[1:-1] if node in first.nodes]
        links = [link for link in second.links if link in first.links]
        shared = f"passes {' and '.join(switches)}" if switches else f"has links.{' and links.'.join(links)}"
        if switches or links:
            yield Problem(("vps", name, "protect"),
                          f"the protection route {shared}, as the working route ({' - '.join(first.nodes)}) does, so "
                          "both fail together: lead it over other switches and links, or the working route with via")
    for name, vp in network.vps.items():
        far = next((node for node in vp.ends if network.nodes[node].kind == "external"), None)
        if vp.protect is not None and far is not None:
            yield Problem(("vps", name, "protect"), f"\"{far}\" is an external node and does not move "
                                                    "to a protection route: leave it out")


def _segments(network: Network) -> Iterator[Problem]:
    for name, route in network.routes.working.items():
        inside = route.nodes[1:-1]
        for node in network.vps[name].segments:
            if node not in inside:
                there = f"the switches there are {', '.join(inside)}" if inside else "no switch is there"
                yield Problem(("vps", name, "segments"), f"\"{node}\" is not on the route {' - '.join(route.nodes)}: "
                                                         f"{there}")


def _companions(network: Network) -> Iterator[Problem]:
    """Check that keys which only mean something beside another key have that."""
    for name, vp in network.vps.items():
        for key, value in (("protection", vp.own_protection), ("wait_to_restore", vp.own_wait_to_restore)):
            if value is not None and vp.protect is None:
                yield Problem(("vps", name, key),
                              "the VP has no protection route: add protect = [...], or leave it out")
    entries = [(("vps", name), vp.encapsulation, vp.fcs) for name, vp in network.vps.items()]
    entries += [(("vcs", name), vc.encapsulation, vc.fcs) for name, vc in network.vcs.items()]
    for path, encapsulation, fcs in entries:
        if fcs != "auto" and "bridged" not in encapsulation:
            yield Problem((*path, "fcs"), f"only Ethernet frames have an FCS, and {encapsulation} carries none: leave "
                                          f"it out, or write encapsulation = \"{_BRIDGED.get(encapsulation)}\"")


_BRIDGED = {"vc-mux": "vc-mux-bridged", "llc": "llc-bridged"}


def _contracts(network: Network) -> Iterator[Problem]:
    """Check each contract by itself, and against the links that it crosses."""
    for kind, entries in (("vps", network.vps), ("vcs", network.vcs)):
        for name, entry in entries.items():
            path = (kind, name, "contract")
            try:
                contract = entry.agreed
            except ValueError as error:
                yield Problem(path, str(error))
                continue
            if contract is None:
                continue
            if kind == "vps" and contract.category.startswith("GFR"):
                yield Problem(path, "GFR goes by frames, which the VCs of a VP mix: write it for VCs, in "
                                    "[qos.contracts] or [vcs.NAME], and here nrt-vbr or ubr")
            yield from _beyond_links(network, path, contract)
            if kind == "vps":
                yield from _beyond_vp(network, path, contract)


def _beyond_links(network: Network, path: tuple[str, ...], contract: Contract) -> Iterator[Problem]:
    """Compare a contract's rates with those of the links on the way."""
    kind, name, _ = path
    routes = network.routes
    ways = [ways[name] for ways in (routes.working, routes.protection) if name in ways] if kind == "vps" else list(
        routes.trees.get(name, {}).values())
    for link in dict.fromkeys(link for way in ways for link in way.links):
        rates = [rate for end in network.links[link].ends if (rate := network.links[link].line_from(end).rate)]
        for word in ("pcr", "scr", "mcr", "mdcr"):
            wanted = getattr(contract, word)
            if rates and wanted is not None and wanted > min(rates):
                yield Problem(path, f"{word} is {wanted}, and links.{link} on the way carries {min(rates)}: write at "
                                    "most that")
                return


def _beyond_vp(network: Network, path: tuple[str, ...], contract: Contract) -> Iterator[Problem]:
    """Compare a VP's contract with those of the service categories, of which its VCs may be."""
    for category, text in network.qos.contracts.items():
        try:
            promised = Contract.parse(text, network.vps[path[1]].header_octets).guaranteed
        except ValueError:
            continue  # told as a mistake of its own
        if contract.pcr is not None and promised > contract.pcr:
            yield Problem(path, f"a VC of this VP may be promised {promised}cps (qos.contracts.{category}), and the "
                                f"whole VP has a pcr of {contract.pcr}: write more here, or less there")


def _loads(network: Network) -> Iterator[Problem]:
    """Check that no link is promised away more than once, unless it may be."""
    try:
        loads = loads_of(network)
    except ValueError:
        return  # a contract that is none, which `_contracts` tells
    for load in loads:
        link = network.links[load.link]
        rate = link.line_from(load.sender).rate
        if not rate or link.overbook:
            continue
        # A contract that is too much by itself is told at its own place.
        kept = {place: contract.guaranteed for place, contract in load.contracts if 0 < contract.guaranteed <= rate}
        if sum(kept.values()) > rate:
            names = list(kept)
            more = f" and {len(names) - _MOST_TOLD} more" if len(names) > _MOST_TOLD else ""
            yield Problem(("links", load.link),
                          f"contracts keep {sum(kept.values())}cps free from {load.sender} on, and it carries {rate}: "
                          f"{', '.join(names[:_MOST_TOLD])}{more}; write less there, a greater rate or overbook = true")


def _links(network: Network) -> Iterator[Problem]:
    for name, link in network.links.items():
        yield from _rateless(name, link)
        if link.supervise is None:
            continue
        path = ("links", name, "supervise")
        if not _LEAST_SUPERVISION <= link.supervise <= _MOST_SUPERVISION:
            yield Problem(path, f"{link.supervise} is no interval for idle cells: write \"{_LEAST_SUPERVISION}\" to "
                                f"\"{_MOST_SUPERVISION}\"")
        far = next((node for node in link.ends if network.nodes[node].kind == "external"), None)
        if far is not None:
            yield Problem(path, f"\"{far}\" is an external node and sends no idle cells, so its link "
                                "would always count as cut: leave it out; a VP to it may have continuity_check")


def _rateless(name: str, link: Link) -> Iterator[Problem]:
    """Check that a link has a rate if it has what only matters then."""
    for key in ("queues", "weights", "overbook"):
        if getattr(link, key) and not any(link.line_from(end).rate for end in link.ends):
            yield Problem(("links", name, key), "a link without a rate holds no cells back, so this has no effect: add "
                                                "rate = \"oc3\", or leave it out")
    for queue in _STRICT:
        if queue in link.weights:
            yield Problem(("links", name, "weights", queue), f"{queue} goes before what has weights, so its own has no "
                                                             "effect: leave it out")


def _networks(network: Network) -> Iterator[Problem]:
    """Check the networks that nodes send to by VPs and permanent VCs."""
    addresses = [("VIP", vip) for vip in network.vips] + [
        ("link address", ip) for link in network.links.values() for end in link.ends.values()
        if (ip := ip_of(end.host)) is not None]
    taken: dict[tuple[str, str], str] = {}
    for kind, entries in (("vps", network.vps), ("vcs", network.vcs)):
        for name, entry in entries.items():
            for node, texts in entry.networks.items():
                path = (kind, name, "networks", node)
                for text in texts:
                    if (other := taken.setdefault((node, text), f"{kind}.{name}")) != f"{kind}.{name}":
                        yield Problem(path, f"{node} already sends to {text} on {other}: leave it out in one of them, "
                                            "or write a part of it")
                    subnet = ipaddress.ip_network(text)
                    # A default route is for what has no other.
                    inside = next((f"the {what} {ip}" for what, ip in addresses
                                   if subnet.prefixlen and _holds(subnet, ip)), None)
                    if inside is not None:
                        yield Problem(path, f"{inside} lies in {text}, which would lead its packets away: write "
                                            "networks without it")
                    if subnet.version == 6 and entry.mtu < _IPV6_MIN_MTU:
                        yield Problem((kind, name, "mtu"), f"an MTU of {entry.mtu} is too small for {text}: IPv6 needs "
                                                           f"{_IPV6_MIN_MTU} (RFC 8200 section 5)")
                yield from _twice_in(path, texts, entry)


def _twice_in(path: tuple[str, ...], texts: Iterable[str], entry: Vp | PermanentVc) -> Iterator[Problem]:
    """Check that no end has a network that holds one of its own or of the far end: packets would go to and fro."""
    far = [(node, text) for node, others in entry.networks.items() if node != path[-1] for text in others]
    for text in texts:
        subnet = ipaddress.ip_network(text)
        for node, other in far:
            if subnet.prefixlen and (there := ipaddress.ip_network(other)).prefixlen and _overlap(subnet, there):
                yield Problem(path, f"{text} has addresses in common with {other}, to which {node} sends on it: "
                                    "packets would go to and fro; write two that are apart")


Subnet = ipaddress.IPv4Network | ipaddress.IPv6Network


def _holds(subnet: Subnet, address: object) -> bool:
    ip = ipaddress.ip_address(str(address))
    return ip.version == subnet.version and ip in subnet


def _overlap(one: Subnet, other: Subnet) -> bool:
    return one.version == other.version and one.overlaps(other)


def _locations(network: Network) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for name, node in network.nodes.items():
        if node.location is None:
            continue
        location = node.location.lower()
        path = ("nodes", name, "location")
        if location in seen:
            yield Problem(path, f"nodes.{seen[location]} has the same location: write another, or leave it out")
        seen.setdefault(location, name)
        if location == location[:2] * 16 and location[:2] in _NO_LOCATIONS:
            yield Problem(path, f"in loopback cells this stands for {_NO_LOCATIONS[location[:2]]} (I.610): write "
                                "another, or leave it out")
