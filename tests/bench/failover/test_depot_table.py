"""Tables of the modes: each says what is measured, and the lab can bring it up."""

from __future__ import annotations

import pytest

from atmdepot.bench.failover import syncing
from atmdepot.bench.failover.cases import CONTENDERS, UNTOLD, Contender
from atmdepot.bench.failover.depot_table import base_of, table_for, wires_to_edges
from atmdepot.config.reading import find, parse
from atmdepot.lab.plan import plan_of

DEPOTS = [*(each for each in CONTENDERS.values() if each.standby != "peer"), UNTOLD]


@pytest.mark.parametrize("contender", DEPOTS, ids=lambda each: each.name)
def test_a_mode_has_a_table(contender: Contender) -> None:
    network = parse(table_for(contender, find(base_of(contender)).read_text(), "bench"))
    (of,) = network.sets.values()
    assert of.recall is of.adopt is contender.recall
    assert of.interval == contender.interval * 1e9
    assert of.stands_by is (contender.standby not in {"lone", "none"})
    if contender.standby == "hot":
        assert (of.standby, set(of.watch)) == ("hot", set(of.nodes))
    plan_of(network, web=False)


def test_both_depots_have_a_way_to_the_idle_sessions_server() -> None:
    network = parse(syncing.table(10))
    assert all(network.serves(depot, "bench-idle") for depot in network.depots)
    plan_of(network)


def test_the_wires_to_edge_nodes_are_links_of_the_table() -> None:
    network = parse(find("standby").read_text())
    wires = {depot: wires_to_edges(network, depot) for depot in network.depots}
    assert all(len(found) == 2 for found in wires.values())
    names = [wire.name for wire in plan_of(network).wires]
    assert all(name in names for found in wires.values() for name in found)
