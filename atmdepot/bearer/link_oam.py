"""The OAM of a link at an end point (ITU-T I.610): its flows, its supervision, and AIS for its VPs without a signal.

The flows of its VPs (F4) are there from the start. The end points of F5 are made when their first cell comes, and are
bounded in number. All answers are bounded, too: an AIS storm makes an RDI a second. Times in ns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.atm.oam import AlarmSource
from atmdepot.atm.runs import runs_of
from atmdepot.atm.supervision import LinkSupervision
from atmdepot.atm.vc import VcTable
from atmdepot.bearer.base import NEVER
from atmdepot.bearer.oam_flow import WHOLE_VP, Flow, FlowKey
from atmdepot.wire.cell import CELL_SIZE, HEADER_SIZE, CellHeader, hec
from atmdepot.wire.oam import OamFlow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.bearer.adaptation import LinkAdaptation
    from atmdepot.bearer.vp_oam import VpOam

MOST_VC_FLOWS = 256
"""The F5 end points of a link; the oldest makes room for a further one."""
_LISTEN = 500_000_000
"""A connection that was heard is listened to again after this time: a fraction of the 3.5 s of continuity."""


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
        handled = message is None or flow.takes(message, now)
        self.flush(flow)
        return handled

    def flow(self, kind: OamFlow, vpi: int, vci: int = WHOLE_VP) -> Flow | None:
        """The flow of a VP, or of an open VC, which begins now if it has not; None without such a VP or VC."""
        key = FlowKey(vpi, WHOLE_VP if kind.is_of_vp else vci, kind.is_segment)
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
                vp.count(header, run.cells_of(cells))
            if header.is_user_data and wanted:
                for vci in (WHOLE_VP, header.vci):
                    for is_segment in (False, True):
                        flow = wanted.pop(FlowKey(header.vpi, vci, is_segment), None)
                        if flow is not None:
                            flow.point.user_cells(now)
                            self._review(flow)
        self._listen_next(now)

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
