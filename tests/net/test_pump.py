"""The pump, its descriptors and its timers: depot and edges in one process, over real UDP sockets of loopback."""

from __future__ import annotations

import errno
import select
import socket
import time
from typing import TYPE_CHECKING

import pytest
import trio

from atmdepot.atm.line import Line
from atmdepot.drops import DropReason
from atmdepot.net import bursts
from atmdepot.net.events import Cells
from atmdepot.net.kinds import make_node
from atmdepot.net.line_link import LineLink, PortLink
from atmdepot.net.pump import Pump
from atmdepot.net.tap import Tap, Taps
from atmdepot.net.tun import SocketTun, TunGone
from atmdepot.wire.cell import CELL_SIZE
from tests.net.ends import PATIENCE, cells_of, is_readable
from tests.net.nodes import (
    ACK,
    CLIENT,
    CLIENT6,
    DEPOT,
    FIN,
    PSH,
    RST,
    VIP,
    VIP6,
    WEB1,
    WEB2,
    Connection,
    Nodes,
    ip_packet,
    network,
    outer,
    packet_from,
    ping,
    until,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from trio.testing import MockClock

SECOND = 1_000_000_000


def mock_time() -> int:
    """The pump's clock where trio's is a mock one."""
    return round(trio.current_time() * 1e9)


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., Nodes]]:
    """Makes and starts the nodes of a network, and stops and closes them."""
    made: list[Nodes] = []

    def make(**settings: str) -> Nodes:
        made.append(Nodes(network(**settings)))
        made[-1].start(nursery)
        return made[-1]

    async with trio.open_nursery() as nursery:
        yield make
        nursery.cancel_scope.cancel()
    for nodes in made:
        nodes.close()


@pytest.fixture
async def nodes(start: Callable[..., Nodes]) -> Nodes:
    return start()


# Packets.


@pytest.mark.parametrize(("client", "vip"), [(CLIENT, VIP), (CLIENT6, VIP6)], ids=["IPv4", "IPv6"])
async def test_a_connection_passes_octet_for_octet(nodes: Nodes, client: str, vip: str) -> None:
    talk = Connection(40_000, client, vip)
    page = bytes(range(256)) * 5
    steps = [
        (DEPOT, WEB1, talk.syn), (WEB1, DEPOT, talk.syn_ack), (DEPOT, WEB1, talk.ack),
        (DEPOT, WEB1, talk.up(PSH | ACK, 1001, 5001, b"GET /", tos=0x28)),
        (WEB1, DEPOT, talk.down(PSH | ACK, 5001, 1006, page)),
        (WEB1, DEPOT, talk.down(FIN | ACK, 5001 + len(page), 1006)),
        (DEPOT, WEB1, talk.up(FIN | ACK, 1006, 5002 + len(page))),
        (WEB1, DEPOT, talk.down(ACK, 5002 + len(page), 1007)),
    ]
    for here, there, packet in steps:
        nodes.put(here, packet)
        assert await nodes.get(there) == packet
    assert all(nodes.get_nothing(name) for name in nodes.pumps)
    depot, web1 = nodes.pumps[DEPOT].node, nodes.pumps[WEB1].node
    assert [node.drops + node.links["to-web1"].drops for node in (depot, web1)] == [{}, {}]
    assert (depot.rx_packets, depot.tx_packets, web1.rx_packets, web1.tx_packets) == (4, 4, 4, 4)
    # One VC for the session, the same both ways.
    for node in (depot, web1):
        [vc] = [vc for vc in node.links["to-web1"].table if vc.vci > 33]
        assert (vc.vpi, vc.vci, vc.tx_pdus, vc.rx_pdus) == (1, 64, 4, 4)


async def test_sessions_alternate_and_stay(nodes: Nodes) -> None:
    talks = [Connection(40_000 + number) for number in range(6)]
    nodes.put(DEPOT, *(talk.syn for talk in talks))
    for server, mine in ((WEB1, talks[::2]), (WEB2, talks[1::2])):
        assert [await nodes.get(server) for _ in mine] == [talk.syn for talk in mine]
    nodes.put(DEPOT, *(talk.ack for talk in reversed(talks)))
    for server, mine in ((WEB1, talks[::2]), (WEB2, talks[1::2])):
        assert [await nodes.get(server) for _ in mine] == [talk.ack for talk in reversed(mine)]


