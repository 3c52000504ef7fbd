"""The OAM of a switch (ITU-T I.610): each VP that it passes has an intermediate point, and each link an alarm source.

An intermediate point answers loopbacks for the switch's location, and ends the segment flow where the table cuts the VP
here (`segments`). All other OAM cells pass like user cells. When a supervised link falls silent, AIS goes out at once,
and then each second, along every connection that comes in by it: F4 for a VP, F5 for a VC. Times in ns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.atm.oam import AlarmSource, EndPoint, NodeOnTheWay
from atmdepot.atm.queueing import QueuedVc
from atmdepot.atm.scheduler import QueueClass
from atmdepot.atm.supervision import LinkSupervision
from atmdepot.config.locations import location_of
from atmdepot.wire.cell import IDLE_CELL, CellHeader
from atmdepot.wire.oam import OamFlow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from atmdepot.atm.connections import CrossConnect
    from atmdepot.atm.switch import Switch
    from atmdepot.config.model import Network
    from atmdepot.config.routes import Place
    from atmdepot.switch.ports import SwitchPort


class Passing:
    """The point of a VP that passes, for the cells of a direction; its answers go back on the other direction."""

    def __init__(self, name: str, place: Place, node: NodeOnTheWay,
                 send_back: Callable[[OamFlow, bytes, int], None]) -> None:
        """Serve the direction of VP `name` that comes in at `place`; `send_back` sends a payload the other way."""
        self.name = name
        self.place = place
        self.node = node
        self.answered = 0
        self._send_back = send_back

    @property
    def segment(self) -> EndPoint | None:
        """The end of the segment flow, where the table cuts the VP here."""
        return self.node.segment

    @property
    def is_cut(self) -> bool:
        """True where the table cuts the VP here."""
        return self.node.segment is not None

    def pass_on(self, cells: bytes, now: int) -> bytes:
        """Handle OAM cells of the VP; return those that travel on."""
        onward = self.node.pass_on(cells, now)
        for flow, payload in self.node.answers():
            self.answered += 1
            self._send_back(flow, payload, now)
        self.flush(now)
        return onward

    def user_cells(self, count: int, now: int) -> None:
        """Hear of user cells that passed."""
        self.node.user_cells(count, now)

    def next_timer(self) -> int | None:
        """The time at which `handle_timer` is next due, or None."""
        return None if self.node.segment is None else self.node.segment.next_timer()

    def handle_timer(self, now: int) -> None:
        """Do the work of the segment's end."""
        if self.node.segment is not None:
            self.node.segment.handle_timer(now)
            self.flush(now)

    def flush(self, now: int) -> None:
        """Send what the segment's end has to send."""
        if self.node.segment is not None:
            for payload in self.node.segment.cells_to_send():
                self._send_back(OamFlow.F4_SEGMENT, payload, now)


class LinkSignal:
    """The supervision of a link of the switch, and the alarms that follow from its silence."""

    def __init__(self, port: SwitchPort, interval: int, location: bytes) -> None:
        self.port = port
        self.alarms = AlarmSource(location)
        self.alarms_sent_on_each = 0
        self._interval = interval
        self._supervision: LinkSupervision | None = None
        self._idle = QueuedVc()

    @property
    def has_signal(self) -> bool:
        """False while the link is silent."""
        return not self.alarms.is_raised

    def hear(self, now: int) -> None:
        """Hear that a datagram came."""
        if self._supervision is not None:
            self._supervision.receive(now)

    def stood_still(self, span: int, now: int) -> None:
        """Count the last `span` ns as no silence."""
        if self._supervision is not None:
            self._supervision.heard = min(self._supervision.heard + span, now)

    def next_timer(self) -> int:
        """The time at which `handle_timer` is next due."""
        if self._supervision is None:
            return 0
        due = self._supervision.next_timer()
        alarm = self.alarms.next_timer()
        return due if alarm is None else min(due, alarm)

    def handle_timer(self, now: int) -> list[bytes]:
        """Send the idle cell that is due, busy or not; return the payloads of alarms to send."""
        if self._supervision is None:
            self._supervision = LinkSupervision(self._interval, now)
            self._supervision.subscribe(self._changed)
        if idle := self._supervision.handle_timer(now):
            self.port.enter(QueueClass.CBR, self._idle, idle, now)
        return self.alarms.cells_to_send(now)

    def _changed(self, is_lost: bool, now: int) -> None:
        if is_lost:
            self.alarms.fail(now)
        else:
            self.alarms.mend()


