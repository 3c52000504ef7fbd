"""The control socket and what it answers. Keys are what scripts read, so each set of them is written down here."""

from __future__ import annotations

import json
import random
import socket
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio
from click.testing import CliRunner

from atmdepot.cli import cli
from atmdepot.depot.servers import Fault
from atmdepot.drops import AT_SWITCHES, DropReason
from atmdepot.errors import AtmdepotError, EnvironmentLacks
from atmdepot.net import control
from atmdepot.net.administration import Administration
from atmdepot.net.control import ControlServer
from atmdepot.net.control_client import ask, show
from atmdepot.net.kinds import agent_of
from atmdepot.wire.statistics import ProxyFigures
from tests.net.controlled import Controlled, handshake, lines, next_line, running
from tests.net.nodes import CLIENT, DEPOT, VIP, WEB1, Connection, Nodes, network, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from trio.testing import MockClock

    from atmdepot.net.pump import Pump

SESSION_KEYS = {
    "number", "client", "service", "server", "table", "protocol", "client_state", "server_state", "vc", "category",
    "closed_by", "age_s", "idle_s", "packets_in", "packets_out", "octets_in", "octets_out", "probe"}
VC_KEYS = {
    "node", "link", "vc", "category", "contract", "encapsulation", "fcs", "far_mac", "crc", "carries",
    "tx_pdus", "tx_cells", "rx_pdus", "rx_cells", "rx_clp1_pdus", "rx_efci_pdus", "conforming", "tagged", "dropped",
    "refused"}
LINK_KEYS = {
    "node", "link", "peer", "cells", "rate", "burst", "delay", "impaired", "tx_cells", "rx_cells", "tx_pdus", "rx_pdus",
    "hec_corrected", "drops", "medium", "tx_datagrams", "rx_datagrams", "udp_segment", "udp_segment_refused",
    "udp_gro", "key", "format", "interfaces", "trouble", "last_error"}
SERVER_KEYS = {
    "server", "node", "link", "list", "for_s", "why", "draining", "weight", "backup", "load", "last_probe", "services",
    "sessions", "flows", "sessions_total", "max_sessions", "flows_leave_s", "new_per_s", "octets_in_per_s",
    "octets_out_per_s", "link_cells_in_per_s", "link_cells_out_per_s", "connect_ms", "connect_p50_ms", "connect_p95_ms",
    "deaths", "dead_s"}
OAM_KEYS = {
    "node", "link", "vp", "vc", "flow", "state", "why", "for_s", "continuity", "ais", "rdi", "cc", "loopbacks", "other",
    "sent"}
COUNTER_KEYS = {"node", "place", "counter", "value", "unit", "meaning"}


@pytest.fixture
async def it(short_dir: Path) -> AsyncIterator[Controlled]:
    async for made in running(short_dir):
        yield made


# What is shown.


async def test_sessions(it: Controlled) -> None:
    assert await it.show("sessions") == []
    await handshake(it)
    [session] = it.nodes.pumps[DEPOT].node.sessions.primary.values()
    session.opened -= 500_000_000_000
    session.last_seen -= 200_000_000_000
    [row] = await it.show("sessions")
    assert row.keys() == SESSION_KEYS
    assert 200 <= row.pop("idle_s") < 300
    assert 500 <= row.pop("age_s") < 600
    assert row == {
        "number": 1, "client": f"{CLIENT}:40000", "service": f"{VIP}:80", "server": "web1", "table": "primary",
        "protocol": "TCP", "client_state": "ESTABLISHED", "server_state": "ESTABLISHED", "vc": "1/64",
        "category": "UBR.1", "closed_by": "", "packets_in": 2, "packets_out": 1, "octets_in": 80, "octets_out": 40,
        "probe": False}
    assert await it.show("sessions", WEB1) == []


async def test_a_closed_session_says_why(it: Controlled) -> None:
    talk = await handshake(it)
    it.nodes.put(DEPOT, talk.up(4, 1001))  # RST
    await it.nodes.get(WEB1)
    [row] = await it.show("sessions")
    assert (row["table"], row["closed_by"], row["client_state"]) == ("secondary", "RST", "CLOSED")


