"""The bridge and the selector of protected VPs at an end point: cells on two routes, and those of a route taken.

::

    ProtectedPort    a port: the routes of protected VPs that end there
      ProtectedVp    a VP: both routes, the protection state of this end, what is selected

The VCs of a protected VP are those of its working route. Outgoing trains go where the bridge says, those for the
second route under its VPI. Incoming cells of the second route are led to the VCs of the working route, under their
VPI. So a VC, its session and its PDU know of no route. F4 cells belong to a route, so they are neither bridged nor
selected. Times are in ns.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from atmdepot.atm.oam import Condition
from atmdepot.atm.protection import Architecture, LinearProtection, Request, Side
from atmdepot.drops import DropReason
from atmdepot.wire.cell import (
    CELL_SIZE,
    FIRST_USER_VCI,
    HEADER_SIZE,
    CellHeader,
    HecMode,
    HecReceiver,
    Interface,
)
from atmdepot.wire.octets import header_at, headers_of, relabelled, run_end, user_word_at

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from atmdepot.atm.sar import Sdu
    from atmdepot.atm.vc import Vc
    from atmdepot.bearer.adaptation import LinkAdaptation
    from atmdepot.bearer.oam import NodeOam
    from atmdepot.bearer.vp_oam import VpOam
    from atmdepot.config.links import Vp
    from atmdepot.config.model import Network

_LOW_BITS = 20
_LOW = (1 << _LOW_BITS) - 1  # VCI, PTI and CLP of a header's first 32 bits
_INWARD = frozenset((Condition.AIS, Condition.LOC))
_FAILURES = (Request.WORKING_FAILS, Request.PROTECTION_FAILS)


class RouteEnd(NamedTuple):
    """An end of a route: the port of its link here, and its VPI there."""

    port: LinkAdaptation
    vpi: int


class Switch(NamedTuple):
    """A move from a route to the other: when, to which, and the request that decided."""

    time: int
    side: Side
    request: Request


class ProtectedVp:
    """An end of a protected VP."""

    def __init__(self, name: str, far: str, settings: Vp, working: RouteEnd, protection: RouteEnd) -> None:
        """Begin on the working route to the node `far`."""
        self.name, self.far = name, far
        self.state = LinearProtection(Architecture(settings.protection), wait_to_restore=int(settings.wait_to_restore))
        self.working, self.protection = working, protection
        self.not_selected = 0
        """Cells that came on the route that was not selected; in 1+1 they are copies."""
        self.last: Switch | None = None
        self.conditions: dict[Side, Sequence[Condition]] = dict.fromkeys(Side, ())
        self._stand_ins: dict[Vc, Vc] = {}
        self._bridged = frozenset(self.state.sends_on())
        self.state.subscribe(self._switched)

    def end(self, side: Side) -> RouteEnd:
        """The end of a route."""
        return self.working if side is Side.WORKING else self.protection

    @property
    def is_detour(self) -> bool:
        """True while the second route is selected."""
        return self.state.selected is Side.PROTECTION

    @property
    def is_down(self) -> bool:
        """True while packets do not get through: the route taken fails, or in 1+1 both fail towards the far end."""
        if self.state.architecture is Architecture.ONE_TO_ONE:
            return bool(self.conditions[self.state.selected])
        return (not _INWARD.isdisjoint(self.conditions[self.state.selected])
                or all(Condition.RDI in conditions for conditions in self.conditions.values()))

    def conditions_changed(self, side: Side, conditions: Sequence[Condition], now: int) -> None:
        """Hear the conditions that are in force on a route."""
        self.conditions[side] = conditions
        self.state.conditions(side, conditions, now)

    def carry(self, trains: Sequence[bytes], packets: int, vc: Vc) -> bool:
        """Send trains on the second route if they belong there; True if they belong on the working route."""
        if Side.PROTECTION in self._bridged:
            port, vpi = self.protection
            if Side.WORKING not in self._bridged:
                port.tx_pdus += packets
            port.send_trains([moved(train, vpi) for train in trains], self._stand_in(vc))
        return Side.WORKING in self._bridged

    def _stand_in(self, vc: Vc) -> Vc:
        """The VC in whose name a VC's cells wait at the port of the second route, if they wait there."""
        port, vpi = self.protection
        if not port.is_timed:
            return vc
        made = self._stand_ins.get(vc)
        if made is None:
            made = self._stand_ins[vc] = vc.beside(vc.vci, vc.contract)
            made.vpi = vpi
        made.contract = vc.contract
        return made

    def closed(self, vc: Vc) -> None:
        """Note that a VC was closed."""
        made = self._stand_ins.pop(vc, None)
        if made is not None:
            self.protection.port.close(made)

    def _switched(self, side: Side, request: Request, now: int) -> None:
        self.last = Switch(now, side, request)
        self._bridged = frozenset(self.state.sends_on())
        # The cells to come continue no PDU of the other route. In 1:1 both routes are heard, so only a failure ends it.
        if self.state.architecture is Architecture.ONE_PLUS_ONE or request in _FAILURES:
            self.working.port.reassembler.forget_vp(self.working.vpi, DropReason.ROUTE_CHANGED)


