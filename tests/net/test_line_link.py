from __future__ import annotations

import pytest

from atmdepot.atm.line import Line
from atmdepot.config import model as network
from atmdepot.config.units import CellRate, Duration
from atmdepot.drops import DropReason, Drops
from atmdepot.net.line_link import CellLink, LineLink
from tests.net.ends import cells_of, split

MS = 1_000_000


class FakeLink(CellLink):
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
    return LineLink(inner, Line(network.Line(**settings), drops)), inner, drops


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


def test_what_is_due_leaves_with_the_next_send() -> None:
    link, inner, _ = line_link(delay=Duration(10 * MS))
    link.send(cells_of(1), 0)
    link.send(cells_of(1, 1), 15 * MS)
    assert inner.sent == [(cells_of(1), 15 * MS)]


def test_a_rate_paces_trains() -> None:
    link, inner, _ = line_link(rate=CellRate(1000))
    link.send(cells_of(3), 0)
    link.send(cells_of(2, 3), 0)
    assert link.next_timer() == 3 * MS
    link.handle_timer(4 * MS)
    assert inner.sent == [(cells_of(3), 4 * MS)]
    link.handle_timer(5 * MS)
    assert inner.sent[1:] == [(cells_of(2, 3), 5 * MS)]


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
