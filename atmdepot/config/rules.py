"""Rules between the parts of a VC table. Each rule is a function that yields its `Problem`s."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from atmdepot.config.addresses import address_problems, fault_of
from atmdepot.config.bearer_rules import server_problems
from atmdepot.config.connects import connect_name_problems, connect_problems
from atmdepot.config.contract import ServiceCategory
from atmdepot.config.link_formats import FORMATS
from atmdepot.config.pools import SessionTimers
from atmdepot.config.problem import Problem, list_of
from atmdepot.config.proxy_rules import proxy_problems
from atmdepot.config.qos import QosMap
from atmdepot.config.relay_rules import relay_name_problems, relay_problems
from atmdepot.config.route_rules import name_problems, route_problems
from atmdepot.config.routes import reached
from atmdepot.config.set_rules import set_name_problems, set_problems
from atmdepot.config.unique_addresses import uniqueness_problems
from atmdepot.config.units import Duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from atmdepot.config.model import Network


_IPV6_MIN_MTU = 1280
_MOST_BRIDGED = 65_535 - 10 - 14 - 4  # LLC header, Ethernet header, FCS
_SHORTEST = Duration(1_000_000)


def problems_of(network: Network) -> list[Problem]:
    """Every mistake that the rules find."""
    found = [problem for rule in _FIRST for problem in rule(network)]
    # The later rules follow names from table to table, so they need every name to exist.
    return found or [problem for rule in _SECOND for problem in rule(network)]


def _depots(network: Network) -> Iterator[Problem]:
    if not network.depots:
        yield Problem(("nodes",), "a network has a depot, this one has none: set kind = \"depot\" on one node")


def _link_ends(network: Network) -> Iterator[Problem]:
    seen: dict[frozenset[str], str] = {}
    for name, link in network.links.items():
        path = ("links", name, "ends")
        if len(link.ends) != 2:
            yield Problem(path, f"a link has two ends, this one has {len(link.ends)}: write "
                                "ends = { depot = \"10.0.0.1:5501\", web1 = \"10.0.0.2:5501\" }")
        for node in link.ends:
            if node not in network.nodes:
                yield Problem((*path, node), f"there is no node \"{node}\": {list_of('nodes', network.nodes)}")
        for node in link.from_:
            if node not in link.ends:
                yield Problem(("links", name, "from", node), f"\"{node}\" is no end of this link: its ends are "
                                                             f"{' and '.join(link.ends)}")
        ends = frozenset(link.ends)
        # A VP finds its link by the two ends, so a second link would never be used.
        if ends in seen:
            yield Problem(path, f"{' and '.join(sorted(ends))} are already joined by the link \"{seen[ends]}\": "
                                "one link carries all their VPs")
        seen[ends] = name


def _vp_ends(network: Network) -> Iterator[Problem]:
    joined = [(ends[0], ends[1]) for link in network.links.values() if len(ends := list(link.ends)) == 2]
    near: dict[str, set[str]] = {}
    for name, vp in network.vps.items():
        path = ("vps", name, "ends")
        unknown = [node for node in vp.ends if node not in network.nodes]
        if len(set(vp.ends)) != 2 or len(vp.ends) != 2:
            yield Problem(path, "a VP has two ends: write ends = [\"depot\", \"web1\"]")
        elif unknown:
            yield Problem(path, f"this VP leads nowhere: there is no node \"{unknown[0]}\"; "
                                f"{list_of('nodes', network.nodes)}")
        elif switch := next((node for node in vp.ends if network.nodes[node].kind == "switch"), None):
            yield Problem(path, f"\"{switch}\" is a switch, which a VP passes: write the depot or an edge node, and "
                                f"the switch in via = [\"{switch}\"]")
        elif not vp.via and vp.ends[1] not in (near.get(vp.ends[0]) or near.setdefault(
                vp.ends[0], reached(joined, network.switches, vp.ends[0]))):
            through = f", and no way over {' or '.join(network.switches)} either" if network.switches else ""
            yield Problem(path, f"this VP leads nowhere: no link joins {vp.ends[0]} and {vp.ends[1]}{through}; add one "
                                "to [links]")


def _service_servers(network: Network) -> Iterator[Problem]:
    for name, service in network.services.items():
        for server in service.servers:
            if server not in network.servers:
                yield Problem(("services", name, "servers"),
                              f"there is no server \"{server}\": {list_of('servers', network.servers)}")


def _formats(network: Network) -> Iterator[Problem]:
    """Check each link by the rules of its format."""
    for name, link in network.links.items():
        for keys, text in FORMATS[link.format].problems(link):
            yield Problem(("links", name, *keys), text)


def _keys(network: Network) -> Iterator[Problem]:
    """Check that both ends of a link with a key are ours, and that the key is unique.

    With the same key on two links, an attacker could replay the datagrams of a link on the other.
    """
    seen: dict[object, str] = {}
    for name, link in network.links.items():
        for key, value in (("key", link.key), ("key_file", link.key_file)):
            if value is None:
                continue
            path = ("links", name, key)
            if link.cells == 1:
                yield Problem(path, "a link of bare cells (cells = 1) has no tag, since its peers know none: leave "
                                    "the key out, or write cells = 27")
            for node in link.ends:
                if network.nodes[node].kind == "external":
                    yield Problem(path, f"\"{node}\" is an external node and knows no tag: leave the "
                                        "key out")
            if value in seen:
                yield Problem(path, f"links.{seen[value]} has the same key: give each link one of its own")
            seen.setdefault(value, name)
        if link.key is not None and link.key_file is not None:
            yield Problem(("links", name, "key_file"), "the link has a key as well: leave one of them out")
        if link.key_file is not None and not link.key_file.startswith("/"):
            yield Problem(("links", name, "key_file"), f"{link.key_file!r} depends on where a daemon is started: write "
                                                       "its path from / on")


def _mtus(network: Network) -> Iterator[Problem]:
    vip = next((vip for vip in network.vips if vip.version == 6), None)
    for name, vp in network.vps.items():
        if vip and vp.mtu < _IPV6_MIN_MTU:
            yield Problem(("vps", name, "mtu"), f"an MTU of {vp.mtu} is too small for the VIP {vip}: IPv6 needs "
                                                f"{_IPV6_MIN_MTU} (RFC 8200 section 5)")


def _bridged(network: Network) -> Iterator[Problem]:
    """Check that a packet fits an SDU beside the headers of its Ethernet frame."""
    for table, circuits in (("vps", network.vps), ("vcs", network.vcs)):
        for name, circuit in circuits.items():
            if circuit.encapsulation.endswith("-bridged") and circuit.mtu > _MOST_BRIDGED:
                yield Problem((table, name, "mtu"), f"a packet of {circuit.mtu} octets, in an Ethernet frame, does not "
                                                    f"fit an AAL5 SDU: write at most {_MOST_BRIDGED}")


def _circuits_of_tap(network: Network, node: str) -> Iterator[Problem]:
    """Check that no circuit ends at a node with a TAP device, since all its frames go to the depot."""
    circuits = [("vps", name) for name, vp in network.vps_of(node).items() if not network.ends_at_depot(vp)]
    circuits += [("vcs", name) for name, vc in network.vcs.items() if node in vc.ends]
    for circuit in circuits:
        yield Problem((*circuit, "ends"), f"\"{node}\" has a TAP device, whose frames all go to the depot: give it a "
                                          "TUN device, or leave it out here")


def _taps(network: Network) -> Iterator[Problem]:
    """Check that a node with a TAP device has a single bridged VC to the depot, and what its host's kernel needs."""
    for name, node in network.nodes.items():
        if node.tap is None:
            continue
        path = ("nodes", name, "tap")
        if node.kind != "edge":
            yield Problem(path, f"\"{name}\" is no edge node, and only at one do frames pass to the host as they are: "
                                "leave it out")
            continue
        yield from _circuits_of_tap(network, name)
        for vp_name, vp in network.vps_of(name).items():
            if not network.ends_at_depot(vp):
                continue
            if not vp.encapsulation.endswith("-bridged"):
                yield Problem(("vps", vp_name, "encapsulation"), f"\"{name}\" has a TAP device, for Ethernet frames: "
                                                                 "write \"llc-bridged\" or \"vc-mux-bridged\"")
            if node.mtu > vp.mtu:
                yield Problem(("nodes", name, "mtu"), f"the kernel would send packets of {node.mtu} octets, and "
                                                      f"vps.{vp_name} takes {vp.mtu}: write mtu = {vp.mtu}")
            if vp.session_vcis or vp.shared_vcs:
                key = "session_vcis" if vp.session_vcis else "shared_vcs"
                yield Problem(("vps", vp_name, key), f"\"{name}\" has a TAP device, whose frames all take the default "
                                                     "VC: leave it out")
        for end in (name, *network.depots):
            if missing := {vip.version for vip in network.vips} - {a.version for a in network.nodes[end].address}:
                yield Problem(("nodes", end, "address"), f"the TAP device of \"{name}\" needs an IPv{min(missing)} "
                                                         f"address of \"{end}\", by which the kernel finds it: add one")


