"""The switch as a node: cross-connects of a VC table, ports with and without a rate, and a table that changes."""

from __future__ import annotations

import pytest

from atmdepot.bearer.base import NEVER
from atmdepot.config.reading import parse
from atmdepot.config.routes import Place
from atmdepot.drops import DropReason
from atmdepot.errors import AtmdepotError
from atmdepot.net.agents.switch import VcAdd
from atmdepot.net.kinds import agent_of
from atmdepot.switch.node import Crossed, SwitchNode
from atmdepot.switch.ports import ScheduledPort
from atmdepot.switch.table import Wanted
from atmdepot.wire.cell import CELL_SIZE, IDLE_CELL, CellHeader
from tests.atm.trains import seen, train

SECOND = 1_000_000_000
CELL_TIME = 2832  # ns of a cell at OC-3, rounded up


def table(*, web2: str = "", link: str = "", vcs: str = "") -> str:
    """A depot and two edges around a switch; both VPs have VPI 1 at their edges' links."""
    return f"""
name = "star"
nodes.depot.kind = "depot"
nodes.sw1.kind = "switch"
nodes.web1.kind = "edge"
nodes.web2.kind = "edge"
servers.web1.node = "web1"
servers.web2.node = "web2"
[links.core]
ends = {{ depot = "127.0.0.1:6001", sw1 = "127.0.0.1:6002" }}
[links.to-web1]
ends = {{ sw1 = "127.0.0.1:6003", web1 = "127.0.0.1:6004" }}
[links.to-web2]
ends = {{ sw1 = "127.0.0.1:6005", web2 = "127.0.0.1:6006" }}
{link}
[vps.web1]
ends = ["web1", "depot"]
vpi = 1
[vps.web2]
ends = ["web2", "depot"]
vpi = 1
{web2}
{vcs}
[services.web]
vip = ["10.80.0.1"]
ports = [80]
servers = ["web1", "web2"]
"""


def make(text: str) -> SwitchNode:
    return SwitchNode(parse(text), "sw1")


def sent(node: SwitchNode, now: int = 0) -> dict[str, list[CellHeader]]:
    """The output of the ports that are ready, as the pump takes it."""
    ready, node.ready[:] = list(node.ready), []
    names = list(node.links)
    assert len(set(ready)) == len(ready)
    return {names[number]: [cell.header for cell in seen(node.transmit(number, now))] for number in ready}


def test_cells_of_a_vp_get_the_vpi_of_each_link() -> None:
    node = make(table())
    node.octets_from_port("to-web2", train([CellHeader(1, 64)] * 3), 0)
    assert sent(node) == {"core": [CellHeader(2, 64)] * 3}
    node.octets_from_port("core", train([CellHeader(2, 64, 1), CellHeader(1, 99), CellHeader(2, 65)]), 0)
    assert sent(node) == {"to-web1": [CellHeader(1, 99)], "to-web2": [CellHeader(1, 64, 1), CellHeader(1, 65)]}
    assert node.next_timer() is None
    core = node.links["core"].counts()
    assert (core.rx_cells, core.tx_cells, core.rx_pdus) == (3, 3, None)


def test_cells_of_no_connection_and_of_filling() -> None:
    node = make(table())
    node.octets_from_port("core", train([CellHeader(7, 64)] * 2) + IDLE_CELL * 4, 0)
    assert sent(node) == {}
    assert node.links["core"].drops == {DropReason.UNKNOWN_VC: 2}
    assert node.links["core"].condition().idle_received == 4
    assert node.fill("core", 3) == IDLE_CELL * 3
    assert node.links["core"].condition().fillers_sent == 1


