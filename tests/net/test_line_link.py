from __future__ import annotations

import socket
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from atmdepot.atm.line import Line
from atmdepot.config import links
from atmdepot.config.units import CellRate, Duration
from atmdepot.drops import DropReason, Drops
from atmdepot.net.line_link import LineLink, PortLink
from atmdepot.net.udp_link import UdpLink
from tests.net.ends import Plain, cells_of, fresh, is_readable, split

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.config.units import UdpAddress

MS = 1_000_000


class FakeLink(PortLink):
    """A link that notes what it is told."""

    def __init__(self) -> None:
        self.waiting = False
        self.sent: list[tuple[bytes, int]] = []
        self.flushed = self.closed = 0

    def fileno(self) -> int:
        return 77

    def send(self, cells: bytes, now: int) -> None:
        self.sent.append((cells, now))

    def receive_burst(self, most: int) -> list[bytes]:
        return [b"received"] * most

    def wants_write(self) -> bool:
        return self.waiting

    def flush(self) -> None:
        self.flushed += 1

    def next_timer(self) -> int | None:
        return None

    def handle_timer(self, now: int) -> None:
        pass

    def close(self) -> None:
        self.closed += 1


def line_link(**settings: object) -> tuple[LineLink, FakeLink, Drops]:
    drops, inner = Drops(), FakeLink()
    return LineLink(inner, Line(links.Line(**settings), drops)), inner, drops


def test_a_line_that_does_nothing_lets_cells_through_at_once() -> None:
    link, inner, _ = line_link()
    link.send(cells_of(3), 5)
    assert inner.sent == [(cells_of(3), 5)]
    assert link.next_timer() is None


def test_a_delay_holds_each_train_its_own_time() -> None:
    link, inner, _ = line_link(delay=Duration(10 * MS))
    link.send(cells_of(1), 0)
    link.send(cells_of(1, 1), 4 * MS)
    assert (inner.sent, link.next_timer()) == ([], 10 * MS)
    link.handle_timer(10 * MS - 1)
    assert inner.sent == []
    link.handle_timer(10 * MS)
    assert inner.sent == [(cells_of(1), 10 * MS)]
    assert link.next_timer() == 14 * MS
    link.handle_timer(20 * MS)
    assert inner.sent[1:] == [(cells_of(1, 1), 20 * MS)]
    assert link.next_timer() is None
    link.handle_timer(21 * MS)
    assert len(inner.sent) == 2, "nothing is sent when nothing is due"


def test_due_cells_leave_with_the_next_send() -> None:
    link, inner, _ = line_link(delay=Duration(10 * MS))
    link.send(cells_of(1), 0)
    link.send(cells_of(1, 1), 15 * MS)
    assert inner.sent == [(cells_of(1), 15 * MS)]


def test_a_rate_lets_cells_out_one_by_one() -> None:
    link, inner, _ = line_link(rate=CellRate(1000))
    link.send(cells_of(2), 0)
    link.send(cells_of(1, 2), 0)
    for number in range(3):
        assert link.next_timer() == (number + 1) * MS
        link.handle_timer((number + 1) * MS)
        assert inner.sent[number:] == [(cells_of(1, number), (number + 1) * MS)]
    assert link.next_timer() is None


def test_due_cells_leave_before_later_cells_take_their_place() -> None:
    link, inner, _ = line_link(rate=CellRate(1000), burst=2, queue=4)
    link.send(cells_of(4), 0)
    link.send(cells_of(4, 4), 10 * MS)
    assert inner.sent == [(cells_of(2), 10 * MS)]
    assert link.line.lost == 2
    assert link.line.waiting(10 * MS) == 4


def test_a_queue_that_is_full_counts_what_it_drops() -> None:
    link, inner, drops = line_link(rate=CellRate(1000), queue=4)
    link.send(cells_of(7), 0)
    link.handle_timer(4 * MS)
    assert inner.sent == [(cells_of(4), 4 * MS)]
    assert drops == {DropReason.LINE_OVERFLOW: 3}


def test_lost_cells_are_counted_and_the_others_keep_their_order() -> None:
    link, inner, drops = line_link(cell_loss=0.2, seed=3)
    link.send(cells_of(500), 0)
    [(sent, _)] = inner.sent
    whole = split(cells_of(500))
    assert [cell for cell in whole if cell in set(split(sent))] == split(sent)
    assert drops == {DropReason.LINE_LOSS: 500 - len(split(sent))}
    assert 50 < drops[DropReason.LINE_LOSS] < 150