def _times(network: Network) -> Iterator[Problem]:
    """Check that periodic work has pauses; without them a daemon would have no time for other work."""
    probing = network.probing
    for key, least in (("interval", ""), ("timeout", ""), ("statistics", ", or \"0s\" for none")):
        span: Duration = getattr(probing, key)
        if span < _SHORTEST and (span or not least):
            yield Problem(("probing", key), f"{span} is too short: write at least \"{_SHORTEST}\"{least}")
    if 0 < probing.statistics_timeout <= probing.statistics:
        yield Problem(("probing", "statistics_timeout"),
                      f"{probing.statistics_timeout} is no longer than the time between two statistics, "
                      f"{probing.statistics}: each server would go on the dead-list before the next; write more, or "
                      "\"0s\" for none")


def _vcis(network: Network) -> Iterator[Problem]:
    for name, vp in network.vps.items():
        path = ("vps", name)
        if vp.session_vcis and vp.shared_vcs:
            yield Problem(path, "a VP has session_vcis (a VC for each session) or shared_vcs (a VC for each service "
                                "category), not both: leave one out")
        if vp.session_vcis and _is_between_edges(network, name):
            yield Problem((*path, "session_vcis"), "only the depot opens sessions, and this VP does not end there: "
                                                   "leave it out, or write shared_vcs, a VC for each category")
        if vp.session_vcis and vp.session_vcis.holds(vp.default_vci):
            yield Problem((*path, "default_vci"), f"VCI {vp.default_vci} is used twice: it is also in session_vcis "
                                                  f"({vp.session_vcis})")
        # The default VC may be at 32; the management VC needs another VCI outside the range.
        if vp.session_vcis and vp.session_vcis.first == 32 + (vp.default_vci == 32) and vp.session_vcis.last == 65535:
            yield Problem((*path, "session_vcis"), "no VCI is left for the management VC, on which the edge node sends "
                                                   "its statistics: write \"64-65535\"")
        if vp.management_vci is not None and vp.session_vcis and vp.session_vcis.holds(vp.management_vci):
            yield Problem((*path, "management_vci"), f"VCI {vp.management_vci} is used twice: it is also in "
                                                     f"session_vcis ({vp.session_vcis})")
        # By VCI, the first key that uses it.
        names = {int(vp.default_vci): "default_vci"}
        if vp.management_vci is not None:
            if vp.management_vci in names:
                yield Problem((*path, "management_vci"), f"VCI {vp.management_vci} is used twice: it is also that of "
                                                         "default_vci")
            names[int(vp.management_vci)] = "management_vci"
        for category, vci in vp.shared_vcs.items():
            if vci in names:
                yield Problem((*path, "shared_vcs", category),
                              f"VCI {vci} is used twice: it is also that of {names[vci]}")
            names[vci] = category
            yield from _raises((*path, "shared_vcs", category), ServiceCategory.parse, category)


