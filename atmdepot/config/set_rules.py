"""Rules of sets of depots: which depots, what they are told, and VPs that let each take over from the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from atmdepot.config.addresses import fault_of, ip_of
from atmdepot.config.problem import Problem
from atmdepot.config.server_gateways import server_gateway_problems
from atmdepot.config.units import Duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.config.links import Vp
    from atmdepot.config.model import Network
    from atmdepot.config.pools import DepotSet
    from atmdepot.config.relay import Dlcis
    from atmdepot.config.units import NumberRange

_LEAST_INTERVAL = _LEAST_ANNOUNCE = Duration.parse("10ms")
_MOST_ANNOUNCE = Duration.parse("10s")
_OF_STANDBYS = ("interval", "half_open", "sync", "key", "key_file", "prefer", "watch")
"""Keys about what a standby gets; a set without one has none of them."""

_OF_OWNERS = ("ownership", "gateway", "interface", "server_gateway", "vrid", "etcd")
"""Keys about who is active; a single depot always is."""


class _Ways(NamedTuple):
    """A kind of ways to edge nodes: its table, and the keys that all depots of a set have alike to an edge node.

    The edge node answers to any of them. Of `alike` those of `channels` say which channels are left for reports.
    """

    table: str
    word: str
    session: str
    channels: tuple[str, ...]
    alike: tuple[str, ...]
    reports: str
    management: str


_WAYS = (
    _Ways("vps", "a VP", "session_vcis", ("session_vcis", "shared_vcs", "default_vci"),
          ("session_vcis", "shared_vcs", "default_vci", "encapsulation", "fcs", "crc", "mtu"), "statistics_vci",
          "management_vci"),
    _Ways("dlcis", "PVCs", "session_dlcis", ("session_dlcis", "dlci"), ("session_dlcis", "dlci", "mtu"),
          "statistics_dlci", "management_dlci"))


def set_name_problems(network: Network) -> Iterator[Problem]:
    """Names in [depots] that lead nowhere."""
    placed: dict[str, str] = {}
    for name, of in network.own_sets.items():
        path = ("depots", name)
        for node in of.nodes:
            if node not in network.depots:
                yield Problem((*path, "nodes"), f"\"{node}\" is no depot: the depots are {', '.join(network.depots)}")
            elif node in placed:
                yield Problem((*path, "nodes"), f"\"{node}\" is already in depots.{placed[node]}: a depot is in one "
                                                "set, once")
            placed.setdefault(node, name)
        for key, nodes in (("sync", of.sync), ("watch", of.watch)):
            for node in nodes:
                if node not in of.nodes:
                    yield Problem((*path, key, node), f"\"{node}\" is not in this set: its depots are "
                                                      f"{', '.join(of.nodes)}")
        if of.prefer is not None and of.prefer not in of.nodes:
            yield Problem((*path, "prefer"), f"\"{of.prefer}\" is not in this set: write {' or '.join(of.nodes)}")


def set_problems(network: Network) -> Iterator[Problem]:
    """Values in [depots] that do not fit together, and VPs that not all depots of a set have alike."""
    for name, of in network.own_sets.items():
        yield from _times(name, of)
        yield from _superfluous(name, of)
        if of.stands_by:
            yield from _sync(name, of)
            yield from _watch(name, of)
        if len(of.nodes) > 1:
            yield from _ownership(name, of)
        yield from _key_file(name, of)
        yield from _gateways(name, of, network)
    yield from server_gateway_problems(network)
    yield from _between_sets(network)
    yield from _vps_between_depots(network)
    for of in network.sets.values():
        for kind in _WAYS:
            yield from _ways_alike(of, network, kind)
    for depot in network.depots if len(network.depots) > 1 else ():
        if not any(network.serves(depot, server) for server in network.servers):
            yield Problem(("nodes", depot), "no way leads from this depot to a server: add a VP to [vps]")


def _times(name: str, of: DepotSet) -> Iterator[Problem]:
    path = ("depots", name)
    if 0 < of.interval < _LEAST_INTERVAL:
        yield Problem((*path, "interval"), f"{of.interval} is too short for a period: write at least "
                                           f"\"{_LEAST_INTERVAL}\", or \"0s\" to send each change as it happens")
    if not _LEAST_ANNOUNCE <= of.announce <= _MOST_ANNOUNCE:
        yield Problem((*path, "announce"), f"{of.announce} is no time between announcements: write \"{_LEAST_ANNOUNCE}"
                                           f"\" to \"{_MOST_ANNOUNCE}\"")
    elif of.silence < 2 * of.announce:
        yield Problem((*path, "silence"), f"{of.silence} is less than two announcements, {of.announce} each: one that "
                                          f"is late would move the sessions; write at least "
                                          f"\"{Duration(2 * of.announce)}\"")


def _superfluous(name: str, of: DepotSet) -> Iterator[Problem]:
    """Keys that say nothing in this set: they were meant for another one, or another key is wrong."""
    plain = type(of)(nodes=of.nodes)
    keys: tuple[str, ...] = ()
    why = ""
    if len(of.nodes) == 1:
        keys = (*_OF_STANDBYS, *_OF_OWNERS)
        why = "this set has a single depot: leave it out, or write a second to nodes"
    elif not of.stands_by:
        keys = _OF_STANDBYS
        why = "nobody stands by in this set (standby = \"none\"): leave it out, or write standby = \"warm\""
    for key in keys:
        if getattr(of, key) != getattr(plain, key):
            yield Problem(("depots", name, key), why)
    if of.stands_by and of.watch and of.standby != "hot":
        yield Problem(("depots", name, "watch"), "only a hot standby watches the packets of the clients: leave it out, "
                                                 "or write standby = \"hot\"")


def _sync(name: str, of: DepotSet) -> Iterator[Problem]:
    path = ("depots", name, "sync")
    versions = [(node, ip.version) for node in of.nodes
                if node in of.sync and (ip := ip_of(of.sync[node].host)) is not None
                and not ip.is_unspecified and not fault_of(ip)]
    for number, node in enumerate(of.nodes, 1):
        address = of.sync.get(node)
        if address is None:
            yield Problem(path, f"{node} has no address for the sessions that the depots tell each other: write "
                                f"{node} = \"10.60.0.{number}:7500\"")
        elif address.host in ("0.0.0.0", "::"):
            yield Problem((*path, node), f"{address} is the address of no host, and the others could not reach it: "
                                         f"write 10.60.0.{number}:{address.port}")
        elif (ip := ip_of(address.host)) is None:
            yield Problem((*path, node), f"{address} has a name, and depots know each other by their addresses: write "
                                         f"that of {node}, such as 10.60.0.{number}:{address.port}")
        elif fault := fault_of(ip):
            yield Problem((*path, node), fault)
        elif ip.version != versions[0][1]:
            yield Problem((*path, node), f"{address} is an IPv{ip.version} address, and {versions[0][0]} has one of "
                                         f"IPv{versions[0][1]}: each depot connects from its own address, so write "
                                         "addresses of one version")


def _watch(name: str, of: DepotSet) -> Iterator[Problem]:
    if of.standby != "hot":
        return
    for node in of.nodes:
        if node not in of.watch:
            yield Problem(("depots", name, "watch"), f"{node} has no interface on which it sees the packets of the "
                                                     f"clients while it stands by: write {node} = "
                                                     f"\"{of.interface or 'copy0'}\"")


def _ownership(name: str, of: DepotSet) -> Iterator[Problem]:
    path = ("depots", name)
    if of.ownership == "keepalived" and not of.gateway:
        yield Problem((*path, "gateway"), "keepalived needs an address to move, to which the routes of the clients "
                                          "lead: write gateway = [\"10.9.0.1/24\"], or another ownership")
    if of.gateway and of.interface is None:
        yield Problem((*path, "interface"), "the interface of the gateway is missing: write the name that each depot "
                                            "has for it, such as \"eth1\"")
    if of.interface is not None and not of.gateway:
        yield Problem((*path, "interface"), "no gateway moves to this interface: leave it out, or write gateway = "
                                            "[\"10.9.0.1/24\"]")
    if of.ownership == "etcd" and not of.etcd:
        yield Problem((*path, "etcd"), "the address of etcd is missing: write etcd = [\"10.70.0.1:2379\"]")
    if of.ownership != "keepalived" and of.vrid != type(of)(nodes=of.nodes).vrid:
        yield Problem((*path, "vrid"), f"VRRP is not spoken where {of.ownership} decides: leave it out, or write "
                                       "ownership = \"keepalived\"")
    if of.ownership != "etcd" and of.etcd:
        yield Problem((*path, "etcd"), f"etcd is not asked where {of.ownership} decides: leave it out, or write "
                                       "ownership = \"etcd\"")


def _key_file(name: str, of: DepotSet) -> Iterator[Problem]:
    if of.key is not None and of.key_file is not None:
        yield Problem(("depots", name, "key_file"), "the set has a key as well: leave one of them out")
    if of.key_file is not None and not of.key_file.startswith("/"):
        yield Problem(("depots", name, "key_file"), f"{of.key_file!r} depends on where a daemon is started: write its "
                                                    "path from / on")


def _gateways(name: str, of: DepotSet, network: Network) -> Iterator[Problem]:
    taken = {str(address): f"nodes.{node}" for node, settings in network.nodes.items() for address in settings.address}
    taken |= {str(vip): "the VIP of a service" for vip in network.vips}
    taken |= {end.host: f"links.{link}" for link, settings in network.links.items() for end in settings.ends.values()}
    path = ("depots", name, "gateway")
    for number, address in enumerate(of.gateway):
        if address.host in taken:
            yield Problem(path, f"{address.host} is already taken by {taken[address.host]}: write an address that only "
                                "the active depot has")
        if address.host in (other.host for other in of.gateway[:number]):
            yield Problem(path, f"{address.host} stands there twice: leave one out")
    for node in of.nodes:
        if of.interface is not None and of.interface == network.nodes[node].device:
            yield Problem(("depots", name, "interface"), f"\"{of.interface}\" is the TUN device of {node}: write the "
                                                         "interface to the clients")


def _between_sets(network: Network) -> Iterator[Problem]:
    """Check that two sets do not share gateways, keys, and on one LAN the number by which VRRP tells them apart."""
    addresses: dict[str, str] = {}
    keys: dict[object, str] = {}
    for links, settings in network.links.items():
        keys |= {key: f"links.{links}" for key in (settings.key, settings.key_file) if key is not None}
    for number, (name, of) in enumerate(network.own_sets.items()):
        for key in ("key", "key_file"):
            if (value := getattr(of, key)) in keys:
                yield Problem(("depots", name, key), f"{keys[value]} has the same key: give each one of its own")
            if value is not None:
                keys.setdefault(value, f"depots.{name}")
        for other, earlier in list(network.own_sets.items())[:number]:
            if shared := {address.host for address in of.gateway} & {address.host for address in earlier.gateway}:
                yield Problem(("depots", name, "gateway"), f"{min(shared)} is already that of depots.{other}: write an "
                                                           "address of its own")
            elif of.vrid == earlier.vrid and _share_a_lan(of, earlier):
                free = next(n for n in range(51, 256) if n not in {each.vrid for each in network.own_sets.values()})
                yield Problem(("depots", name, "vrid"), f"depots.{other} has {of.vrid} as well, on the same network: "
                                                        f"keepalived tells sets apart by it; write vrid = {free}")
        for node, address in of.sync.items():
            if address in addresses:
                yield Problem(("depots", name, "sync", node), f"{address} is already that of {addresses[address]}: "
                                                              "write another host or port")
            addresses.setdefault(address, node)


def _share_a_lan(one: DepotSet, other: DepotSet) -> bool:
    """True for two sets whose gateways, moved by keepalived, are in one network."""
    networks = {address.network for address in one.gateway} & {address.network for address in other.gateway}
    return one.ownership == other.ownership == "keepalived" and bool(networks)


def _vps_between_depots(network: Network) -> Iterator[Problem]:
    for name, vp in network.vps.items():
        if all(end in network.depots for end in vp.ends):
            yield Problem(("vps", name, "ends"), f"{' and '.join(vp.ends)} are both depots, which tell each other "
                                                 "their sessions by sync in [depots]: leave this VP out")


def _ways_alike(of: DepotSet, network: Network, kind: _Ways) -> Iterator[Problem]:
    """Check that each depot of a set has a way of a kind to each edge node of the set, with the same channels in it."""
    first: dict[str, tuple[str, str]] = {}
    for depot in of.nodes if len(of.nodes) > 1 else ():
        for name, way in _ways_of(network, kind, depot).items():
            edge = next((end for end in way.ends if end not in network.depots), None)
            if edge is None:
                continue
            if edge not in first:
                first[edge] = (depot, name)
                yield from _wide_enough(kind, name, getattr(way, kind.session), of)
            else:
                yield from _alike(kind, name, way, first[edge][1], getattr(network, kind.table)[first[edge][1]])
    for edge, (depot, name) in first.items():
        for other in of.nodes:
            if not any(other in way.ends for way in _ways_of(network, kind, edge).values()):
                yield Problem((kind.table, name, "ends"),
                              f"{depot} has {kind.word} to {edge}, and {other}, which is in the same set, has none: "
                              f"add an entry with ends = [\"{other}\", \"{edge}\"]")


def _ways_of(network: Network, kind: _Ways, node: str) -> dict[str, Vp] | dict[str, Dlcis]:
    return network.vps_of(node) if kind.table == "vps" else network.dlcis_of(node)


def _wide_enough(kind: _Ways, name: str, channels: NumberRange | None, of: DepotSet) -> Iterator[Problem]:
    if channels is not None:
        try:
            of.part_of(of.nodes[0], channels)
        except ValueError as error:
            yield Problem((kind.table, name, kind.session), f"each depot of the set gets a part of it: {error}")


def _alike(kind: _Ways, name: str, way: Vp | Dlcis, first: str, model: Vp | Dlcis) -> Iterator[Problem]:
    where = f"{kind.table}.{first}, from a depot of the same set, has"
    for key in kind.alike:
        here, there = getattr(way, key), getattr(model, key)
        if here != there:
            yield Problem((kind.table, name, key), f"{where} {_told(there)}: a session that moves would not fit here; "
                                                   "write the same")
    here, there = getattr(way, kind.reports), getattr(model, kind.reports)
    # Where it is not in the table, it follows from the other channels.
    if here != there and not any(getattr(way, key) != getattr(model, key) for key in kind.channels):
        yield Problem((kind.table, name, kind.management), f"{where} {there}: write the same here")


def _told(value: object) -> str:
    if value is None or value == {}:
        return "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} {entry}" for key, entry in value.items())
    return str(value) if isinstance(value, int) else f"\"{value}\""
