"""The host loop: a real pump over sockets of loopback, with trio as its guest."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from atmdepot.net.hosting import HostLoop
from atmdepot.net.kinds import make_node
from atmdepot.net.ports import open_port
from atmdepot.net.pump import Pump
from atmdepot.net.tun import SocketTun, TunGone
from tests.net.ends import PATIENCE, Plain, wait_readable
from tests.net.nodes import ACK, DEPOT, WEB1, Connection, network, outer, until

if TYPE_CHECKING:
    from collections.abc import Iterator


class Site:
    """A depot's pump; the far end of its link to web1 is a plain socket.

    Its node's timers are so late that a test fails if trio, or a packet, has to wait for them.
    """

    def __init__(self) -> None:
        table = network()
        node = make_node(table, DEPOT, time.monotonic_ns())
        self._stack = ExitStack()
        links = {link: open_port(table, link, node) for link in node.links}
        for link in links.values():
            self._stack.callback(link.close)
        self.pump = Pump(node, links, SocketTun())
        self._stack.callback(self.pump.tun.close)
        self._stack.callback(self.pump.close)
        self.pump._node_due = time.monotonic_ns() + round(4 * PATIENCE * 1e9)
        ends = table.links["to-web1"].ends
        self.far = Plain(ends[WEB1], ends[DEPOT])
        self._stack.callback(self.far.close)

    def pass_packet(self, packet: bytes) -> None:
        """Put a packet into the TUN device, and wait for its cells."""
        outer(self.pump).send(packet)
        wait_readable(self.far.socket.fileno())
        assert packet in self.far.drain()

    def feed(self, descriptor: int) -> None:
        """Keep the pump busy: with a descriptor that can always be read, whose handler puts a packet into the TUN."""
        talk = Connection(40_000)
        outer(self.pump).send(talk.syn)

        def handle(_: int) -> None:
            outer(self.pump).send(talk.ack)
            self.far.drain()

        self.pump.watch(descriptor, handle)

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.close()


def descriptors() -> dict[str, str]:
    """The open descriptors."""
    found = {}
    for path in Path("/proc/self/fd").iterdir():
        try:
            found[path.name] = str(path.readlink())
        except FileNotFoundError:  # that of the listing itself
            continue
    return found


async def use_trio(rounds: int) -> None:
    """Whatever a task may wait for: other tasks, time, descriptors, threads."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
    with trio.fail_after(PATIENCE), ours, theirs:
        for _ in range(rounds):
            event = trio.Event()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(event.wait)
                event.set()
            await trio.sleep(0.0001)
            theirs.send(b"x")
            await trio.lowlevel.wait_readable(ours)
            assert ours.recv(10) == b"x"
            assert await trio.to_thread.run_sync(threading.get_ident) != threading.get_ident()


# Both run.


def test_trio_runs_while_the_pump_is_idle(site: Site) -> None:
    host = HostLoop(site.pump)

    async def main() -> str:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(host.data_path)
            await use_trio(30)
            nursery.cancel_scope.cancel()
        return "done"

    assert host.run(main) == "done"
    assert site.pump.node.rx_packets == 0


def test_trio_runs_while_the_pump_is_busy(site: Site) -> None:
    host = HostLoop(site.pump)
    always = os.eventfd(1)
    site.feed(always)

    async def main() -> int:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(host.data_path)
            await use_trio(1)
            before = site.pump.node.rx_packets
            await use_trio(30)
            during = site.pump.node.rx_packets - before
            await until(lambda: site.pump.node.rx_packets > before + 500)
            nursery.cancel_scope.cancel()
        return during

    assert host.run(main) > 0
    assert site.pump.node.drops == {}
    os.close(always)


def test_packets_pass_while_trio_waits(site: Site) -> None:
    """All of trio waits for one thread, in which a connection's packets go in, and their cells come out."""
    host = HostLoop(site.pump)
    talk = Connection(40_000)

    def pass_packets() -> None:
        for packet in (talk.syn, *(talk.up(ACK, 1001, 5001, bytes([number])) for number in range(50))):
            site.pass_packet(packet)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(host.data_path)
            await trio.to_thread.run_sync(pass_packets)
            nursery.cancel_scope.cancel()

    host.run(main)
    assert site.pump.node.rx_packets == 51


def test_packets_pass_in_bursts_while_trio_is_busy(site: Site) -> None:
    host = HostLoop(site.pump)
    talk = Connection(40_000)

    def pass_packets() -> None:
        for number in range(50):
            site.pass_packet(talk.up(ACK, 1001, 5001, bytes([number])))

    async def main() -> int:
        turns = 0
        done = trio.Event()

        async def others() -> None:
            await trio.to_thread.run_sync(pass_packets)
            done.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(host.data_path)
            await trio.to_thread.run_sync(site.pass_packet, talk.syn)
            nursery.start_soon(others)
            while not done.is_set():
                turns += 1
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        return turns

    assert host.run(main) > 50
    assert site.pump.node.rx_packets == 51


