"""The OAM of the links at an ATM end point (ITU-T I.610): F4 of each VP that ends here, F5 of its VCs, and the signal.

::

    NodeOam      a node: the VPs that end at it, and those who hear of their conditions
      LinkOam    a link: its flows, its supervision, and AIS for its VPs when it has no signal
        VpOam    a VP: the end points of both F4 flows, activation of the continuity check, performance monitoring
        Flow     an end point of a flow, with the header of its cells

A segment is the whole VP unless the table cuts it, so both F4 flows end here. The end points of F5 are made when their
first cell comes, and are bounded in number. All answers are bounded, too: an AIS storm makes an RDI a second. Times in
ns.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from atmdepot.atm.activation import Activations, Change, Outcome
from atmdepot.atm.monitoring import MonitoringReport, MonitoringSink, MonitoringSource
from atmdepot.atm.oam import AlarmSource, Condition, EndPoint
from atmdepot.atm.runs import runs_of
from atmdepot.atm.supervision import LinkSupervision
from atmdepot.atm.vc import Vc, VcTable
from atmdepot.bearer.base import NEVER
from atmdepot.config.locations import location_of, nodes_by_location
from atmdepot.wire.cell import CELL_SIZE, HEADER_SIZE, CellHeader, hec
from atmdepot.wire.oam import ActivationFunction, OamFlow
from atmdepot.wire.oam_messages import NO_LOCATION, Activation, Backward, Direction, Forward, Message, read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from atmdepot.atm.monitoring import Performance
    from atmdepot.bearer.adaptation import LinkAdaptation
    from atmdepot.config.links import Vp
    from atmdepot.config.model import Network

MOST_VC_FLOWS = 256
"""The F5 end points of a link; the oldest makes room for a further one."""
_LISTEN = 500_000_000
"""A connection that was heard is listened to again after this time: a fraction of the 3.5 s of continuity."""
_WHOLE_VP = 0  # in place of a VCI: no VC has it


class FlowKey(NamedTuple):
    """A flow of a link: F4 has VCI 0."""

    vpi: int
    vci: int
    is_segment: bool


class Flow:
    """An end point of an OAM flow, and the header of the cells that it sends."""

    __slots__ = ("flow", "header", "key", "point", "vc", "vp")

    def __init__(self, flow: OamFlow, link: LinkOam, vc: Vc, vp: VpOam | None = None) -> None:
        """Begin the flow of a VC, or with `vp` of the whole VP that `vc` belongs to."""
        self.flow = flow
        self.vc = vc
        self.vp = vp
        self.header = flow.header(vc.vpi, vc.vci, link.adaptation.interface)
        self.key = FlowKey(vc.vpi, _WHOLE_VP if flow.is_of_vp else vc.vci, flow.is_segment)
        self.point = EndPoint(link.location, vc=CellHeader.unpack(self.header, link.adaptation.interface),
                              drops=link.adaptation.drops, header=self.header)

    def cells_to_send(self) -> bytes:
        """Remove and return the cells to send."""
        payloads = self.point.cells_to_send()
        if self.vp is not None and not self.flow.is_segment:
            payloads += self.vp.payloads_to_send()
        return b"".join([self.header + payload for payload in payloads])

    def next_timer(self) -> int | None:
        """The time at which `handle_timer` is next due, or None."""
        due = self.point.next_timer()
        other = None if self.vp is None or self.flow.is_segment else self.vp.activations.next_timer()
        return other if due is None else due if other is None else min(due, other)

    def handle_timer(self, now: int) -> None:
        """Do the work that is due."""
        self.point.handle_timer(now)
        if self.vp is not None and not self.flow.is_segment:
            self.vp.activations.handle_timer(now)


class VpOam:
    """The OAM of a VP that ends here."""

    def __init__(self, name: str, settings: Vp, far: str, vc: Vc, link: LinkOam, *, is_second: bool = False) -> None:
        """Begin the flows of a VP to the node `far`, whose cells are sent as those of `vc`.

        A VP with a second route has this twice: `is_second` is that of the second.
        """
        self.name, self.far, self.link, self.vpi, self.is_second = name, far, link, vc.vpi, is_second
        self.end = Flow(OamFlow.F4_END_TO_END, link, vc, self)
        self.segment = Flow(OamFlow.F4_SEGMENT, link, vc, self)
        self.activations = Activations(self._apply, _is_activated)
        self.checks_at_start = settings.checks_continuity
        self.since = 0
        """The time of the last change of its conditions."""
        block = settings.performance_monitoring
        self.source = MonitoringSource(self.end.header, block) if block is not None else None
        self.sink = MonitoringSink() if block is not None else None
        self.report = MonitoringReport()
        self._backward: list[bytes] = []
        self.monitoring_cells = 0
        """Forward and backward cells that came."""

    @property
    def conditions(self) -> list[Condition]:
        """The conditions in force end to end, the gravest first."""
        return self.end.point.conditions

    def begin(self, now: int) -> None:
        """Begin what the table asks for."""
        self.since = now
        if self.checks_at_start:
            self.end.point.check_continuity(True, now)
            self.end.point.send_continuity(True, now)

    def check_continuity(self, on: bool, now: int, done: Callable[[Outcome], None]) -> None:
        """Ask the far end to begin or end the continuity check of both directions; raise ValueError while it is asked.

        Both ends act when the far end has confirmed.
        """
        self.activations.ask(ActivationFunction.CONTINUITY_CHECK, Direction.BOTH, now, done, on=on)
        self.link.flush(self.end)

    def payloads_to_send(self) -> list[bytes]:
        """Remove and return the payloads of activation and backward reporting."""
        out, self._backward = self.activations.cells_to_send() + self._backward, []
        return out

    def takes(self, message: Message, now: int) -> bool:
        """Take an activation or monitoring message; False for a message that this end does not handle."""
        if isinstance(message, Activation):
            return self.activations.receive(message, now)
        if isinstance(message, Backward) and self.source is not None:
            self.report.backward(message)
            self.monitoring_cells += 1
            return True
        # `LinkOam.listen` has taken it in its place among the user cells.
        return isinstance(message, Forward) and self.sink is not None

    def block_ends(self, message: Forward) -> None:
        """Judge a block of user cells at its forward cell."""
        assert self.sink is not None
        self._backward.append(self.sink.forward(message).pack())
        self.monitoring_cells += 1

    @property
    def near(self) -> Performance | None:
        """The monitoring of the cells from the far end; None without it."""
        return None if self.sink is None else self.sink.performance

    def _apply(self, change: Change, now: int) -> None:
        if change.is_source:
            self.end.point.send_continuity(change.on, now)
        if change.is_sink:
            self.end.point.check_continuity(change.on, now)


def _is_activated(change: Change) -> bool:
    """True for what a far end may ask for: monitoring runs as the VC table says, so a wish for it is denied."""
    return change.function is ActivationFunction.CONTINUITY_CHECK


class LinkOam:
    """The OAM of a link at an end point; it is the `Maintenance` of the link's adaptation."""

    def __init__(self, adaptation: LinkAdaptation, location: bytes, supervise: int | None) -> None:
        """Serve a link; `location` (16 octets) is the node's, `supervise` the interval of supervision or None."""
        self.adaptation = adaptation
        self.location = location
        self.vps: dict[int, VpOam] = {}
        self.alarms = AlarmSource(location)
        self._interval = supervise
        self._flows: dict[FlowKey, Flow] = {}  # those of VCs in the order in which they began
        self._of_vcs: dict[FlowKey, None] = {}
        self._timed: dict[FlowKey, Flow] = {}  # those with a timer
        self._listening: dict[FlowKey, Flow] = {}  # those that need user cells
        self._begun = False
        adaptation.maintain(self)

    def add_vp(self, vp: VpOam) -> None:
        """Serve a VP of the link."""
        self.vps[vp.vpi] = vp
        for flow in (vp.end, vp.segment):
            self._flows[flow.key] = flow
        if vp.source is not None:
            self.adaptation.is_monitored, self.adaptation.listen_at = True, 0

    def flows(self) -> Iterator[Flow]:
        """The flows with an end point here."""
        return iter(list(self._flows.values()))

    @property
    def is_supervised(self) -> bool:
        """True where silence is a loss of signal."""
        return self._interval is not None

    @property
    def has_signal(self) -> bool:
        """False while a supervised link is silent."""
        return not self.alarms.is_raised

    # Cells received.

    def takes(self, header: CellHeader, cell: bytes, now: int) -> bool:
        """Take a cell of an OAM flow that ends here; False for all others."""
        kind = OamFlow.of(header)
        flow = None if kind is None else self.flow(kind, header.vpi, header.vci)
        if flow is None:
            return False
        message = flow.point.receive(cell[HEADER_SIZE:], now)
        handled = message is None or (flow.vp is not None and flow.vp.takes(message, now))
        self.flush(flow)
        return handled

    def flow(self, kind: OamFlow, vpi: int, vci: int = _WHOLE_VP) -> Flow | None:
        """The flow of a VP, or of an open VC, which begins now if it has not; None without such a VP or VC."""
        key = FlowKey(vpi, _WHOLE_VP if kind.is_of_vp else vci, kind.is_segment)
        flow = self._flows.get(key)
        if kind.is_of_vp:
            return flow
        # Of the base class: the cells of a flow open no VC.
        vc = VcTable.find(self.adaptation.table, vpi, vci)
        if flow is not None and flow.vc is vc:
            return flow
        if flow is not None:
            self._forget(key)  # of an earlier VC with this VCI
        if vc is None:
            return None
        if len(self._of_vcs) >= MOST_VC_FLOWS:
            self._forget(next(iter(self._of_vcs)))
        self._of_vcs[key] = None
        made = self._flows[key] = Flow(kind, self, vc)
        return made

    def _forget(self, key: FlowKey) -> None:
        for held in (self._flows, self._of_vcs, self._timed, self._listening):
            held.pop(key, None)

    def listen(self, cells: bytes, now: int) -> None:
        """Hear which connections user cells came on, and have monitored VPs count them."""
        wanted = dict(self._listening)
        for run in runs_of(cells):
            if hec(run.header[:4]) != run.header[4]:
                continue
            header = CellHeader.unpack(run.header, self.adaptation.interface)
            vp = self.vps.get(header.vpi)
            if vp is not None and vp.sink is not None:
                self._count(vp, header, run.cells_of(cells))
            if header.is_user_data and wanted:
                for vci in (_WHOLE_VP, header.vci):
                    for is_segment in (False, True):
                        flow = wanted.pop(FlowKey(header.vpi, vci, is_segment), None)
                        if flow is not None:
                            flow.point.user_cells(now)
                            self._review(flow)
        self._listen_next(now)

    def _count(self, vp: VpOam, header: CellHeader, cells: bytes) -> None:
        """Count the cells of a run for the monitoring of its VP, block by block."""
        assert vp.sink is not None
        if header.is_user_data:
            vp.sink.user_cells(cells)
        elif OamFlow.of(header) is OamFlow.F4_END_TO_END:
            for at in range(0, len(cells), CELL_SIZE):
                message = _forward(cells[at + HEADER_SIZE:at + CELL_SIZE])
                if message is not None:
                    vp.block_ends(message)

    def monitored(self, cells: bytes) -> bytes:
        """The cells to send, with a forward cell behind each block of a monitored VP."""
        out: list[bytes] = []
        for run in runs_of(cells):
            header = CellHeader.unpack(run.header, self.adaptation.interface)
            vp = self.vps.get(header.vpi)
            source = None if vp is None else vp.source
            part = run.cells_of(cells)
            out.append(source.insert(part) if source is not None and header.is_user_data else part)
        made = b"".join(out)
        self.adaptation.tx_cells += (len(made) - len(cells)) // CELL_SIZE
        return made

    # Cells sent.

    def flush(self, flow: Flow) -> None:
        """Send what a flow has to send, and note its timers."""
        if cells := flow.cells_to_send():
            if flow.flow.is_of_vp:
                self.adaptation.send_cells(cells, flow.vc)
            else:
                self.adaptation.send_on_route(cells, flow.vc)
        self._review(flow)

    def _review(self, flow: Flow) -> None:
        """Note what a flow waits for: its timers, and user cells."""
        if flow.next_timer() is None:
            self._timed.pop(flow.key, None)
        else:
            self._timed[flow.key] = flow
        if flow.point.needs_user_cells:
            self._listening[flow.key] = flow
            if flow.point.is_impaired:
                self.adaptation.listen_at = 0
            else:
                self.adaptation.listen_at = min(self.adaptation.listen_at, flow.point.heard + _LISTEN)
        else:
            self._listening.pop(flow.key, None)

    def _listen_next(self, now: int) -> None:
        """Note when to listen again: at once for monitored and impaired connections, else after a while."""
        points = [flow.point for flow in self._listening.values()]
        if self.adaptation.is_monitored or any(point.is_impaired for point in points):
            self.adaptation.listen_at = 0
        else:
            self.adaptation.listen_at = min((point.heard + _LISTEN for point in points), default=NEVER)

    # In time.

    def next_timer(self) -> int | None:
        """The time at which `handle_timer` is next due, or None."""
        if not self._begun and (self._interval is not None or any(vp.checks_at_start for vp in self.vps.values())):
            return 0
        times = [flow.next_timer() for flow in self._timed.values()]
        times.append(self.alarms.next_timer())
        if self.adaptation.supervision is not None:
            times.append(self.adaptation.supervision.next_timer())
        return min((time for time in times if time is not None), default=None)

    def handle_timer(self, now: int) -> None:
        """Begin what the table asks for, and do the work that is due."""
        if not self._begun:
            self._begin(now)
        if self.adaptation.supervision is not None and (idle := self.adaptation.supervision.handle_timer(now)):
            self.adaptation.send_cells(idle, None)
        self._raise_alarms(now)
        for flow in list(self._timed.values()):
            if (due := flow.next_timer()) is not None and due <= now:
                flow.handle_timer(now)
                self.flush(flow)

    def stood_still(self, span: int, now: int) -> None:
        """Count the last `span` ns, in which this process did not run, as no silence of the far ends."""
        if self.adaptation.supervision is not None:
            self.adaptation.supervision.heard = min(self.adaptation.supervision.heard + span, now)
        for flow in self._flows.values():
            flow.point.stood_still(span, now)

    def _begin(self, now: int) -> None:
        self._begun = True
        if self._interval is not None:
            self.adaptation.supervision = LinkSupervision(self._interval, now)
            self.adaptation.supervision.subscribe(self._signal_changed)
        for vp in self.vps.values():
            vp.begin(now)
            self.flush(vp.end)
        self._listen_next(now)

    def _signal_changed(self, is_lost: bool, now: int) -> None:
        if is_lost:
            self.alarms.fail(now)
            self._raise_alarms(now)
        else:
            self.alarms.mend()

    def _raise_alarms(self, now: int) -> None:
        """Have the VPs of a link without a signal fail, as by an AIS cell from this node."""
        for payload in self.alarms.cells_to_send(now):
            for vp in self.vps.values():
                vp.end.point.receive(payload, now)
                self.flush(vp.end)


def _forward(payload: bytes) -> Forward | None:
    """The forward cell with this payload, or None for another cell."""
    try:
        message = read(payload)
    except ValueError:
        return None  # the end point counts it
    return message if isinstance(message, Forward) else None


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
