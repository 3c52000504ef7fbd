"""A VP from a depot at an edge node: its VCs, which open when their first cells come, and the way to the depot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.atm.vc import Vc, VcTable
from atmdepot.bearer.adaptation import vc_of
from atmdepot.config.contract import ServiceCategory
from atmdepot.edge.protection import DepotWay
from atmdepot.wire.llc import Encapsulation

if TYPE_CHECKING:
    from atmdepot.bearer.adaptation import LinkAdaptation
    from atmdepot.bearer.admission import Admission
    from atmdepot.config.contract import Contract
    from atmdepot.config.links import Vp
    from atmdepot.config.model import Network
    from atmdepot.config.qos import QosMap
    from atmdepot.drops import DropReason
    from atmdepot.wire.cell import Interface

_UBR_1 = ServiceCategory.UBR_1  # looked up once: a look-up in the enum costs as much as opening a VC


class VpTable(VcTable):
    """The VCs of a VP at its far end; a VC of the session range opens when its first cell comes."""

    __slots__ = ("_first", "_last", "_qos", "_vpi", "admission", "default", "management", "opened", "others", "shared")

    def __init__(self, vp: Vp, vpi: int, interface: Interface, qos: QosMap) -> None:
        super().__init__()
        qos = qos.over(vp.header_octets)
        self._vpi, self._qos = vpi, qos
        self.admission: Admission | None = None  # at the table's link
        self.others: dict[int, VpTable] = {}
        """The tables of other VPs to depots on the same link, by VPI; this one is the link's."""
        # The range (1, 0) is empty.
        self._first, self._last = (vp.session_vcis.first, vp.session_vcis.last) if vp.session_vcis else (1, 0)
        self.opened: list[Vc] = []
        self.default = vc_of(vp, vpi, vp.default_vci, interface, qos.contract(ServiceCategory.UBR_1))
        self.add(self.default)
        self.management = self._open(vp.statistics_vci, ServiceCategory.UBR_1)
        self.management.encapsulation = Encapsulation.VC_MUX
        self.shared = [self._open(vci, ServiceCategory.parse(name)) for name, vci in vp.shared_vcs.items()]

    @property
    def has_own(self) -> bool:
        """True where a flow may have a VC of its own."""
        return self._first <= self._last

    def find(self, vpi: int, vci: int) -> Vc | None:
        """The VC of a cell; a VC of the session range is opened if need be."""
        vc = VcTable.find(self, vpi, vci)  # not by super(), which the compiled module does not have
        if vc is None and self._first <= vci <= self._last and vpi == self._vpi:
            vc = self._open(vci, _UBR_1)
            self.opened.append(vc)
        elif vc is None and self.others and (other := self.others.get(vpi)) is not None:
            vc = other.find(vpi, vci)
        return vc

    def has(self, vc: Vc) -> bool:
        """True when a VC of this VP is open."""
        return vc.vpi == self._vpi and VcTable.find(self, vc.vpi, vc.vci) is vc

    def at(self, vci: int) -> Vc | None:
        """The VC on a VCI of this VP; a VC of the session range is opened if need be."""
        return self.find(self._vpi, vci)

    def stand_on(self, link_table: VpTable) -> None:
        """Hold the VCs of this VP in the table of its link, which is that of another VP."""
        for vc in self:
            link_table.add(vc)
        self._pages, self._recent = link_table._pages, link_table._recent
        link_table.others[self._vpi] = self

    def is_session_vc(self, vc: Vc) -> bool:
        """True for a VC of the session range, which carries a single flow."""
        return self._first <= vc.vci <= self._last

    def classify(self, vc: Vc, dscp: int) -> None:
        """Set the VC's service category by the first packet's DSCP, as the depot does."""
        self._agree(vc, self._qos.contract(self._qos.category(dscp)))

    def use(self, admission: Admission | None) -> None:
        """Ask the link's admission for the VCs that are open, and from now on for each that opens."""
        self.admission = admission
        for vc in (self.management, *self.shared):
            self._agree(vc, vc.contract)

    def _agree(self, vc: Vc, contract: Contract) -> None:
        """Give a VC a contract; without rate left for it on the link the VC is best effort, as at the depot."""
        if self.admission is not None and not self.admission.admit(vc.channel, contract):
            contract = self._qos.contract(_UBR_1)
        vc.contract = contract
        vc.category = contract.category

    def _open(self, vci: int, category: ServiceCategory) -> Vc:
        vc = self.default.beside(vci, self._qos.contract(category))
        self.add(vc)
        return vc


class VpWay(DepotWay):
    """The VP to a depot, with its VCs and link."""

    __slots__ = ("link", "table")

    def __init__(self, network: Network, depot: str, vp: str, table: VpTable, link: LinkAdaptation) -> None:
        DepotWay.__init__(self, network, depot, vp, link.name, network.vps[vp].mtu)
        self.table, self.link = table, link

    def tell(self, octets: bytes) -> None:
        """Send octets on the management VC."""
        self.link.send(octets, self.table.management, 0)

    def count(self, reason: DropReason, octets: bytes) -> None:
        """Count a drop of octets from the management VC."""
        self.link.drops.count(reason, 1, octets, self.table.management)

    def filling(self) -> tuple[int, int]:
        """Fillers sent on the link, and cells of unassigned channels that came."""
        return self.link.fillers_sent, self.link.reassembler.unassigned_cells
