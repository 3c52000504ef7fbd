"""Flow to VPI/VCI: the VP of the server's edge node, and in it a VCI of the session's own (or a shared one)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from atmdepot.atm.adaptation import LinkAdaptation, vc_of
from atmdepot.atm.vc import Vc, VcTable
from atmdepot.config.contract import ServiceCategory
from atmdepot.wire.llc import Encapsulation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from atmdepot.config.model import Network, Vp
    from atmdepot.config.qos import QosMap
    from atmdepot.config.units import VciRange


_MAX_STRAYS = 64
"""Stray VCs of a VP at a time; cells on others meet an unknown VC, as they would without adoption."""


class VciPool:
    """The VCIs of a VP's range: first those never used, then those that came free longest ago.

    A cell that is late on a VC that was closed so meets an unknown VC, not another session's.
    """

    __slots__ = ("_claimed", "_free", "_last", "_next", "_runs")

    def __init__(self, vcis: VciRange) -> None:
        self._next, self._last = vcis.first, vcis.last
        self._free: deque[int] = deque()
        # Those that were claimed out of their turn; and of each run of neighbours among them that `_next` has not come
        # to, the end by its start and the start by its end, so that it is passed in one step.
        self._claimed: set[int] = set()
        self._runs: dict[int, int] = {}

    def upcoming(self) -> int | None:
        """The VCI that `take` would give."""
        if self._next <= self._last:
            return self._next
        return self._free[0] if self._free else None

    def take(self) -> int | None:
        """A VCI, or None when all are in use."""
        vci = self.upcoming()
        if vci == self._next:
            self._go_on(vci)
        elif vci is not None:
            self._free.popleft()
        return vci

    def is_unused(self, vci: int) -> bool:
        """True for a VCI of the range that was never taken."""
        return self._next <= vci <= self._last and vci not in self._claimed

    def claim(self, vci: int) -> None:
        """Take a VCI that was never taken, out of its turn, in constant time; raise ValueError for any other."""
        if not self.is_unused(vci):
            raise ValueError(f"VCI {vci} is in use, was used before, or lies outside the range")
        self._claimed.add(vci)
        start, end = self._runs.pop(vci - 1, vci), self._runs.pop(vci + 1, vci)
        self._runs[start], self._runs[end] = end, start
        if start == self._next:
            self._go_on(start - 1)

    def _go_on(self, vci: int) -> None:
        """The next VCI is the one after `vci`, or after the run that begins there."""
        self._next = vci + 1
        if self._runs and self._next in self._runs:
            end = self._runs.pop(self._next)
            self._runs.pop(end, None)
            self._next = end + 1

    def give_back(self, vci: int) -> None:
        """The VCI's session has left the secondary table."""
        self._free.append(vci)


class SessionVcTable(VcTable):
    """The VCs of a link at the depot; the link's VP may open one for a cell that meets none."""

    __slots__ = ("vp",)

    def __init__(self) -> None:
        super().__init__()
        self.vp: VpMap | None = None

    def stray(self, vpi: int, vci: int, payload: bytes) -> Vc | None:
        """The VC of a cell that no open VC has: the VP may open one."""
        return None if self.vp is None else self.vp.stray(vpi, vci, payload)


class Target:
    """Where packets go: a VP and a VC in it."""

    __slots__ = ("vc", "vp")

    def __init__(self, vp: VpMap, vc: Vc) -> None:
        self.vp = vp
        self.vc = vc


