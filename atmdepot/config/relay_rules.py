"""Rules of Frame Relay: what its links may have, where its PVCs lead, and which DLCIs and rates fit."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from msgspec import NODEFAULT
from msgspec.structs import fields

from atmdepot.config.links import Link
from atmdepot.config.problem import Problem, list_of
from atmdepot.config.relay import Lmi
from atmdepot.config.units import Duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.config.model import Network
    from atmdepot.config.relay import Dlcis

_RELAY_KEYS = ("ends", "bearer", "lmi", "source_check", "from")
_LEAST_T391, _MOST_T392 = Duration.parse("100ms"), Duration.parse("1h")
_IPV6_MIN_MTU = 1280


def relay_name_problems(network: Network) -> Iterator[Problem]:
    """Ends of PVCs, and nodes between them, that lead nowhere."""
    for name, dlcis in network.dlcis.items():
        path = ("dlcis", name, "ends")
        if len(dlcis.ends) != 2 or len(set(dlcis.ends)) != 2:
            yield Problem(path, "PVCs have two ends: write ends = [\"depot\", \"web1\"]")
        for node in dlcis.ends:
            if node not in network.nodes:
                yield Problem(path, f"there is no node \"{node}\": {list_of('nodes', network.nodes)}")
        if dlcis.via is not None and dlcis.via not in network.nodes:
            yield Problem(("dlcis", name, "via"), f"there is no node \"{dlcis.via}\": "
                                                  f"{list_of('nodes', network.nodes)}")


def relay_problems(network: Network) -> Iterator[Problem]:
    """Every mistake in links of Frame Relay, their LMI, and PVCs."""
    for rule in (_links, _lmis, _ends, _numbers, _rates, _servers):
        yield from rule(network)


def _links(network: Network) -> Iterator[Problem]:
    """Check that each kind of link has only keys of its own."""
    for name, link in network.links.items():
        if link.bearer == "atm":
            if link.lmi != Lmi():
                yield Problem(("links", name, "lmi"), "only a link with bearer = \"frame-relay\" has an LMI: leave it "
                                                      "out")
            continue
        for field in fields(Link):
            default: Any = field.default_factory() if field.default is NODEFAULT and callable(
                field.default_factory) else field.default
            if field.encode_name not in _RELAY_KEYS and getattr(link, field.name) != default:
                yield Problem(("links", name, field.encode_name), "a link of Frame Relay has no such key: leave it "
                                                                "out")
        if link.from_:
            yield Problem(("links", name, "from"), "a link of Frame Relay has no lines: leave it out")


def _lmis(network: Network) -> Iterator[Problem]:
    for name, link in network.links.items():
        path, lmi = ("links", name, "lmi"), link.lmi
        if lmi.network is not None and lmi.network not in link.ends:
            yield Problem((*path, "network"), f"\"{lmi.network}\" is no end of this link: its ends are "
                                              f"{' and '.join(link.ends)}")
        if lmi.t391 < _LEAST_T391:
            yield Problem((*path, "t391"), f"{lmi.t391} is too short: write at least \"{_LEAST_T391}\"")
        if not lmi.t391 < lmi.t392 <= _MOST_T392:
            yield Problem((*path, "t392"), f"{lmi.t392} does not fit T391, {lmi.t391}: an enquiry comes each T391, so "
                                           f"write more than that, and at most \"{_MOST_T392}\"")
        if lmi.n392 > lmi.n393:
            yield Problem((*path, "n392"), f"{lmi.n392} errors in {lmi.n393} events (n393) cannot be: write at most "
                                           f"{lmi.n393}")


def _ends(network: Network) -> Iterator[Problem]:
    """Check that PVCs lead from a depot to an edge node, over one link or over gear between two."""
    seen: dict[frozenset[str], str] = {}
    for name, dlcis in network.dlcis.items():
        path = ("dlcis", name, "ends")
        kinds = sorted(network.nodes[node].kind for node in dlcis.ends)
        if kinds not in (["depot", "edge"], ["depot", "external"], ["edge", "interworking"]):
            yield Problem(path, f"{' and '.join(dlcis.ends)} are {' and '.join(kinds)}: PVCs lead from a depot to an "
                                "edge node, or from an interworking function")
        elif dlcis.vp is not None or "interworking" in kinds:
            yield from _interworking(network, name, dlcis)
        missing = [end for end in dlcis.ends if end not in network.relay_links(name)]
        if missing:
            to = dlcis.via or dlcis.other_end(missing[0])
            yield Problem(path, f"no link of Frame Relay joins {missing[0]} and {to}: add one to [links], with bearer "
                                "= \"frame-relay\"" + ("" if dlcis.via else ", or name the switch between them in via"))
        ends = frozenset(dlcis.ends)
        if ends in seen:
            yield Problem(path, f"dlcis.{seen[ends]} already leads from {' to '.join(dlcis.ends)}: write all DLCIs "
                                "there")
        seen[ends] = name


def _interworking(network: Network, name: str, dlcis: Dlcis) -> Iterator[Problem]:
    """Check that PVCs of an interworking function go on from a VP that ends there, one for one."""
    path = ("dlcis", name, "vp")
    function = next((end for end in dlcis.ends if network.nodes[end].kind == "interworking"), None)
    vp = network.vps.get(dlcis.vp or "")
    if function is None:
        yield Problem(path, "none of its ends is an interworking function, which leads from a VP to PVCs: leave it out")
    elif vp is None or function not in vp.ends or not network.ends_at_depot(vp):
        yield Problem(path, f"name the VP from the depot to \"{function}\" that its packets come from")
    elif next(other for other, of in network.dlcis.items() if of.vp == dlcis.vp) != name:
        yield Problem(path, f"other PVCs go on from vps.{dlcis.vp} already: add a VP for these")
    else:
        if vp.encapsulation != "llc":
            yield Problem(("vps", dlcis.vp or "", "encapsulation"), "an interworking function translates LLC/SNAP "
                                                                    "headers (FRF.8): write \"llc\"")
        if vp.protect is not None:
            yield Problem(("vps", dlcis.vp or "", "protect"), "an interworking function has VCs on the working route "
                                                              "alone: leave it out")
        vcis, own = vp.session_vcis, dlcis.session_dlcis
        if (vcis is None) != (own is None) or (vcis and own and vcis.last - vcis.first != own.last - own.first):
            yield Problem(("dlcis", name, "session_dlcis"), f"each VC of vps.{dlcis.vp} needs a PVC: write a range as "
                                                            f"long as its session_vcis ({vcis or 'none'})")


def _numbers(network: Network) -> Iterator[Problem]:
    """Check that no DLCI has two uses on a link."""
    uses: dict[tuple[str, int], str] = {}
    for name, dlcis in network.dlcis.items():
        path = ("dlcis", name)
        own = dlcis.session_dlcis
        for key, dlci in (("dlci", dlcis.dlci), ("management_dlci", dlcis.management_dlci)):
            if own is not None and dlci is not None and own.holds(dlci):
                yield Problem((*path, key), f"DLCI {dlci} is used twice: it is also in session_dlcis ({own})")
        if dlcis.management_dlci == dlcis.dlci:
            yield Problem((*path, "management_dlci"), f"DLCI {dlcis.dlci} is used twice: it is also that of dlci")
        if own is not None and own.last - own.first > 991 - 16 - 2:
            yield Problem((*path, "session_dlcis"), "no DLCI is left for the statistics of the edge node: write "
                                                    "\"200-991\"")
            continue
        for link in set(network.relay_links(name).values()):
            shared = [dlci for dlci in dlcis.all() if uses.setdefault((link, dlci), name) != name]
            if shared:
                told = ", ".join(map(str, islice(shared, 5)))
                yield Problem(path, f"on the link \"{link}\" dlcis.{uses[link, shared[0]]} has DLCI {told} too: write "
                                    "others (management_dlci is the least that is free)")


def _rates(network: Network) -> Iterator[Problem]:
    vip = next((vip for vip in network.vips if vip.version == 6), None)
    for name, dlcis in network.dlcis.items():
        path = ("dlcis", name)
        if vip and dlcis.mtu < _IPV6_MIN_MTU:
            yield Problem((*path, "mtu"), f"an MTU of {dlcis.mtu} is too small for the VIP {vip}: IPv6 needs "
                                          f"{_IPV6_MIN_MTU} (RFC 8200 section 5)")
        if dlcis.cir is None:
            for key in ("bc", "be", "police"):
                if getattr(dlcis, "own_bc" if key == "bc" else key):
                    yield Problem((*path, key), "it says nothing without a CIR: write cir, or leave it out")
            continue
        for key, bits in (("bc", dlcis.bc), ("be", dlcis.be)):
            if (bits or key == "bc") and bits < dlcis.greatest_frame:
                yield Problem((*path, key), f"a frame with a packet of {dlcis.mtu} octets has {dlcis.greatest_frame} "
                                            f"bits, and would never pass: write at least so many, or a smaller mtu")


def _servers(network: Network) -> Iterator[Problem]:
    reached = {node for dlcis in network.dlcis.values() for node in dlcis.ends}
    direct = {node for dlcis in network.dlcis.values() if dlcis.vp is None for node in dlcis.ends}
    for name, server in network.servers.items():
        if server.bearer == "frame-relay" and server.node not in direct:
            yield Problem(("servers", name, "node"), f"no PVC leads to \"{server.node}\": add one to [dlcis]")
        elif server.bearer != "frame-relay" and server.node in direct:
            yield Problem(("servers", name, "bearer"), f"PVCs of Frame Relay lead to \"{server.node}\": write "
                                                       "\"frame-relay\"")
    for name, node in network.nodes.items():
        if node.kind == "interworking" and name not in reached:
            yield Problem(("nodes", name), "no PVC leads from this interworking function: add one to [dlcis], with its "
                                           "vp")
    nodes = {server.node for server in network.servers.values()}
    for name in network.edges:
        kinds = set(network.bearers_at.get(name, ()))
        if len(kinds) > 1:
            yield Problem(("nodes", name), "it has links of ATM and of Frame Relay: an edge node has links of one kind")
        elif kinds == {"frame-relay"} and (name not in reached or name not in nodes):
            yield Problem(("nodes", name), "no PVC leads to this edge node, or no server is behind it: add one to "
                                           "[dlcis], its server to [servers]")
        elif kinds == {"frame-relay"} and network.nodes[name].tap is not None:
            yield Problem(("nodes", name, "tap"), "only ATM carries Ethernet frames: leave it out")


def spans(dlcis: Dlcis) -> str:
    """The DLCIs in words, for `check`."""
    own = f", {dlcis.session_dlcis} for sessions" if dlcis.session_dlcis else ""
    return f"{dlcis.dlci}, {dlcis.statistics_dlci} for statistics{own}"
