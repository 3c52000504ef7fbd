"""Flow to VPI/VCI: the VP of the server's edge node, and in it a VCI of the session's own (or a shared one)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from atmdepot.atm.adaptation import LinkAdaptation, vc_of
from atmdepot.atm.vc import Vc, VcTable
from atmdepot.config.contract import ServiceCategory
from atmdepot.wire.llc import Encapsulation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from atmdepot.config.model import Network, Vp
    from atmdepot.config.qos import QosMap
    from atmdepot.config.units import VciRange


class VciPool:
    """The VCIs of a VP's range: first those never used, then those that came free longest ago.

    A cell that is late on a VC that was closed so meets an unknown VC, not another session's.
    """

    __slots__ = ("_free", "_last", "_next")

    def __init__(self, vcis: VciRange) -> None:
        self._next, self._last = vcis.first, vcis.last
        self._free: deque[int] = deque()

    def upcoming(self) -> int | None:
        """The VCI that `take` would give."""
        if self._next <= self._last:
            return self._next
        return self._free[0] if self._free else None

    def take(self) -> int | None:
        """A VCI, or None when all are in use."""
        vci = self.upcoming()
        if vci == self._next:
            self._next += 1
        elif vci is not None:
            self._free.popleft()
        return vci

    def give_back(self, vci: int) -> None:
        """The VCI's session has left the secondary table."""
        self._free.append(vci)


class Target:
    """Where packets go: a VP and a VC in it."""

    __slots__ = ("vc", "vp")

    def __init__(self, vp: VpMap, vc: Vc) -> None:
        self.vp = vp
        self.vc = vc


class VpMap:
    """The VCs of the VP to one edge node."""

    def __init__(self, name: str, vp: Vp, link: LinkAdaptation, qos: QosMap) -> None:
        """Open the default VC and the shared ones."""
        self.name = name
        self.link = link
        self.mtu = vp.mtu
        self.exhausted = 0
        self._contracts = qos.contracts
        self._vcis = VciPool(vp.session_vcis) if vp.session_vcis else None
        self.default = vc_of(vp, vp.default_vci, link.interface, qos.contract(ServiceCategory.UBR_1))
        link.table.add(self.default)
        self.management = self._open(vp.statistics_vci, ServiceCategory.UBR_1)
        self.management.encapsulation = Encapsulation.VC_MUX
        self.default_target = Target(self, self.default)
        self._shared = {ServiceCategory.parse(category): self._open(vci, ServiceCategory.parse(category))
                        for category, vci in vp.shared_vcs.items()}

    def open(self, category: ServiceCategory, owner: object) -> Target:
        """The VC for a new session: its own; or its category's; or, where none is left, the default VC."""
        if self._vcis is None:
            return Target(self, self._shared.get(category, self.default))
        vci = self._vcis.take()
        if vci is None:
            self.exhausted += 1
            return self.default_target
        vc = self._open(vci, category)
        vc.owner = owner
        target = Target.__new__(Target)  # a call with arguments costs more, where this is compiled
        target.vp, target.vc = self, vc
        return target

    def would_open(self, category: ServiceCategory, freed: Iterable[int] = ()) -> Target:
        """What `open` would give, had the VCIs `freed` come free before; nothing is opened."""
        if self._vcis is None:
            return Target(self, self._shared.get(category, self.default))
        vci = self._vcis.upcoming()
        if vci is None:
            vci = next(iter(freed), None)
        return self.default_target if vci is None else Target(self, self._make(vci, category))

    def close(self, vc: Vc, owner: object) -> None:
        """A session has gone for good; a VC that was its own is closed and its VCI comes free."""
        if self._vcis is not None and vc.owner is owner:
            self.link.close(vc)
            vc.owner = None  # breaks the circle session, VC, session: neither waits for the garbage collector
            self._vcis.give_back(vc.vci)

    def _open(self, vci: int, category: ServiceCategory) -> Vc:
        vc = self._make(vci, category)
        self.link.table.add(vc)
        return vc

    def _make(self, vci: int, category: ServiceCategory) -> Vc:
        return self.default.beside(vci, self._contracts[category])


class VcMap:
    """The VPs from the depot to every server, and the links they run on."""

    def __init__(self, network: Network, qos: QosMap) -> None:
        """Open the default VCs of a VC table."""
        self.links = {name: LinkAdaptation.of(network, name, VcTable()) for name in network.links_of(network.depot)}
        self.vps = {name: VpMap(name, vp, self.links[network.link_of_vp(vp)], qos)
                    for name, vp in network.vps_of(network.depot).items()}
        self.management = {vp.management: name for name, vp in self.vps.items()}
