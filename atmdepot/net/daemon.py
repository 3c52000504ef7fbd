"""The process of a node: open links and devices, say READY, pump until told to stop, take back the set-up."""

from __future__ import annotations

import errno
import gc
import logging
import os
import signal
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import trio

from atmdepot import __version__, build
from atmdepot.net.administration import Administration
from atmdepot.net.alarms import log_alarms
from atmdepot.net.control import ControlServer
from atmdepot.net.event_log import about
from atmdepot.net.filler import Filler
from atmdepot.net.heap import keep_the_heap
from atmdepot.net.host import HostSetup
from atmdepot.net.host_parts import needs_of
from atmdepot.net.host_watch import HostWatch
from atmdepot.net.hosting import HostLoop
from atmdepot.net.kinds import kind_of, make_node
from atmdepot.net.noticing import Noticing
from atmdepot.net.notify import READY, STOPPING, notify
from atmdepot.net.offload_tun import open_tun
from atmdepot.net.ports import has_link, open_port
from atmdepot.net.pump import Pump
from atmdepot.net.scheduling import interrupt_nobody, wake_up_on_time
from atmdepot.net.tun import NoDevice, Tap
from atmdepot.paths import control_socket

if TYPE_CHECKING:
    from pathlib import Path

    from atmdepot.config.model import Network
    from atmdepot.config.units import TcpAddress
    from atmdepot.net.line_link import PortLink
    from atmdepot.net.status import StatusServer
    from atmdepot.net.tun import PacketDevice
    from atmdepot.node.node import Node

_YOUNG, _NEVER = 1_000, 2**31 - 1
_COLLECTION, _FEW = 60.0, 1_000
_SWITCH = 0.0005
"""A worker thread (a reload reads its table in a thread) returns the interpreter to the loop after this long (s)."""

log = logging.getLogger("atmdepot")


def run(network: Network, name: str, table: Path, metrics: TcpAddress | None = None) -> None:
    """Run a node of the VC table at `table` until SIGTERM or SIGINT.

    The metrics page is at `metrics`, or at the table's address; without an address there is no page. Raises
    EnvironmentLacks, before READY, when a device, a socket or a part of the set-up is not available.
    """
    keep_the_heap()
    node = make_node(network, name, time.monotonic_ns())
    with ExitStack() as stack:
        hang_ups = _take_signals(stack)
        links = _open_links(network, node, stack)
        setup = HostSetup(network, name)
        pump = Pump(node, links, _device_of(network, name), reopen=lambda: _open_tun(network, name, setup))
        stack.callback(lambda: pump.tun.close())  # late binding: the pump replaces a lost device
        stack.callback(pump.close)
        stack.callback(setup.undo)  # before `apply`, which may fail halfway
        setup.apply()
        pump.host = setup
        log.addFilter(pump.events)
        stack.callback(log.removeFilter, pump.events)
        administration = Administration(pump, table)
        control = ControlServer(control_socket(network.name, name), pump, administration)
        stack.callback(control.close)
        status = _open_status(metrics or network.nodes[name].metrics, pump)
        if status is not None:
            stack.callback(status.close)
        _calm_the_garbage_collector()
        gc.callbacks.append(pump.watchdog.collected)
        stack.callback(gc.callbacks.remove, pump.watchdog.collected)
        sys.setswitchinterval(_SWITCH)
        interrupt_nobody()
        wake_up_on_time()
        host = HostLoop(pump)
        node.start(pump.clock())
        pump.write_out(pump.clock())
        host.run(_run, pump, host, setup, control, administration, status, hang_ups)


def _take_signals(stack: ExitStack) -> list[int]:
    """Handle signals until trio listens for them; return the list that takes each SIGHUP.

    SIGTERM must take back the set-up before the process ends. SIGHUP must not end the process: the table was read
    before the signal came, so the reload is made later.
    """
    hang_ups: list[int] = []
    for number, handler in ((signal.SIGTERM, lambda *_: sys.exit(0)),
                            (signal.SIGHUP, lambda number, _: hang_ups.append(number))):
        stack.callback(signal.signal, number, signal.signal(number, handler))
    return hang_ups


