"""The OAM of a node at which VPs end (ITU-T I.610): all its VPs, and those who hear of their conditions.

::

    NodeOam      a node
      LinkOam    a link: its flows, its supervision, and AIS for its VPs when it has no signal (`link_oam.py`)
        VpOam    a VP: the end points of both F4 flows, activation, performance monitoring (`vp_oam.py`)
        Flow     an end point of a flow, with the header of its cells (`oam_flow.py`)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from atmdepot.atm.oam import Condition
from atmdepot.atm.vc import Vc, VcTable
from atmdepot.bearer.link_oam import LinkOam
from atmdepot.bearer.vp_oam import VpOam
from atmdepot.config.locations import location_of, nodes_by_location
from atmdepot.wire.oam_messages import NO_LOCATION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from atmdepot.bearer.adaptation import LinkAdaptation
    from atmdepot.config.links import Vp
    from atmdepot.config.model import Network

VpObserver = Callable[[VpOam, int], None]
"""A function called when the conditions of a VP have changed, with the time."""


class NodeOam:
    """The OAM of a node at which VPs end."""

    def __init__(self, network: Network, node: str, links: Mapping[str, LinkAdaptation]) -> None:
        """Serve the VPs that end at a node, on its links."""
        location = location_of(network, node)
        self.node = node
        self.links = {name: LinkOam(link, location, network.links[name].supervise) for name, link in links.items()}
        self.vps: dict[str, VpOam] = {}
        self.second: dict[str, VpOam] = {}
        """The second routes of protected VPs."""
        self.observers: tuple[VpObserver, ...] = ()
        self._names = nodes_by_location(network)
        for name, vp in network.vps_of(node).items():
            for route in network.routes.of(name):
                if (link := self.links.get(route.link_at(node))) is not None:
                    self._add(name, vp, route.onward(node)[-1], route.vpi_at(node), link)

    def _add(self, name: str, vp: Vp, far: str, vpi: int, link: LinkOam) -> None:
        # A second route has no VCs of its own, and a node may leave the VCs of a VP closed; F4 needs its numbers only.
        vc = VcTable.find(link.adaptation.table, vpi, int(vp.default_vci)) or Vc(
            vpi, int(vp.default_vci), interface=link.adaptation.interface)
        is_second = name in self.vps
        made = VpOam(name, vp, far, vc, link, is_second=is_second)
        (self.second if is_second else self.vps)[name] = made
        link.add_vp(made)
        made.end.point.subscribe(partial(self._changed, made))  # not a lambda, so that a depot can be pickled

    def subscribe(self, observer: VpObserver) -> None:
        """Tell an observer of each change of a VP's conditions from now on."""
        self.observers += (observer,)

    def stood_still(self, span: int, now: int) -> None:
        """Count the last `span` ns, in which this process did not run, as no silence of the far ends."""
        for link in self.links.values():
            link.stood_still(span, now)

    def trouble(self, vp: VpOam) -> str:
        """The conditions of a VP, or of its second route, in words; empty without any."""
        told = self._told_all(vp)
        return f"VP {vp.name} {'on its protection route ' * vp.is_second}{told}" if told else ""

    def trouble_of_all(self, name: str) -> str:
        """The conditions of a VP on each of its routes, in words; empty without any."""
        vps = [self.vps[name], self.second[name]] if name in self.second else [self.vps[name]]
        told = [f"{'on its protection route ' * vp.is_second}{self._told_all(vp)}" for vp in vps if vp.conditions]
        return f"VP {name} {' and '.join(told)}" if told else ""

    def _told_all(self, vp: VpOam) -> str:
        return ", ".join(self._told(vp, condition) for condition in vp.conditions)

    def _told(self, vp: VpOam, condition: Condition) -> str:
        if condition is Condition.LOC:
            return "lost continuity (LOC)"
        if condition is Condition.RDI:
            return f"has RDI: {vp.far} does not hear {self.node}"
        if not vp.link.has_signal:
            return f"has AIS: no signal on link {vp.link.adaptation.name}"
        place = self.place_of(vp)
        return f"has AIS from {place}" if place else "has AIS"

    def place_of(self, vp: VpOam) -> str:
        """The place of a VP's defect as its last AIS or RDI cell tells it: a node, or a location; empty if untold."""
        told = vp.end.point.last_defect
        if told is None or told.location == NO_LOCATION:
            return ""
        return self._names.get(told.location, told.location.hex())

    def _changed(self, vp: VpOam, _condition: Condition, _begins: bool, now: int) -> None:
        vp.since = now
        for observer in self.observers:
            observer(vp, now)