async def test_more_packets_than_a_burst_keep_their_order(nodes: Nodes) -> None:
    talk = Connection(40_000)
    nodes.put(DEPOT, talk.syn)
    assert await nodes.get(WEB1) == talk.syn
    packets = [talk.up(ACK, 1001 + number, 5001, bytes([number % 256]) * (1 + number * 7 % 1400))
               for number in range(700)]
    nodes.put(DEPOT, *packets)
    assert [await nodes.get(WEB1) for _ in packets] == packets


async def test_ping_goes_over_the_default_vc(nodes: Nodes) -> None:
    packet = ping()
    nodes.put(DEPOT, packet)
    at = DEPOT
    with trio.fail_after(20):
        while at == DEPOT:
            at = next((server for server in (WEB1, WEB2) if nodes.pumps[server].node.tx_packets), DEPOT)
            await trio.sleep(0.001)
    assert await nodes.get(at) == packet
    answer = ip_packet(VIP, CLIENT, 1, bytes(8) + packet[28:])
    nodes.put(at, answer)
    assert await nodes.get(DEPOT) == answer
    vcs = {vc.vci: (vc.tx_pdus, vc.rx_pdus) for vc in nodes.pumps[at].node.links[f"to-{at}"].table}
    assert vcs == {32: (1, 1), 33: (0, 0)}


async def test_a_packet_too_big_for_the_path_is_answered(start: Callable[..., Nodes]) -> None:
    nodes = start(vp="mtu = 1400")
    talk = Connection(40_000)
    nodes.put(DEPOT, talk.syn, talk.up(ACK, 1001, 5001, bytes(1361)), talk.up(ACK, 1001, 5001, bytes(1360)))
    assert await nodes.get(WEB1) == talk.syn
    assert len(await nodes.get(WEB1)) == 1400
    error = await nodes.get(DEPOT)
    assert (error[9], error[16:20], error[20:22], error[26:28]) == (
        1, socket.inet_aton(CLIENT), b"\x03\x04", (1400).to_bytes(2, "big"))
    assert +nodes.pumps[DEPOT].node.drops == {DropReason.TOO_BIG: 1}


async def test_octets_that_are_no_packet_are_counted(nodes: Nodes) -> None:
    talk = Connection(40_000)
    nodes.put(DEPOT, b"\x00", bytes(40), b"\x75" + bytes(39), talk.syn[:30], talk.syn[:19], b"\x60" + bytes(20),
              talk.syn)
    assert await nodes.get(WEB1) == talk.syn
    drops = nodes.pumps[DEPOT].node.drops
    assert drops == {DropReason.NOT_IP: 3, DropReason.MALFORMED: 3}


async def test_a_packet_of_no_session_is_counted(nodes: Nodes) -> None:
    talk = Connection(40_000)
    nodes.put(DEPOT, talk.ack, Connection(40_001, vip="10.80.0.9").syn, talk.syn)
    assert await nodes.get(WEB1) == talk.syn
    assert nodes.pumps[DEPOT].node.drops == {DropReason.NO_SESSION: 1, DropReason.NOT_A_SERVICE: 1}
    nodes.put(WEB2, talk.syn_ack)
    await until(lambda: nodes.pumps[DEPOT].node.drops[DropReason.WRONG_PATH])
    assert nodes.get_nothing(DEPOT)


# Links.


class Link(PortLink):
    """A link in memory that can be full; its descriptor is one end of a pair of sockets."""

    def __init__(self) -> None:
        self._mine, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self._mine, self.far):
            end.setblocking(False)
        self.sent: list[tuple[int, bytes]] = []
        self.waiting: list[bytes] = []
        self.full = False

    def fileno(self) -> int:
        return self._mine.fileno()

    def wants_write(self) -> bool:
        return bool(self.waiting)

    def send(self, cells: bytes, now: int) -> None:
        if self.full:
            self.waiting.append(cells)
        else:
            self.sent.append((now, cells))

    def flush(self) -> None:
        self.sent += [(mock_time(), cells) for cells in self.waiting]
        self.waiting.clear()

    def receive_burst(self, most: int) -> list[bytes]:
        return bursts.read_packets(self._mine.fileno(), most)[0]

    def next_timer(self) -> int | None:
        return None

    def handle_timer(self, now: int) -> None:
        pass

    def close(self) -> None:
        self._mine.close()
        self.far.close()


