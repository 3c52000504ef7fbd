"""A link that passes short datagrams and swallows long ones: the depot notices, says which way, and why."""

from __future__ import annotations

import pytest

from atmdepot.depot.full_datagrams import MOST_LOST
from atmdepot.depot.servers import Fault
from atmdepot.wire.cell import CELL_SIZE, IDLE_CELL, hec
from atmdepot.wire.statistics import ServerState
from tests.network_in_memory import SECOND, InMemoryNetwork

BOTH = (True, True)


class Filled:
    """A network in memory in which each second both ends of web1's link send a full datagram, and web1 reports."""

    def __init__(self) -> None:
        self.net = InMemoryNetwork()
        self.depot = self.net.depot
        self.condition = self.depot.management.servers["web1"].condition

    def second(self, *, to_edge: bool = True, from_edge: bool = True, sends: tuple[bool, bool] = BOTH,
               reports: int = 1) -> None:
        """A second in which full datagrams arrive or not."""
        edge = self.net.edges["web1"]
        if sends[0]:
            cells = self.depot.links["to-web1"].fill(27)
            if to_edge:
                edge.octets_from_port("to-web1", cells, self.net.now)
        if sends[1]:
            cells = edge.link.fill(27)
            if from_edge:
                self.depot.octets_from_port("to-web1", cells, self.net.now)
        for _ in range(reports):
            edge.send_statistics(ServerState.ACCEPTS, 0, 1, 0, self.net.now)
            self.net.settle()
            self.net.advance(SECOND // reports)
        if not reports:
            self.net.advance(SECOND)

    def seconds(self, count: int, **how: object) -> None:
        for _ in range(count):
            self.second(**how)  # type: ignore[arg-type]


def test_the_idle_cell() -> None:
    assert len(IDLE_CELL) == CELL_SIZE
    assert IDLE_CELL[:5].hex() == "0000000152"
    assert hec(IDLE_CELL[:4]) == 0x52
    assert set(IDLE_CELL[5:]) == {0x6A}


def test_idle_cells_are_no_drops() -> None:
    it = Filled()
    it.seconds(3)
    edge = it.net.edges["web1"]
    assert it.net.dropped() == {}
    assert edge.link.reassembler.unassigned_cells == it.depot.links["to-web1"].reassembler.unassigned_cells == 81
    assert edge.link.rx_cells == it.depot.links["to-web1"].tx_cells == 81


def test_where_all_arrive_nothing_is_wrong() -> None:
    it = Filled()
    it.seconds(100)
    assert it.condition.alive
    assert it.condition.faults == {}


@pytest.mark.parametrize(("lost", "way"), [
    ({"to_edge": False}, "to the edge node"), ({"from_edge": False}, "from the edge node"),
    ({"to_edge": False, "from_edge": False}, "to and from the edge node")])
@pytest.mark.parametrize("before", [0, 10])
def test_the_way_on_which_long_datagrams_are_lost_is_named(lost: dict[str, bool], way: str, before: int) -> None:
    it = Filled()
    it.seconds(before)
    it.seconds(MOST_LOST - 1, **lost)
    assert it.condition.alive, "some may be lost by chance"
    it.second(**lost)  # type: ignore[arg-type]
    assert not it.condition.alive
    assert list(it.condition.faults) == [Fault.FULL_DATAGRAMS]
    assert way in it.condition.why
    assert "MTU" in it.condition.why
    it.seconds(10, **lost)
    assert not it.condition.alive
    it.second()
    assert it.condition.alive
    assert it.condition.faults == {}


def test_loss_by_chance_is_no_black_hole() -> None:
    it = Filled()
    for number in range(100):
        it.second(to_edge=number % MOST_LOST == 0, from_edge=number % MOST_LOST == 1)
    assert it.condition.alive


@pytest.mark.parametrize("reports", [1, 4])
def test_reports_that_come_more_often_do_not_make_it_sooner(reports: int) -> None:
    it = Filled()
    it.seconds(MOST_LOST - 1, to_edge=False, reports=reports)
    assert it.condition.alive
    it.second(to_edge=False, reports=reports)
    assert not it.condition.alive


def test_an_edge_node_that_sends_no_such_datagrams_is_not_blamed() -> None:
    it = Filled()
    it.seconds(20, sends=(False, False))
    it.seconds(20, sends=(True, False))
    assert it.condition.alive


def test_a_stopped_edge_node_is_one_late_report() -> None:
    it = Filled()
    it.seconds(5)
    it.seconds(2, to_edge=False, reports=0)  # the depot goes on sending into a socket that nobody reads
    it.second(to_edge=False)
    assert it.condition.alive


@pytest.mark.parametrize("who", ["depot", "edge"])
def test_counts_that_begin_anew_are_no_loss(who: str) -> None:
    it = Filled()
    it.seconds(10)
    if who == "edge":
        it.net.restart_edge("web1")
    else:
        it.net.restart_depot()
        it.depot = it.net.depot
        it.condition = it.depot.management.servers["web1"].condition
    it.seconds(20)
    assert it.condition.alive
    assert it.condition.faults == {}