def moved(cells: bytes, vpi: int) -> bytes:
    """Cells under another VPI; all else in their headers stays but the GFC, which becomes 0."""
    return relabelled(cells, 0, len(cells) // CELL_SIZE, _LOW, vpi << _LOW_BITS)


class ProtectedPort:
    """The routes of protected VPs at a port; it is what the port's adaptation knows of protection."""

    def __init__(self, port: LinkAdaptation) -> None:
        """Serve a port."""
        self._port = port
        self._bridged: dict[int, ProtectedVp] = {}  # by the VPI of the working route
        self._routes: dict[int, tuple[ProtectedVp, Side]] = {}  # by VPI
        self._hec = HecReceiver()
        self._is_nni = port.interface is Interface.NNI

    def add(self, vp: ProtectedVp, side: Side) -> None:
        """Serve a route of a VP, which ends at this port."""
        vpi = vp.end(side).vpi
        self._routes[vpi] = vp, side
        if side is Side.WORKING:
            self._bridged[vpi] = vp

    def carry(self, trains: Sequence[bytes], packets: int, vc: Vc) -> bool:
        """Send trains of a VC on a second route if they belong there; True if they belong on this port."""
        vp = self._bridged.get(vc.vpi)
        return vp is None or vp.carry(trains, packets, vc)

    def closed(self, vc: Vc) -> None:
        """Note that a VC of this port was closed."""
        vp = self._bridged.get(vc.vpi)
        if vp is not None:
            vp.closed(vc)

    def receive(self, cells: bytes, now: int) -> list[Sdu]:
        """Select among cells that came here, and reassemble them: each at the port that has its VC."""
        taken: dict[LinkAdaptation, list[bytes]] = {self._port: []}
        headers, count, at = headers_of(cells), len(cells) // CELL_SIZE, 0
        while at < count:
            end, header = at + 1, header_at(headers, at)
            word = user_word_at(headers, at, self._is_nni)
            if word >= 0:
                self._hec.mode = HecMode.CORRECTION
                end = run_end(headers, at, count)
                self._select(word >> 20, cells[at * CELL_SIZE:end * CELL_SIZE], taken)
            else:
                self._select_single(header, cells[at * CELL_SIZE:end * CELL_SIZE], taken)
            at = end
        sdus: list[Sdu] = []
        for port, parts in taken.items():
            if parts:
                sdus += port.reassemble(parts[0] if len(parts) == 1 else b"".join(parts), now)
        return sdus

    def _select(self, vpi: int, cells: bytes, taken: dict[LinkAdaptation, list[bytes]]) -> None:
        """Take cells of a VPI, or leave them out."""
        route = self._routes.get(vpi)
        if route is None:
            taken[self._port].append(cells)
            return
        vp, side = route
        if not vp.state.accepts(side):
            vp.not_selected += len(cells) // CELL_SIZE
        elif side is Side.WORKING:
            taken[self._port].append(cells)
        else:
            port, own = vp.working
            taken.setdefault(port, []).append(moved(cells, own))

    def _select_single(self, header: bytes, cell: bytes, taken: dict[LinkAdaptation, list[bytes]]) -> None:
        """Take a cell that carries no user data, or whose header has an error, or leave it out."""
        # A header is corrected before a route is selected by it.
        good = self._hec.receive(header)
        if good is None:
            self._port.drops.count(DropReason.HEC_ERROR, octets=cell)
            return
        if good != header:
            self._port.reassembler.hec.corrected += 1
            cell = good + cell[HEADER_SIZE:]
        fields = CellHeader.unpack(good, self._port.interface)
        if fields.vci >= FIRST_USER_VCI:
            self._select(fields.vpi, cell, taken)
        else:  # F4 is of this route, and the other VCIs are of this link
            taken[self._port].append(cell)

    def next_timer(self) -> int | None:
        """The time at which `handle_timer` is next due, or None."""
        times = [vp.state.next_timer() for vp in self._bridged.values()]
        return min((time for time in times if time is not None), default=None)

    def handle_timer(self, now: int) -> None:
        """Do the work that is due."""
        for vp in self._bridged.values():
            vp.state.handle_timer(now)


def protected_vps(
    network: Network, node: str, ports: Mapping[str, LinkAdaptation], oam: NodeOam,
) -> dict[str, ProtectedVp]:
    """Protect the VPs of a node that have a second route, and join their ports and the node's OAM to them."""
    made: dict[str, ProtectedVp] = {}
    joined: dict[str, ProtectedPort] = {}
    for name, vp in network.vps_of(node).items():
        second = network.routes.protection.get(name)
        if second is None:
            continue
        ends = [RouteEnd(ports[route.link_at(node)], route.vpi_at(node))
                for route in (network.routes.working[name], second)]
        made[name] = protected = ProtectedVp(name, second.onward(node)[-1], vp, *ends)
        for side in Side:
            port = protected.end(side).port
            served = joined.setdefault(port.name, ProtectedPort(port))
            served.add(protected, side)
            port.protection = served
    if made:
        oam.subscribe(partial(_tell, made))  # not a function in this one, so that a depot can be pickled
    return made


def _tell(protected_by_name: Mapping[str, ProtectedVp], vp: VpOam, now: int) -> None:
    """Tell a protected VP the conditions of a route."""
    if (protected := protected_by_name.get(vp.name)) is not None:
        protected.conditions_changed(Side.PROTECTION if vp.is_second else Side.WORKING, vp.conditions, now)
