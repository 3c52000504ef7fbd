"""Loads of links: what the contracts of VPs and permanent VCs keep free on each, in each direction."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from atmdepot.config.contract import Contract
    from atmdepot.config.model import Network
    from atmdepot.config.routes import Route


class Load(NamedTuple):
    """The contracts that cross a link from a node: the place of each in the table, and the contract."""

    link: str
    sender: str
    contracts: tuple[tuple[str, Contract], ...]

    @property
    def guaranteed(self) -> int:
        """The cells per second that the contracts keep free together."""
        return sum(contract.guaranteed for _, contract in self.contracts)


def loads_of(network: Network) -> list[Load]:
    """The load of each link in each direction, in the order of the table.

    A protected VP has its rate on both routes, a point-to-multipoint VC on each link of its tree, from the root.
    """
    crossing: dict[tuple[str, str], dict[str, Contract]] = {}
    for place, contract, hops in _hops(network):
        for hop in hops:
            crossing.setdefault(hop, {})[place] = contract
    return [Load(name, sender, tuple(crossing.get((name, sender), {}).items()))
            for name, link in network.links.items() for sender in link.ends]


def _hops(network: Network) -> Iterator[tuple[str, Contract, Iterable[tuple[str, str]]]]:
    """The place of each contract in the table, the contract, and the links that it crosses with their senders."""
    routes = network.routes
    for name, vp in network.vps.items():
        if vp.agreed is not None:
            for ways in (routes.working, routes.protection):
                if name in ways:
                    yield f"vps.{name}", vp.agreed, [*_there(ways[name]), *_back(ways[name])]
    for name, branches in routes.trees.items():
        vc = network.vcs[name]
        if vc.agreed is not None:
            for route in branches.values():
                yield f"vcs.{name}", vc.agreed, [*_there(route), *(_back(route) if len(branches) == 1 else ())]


def _there(route: Route) -> Iterator[tuple[str, str]]:
    return zip(route.links, route.nodes, strict=False)


def _back(route: Route) -> Iterator[tuple[str, str]]:
    return zip(route.links, route.nodes[1:], strict=True)