def test_a_link_with_a_rate_lets_cells_wait() -> None:
    node = make(table(link='rate = "oc3"\nqueues = { UBR = 40 }\nweights = { UBR = 3 }'))
    port = node.links["to-web2"]
    assert isinstance(port, ScheduledPort)
    assert (port.is_timed, port.due, node.links["core"].is_timed) == (True, NEVER, False)
    node.octets_from_port("core", train([CellHeader(2, 64)] * 40), SECOND)
    # Cells that leave within 50 us leave together.
    assert (sent(node, SECOND), SECOND < port.due <= SECOND + 50_000) == ({}, True)
    left = 0
    while port.due != NEVER:
        now = port.due
        left += len(node.transmit(port.number, now)) // CELL_SIZE
        assert left <= (now - SECOND) // (CELL_TIME - 1) + 1
    assert left + sum(port.drops.values()) == 40
    assert port.counts().tx_cells == left


def test_cells_that_are_due_leave_before_others_enter() -> None:
    node = make(table(link='rate = "oc3"'))
    port = node.links["to-web2"]
    node.octets_from_port("core", train([CellHeader(2, 64)] * 5), SECOND)
    node.octets_from_port("core", train([CellHeader(2, 65)] * 5), SECOND + 4 * CELL_TIME)
    assert sent(node, SECOND + 4 * CELL_TIME) == {"to-web2": [CellHeader(1, 64)] * 5}
    assert len(node.transmit(port.number, SECOND + 10 * CELL_TIME)) == 5 * CELL_SIZE


def test_contracts_hold_where_cells_enter_the_network() -> None:
    node = make(table(web2='contract = "cbr:pcr=1000"'))
    node.octets_from_port("to-web2", train([CellHeader(1, 64)] * 50), SECOND)
    crossed = node.crossed[Place("to-web2", 1)]
    assert crossed.connection.policer is not None
    passed = crossed.connection.policer.passed
    assert 0 < passed < 50
    assert node.links["to-web2"].drops == {DropReason.ABOVE_PCR: 50 - passed}
    assert sent(node) == {"core": [CellHeader(2, 64)] * passed}


VCS = """
[vcs.news]
ends = ["web1", "web2"{more}]
vpi = 9
vci = 100
"""


def test_reload_changes_what_changed_alone() -> None:
    node = make(table(vcs=VCS.format(more="")))
    assert list(node.crossed) == [Place("to-web1", 1), Place("core", 1), Place("to-web2", 1), Place("core", 2),
                                  Place("to-web1", 9, 100), Place("to-web2", 9, 100)]
    node.octets_from_port("core", train([CellHeader(1, 64), CellHeader(2, 64)]), 0)
    sent(node)
    before = {place: crossed.connection for place, crossed in node.crossed.items()}
    network = parse(table(web2='contract = "cbr:pcr=1000"', vcs=VCS.format(more=', "depot"')))
    node.reconfigure(network, 0)
    same = [place for place, crossed in node.crossed.items() if before.get(place) is crossed.connection]
    assert same == [Place("to-web1", 1), Place("core", 1), Place("to-web1", 9, 100)]
    assert before[Place("core", 1)].rx_cells == 1
    assert node.network is network
    node.octets_from_port("to-web1", train([CellHeader(9, 100)]), 0)
    assert sent(node) == {"core": [CellHeader(9, 100)], "to-web2": [CellHeader(9, 100)]}
    node.reconfigure(parse(table()), 0)
    assert list(node.crossed) == [Place("to-web1", 1), Place("core", 1), Place("to-web2", 1), Place("core", 2)]
    node.octets_from_port("to-web1", train([CellHeader(9, 100)]), 0)
    assert sent(node) == {}


def test_reload_that_meets_a_live_cross_connect_changes_nothing() -> None:
    node = make(table())
    live = Wanted("mine", Place("to-web1", 9, 100), (Place("core", 9, 100),))
    node._connect(live, is_live=True)
    before: dict[Place, Crossed] = dict(node.crossed)
    with pytest.raises(AtmdepotError, match="VC 9/100"):
        node.reconfigure(parse(table(web2='contract = "cbr:pcr=1000"', vcs=VCS.format(more=""))), 0)
    assert node.crossed == before
    node.reconfigure(parse(table(web2='contract = "cbr:pcr=1000"')), 0)
    assert node.crossed[live.place] is before[live.place]


# ── live cross-connects ──

NINE = Place("to-web1", 9, 100)