def _open_links(network: Network, node: Node, stack: ExitStack) -> dict[str, PortLink]:
    """Open the links of a node, which the stack closes."""
    links: dict[str, PortLink] = {}
    for link in node.links:
        if not has_link(node, link):
            continue
        links[link] = open_port(network, link, node)
        stack.callback(links[link].close)
    return links


def _open_status(address: TcpAddress | None, pump: Pump) -> StatusServer | None:
    if address is None:
        return None
    from atmdepot.net.status import StatusServer  # prometheus-client takes 0.1 s to load: import it on demand

    return StatusServer(address, pump)


def _calm_the_garbage_collector() -> None:
    """Keep the collector from walking a million sessions at a time: they are no garbage, and hold no cycles.

    It walks young objects twice, some ten thousand objects at most each time: about a millisecond. It walks all objects
    only while they are few (`_collect_all`).
    """
    gc.collect()
    gc.freeze()  # the objects of the start live as long as the process: never walk them
    gc.set_threshold(_YOUNG, 10, _NEVER)


async def _collect_all(node: Node) -> None:
    """Collect old cycles now and then, while there are few sessions and flows."""
    while True:
        await trio.sleep(_COLLECTION)
        if sum(port.channels() for port in node.links.values()) <= _FEW:
            gc.collect()


def _device_of(network: Network, name: str) -> PacketDevice:
    """A node's TUN or TAP device, or a device without packets for a node that has none."""
    node = network.nodes[name]
    if not needs_of(network, name).device:
        return NoDevice()
    return open_tun(node.tun) if node.tap is None else Tap(node.tap)


def _open_tun(network: Network, name: str, setup: HostSetup | None = None) -> PacketDevice:
    """A device in place of a lost device, set up again; given `setup`, the watch over the host sets it up soon."""
    tun = _device_of(network, name)
    try:
        if setup is None:
            HostSetup(network, name).apply()
        else:
            setup.renew()
    except BaseException:
        tun.close()
        raise
    return tun


async def _run(
    pump: Pump, host: HostLoop, setup: HostSetup, control: ControlServer, administration: Administration,
    status: StatusServer | None, hang_ups: list[int],
) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(host.data_path)
            nursery.start_soon(HostWatch(setup).run)
            nursery.start_soon(_collect_all, pump.node)
            nursery.start_soon(control.run)
            nursery.start_soon(Filler(pump).run)
            nursery.start_soon(Noticing(pump).run)
            if status is not None:
                nursery.start_soon(status.run)
            for job in kind_of(pump.node).jobs:
                nursery.start_soon(job(pump.node, pump).run)
            nursery.start_soon(log_alarms(pump.node).run, pump.clock)
            log.info("started: %s, from %s", build.describe(), build.package(),
                     extra=about("started", pump.node.name, version=__version__, data_path=build.describe()))
            say_ready()
            notify(READY, f"STATUS={pump.node.name} of {pump.node.network.name}, {build.describe()}")
            if hang_ups:
                nursery.start_soon(administration.reload_on_signal_in_thread)
            async for number in signals:
                if number == signal.SIGHUP:
                    nursery.start_soon(administration.reload_on_signal_in_thread)
                    continue
                log.info("stopping on %s", signal.Signals(number).name,
                         extra=about("stopping", pump.node.name))
                notify(STOPPING)
                nursery.cancel_scope.cancel()
                break


def say_ready() -> None:
    """Print READY; a standard output that has no room, a file on a full disk say, keeps no node from its work."""
    try:
        sys.stdout.write("READY\n")
        sys.stdout.flush()
    except OSError as error:
        if error.errno == errno.EPIPE:  # who started the daemon has gone
            raise
        log.warning("READY cannot be printed: %s", error.strerror)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # its rest would fail again when Python exits
