"""The pump: it moves bursts between descriptors and a node's data path.

The descriptors are in an epoll set. The loop that waits for the set calls `turn`: the host loop of a daemon
(`net/hosting.py`), which does no other work, or a task where trio is the only loop. A turn handles all that is ready:
it reads from each descriptor all that waits there, up to a bound, handles it in one go, and writes the result with as
few system calls as possible. No task, channel or object of trio takes part in the data path.
"""

from __future__ import annotations

import logging
import select
from typing import TYPE_CHECKING

import trio

from atmdepot.drops import DropReason
from atmdepot.net.bursts import Poller
from atmdepot.net.event_log import EventLog
from atmdepot.net.line_link import LineLink
from atmdepot.net.tap import Taps
from atmdepot.net.tun import Tun, TunGone
from atmdepot.net.watchdog import FROM_TUN, GUEST, TIMERS, Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.config.links import Line
    from atmdepot.net.chores import Chore
    from atmdepot.net.host import HostSetup
    from atmdepot.net.line_link import PortLink
    from atmdepot.net.tun import PacketDevice
    from atmdepot.node.node import DataPath, Node

_PACKETS_A_BURST = 128
_DATAGRAMS_A_BURST = 32
_EXPIRED_AT_ONCE = 512
_SPIN = 200_000
"""After packets have passed, the next packets are this many ns away; see docs/performance.md."""
_REVIEW = 100_000_000
"""A burst may set a timer that is due before the node's next; the timers are reviewed within this many ns, or at
once where one is `urgent`."""
_STALL = 500_000_000
"""A turn that comes this much (ns) later than it was due: the process did not run, or did other work."""
_MOST_PUT_OFF = 64
_REOPEN = 1_000_000_000
_LEAST_PAUSE = 1_000_000
_NEVER = 1 << 62
_ASK_AGAIN = 1_000_000
"""The least time (ns) between two questions to the chores while there is traffic."""
_LONGEST_WAIT, _SHORT_WAIT = 3600.0, 0.1
_NONE = -1
_FROM_TUN, _TIMERS, _GUEST = FROM_TUN, TIMERS, GUEST
_READ, _WRITE, _READ_AND_WRITE = select.EPOLLIN, select.EPOLLOUT, select.EPOLLIN | select.EPOLLOUT

log = logging.getLogger("atmdepot")


class _Port:
    """A link of the node's, and its name."""

    __slots__ = ("link", "name")

    def __init__(self, name: str, link: PortLink) -> None:
        self.name = name
        self.link = link


