"""Times of AIS, RDI and loss of continuity over three switches, on a virtual clock (ITU-T I.610 section 9.2)."""

from __future__ import annotations

import pytest

from atmdepot.atm.oam import Condition
from atmdepot.config.locations import location_of
from atmdepot.config.reading import parse
from atmdepot.wire.cell import CellHeader
from atmdepot.wire.oam import FaultFunction
from atmdepot.wire.oam_messages import Defect, read
from tests.wires import SECOND, Wires

MS = SECOND // 1000
STEP = 10 * MS
LINKS = [("depot", "sw1"), ("sw1", "sw2"), ("sw2", "sw3"), ("sw3", "web1")]
F4_END_TO_END = 4


def row(*, vp: str = "", link: str = 'supervise = "100ms"') -> Wires:
    """A depot, three switches and an edge node in a row, half a second after their start."""
    lines = ['name = "row"', '[nodes.depot]\nkind = "depot"', '[nodes.web1]\nkind = "edge"',
             '[servers.web1]\nnode = "web1"', f'[vps.web1]\nends = ["depot", "web1"]\nvpi = 1\n{vp}',
             '[services.web]\nvip = ["10.80.0.1"]\nports = [80]\nservers = ["web1"]']
    lines += [f'[nodes.sw{number}]\nkind = "switch"' for number in (1, 2, 3)]
    for at, (one, other) in enumerate(LINKS):
        lines += [f'[links.{one}-{other}]\n{link}',
                  f'ends = {{ {one} = "127.0.0.1:{6000 + at}", {other} = "127.0.0.1:{7000 + at}" }}']
    net = Wires(parse("\n".join(lines)))
    net.advance(SECOND // 2)
    return net


def conditions(net: Wires) -> dict[str, list[Condition]]:
    """The conditions of both ends of the VP."""
    ends = {"depot": net.nodes["depot"].bearer.oam, "web1": net.nodes["web1"].oam}
    return {name: oam.vps["web1"].conditions for name, oam in ends.items()}


def becomes(net: Wires, depot: list[Condition], web1: list[Condition]) -> int:
    """The time (ns, to a step) until both ends have these conditions."""
    began = net.now
    while conditions(net) != {"depot": depot, "web1": web1}:
        net.advance(STEP)
        assert net.now < began + 10 * SECOND, conditions(net)
    return net.now - began


def alarms(net: Wires, link: str, sender: str) -> list[Defect]:
    """The AIS and RDI cells of the VP that a node has sent on a link."""
    said = [read(cell[5:]) for at, node, cell in net.seen
            if (at, node) == (link, sender) and CellHeader.unpack(cell[:5]).vci == F4_END_TO_END]
    return [cell for cell in said if isinstance(cell, Defect)]


@pytest.mark.parametrize("dead", ["sw1", "sw2", "sw3"])
def test_a_dead_switch_is_an_alarm_at_both_ends_after_three_silent_intervals(dead: str) -> None:
    net = row()
    assert conditions(net) == {"depot": [], "web1": []}
    net.kill(dead)
    # An end hears of it by its neighbour's AIS, or by its own link. Its RDI does not pass the dead switch.
    took = becomes(net, [Condition.AIS], [Condition.AIS])
    assert 300 * MS - STEP <= took <= 300 * MS + STEP
    net.seen.clear()
    net.advance(5 * SECOND)
    assert conditions(net) == {"depot": [Condition.AIS], "web1": [Condition.AIS]}
    neighbours = {"sw1": ("sw3-web1", "sw3"), "sw2": ("depot-sw1", "sw1"), "sw3": ("depot-sw1", "sw1")}
    said = alarms(net, *neighbours[dead])
    assert [cell.function for cell in said] == [FaultFunction.AIS] * 5


def test_ais_names_the_switch_next_to_the_failure_and_rdi_goes_the_other_way() -> None:
    net = row()
    net.cut.add(("sw2-sw3", "sw3"))  # what sw3 sends to sw2 is lost; the other direction is whole
    took = becomes(net, [Condition.AIS], [Condition.RDI])
    assert 300 * MS - STEP <= took <= 300 * MS + STEP
    net.seen.clear()
    net.advance(3 * SECOND)
    assert alarms(net, "depot-sw1", "sw1") == [Defect(FaultFunction.AIS, location=location_of(net.network, "sw2"))] * 3
    assert [cell.function for cell in alarms(net, "sw3-web1", "sw3")] == [FaultFunction.RDI] * 3


def test_without_cells_of_users_alarms_clear_after_two_and_a_half_seconds() -> None:
    net = row()
    net.cut.add(("sw2-sw3", "sw3"))
    becomes(net, [Condition.AIS], [Condition.RDI])
    net.advance(2 * SECOND)
    net.cut.clear()
    took = becomes(net, [], [Condition.RDI])
    assert 1500 * MS <= took <= 2500 * MS + STEP  # after the last AIS, which was a second old at most
    took = becomes(net, [], [])
    assert 1500 * MS <= took <= 2500 * MS + STEP  # after the last RDI


def test_continuity_is_lost_after_three_and_a_half_seconds_and_a_cell_brings_it_back() -> None:
    """No link is supervised: only the ends notice, each for what comes to it."""
    net = row(vp="continuity_check = true", link="")
    net.advance(3 * SECOND)
    assert conditions(net) == {"depot": [], "web1": []}
    net.cut.add(("sw1-sw2", "sw2"))
    took = becomes(net, [Condition.LOC], [Condition.RDI])
    assert 3000 * MS - STEP <= took <= 3000 * MS + STEP  # 3.5 s after the last CC cell, which was half a second old
    net.cut.clear()
    took = becomes(net, [], [Condition.RDI])
    assert took <= SECOND + STEP  # the next CC cell
    assert becomes(net, [], []) <= 2500 * MS + STEP  # after the last RDI


def test_a_switch_that_comes_back_clears_the_alarms_of_both_ends() -> None:
    net = row(vp="continuity_check = true")
    net.advance(3 * SECOND)
    gone = net.nodes["sw2"]
    net.kill("sw2")
    becomes(net, [Condition.AIS], [Condition.AIS])
    net.advance(5 * SECOND)
    gone.stood_still(5 * SECOND, net.now)
    net.nodes["sw2"] = gone
    took = becomes(net, [], [])
    assert took <= 3 * SECOND + STEP
    assert net.nodes["depot"].management.servers["web1"].alive