async def test_vcs(it: Controlled) -> None:
    await handshake(it)
    rows = await it.show("vcs")
    assert all(row.keys() == VC_KEYS for row in rows)
    assert [(row["node"], row["link"], row["vc"], row["carries"]) for row in rows] == [
        ("depot", "to-web1", "1/32", "many"), ("depot", "to-web1", "1/33", "many"),
        ("depot", "to-web1", "1/64", f"{CLIENT}:40000"),
        ("depot", "to-web2", "2/32", "many"), ("depot", "to-web2", "2/33", "many")]
    assert rows[2] | {"node": "web1", "tx_pdus": 1, "tx_cells": 1, "rx_pdus": 2, "rx_cells": 2,
                      "conforming": 1} == (await it.show("vcs", WEB1))[2]
    assert {key: rows[2][key] for key in ("category", "contract", "encapsulation", "crc", "tx_pdus", "tx_cells",
                                          "rx_pdus", "rx_cells", "rx_clp1_pdus", "rx_efci_pdus", "conforming",
                                          "tagged", "dropped", "refused")} == {
        "category": "UBR.1", "contract": "ubr.1", "encapsulation": "vc-mux", "crc": "strict", "tx_pdus": 2,
        "tx_cells": 2, "rx_pdus": 1, "rx_cells": 1, "rx_clp1_pdus": 0, "rx_efci_pdus": 0,
        "conforming": 2, "tagged": 0, "dropped": 0, "refused": ""}
    assert await it.show("queues") == []


async def test_queues_of_links_on_which_cells_wait(short_dir: Path) -> None:
    async for it in running(short_dir, link='rate = "oc3"', top='qos.contracts.CBR = "cbr:pcr=10kcps"'):
        await handshake(it)
        rows = await it.show("queues")
        assert [(row["link"], row["queue"]) for row in rows] == [
            (link, queue) for link in ("to-web1", "to-web2") for queue in ("CBR", "rt-VBR", "nrt-VBR", "GFR", "UBR")]
        assert rows[4] == {"node": "depot", "link": "to-web1", "queue": "UBR", "room": 8192, "held": 0, "most": 1,
                           "shaped": 0, "entered": 2, "left": 2, "dropped": 0, "marked": 0}
        [refused] = [row for row in await it.show("counters")
                     if (row["place"], row["counter"]) == ("to-web1", "refused-contracts")]
        assert (refused["value"], refused["unit"]) == (0, "VCs")


async def test_links(it: Controlled) -> None:
    await handshake(it)
    one, two = await it.show("links")
    assert one.keys() == two.keys() == LINK_KEYS
    assert isinstance(one.pop("udp_segment"), bool)
    assert isinstance(one.pop("udp_gro"), bool)
    assert one == {
        "node": "depot", "link": "to-web1", "peer": "web1", "medium": "cells", "cells": 27, "rate": "any", "burst": 0,
        "delay": "none", "impaired": False, "tx_cells": 2, "rx_cells": 1, "tx_pdus": 2, "rx_pdus": 1,
        "hec_corrected": 0, "drops": 0,
        "tx_datagrams": 2, "rx_datagrams": 1, "udp_segment_refused": 0, "key": False, "format": "cells",
        "interfaces": "lo",
        "trouble": "", "last_error": ""}
    assert (two["link"], two["peer"], two["tx_cells"]) == ("to-web2", "web2", 0)


async def test_links_with_a_line_have_the_same_keys(short_dir: Path) -> None:
    async for it in running(short_dir, link='rate = "oc3"\ndelay = "1ms"\ncell_loss = 0.5\nseed = 1'):
        row = (await it.show("links"))[0]
        assert row.keys() == LINK_KEYS
        assert (row["rate"], row["burst"], row["delay"], row["impaired"]) == ("353207cps", 706, "1ms", True)


async def test_drops_are_in_the_links_row(it: Controlled) -> None:
    it.nodes.pumps[DEPOT].node.links["to-web1"].drops.update({DropReason.CRC_ERROR: 2, DropReason.HEC_ERROR: 3})
    assert [row["drops"] for row in await it.show("links")] == [5, 0]


async def test_a_caching_proxy_has_hits_and_misses(it: Controlled) -> None:
    it.nodes.pumps[DEPOT].node.management.servers[WEB1].proxy = ProxyFigures(9, 4, 5, 70, 1)  # type: ignore[attr-defined]
    proxy, other = await it.show("servers")
    assert {name: proxy[name] for name in proxy.keys() - other.keys()} == {
        "hits": 4, "misses": 5, "fetches": 5, "fetched": 70, "unread": 1}


