"""The ATM bearer: a far node is reached by its VP, and a session in it by a VCI of its own, or by a shared VCI."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from atmdepot.atm.vc import Vc, VcTable
from atmdepot.bearer.adaptation import vc_of
from atmdepot.bearer.base import Bearer, Counter, Path, PathCondition, PathText
from atmdepot.bearer.circuits import CircuitEnd, Circuits
from atmdepot.bearer.oam import NodeOam
from atmdepot.bearer.protected import protected_vps
from atmdepot.bearer.shaping import port_of
from atmdepot.config.contract import ServiceCategory
from atmdepot.wire.aal5 import cells_of
from atmdepot.wire.bridging import Fcs, sdu_size
from atmdepot.wire.llc import Encapsulation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from atmdepot.atm.protection import Request, Side
    from atmdepot.bearer.adaptation import LinkAdaptation
    from atmdepot.bearer.oam import VpOam
    from atmdepot.config.contract import Contract
    from atmdepot.config.links import Vp
    from atmdepot.config.model import Network
    from atmdepot.config.qos import QosMap
    from atmdepot.config.units import NumberRange
    from atmdepot.wire.flows import FlowKey
    from atmdepot.wire.offload import PlainFrame
    from atmdepot.wire.packet import Arrival


_ALL_CLAIMED = 0xFF
_MAX_STRAYS = 64
"""The most stray VCs that a VP has open; further cells count as on an unknown VC, as without adoption."""


class VciPool:
    """The free list of a VP's session VCIs: first the VCIs never used, then the VCI that has been free longest.

    So a late cell of a closed VC meets an unknown VC, not the VC of another session.
    """

    __slots__ = ("_claimed", "_first", "_free", "_last", "_next", "_out_of_turn")

    def __init__(self, vcis: NumberRange) -> None:
        self._first, self._last = vcis.first, vcis.last
        self._next = self._first
        self._free: deque[int] = deque()
        self._claimed = bytearray()  # a bit for each VCI, set for those claimed out of turn; empty until the first is
        self._out_of_turn: set[int] = set()  # claimed VCIs that still stand in `_free`

    def upcoming(self) -> int | None:
        """The VCI that `take` would return."""
        if self._next <= self._last:
            return self._next
        while self._out_of_turn and self._free and self._free[0] in self._out_of_turn:
            self._out_of_turn.remove(self._free.popleft())
        return self._free[0] if self._free else None

    def take(self) -> int | None:
        """Take a VCI; None when all are in use."""
        vci = self.upcoming()
        if vci == self._next:
            self._go_on(vci)
        elif vci is not None:
            self._free.popleft()
        return vci

    def is_unused(self, vci: int) -> bool:
        """True for a VCI of the range that was never taken."""
        return self._next <= vci <= self._last and not self._is_claimed(vci)

    def _is_claimed(self, vci: int) -> bool:
        at = vci - self._first
        return bool(self._claimed) and self._claimed[at >> 3] >> (at & 7) & 1 != 0

    def has(self, vci: int) -> bool:
        """True for a VCI of the range."""
        return self._first <= vci <= self._last

    def claim(self, vci: int) -> None:
        """Take a never used VCI out of turn; raise ValueError for any other VCI."""
        if not self.is_unused(vci):
            raise ValueError(f"VCI {vci} is in use, was used before, or lies outside the range")
        at = vci - self._first
        if not self._claimed:
            self._claimed = bytearray((self._last - self._first >> 3) + 1)
        self._claimed[at >> 3] |= 1 << (at & 7)
        if vci == self._next:
            self._go_on(vci)

    def claim_again(self, vci: int) -> None:
        """Take a VCI that no open VC has, used before or not; a VCI outside the range is let be."""
        if self.is_unused(vci):
            self.claim(vci)
        elif self.has(vci):
            self._out_of_turn.add(vci)

    def _go_on(self, vci: int) -> None:
        """Move `_next` to the first VCI after `vci` that was not claimed: each is passed once, eight in a step."""
        upcoming = vci + 1
        if self._claimed:
            while upcoming <= self._last and self._is_claimed(upcoming):
                at = upcoming - self._first
                upcoming += 8 if not at & 7 and self._claimed[at >> 3] == _ALL_CLAIMED else 1
        self._next = upcoming

    def give_back(self, vci: int) -> None:
        """Put a VCI at the end of the free list; its session has left the secondary table."""
        if vci in self._out_of_turn:
            self._out_of_turn.remove(vci)  # it never left the list
        elif self.has(vci):
            self._free.append(vci)


def _sdu_size(octets: int, vc: Vc) -> int:
    """Octets of the SDU of an IP packet on a VC."""
    bridge = vc.bridge
    return octets + vc.encapsulation.overhead if bridge is None else sdu_size(octets, vc.encapsulation, bridge.fcs)


class SessionVcTable(VcTable):
    """The VCs of a link at the depot; a VP of the link may open a VC for a cell on an unknown VC."""

    __slots__ = ("vps",)

    def __init__(self) -> None:
        super().__init__()
        self.vps: dict[int, VpMap] = {}

    def stray(self, vpi: int, vci: int, payload: bytes) -> Vc | None:
        """The VC that the VP opens for a cell on an unknown VC, or None."""
        vp = self.vps.get(vpi)
        return None if vp is None else vp.stray(vci, payload)


class AtmPath(Path):
    """A VC to a far node, and the VP that has it."""

    __slots__ = ("vc", "vp")

    def __init__(self, vp: VpMap, vc: Vc, owner: object = None) -> None:
        self._lead(vp, vc, owner)

    def _lead(self, vp: VpMap, vc: Vc, owner: object) -> None:
        self.vp, self.vc, self.owner = vp, vc, owner
        self.node, self.port, self.mtu, self.is_management, self.is_routed = vp.node, vp.port, vp.mtu, False, False
        vc.owner = self

    @property
    def channel(self) -> tuple[int, int]:
        """VPI and VCI."""
        return self.vc.channel

    def number(self) -> int:
        """The VCI of a session's own VC, else 0."""
        return 0 if self.owner is None else self.vc.vci

    def send(self, packet: bytes, clp: int) -> None:
        """Cut a packet into cells on the VC."""
        self.vp.link.send(packet, self.vc, clp)

    def send_frame(self, frame: PlainFrame, clp: int) -> None:
        """Cut the packets of a frame into cells on the VC."""
        self.vp.link.send_frame(frame, self.vc, clp)


