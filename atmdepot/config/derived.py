"""The consequences of a VC table, as rows for people and programs: sets, routes, cross-connects, trees, loads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from atmdepot.config.loads import loads_of
from atmdepot.config.routes import entry_of
from atmdepot.config.units import Duration

if TYPE_CHECKING:
    from collections.abc import Iterable

    from atmdepot.config.model import Network
    from atmdepot.config.pools import DepotSet
    from atmdepot.config.routes import Route

Row = dict[str, Any]
_HEADINGS = {"vp": "VP", "vc": "VC", "vci": "VCI", "vpis": "VPI on each link", "kept_free": "kept free (cells/s)",
             "session_vcis": "VCIs of its own sessions", "session_dlcis": "DLCIs of its own sessions"}


def derived(network: Network) -> dict[str, list[Row]]:
    """All rows, by what they are; delays in ns, rates in cells/s."""
    return {"sets": _sets(network), "routes": _routes(network), "cross_connects": _cross_connects(network),
            "permanent_vcs": _permanent_vcs(network), "loads": _loads(network)}


def _sets(network: Network) -> list[Row]:
    """The depots of the sets that the table has, and the part of the channels that each gives to its sessions."""
    return [{"set": name, "depot": node, "standby": of.standby, "interval": of.interval, "ownership": of.ownership,
             "gateway": list(map(str, of.gateway)), "sync": str(of.sync.get(node, "")),
             **_parts(network, of, node)}
            for name, of in network.own_sets.items() for node in of.nodes]


def _parts(network: Network, of: DepotSet, node: str) -> Row:
    """Lines on a depot's set, for each kind of ways in the VC table: parts of channels, gateways of servers."""
    vps, dlcis = network.vps_of(node), network.dlcis_of(node)
    parts: Row = {"server_gateway": list(map(str, of.server_gateway))} if of.server_gateway else {}
    if network.vps or not (network.dlcis or parts):
        parts["session_vcis"] = {name: str(of.part_of(node, vp.session_vcis)) for name, vp in vps.items()
                                 if vp.session_vcis}
    if network.dlcis:
        parts["session_dlcis"] = {name: str(of.part_of(node, pvcs.session_dlcis)) for name, pvcs in dlcis.items()
                                  if pvcs.session_dlcis}
    return parts


def _routes(network: Network) -> list[Row]:
    rows = []
    for name, vp in network.vps.items():
        for kind, ways in (("working", network.routes.working), ("protection", network.routes.protection)):
            if name in ways:
                rows.append({"vp": name, "route": kind, **_way(network, ways[name]),
                             "contract": "" if vp.agreed is None else str(vp.agreed)})
    return rows


def _way(network: Network, route: Route) -> Row:
    """Nodes, delay from the first end to the other, and the VPI on each link."""
    delay = sum(network.links[link].line_from(sender).delay or 0
                for link, sender in zip(route.links, route.nodes, strict=False))
    vpis = dict(zip(route.links, route.vpis, strict=True))
    return {"nodes": list(route.nodes), "delay": Duration(delay), "vpis": vpis}


def _cross_connects(network: Network) -> list[Row]:
    return [{"switch": switch, "name": entry_of(connect.name, connect.place),
             "route": "protection" if connect.is_second else "working", "comes_in": str(connect.place),
             "leaves": list(map(str, connect.leaves))}
            for switch in network.switches for connect in network.routes.cross_connects(switch)]


def _permanent_vcs(network: Network) -> list[Row]:
    return [{"vc": name, "vci": int(network.vcs[name].vci), "root": route.nodes[0], "to": end, **_way(network, route),
             "contract": "" if network.vcs[name].agreed is None else str(network.vcs[name].agreed)}
            for name, branches in network.routes.trees.items() for end, route in branches.items()]


def _loads(network: Network) -> list[Row]:
    """The links with contracts, in each direction."""
    return [{"link": load.link, "from": load.sender, "rate": network.links[load.link].line_from(load.sender).rate,
             "kept_free": load.guaranteed, "contracts": {place: str(contract) for place, contract in load.contracts}}
            for load in loads_of(network) if load.contracts]


def told(rows: Iterable[Row]) -> list[Row]:
    """Rows as a table prints them."""
    return [{_HEADINGS.get(key, key): _text(key, value) for key, value in row.items()} for row in rows]


def _text(key: str, value: Any) -> Any:
    match key, value:
        case "nodes", list():
            return " - ".join(value)
        case "delay", 0:
            return "none"
        case "rate", None:
            return "any"
        case "interval", 0:
            return "as it happens"
        case _, dict():
            return ", ".join(f"{name} {entry}" for name, entry in value.items())
        case _, list():
            return ", ".join(value)
    return str(value)