class VpMap:
    """The VCs of the VP to one edge node.

    A cell of the session range on a VCI that was never used here opens its VC as a stray, if by `recognise` a packet
    begins in it that a session of an earlier depot may have: then the session may be adopted. A stray that is not
    adopted is closed as soon as no PDU is unfinished in it.
    """

    def __init__(self, name: str, vp: Vp, link: LinkAdaptation, qos: QosMap) -> None:
        """Open the default VC and the shared ones."""
        self.name = name
        self.link = link
        self.mtu = vp.mtu
        self.exhausted = 0
        self.strays: list[Vc] = []
        self.straying: list[VpMap] = []  # all those of the depot that have strays, in one list
        self.recognise: Callable[[VpMap, bytes], bool] | None = None
        self._contracts = qos.contracts
        self._vcis = VciPool(vp.session_vcis) if vp.session_vcis else None
        self.default = vc_of(vp, vp.default_vci, link.interface, qos.contract(ServiceCategory.UBR_1))
        link.table.add(self.default)
        if isinstance(link.table, SessionVcTable):
            link.table.vp = self
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
        if self.strays:
            self._close_stray(vci)
        vc = self._open(vci, category)
        vc.owner = owner
        target = Target.__new__(Target)  # a call with arguments costs more, where this is compiled
        target.vp, target.vc = self, vc
        return target

    def for_unanswered(self, category: ServiceCategory) -> Target:
        """The VC of a flow that no server has answered yet: one that others share."""
        return self.default_target if self._vcis is not None else self.open(category, None)

    def would_open(self, category: ServiceCategory, freed: Iterable[int] = ()) -> Target:
        """What `open` would give, had the VCIs `freed` come free before; nothing is opened."""
        if self._vcis is None:
            return Target(self, self._shared.get(category, self.default))
        vci = self._vcis.upcoming()
        if vci is None:
            vci = next(iter(freed), None)
        return self.default_target if vci is None else Target(self, self._make(vci, category))

    def stray(self, vpi: int, vci: int, payload: bytes) -> Vc | None:
        """The VC of a cell that no open VC has, opened if the VCI was never used; None for any other."""
        if self._vcis is None or vpi != self.default.vpi or not self._vcis.is_unused(vci):
            return None
        if len(self.strays) >= _MAX_STRAYS or self.recognise is None or not self.recognise(self, payload):
            return None
        vc = self._open(vci, ServiceCategory.UBR_1)
        if not self.strays:
            self.straying.append(self)
        self.strays.append(vc)
        return vc

    def is_stray(self, vc: Vc) -> bool:
        """True for an open VC of the session range that is no session's own."""
        return vc.owner is None and vc in self.strays

    def adopt(self, vc: Vc, category: ServiceCategory, owner: object) -> Target:
        """A stray VC becomes its owner's own."""
        assert self._vcis is not None
        self._vcis.claim(vc.vci)
        self.strays.remove(vc)
        vc.contract = self._contracts[category]
        vc.category = category
        vc.owner = owner
        return Target(self, vc)

    def _close_stray(self, vci: int) -> None:
        """A new session gets the VCI: what comes on it is the new session's."""
        for vc in self.strays:
            if vc.vci == vci:
                self.strays.remove(vc)
                self.link.close(vc)
                return

    def close_strays(self) -> None:
        """Close stray VCs in which no PDU is unfinished."""
        if not self.strays:
            return
        waiting = [vc for vc in self.strays if vc.cells_pending]
        for vc in self.strays:
            if not vc.cells_pending:
                self.link.close(vc)
        self.strays = waiting

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
        self.links = {name: LinkAdaptation.of(network, name, SessionVcTable())
                      for name in network.links_of(network.depot)}
        self.vps = {name: VpMap(name, vp, self.links[network.link_of_vp(vp)], qos)
                    for name, vp in network.vps_of(network.depot).items()}
        self.management = {vp.management: name for name, vp in self.vps.items()}
        self.straying: list[VpMap] = []
        """The VPs with stray VCs: looked at after each burst, so that there is one list for all."""
        for vp in self.vps.values():
            vp.straying = self.straying
        self.on_link = {vp.link.name: vp for vp in self.vps.values()}
        """The VP on each link: a link joins two nodes, and between them there is one VP."""

    def close_strays(self) -> None:
        """Close the stray VCs in which no PDU is unfinished."""
        for vp in self.straying:
            vp.close_strays()
        self.straying[:] = [vp for vp in self.straying if vp.strays]
