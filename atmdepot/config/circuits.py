"""Circuits: the VPs between edge nodes and the permanent VCs, as the node at an end sees them.

The patent's figure 8: "the edge nodes communicate with each other over independent virtual circuits". A circuit carries
packets by their destination: in `networks`, each end of it has the networks to which it sends packets there.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from atmdepot.config.links import PermanentVc, Vp
    from atmdepot.config.model import Network


class Circuit(NamedTuple):
    """A circuit at one end.

    `sends` are the networks to which this end sends packets, `takes` those to which the far end does. `places` are the
    links with their VPIs; the root of a point-to-multipoint VC may have several, and sends on each. In a circuit that
    `is_two_way`, this end sends to networks of hosts, and only from these may packets come.
    """

    name: str
    far: tuple[str, ...]
    places: tuple[tuple[str, int], ...]
    sends: tuple[str, ...]
    takes: tuple[str, ...]
    is_two_way: bool
    vp: Vp | None = None
    vc: PermanentVc | None = None

    @property
    def settings(self) -> Vp | PermanentVc:
        """The entry of the VC table."""
        entry = self.vp or self.vc
        assert entry is not None
        return entry

    @property
    def vci(self) -> int:
        """The VCI of a permanent VC, or that of a VP's default VC."""
        return int(self.vp.default_vci if self.vp is not None else self.vc.vci if self.vc is not None else 0)


def circuits_of(network: Network, node: str) -> list[Circuit]:
    """The circuits with an end at a node."""
    return [*_vps(network, node), *_vcs(network, node)]


def is_group(text: str) -> bool:
    """True for a network of groups of hosts (multicast)."""
    return ipaddress.ip_network(text).is_multicast


def _vps(network: Network, node: str) -> Iterator[Circuit]:
    for name, vp in network.vps_of(node).items():
        if network.ends_at_depot(vp):
            continue
        route = network.routes.working[name]
        far = next(end for end in vp.ends if end != node)
        yield Circuit(name, (far,), ((route.link_at(node), route.vpi_at(node)),), _sent_to(network, vp, node, far),
                      _sent_to(network, vp, far, node), _has_hosts(vp.networks.get(node, ())), vp=vp)


def _sent_to(network: Network, entry: Vp | PermanentVc, node: str, far: str) -> tuple[str, ...]:
    """The networks to which a node sends: those of the table, and the far node's own addresses, for ping and errors."""
    own = [str(ipaddress.ip_network(address)) for address in network.nodes[far].address]
    return *map(str, entry.networks.get(node, ())), *own


def _vcs(network: Network, node: str) -> Iterator[Circuit]:
    for name, branches in network.routes.trees.items():
        vc = network.vcs[name]
        root, *leaves = vc.ends
        is_single = len(leaves) == 1
        from_root = _sent_to(network, vc, root, leaves[0]) if is_single else tuple(map(str, vc.networks.get(root, ())))
        from_leaf = _sent_to(network, vc, leaves[0], root) if is_single else ()
        is_two_way = is_single and _has_hosts(vc.networks.get(node, ()))
        if node == root:
            places = dict.fromkeys((route.link_at(root), route.vpi_at(root)) for route in branches.values())
            yield Circuit(name, tuple(leaves), tuple(places), from_root, from_leaf, is_two_way, vc=vc)
        elif node in leaves:
            place = branches[node].link_at(node), branches[node].vpi_at(node)
            yield Circuit(name, (root,), (place,), from_leaf, from_root, is_two_way, vc=vc)


def _has_hosts(networks: Iterable[str]) -> bool:
    return any(not is_group(text) for text in networks)
