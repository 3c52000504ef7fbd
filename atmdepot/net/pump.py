"""The pump: it moves bursts between descriptors and a node's data path.

trio is the interrupt, the burst is the poll: trio waits until a descriptor is readable; then everything that is there,
up to a bound, is read and handled in one go, and what came of it is written with as few system calls as can be.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import trio

from atmdepot.drops import DropReason
from atmdepot.net.tap import Taps
from atmdepot.net.tun import Tun, TunGone

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from atmdepot.atm.node import AtmNode
    from atmdepot.net.line_link import CellLink
    from atmdepot.net.tun import PacketDevice

_PACKETS_A_BURST = 128
_DATAGRAMS_A_BURST = 32
_TICK = 0.1
_REOPEN = 1.0

log = logging.getLogger("atmdepot")


class Pump:
    """One node's descriptors and its data path."""

    def __init__(
        self, node: AtmNode, links: Mapping[str, CellLink], tun: PacketDevice,
        reopen: Callable[[], PacketDevice] | None = None, clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Join a node to its links and its TUN device; `reopen` makes the device anew when it has vanished."""
        self.node = node
        self.links = links
        self.tun = tun
        self.clock = clock
        self.taps = Taps(node, self.queue_drops)
        self.tun_losses = 0
        self._reopen = reopen
        self._line_wakers = {name: trio.Event() for name in links}
        self._backlog_wakers = {name: trio.Event() for name in links}

    def queue_drops(self) -> int:
        """Packets that the kernel dropped because the TUN device's queue was full."""
        return self.tun.queue_drops() if isinstance(self.tun, Tun) else 0

    async def run(self) -> None:
        """Pump until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._pump_tun)
            nursery.start_soon(self._tick)
            for name, link in self.links.items():
                nursery.start_soon(self._pump_link, name, link)
                nursery.start_soon(self._run_line, name, link)
                nursery.start_soon(self._drain_backlog, name, link)

    async def _pump_tun(self) -> None:
        while True:
            try:
                await trio.lowlevel.wait_readable(self.tun.fileno())
                self.burst_from_tun()
            except TunGone as error:
                await self._bring_back_tun(error)

    def burst_from_tun(self) -> None:
        """Read, handle and write one burst of packets; raise TunGone."""
        now = self.clock()
        if self.taps.open:
            self.taps.begin_burst()
        try:
            for _ in range(_PACKETS_A_BURST):
                packet = self.tun.read()
                if packet is None:
                    break
                self.node.packet_from_tun(packet, now)
        finally:
            self.write_out(now)

    async def _pump_link(self, name: str, link: CellLink) -> None:
        while True:
            await trio.lowlevel.wait_readable(link.fileno())
            self.burst_from_link(name, link)

    def burst_from_link(self, name: str, link: CellLink) -> None:
        """Read, handle and write one burst of datagrams."""
        now = self.clock()
        if self.taps.open:
            self.taps.begin_burst()
        for _ in range(_DATAGRAMS_A_BURST):
            cells = link.receive()
            if cells is None:
                break
            if cells:
                if self.taps.open:
                    self.taps.cells(name, "in", cells)
                self.node.cells_from_link(name, cells, now)
        self.write_out(now)

    def write_out(self, now: int) -> None:
        """Send the cells and packets that a burst has made."""
        if self.taps.open:
            self.taps.begin_burst()
        for name, adaptation in self.node.links.items():
            if adaptation.cells_out:
                self._send(name, adaptation.take_cells(), now)
        for packet in self.node.take_packets():
            self._write(packet)

    def _send(self, name: str, cells: bytes, now: int) -> None:
        link = self.links[name]
        if self.taps.open:
            self.taps.cells(name, "out", cells)
        link.send(cells, now)
        if link.wants_write:
            self._backlog_wakers[name].set()
        if link.next_timer() is not None:
            self._line_wakers[name].set()

    def _write(self, packet: bytes) -> None:
        try:
            taken = self.tun.write(packet)
        except TunGone:
            taken = False
        if not taken:
            self.node.drops.count(DropReason.TUN_ERROR, 1, packet)

    async def _run_line(self, name: str, link: CellLink) -> None:
        """Let the cells of a link with a rate or a delay out when they are due."""
        while True:
            due = link.next_timer()
            if due is None:
                await self._line_wakers[name].wait()
                self._line_wakers[name] = trio.Event()
                continue
            await trio.sleep(max(0, due - self.clock()) / 1e9)
            if self.taps.open:
                self.taps.begin_burst()
            link.handle_timer(self.clock())
            if link.wants_write:
                self._backlog_wakers[name].set()

    async def _drain_backlog(self, name: str, link: CellLink) -> None:
        """Send what found the socket's buffer full, as soon as there is room."""
        while True:
            await self._backlog_wakers[name].wait()
            self._backlog_wakers[name] = trio.Event()
            while link.wants_write:
                await trio.lowlevel.wait_writable(link.fileno())
                if self.taps.open:
                    self.taps.begin_burst()
                link.flush()

    async def _tick(self) -> None:
        """Give the node its time; nothing in it is due more finely than this."""
        while True:
            await trio.sleep(_TICK)
            now = self.clock()
            if self.taps.open:
                self.taps.begin_burst()
                self.taps.look_at_the_queue()
            due = self.node.next_timer()
            if due is not None and due <= now:
                self.node.handle_timer(now)
                self.write_out(now)

    async def _bring_back_tun(self, error: TunGone) -> None:
        """The device was removed: make it anew, as often as it takes."""
        self.tun_losses += 1
        log.error("%s; making it anew", error.strerror)
        self.tun.close()
        if self._reopen is None:
            raise error
        while True:
            try:
                self.tun = await trio.to_thread.run_sync(self._reopen)
            except Exception as failure:
                log.error("the TUN device cannot be made: %s", failure)
                await trio.sleep(_REOPEN)
            else:
                log.warning("the TUN device is back")
                return