def test_nothing_passes_before_the_data_path_begins(site: Site) -> None:
    host = HostLoop(site.pump)
    talk = Connection(40_000)
    outer(site.pump).send(talk.syn)

    async def main() -> None:
        await use_trio(3)
        assert site.pump.node.rx_packets == 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(host.data_path)
            await until(lambda: site.pump.node.rx_packets == 1)
            nursery.cancel_scope.cancel()

    host.run(main)
    assert talk.syn in site.far.drain()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_wakes_an_idle_host(site: Site, number: signal.Signals) -> None:
    host = HostLoop(site.pump)
    before = signal.getsignal(number)

    async def main() -> int:
        with trio.open_signal_receiver(number) as signals, trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(host.data_path)
                nursery.start_soon(trio.to_thread.run_sync, os.kill, os.getpid(), number)
                async for received in signals:
                    nursery.cancel_scope.cancel()
                    return received
        raise AssertionError

    assert host.run(main) == number
    assert signal.getsignal(number) is before


# Ends.


def test_the_result_of_main_is_returned() -> None:
    site = Site()
    host = HostLoop(site.pump)
    result = object()

    async def main(*arguments: object) -> tuple[object, ...]:
        return arguments

    assert host.run(main, result, 2) == (result, 2)
    site.close()


def test_an_exception_of_main_is_raised(site: Site) -> None:
    class OurError(Exception):
        pass

    error = OurError("of main")

    async def main() -> None:
        await use_trio(1)
        raise error

    with pytest.raises(OurError) as raised:
        HostLoop(site.pump).run(main)
    assert raised.value is error


def test_a_failure_of_the_data_path_ends_all_in_order(site: Site) -> None:
    """The tasks are cancelled and take back what they did before `run` raises."""
    host = HostLoop(site.pump)
    order: list[str] = []

    async def other() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await use_trio(3)
            order.append("taken back")

    async def main() -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(other)
                nursery.start_soon(host.data_path)
                await trio.to_thread.run_sync(site.pass_packet, Connection(40_000).syn)
                outer(site.pump).close()
        finally:
            order.append("main ends")

    with pytest.raises(ExceptionGroup) as raised:
        host.run(main)
    [gone] = raised.value.exceptions
    assert isinstance(gone, TunGone)
    assert order == ["taken back", "main ends"]
    assert site.pump.tun_losses == 1


def test_a_failure_comes_out_where_the_data_path_is_awaited(site: Site) -> None:
    """Its awaiter may catch it; trio goes on, and so does the rest of the data path."""
    host = HostLoop(site.pump)

    async def main() -> str:
        outer(site.pump).close()
        with trio.fail_after(PATIENCE), pytest.raises(TunGone, match="the other end is closed"):
            await host.data_path()
        await use_trio(10)
        site.far.send(b"no cells")
        await until(lambda: site.pump.node.links["to-web1"].drops)
        return "went on"

    assert host.run(main) == "went on"


def test_a_failure_from_before_the_data_path_is_awaited_is_not_lost(site: Site) -> None:
    host = HostLoop(site.pump)
    ready = os.eventfd(1)

    def fail(_: int) -> None:
        os.eventfd_read(ready)
        raise ZeroDivisionError

    async def main() -> None:
        site.pump.watch(ready, fail)
        await until(lambda: not select.select([ready], [], [], 0)[0])
        with trio.fail_after(PATIENCE):
            await host.data_path()

    with pytest.raises(ZeroDivisionError):
        host.run(main)
    os.close(ready)


@pytest.mark.parametrize("ending", ["returns", "raises", "fails"])
def test_all_descriptors_are_closed_at_the_end(ending: str) -> None:
    async def main(host: HostLoop, site: Site) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(host.data_path)
            await use_trio(1)
            if ending == "fails":
                outer(site.pump).close()
                await trio.sleep_forever()
            if ending == "raises":
                raise ZeroDivisionError
            nursery.cancel_scope.cancel()

    before = descriptors()
    site = Site()
    with_site = descriptors()
    host = HostLoop(site.pump)
    if ending == "returns":
        host.run(main, host, site)
        assert descriptors() == with_site, "the pump's are its owner's to close"
    else:
        with pytest.raises(ExceptionGroup):
            host.run(main, host, site)
    site.close()
    assert descriptors() == before


def test_a_second_run_after_the_first(site: Site) -> None:
    talk = Connection(40_000)

    async def main(host: HostLoop, packet: bytes) -> bytes:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(host.data_path)
            await trio.to_thread.run_sync(site.pass_packet, packet)
            await use_trio(3)
            nursery.cancel_scope.cancel()
        return packet

    for packet in (talk.syn, talk.ack, talk.up(ACK, 1001, 5001, b"x")):
        host = HostLoop(site.pump)
        assert host.run(main, host, packet) == packet
    assert site.pump.node.rx_packets == 3


def test_trio_runs_as_ever_after_a_host_has() -> None:
    """Nothing of the guest stays behind: neither its place as the loop of this thread, nor its handling of signals."""
    site = Site()
    host = HostLoop(site.pump)
    before = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(before)
    host.run(use_trio, 1)
    site.close()
    trio.run(use_trio, 1)
    after = signal.set_wakeup_fd(before)
    assert after == before
