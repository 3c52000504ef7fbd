"""The VPs of an edge node to depots, as the VC table has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.bearer.shaping import port_of
from atmdepot.edge.vp_table import VpTable, VpWay
from atmdepot.wire.cell import Interface

if TYPE_CHECKING:
    from atmdepot.bearer.adaptation import LinkAdaptation
    from atmdepot.config.model import Network
    from atmdepot.config.qos import QosMap


def ways_of(network: Network, node: str, qos: QosMap) -> list[VpWay]:
    """Open the VPs from an edge node to depots, those of a set in the order of its depots."""
    order = [depot for of in network.sets.values() for depot in of.nodes]
    found = [(order.index(depot), depot, name) for name, vp in network.vps_of(node).items()
             for depot in vp.ends if depot in order]
    ways: list[VpWay] = []
    links: dict[str, LinkAdaptation] = {}
    for _, depot, name in sorted(found):
        vp, route = network.vps[name], network.routes.working[name]
        link = route.link_at(node)
        table = VpTable(vp, route.vpi_at(node), Interface(network.links[link].interface), qos)
        if link in links:
            table.stand_on(_table_of(links[link]))
        else:
            links[link] = port_of(network, link, node, table)
        port = links[link]
        port.join(network, node, name, vp, table.default, *table.shared)
        table.use(port.admission)
        ways.append(VpWay(network, depot, name, table, port))
    return ways


def _table_of(link: LinkAdaptation) -> VpTable:
    assert isinstance(link.table, VpTable)
    return link.table