class Memory:
    """The depot of a network on links in memory, with trio's clock."""

    def __init__(self, nursery: trio.Nursery, **settings: str) -> None:
        self._nursery = nursery
        table = network(**settings)
        self.node = make_node(table, DEPOT, mock_time())
        self.links = {name: Link() for name in self.node.links}
        lines = {name: link.line_from(DEPOT) for name, link in table.links.items()}
        self.pump = Pump(self.node, {
            name: LineLink(link, Line(lines[name], self.node.links[name].drops))
            if lines[name].timed else link for name, link in self.links.items()}, SocketTun(), clock=mock_time)

    def start(self) -> None:
        self._nursery.start_soon(self.pump.run)

    def replace_tun(self, tun: SocketTun) -> SocketTun:
        self.pump.tun.close()
        self.pump.tun = tun
        return tun

    def close(self) -> None:
        self.pump.close()
        self.pump.tun.close()
        for link in self.links.values():
            link.close()


@pytest.fixture
async def memory() -> AsyncIterator[Callable[..., Memory]]:
    made: list[Memory] = []

    def make(**settings: str) -> Memory:
        made.append(Memory(nursery, **settings))
        return made[-1]

    async with trio.open_nursery() as nursery:
        yield make
        nursery.cancel_scope.cancel()
    for one in made:
        one.close()


async def test_a_delayed_link_lets_cells_out_exactly_when_they_are_due(
    autojump_clock: MockClock, memory: Callable[..., Memory],
) -> None:
    it = memory(link='delay = "1500ms"')
    it.start()
    first, second = Connection(40_000), Connection(40_002)
    began = mock_time()
    outer(it.pump).send(first.syn)
    await trio.sleep(0.4)
    outer(it.pump).send(first.ack)
    outer(it.pump).send(second.syn)
    await trio.sleep(10)
    at = [now - began for now, _ in it.links["to-web1"].sent]
    assert at == pytest.approx([1.5 * SECOND, 1.9 * SECOND], abs=1000)
    assert [now - began for now, _ in it.links["to-web2"].sent] == pytest.approx([1.9 * SECOND], abs=1000)


async def test_a_line_that_falls_silent_wakes_again(autojump_clock: MockClock, memory: Callable[..., Memory]) -> None:
    it = memory(link='delay = "10ms"')
    it.start()
    talk = Connection(40_000)
    sent = []
    for packet in (talk.syn, talk.ack, talk.up(ACK, 1001, 5001, b"x")):
        outer(it.pump).send(packet)
        await trio.sleep(60)
        sent.append(len(it.links["to-web1"].sent))
    assert sent == [1, 2, 3]


async def test_sessions_and_pdus_expire(autojump_clock: MockClock, memory: Callable[..., Memory]) -> None:
    it = memory(top='sessions = { half_open = "10s", idle = "60s", two_msl = "30s" }\n'
                     'reassembly = { timeout = "2s" }')
    it.start()
    tables = it.node.sessions
    outer(it.pump).send(Connection(40_000).syn)
    await trio.sleep(0.05)
    assert (len(tables.primary), len(tables.secondary)) == (1, 0)
    await trio.sleep(8)
    assert (len(tables.primary), len(tables.secondary)) == (1, 0)
    await trio.sleep(4)
    assert (len(tables.primary), len(tables.secondary)) == (0, 1)
    await trio.sleep(26)
    assert (len(tables.primary), len(tables.secondary)) == (0, 1)
    await trio.sleep(6)
    assert (len(tables.primary), len(tables.secondary)) == (0, 0)

    drops = it.node.links["to-web1"].drops
    header = next(iter(it.node.links["to-web1"].table)).headers[0][0]
    it.links["to-web1"].far.send(header + bytes(48))
    await trio.sleep(1.5)
    assert drops == {}
    await trio.sleep(1)
    assert drops == {DropReason.REASSEMBLY_TIMEOUT: 1}


async def test_cells_that_found_the_buffer_full_go_when_there_is_room(
    autojump_clock: MockClock, memory: Callable[..., Memory],
) -> None:
    it = memory()
    it.start()
    link = it.links["to-web1"]
    link.full = True
    link._mine.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    filled = 0
    while _send(link._mine):
        filled += 1
    outer(it.pump).send(Connection(40_000).syn)
    await trio.sleep(5)
    assert (len(link.waiting), link.sent) == (1, [])
    for _ in range(filled):
        link.far.recv(10)
    await trio.sleep(1)
    assert (link.waiting, len(link.sent)) == ([], 1)
    # And once more: the pump waits for the next time.
    outer(it.pump).send(Connection(40_002).syn)
    outer(it.pump).send(Connection(40_003).syn)
    await trio.sleep(1)
    assert (link.waiting, len(link.sent)) == ([], 2)


