"""The ATM bearer: a far node is reached by its VP, and a session in it by a VCI of its own, or by a shared VCI."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from atmdepot.bearer.base import Bearer, Counter, PathCondition, PathText
from atmdepot.bearer.circuits import CircuitEnd, Circuits
from atmdepot.bearer.oam import NodeOam
from atmdepot.bearer.protected import protected_vps
from atmdepot.bearer.shaping import port_of
from atmdepot.bearer.vp_map import AtmPath, SessionVcTable, VpMap
from atmdepot.config.contract import ServiceCategory
from atmdepot.wire.aal5 import cells_of
from atmdepot.wire.bridging import Fcs, sdu_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from atmdepot.atm.protection import Request, Side
    from atmdepot.atm.vc import Vc
    from atmdepot.bearer.adaptation import LinkAdaptation
    from atmdepot.bearer.base import Path
    from atmdepot.bearer.vp_oam import VpOam
    from atmdepot.config.model import Network
    from atmdepot.config.qos import QosMap
    from atmdepot.wire.flows import FlowKey
    from atmdepot.wire.packet import Arrival


class AtmBearer(Bearer):
    """The depot's VPs and their links."""

    kind = "atm"

    def __init__(self, network: Network, depot: str, qos: QosMap) -> None:
        """Make the links and VPs of a depot of a VC table, and open their VCs."""
        Bearer.__init__(self)  # not by super(), which the compiled module does not have
        self.network, self.name = network, depot
        self.links: dict[str, LinkAdaptation] = {
            name: port_of(network, name, depot, SessionVcTable()) for name in network.links_of(depot)}
        self.vps: dict[str, VpMap] = {}
        self._to: dict[str, VpMap] = {}
        for name in network.vps_of(depot):
            vp = VpMap(self, network, depot, name, self.links[network.routes.working[name].link_at(depot)], qos)
            self.vps[name] = self._to[vp.node] = vp
        self.circuits = Circuits(network, depot, self.links, qos)
        self.has_routes = bool(self.circuits.ends)
        self.oam = NodeOam(network, depot, self.links)
        self.protected = protected_vps(network, depot, self.links, self.oam)
        # Methods, not lambdas, so that a depot can be pickled.
        self.oam.subscribe(self._vp_changed)
        for protected in self.protected.values():
            protected.state.subscribe(partial(self._route_changed, self.vps[protected.name].node))

    def _vp_changed(self, vp: VpOam, now: int) -> None:
        self._conditions_changed(self.vps[vp.name].node, now)

    def _route_changed(self, node: str, _side: Side, _request: Request, now: int) -> None:
        self._conditions_changed(node, now)
        if self.way_changed is not None:
            self.way_changed(node, now)

    def _conditions_changed(self, node: str, now: int) -> None:
        """Tell the trouble of the way to a node, which is that of the VP by which packets go there."""
        name = self._to[node].name
        protected = self.protected.get(name)
        trouble = self.oam.trouble_of_all(name) if protected is None or protected.is_down else ""
        self.troubles.pop(node, None)
        if trouble:
            self.troubles[node] = trouble
        if self.trouble_changed is not None:
            self.trouble_changed(node, now)

    def leads_to(self, node: str) -> bool:
        """True for a node to which a VP leads."""
        return node in self._to

    def counters(self) -> list[Counter]:
        """Sessions that met a VP without a free VCI."""
        return [Counter(vp.name, "vcis-exhausted", vp.exhausted, "sessions") for vp in self.vps.values()]

    def stood_still(self, span: int, now: int) -> None:
        """Note that this process did not run for `span` ns until now, so that no far node counts as silent."""
        self.oam.stood_still(span, now)

    def condition(self, path: Path) -> PathCondition:
        """The condition of the link of a path's working route."""
        assert isinstance(path, AtmPath)
        vp = self.protected.get(path.vp.name)
        return path.vp.link.condition()._replace(is_detour=vp is not None and vp.is_detour)

    def open(self, node: str, category: ServiceCategory, owner: object) -> AtmPath:
        """Open a VC in the node's VP; see `VpMap.open`."""
        return self._to[node].open(category, owner)

    def claim(self, node: str, number: int, category: ServiceCategory, owner: object) -> AtmPath | None:
        """Open the VC on a given VCI; see `VpMap.claim`."""
        return self._to[node].claim(number, category, owner)

    def path_with(self, node: str, number: int) -> AtmPath | None:
        """The path of the open VC on a VCI of the node's VP, or None."""
        return self._to[node].path_with(number)

    def management(self, node: str) -> AtmPath:
        """The management VC of the node's VP."""
        return self._to[node].management

    def default(self, node: str) -> AtmPath:
        """The default VC of the node's VP."""
        return self._to[node].default

    def for_unanswered(self, node: str, category: ServiceCategory, owner: object) -> AtmPath:
        """The default VC, or without session VCIs the category's shared VC."""
        vp = self._to[node]
        return vp.default if vp.has_own else vp.shared(category)

    def would_open(
        self, node: str, category: ServiceCategory, leaving: Iterable[Path], key: FlowKey,
    ) -> tuple[AtmPath, str]:
        """The VC that `open` would give, and why."""
        vp = self._to[node]
        if not vp.has_own:
            return self.would_share(node, category, key)
        vci = vp.upcoming(leaving)
        if vci is None:
            return vp.default, "the default VC, since all VCIs for sessions are in use"
        refusal = vp.would_refuse(category)
        path = AtmPath(vp, vp.make(vci, ServiceCategory.UBR_1 if refusal else category))
        path.vc.owner = None  # it is not opened, so no cells come for it: no reference cycle
        return path, "the next free VCI, for this session alone" + (f", as best effort: {refusal}" if refusal else "")

    def would_share(self, node: str, category: ServiceCategory, key: FlowKey) -> tuple[AtmPath, str]:
        """The VC that `for_unanswered` gives, and why."""
        vp = self._to[node]
        if vp.has_own:
            return vp.default, "the default VC; a flow gets a VCI of its own with the server's first answer"
        path = vp.shared(category)
        return path, (f"the default VC, since none is shared for {category}" if path is vp.default
                      else f"the VC of {category}, which sessions share")

    def route(self, destination: bytes) -> CircuitEnd | None:
        """The permanent VC that carries packets for an address, or None."""
        return self.circuits.towards(destination)

    def is_adoptable(self, path: Path) -> bool:
        """True for an open stray VC, which no session owns."""
        return isinstance(path, AtmPath) and path.owner is None and path in path.vp.strays

    def adopt(self, path: Path, category: ServiceCategory, owner: object) -> AtmPath:
        """Give a stray VC to a session, with the contract of `category`."""
        assert isinstance(path, AtmPath)
        return path.vp.adopt(path, category, owner)

    def close(self, path: Path, owner: object) -> None:
        """Close the VC of a session that has ended, if it was the session's own, and free its VCI."""
        of: AtmPath = path  # type: ignore[assignment]  # every path of this bearer is of its own class
        of.vp.close(of, owner)

    def receive(self, port: str, octets: bytes, now: int) -> Sequence[Arrival]:
        """Reassemble cells; return the packets that they complete."""
        link = self.links[port]
        return link.receive(octets, now)  # the owner of a depot's VC is its path

    def no_path(self) -> dict[str, Any]:
        """The keys of `describe`, with empty values."""
        return {"vp": "", "link": "", "vc": "", "category": "", "contract": "", "encapsulation": "", "clp": 0,
                "cells": 0, "mtu": 0}

    def describe(self, path: Path, octets: int | None, clp: int) -> PathText:
        """A VC in words, and the cells that a packet of `octets` octets becomes; None for no packet."""
        assert isinstance(path, AtmPath | CircuitEnd)
        name, of = (path.vp.name, "VP") if isinstance(path, AtmPath) else (path.name, "permanent VC")
        vc = path.vc
        number = f"{vc.vpi}/{vc.vci}"
        cells = 0 if octets is None else cells_of(_sdu_size(octets, vc))
        fields = {"vp": name, "link": path.port, "vc": number, "category": str(vc.category),
                  "contract": str(vc.contract), "encapsulation": str(vc.encapsulation), "clp": clp, "cells": cells,
                  "mtu": path.mtu}
        fcs = "" if vc.bridge is None else f" {'with' if vc.bridge.fcs is Fcs.YES else 'without'} FCS"
        place = f"{number} in {of} {name} on link {path.port}, contract {vc.contract}, {vc.encapsulation}{fcs}"
        return PathText("VC", number, place, str(vc.category), "1 cell" if cells == 1 else f"{cells} cells",
                        f"CLP {clp} in all its cells", fields)


def _sdu_size(octets: int, vc: Vc) -> int:
    """Octets of the SDU of an IP packet on a VC."""
    bridge = vc.bridge
    return octets + vc.encapsulation.overhead if bridge is None else sdu_size(octets, vc.encapsulation, bridge.fcs)