class Pump:
    """The descriptors of a node, and its data path."""

    def __init__(
        self, node: Node, links: dict[str, PortLink], tun: PacketDevice,
        reopen: Callable[[], PacketDevice] | None = None, clock: Callable[[], int] | None = None,
    ) -> None:
        """Join a node to its links and its TUN device; `reopen` makes the device anew when it has vanished.

        `clock` gives the time in ns; CLOCK_MONOTONIC by default.
        """
        self.node = node
        self.links = links
        self.events = EventLog(node.name)
        self.live_lines: dict[str, Line] = {}
        """The values that `atmdepot impair` has set for each link's line, beside the VC table's."""
        self.tun = tun
        self.watchdog = Watchdog()
        self.taps = Taps(node, self.queue_drops, self._lead_through)
        self._path: DataPath = node
        self.tun_losses = 0
        self.host: HostSetup | None = None  # the set-up on this host, for `show` and metrics
        # Only links with a line have timers.
        self._lines = [(name, link) for name, link in links.items() if isinstance(link, LineLink)]
        self._reopen = reopen
        self._reopen_at = _NEVER
        self._told_failure = ""
        self._poller = Poller()
        self._other_clock = clock
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._ports_by_number = [_Port(name, links[name]) if name in links else None for name in node.links]
        self._ports = [port for port in self._ports_by_number if port is not None]
        self._tun_descriptor = _NONE
        self._ports_by_descriptor: dict[int, _Port] = {}
        self._chores: list[Chore] = []
        self._chores_due, self._asked_at = _NEVER, -_ASK_AGAIN
        self._may_be_sooner = False  # there was traffic since the chores were asked
        self._backlogged: set[str] = set()
        self._node_due = self.clock()  # time of the next review of the node's timers
        self._is_reviewed = False  # no traffic since the last review
        self._timed = [port for port in node.links.values() if port.is_timed]
        self._wheels = node.wheels()
        for wheel in self._wheels:
            wheel.most = _EXPIRED_AT_ONCE
        self._turned_at = self._expected_at = self._node_due
        self._put_off = 0  # turns that the node's timers were put off
        self._started = False
        self._busy = False  # traffic in the last turn

    def clock(self) -> int:
        """The time of the data path (ns)."""
        return self._poller.now() if self._other_clock is None else self._other_clock()

    def queue_drops(self) -> int:
        """Packets that the kernel dropped because the TUN device's queue was full."""
        return self.tun.queue_drops() if isinstance(self.tun, Tun) else 0

    def _lead_through(self, path: DataPath) -> None:
        """Lead all traffic through a data path from now on: the node's own, or a tapped path."""
        self._path = path

    # Turns.

    def fileno(self) -> int:
        """The descriptor of the epoll set; it is readable when a turn has work."""
        return self._poller.fileno()

    def watch(self, descriptor: int, handle: Callable[[int], None]) -> None:
        """Call `handle` with the epoll events in each turn in which a descriptor is readable."""
        self._poller.watch(descriptor, _READ)
        self._handlers[descriptor] = handle

    def wait_for_room_at(self, descriptor: int, wanted: bool) -> None:
        """Call the handler of a watched descriptor when it can be written, too, or no longer."""
        self._poller.watch(descriptor, _READ_AND_WRITE if wanted else _READ)

    def let_go(self, descriptor: int) -> None:
        """Handle a watched descriptor no longer; the caller closes it, which takes it out of the epoll set."""
        self._handlers.pop(descriptor, None)

    def take_on(self, chore: Chore) -> None:
        """Attend to a chore when it is due, from now on."""
        self._chores.append(chore)
        self._may_be_sooner, self._asked_at = True, -_ASK_AGAIN

    def start(self) -> None:
        """Add the descriptors to the epoll set."""
        if self._started:
            return
        self._started = True
        self._watch_tun()
        for port in self._ports:
            self._ports_by_descriptor[port.link.fileno()] = port
            self._poller.watch(port.link.fileno(), _READ)

    def turn(self, wait: float) -> float:
        """Wait at most `wait` seconds, then handle all that is ready or due; raise TunGone.

        Returns the number of seconds that the next turn may wait.
        """
        # Spin only after traffic: an idle node leaves the processor alone.
        spin, self._busy = _SPIN if self._busy else 0, False
        ready = self._poller.poll(wait, spin)
        for number in range(ready):
            descriptor = self._poller.descriptor(number)
            if descriptor == self._tun_descriptor:
                self._tun_is_ready()
            elif (port := self._ports_by_descriptor.get(descriptor)) is not None:
                self._link_is_ready(port, self._poller.events(number))
            elif (handle := self._handlers.get(descriptor)) is not None:  # it may have been let go in this turn
                self.watchdog.begins(_GUEST, self.clock())
                handle(self._poller.events(number))
                if self.node.ready:  # a change of role is announced at once, whoever has told of it
                    self.write_out(self.clock())
        now = self.clock()
        if ready and self._chores:
            self._may_be_sooner = True
        if ready and self._is_reviewed:  # traffic may set an earlier timer than the next
            self._review_by(now + _REVIEW)
        if ready and self.node.urgent:
            self._review_by(self.node.next_timer() or now)
        if now - self._expected_at > _STALL:
            self._has_stood_still(now)
        self._turned_at = now
        due = self.next_timer()
        if due <= now:
            self.watchdog.begins(_TIMERS, now)
            self._handle_timers(now)
            due = self.next_timer()
            now = self.clock()
        self.watchdog.ends(now)
        self._expected_at = max(due, now)
        return min(max(0, due - now) / 1e9, _LONGEST_WAIT)

    def next_timer(self) -> int:
        """The time (ns) at which a turn has work even if no descriptor is ready."""
        due = min(self._node_due, self._reopen_at)
        for _, link in self._lines:
            if (time := link.next_timer()) is not None and time < due:
                due = time
        for port in self._timed:
            if port.due < due:
                due = port.due
        if self._chores:
            due = min(due, self._chores_due_by())
        return due

    def _chores_due_by(self) -> int:
        """The time (ns) at which a chore is due, or is to be asked: not in each turn, since that takes long."""
        if self._may_be_sooner:
            if self._turned_at - self._asked_at < _ASK_AGAIN:
                return min(self._chores_due, self._asked_at + _ASK_AGAIN)
            self._ask_chores(self._turned_at)
        return self._chores_due

    def _ask_chores(self, now: int) -> None:
        self._chores_due = min(chore.next_due(now) for chore in self._chores)
        self._asked_at, self._may_be_sooner = now, False

    def _review_by(self, time: int) -> None:
        """Review the node's timers at `time` at the latest: an earlier timer may be set by then."""
        self._is_reviewed = False
        if time < self._node_due:
            self._node_due = time

    async def run(self) -> None:
        """Take turns in a task of trio until cancelled."""
        self.start()
        wait = self.turn(0)
        while True:
            # Other tasks may give a chore work, or the pump its first chore.
            with trio.move_on_after(min(wait, _SHORT_WAIT)):
                await trio.lowlevel.wait_readable(self.fileno())
            self._review_by(self.clock() + _REVIEW)  # other tasks may have set timers
            wait = self.turn(0)

    def replace_link(self, name: str, link: PortLink) -> None:
        """Send by another link from now on, which has the same descriptor: a line joined it, or left it."""
        self.links[name] = link
        for port in self._ports:
            if port.name == name:
                port.link = link
        self._lines = [(name, link) for name, link in self.links.items() if isinstance(link, LineLink)]
        if link.wants_write():
            self._wait_for_room(name, link)

    def close(self) -> None:
        """Close the epoll set; links and device are their owner's to close."""
        self._poller.close()

    # Bursts.

    def _watch_tun(self) -> None:
        self.node.keep_frames(self.tun.whole)
        self._tun_descriptor = self.tun.fileno()
        self._poller.watch(self._tun_descriptor, _READ)

    def _tun_is_ready(self) -> None:
        try:
            self.burst_from_tun()
        except TunGone as error:
            self._lose_tun(error)

    def burst_from_tun(self) -> None:
        """Read, handle and write a burst of packets; raise TunGone."""
        self._busy = True
        now = self.clock()
        self.watchdog.begins(_FROM_TUN, now)
        path = self._path
        path.begin()
        packets = self.tun.read_burst(_PACKETS_A_BURST)
        for frame in self.tun.malformed:
            self.node.drops.count(DropReason.MALFORMED, 1, frame)
        path.packets_from_host(packets, now)
        self.write_out(now)

    def _link_is_ready(self, port: _Port, events: int) -> None:
        if events & _WRITE:
            self._flush(port.name, port.link)
        if events & ~_WRITE:  # EPOLLERR, too: the read takes the socket's error
            self.burst_from_link(port.name, port.link)

    def burst_from_link(self, name: str, link: PortLink) -> None:
        """Read, handle and write a burst of datagrams."""
        self._busy = True
        now = self.clock()
        self.watchdog.begins(name, now)
        path = self._path
        path.begin()
        received = link.receive_burst(_DATAGRAMS_A_BURST)
        path.begin()  # again: datagrams may have been sent after the burst began
        for octets in received:
            path.octets_from_port(name, octets, now)
        self.write_out(now)

    def write_out(self, now: int) -> None:
        """Send the octets and packets that a burst has made."""
        path = self._path
        path.begin()
        ready = self.node.ready
        if ready:
            for number in ready:
                port = self._ports_by_number[number]
                if port is not None and (octets := path.transmit(number, now)):
                    port.link.send(octets, now)
                    if port.link.wants_write():
                        self._wait_for_room(port.name, port.link)
            ready.clear()
        if self.node.packets_out:
            for packet in self.tun.write_burst(path.take_packets()):
                self.node.drops.count(DropReason.TUN_ERROR, 1, packet)

    def send_filling(self, name: str, count: int) -> None:
        """Send a datagram of `count` units of filling; it bypasses the line, which would split it."""
        inner = self.links[name].unlined()
        self._path.begin()
        inner.send(self._path.fill(name, count), self.clock())
        if inner.wants_write():
            self._wait_for_room(name, inner)

    def _wait_for_room(self, name: str, link: PortLink) -> None:
        """Watch for room in the socket's buffer, which is full, and send the rest then."""
        if name not in self._backlogged and self._started:
            self._backlogged.add(name)
            self._poller.watch(link.fileno(), _READ_AND_WRITE)

    def _flush(self, name: str, link: PortLink) -> None:
        self._path.begin()
        link.flush()
        if not link.wants_write():
            self._backlogged.discard(name)
            self._poller.watch(link.fileno(), _READ)

    # Timers.

    def _handle_timers(self, now: int) -> None:
        """Send the output that links with a rate or a delay have due; handle the node's timers."""
        self._path.begin()
        for name, link in self._lines:
            if (time := link.next_timer()) is not None and time <= now:
                link.handle_timer(now)
                if link.wants_write():
                    self._wait_for_room(name, link)
        self._release_output(now)
        if self._chores_due <= now:
            self._attend_to_chores(now)
        if self._node_due <= now:
            # Received packets count before timers, and more may wait; but a load may never pause: only for some turns.
            if self._busy and self._put_off < _MOST_PUT_OFF and not self.node.urgent:
                self._put_off += 1
            else:
                self._put_off = 0
                self._give_the_node_its_time(now)
        if self._reopen_at <= now:
            self._bring_back_tun(now)

    def _attend_to_chores(self, now: int) -> None:
        for chore in self._chores:
            if chore.next_due(now) <= now:
                self.watchdog.begins(chore.name, now)
                chore.attend(now)
        self._ask_chores(now)

    def _release_output(self, now: int) -> None:
        """Send the output that ports have shaped or scheduled until now."""
        due = [port.number for port in self._timed if port.due <= now]
        if due:
            self.node.ready += due
            self.write_out(now)

    def _has_stood_still(self, now: int) -> None:
        """Be fair after a stall (a stopped process, a virtual machine that slept): the peers were not silent."""
        self.node.stood_still(now - self._turned_at, now)
        self._busy = True  # packets may have come during the stall: read them before the timers

    def _give_the_node_its_time(self, now: int) -> None:
        """Handle the node's timers that are due, and note the time of the next."""
        due = self.node.next_timer()
        if due is not None and due <= now:
            self.node.urgent = False
            self._path.handle_timer(now)
            self.write_out(now)
            due = self.node.next_timer()
        self._is_reviewed = True
        if any((time := wheel.next_timer()) is not None and time <= now for wheel in self._wheels):
            self._node_due = now  # more timers expired than a turn handles: go on after the next bursts
        else:
            # A timer that is still due is coarser than its time: ask again, but after a pause, or the loop would spin.
            self._node_due = _NEVER if due is None else max(due, now + _LEAST_PAUSE)

    def _lose_tun(self, error: TunGone) -> None:
        """Make the removed device anew; repeat until it succeeds."""
        self.tun_losses += 1
        log.error("%s; it is made again", error.strerror)
        self._tun_descriptor = _NONE
        self.tun.close()  # closing takes it out of the epoll set
        if self._reopen is None:
            raise error
        self._bring_back_tun(self.clock())

    def _bring_back_tun(self, now: int) -> None:
        assert self._reopen is not None
        try:
            self.tun = self._reopen()
        except Exception as failure:  # the links go on without the device: try again later
            if str(failure) != self._told_failure:  # it is tried each second
                self._told_failure = str(failure)
                log.error("the TUN device cannot be made: %s", failure)
            self._reopen_at = now + _REOPEN
        else:
            self._reopen_at, self._told_failure = _NEVER, ""
            self._watch_tun()
            log.warning("the TUN device is back")