def test_a_line_that_loses_everything_sends_nothing() -> None:
    link, inner, drops = line_link(cell_loss=1.0)
    link.send(cells_of(4), 0)
    assert (inner.sent, drops) == ([], {DropReason.LINE_LOSS: 4})


@pytest.mark.parametrize("waiting", [True, False])
def test_all_else_is_the_inner_links(waiting: bool) -> None:
    link, inner, _ = line_link(delay=Duration(MS))
    inner.waiting = waiting
    link.flush()
    link.close()
    assert (link.fileno(), link.receive_burst(3), link.wants_write()) == (77, [b"received"] * 3, waiting)
    assert (inner.flushed, inner.closed) == (1, 1)


# A receiver like Dynamips': each cell is a datagram, and its socket holds 256 of them.

DEPTH = 256


class Router(Plain):
    """A socket that holds `DEPTH` cells, read at the line's rate and no faster."""

    def __init__(self, address: UdpAddress, peer: UdpAddress) -> None:
        super().__init__(address, peer)
        least, most = 0, 2**20
        while most - least > 1:  # the least buffer that holds as many
            size = (least + most) // 2
            least, most = (least, size) if self._held_by(size) >= DEPTH else (size, most)
        self.depth = self._held_by(most)
        self.got: list[bytes] = []

    def _held_by(self, size: int) -> int:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
        with socket.socket(self.socket.family, socket.SOCK_DGRAM) as filler:
            for _ in range(2 * DEPTH):
                filler.sendto(bytes(53), self.socket.getsockname())
        return len(self.drain()) // 53

    def read(self, most: int) -> None:
        for _ in range(most):
            if not is_readable(self.socket.fileno()):
                break
            self.got.append(self.socket.recv(65_536))


@pytest.fixture
def router() -> Iterator[tuple[UdpLink, Drops, Router]]:
    local, peer = fresh(), fresh()
    drops = Drops()
    router = Router(peer, local)
    link = UdpLink("to-r1", local, peer, 1, drops)
    yield link, drops, router
    router.close()
    link.close()


@pytest.mark.parametrize("rate", [20_000, 100_000])
def test_a_router_whose_socket_holds_256_cells_loses_none(
        router: tuple[UdpLink, Drops, Router], rate: int) -> None:
    """However late the loop wakes up: 4 ms in one of a thousand cases, 40 ms now and then."""
    udp, drops, far = router
    assert DEPTH <= far.depth < DEPTH + 32
    settings = links.Link(ends={}, cells=1, rate=CellRate(rate), queue=10**4).line_from("depot")
    link, random, now, sent = LineLink(udp, Line(settings, drops)), Random(rate), 0, 0
    while sent < 6000 or link.next_timer() is not None:
        if sent < 6000 and random.random() < 0.05:
            link.send(cells_of(256, sent), now)
            sent += 256
        due = link.next_timer() or now + MS
        late = random.choice([0, 20_000, 80_000, 4 * MS]) if random.random() < 0.1 else 0
        late = 40 * MS if random.random() < 0.001 else late
        before, now = now, max(now, due) + late
        far.read((now * rate // 1_000_000_000) - (before * rate // 1_000_000_000))
        link.handle_timer(now)
    far.read(DEPTH + 32)
    assert far.got == split(cells_of(sent))
    assert drops == {}


def test_a_train_at_once_is_what_such_a_router_cannot_take(router: tuple[UdpLink, Drops, Router]) -> None:
    """Without a rate: the test above could fail."""
    udp, _, far = router
    udp.send(cells_of(600), 0)
    far.read(1000)
    assert len(far.got) < 300


def test_a_burst_has_64_cells_where_each_is_a_datagram_and_2_ms_of_the_rate_in_trains() -> None:
    def burst(**settings: Any) -> int | None:
        return links.Link(ends={}, **settings).line_from("depot").burst

    assert burst(cells=1, rate=CellRate(353_207)) == 64
    assert burst(cells=27, rate=CellRate(353_207)) == 706
    assert burst(cells=27, rate=CellRate(20_000)) == 64
    assert burst(cells=1, rate=CellRate(20_000), burst=8) == 8
    assert burst(cells=1) is None