def _is_between_edges(network: Network, vp: str) -> bool:
    """True for a VP that has a route and does not end at the depot; of a VP without a route that is told already."""
    return vp in network.routes.working and not network.ends_at_depot(network.vps[vp])


def _one_vp_each(network: Network) -> Iterator[Problem]:
    seen: dict[frozenset[str], str] = {}
    for name, vp in network.vps.items():
        ends = frozenset(network.ends_of(name))
        # The VP to a node is found by its two ends, so a second VP would never be used.
        if ends in seen:
            yield Problem(("vps", name, "ends"), f"vps.{seen[ends]} already leads from {' to '.join(vp.ends)}: "
                                                 "write all VCIs there")
        seen[ends] = name


def _servers_reached(network: Network) -> Iterator[Problem]:
    found = {node for name in network.vps for node in network.ends_of(name)}
    found |= {node for vc in network.vcs.values() for node in vc.ends}
    of_depot = {node for name, vp in network.vps.items() if network.ends_at_depot(vp) for node in network.ends_of(name)}
    for name, server in network.servers.items():
        if server.bearer == "atm" and server.node not in of_depot:
            source = " from the depot" if server.node in found else ""
            yield Problem(("servers", name, "node"), f"no VP leads to \"{server.node}\"{source}: add one to [vps]")
    nodes = {server.node for server in network.servers.values()}
    for name in network.edges:
        if network.bearer_at(name) == "atm" and name not in found and name not in nodes:
            yield Problem(("nodes", name), "no VP leads to this edge node: add one to [vps], its server to [servers]")
    for name, vp in network.vps.items():
        far = next((node for node in network.ends_of(name) if node not in network.depots), None)
        if network.ends_at_depot(vp) and far is not None and far not in nodes:
            yield Problem(("vps", name, "ends"), f"this VP leads nowhere: no server is behind \"{far}\"; add one to "
                                                 "[servers]")