def _send(end: socket.socket) -> bool:
    try:
        end.send(b"x" * 10)
    except BlockingIOError:
        return False
    return True


async def test_a_flood_on_one_descriptor_does_not_stop_the_others(memory: Callable[..., Memory]) -> None:
    class Endless(SocketTun):
        given = 0

        def read_burst(self, most: int) -> list[bytes]:
            self.given += most
            assert self.given < 200_000, "nobody else gets a turn"
            return [b"\x00"] * most

    it = memory()
    flood = it.replace_tun(Endless())
    flood.outer.send(b"x")
    it.start()
    await until(lambda: flood.given > 1000)
    it.links["to-web1"].far.send(cells_of(3))
    await until(lambda: it.node.links["to-web1"].rx_cells == 3)
    assert it.node.drops[DropReason.NOT_IP] == flood.given


# The TUN device.


class Vanishing(SocketTun):
    """A device that is removed as soon as somebody reads it."""

    def read_burst(self, most: int) -> list[bytes]:
        raise TunGone(errno.EBADFD, "the TUN device is gone: removed")


async def test_a_tun_that_vanishes_is_made_anew(
    autojump_clock: MockClock, memory: Callable[..., Memory], caplog: pytest.LogCaptureFixture,
) -> None:
    it = memory()
    gone, new = it.replace_tun(Vanishing()), SocketTun()
    failures = iter([OSError("not yet"), RuntimeError("nor now")])
    tried: list[int] = []

    def reopen() -> SocketTun:
        tried.append(mock_time())
        if (error := next(failures, None)) is not None:
            raise error
        return new

    it.pump._reopen = reopen
    it.start()
    gone.outer.send(b"x")
    await until(lambda: it.pump.tun is new, 1000)
    assert (it.pump.tun_losses, gone.fileno()) == (1, -1)
    assert caplog.messages == [
        "the TUN device is gone: removed; it is made again", "the TUN device cannot be made: not yet",
        "the TUN device cannot be made: nor now", "the TUN device is back"]
    # At once, and then once a second, by a clock that ticks every tenth.
    assert [later - tried[0] for later in tried] == pytest.approx([0, SECOND, 2 * SECOND], abs=0.15 * SECOND)
    new.outer.send(Connection(40_000).syn)
    await until(lambda: len(it.links["to-web1"].sent) == 1, 1000)


async def test_while_the_tun_is_gone_links_and_timers_go_on(
    autojump_clock: MockClock, memory: Callable[..., Memory],
) -> None:
    def never() -> SocketTun:
        raise OSError("not yet")

    it = memory(top='reassembly = { timeout = "2s" }')
    it.replace_tun(Vanishing()).outer.send(b"x")
    it.pump._reopen = never
    it.start()
    await until(lambda: it.pump.tun_losses)
    header = next(iter(it.node.links["to-web1"].table)).headers[0][0]
    it.links["to-web1"].far.send(header + bytes(48))
    await until(lambda: it.node.links["to-web1"].drops)
    assert it.node.links["to-web1"].drops == {DropReason.REASSEMBLY_TIMEOUT: 1}


async def test_a_tun_that_cannot_be_made_for_long_is_told_once(
    autojump_clock: MockClock, memory: Callable[..., Memory], caplog: pytest.LogCaptureFixture,
) -> None:
    it = memory()
    it.replace_tun(Vanishing()).outer.send(b"x")
    tried: list[int] = []

    def never() -> SocketTun:
        tried.append(mock_time())
        raise OSError("not yet")

    it.pump._reopen = never
    it.start()
    await until(lambda: len(tried) == 10, 1000)
    assert caplog.messages[1:] == ["the TUN device cannot be made: not yet"]


async def test_packets_read_before_the_device_vanished_are_sent(memory: Callable[..., Memory]) -> None:
    """A burst tells of a device that is gone only when it has nothing else (see test_tun.py)."""
    it = memory()
    outer(it.pump).send(Connection(40_000).syn)
    outer(it.pump).close()
    it.pump.burst_from_tun()
    assert len(it.links["to-web1"].sent) == 1
    with pytest.raises(TunGone):
        it.pump.burst_from_tun()


