"""The interworking function between PVCs of Frame Relay and VCs of ATM (FRF.8, translation mode).

Each PVC has a VC of its own: the default and the management one of an entry in `[dlcis]`, and those of sessions in
their order. A frame's header is translated to LLC/SNAP and back (`wire/interworking.py`); DE becomes CLP in all cells,
FECN becomes EFCI, and back; BECN is not carried. Reports of edge nodes have no header to translate.

Each side hears of faults of the other. While the VP of an entry has AIS or has lost continuity, the LMI calls the
entry's PVCs inactive. While the LMI of their link is down, AIS goes out on the VP: F4 for all its VCs, since all of
them go on over this link; frames and cells are dropped meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from atmdepot.atm.oam import AlarmSource
from atmdepot.atm.vc import Vc, VcTable
from atmdepot.bearer.adaptation import LinkAdaptation, vc_of
from atmdepot.bearer.oam import NodeOam
from atmdepot.bearer.relay_port import RelayPath, RelayPort, relay_ports
from atmdepot.config.contract import Contract, ServiceCategory
from atmdepot.config.locations import location_of
from atmdepot.drops import DropReason
from atmdepot.node.node import Node
from atmdepot.wire.aal5 import cpcs_pdu, to_cells
from atmdepot.wire.cell import CELL_SIZE, CellHeader
from atmdepot.wire.frame_relay import ADDRESS_SIZE, DE, FECN, UI, Address, frames_of
from atmdepot.wire.interworking import TranslationError, frame_of_llc, llc_of_frame
from atmdepot.wire.llc import ROUTED_LLC_SIZE, Encapsulation

if TYPE_CHECKING:
    from atmdepot.bearer.vp_oam import VpOam
    from atmdepot.config.model import Network
    from atmdepot.config.relay import Dlcis

_CONGESTED, _LAST = 2, 1  # bits of PTI in user cells
_MOST_ADDED = 2 * ROUTED_LLC_SIZE + 14  # a bridged header and Ethernet's, in front of a packet


class FarFault(NamedTuple):
    """The PVCs of an entry, which are on a port, and the alarms of the VP that they go on from."""

    port: RelayPort
    settings: Dlcis
    alarms: AlarmSource


class Pair(NamedTuple):
    """A PVC and its VC, of an entry of `[dlcis]`; `link` is that of the VC, `is_bare`: no header is translated."""

    entry: str
    path: RelayPath
    vc: Vc
    link: LinkAdaptation
    is_bare: bool
    fault: FarFault | None

    @property
    def is_cut(self) -> bool:
        """True while AIS tells of the PVC: a user cell would end the AIS, and no frame comes through."""
        return self.fault is not None and self.fault.alarms.is_raised


class InterworkingNode(Node):
    """The data path of an interworking function."""

    def __init__(self, network: Network, name: str, now: int = 0) -> None:
        """Make the function of a VC table, at a time in ns."""
        super().__init__(network, name)
        self.relays = relay_ports(network, name, now)
        self.adaptations = {link: LinkAdaptation.of(network, link, VcTable()) for link in network.links_of(name)}
        self.use_links({**self.relays, **self.adaptations})
        self.faults: dict[str, FarFault] = {}
        """By VP, the alarms about the PVCs as which it goes on."""
        for entry, settings in network.dlcis_of(name).items():
            port = self.relays[network.relay_links(entry)[name]]
            if settings.vp is not None and port.lmi is not None:
                self.faults[settings.vp] = FarFault(port, settings, AlarmSource(location_of(network, name)))
                port.lmi.changed = self._lmi_changed
        self.pairs: list[Pair] = []
        for entry in network.dlcis_of(name):
            self._pair(entry)
        self.oam = NodeOam(network, name, self.adaptations)
        self.oam.subscribe(self._vp_changed)

    def _pair(self, entry: str) -> None:
        """Join the PVCs of an entry to the VCs of its VP."""
        network = self.network
        settings = network.dlcis[entry]
        assert settings.vp is not None
        vp, route = network.vps[settings.vp], network.routes.working[settings.vp]
        link = self.adaptations[route.link_at(self.name)]
        port, far = self.relays[network.relay_links(entry)[self.name]], settings.other_end(self.name)
        numbers = [(int(settings.dlci), int(vp.default_vci), "default"),
                   (settings.statistics_dlci, vp.statistics_vci, "management")]
        if settings.session_dlcis and vp.session_vcis:
            numbers += [(dlci, vp.session_vcis.first + at, "") for at, dlci in enumerate(
                range(settings.session_dlcis.first, settings.session_dlcis.last + 1))]
        for dlci, vci, use in numbers:
            vc = vc_of(vp, route.vpi_at(self.name), vci, link.interface, Contract(ServiceCategory.UBR_1))
            vc.encapsulation, vc.max_sdu = Encapsulation.VC_MUX, settings.mtu + _MOST_ADDED  # an SDU as it is
            link.table.add(vc)
            pair = Pair(entry, port.add(RelayPath(port, dlci, far, settings, use)), vc, link, use == "management",
                        self.faults.get(settings.vp))
            pair.path.owner = vc.owner = pair
            self.pairs.append(pair)

    def octets_from_port(self, name: str, octets: bytes, now: int) -> None:
        """Take frames from a link of Frame Relay, or cells (a multiple of 53 octets) from one of ATM."""
        relay = self.relays.get(name)
        if relay is not None:
            for frame in frames_of(octets):
                self._take_frame(relay, frame, now)
            return
        for sdu in self.adaptations[name].receive(octets, now):
            self._take_sdu(sdu.vc, sdu.octets, sdu.clp, sdu.congested)

    def _take_frame(self, relay: RelayPort, frame: bytes, now: int) -> None:
        """Send a frame on as cells of its VC."""
        path = relay.accept(frame, now)
        if path is None:
            return
        pair: Pair = path.owner  # type: ignore[assignment]  # every PVC here has its pair
        if path.is_inactive or pair.is_cut:
            relay.drops.count(DropReason.INACTIVE_PVC, 1, frame, path)
            return
        field = frame[ADDRESS_SIZE:]
        try:
            sdu = field[1:] if pair.is_bare else llc_of_frame(field)
        except TranslationError:
            relay.drops.count(DropReason.UNKNOWN_ENCAPSULATION, 1, frame, path)
            return
        if not sdu or len(sdu) > pair.vc.max_sdu:
            relay.drops.count(DropReason.OVERSIZE, 1, frame, path)
            return
        vc, flags = pair.vc, frame[1]
        pti = _CONGESTED * (flags & FECN != 0)
        first, last = (CellHeader(vc.vpi, vc.vci, pti | end, flags & DE and 1).pack(pair.link.interface)
                       for end in (0, _LAST))
        cells = to_cells(cpcs_pdu(sdu, crc=vc.crc), first, last)
        vc.tx_pdus += 1
        vc.tx_cells += len(cells) // CELL_SIZE
        pair.link.tx_pdus += 1
        pair.link.send_cells(cells, vc)

    def _take_sdu(self, vc: Vc, sdu: bytes, clp: int, congested: bool) -> None:
        """Send an SDU on as a frame of its PVC."""
        pair: Pair = vc.owner  # type: ignore[assignment]
        try:
            field = bytes((UI,)) + sdu if pair.is_bare else frame_of_llc(sdu)
        except TranslationError:
            pair.link.drops.count(DropReason.UNKNOWN_ENCAPSULATION, 1, sdu, vc)
            return
        path = pair.path
        frame = Address(path.dlci, fecn=congested, de=bool(clp)).pack() + field
        if pair.is_cut:
            path.relay.drops.count(DropReason.INACTIVE_PVC, 1, frame, path)
            return
        path.relay.send(frame, path, clp)

    def _vp_changed(self, vp: VpOam, now: int) -> None:
        """Have the LMI call the PVCs of a VP inactive while nothing comes from the far end of the VP.

        The VCs are on its working route alone.
        """
        if not vp.is_second and (of := self.faults.get(vp.name)) is not None:
            is_whole = not vp.end.point.is_impaired
            of.port.set_active(of.settings.all(), is_whole, now, "" if is_whole else self.oam.trouble(vp))

    def _lmi_changed(self, now: int) -> None:
        """Send AIS on the VPs whose PVCs are on a link with an LMI that is down."""
        for of in self.faults.values():
            lmi = of.port.lmi
            is_down = lmi is not None and (not lmi.is_up or lmi.is_told_inactive(of.settings.dlci))
            if is_down is of.alarms.is_raised:
                continue
            if is_down:
                of.alarms.fail(now)
            else:
                of.alarms.mend()
        self._raise_alarms(now)

    def _raise_alarms(self, now: int) -> None:
        for name, of in self.faults.items():
            vp = self.oam.vps[name]
            for payload in of.alarms.cells_to_send(now):
                vp.end.point.sent[payload[0]] += 1
                vp.link.adaptation.send_cells(vp.end.header + payload, vp.end.vc)

    def packet_from_tun(self, octets: bytes, now: int) -> None:
        """Nothing: it has no TUN device."""

    def reconfigure(self, network: Network, now: int) -> None:
        """Take over nothing: PVCs and VCs stay as they are."""
        self.network = network

    def handle_timer(self, now: int) -> None:
        """Drop unfinished PDUs, and have the LMIs do what is due."""
        for port in self._ports_by_number:
            port.handle_timer(now)
        self._raise_alarms(now)

    def next_timer(self) -> int | None:
        """The time (ns) at which `handle_timer` is next due, or None."""
        times = [*(port.next_timer() for port in self._ports_by_number),
                 *(of.alarms.next_timer() for of in self.faults.values())]
        return min((time for time in times if time is not None), default=None)


    def stood_still(self, span: int, now: int) -> None:
        """Note that the process did not run for `span` ns until now, so that no far end counts as silent."""
        super().stood_still(span, now)
        self.oam.stood_still(span, now)
