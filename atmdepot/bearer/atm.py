"""Flow to VPI/VCI: the VP of the server's edge node, and in it a VCI of the session's own or a shared VCI."""

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
"""The most stray VCs that a VP has open; further cells count as on an unknown VC, as without adoption."""


class VciPool:
    """The free list of a VP's session VCIs: first the VCIs never used, then the VCI that has been free longest.

    So a late cell of a closed VC meets an unknown VC, not the VC of another session.
    """

    __slots__ = ("_claimed", "_free", "_last", "_next", "_runs")

    def __init__(self, vcis: VciRange) -> None:
        self._next, self._last = vcis.first, vcis.last
        self._free: deque[int] = deque()
        # The VCIs claimed out of turn. `_runs` has each run of adjacent claimed VCIs ahead of `_next`, its end by its
        # start and its start by its end, so that `_next` passes a run in a single step.
        self._claimed: set[int] = set()
        self._runs: dict[int, int] = {}

    def upcoming(self) -> int | None:
        """The VCI that `take` would return."""
        if self._next <= self._last:
            return self._next
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
        return self._next <= vci <= self._last and vci not in self._claimed

    def claim(self, vci: int) -> None:
        """Take a never used VCI out of turn, in constant time; raise ValueError for any other VCI."""
        if not self.is_unused(vci):
            raise ValueError(f"VCI {vci} is in use, was used before, or lies outside the range")
        self._claimed.add(vci)
        start, end = self._runs.pop(vci - 1, vci), self._runs.pop(vci + 1, vci)
        self._runs[start], self._runs[end] = end, start
        # The claimed run begins at `_next`, so `take` may pass it at once.
        if start == self._next:
            self._go_on(start - 1)

    def _go_on(self, vci: int) -> None:
        """Move `_next` to the VCI after `vci`, or after the claimed run that begins there."""
        self._next = vci + 1
        if self._runs and self._next in self._runs:
            end = self._runs.pop(self._next)
            self._runs.pop(end, None)
            self._next = end + 1

    def give_back(self, vci: int) -> None:
        """Put a VCI at the end of the free list; its session has left the secondary table."""
        self._free.append(vci)


class SessionVcTable(VcTable):
    """The VCs of a link at the depot; the link's VP may open a VC for a cell on an unknown VC."""

    __slots__ = ("vp",)

    def __init__(self) -> None:
        super().__init__()
        self.vp: VpMap | None = None

    def stray(self, vpi: int, vci: int, payload: bytes) -> Vc | None:
        """The VC that the VP opens for a cell on an unknown VC, or None."""
        return None if self.vp is None else self.vp.stray(vpi, vci, payload)


class Target:
    """The target of packets: a VP and a VC in it."""

    __slots__ = ("vc", "vp")

    def __init__(self, vp: VpMap, vc: Vc) -> None:
        self.vp = vp
        self.vc = vc