async def test_without_a_way_to_make_it_the_pump_ends(memory: Callable[..., Memory]) -> None:
    it = memory()
    it.replace_tun(Vanishing())
    outer(it.pump).send(b"x")
    with pytest.raises(TunGone):
        await it.pump.run()
    assert it.pump.tun_losses == 1
    it.replace_tun(SocketTun())


@pytest.mark.parametrize("vanished", [False, True])
async def test_packets_that_the_tun_refuses_are_counted(nodes: Nodes, vanished: bool) -> None:
    class Refusing(SocketTun):
        """All, as a device that has gone, or only what begins a connection."""

        def write_burst(self, packets: list[bytes]) -> list[bytes]:
            refused = [packet for packet in packets if vanished or packet == talk.syn]
            assert super().write_burst([packet for packet in packets if packet not in refused]) == []
            return refused

    web1 = nodes.pumps[WEB1]
    real, web1.tun = web1.tun, Refusing()
    talk = Connection(40_000)
    nodes.put(DEPOT, talk.syn, talk.ack)
    refused = 2 if vanished else 1
    await until(lambda: web1.node.drops[DropReason.TUN_ERROR] == refused and web1.node.tx_packets == 2)
    if not vanished:
        assert await packet_from(web1) == talk.ack
    web1.tun.close()
    web1.tun = real
    nodes.put(DEPOT, talk.ack)
    assert await packet_from(web1) == talk.ack
    assert web1.node.drops == {DropReason.TUN_ERROR: refused}


# Turns.


async def test_a_turn_does_what_is_ready_and_no_more(memory: Callable[..., Memory]) -> None:
    it = memory()
    it.pump.start()
    it.pump.turn(0)
    assert (it.node.rx_packets, it.node.links["to-web1"].rx_cells) == (0, 0)
    for number in range(150):
        outer(it.pump).send(bytes(20 + number))
    for _ in range(40):
        it.links["to-web1"].far.send(cells_of(1))
    assert is_readable(it.pump.fileno()), "whoever waits for the pump waits for its epoll set"
    it.pump.turn(0)
    assert (it.node.rx_packets, it.node.links["to-web1"].rx_cells) == (128, 32), "a burst of each descriptor"
    it.pump.turn(0)
    assert (it.node.rx_packets, it.node.links["to-web1"].rx_cells) == (150, 40)
    assert not is_readable(it.pump.fileno())


async def test_before_it_starts_a_pump_only_keeps_time(memory: Callable[..., Memory]) -> None:
    it = memory()
    outer(it.pump).send(Connection(40_000).syn)
    it.pump.turn(0)
    assert it.node.rx_packets == 0
    it.pump.start()
    it.pump.start()
    it.pump.turn(0)
    assert it.node.rx_packets == 1


async def test_a_turn_waits_no_longer_than_it_may(autojump_clock: MockClock, memory: Callable[..., Memory]) -> None:
    it = memory(link='delay = "30ms"')
    it.pump.start()
    assert it.pump.next_timer() == mock_time(), "the node's timers, which nobody has looked at yet"
    it.pump.turn(0)
    assert it.pump.next_timer() > mock_time() + 3600 * SECOND, "an idle node sleeps"
    outer(it.pump).send(Connection(40_000).syn)
    it.pump.turn(PATIENCE)
    assert it.pump.next_timer() == mock_time() + 30_000_000, "the line"
    await trio.sleep(0.029)
    it.pump.turn(0)
    assert it.links["to-web1"].sent == []
    await trio.sleep(0.002)
    it.pump.turn(0)
    assert len(it.links["to-web1"].sent) == 1


async def test_an_idle_node_is_woken_when_its_next_timer_is_due_and_not_before(
        autojump_clock: MockClock, memory: Callable[..., Memory]) -> None:
    it = memory(top='sessions = { half_open = "5s" }')
    it.pump.start()
    it.pump.turn(0)
    outer(it.pump).send(Connection(40_000).syn)
    it.pump.turn(PATIENCE)
    assert it.pump.next_timer() == mock_time() + SECOND // 10, "the SYN may have set a timer"
    await trio.sleep(0.1)
    it.pump.turn(0)
    due = it.node.next_timer()
    assert due is not None
    assert it.pump.next_timer() == due
    await trio.sleep((due - mock_time()) / 1e9 - 0.001)
    it.pump.turn(0)
    assert len(it.node.sessions.primary) == 1
    await trio.sleep(0.001)
    it.pump.turn(0)
    assert it.node.next_timer() != due