class SwitchOam:
    """The OAM of a switch."""

    def __init__(self, network: Network, node: str, switch: Switch, ports: Mapping[str, SwitchPort]) -> None:
        """Serve the supervised links of a switch; `use` serves its cross-connects."""
        self._switch = switch
        self._ports = ports
        self._node = node
        self._location = location_of(network, node)
        self.signals = {name: LinkSignal(port, interval, self._location) for name, port in ports.items()
                        if (interval := network.links[name].supervise) is not None}
        self.points: dict[Place, Passing] = {}

    def use(self, network: Network, crossed: Mapping[Place, tuple[str, CrossConnect]]) -> None:
        """Give each VP that passes its point; `crossed` has all cross-connects, by the place where cells come in.

        A point stays as long as its connection does, unless the table now cuts the VP here, or no longer.
        """
        for place, (name, connection) in crossed.items():
            is_cut = name in network.vps and self._node in network.vps[name].segments
            there = self.points.get(place)
            is_new = connection.point is None or there is None or (there.name, there.is_cut) != (name, is_cut)
            if connection.vci is None and is_new and len(connection.leaves) == 1:
                self._pass(name, place, connection, is_cut)
        self.points = {place: point for place, point in self.points.items()
                       if place in crossed and crossed[place][1].point is point}

    def _pass(self, name: str, place: Place, connection: CrossConnect, is_cut: bool) -> None:
        interface = connection.interface
        header = OamFlow.F4_SEGMENT.header(place.vpi, interface=interface)
        segment = EndPoint(self._location, vc=CellHeader.unpack(header, interface), header=header,
                           drops=self._switch.ports[place.link].drops) if is_cut else None

        def send_back(flow: OamFlow, payload: bytes, now: int) -> None:
            """Send a cell the way that cells of the connection came, in the queue of the way back."""
            back = self._back(connection)
            if back is not None:
                self._switch.insert(back, flow, payload, now)

        made = Passing(name, place, NodeOnTheWay(self._location, segment=segment), send_back)
        self.points[place] = connection.point = made
        connection.tells_point = is_cut

    def _back(self, connection: CrossConnect) -> CrossConnect | None:
        """The other direction of a VP: what comes in where this one leaves."""
        leaf = connection.leaves[0] if connection.leaves else None
        if leaf is None:
            return None
        there = self._switch.ports[leaf.port].table.inputs()
        return next((other for other in there if (other.vpi, other.vci) == (leaf.vpi, leaf.vci)), None)

    # What comes, and time.

    def hears(self, link: str, cells: bytes, now: int) -> bool:
        """Note that a link has a signal; True for a single idle cell, which says only that."""
        signal = self.signals.get(link)
        if signal is None:
            return False
        signal.hear(now)
        return cells == IDLE_CELL

    def stood_still(self, span: int, now: int) -> None:
        """Count the last `span` ns, in which this process did not run, as no silence of the neighbours."""
        for signal in self.signals.values():
            signal.stood_still(span, now)
        for point in self.points.values():
            if point.segment is not None:
                point.segment.stood_still(span, now)

    def next_timer(self) -> int | None:
        """The time at which `handle_timer` is next due, or None."""
        times = [signal.next_timer() for signal in self.signals.values()]
        times += [due for point in self.points.values() if (due := point.next_timer()) is not None]
        return min(times, default=None)

    def handle_timer(self, now: int) -> None:
        """Send idle cells and alarms that are due, and do the work of segments' ends."""
        for name, signal in self.signals.items():
            for payload in signal.handle_timer(now):
                signal.alarms_sent_on_each += 1
                self._alarm(name, payload, now)
        for point in self.points.values():
            if (due := point.next_timer()) is not None and due <= now:
                point.handle_timer(now)

    def _alarm(self, link: str, payload: bytes, now: int) -> None:
        """Send AIS along all connections that come in by a link."""
        for connection in self._switch.ports[link].table.inputs():
            flow = OamFlow.F4_END_TO_END if connection.vci is None else OamFlow.F5_END_TO_END
            self._switch.insert(connection, flow, payload, now)
