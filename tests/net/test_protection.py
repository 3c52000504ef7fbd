"""Protected VPs as operators see them: commands, rows, counters and metrics."""

from __future__ import annotations

import pytest

from atmdepot.atm.oam import Condition
from atmdepot.atm.protection import Request, Side
from atmdepot.errors import AtmdepotError
from atmdepot.net.agents.depot import DepotAgent
from atmdepot.net.agents.edge import EdgeAgent
from atmdepot.net.alarms import log_alarms
from atmdepot.net.protection import ProtectionRequest, protection_rows
from atmdepot.wire.oam import OamFlow, OamPayload, OamType
from tests.network_in_memory import SECOND
from tests.protected_network import ProtectedNetwork, make_table


def made(protection: str = "1+1") -> tuple[ProtectedNetwork, DepotAgent]:
    net = ProtectedNetwork(make_table(protection=protection))
    net.advance(SECOND)
    return net, DepotAgent(net.depot)


def move(agent: DepotAgent | EdgeAgent, net: ProtectedNetwork, what: str, vp: str = "web1") -> str:
    done: str = agent.move(ProtectionRequest(vp, what), net.now)["done"]  # type: ignore[arg-type]
    return done


def test_commands_move_an_end_and_give_way_to_failures() -> None:
    net, agent = made()
    assert move(agent, net, "forced") == "VP web1 is on its protection route: forced switch"
    assert [end.state.selected for end in net.ends] == [Side.PROTECTION, Side.WORKING]
    with pytest.raises(AtmdepotError, match=r"^VP web1: manual gives way to what is in force: forced switch$"):
        move(agent, net, "manual")
    assert move(EdgeAgent(net.edge), net, "forced") == "VP web1 is on its protection route: forced switch"
    net.cut("depot-sw2")
    net.advance(5 * SECOND)
    assert [end.state.request for end in net.ends] == [Request.PROTECTION_FAILS] * 2
    net.mend("depot-sw2")
    net.advance(5 * SECOND)
    assert net.ends[0].state.selected is Side.WORKING
    assert move(agent, net, "clear") == "VP web1 is on its working route: no request"


def test_the_log_says_why_a_vp_moves(caplog: pytest.LogCaptureFixture) -> None:
    net, agent = made()
    log_alarms(net.depot)
    for what in ("forced", "clear", "forced", "lockout"):
        move(agent, net, what)
    assert [record.getMessage() for record in caplog.records] == [
        "VP web1 takes its protection route: forced switch", "VP web1 takes its working route: forced switch has ended",
        "VP web1 takes its protection route: forced switch", "VP web1 takes its working route: lockout"]


def test_a_lockout_on_a_route_that_fails_puts_the_server_on_the_dead_list() -> None:
    net, agent = made("1:1")
    move(agent, net, "lockout")
    net.cut("sw1-web1")
    net.advance(5 * SECOND)
    server = net.depot.management.servers["web1"]
    assert (net.ends[0].state.selected, server.alive) == (Side.WORKING, False)
    move(agent, net, "clear")
    assert (net.ends[0].state.selected, server.alive) == (Side.PROTECTION, True)


def test_an_unknown_vp_is_told() -> None:
    net, agent = made()
    with pytest.raises(AtmdepotError, match=r'^no protected VP "web7" ends here: there are web1$'):
        move(agent, net, "clear", "web7")


def test_rows_tell_state_switches_and_aps_cells() -> None:
    net, agent = made()
    aps = OamFlow.F4_SEGMENT.header(1) + OamPayload(OamType.PROTECTION_SWITCHING, 0, b"").pack()
    net.depot.octets_from_port("depot-sw2", aps, net.now)
    net.cut("depot-sw1", "sw1")
    net.advance(5 * SECOND)
    oam = agent.oam()
    assert oam is not None
    (row,) = protection_rows(agent.protected(), oam, 10, net.now)
    assert (row.node, row.vp, row.architecture, row.selected, row.request) == (
        "depot", "web1", "1+1", "protection", "signal fail of working")
    assert (row.working, row.working_state, row.protection, row.protection_state) == (
        "depot-sw1 1", Condition.LOC,
        "depot-sw2 1", "ok")
    assert (row.switches, row.why, row.aps, row.wait_to_restore) == (1, "signal fail of working", 1, 10.0)
    assert isinstance(row.since, float)
    assert 0 < row.since < 5