async def test_a_pump_looks_at_what_others_ask_it_to(memory: Callable[..., Memory]) -> None:
    it = memory()
    ours, theirs = socket.socketpair()
    seen: list[tuple[int, bytes]] = []
    it.pump.watch(ours.fileno(), lambda events: seen.append((events, ours.recv(10))))
    it.pump.turn(0)
    theirs.send(b"wake")
    it.pump.turn(PATIENCE)
    it.pump.turn(0)
    assert seen == [(select.EPOLLIN, b"wake")]
    for end in (ours, theirs):
        end.close()
    outer(it.pump).send(b"x")
    it.pump.start()
    it.pump.turn(0)
    assert it.node.rx_packets == 1, "a descriptor that is closed is no longer looked at"


async def test_what_a_handler_has_to_send_leaves_in_its_turn(memory: Callable[..., Memory]) -> None:
    it = memory()
    ours, theirs = socket.socketpair()
    it.pump.start()
    it.pump.watch(ours.fileno(), lambda _events: it.node.start(it.pump.clock()) if ours.recv(10) else None)
    it.pump.turn(0)
    theirs.send(b"wake")
    it.pump.turn(PATIENCE)
    assert it.node.recall.recalls == 1
    assert it.node.ready == []
    assert it.node.links["to-web1"].tx_cells == 1
    assert it.node.links["to-web1"].transmit(it.pump.clock()) == b"", "the question has left"
    for end in (ours, theirs):
        end.close()


# The taps.


async def test_a_tap_sees_the_cells_of_both_directions(nodes: Nodes) -> None:
    pump = nodes.pumps[DEPOT]
    tap = Tap(drops=False, sessions=False)
    pump.taps.add(tap)
    talk = Connection(40_000)
    before = time.time_ns()
    nodes.put(DEPOT, talk.syn)
    await nodes.get(WEB1)
    nodes.put(WEB1, talk.syn_ack)
    await nodes.get(DEPOT)
    seen = [record for record in tap.take(10**6) if isinstance(record, Cells)]
    assert [(one.link, one.direction, len(one.octets) // CELL_SIZE) for one in seen] == [
        ("to-web1", "out", 1), ("to-web1", "in", 1)]
    assert [talk.syn in one.octets for one in seen] == [True, False]
    assert before <= seen[0].time <= seen[1].time <= time.time_ns()
    pump.taps.remove(tap)
    nodes.put(DEPOT, talk.up(RST, 1001))
    assert len(await nodes.get(WEB1)) == 40
    assert not tap.is_waiting


async def test_a_burst_has_one_time(nodes: Nodes) -> None:
    pump = nodes.pumps[DEPOT]
    tap = Tap(cells=False, sessions=False)
    pump.taps.add(tap)
    before = time.time_ns()
    nodes.put(DEPOT, bytes(40), bytes(41), Connection(40_000).ack)
    pump.burst_from_tun()
    nodes.put(DEPOT, bytes(42))
    pump.burst_from_tun()
    one, two, three, four = tap.take(10**6)
    assert before <= one.time == two.time == three.time < four.time


async def test_a_packet_that_the_tun_refuses_is_told(nodes: Nodes) -> None:
    class Refusing(SocketTun):
        def write_burst(self, packets: list[bytes]) -> list[bytes]:
            return packets

    pump = nodes.pumps[WEB1]
    tap = Tap(cells=False)
    pump.taps.add(tap)
    real, pump.tun = pump.tun, Refusing()
    real.close()
    talk = Connection(40_000)
    nodes.put(DEPOT, talk.syn)
    await until(lambda: tap.is_waiting)
    [drop] = tap.take(10**6)
    assert (drop.reason, drop.octets, drop.link) == (DropReason.TUN_ERROR, talk.syn, "")


async def test_drops_of_the_kernel_in_front_of_the_tun_are_told_from_then_on(nodes: Nodes) -> None:
    lost = 7
    taps = Taps(nodes.pumps[DEPOT].node, lambda: lost, lambda _: None)
    tap = Tap()
    taps.add(tap)
    taps.look_at_the_queue()
    assert not tap.is_waiting
    lost = 10
    taps.look_at_the_queue()
    lost = 2  # the device was made anew
    taps.look_at_the_queue()
    lost = 4
    taps.look_at_the_queue()
    assert [(drop.reason, drop.count, drop.octets, drop.vc) for drop in tap.take(10**6)] == [
        (DropReason.TUN_QUEUE_FULL, 3, b"", None), (DropReason.TUN_QUEUE_FULL, 2, b"", None)]
