"""Lines for an administrator: conditions when they change, counts at their first rise and then once a minute."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from atmdepot.config.pools import Probing
from atmdepot.config.reading import find, load
from atmdepot.depot.servers import Outcome
from atmdepot.drops import DropReason
from atmdepot.net.agents.depot import Drain, Undrain
from atmdepot.net.kinds import agent_of, make_node
from atmdepot.net.noticing import Noticing
from atmdepot.net.pump import Pump
from atmdepot.net.tun import NoDevice
from tests.net.nodes import DEPOT, WEB1, Connection, Nodes, network

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.net.event_log import Event

SECOND = 10**9
log = logging.getLogger("atmdepot")


class Looking:
    """A node on a clock by hand, and the events that looks at it have told."""

    def __init__(self, name: str) -> None:
        self.now = 1000 * SECOND
        self.nodes = Nodes(network(), clock=lambda: self.now)
        self.pump: Pump = self.nodes.pumps[name]
        self.noticing = Noticing(self.pump)

    def look(self, after: float = 0.5) -> list[Event]:
        self.now += int(after * SECOND)
        before = self.pump.events.last
        self.noticing.look()
        return list(self.pump.events.after(before))

    def kinds(self, after: float = 0.5) -> list[tuple[str, str]]:
        return [(event.kind, event.subject) for event in self.look(after)]


@pytest.fixture(params=[DEPOT])
def it(request: pytest.FixtureRequest) -> Iterator[Looking]:
    made, level = Looking(request.param), log.level
    log.setLevel(logging.INFO)
    log.addFilter(made.pump.events)
    yield made
    log.removeFilter(made.pump.events)
    log.setLevel(level)
    made.nodes.close()


def test_a_node_without_trouble_says_nothing(it: Looking) -> None:
    assert it.kinds() == it.kinds() == []


def test_a_server_dies_and_comes_back_each_told_once_with_the_reason_and_the_time(it: Looking) -> None:
    condition = it.pump.node.management.servers["web2"].condition
    it.look()
    settings = Probing()
    for _ in range(settings.fall):
        condition.probed(Outcome.REFUSED, settings, it.now)
    [dead] = it.look()
    assert (dead.kind, dead.subject, dead.level) == ("server-dead", "web2", "error")
    assert "refused" in str(dead.data["why"])
    assert it.kinds() == []
    for _ in range(settings.rise):
        condition.probed(Outcome.ANSWERED, settings, it.now)
    [alive] = it.look()
    assert (alive.kind, alive.subject, alive.data["dead_s"]) == ("server-alive", "web2", 1.0)
    assert it.kinds() == []
    assert (condition.deaths, condition.dead_time) == (1, SECOND)


def test_a_server_that_dies_and_comes_back_between_two_looks_is_told(it: Looking) -> None:
    condition = it.pump.node.management.servers["web2"].condition
    it.look()
    settings = Probing(fall=1, rise=1)
    condition.probed(Outcome.REFUSED, settings, it.now)
    condition.probed(Outcome.ANSWERED, settings, it.now + 1)
    assert it.kinds() == [("server-alive", "web2")]


def test_a_server_that_is_dead_at_the_first_look_is_told(it: Looking) -> None:
    it.pump.node.management.servers["web1"].condition.probed(Outcome.REFUSED, Probing(fall=1), it.now)
    assert it.kinds() == [("server-dead", "web1")]


def test_draining_is_told_when_it_begins_when_no_session_is_left_and_when_it_ends(it: Looking) -> None:
    agent, node = agent_of(it.pump.node), it.pump.node
    node.packet_from_tun(Connection(40_000).syn, it.now)
    [session] = node.sessions.primary.values()
    name = session.server.name
    it.look()
    agent.drain(Drain(name), it.now)  # type: ignore[attr-defined]
    [begun] = it.look()
    assert (begun.kind, begun.subject, begun.data["sessions"]) == ("draining", name, 1)
    assert it.kinds() == []
    node.sessions.evict(session)
    assert it.kinds() == [("drained", name), ("table-full", "sessions")]
    agent.undrain(Undrain(name), it.now)  # type: ignore[attr-defined]
    assert it.kinds() == [("undrained", name)]


def test_the_first_drop_of_a_reason_is_told_at_once_and_then_one_line_a_minute(it: Looking) -> None:
    drops = it.pump.node.links["to-web1"].drops
    it.look()
    drops.count(DropReason.HEC_ERROR, 3)
    [first] = it.look()
    assert (first.kind, first.subject, first.data) == (
        "drops", "to-web1", {"reason": "hec-error", "count": 3, "total": 3, "unit": "cells"})
    drops.count(DropReason.HEC_ERROR, 5)
    assert it.kinds() == []
    drops.count(DropReason.UNKNOWN_VC)
    assert it.kinds() == [("drops", "to-web1")]
    drops.count(DropReason.HEC_ERROR)
    [later] = it.look(60)
    assert (later.data["count"], later.data["total"]) == (6, 9)
    assert it.kinds(61) == []


def test_a_full_table_is_no_mere_drop(it: Looking) -> None:
    it.pump.node.drops.count(DropReason.TABLE_FULL)
    assert it.kinds() == [("table-full", "packets")]


def test_vcis_that_ran_out_are_told(it: Looking, monkeypatch: pytest.MonkeyPatch) -> None:
    bearer = it.pump.node.bearer
    it.look()
    rows = [("web1", "vcis-exhausted", 2, "sessions")]
    monkeypatch.setattr(type(it.noticing._agent), "counts", lambda _: _counts(rows))
    assert bearer is not None
    assert it.kinds() == [("vcis-full", "web1")]


def _counts(rows: list[tuple[str, str, int, str]]) -> Iterator[object]:
    from atmdepot.net.agents.facts import Count

    return (Count("vcis-full", place, counter, value, unit, "found none") for place, counter, value, unit in rows)


def test_a_pvc_that_becomes_inactive_and_comes_back_is_told(caplog: pytest.LogCaptureFixture) -> None:
    node: Any = make_node(load(find("interworking")), "iwf", 0)
    pump = Pump(node, {}, NoDevice())
    noticing = Noticing(pump)
    port = node.relays["to-web1"]
    with caplog.at_level(logging.INFO, "atmdepot"):
        for is_active in (True, False, False, True, True):
            port.set_active([16, 100], is_active, SECOND, "" if is_active else "VP web1 has AIS")
            noticing.look()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", "PVC to-web1 100: LMI: DLCI 100 is told to be inactive: VP web1 has AIS"),
        ("WARNING", "PVC to-web1 100 is active again")]
    pump.close()


@pytest.mark.parametrize("it", [WEB1], indirect=True)
def test_a_link_that_falls_silent_and_comes_back_is_told(it: Looking, monkeypatch: pytest.MonkeyPatch) -> None:
    it.look()
    silent = ["to-web1"]
    monkeypatch.setattr(it.noticing._agent, "links_without_signal", lambda: silent)
    assert it.kinds() == [("link-down", "to-web1")]
    assert it.kinds() == []
    silent.clear()
    assert it.kinds() == [("link-up", "to-web1")]
