"""OAM over switches: loopbacks hop by hop, segments, and AIS of links that fall silent, on a virtual clock."""

from __future__ import annotations

import pytest

from atmdepot.atm.loopback import Echo
from atmdepot.atm.oam import Condition
from atmdepot.config.locations import location_of
from atmdepot.config.reading import parse
from atmdepot.wire.cell import CellHeader
from atmdepot.wire.oam import FaultFunction
from atmdepot.wire.oam_messages import END_POINT, Defect, read
from tests.wires import SECOND, Wires

MS = SECOND // 1000


def network(*, vp: str = "", link: str = "") -> Wires:
    """A depot, two switches in a row, and an edge node behind each."""
    return Wires(parse(f"""
name = "row"
nodes.depot.kind = "depot"
nodes.sw1.kind = "switch"
nodes.sw2.kind = "switch"
nodes.web1.kind = "edge"
nodes.web2.kind = "edge"
servers.web1.node = "web1"
servers.web2.node = "web2"
[links.core]
ends = {{ depot = "127.0.0.1:6001", sw1 = "127.0.0.1:6002" }}
{link}
[links.middle]
ends = {{ sw1 = "127.0.0.1:6003", sw2 = "127.0.0.1:6004" }}
{link}
[links.to-web1]
ends = {{ sw1 = "127.0.0.1:6005", web1 = "127.0.0.1:6006" }}
{link}
[links.to-web2]
ends = {{ sw2 = "127.0.0.1:6007", web2 = "127.0.0.1:6008" }}
{link}
[vps.web1]
ends = ["depot", "web1"]
vpi = 1
{vp}
[vps.web2]
ends = ["depot", "web2"]
vpi = 2
{vp}
[services.web]
vip = ["10.80.0.1"]
ports = [80]
servers = ["web1", "web2"]
"""))


def alive(net: Wires) -> dict[str, bool]:
    return {name: server.alive for name, server in net.nodes["depot"].management.servers.items()}


def conditions(net: Wires, node: str, vp: str) -> list[Condition]:
    oam = net.nodes["depot"].bearer.oam if node == "depot" else net.nodes[node].oam
    return oam.vps[vp].conditions


def ask(net: Wires, node: str, place: bytes, *, segment: bool = False) -> list[int | None]:
    """The round-trip time of a loopback of the depot on VP web2."""
    vp, echoes = net.nodes["depot"].bearer.oam.vps["web2"], list[Echo]()
    flow = vp.segment if segment else vp.end
    flow.point.ping(net.now, echoes.append, place)
    vp.link.flush(flow)
    net.now += MS
    net.carry()
    return [echo.round_trip for echo in echoes]


@pytest.mark.parametrize("segment", [False, True])
@pytest.mark.parametrize("node", ["sw1", "sw2", "web2"])
def test_each_node_of_the_route_answers_for_its_location(node: str, segment: bool) -> None:
    net = network()
    assert ask(net, node, location_of(net.network, node), segment=segment) == [MS]
    crossed = {link for link, _, _ in net.seen}
    assert crossed == {"sw1": {"core"}, "sw2": {"core", "middle"}, "web2": {"core", "middle", "to-web2"}}[node]


def test_a_segment_ends_where_the_table_cuts_it() -> None:
    net = network(vp='segments = ["sw1"]')
    assert ask(net, "sw1", END_POINT, segment=True) == [MS]
    assert {link for link, _, _ in net.seen} == {"core"}
    assert ask(net, "web2", END_POINT) == [MS]
    assert {link for link, _, _ in net.seen} == {"core", "middle", "to-web2"}


def test_a_reload_cuts_a_vp_and_joins_it_again() -> None:
    net, uncut, cut = network(), network().network, network(vp='segments = ["sw1"]').network
    sw1 = net.nodes["sw1"]
    before = sw1.oam.points
    sw1.reconfigure(uncut, net.now)
    assert sw1.oam.points == before
    for table, ends_at in ((cut, {"core"}), (uncut, {"core", "middle", "to-web2"})):
        sw1.reconfigure(table, net.now)
        net.seen.clear()
        assert ask(net, "web2", END_POINT, segment=True) == [MS]
        assert {link for link, _, _ in net.seen} == ends_at
    assert not any(crossed.connection.tells_point for crossed in sw1.crossed.values())


def test_a_silent_link_makes_ais_downstream_at_once_and_rdi_back() -> None:
    net = network(link='supervise = "100ms"')
    net.advance(5 * SECOND)
    assert alive(net) == {"web1": True, "web2": True}
    net.cut.add(("middle", "sw2"))  # what sw2 sends to sw1 is lost
    net.advance(300 * MS)
    assert conditions(net, "depot", "web2") == [Condition.AIS]
    assert conditions(net, "web2", "web2") == [Condition.RDI]
    assert alive(net) == {"web1": True, "web2": False}
    why = net.nodes["depot"].management.servers["web2"].condition.why
    assert why == "path down: VP web2 has AIS from sw1"
    net.advance(10 * SECOND)
    assert conditions(net, "depot", "web2") == [Condition.AIS]
    net.cut.clear()
    net.advance(5 * SECOND)
    assert alive(net) == {"web1": True, "web2": True}
    assert conditions(net, "web2", "web2") == []


def test_ais_comes_each_second_from_the_node_that_is_next_to_the_failure() -> None:
    net = network(link='supervise = "100ms"')
    net.advance(SECOND)
    net.kill("web2")
    net.seen.clear()
    net.advance(3500 * MS)
    cells = [read(cell[5:]) for link, sender, cell in net.seen
             if (link, sender) == ("middle", "sw2") and CellHeader.unpack(cell[:5]).vci == 4]
    assert cells == [Defect(FaultFunction.AIS, location=location_of(net.network, "sw2"))] * 4
    assert alive(net) == {"web1": True, "web2": False}


def test_a_killed_switch_is_heard_of_by_all() -> None:
    net = network(link='supervise = "100ms"')
    net.advance(SECOND)
    net.kill("sw1")
    net.advance(300 * MS)
    assert alive(net) == {"web1": False, "web2": False}
    assert conditions(net, "web1", "web1") == conditions(net, "web2", "web2") == [Condition.AIS]


def test_continuity_and_monitoring_pass_switches() -> None:
    net = network(vp="continuity_check = true\nperformance_monitoring = 128")
    net.advance(10 * SECOND)
    assert alive(net) == {"web1": True, "web2": True}
    net.cut.add(("to-web2", "web2"))
    net.advance(3500 * MS)
    assert conditions(net, "depot", "web2") == [Condition.LOC]
    assert alive(net) == {"web1": True, "web2": False}


def test_a_stalled_switch_holds_no_neighbour_for_silent() -> None:
    net = network(link='supervise = "100ms"')
    net.advance(SECOND)
    for node in net.nodes.values():
        node.stood_still(30 * SECOND, net.now + 30 * SECOND)
    net.now += 30 * SECOND
    net.advance(SECOND)
    assert alive(net) == {"web1": True, "web2": True}
