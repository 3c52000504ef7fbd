"""OAM on request over the control socket: loopbacks over real links, their times, and what is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import trio
from click.testing import CliRunner

from atmdepot.commands import oam as command
from atmdepot.drops import DropReason
from atmdepot.errors import AtmdepotError
from atmdepot.net import oam, views
from atmdepot.net.alarms import log_alarms
from atmdepot.net.metrics import Metrics
from atmdepot.net.oam_lines import Echo, Head, Line
from atmdepot.wire.oam import FaultFunction, OamFlow
from atmdepot.wire.oam_messages import ContinuityCheck, Defect
from tests.net.controlled import Controlled, running
from tests.net.ends import fresh
from tests.net.nodes import DEPOT, WEB1, until
from tests.network_in_memory import SECOND

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from atmdepot.bearer.vp_oam import VpOam


@pytest.fixture
async def it(short_dir: Path) -> AsyncIterator[Controlled]:
    async for made in running(short_dir):
        yield made


async def ask(it: Controlled, node: str = DEPOT, **request: Any) -> list[dict[str, Any]]:
    return await it.raw(json.dumps({"oam": request}).encode() + b"\n", node=node)


@pytest.mark.parametrize(("node", "place", "segment", "name"), [
    (DEPOT, "web1", False, "VP web1 (VPI 1 on to-web1)"), (DEPOT, "web2", True, "VP web2 (VPI 2 on to-web2)"),
    (WEB1, "web1", False, "VP web1 (VPI 1 on to-web1)"), (DEPOT, "1/32", False, "VC 1/32 on to-web1"),
    (DEPOT, "to-web2:2/33", True, "VC 2/33 on to-web2")])
async def test_ping(it: Controlled, node: str, place: str, segment: bool, name: str) -> None:
    head, *echoes = await ask(it, node, what="ping", place=place, count=3, interval=10_000_000, segment=segment)
    kind = ("F5" if "/" in place else "F4") + (" segment" if segment else " end-to-end")
    assert head == {"oam": {"name": name, "flow": kind, "node": node}}
    assert [echo["echo"]["number"] for echo in echoes] == [1, 2, 3]
    assert all(0 < echo["echo"]["round_trip"] < 5 * 10**9 for echo in echoes)


async def test_trace_asks_each_node_of_the_route(it: Controlled) -> None:
    _, *echoes = await ask(it, what="trace", place="web1")
    assert [(echo["echo"]["from"], echo["echo"]["round_trip"] is not None) for echo in echoes] == [("web1", True)]


async def test_a_ping_ends_when_its_vc_does(it: Controlled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oam, "_LATE", 0.05)
    monkeypatch.setattr(oam, "_ask", lambda *_: None)  # as when its flow was forgotten: no end is told
    with trio.fail_after(20):
        *_, answer = await ask(it, what="ping", place="1/32", count=2, interval=10_000_000)
    assert "2 loopbacks have no end" in answer["error"]


async def test_continuity(it: Controlled) -> None:
    for on, mode in ((True, "both"), (False, "off")):
        [answer] = await ask(it, what="continuity", place="web1", on=on)
        assert "continuity is checked" in answer["done"]
        for node in (DEPOT, WEB1):
            row = (await it.show("oam", node))[0]
            assert (row["continuity"], row["state"]) == (mode, "ok")


@pytest.mark.parametrize("place", ["", "web9", "x" * 3000, "9/99", "to-web1:2/32", "1/", "/", "1/2/3", "1/999999",
                                   "0/65568", "\u0661/32", "to-web1:"])
async def test_places_that_are_not_there(it: Controlled, place: str) -> None:
    for what in ("ping", "trace", "continuity"):
        [answer] = await ask(it, what=what, place=place, count=1)
        assert answer.keys() == {"error"}
        assert len(answer["error"]) < 200


@pytest.mark.parametrize("place", ["web1", "1/32", "web9"])
async def test_a_vp_without_a_second_route_is_not_asked_along_it(it: Controlled, place: str) -> None:
    for what in ("ping", "trace"):
        [answer] = await ask(it, what=what, place=place, count=1, protection=True)
        assert answer == {"error": f'no protected VP "{place}" ends at depot: it has none'}


@pytest.mark.parametrize("request_", [
    {"what": "dance", "place": "web1"}, {"what": "ping"}, {"what": "ping", "place": "web1", "count": 0},
    {"what": "ping", "place": "web1", "interval": 1}, {"what": "ping", "place": 3}])
async def test_what_is_no_request(it: Controlled, request_: dict[str, Any]) -> None:
    [answer] = await ask(it, **request_)
    assert answer["error"].startswith("no request: ")


async def test_a_stranger_cannot_forge_alarms(it: Controlled) -> None:
    """With `source_check = "strict"` a datagram from another address is dropped before it is read."""
    import socket

    table = it.nodes.pumps[DEPOT].node.network.links["to-web1"]
    alarm = OamFlow.F4_END_TO_END.header(1) + Defect(FaultFunction.AIS).pack()
    drops = it.nodes.pumps[DEPOT].node.links["to-web1"].drops
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        own = fresh()
        stranger.bind((str(own.host), own.port))
        there = table.ends[DEPOT]
        stranger.sendto(alarm, (str(there.host), there.port))
        await until(lambda: drops[DropReason.NOT_THE_PEER] == 1)
    row = (await it.show("oam"))[0]
    assert (row["state"], row["ais"]) == ("ok", 0)


async def test_a_defect_is_shown_logged_and_measured(it: Controlled, caplog: pytest.LogCaptureFixture) -> None:
    pump = it.nodes.pumps[DEPOT]
    log_alarms(pump.node)
    vp: VpOam = pump.node.bearer.oam.vps["web1"]
    vp.end.point.receive(Defect(FaultFunction.AIS).pack(), pump.clock())
    row = (await it.show("oam"))[0]
    assert (row["state"], row["why"], row["ais"]) == ("AIS", "VP web1 has AIS", 1)
    assert "VP web1 has AIS" in caplog.text
    [server] = [row for row in await it.show("servers") if row["server"] == "web1"]
    assert (server["list"], server["why"]) == ("dead", "path down: VP web1 has AIS")
    page = b"".join(Metrics(pump).text()).decode()
    labels = 'network="loop",node="depot",vp="web1",link="to-web1"'
    assert 'atmdepot_vp_condition{condition="AIS",link="to-web1",network="loop",node="depot",vp="web1"} 1.0' in page \
        or f'atmdepot_vp_condition{{{labels},condition="AIS"}} 1.0' in page


async def test_conditions_that_come_and_go_without_end_take_few_lines_and_the_last_is_told(
        it: Controlled, caplog: pytest.LogCaptureFixture) -> None:
    node = it.nodes.pumps[DEPOT].node
    alarms, now = log_alarms(node), it.nodes.pumps[DEPOT].clock()
    vp: VpOam = node.bearer.oam.vps["web1"]  # type: ignore[attr-defined]
    for _ in range(1000):  # as somebody does who forges cells
        vp.end.point.receive(Defect(FaultFunction.AIS).pack(), now)
        vp.end.point.receive(ContinuityCheck().pack(), now)
    vp.end.point.receive(Defect(FaultFunction.AIS).pack(), now)
    said = [line for line in caplog.messages if line.startswith("VP web1")]
    assert said == ["VP web1 has AIS", "VP web1 is whole again"] * 10
    alarms.look(now + SECOND)
    assert len([line for line in caplog.messages if line.startswith("VP web1")]) == 20
    for second in range(5, 60, 5):
        alarms.look(now + second * SECOND)
    assert [line for line in caplog.messages if line.startswith("VP web1")][20:] == [
        "VP web1 has AIS; 1,980 changes before it were not logged"]
    vp.end.point.receive(ContinuityCheck().pack(), now + 60 * SECOND)
    assert caplog.messages[-1] == "VP web1 is whole again"


async def test_monitoring_is_in_the_rows_of_vcs(short_dir: Path) -> None:
    async for it in running(short_dir, vp="performance_monitoring = 128"):
        assert {(row["lost"], row["misinserted"], row["errored"]) for row in await it.show("vcs")} == {(0, 0, 0)}
        assert (await it.show("oam"))[0]["near_blocks"] == 0
        assert len(list(views.oam(it.nodes.pumps[DEPOT], 1))) == 1


# The command.


def lines(*echoes: int | None) -> Iterator[Line]:
    yield Line(Head("VP web1", "F4 end-to-end", "depot"))
    for number, round_trip in enumerate(echoes, 1):
        yield Line(echo=Echo(number, f"n{number}", number, round_trip))


def test_the_summary_is_like_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_ask", lambda *_, **__: lines(1_000_000, None, 3_000_000))
    told = CliRunner().invoke(command.ping_command, ["web1"])
    assert told.exit_code == 0
    assert told.output.splitlines()[-2:] == [
        "3 loopbacks sent, 2 answered, 33.3 % lost", "round trip min/avg/max/mdev = 1.000/2.000/3.000/1.000 ms"]
    monkeypatch.setattr(command, "_ask", lambda *_, **__: lines(None))
    told = CliRunner().invoke(command.ping_command, ["web1"])
    assert isinstance(told.exception, AtmdepotError)
    assert "1 loopbacks sent, 0 answered, 100 % lost" in told.output


def test_a_trace_is_in_the_order_of_the_route(monkeypatch: pytest.MonkeyPatch) -> None:
    def mixed(*_: Any, **__: Any) -> Iterator[Line]:
        head, one, two, three = lines(2_000_000, None, 4_000_000)
        yield from (head, three, one, two)

    monkeypatch.setattr(command, "_ask", mixed)
    told = CliRunner().invoke(command.trace_command, ["web1"])
    assert [line.split() for line in told.output.splitlines()[1:]] == [
        ["1", "n1", "2.000", "ms"], ["2", "n2", "no", "answer"], ["3", "n3", "4.000", "ms"]]
    assert isinstance(told.exception, AtmdepotError)