async def test_servers(it: Controlled) -> None:
    await handshake(it)
    rows = await it.show("servers")
    assert all(row.keys() == SERVER_KEYS for row in rows)
    assert all(0 <= row.pop("for_s") < 60 for row in rows)
    same = {"list": "alive", "why": "at start", "draining": False, "weight": 1, "backup": False, "load": None,
            "last_probe": "", "services": ["web"], "max_sessions": None, "flows_leave_s": None, "new_per_s": 0.0,
            "octets_in_per_s": 0.0, "octets_out_per_s": 0.0, "link_cells_in_per_s": 0.0, "link_cells_out_per_s": 0.0,
            "connect_ms": None, "connect_p50_ms": None, "connect_p95_ms": None, "deaths": 0, "dead_s": 0.0}
    assert rows == [
        {"server": "web1", "node": "web1", "link": "to-web1", "sessions": 1, "flows": 0, "sessions_total": 1} | same,
        {"server": "web2", "node": "web2", "link": "to-web2", "sessions": 0, "flows": 0, "sessions_total": 0} | same]
    assert await it.show("servers", WEB1) == []


async def test_a_servers_rates_draining_deaths_and_times_to_connect(it: Controlled) -> None:
    pump = it.nodes.pumps[DEPOT]
    [web1, *_] = pump.node.management.servers.values()
    agent_of(pump.node).sample(0)
    await handshake(it)
    agent_of(pump.node).sample(2 * 10**9)
    web1.condition.connect_times.extend([3_000_000, 1_000_000, 2_000_000])
    web1.draining, web1.flows_leave_at = True, pump.clock() + 60 * 10**9
    web1.condition.inherits(Fault.PROBE, "refused", pump.clock() - 10**9)
    row = (await it.show("servers"))[0]
    assert (row["new_per_s"], row["octets_in_per_s"], row["octets_out_per_s"]) == (0.5, 40.0, 20.0)
    assert (row["link_cells_in_per_s"], row["link_cells_out_per_s"]) == (1.0, 0.5)
    assert (row["connect_ms"], row["connect_p50_ms"], row["connect_p95_ms"]) == (2.0, 2.0, 3.0)
    assert (row["list"], row["deaths"], row["draining"]) == ("dead", 1, True)
    assert 50 < row["flows_leave_s"] <= 60
    assert 1 <= row["dead_s"] < 30


async def test_counters(it: Controlled) -> None:
    await handshake(it)
    rows = await it.show("counters")
    assert all(row.keys() == COUNTER_KEYS for row in rows)
    by_place: dict[str, dict[str, int]] = {}
    for row in rows:
        assert row["node"] == "depot"
        by_place.setdefault(row["place"], {})[row["counter"]] = row["value"]
    cells = {f"drop:{reason}" for reason in set(DropReason) - AT_SWITCHES if reason.unit not in ("packets", "frames")}
    cells.add("drop:unresolved")
    packets = {f"drop:{reason}" for reason in DropReason if reason.unit == "packets"}
    packets -= {"drop:tun-queue-full", "drop:unresolved", "drop:nobodys-answer", "drop:no-source-port",
                "drop:not-rewritable"}
    link = {"rx-cells", "tx-cells", "unassigned-cells", "hec-corrected", "late-cells", "udp-segment-refused"}
    assert {place: set(names) for place, names in by_place.items()} == {
        "tun": {"rx-packets", "tx-packets", "drop:tun-queue-full"},
        "sessions": {"opened", "primary", "secondary", "evicted-half-open", "evicted-closed", "evicted-unanswered",
                     "adopted"},
        "web1": {"vcis-exhausted"}, "web2": {"vcis-exhausted"},
        "to-web1": link | cells, "to-web2": link | cells, "packets": packets}
    assert {(place, name): value for place, names in by_place.items() for name, value in names.items() if value} == {
        ("tun", "rx-packets"): 2, ("tun", "tx-packets"): 1, ("sessions", "opened"): 1, ("sessions", "primary"): 1,
        ("to-web1", "rx-cells"): 1, ("to-web1", "tx-cells"): 2}
    drops = [row for row in rows if row["counter"].startswith("drop:")]
    assert all(row["meaning"] and row["unit"] == DropReason(row["counter"][5:]).unit for row in drops)


async def test_oam(it: Controlled) -> None:
    rows = await it.show("oam")
    assert [row["flow"] for row in rows] == ["F4 end-to-end", "F4 segment"] * 2
    assert rows[0].keys() == OAM_KEYS
    assert rows[0].pop("for_s") == 0
    assert rows[0] == {
        "node": "depot", "link": "to-web1", "vp": "web1", "vc": "1", "flow": "F4 end-to-end", "state": "ok", "why": "",
        "continuity": "off", "ais": 0, "rdi": 0, "cc": 0, "loopbacks": 0, "other": 0, "sent": 0}
    assert [row["vp"] for row in await it.show("oam", WEB1)] == ["web1", "web1"]