class VpMap:
    """The VCs of the VP to an edge node.

    A cell on a session VCI never used here opens its VC as a stray if `recognise` finds in it the beginning of a packet
    that may belong to a session of an earlier depot. The session may then be adopted. A stray VC that is not adopted
    is closed as soon as it has no unfinished PDU.
    """

    def __init__(
        self, bearer: AtmBearer, name: str, node: str, vp: Vp, vpi: int, link: LinkAdaptation, qos: QosMap,
    ) -> None:
        """Open the default VC, the management VC and the shared VCs, on the depot's link with this VPI."""
        self.name = name
        self.node = node
        self.link = link
        self.port = link.name
        self.mtu = vp.mtu
        self.exhausted = 0
        self.strays: list[AtmPath] = []
        self._bearer = bearer
        qos = qos.over(vp.header_octets)
        self._contracts = qos.contracts
        # Each depot of a set gives its own part of the VCIs to sessions, and claims others' when it takes over.
        self._session_vcis = vp.session_vcis
        of = bearer.network.set_of(bearer.name)
        self._vcis = VciPool(of.part_of(bearer.name, vp.session_vcis)) if vp.session_vcis else None
        vc = vc_of(vp, vpi, vp.default_vci, link.interface, qos.contract(ServiceCategory.UBR_1))
        link.table.add(vc)
        if isinstance(link.table, SessionVcTable):
            link.table.vps[vpi] = self
        self.default = AtmPath(self, vc)
        self.management = self._open(vp.statistics_vci, ServiceCategory.UBR_1, None)
        self.management.is_management = True
        self.management.vc.encapsulation = Encapsulation.VC_MUX  # statistics are no packets: without LLC
        link.join(bearer.network, bearer.name, name, vp, vc)
        self._shared = {ServiceCategory.parse(category): self._open(vci, ServiceCategory.parse(category), None)
                        for category, vci in vp.shared_vcs.items()}

    def open(self, category: ServiceCategory, owner: object) -> AtmPath:
        """Open a VC for a new session: its own VC, or its category's shared VC; the default VC when no VCI is free."""
        if self._vcis is None:
            return self.shared(category)
        vci = self._vcis.take()
        if vci is None:
            self.exhausted += 1
            return self.default
        # A stray VC may be open on a VCI that no session has used before.
        if self.strays:
            self._close_stray(vci)
        return self._open(vci, category, owner)

    @property
    def has_own(self) -> bool:
        """True when sessions have VCs of their own; else they share VCs by category."""
        return self._vcis is not None

    def shared(self, category: ServiceCategory) -> AtmPath:
        """The VC that sessions of a category share, where the VP has no session VCIs."""
        return self._shared.get(category, self.default)

    def upcoming(self, leaving: Iterable[Path]) -> int | None:
        """The VCI that `open` would take once the sessions of `leaving` had ended, or None."""
        assert self._vcis is not None
        vci = self._vcis.upcoming()
        if vci is not None:
            return vci
        # A VCI becomes free only where it is of this VP, and no other session shares it.
        return next((path.vc.vci for path in leaving
                     if isinstance(path, AtmPath) and path.vp is self and path.owner is not None), None)

    def stray(self, vci: int, payload: bytes) -> Vc | None:
        """Open a stray VC for a cell on an unknown VC, if its VCI was never used and `recognise` agrees; else None."""
        default, recognise = self.default.vc, self._bearer.recognise
        if self._vcis is None or not self._may_stray(vci):
            return None
        if len(self.strays) >= _MAX_STRAYS or recognise is None:
            return None
        if not recognise(self.node, payload[default.encapsulation.before_ip:]):
            return None
        path = self._open(vci, ServiceCategory.UBR_1, None)
        if not self.strays:
            self._bearer.straying.append(self)
        self.strays.append(path)
        return path.vc

    def _may_stray(self, vci: int) -> bool:
        """True for a session VCI that was never used here, or is in another depot's part."""
        assert self._vcis is not None
        assert self._session_vcis is not None
        return self._vcis.is_unused(vci) or (not self._vcis.has(vci) and self._session_vcis.holds(vci))

    def claim(self, vci: int, category: ServiceCategory, owner: object) -> AtmPath | None:
        """Open the VC on a given VCI for a session, as another depot of the set has it; None where it cannot be.

        A stray VC there becomes the session's.
        """
        if self._vcis is None or self._session_vcis is None or not self._session_vcis.holds(vci):
            return None
        path = self.path_with(vci)
        if path is not None:
            return self.adopt(path, category, owner) if path in self.strays else None
        self._vcis.claim_again(vci)
        return self._open(vci, category, owner)

    def path_with(self, vci: int) -> AtmPath | None:
        """The path of an open VC of this VP, or None."""
        vc = self.link.table.find(self.default.vc.vpi, vci)
        return None if vc is None or not isinstance(vc.owner, AtmPath) else vc.owner

    def adopt(self, path: AtmPath, category: ServiceCategory, owner: object) -> AtmPath:
        """Give a stray VC to the session `owner`, with the contract of `category`."""
        assert self._vcis is not None
        self._vcis.claim_again(path.vc.vci)
        self.strays.remove(path)
        path.vc.contract = contract = self._contracts[category]
        path.vc.category = category
        path.owner = owner
        self._admit(path, contract)
        return path

    def _admit(self, path: AtmPath, contract: Contract) -> None:
        """Have a VC be best effort where its link has not the rate left that its contract guarantees."""
        admission = self.link.admission
        if admission is not None and not admission.admit(path.vc.channel, contract):
            path.vc.contract = best_effort = self._contracts[ServiceCategory.UBR_1]
            path.vc.category = best_effort.category

    def would_refuse(self, category: ServiceCategory) -> str:
        """The reason that a VC of this category would be best effort instead; empty where its contract fits."""
        admission = self.link.admission
        return "" if admission is None else admission.refusal(self._contracts[category])

    def _close_stray(self, vci: int) -> None:
        """Close the stray VC on a VCI that a new session takes; later cells on it belong to the new session."""
        for path in self.strays:
            if path.vc.vci == vci:
                self.strays.remove(path)
                self._close_vc(path)
                return

    def close_strays(self) -> None:
        """Close stray VCs in which no PDU is unfinished."""
        waiting = [path for path in self.strays if path.vc.cells_pending]
        for path in self.strays:
            if not path.vc.cells_pending:
                self._close_vc(path)
        self.strays = waiting

    def close(self, path: AtmPath, owner: object) -> None:
        """Close the VC of a session that has ended, if the session owned it, and free its VCI."""
        # The default VC and shared VCs have no owner, and stay open.
        if self._vcis is not None and path.owner is owner:
            self._close_vc(path)
            self._vcis.give_back(path.vc.vci)

    def _close_vc(self, path: AtmPath) -> None:
        self.link.close(path.vc)
        # These break the reference cycle of session, path and VC: none waits for the garbage collector.
        path.owner = path.vc.owner = None

    def _open(self, vci: int, category: ServiceCategory, owner: object) -> AtmPath:
        vc = self.make(vci, category)
        self.link.table.add(vc)
        path = AtmPath.__new__(AtmPath)  # in compiled code a call with arguments costs more
        path._lead(self, vc, owner)
        if self.link.admission is not None:
            self._admit(path, vc.contract)
        return path

    def make(self, vci: int, category: ServiceCategory) -> Vc:
        """Make a VC of this VP that is not opened."""
        return self.default.vc.beside(vci, self._contracts[category])


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
        for name, vp in network.vps_of(depot).items():
            node = next(end for end in network.ends_of(name) if end != depot)
            route = network.routes.working[name]
            link = self.links[route.link_at(depot)]
            self.vps[name] = self._to[node] = VpMap(self, name, node, vp, route.vpi_at(depot), link, qos)
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
