"""The ports of a switch: the output of its links, as the switch fills it and as the pump takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.atm.scheduler import DEFAULT_ROOM, DEFAULT_WEIGHT, LinkScheduler, QueueClass
from atmdepot.bearer.base import NEVER, PathCondition, Port, PortCounts, QueueCounts
from atmdepot.drops import Drops
from atmdepot.wire.cell import CELL_SIZE, IDLE_CELL, Interface

if TYPE_CHECKING:
    from atmdepot.atm.queueing import QueuedVc
    from atmdepot.atm.switch import Port as Side
    from atmdepot.atm.switch import Switch
    from atmdepot.config.links import Link


class SwitchPort(Port):
    """A port of a switch, which is the `Output` of its side of the switch; here cells leave as soon as they can."""

    side: Side

    def __init__(self, name: str) -> None:
        Port.__init__(self, name, Drops())
        self.tx_cells = self.fillers_sent = 0
        self._cells: list[bytes] = []

    def join(self, switch: Switch, interface: Interface) -> None:
        """Become a port of a switch."""
        self.side = switch.add_port(self.name, interface=interface, output=self, drops=self.drops)

    # As the switch sees it.

    def enter(self, name: QueueClass, vc: QueuedVc, cells: bytes, now: int) -> int:
        """Take cells of a VC; return how many were let in."""
        if not self._cells:
            self.ready.append(self.number)
        self._cells.append(cells)
        count = len(cells) // CELL_SIZE
        vc.entered += count
        return count

    def leave(self, now: int) -> bytes:
        """The cells that leave by `now` (ns)."""
        cells = self._cells[0] if len(self._cells) == 1 else b"".join(self._cells)
        self._cells.clear()
        return cells

    # As the node and its pump see it.

    def transmit(self, now: int) -> bytes:
        """Remove and return the cells to send, in order."""
        cells = self.leave(now)
        self.tx_cells += len(cells) // CELL_SIZE
        return cells

    def fill(self, count: int) -> bytes:
        """Make a full-length datagram of `count` idle cells, and count them as sent."""
        self.fillers_sent += 1
        self.tx_cells += count
        return IDLE_CELL * count

    def keep_frames(self, wanted: bool) -> None:
        """Nothing: a switch sees no packets."""

    def channels(self) -> int:
        """The number of connections that come in here."""
        return len(self.side.table.inputs())

    def condition(self) -> PathCondition:
        """Counts of filling alone: whole packets are for the ends to see."""
        return PathCondition(fillers_sent=self.fillers_sent, idle_received=self.side.unassigned_cells)

    def counts(self) -> PortCounts:
        """The cells of the port; a switch counts no PDUs."""
        side = self.side
        return PortCounts(side.rx_cells, self.tx_cells, side.unassigned_cells, side.hec.corrected)

    def next_timer(self) -> int | None:
        """None: a port has no timers but `due`."""
        return None

    def handle_timer(self, now: int) -> None:
        """Nothing."""


class ScheduledPort(SwitchPort):
    """A port of a link with a rate: cells wait in queues, and a scheduler keeps the rate."""

    is_timed = True

    def __init__(self, name: str, rate: int, settings: Link, burst: int) -> None:
        """Make a port of a link of `rate` cells/s that sends at most `burst` cells after a late wake-up."""
        SwitchPort.__init__(self, name)
        self.scheduler = LinkScheduler(
            rate, room=DEFAULT_ROOM | {QueueClass(queue): room for queue, room in settings.queues.items()},
            weights=DEFAULT_WEIGHT | {QueueClass(queue): weight for queue, weight in settings.weights.items()},
            burst=burst, drops=self.drops)
        self._is_ready = False
        self._left_at = -1

    def enter(self, name: QueueClass, vc: QueuedVc, cells: bytes, now: int) -> int:
        """Let cells of a VC into a queue, after those that are due have left; return how many were let in."""
        if now != self._left_at:  # the cells of a burst come at the same time
            self._left_at = now
            if left := self.scheduler.leave(now):
                self._cells.append(left)
        count = self.scheduler.enter(name, vc, cells, now)
        self._note_due()
        if not self._is_ready and (self._cells or self.due <= now):
            self._is_ready = True
            self.ready.append(self.number)
        return count

    def leave(self, now: int) -> bytes:
        """The cells whose slots have begun by `now` (ns)."""
        self._left_at = now
        self._cells.append(self.scheduler.leave(now))
        self._is_ready = False
        self._note_due()
        return SwitchPort.leave(self, now)

    def _note_due(self) -> None:
        due = self.scheduler.next_timer()
        self.due = NEVER if due is None else due

    def counts(self) -> PortCounts:
        """The cells of the port, with those that left too late."""
        return SwitchPort.counts(self)._replace(late=self.scheduler.late)

    def queues(self) -> list[QueueCounts]:
        """The queues of the output."""
        return [QueueCounts(name, queue.thresholds.room, queue.held, queue.most, 0, queue.entered,
                            queue.entered - queue.held, queue.dropped, queue.marked)
                for name, queue in self.scheduler.queues.items()]


def port_of(name: str, settings: Link, node: str) -> SwitchPort:
    """The port of a node's end of a link."""
    line = settings.line_from(node)
    return SwitchPort(name) if line.rate is None else ScheduledPort(name, int(line.rate), settings, line.burst or 1)