async def test_an_edges_counters(it: Controlled) -> None:
    assert {row["place"] for row in await it.show("counters", WEB1)} == {"tun", "to-web1", "packets"}


async def test_a_lost_tun_is_counted_when_there_was_one(it: Controlled) -> None:
    it.nodes.pumps[DEPOT].tun_losses = 3
    [row] = [row for row in await it.show("counters") if row["counter"] == "vanished"]
    assert (row["place"], row["value"], row["unit"]) == ("tun", 3, "times")


@pytest.mark.parametrize("subject", ["sessions", "vcs", "links", "servers", "counters", "oam"])
async def test_limits(it: Controlled, subject: str) -> None:
    for port in (40_000, 40_001, 40_002, 40_003):
        it.nodes.put(DEPOT, Connection(port).syn)
    await until(lambda: it.nodes.pumps[DEPOT].node.rx_packets == 4)
    whole = await it.show(subject)
    assert len(whole) >= 2
    assert [len(await it.show(subject, limit=limit)) for limit in (0, 1, 2, -5)] == [0, 1, 2, 0]
    assert len(await it.show(subject, limit=10**23)) == len(whole)


@pytest.mark.parametrize("subject", ["sessions", "vcs", "counters"])
async def test_rows_beyond_the_limit_are_counted(
    it: Controlled, subject: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    for port in (40_000, 40_001, 40_002, 40_003):
        it.nodes.put(DEPOT, Connection(port).syn)
    await until(lambda: it.nodes.pumps[DEPOT].node.rx_packets == 4)
    whole = await it.show(subject)
    asked = {"show": subject, "count": True}
    for limit in (0, 1, len(whole) - 1, len(whole), len(whole) + 1, 10**23):
        [answer] = await it.raw(json.dumps({**asked, "limit": limit}).encode() + b"\n")
        assert (len(answer["rows"]), answer["more"]) == (min(limit, len(whole)), max(0, len(whole) - limit))
    monkeypatch.setattr(control, "MOST_COUNTED", 2)
    [answer] = await it.raw(json.dumps({**asked, "limit": 1}).encode() + b"\n")
    assert (len(answer["rows"]), answer["more"]) == (1, 2)
    if subject == "vcs":
        wanted = {**asked, "limit": 1, "where": {"link": "to-web1"}}
        [answer] = await it.raw(json.dumps(wanted).encode() + b"\n")
        assert ([row["link"] for row in answer["rows"]], answer["more"]) == (["to-web1"], 2)


# What is refused.


async def test_an_unknown_subject(it: Controlled) -> None:
    with pytest.raises(AtmdepotError, match=r"^depot: cannot show 'weather': sessions, .*, neighbours, impairments$"):
        await it.show("weather")


@pytest.mark.parametrize("request_", [
    b"", b"\n", b"{", b"[]", b"17", b'"show"', b"null", b'{"show": 3}', b'{"show": "links", "colour": "red"}',
    b'{"show": "links", "limit": "many"}', b'{"show": "links", "limit": 1e999}', b'{"cells": 1, "seconds": 10}',
    b'{"trace": 1}', b'{"trace": {"links": "to-web1"}}', b'{"trace": {"colour": true}}', b'{"trace": {"known": 1e30}}',
    b'{"show": "\xff\xfe"}', b"\0" * 50, b"[" * 4000, b'{"show": ' + b"[" * 4000,
    b'{"drain": 3}', b'{"drain": "web1", "show": "links"}', b'{"explain": {"colour": "red"}}',
    b'{"show": "' + b"x" * 4096, b"x" * 4097, b'{"show": "links"}' + b" " * 4096,
])
async def test_a_bad_request_gets_an_error(it: Controlled, request_: bytes) -> None:
    [answer] = await it.raw(request_ + b"\n")
    assert answer.keys() == {"error"}
    assert answer["error"]
    assert "\n" not in answer["error"]
    assert len(await it.show("links")) == 2


@pytest.mark.parametrize("request_", [{}, {"limit": 5}, {"trace": None}, {"show": ""}])
async def test_a_request_for_nothing(it: Controlled, request_: dict[str, Any]) -> None:
    [answer] = await it.raw(json.dumps(request_).encode() + b"\n")
    assert answer == {"error": "ask to show one of sessions, vcs, links, queues, servers, counters, oam, protection, "
                               "depots, dlcis, lmi, neighbours, impairments, or for a trace"}


@pytest.mark.parametrize("command", ["drain", "undrain", "explain"])
async def test_a_command_of_another_kind_of_node(it: Controlled, command: str) -> None:
    [answer] = await it.raw(f'{{"{command}": "web1"}}\n'.encode(), node=WEB1)
    assert answer == {"error": f"{command} is for a depot: web1 is none"}


async def test_a_command_of_switches(it: Controlled) -> None:
    [answer] = await it.raw(b'{"vc_list": true}\n')
    assert answer == {"error": "vc list is for a switch: depot is none"}


async def test_a_request_in_pieces(it: Controlled) -> None:
    [answer] = await it.raw(b'{"sh', b'ow": "ser', b'vers"}', b"\n")
    assert len(answer["rows"]) == 2


async def test_whatever_comes_the_daemon_stays(it: Controlled) -> None:
    draw = random.Random(5)
    for _ in range(150):
        await it.raw(draw.randbytes(draw.randint(0, 200)) + b"\n")
    for _ in range(20):  # clients that go away in the middle of it
        stream = await trio.open_unix_socket(it.path)
        await stream.send_all(b'{"show": "counters"}\n'[:draw.randint(0, 21)])
        await stream.aclose()
    assert len(await it.show("links")) == 2


async def test_a_client_that_says_nothing_is_hung_up_on(short_dir: Path, autojump_clock: MockClock) -> None:
    async for it in running(short_dir):
        async with await trio.open_unix_socket(it.path) as stream:
            await stream.send_all(b'{"show": ')
            began = trio.current_time()
            assert await lines(stream) == []
            assert 10 <= trio.current_time() - began < 11


# Faults of our own.


def _faulty(*_: object) -> list[dict[str, Any]]:
    raise KeyError("vanished")


async def test_a_view_that_raises_ends_nothing_but_its_answer(
    it: Controlled, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setitem(control.SUBJECTS, "vcs", _faulty)
    monkeypatch.setitem(control.SUBJECTS, "counters", lambda *_: [{"value": object()}])
    for subject, fault in (("vcs", "KeyError"), ("counters", "TypeError")):
        with pytest.raises(AtmdepotError, match=rf"^depot: an error in atmdepot itself, which its log has: {fault}$"):
            await it.show(subject)
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [KeyError, TypeError]
    assert len(await it.show("links")) == 2


async def test_a_trace_that_raises_hangs_up_and_the_daemon_goes_on(
    it: Controlled, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(control, "stream_trace", _faulty)
    assert await it.raw(b'{"trace": {}}\n') == []
    assert "KeyError" in caplog.text
    assert len(await it.show("links")) == 2


async def test_cancelling_ends_a_connection_that_is_answered(it: Controlled, caplog: pytest.LogCaptureFixture) -> None:
    """Else the daemon could not be stopped while somebody traces."""
    server = ControlServer(it.path.with_name("other.sock"), it.nodes.pumps[DEPOT])
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.run)
            async with await trio.open_unix_socket(server.path) as stream:
                await stream.send_all(b'{"trace": {}}\n')
                assert "tracing" in await next_line(stream)
                nursery.cancel_scope.cancel()
    server.close()
    assert caplog.records == []
    assert it.nodes.pumps[DEPOT].taps.open == []


# The socket itself.


async def test_only_its_owner_may_ask(it: Controlled) -> None:
    assert stat.S_IMODE(it.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(it.path.parent.stat().st_mode) == 0o700


@pytest.fixture
def pump() -> Iterator[Pump]:
    nodes = Nodes(network())
    yield nodes.pumps[DEPOT]
    nodes.close()


def test_closing_removes_the_socket(short_dir: Path, pump: Pump) -> None:
    server = ControlServer(short_dir / "x.sock", pump)
    assert server.path.is_socket()
    server.close()
    assert not server.path.exists()


def test_a_socket_that_nobody_answers_is_replaced(short_dir: Path, pump: Pump) -> None:
    path = short_dir / "x.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    server = ControlServer(path, pump)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    server.close()


def test_a_live_daemons_socket_is_not(short_dir: Path, pump: Pump) -> None:
    path = short_dir / "x.sock"
    server = ControlServer(path, pump)
    with pytest.raises(EnvironmentLacks, match=rf"^{path}: a daemon for this node is already running here$"):
        ControlServer(path, pump)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    server.close()


def test_a_directory_that_cannot_be_made(short_dir: Path, pump: Pump) -> None:
    (short_dir / "file").write_text("")
    with pytest.raises(EnvironmentLacks, match=r"the control socket cannot be made: .*exists; set ATMDEPOT_RUN_DIR"):
        ControlServer(short_dir / "file" / "x.sock", pump)


def test_a_path_that_is_too_long(short_dir: Path, pump: Pump) -> None:
    path = short_dir / ("x" * 100) / "x.sock"
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(EnvironmentLacks, match=r"the control socket cannot be made: AF_UNIX path too long; set ATMD"):
        ControlServer(path, pump)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    with pytest.raises(AtmdepotError, match=r"^x: the daemon does not answer on .*: AF_UNIX path too long$"):
        show(path, "links")


def test_a_daemon_that_is_not_there(short_dir: Path) -> None:
    path = short_dir / "depot.sock"
    with pytest.raises(AtmdepotError) as error:
        show(path, "links")
    assert str(error.value) == f"depot: the daemon does not answer on {path}: No such file or directory"


class Impostor(threading.Thread):
    """Something at the socket's path that answers in its own way."""

    def __init__(self, path: Path, answer: bytes | None) -> None:
        super().__init__()
        self._answer = answer
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self.done = threading.Event()

    def run(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.recv(4096)
            if self._answer is None:
                self.done.wait(20)
            else:
                connection.sendall(self._answer)
        self._listener.close()


@pytest.mark.parametrize(("answer", "message"), [
    (b"", "it hung up"), (b"hello\n", "not what a daemon says"), (b'{"rows"', "not what a daemon says"),
    (b"[]\n", "not what a daemon says"), (b'\xff\n', "not what a daemon says"),
])
def test_an_answer_that_is_none(short_dir: Path, answer: bytes, message: str) -> None:
    path = short_dir / "depot.sock"
    impostor = Impostor(path, answer)
    impostor.start()
    with pytest.raises(AtmdepotError, match=f"^depot: the daemon does not answer on {path}: .*{message}"):
        show(path, "links")
    impostor.join()


@pytest.mark.parametrize("arguments", [["vc", "add", "sw1", "a 1", "b 1"], ["oam", "trace", "sw1:web1"],
                                       ["oam", "continuity", "sw1:web1", "on"], ["oam", "ping", "sw1:web1", "-c", "1"]])
def test_commands_tell_that_a_daemon_hung_up(
        short_dir: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    (short_dir / "net").mkdir()
    monkeypatch.setenv("ATMDEPOT_RUN_DIR", str(short_dir))
    monkeypatch.setattr("atmdepot.net.running.is_answered", lambda _: True)
    impostor = Impostor(short_dir / "net" / "sw1.sock", b"")
    impostor.start()
    told = CliRunner().invoke(cli, arguments)
    impostor.join()
    assert isinstance(told.exception, AtmdepotError)
    assert "it hung up" in str(told.exception)
    assert told.output == ""


def test_a_daemon_that_is_stuck(short_dir: Path) -> None:
    path = short_dir / "depot.sock"
    impostor = Impostor(path, None)
    impostor.start()
    with pytest.raises(AtmdepotError, match=f"^depot: the daemon does not answer on {path}: timed out$"):
        next(ask(path, {"show": "links"}, timeout=0.05))
    impostor.done.set()
    impostor.join()


async def test_changes_are_asked_for_over_the_socket(it: Controlled, tmp_path: Path) -> None:
    assert await it.raw(b'{"drain": "web1"}\n') == [{"error": "this process takes no changes"}]
    it.servers[DEPOT]._administration = Administration(it.nodes.pumps[DEPOT], tmp_path / "none.toml")
    assert await it.raw(b'{"drain": "web1"}\n') == [{"done": "web1 takes no new sessions; 0 go on"}]
    assert [row["draining"] for row in await it.show("servers")] == [True, False]
    for after in (b"-1", b"1e30", b'"30s"', b"99999999999999999999999"):
        (answer,) = await it.raw(b'{"drain": "web1", "after": ' + after + b"}\n")
        assert "after" in answer["error"]
    assert await it.raw(b'{"undrain": "web1"}\n') == [{"done": "web1 takes new sessions"}]
    assert [row["draining"] for row in await it.show("servers")] == [False, False]
    for request, told in ((b'{"drain": "web9"}\n', "there is no server"), (b'{"reload": true}\n', "none.toml")):
        (answer,) = await it.raw(request)
        assert told in answer["error"]