class VpMap:
    """The VCs of the VP to an edge node.

    A cell on a session VCI never used here opens its VC as a stray if `recognise` finds in it the beginning of a packet
    that may belong to a session of an earlier depot. The session may then be adopted. A stray VC that is not adopted
    is closed as soon as it has no unfinished PDU.
    """

    def __init__(self, name: str, vp: Vp, link: LinkAdaptation, qos: QosMap) -> None:
        """Open the default VC, the management VC and the shared VCs."""
        self.name = name
        self.link = link
        self.mtu = vp.mtu
        self.exhausted = 0
        self.strays: list[Vc] = []
        self.straying: list[VpMap] = []  # the depot's VPs with stray VCs; all VPs share the list
        self.recognise: Callable[[VpMap, bytes], bool] | None = None
        self._contracts = qos.contracts
        self._vcis = VciPool(vp.session_vcis) if vp.session_vcis else None
        self.default = vc_of(vp, vp.default_vci, link.interface, qos.contract(ServiceCategory.UBR_1))
        link.table.add(self.default)
        if isinstance(link.table, SessionVcTable):
            link.table.vp = self
        self.management = self._open(vp.statistics_vci, ServiceCategory.UBR_1)
        self.management.encapsulation = Encapsulation.VC_MUX  # statistics are no packets: without LLC
        self.default_target = Target(self, self.default)
        self._shared = {ServiceCategory.parse(category): self._open(vci, ServiceCategory.parse(category))
                        for category, vci in vp.shared_vcs.items()}

    def open(self, category: ServiceCategory, owner: object) -> Target:
        """Open a VC for a new session: its own VC, or its category's shared VC; the default VC when no VCI is free."""
        # The VP has no session VCIs, so sessions of a category share its VC.
        if self._vcis is None:
            return Target(self, self._shared.get(category, self.default))
        vci = self._vcis.take()
        if vci is None:
            self.exhausted += 1
            return self.default_target
        # A stray VC may be open on a VCI that no session has used before.
        if self.strays:
            self._close_stray(vci)
        vc = self._open(vci, category)
        vc.owner = owner
        target = Target.__new__(Target)  # in compiled code a call with arguments costs more
        target.vp, target.vc = self, vc
        return target

    def for_unanswered(self, category: ServiceCategory) -> Target:
        """The VC of a flow that no server has answered yet: a VC that it shares with other flows."""
        return self.default_target if self._vcis is not None else self.open(category, None)

    def would_open(self, category: ServiceCategory, freed: Iterable[int] = ()) -> Target:
        """The result that `open` would have once the VCIs `freed` were free; no VC is opened."""
        if self._vcis is None:
            return Target(self, self._shared.get(category, self.default))
        vci = self._vcis.upcoming()
        if vci is None:
            vci = next(iter(freed), None)
        return self.default_target if vci is None else Target(self, self._make(vci, category))

    def stray(self, vpi: int, vci: int, payload: bytes) -> Vc | None:
        """Open a stray VC for a cell on an unknown VC, if its VCI was never used and `recognise` agrees; else None."""
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
        """True for an open stray VC, which no session owns."""
        return vc.owner is None and vc in self.strays

    def adopt(self, vc: Vc, category: ServiceCategory, owner: object) -> Target:
        """Give a stray VC to the session `owner`, with the contract of `category`."""
        assert self._vcis is not None
        self._vcis.claim(vc.vci)
        self.strays.remove(vc)
        vc.contract = self._contracts[category]
        vc.category = category
        vc.owner = owner
        return Target(self, vc)

    def _close_stray(self, vci: int) -> None:
        """Close the stray VC on a VCI that a new session takes; later cells on it belong to the new session."""
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
        """Close the VC of a session that has ended, if the session owned it, and free its VCI."""
        # The default VC and shared VCs have no owner, and stay open.
        if self._vcis is not None and vc.owner is owner:
            self.link.close(vc)
            vc.owner = None  # breaks the reference cycle of session and VC: neither waits for the garbage collector
            self._vcis.give_back(vc.vci)

    def _open(self, vci: int, category: ServiceCategory) -> Vc:
        vc = self._make(vci, category)
        self.link.table.add(vc)
        return vc

    def _make(self, vci: int, category: ServiceCategory) -> Vc:
        return self.default.beside(vci, self._contracts[category])


class VcMap:
    """The depot's VPs and their links."""

    def __init__(self, network: Network, qos: QosMap) -> None:
        """Make the links and VPs of a VC table, and open their VCs."""
        self.links = {name: LinkAdaptation.of(network, name, SessionVcTable())
                      for name in network.links_of(network.depot)}
        self.vps = {name: VpMap(name, vp, self.links[network.link_of_vp(vp)], qos)
                    for name, vp in network.vps_of(network.depot).items()}
        self.management = {vp.management: name for name, vp in self.vps.items()}
        self.straying: list[VpMap] = []
        """The VPs with stray VCs, in a list common to all VPs, so that the check after each burst is cheap."""
        for vp in self.vps.values():
            vp.straying = self.straying
        self.on_link = {vp.link.name: vp for vp in self.vps.values()}
        """The VP on each link: a link joins two nodes, and they have a single VP between them."""

    def close_strays(self) -> None:
        """Close the stray VCs in which no PDU is unfinished."""
        for vp in self.straying:
            vp.close_strays()
        self.straying[:] = [vp for vp in self.straying if vp.strays]
