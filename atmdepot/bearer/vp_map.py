"""The VCs of a VP to a far node: a session's own VCs, shared VCs, and strays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.atm.vc import Vc, VcTable
from atmdepot.bearer.adaptation import vc_of
from atmdepot.bearer.base import Path
from atmdepot.bearer.vci_pool import VciPool
from atmdepot.config.contract import ServiceCategory
from atmdepot.wire.llc import Encapsulation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from atmdepot.bearer.adaptation import LinkAdaptation
    from atmdepot.bearer.base import Bearer
    from atmdepot.config.contract import Contract
    from atmdepot.config.model import Network
    from atmdepot.config.qos import QosMap
    from atmdepot.wire.offload import PlainFrame

_MAX_STRAYS = 64
"""The most stray VCs that a VP has open; further cells count as on an unknown VC, as without adoption."""


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
        self, bearer: Bearer, network: Network, depot: str, name: str, link: LinkAdaptation, qos: QosMap,
    ) -> None:
        """Open the default VC, the management VC and the shared VCs of a VP, on the link of its working route."""
        vp = network.vps[name]
        vpi = network.routes.working[name].vpi_at(depot)
        self.name = name
        self.node = next(end for end in network.ends_of(name) if end != depot)
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
        self._vcis = VciPool(network.set_of(depot).part_of(depot, vp.session_vcis)) if vp.session_vcis else None
        vc = vc_of(vp, vpi, vp.default_vci, link.interface, qos.contract(ServiceCategory.UBR_1))
        link.table.add(vc)
        if isinstance(link.table, SessionVcTable):
            link.table.vps[vpi] = self
        self.default = AtmPath(self, vc)
        self.management = self._open(vp.statistics_vci, ServiceCategory.UBR_1, None)
        self.management.is_management = True
        self.management.vc.encapsulation = Encapsulation.VC_MUX  # statistics are no packets: without LLC
        link.join(network, depot, name, vp, vc)
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
