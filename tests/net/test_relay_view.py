"""Views of nodes on links of Frame Relay: depot, edge node and interworking function answer every subject."""

from __future__ import annotations

from typing import Any

import pytest

from atmdepot.config.reading import find, load
from atmdepot.net.kinds import make_node
from atmdepot.net.metrics import Metrics
from atmdepot.net.pump import Pump
from atmdepot.net.tun import NoDevice
from atmdepot.net.views import SUBJECTS
from tests.ip_packets import SYN, tcp
from tests.network_in_memory import CLIENT4, VIP4

NODES = [("frame-relay", "depot"), ("frame-relay", "web1"), ("frame-relay", "web2"), ("interworking", "iwf"),
         ("interworking", "depot"), ("interworking", "web1")]


@pytest.mark.parametrize(("table", "name"), NODES, ids=lambda value: value)
def test_every_subject_and_metric_is_shown_of_every_node(table: str, name: str) -> None:
    node = make_node(load(find(table)), name, 0)
    if name == "depot":
        node.packet_from_tun(tcp(CLIENT4, 4000, VIP4, 80, SYN), 0)
    pump = Pump(node, {}, NoDevice())
    for subject, view in SUBJECTS.items():
        rows = list(view(pump, 1000))
        assert all(row.node == name for row in rows if hasattr(row, "node")) or subject == "servers"
    assert b"atmdepot_info" in b"".join(Metrics(pump).text())
    pump.close()


def test_the_pvcs_of_a_depot_are_shown_with_what_they_carry() -> None:
    node = make_node(load(find("frame-relay")), "depot", 0)
    node.packet_from_tun(tcp(CLIENT4, 4000, VIP4, 80, SYN), 0)
    pump = Pump(node, {}, NoDevice())
    rows = {(row.link, row.dlci): row for row in SUBJECTS["dlcis"](pump, 100)}  # type: ignore[attr-defined]
    assert {place: row.carries for place, row in rows.items()} == {  # type: ignore[attr-defined]
        ("to-web1", 16): "management", ("to-web1", 100): "default", ("to-web1", 200): "10.9.0.2:4000",
        ("to-web2", 16): "management", ("to-web2", 100): "default"}
    row = rows["to-web2", 100]
    assert (row.cir, row.bc, row.be, row.waiting, row.tagged) == ("20Mbps", 1_000_000, 500_000, 0, 0)  # type: ignore[attr-defined]
    pump.close()


def test_the_vcs_and_pvcs_of_a_function_are_shown_with_where_they_lead_those_in_use_first() -> None:
    node: Any = make_node(load(find("interworking")), "iwf", 0)
    used = next(pair for pair in node.pairs if pair.path.port == "to-web2" and pair.path.dlci == 500)
    used.vc.rx_cells = used.path.tx_frames = 3
    pump = Pump(node, {}, NoDevice())
    vcs: list[Any] = list(SUBJECTS["vcs"](pump, 10**6))
    assert [(row.vc, row.carries, row.to) for row in vcs[:6]] == [
        ("1/32", "dlcis.web1", "to-web1 DLCI 100"), ("1/33", "dlcis.web1", "to-web1 DLCI 16"),
        ("2/32", "dlcis.web2", "to-web2 DLCI 100"), ("2/33", "dlcis.web2", "to-web2 DLCI 16"),
        ("2/364", "dlcis.web2", "to-web2 DLCI 500"), ("1/64", "dlcis.web1", "to-web1 DLCI 200")]
    assert len(vcs) == len({row.vc for row in vcs}) == 2 * 794
    dlcis: list[Any] = list(SUBJECTS["dlcis"](pump, 10**6))
    assert [(row.link, row.dlci, row.carries) for row in dlcis[:6]] == [
        ("to-web1", 100, "default"), ("to-web1", 16, "management"), ("to-web2", 100, "default"),
        ("to-web2", 16, "management"), ("to-web2", 500, "dlcis.web2"), ("to-web1", 200, "dlcis.web1")]
    assert len(dlcis) == len({(row.link, row.dlci) for row in dlcis}) == 2 * 794
    for subject in ("vcs", "dlcis"):
        assert len(list(SUBJECTS[subject](pump, 5))) == 5
    pump.close()
