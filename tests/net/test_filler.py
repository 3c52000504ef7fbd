"""Datagrams of full length with idle cells: on which links they go, and what they are."""

from __future__ import annotations

import logging

import pytest

from atmdepot.config.reading import load
from atmdepot.depot.servers import Fault
from atmdepot.net.filler import Filler
from atmdepot.net.tap import Tap
from atmdepot.wire.cell import IDLE_CELL
from tests.net.ends import receive_all
from tests.net.nodes import DEPOT, WEB1, Nodes, network


@pytest.mark.parametrize("settings", ["", "cells = 5", 'rate = "10kcps"\ncell_loss = 1.0'])
def test_each_end_sends_one_full_datagram(settings: str) -> None:
    table = network(link=settings)
    nodes = Nodes(table)
    try:
        depot, edge = nodes.pumps[DEPOT], nodes.pumps[WEB1]
        cells = table.links["to-web1"].cells
        Filler(depot).turn()
        inner = getattr(edge.links["to-web1"], "link", edge.links["to-web1"])
        assert receive_all(inner, 53 * cells) == IDLE_CELL * cells
        assert inner.rx_datagrams == 1
        assert depot.node.links["to-web1"].fillers_sent == 1
        assert depot.node.links["to-web1"].tx_cells == cells
    finally:
        nodes.close()


def test_bare_cells_and_gear_that_is_not_ours_get_none() -> None:
    assert links_of(network(link="cells = 1"), DEPOT) == {}
    assert links_of(load("direct"), "depot") == {"to-web1": 27, "to-web2": 27}
    assert links_of(load("direct"), "web1") == {"to-web1": 27}
    external = load("gns3")
    assert all(external.links[name].cells > 1 for name in links_of(external, external.depot))


def links_of(table: object, name: str) -> dict[str, int]:
    class Pump:
        class node:  # noqa: N801 - as it is in a pump
            pass

    Pump.node.network, Pump.node.name = table, name  # type: ignore[attr-defined]
    return Filler(Pump).links  # type: ignore[arg-type]


def test_without_reports_there_are_none() -> None:
    nodes = Nodes(network(top='probing.statistics = "0s"'))
    try:
        Filler(nodes.pumps[DEPOT]).turn()
        assert nodes.pumps[DEPOT].node.links["to-web1"].tx_cells == 0
    finally:
        nodes.close()


def test_a_trace_shows_them() -> None:
    nodes = Nodes(network())
    try:
        depot = nodes.pumps[DEPOT]
        tap = Tap()
        depot.taps.add(tap)
        Filler(depot).turn()
        records = tap.take(1 << 20)
        assert [record.octets for record in records] == [IDLE_CELL * 27] * 2  # type: ignore[union-attr]
    finally:
        nodes.close()


def test_the_log_tells_once_and_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    nodes = Nodes(network())
    caplog.set_level(logging.WARNING)
    try:
        filler = Filler(nodes.pumps[DEPOT])
        faults = nodes.pumps[DEPOT].node.management.servers["web1"].condition.faults
        faults[Fault.FULL_DATAGRAMS] = "full datagrams to the edge node are lost"
        for _ in range(3):
            filler.turn()
        del faults[Fault.FULL_DATAGRAMS]
        for _ in range(3):
            filler.turn()
        assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.WARNING]
        assert all("to-web1" in record.message for record in caplog.records)
    finally:
        nodes.close()