def wanted(*leaves: str, place: Place = NINE) -> Wanted:
    return Wanted("mine", place, tuple(map(Place.parse, leaves)))


def heads(node: SwitchNode) -> list[str]:
    """The ports by which a cell of `NINE` leaves."""
    node.octets_from_port("to-web1", train([CellHeader(9, 100)]), 0)
    return list(sent(node))


def test_a_live_cross_connect_comes_grows_shrinks_and_goes() -> None:
    node = make(table())
    node.add(wanted("core 9/100"))
    assert heads(node) == ["core"]
    node.add(wanted("to-web2 9/100"))
    assert (heads(node), node.crossed[NINE].is_live) == (["core", "to-web2"], True)
    node.remove(NINE, [Place("core", 9, 100)])
    assert (heads(node), node.crossed[NINE].wanted.leaves) == (["to-web2"], (Place("to-web2", 9, 100),))
    assert node.crossed[NINE].connection.rx_cells == 3
    node.remove(NINE, [Place("to-web2", 9, 100)])
    assert (heads(node), NINE in node.crossed) == ([], False)
    node.add(wanted("core 9/100"))
    node.remove(NINE)
    assert heads(node) == []


@pytest.mark.parametrize(("one", "told"), [
    (wanted("core 1/100"), "VP 1 is connected"),
    (wanted("core 9/100", "core 9/100"), "taken"),
    (wanted("nowhere 9/100"), "no port nowhere"),
    (wanted("core 9"), "a VC to VCs"),
    (wanted("core 9/3"), "belong to the VP"),
    (wanted("core 9/100", place=Place("nowhere", 9, 100)), "no port nowhere"),
    (wanted("core 9/100", place=Place("to-web1", 1, 100)), "VP 1 is connected"),
    (wanted("core 9", place=Place("to-web1", 1)), "belongs to web1"),
])
def test_a_live_cross_connect_that_cannot_be(one: Wanted, told: str) -> None:
    node = make(table())
    before = {place: crossed.wanted for place, crossed in node.crossed.items()}
    with pytest.raises(AtmdepotError, match=told):
        node.add(one)
    assert {place: crossed.wanted for place, crossed in node.crossed.items()} == before
    node.add(wanted("core 9/100"))  # no place is left taken
    with pytest.raises(AtmdepotError):
        node.add(wanted("to-web2 9/100", "core 9/100"))
    assert heads(node) == ["core"]
    node.add(wanted("to-web2 9/100"))
    for place, leaves in ((Place("core", 1), []), (Place("core", 7), []), (NINE, [Place("core", 8, 100)])):
        with pytest.raises(AtmdepotError):
            node.remove(place, leaves)
    assert heads(node) == ["core", "to-web2"]


def test_what_was_saved_is_the_tables_after_a_reload() -> None:
    node = make(table())
    node.add(wanted("core 9/100"))
    assert heads(node) == ["core"]
    saved = table(vcs='[connects.mine]\nswitch = "sw1"\nfrom = "to-web1 9/100"\nto = ["core 9/100"]')
    node.reconfigure(parse(saved), 0)
    assert (node.crossed[NINE].is_live, node.crossed[NINE].connection.rx_cells) == (False, 1)
    node.add(wanted("to-web2 9/100"))
    assert node.crossed[NINE].is_live
    node.reconfigure(parse(saved), 0)  # not saved: the table has its way
    assert (heads(node), node.crossed[NINE].is_live) == (["core"], False)
    node.reconfigure(parse(table()), 0)
    assert NINE not in node.crossed


@pytest.mark.parametrize("name", ["", "two words", "x" * 33, "x" * 10_000, "a\n", "\u0661"])
def test_a_live_cross_connect_has_a_name_that_a_table_can_have(name: str) -> None:
    node = make(table())
    with pytest.raises(AtmdepotError, match="is no name: a name has 1 to 32") as raised:
        agent_of(node).commands["vc_add"].run(agent_of(node), VcAdd(str(NINE), ["core 9/100"], None, name), 0)
    assert len(str(raised.value)) < 200
    assert NINE not in node.crossed