def _asked_over_tcp(network: Network) -> Iterator[Problem]:
    """Check that each server in a pool has a service with TCP if there are probes, which are TCP connections."""
    if network.probing.probe == "none":
        return
    asked = {server for service in network.services.values() if "tcp" in service.offered for server in service.servers}
    for name, service in network.services.items():
        for server in service.servers:
            if server not in asked:
                yield Problem(("services", name, "protocols"),
                              f"the server \"{server}\" is probed by TCP, and no service of it has that: add \"tcp\", "
                              "or write probe = \"none\" in [probing]")


def _half_open(network: Network) -> Iterator[Problem]:
    sessions = network.sessions
    if sessions.max_half_open is not None and sessions.max_half_open >= sessions.max_sessions:
        yield Problem(("sessions", "max_half_open"),
                      f"{sessions.max_half_open} half-open sessions would leave no place for others in a table of "
                      f"{sessions.max_sessions} (max_sessions): write less, or leave it out for "
                      f"{SessionTimers(max_sessions=sessions.max_sessions).half_open_bound}")


def _qos(network: Network) -> Iterator[Problem]:
    for name, category in network.qos.dscp.items():
        yield from _raises(("qos", "dscp", name), QosMap, {name: category})
    most = max((vp.header_octets for vp in network.vps.values()), default=0)
    for name, text in network.qos.contracts.items():
        yield from _raises(("qos", "contracts", name), _qos_map_of, name, text, most)


def _qos_map_of(name: str, text: str, headers: int) -> QosMap:
    """The map of a contract, in the encapsulation that takes most cells; raise ValueError for what cannot be."""
    return QosMap({}, {name: text}).over(headers)


def _lab(network: Network) -> Iterator[Problem]:
    versions: set[int] = set()
    networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
    for text in network.lab.networks:
        try:
            # An address with a zone (%eth0) is valid on a single host only.
            subnet = ipaddress.ip_network(text if "%" not in text else "")
            versions.add(subnet.version)
            if subnet.num_addresses < 4:  # network address, two hosts, broadcast address
                raise ValueError("it has no room for a client and the depot")
            # The client and the depot get the first two host addresses.
            if unfit := next((ip for ip in (subnet[1], subnet[2]) if ip.is_loopback or fault_of(ip)), None):
                raise ValueError(f"a client or the depot cannot have {unfit}")
            if other := next((other for other in networks if _overlap(other, subnet)), None):
                raise ValueError(f"it has addresses in common with {other}")
            networks.append(subnet)
        except ValueError as error:
            yield Problem(("lab", "networks"), f"{text!r} is no network for the lab: {error}; write \"10.9.0.0/24\"")
            continue
        for what, address in (*(("the VIP", vip) for vip in network.vips),
                              *(("the link address", end.host) for link in network.links.values()
                                for end in link.ends.values())):
            if _lies_in(address, subnet):
                yield Problem(("lab", "networks"), f"{what} {address} lies in {text}, where the client and the depot "
                                                   "have their addresses: write another network")
    for name in network.lab.without_web:
        if name not in network.services:
            yield Problem(("lab", "without_web"), f"there is no service \"{name}\"; "
                                                  f"{list_of('services', network.services)}")
    for vip in network.vips:
        if vip.version not in versions:
            yield Problem(("lab", "networks"), f"no network of IPv{vip.version} leads to the VIP {vip}: add one")


def _lies_in(host: str, subnet: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    try:
        return ipaddress.ip_address(host) in subnet
    except ValueError:  # the name of a host
        return False


def _overlap(
    one: ipaddress.IPv4Network | ipaddress.IPv6Network, other: ipaddress.IPv4Network | ipaddress.IPv6Network,
) -> bool:
    return one.version == other.version and one.overlaps(other)


def _raises(path: tuple[str, ...], check: Callable[..., object], *arguments: object) -> Iterator[Problem]:
    try:
        check(*arguments)
    except ValueError as error:
        yield Problem(path, str(error))


_FIRST: list[Callable[[Network], Iterator[Problem]]] = [
    _depots, _link_ends, _vp_ends, name_problems, connect_name_problems, relay_name_problems, server_problems,
    _service_servers, set_name_problems]
_SECOND: list[Callable[[Network], Iterator[Problem]]] = [
    uniqueness_problems, address_problems, route_problems, connect_problems, relay_problems, _formats, _keys, _mtus,
    _bridged, _taps, _times, _vcis, _one_vp_each, _servers_reached, _asked_over_tcp, _half_open, _qos, _lab,
    set_problems, proxy_problems]
